"""Outbox, inbox, relay and sagas on the database in memory and on PostgreSQL: the same claims of
both.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import MetaData, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import transaction
from contracts.models.catalog import RestockItems
from messaging import (
    Attempt,
    Conflict,
    Envelope,
    Outbox,
    Relay,
    Route,
    Sender,
    Transactions,
    Work,
    handled_census,
    messaging_tables,
)
from messaging.republish import APPLIED_TAG, RepublishSweeper
from sagas import Instance, SagaStore, Status, saga_table

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
SAGAS = saga_table(METADATA)


@pytest.fixture
async def engine(either_database: Any) -> AsyncEngine:
    made: AsyncEngine = await either_database(METADATA)
    return made


@pytest.fixture
def autocommit(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def message() -> Envelope:
    order_id = str(uuid.uuid4())
    return Sender("test").envelope(
        RestockItems(order_id=order_id), cause=order_id, subject=order_id, correlation_id=order_id
    )


def outbox_on(engine: AsyncEngine) -> Outbox:
    return Outbox(engine, TABLES, lambda committed: None)


async def write(engine: AsyncEngine, *messages: Envelope) -> None:
    async with outbox_on(engine).transaction() as sending:
        sending.send(messages)


async def unsent(engine: AsyncEngine) -> dict[str, Any]:
    async with engine.connect() as connection:
        return {row.message_id: row for row in await connection.execute(select(TABLES.unsent))}


class Bus:
    """Takes everything but the ids in `refused`; holds each request until `open` is set."""

    def __init__(self, refused: Sequence[str] = ()) -> None:
        self.taken: list[str] = []
        self.refused = refused
        self.open = asyncio.Event()
        self.open.set()
        self.asked = asyncio.Event()
        self.tags: list[dict[str, str]] = []
        self.born = datetime.now(UTC) + timedelta(minutes=1)

    async def put_events(self, Entries: list[dict[str, str]]) -> dict[str, Any]:
        self.asked.set()
        await self.open.wait()
        answers: list[dict[str, str]] = []
        for entry in Entries:
            if any(each in entry["Detail"] for each in self.refused):
                answers.append({"ErrorCode": "ValidationException"})
            else:
                self.taken.append(entry["Detail"])
                answers.append({"EventId": "1"})
        return {"Entries": answers}

    async def describe_event_bus(self, Name: str) -> dict[str, Any]:
        return {"Arn": "arn", "CreationTime": self.born}

    async def list_tags_for_resource(self, ResourceARN: str) -> dict[str, Any]:
        return {"Tags": [{"Key": APPLIED_TAG, "Value": "yes"}, *self.tags]}

    async def tag_resource(self, ResourceARN: str, Tags: list[dict[str, str]]) -> None:
        self.tags += Tags


def relay_on(engine: AsyncEngine, bus: Bus) -> Relay:
    return Relay(engine, TABLES, bus, bus="bookstore", grace_seconds=0)


async def test_messages_commit_with_the_state_or_not_at_all(engine: AsyncEngine) -> None:
    sent, told = message(), list[Any]()
    outbox = Outbox(engine, TABLES, told.extend)

    async def change_ones_mind() -> None:
        async with outbox.transaction() as sending:
            sending.send([message()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await change_ones_mind()
    for _ in range(2):  # Written again, it is the same message.
        async with outbox.transaction() as sending:
            sending.send([sent])
    assert set(await unsent(engine)) == {sent.id}
    assert [each.id for _, each in told] == [sent.id] * 2
    assert await outbox.census() == {
        "sent": {"RestockItems": 1}, "outbox": {"pending": 1, "parked": 0},
    }  # fmt: skip


async def test_a_sweep_marks_what_the_bus_took_and_parks_what_it_always_refuses(
    engine: AsyncEngine,
) -> None:
    good, poison = message(), message()
    await write(engine, good, poison)
    bus = Bus(refused=[poison.id])
    relay = relay_on(engine, bus)
    assert await relay.sweep() == 2
    row = (await unsent(engine))[poison.id]
    assert set(await unsent(engine)) == {poison.id}
    assert (row.attempts, row.parked_reason) == (1, None)
    assert timedelta(0) < row.next_attempt_at - row.written_at < timedelta(seconds=10)
    assert await relay.sweep() == 0
    for _ in range(2):
        async with engine.begin() as connection:
            await connection.execute(
                update(TABLES.unsent).values(next_attempt_at=func.now() - timedelta(seconds=1))
            )
        await relay.sweep()
    assert (await unsent(engine))[poison.id].parked_reason == "ValidationException"
    census = await outbox_on(engine).census()
    assert census["outbox"] == {"pending": 0, "parked": 1}
    assert len(bus.taken) == 1


async def test_a_row_that_one_sweep_holds_is_left_out_by_another(engine: AsyncEngine) -> None:
    await write(engine, message())
    slow, fast = Bus(), Bus()
    slow.open.clear()
    sweeping = asyncio.create_task(relay_on(engine, slow).sweep())
    await slow.asked.wait()
    assert await relay_on(engine, fast).sweep() == 0
    slow.open.set()
    assert await sweeping == 1
    assert (len(slow.taken), len(fast.taken), await unsent(engine)) == (1, 0, {})


async def test_what_a_relay_publishes_from_memory_is_marked(engine: AsyncEngine) -> None:
    bus = Bus()
    relay = Relay(engine, TABLES, bus, bus="bookstore", grace_seconds=60)
    outbox = Outbox(engine, TABLES, relay.wake)
    running = asyncio.create_task(relay.run())
    async with outbox.transaction() as sending:
        sending.send([message(), message()])
    await bus.asked.wait()
    relay.stop()
    await running
    assert (len(bus.taken), await unsent(engine)) == (2, {})


async def test_a_new_bus_gets_the_last_hour_again(engine: AsyncEngine) -> None:
    recent, old = message(), message()
    await write(engine, recent, old)
    await relay_on(engine, Bus()).sweep()
    async with engine.begin() as connection:
        await connection.execute(
            update(TABLES.outbox)
            .where(TABLES.outbox.c.id == old.id)
            .values(created_at=func.now() - timedelta(hours=3))
        )
    bus = Bus()
    republish = RepublishSweeper(
        engine, TABLES, bus, service="test", bus="bookstore", settle_seconds=0
    )
    assert await republish.sweep() == 1
    assert set(await unsent(engine)) == {recent.id}
    assert await republish.sweep() == 0


class Unit:
    """Nothing but messages."""

    def __init__(self) -> None:
        self.handled: list[str] = []

    def work(self, message: Envelope) -> Work:
        self.handled.append(message.id)
        return Work(message, Sender("test"))

    async def load(self, connection: AsyncConnection, attempts: Sequence[Attempt[Work]]) -> None:
        """Nothing to read."""

    async def flush(self, connection: AsyncConnection) -> None:
        """Nothing to write."""


async def test_a_message_is_handled_once_whoever_else_has_it(engine: AsyncEngine) -> None:
    unit, route = Unit(), Route(RestockItems, lambda payload, work: None)
    workers: list[Transactions[Work]] = [
        Transactions(outbox=outbox_on(engine), tables=TABLES, unit_of_work=lambda: unit)
        for _ in range(3)
    ]
    sent = message()
    payload = RestockItems(order_id=sent.subject)
    fresh = await asyncio.gather(*(each.handle(sent, payload, route) for each in workers))
    assert sorted(fresh) == [False, False, True]
    assert await handled_census(engine, TABLES) == {"RestockItems": 1}
    assert unit.handled == [sent.id]


async def test_a_key_may_be_given_in_another_spelling(engine: AsyncEngine) -> None:
    sent = message()
    async with engine.begin() as connection:
        row = {"message_id": sent.id.upper(), "type": "RestockItems"}
        await connection.execute(insert(TABLES.inbox), row)
        found = await connection.execute(select(TABLES.inbox.c.message_id))
        assert found.scalar_one() == sent.id


def instance(deadline_seconds: float | None = 60.0) -> Instance:
    return Instance("toy", str(uuid.uuid4()), 1, {"n": [1]}, deadline_seconds=deadline_seconds)


async def test_an_instance_is_replaced_only_by_the_one_computed_from_it(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    store, begun = SagaStore(SAGAS), instance()
    async with transaction(autocommit) as connection:
        await store.insert(connection, [begun])
    with pytest.raises(IntegrityError):
        async with transaction(autocommit) as connection:
            await store.insert(connection, [begun])

    async def save(status: Status) -> None:
        async with transaction(autocommit) as connection:
            await store.save(connection, [replace(begun, status=status)])

    results = await asyncio.gather(
        save(Status.COMPLETED), save(Status.PARKED), return_exceptions=True
    )
    assert [type(each) for each in results if each is not None] == [Conflict]
    async with engine.connect() as connection:
        (found,) = await store.find(connection, begun.id)
    assert found.revision == 1
    assert (await store.census(engine, ["toy"]))["toy"][found.status] == 1


async def test_instances_are_locked_by_their_ids_and_the_overdue_by_their_deadlines(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    store, late, later = SagaStore(SAGAS), instance(), instance(deadline_seconds=None)
    overdue = update(SAGAS).values(deadline_at=func.now() - timedelta(seconds=1))
    async with transaction(autocommit) as connection:
        await store.insert(connection, [late, later])
        left = select(SAGAS.c.deadline_at - func.now()).where(SAGAS.c.id == late.id)
        assert (await connection.execute(left)).scalar_one() == timedelta(seconds=60)
        await connection.execute(overdue.where(SAGAS.c.id == late.id))

    async def lock_both() -> dict[tuple[str, str], Instance]:
        async with transaction(autocommit) as connection:
            return await store.lock(connection, [late.id, later.id])

    async with transaction(autocommit) as first:
        assert await store.lock_due(first, 10) == [late]
        async with transaction(autocommit) as second:
            assert await store.lock_due(second, 10) == []
        waiting = asyncio.create_task(lock_both())
        await asyncio.sleep(0.1)
        assert not waiting.done()
        await store.save(first, [replace(late, status=Status.COMPENSATING)])
    locked = await waiting
    assert locked["toy", late.id] == replace(late, status=Status.COMPENSATING, revision=1)
    assert locked["toy", later.id] == later
