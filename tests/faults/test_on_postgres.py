"""The fault runs on PostgreSQL: what becomes of a plan there is what becomes of it in memory."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError

from batching import Prepared, transaction
from bookstore_world.course import Course
from bookstore_world.sagas import COURSES
from faults.gate import OpenGate, ProcessDead
from faults.loop import VirtualLoop, run_virtually
from faults.plan import Plan
from faults.postgres.database import Postgres, connected
from stack import EmbeddedServers

ALONE = [course for course in COURSES if course.name.endswith("/alone")]
SINGLES = """
confirmed/alone order-web:commit(ReserveStock):crash_after
confirmed/alone catalog-worker:commit(ReserveStock):error_after
confirmed/alone order-worker:commit(StockReserved):pause_before
confirmed/alone payment-worker:commit(AuthorizePayment):crash_before
confirmed/alone catalog-worker:put_events(StockReserved):duplicate
declined/alone payment-worker:commit(AuthorizePayment):error_before
declined/alone order-worker:commit(PaymentDeclined):crash_after
declined/alone catalog-worker:put_events(StockReleased):late
out-of-stock/alone catalog-worker:commit(ReserveStock):pause_after
out-of-stock/alone order-worker:commit(StockUnavailable):error_after
cancelled/alone order-web:commit(RefundPayment):crash_before
cancelled/alone catalog-worker:commit(RestockItems):crash_after
""".strip().splitlines()

METADATA = MetaData()
NOTES = Table(
    "notes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("body", Text),
    Column("made_at", DateTime(timezone=True), server_default=func.now()),
)
LOCK = Prepared(select(NOTES).where(NOTES.c.id == 1).with_for_update())
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def postgres(servers: EmbeddedServers) -> Iterator[Postgres]:
    postgres = connected(servers.postgres_url("scratch"))
    yield postgres
    postgres.close()
    connected.cache_clear()


def course(name: str) -> Course:
    return next(each for each in ALONE if each.name == name)


@pytest.mark.parametrize("name", [each.name for each in ALONE])
def test_undisturbed_run_is_the_same_operation_by_operation(
    name: str, postgres: Postgres, servers: EmbeddedServers
) -> None:
    on_postgres = course(name).on_postgres(servers.postgres_url("scratch"))

    expected = course(name).run(Plan(), 0, keep_trace=True)
    outcome = on_postgres.run(Plan(), 0, keep_trace=True)

    assert outcome.trace == expected.trace
    assert not outcome.violations
    assert outcome.repairer == expected.repairer


def test_plan_is_the_same_run_every_time(postgres: Postgres, servers: EmbeddedServers) -> None:
    # A sweep finds two messages: in which order, no id may decide, since ids are drawn anew.
    plan = Plan.parse("order-worker:put_events(ReconcilePayments+ReconcileStock):error_after")
    declined = next(each for each in COURSES if each.name == "declined")
    on_postgres = declined.on_postgres(servers.postgres_url("scratch"))

    expected = declined.run(plan, 0).trace_hash

    assert {on_postgres.run(plan, 0).trace_hash for _ in range(5)} == {expected}


@pytest.mark.parametrize("line", SINGLES)
def test_fault_comes_to_the_same(line: str, postgres: Postgres, servers: EmbeddedServers) -> None:
    name, _, text = line.partition(" ")
    on_postgres = course(name).on_postgres(servers.postgres_url("scratch"))
    plan = Plan.parse(text)

    expected = course(name).run(plan, 0)
    outcome = on_postgres.run(plan, 0)

    assert outcome.met == expected.met == plan.strikes
    # I8 compares the orders' statuses with what the business wishes for.
    assert not outcome.violations
    assert not expected.violations
    assert outcome.repairer == expected.repairer
    assert outcome.reached == expected.reached


def test_row_that_somebody_holds_is_waited_for_in_virtual_time(postgres: Postgres) -> None:
    async def main(loop: VirtualLoop) -> list[tuple[str, float]]:
        database = postgres.database(METADATA, lambda: NOON)
        await database.execute(insert(NOTES).values(id=1, body=""))
        autocommit: Any = database.engine(OpenGate()).execution_options(
            isolation_level="AUTOCOMMIT"
        )
        taken = []

        async def take(name: str) -> None:
            async with transaction(autocommit) as connection:
                await LOCK(connection)
                taken.append((name, round(loop.time())))
                await asyncio.sleep(60)

        await asyncio.gather(*(take(name) for name in "abc"))
        return taken

    assert run_virtually(main) == [("a", 0), ("b", 60), ("c", 120)]


@pytest.mark.parametrize("is_prepared", [False, True])
def test_killed_process_frees_its_rows_and_waits_no_more(
    postgres: Postgres, is_prepared: bool
) -> None:
    def opened(engine: Any) -> Any:
        if is_prepared:
            return transaction(engine.execution_options(isolation_level="AUTOCOMMIT"))
        return engine.begin()

    async def main(loop: VirtualLoop) -> list[str]:
        database = postgres.database(METADATA, lambda: NOON)
        await database.execute(insert(NOTES).values(id=1, body=""))
        first, second, third = (database.engine(OpenGate()) for _ in range(3))
        heard = []

        async def write(engine: Any, name: str) -> None:
            try:
                async with opened(engine) as connection:
                    if is_prepared:
                        await LOCK(connection)
                    await connection.execute(update(NOTES).values(body=name))
                    await asyncio.sleep(30)
            except ProcessDead:
                heard.append(f"{name} is dead")

        tasks = [
            asyncio.ensure_future(write(engine, name))
            for engine, name in ((first, "a"), (second, "b"), (third, "c"))
        ]
        await asyncio.sleep(1)
        second.abort()  # It waits.
        first.abort()  # It holds the row.
        await asyncio.gather(*tasks)
        return [*sorted(heard), *(row["body"] for row in database.rows(NOTES))]

    assert run_virtually(main) == ["a is dead", "b is dead", "c"]


def test_circle_of_waits_fails_one_of_them(postgres: Postgres) -> None:
    async def main(loop: VirtualLoop) -> list[str]:
        database = postgres.database(METADATA, lambda: NOON)
        await database.execute(insert(NOTES), {"id": 1, "body": ""})
        await database.execute(insert(NOTES), {"id": 2, "body": ""})
        engine = database.engine(OpenGate())
        heard = []

        async def write(*ids: int) -> None:
            try:
                async with engine.begin() as connection:
                    for each in ids:
                        await connection.execute(
                            update(NOTES).values(body="x").where(NOTES.c.id == each)
                        )
                        await asyncio.sleep(1)
            except DBAPIError as error:
                heard.append(str(getattr(error.orig, "sqlstate", "")))

        await asyncio.gather(write(1, 2), write(2, 1))
        return heard

    assert run_virtually(main) == ["40P01"]


def test_server_tells_the_worlds_time_and_each_run_begins_empty(postgres: Postgres) -> None:
    async def main(loop: VirtualLoop) -> list[Any]:
        database = postgres.database(METADATA, lambda: NOON + timedelta(seconds=loop.time()))
        assert list(database.rows(NOTES)) == []
        await asyncio.sleep(3600)
        await database.execute(insert(NOTES).values(id=1))
        return [round((row["made_at"] - NOON).total_seconds()) for row in database.rows(NOTES)]

    assert run_virtually(main) == [3600]
    assert run_virtually(main) == [3600]
