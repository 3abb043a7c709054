"""Saga instances in a real PostgreSQL: compare-and-set, deadlines by the database's clock, census;
and the sweeper that moves what is overdue.
"""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import MetaData, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts import MESSAGES
from contracts.models.catalog import ItemsRestocked, ReleaseStock, RestockItems, StockReleased
from messaging import Conflict, Envelope, Outbox, Sender, messaging_tables
from sagas import (
    DeadlineSweeper,
    Instance,
    Orchestrator,
    Request,
    Saga,
    SagaStore,
    Status,
    Step,
    saga_table,
)

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
SAGAS = saga_table(METADATA)


class Data(BaseModel):
    order_id: str


def toy(version: int = 1, deadline_seconds: float = 60) -> Saga[Data]:
    return Saga(
        name="toy",
        version=version,
        data=Data,
        steps=[
            Step(
                "restock",
                action=Request(lambda d: RestockItems(order_id=d.order_id), ItemsRestocked),
                compensation=Request(lambda d: ReleaseStock(order_id=d.order_id), StockReleased),
                deadline=timedelta(seconds=deadline_seconds),
            )
        ],
        on_completed=lambda d: StockReleased(order_id=d.order_id),
        on_compensated=lambda d, refusal: None,
    )


@pytest.fixture
async def engine(new_database: Any) -> AsyncEngine:
    created: AsyncEngine = await new_database(METADATA)
    return created


@pytest.fixture
def store() -> SagaStore:
    return SagaStore(SAGAS)


@pytest.fixture
def orchestrator(store: SagaStore) -> Orchestrator:
    return Orchestrator([toy()], store, Sender("order"))


def instance(orchestrator: Orchestrator, saga: Saga[Data] | None = None) -> Instance:
    order_id = str(uuid.uuid4())
    begun, _ = orchestrator.begin(saga or toy(), order_id, Data(order_id=order_id))
    return begun


async def make_overdue(connection: AsyncConnection, *instances: Instance) -> None:
    """Push the deadlines into the past, by the clock that keeps them."""
    statement = (
        update(SAGAS)
        .where(SAGAS.c.id.in_([each.id for each in instances]))
        .values(deadline_at=func.now() - timedelta(seconds=1))
    )
    await connection.execute(statement)


async def test_an_instance_reads_back_as_it_was_written(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    written = replace(
        instance(orchestrator),
        status=Status.PARKED,
        step=3,
        undoing=True,
        resends=2,
        refusal={"reason": "out_of_stock", "detail": "“Żółć”"},
        deadline_seconds=None,
    )
    async with engine.begin() as connection:
        await store.insert(connection, [written])
        assert await store.find(connection, written.id) == [written]
        locked = await store.lock(connection, [written.id, written.id, str(uuid.uuid4())])
        assert locked == {("toy", written.id): written}


async def test_an_instance_cannot_be_begun_twice(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    begun = instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [begun])
    with pytest.raises(IntegrityError):
        async with engine.begin() as connection:
            await store.insert(connection, [begun])


async def test_of_two_writers_one_gets_a_conflict_and_changes_nothing(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    contested, other = instance(orchestrator), instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [contested, other])

    async def write(status: Status) -> None:
        async with engine.begin() as connection:
            await store.save(connection, [replace(each, status=status) for each in read])

    read = [contested, other]
    results = await asyncio.gather(
        write(Status.COMPLETED), write(Status.COMPENSATED), return_exceptions=True
    )
    assert sorted(type(each).__name__ for each in results) == ["Conflict", "NoneType"]
    winner = Status.COMPLETED if results[0] is None else Status.COMPENSATED
    async with engine.connect() as connection:
        for each in read:
            (found,) = await store.find(connection, each.id)
            assert (found.status, found.revision) == (winner, each.revision + 1)


async def test_one_stale_instance_fails_the_whole_save(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    stale, current = instance(orchestrator), instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [stale, current])
        await store.save(connection, [stale])
    with pytest.raises(Conflict):
        async with engine.begin() as connection:
            await store.save(connection, [current, stale])
    async with engine.connect() as connection:
        assert (await store.find(connection, current.id))[0].revision == current.revision


async def test_deadlines_are_kept_by_the_databases_clock(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    begun = replace(instance(orchestrator), deadline_seconds=90.5)
    left = select(SAGAS.c.deadline_at - func.now()).where(SAGAS.c.id == begun.id)
    async with engine.begin() as connection:
        await store.insert(connection, [begun])
        assert await connection.scalar(left) == timedelta(seconds=90.5)
        await store.save(connection, [replace(begun, deadline_seconds=30)])
        assert await connection.scalar(left) == timedelta(seconds=30)
        ended = replace(begun, revision=1, deadline_seconds=None)
        await store.save(connection, [ended])
        assert await connection.scalar(left) is None
        assert await store.lock_due(connection, 10) == []


async def test_only_overdue_instances_are_due_the_oldest_first(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    late = replace(instance(orchestrator), deadline_seconds=-5)
    later = replace(instance(orchestrator), deadline_seconds=-9)
    in_time = instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [late, later, in_time])
        assert [each.id for each in await store.lock_due(connection, 10)] == [later.id, late.id]
        assert [each.id for each in await store.lock_due(connection, 1)] == [later.id]


async def test_what_one_sweeper_has_locked_another_leaves_out(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    overdue = [replace(instance(orchestrator), deadline_seconds=-5) for _ in range(3)]
    async with engine.begin() as connection:
        await store.insert(connection, overdue)
    async with engine.begin() as first, engine.begin() as second:
        mine = await store.lock_due(first, 2)
        async with asyncio.timeout(5):
            theirs = await store.lock_due(second, 10)
        assert len(mine) == 2
        assert len(theirs) == 1
        assert {each.id for each in [*mine, *theirs]} == {each.id for each in overdue}


async def test_the_census_counts_by_saga_and_status_with_zeros(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    parked = replace(instance(orchestrator), status=Status.PARKED)
    async with engine.begin() as connection:
        await store.insert(connection, [parked, instance(orchestrator), instance(orchestrator)])
    empty = dict.fromkeys(map(str, Status), 0)
    assert await store.census(engine, ["toy", "unused"]) == {
        "toy": {**empty, "running": 2, "parked": 1},
        "unused": empty,
    }


class Sweeping:
    """A sweeper on a real outbox, with what it said and whom it told."""

    def __init__(self, engine: AsyncEngine, orchestrator: Orchestrator, lot: int = 100) -> None:
        self.committed: list[Envelope] = []
        self.moved: list[Instance] = []
        outbox = Outbox(
            engine, TABLES, lambda rows: self.committed.extend(each for _, each in rows)
        )
        self.sweeper = DeadlineSweeper(
            orchestrator, outbox, self.on_moved, interval_seconds=0.01, lot=lot
        )

    async def on_moved(self, connection: AsyncConnection, instances: Sequence[Instance]) -> None:
        self.moved.extend(instances)


async def test_the_sweeper_moves_what_is_overdue_and_sends_its_messages_with_it(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    overdue, in_time = instance(orchestrator), instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [overdue, in_time])
        await make_overdue(connection, overdue)
    sweeping = Sweeping(engine, orchestrator)
    assert await sweeping.sweeper.sweep() == 1
    assert await sweeping.sweeper.sweep() == 0
    assert [each.id for each in sweeping.moved] == [overdue.id]
    assert [(each.type, each.subject) for each in sweeping.committed] == [
        ("ReleaseStock", overdue.id)
    ]
    async with engine.connect() as connection:
        (found,) = await store.find(connection, overdue.id)
        assert found.status is Status.COMPENSATING
        assert await connection.scalar(select(TABLES.outbox.c.type)) == "ReleaseStock"


async def test_two_sweepers_move_each_instance_once(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    overdue = [instance(orchestrator) for _ in range(20)]
    async with engine.begin() as connection:
        await store.insert(connection, overdue)
        await make_overdue(connection, *overdue)
    sweepers = [Sweeping(engine, orchestrator, lot=7) for _ in range(3)]
    runs = [asyncio.create_task(each.sweeper.run()) for each in sweepers]
    async with asyncio.timeout(10):
        while sum(len(each.moved) for each in sweepers) < len(overdue):
            await asyncio.sleep(0.01)
    for each in sweepers:
        each.sweeper.stop()
    await asyncio.gather(*runs)
    async with engine.connect() as connection:
        revisions = (await connection.scalars(select(SAGAS.c.revision))).all()
        ids = (await connection.scalars(select(TABLES.outbox.c.id))).all()
    assert revisions == [1] * len(overdue)
    assert len(ids) == len(overdue)


async def test_a_failure_while_sweeping_moves_nothing_and_the_sweeper_goes_on(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    overdue = instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [overdue])
        await make_overdue(connection, overdue)
    failures = ["first", "second"]
    done = asyncio.Event()

    async def follow_up(connection: AsyncConnection, instances: Sequence[Instance]) -> None:
        if failures and instances:
            raise ConnectionError(failures.pop())
        if instances:
            done.set()

    outbox = Outbox(engine, TABLES, lambda rows: None)
    sweeper = DeadlineSweeper(orchestrator, outbox, follow_up, interval_seconds=0.01)
    running = asyncio.create_task(sweeper.run())
    await asyncio.wait_for(done.wait(), timeout=10)
    sweeper.stop()
    await running
    async with engine.connect() as connection:
        (found,) = await store.find(connection, overdue.id)
        assert found.revision == overdue.revision + 1
        assert len((await connection.execute(select(TABLES.outbox))).all()) == 1


async def test_an_instance_of_a_version_unknown_here_holds_up_nobody(
    engine: AsyncEngine, store: SagaStore, orchestrator: Orchestrator
) -> None:
    newer = instance(orchestrator, toy(version=2))
    known = instance(orchestrator)
    async with engine.begin() as connection:
        await store.insert(connection, [newer, known])
        await make_overdue(connection, newer, known)
    sweeping = Sweeping(engine, orchestrator)
    assert await sweeping.sweeper.sweep() == 2
    assert [each.subject for each in sweeping.committed] == [known.id]
    async with engine.connect() as connection:
        (found,) = await store.find(connection, newer.id)
        assert (found.status, found.version) == (Status.RUNNING, 2)
    assert await sweeping.sweeper.sweep() == 0


async def test_a_repeated_reply_sends_the_same_message_ids(
    engine: AsyncEngine, orchestrator: Orchestrator
) -> None:
    begun = instance(orchestrator)
    reply = ItemsRestocked(order_id=begun.id)
    message = Sender("catalog").envelope(
        reply, cause="c", subject=begun.id, correlation_id=begun.id
    )
    twice = [
        orchestrator.envelopes(orchestrator.on_reply(begun, message, reply), message.id)
        for _ in range(2)
    ]
    assert twice[0][0].id == twice[1][0].id
    assert twice[0][0].causation_id == message.id
    assert twice[0][0].dataschema == MESSAGES["StockReleased"].dataschema
