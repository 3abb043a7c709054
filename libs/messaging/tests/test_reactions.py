"""Reactions: what a service without SQL does about messages, and when it calls them handled."""

import uuid
from typing import Any

import pytest

from contracts.models.order import OrderCancelled, OrderRejected
from idempotency import Inbox
from messaging import ContractViolation, Envelope, Reaction, Sender, reactor
from messaging.errors import UnknownMessage


def rejected(**changes: Any) -> Envelope:
    order_id = str(uuid.uuid4())
    payload = OrderRejected(order_id=order_id, customer_id="c1", reason="out_of_stock")
    envelope = Sender("order").envelope(
        payload, cause=order_id, subject=order_id, correlation_id=order_id
    )
    envelope.data.update(changes)
    return envelope


@pytest.fixture
def inbox(aws: Any, scope: str) -> Inbox:
    return Inbox(aws.dynamodb, table="bookstore-ledger", scope=scope)


async def test_message_is_recorded_after_its_handler_has_returned(inbox: Inbox) -> None:
    seen: list[Any] = []

    async def look(event: OrderRejected, message: Envelope) -> None:
        seen.append((event.order_id, message.subject, dict(await inbox.census())))

    message = rejected()
    assert await reactor([Reaction(OrderRejected, look)], inbox)(message)
    assert seen == [(message.subject, message.subject, {})]
    assert await inbox.census() == {"OrderRejected": 1}


async def test_handler_that_fails_leaves_the_message_unhandled(inbox: Inbox) -> None:
    failures = [OSError("the index is away")]

    async def fail_once(_: OrderRejected, __: Envelope) -> None:
        if failures:
            raise failures.pop()

    handle, message = reactor([Reaction(OrderRejected, fail_once)], inbox), rejected()
    with pytest.raises(OSError, match="the index is away"):
        await handle(message)
    assert await inbox.census() == {}
    assert await handle(message)


async def test_copy_runs_its_handler_again_and_is_told_to_be_a_copy(inbox: Inbox) -> None:
    calls = 0

    async def count(_: OrderRejected, __: Envelope) -> None:
        nonlocal calls
        calls += 1

    handle, message = reactor([Reaction(OrderRejected, count)], inbox), rejected()
    assert [await handle(message), await handle(message)] == [True, False]
    assert calls == 2  # So each effect has to stand it.
    assert await inbox.census() == {"OrderRejected": 1}


async def test_no_handler_sees_what_breaks_its_contract_or_is_not_for_it(inbox: Inbox) -> None:
    async def never(_: Any, __: Envelope) -> None:
        raise AssertionError

    with pytest.raises(ContractViolation):
        await reactor([Reaction(OrderRejected, never)], inbox)(rejected(reason=7))
    with pytest.raises(UnknownMessage):
        await reactor([Reaction(OrderCancelled, never)], inbox)(rejected())
    assert await inbox.census() == {}
