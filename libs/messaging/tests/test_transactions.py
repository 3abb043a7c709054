"""Handlers in batch transactions on a real PostgreSQL: each message takes effect once, and one that
fails takes no other down; handlers that ask a third party go through the ledger first.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.models.catalog import ReleaseStock
from contracts.models.payment import CapturePayment
from idempotency import Ledger
from messaging import Conflict, ContractViolation, Envelope, RetryLater, Sender, handled_census
from messaging.errors import MalformedMessage, UnknownMessage

Make = Callable[..., Envelope]
NewToy = Callable[..., Any]


async def test_effect_inbox_and_reply_commit_together(toy: Any, message: Make) -> None:
    command = message()
    assert await toy.handle(command) is True
    assert await toy.effects() == {command.subject: 1}
    assert await toy.outbox_types() == ["ItemsRestocked"]
    assert await handled_census(toy.engine, toy.tables) == {"RestockItems": 1}
    ((_, reply),) = toy.committed
    assert (reply.subject, reply.correlation_id) == (command.subject, command.correlation_id)
    assert reply.causation_id == command.id


async def test_a_copy_changes_nothing_and_is_told_apart(toy: Any, message: Make) -> None:
    command = message()
    assert await toy.handle(command) is True
    assert await toy.handle(command) is False
    assert toy.calls == [command.subject]
    assert await toy.effects() == {command.subject: 1}
    assert await toy.outbox_types() == ["ItemsRestocked"]


async def test_copies_in_one_batch_take_effect_once(toy: Any, message: Make) -> None:
    command = message()
    outcomes = await asyncio.gather(*(toy.handle(command) for _ in range(5)))
    assert sorted(outcomes) == [False] * 4 + [True]
    assert toy.batches == [1]
    assert await toy.effects() == {command.subject: 1}


async def test_copies_in_several_processes_take_effect_once(new_toy: NewToy, message: Make) -> None:
    commands = [message() for _ in range(20)]
    processes = [new_toy() for _ in range(3)]
    outcomes = await asyncio.gather(
        *(each.handle(command) for each in processes for command in commands)
    )
    assert sum(outcomes) == len(commands)
    assert await processes[0].effects() == {command.subject: 1 for command in commands}
    assert len(await processes[0].outbox_types()) == len(commands)


async def test_messages_that_come_together_share_a_transaction(toy: Any, message: Make) -> None:
    await asyncio.gather(*(toy.handle(message()) for _ in range(30)))
    assert toy.batches == [30]


async def test_a_message_that_fails_takes_no_other_down(toy: Any, message: Make) -> None:
    good, bad = [message() for _ in range(6)], message()
    toy.errors[bad.subject] = [ValueError("in the batch"), ValueError("alone")]
    outcomes = await asyncio.gather(
        *map(toy.handle, [*good[:3], bad, *good[3:]]), return_exceptions=True
    )
    assert [type(each) for each in outcomes] == [bool] * 3 + [ValueError] + [bool] * 3
    assert str(outcomes[3]) == "alone"
    assert await toy.effects() == {each.subject: 1 for each in good}
    assert await toy.received() == len(good)
    assert await toy.outbox_types() == ["ItemsRestocked"] * len(good)


async def test_after_a_failure_the_message_can_be_handled(toy: Any, message: Make) -> None:
    command = message()
    toy.errors[command.subject] = [ValueError("not now")]
    with pytest.raises(ValueError, match="not now"):
        await toy.handle(command)
    assert await toy.handle(command) is True
    assert await toy.effects() == {command.subject: 1}


async def test_a_lost_compare_and_set_rolls_back_and_asks_for_another_try(
    toy: Any, message: Make
) -> None:
    toy.flush_errors = [Conflict("the order")]
    command = message()
    with pytest.raises(RetryLater, match="the order was changed"):
        await toy.handle(command)
    assert await toy.received() == 0
    assert await toy.handle(command) is True


async def test_a_batch_that_conflicts_is_repeated_one_by_one(toy: Any, message: Make) -> None:
    toy.flush_errors = [Conflict("some order")]
    commands = [message() for _ in range(4)]
    assert await asyncio.gather(*map(toy.handle, commands)) == [True] * 4
    assert toy.batches == [4, 1, 1, 1, 1]
    assert await toy.effects() == {each.subject: 1 for each in commands}


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"data": {"order_id": "not a uuid"}}, ContractViolation),
        ({"data": {}}, ContractViolation),
        ({"dataschema": "urn:bookstore:catalog:RestockItems:2"}, UnknownMessage),
        ({"dataschema": "urn:bookstore:catalog:RestockItems"}, MalformedMessage),
        ({"type": "BurnItems"}, UnknownMessage),
    ],
)
async def test_no_handler_sees_what_no_contract_allows(
    toy: Any, message: Make, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await toy.handle(replace(message(), **changes))
    assert toy.calls == []
    assert await toy.received() == 0


async def test_a_message_that_nobody_here_handles_is_unknown(toy: Any, message: Make) -> None:
    order_id = message().subject
    capture = Sender("order").envelope(
        CapturePayment(order_id=order_id, payment_id=order_id),
        cause="c", subject=order_id, correlation_id=order_id,
    )  # fmt: skip
    with pytest.raises(UnknownMessage, match="nothing here handles urn:bookstore:payment"):
        await toy.handle(capture)


async def test_fields_that_a_newer_sender_adds_are_ignored(toy: Any, message: Make) -> None:
    command = message()
    newer = replace(command, data={**command.data, "gift_wrap": True})
    assert await toy.handle(newer) is True


@pytest.fixture
def ledger_of(aws: Any, scope: str) -> Callable[..., Ledger]:
    """Each call is the ledger of a process of its own."""

    def create(lease_seconds: float = 30) -> Ledger:
        return Ledger(
            aws.dynamodb, table="bookstore-ledger", scope=scope, lease_seconds=lease_seconds
        )

    return create


async def test_a_third_party_is_asked_once_for_copies_that_come_later(
    new_toy: NewToy, ledger_of: Any, message: Make
) -> None:
    ledger = ledger_of()
    toy = new_toy(ledger=ledger)
    command = message(ReleaseStock)
    assert await toy.handle(command) is True
    await ledger.drain()
    assert await toy.handle(command) is False
    assert await new_toy(ledger=ledger_of()).handle(command) is False
    assert toy.asked_outside == [command.subject]
    assert await toy.effects() == {command.subject: 1}
    assert await toy.outbox_types() == ["StockReleased"]


async def test_while_one_process_asks_a_third_party_another_is_told_to_come_later(
    new_toy: NewToy, ledger_of: Any, message: Make, until: Any
) -> None:
    first, second = new_toy(ledger=ledger_of()), new_toy(ledger=ledger_of())
    first.outside_gate.clear()
    command = message(ReleaseStock)
    handling = asyncio.create_task(first.handle(command))
    await until(lambda: first.asked_outside)
    with pytest.raises(RetryLater) as refused:
        await second.handle(command)
    assert 0 < refused.value.seconds <= 30
    first.outside_gate.set()
    assert await handling is True
    assert second.asked_outside == []


async def test_a_copy_in_the_same_process_does_not_ask_a_third_party_meanwhile(
    new_toy: NewToy, ledger_of: Any, message: Make, until: Any
) -> None:
    toy = new_toy(ledger=ledger_of())
    toy.outside_gate.clear()
    command = message(ReleaseStock)
    handling = asyncio.create_task(toy.handle(command))
    await until(lambda: toy.asked_outside)
    with pytest.raises(RetryLater):
        async with asyncio.timeout(5):
            await toy.handle(command)
    toy.outside_gate.set()
    assert await handling is True
    assert toy.asked_outside == [command.subject]


async def test_a_third_partys_failure_frees_the_message_for_the_next_try_at_once(
    new_toy: NewToy, ledger_of: Any, message: Make
) -> None:
    first, second = new_toy(ledger=ledger_of()), new_toy(ledger=ledger_of())
    command = message(ReleaseStock)
    first.errors[command.subject] = [ConnectionError("no answer")]
    with pytest.raises(ConnectionError):
        await first.handle(command)
    assert await second.handle(command) is True
    assert await second.effects() == {command.subject: 1}


async def test_a_mark_that_a_crash_lost_costs_a_question_but_no_second_effect(
    new_toy: NewToy, ledger_of: Any, message: Make, aws: Any, scope: str
) -> None:
    """The database decides; the ledger only keeps most copies away."""
    command = message(ReleaseStock)
    toy = new_toy(ledger=ledger_of())
    assert await toy.handle(command) is True
    forgetful = Ledger(aws.dynamodb, table="bookstore-ledger", scope=f"{scope}-restored-empty")
    another = new_toy(ledger=forgetful)
    assert await another.handle(command) is False
    assert another.asked_outside == [command.subject]
    assert await toy.effects() == {command.subject: 1}
    assert await toy.outbox_types() == ["StockReleased"]
