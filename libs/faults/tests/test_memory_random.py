"""Random statements of several transactions, on the database in memory and on PostgreSQL at once:
the same answers, the same errors, the same waiting, the same rows in the end.
"""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import (
    CheckConstraint,
    Column,
    Integer,
    MetaData,
    Table,
    Text,
    case,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from batching import BulkInsert, BulkUpdate
from faults.gate import OpenGate
from faults.memory.database import MemoryDatabase

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tag", Text, unique=True),
    Column("count", Integer, nullable=False, server_default="1"),
    CheckConstraint("count >= 0 AND (tag IS NULL OR count <> 5)", name="things_count"),
)
PARTS = Table(
    "parts",
    METADATA,
    Column("thing_id", Integer, primary_key=True),
    Column("name", Text, primary_key=True),
    Column("weight", Integer),
)
CONNECTIONS = 3
# A statement that waits for longer waits for another transaction of the same run.
PATIENCE_SECONDS = 0.06
BLOCKED = "blocked"
# lock_not_available and deadlock_detected: memory sees at once that a wait would never end.
_WAITED = frozenset({"55P03", "40P01"})


@dataclass(frozen=True)
class Step:
    """What one connection does next."""

    connection: int
    name: str
    arguments: tuple[Any, ...] = ()


ids = st.integers(1, 4)
tags = st.sampled_from(["a", "b", None])
numbers = st.integers(0, 6)
names = st.sampled_from(["x", "y"])
T, P = THINGS.c, PARTS.c
_insert_many = BulkInsert(THINGS, ["id", "tag"], skip_existing=True, returning="id")
_insert_parts = BulkInsert(PARTS, ["thing_id", "name", "weight"])
_guarded = BulkUpdate(PARTS, key=["thing_id", "name"], columns=["weight"], guard="weight")


def _upsert(number: int, tag: str | None, count: int, target: str) -> Any:
    statement = upsert(THINGS).values(id=number, tag=tag, count=count)
    return statement.on_conflict_do_update(
        index_elements=[target],
        set_={"count": T.count + statement.excluded.count},
        where=T.count < 4,
    ).returning(T.id, T.count)


# Of statements that may fail none takes several rows: which comes first is left open by SQL.
STATEMENTS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "insert": (
        lambda i, tag, n: insert(THINGS).values(id=i, tag=tag, count=n).returning(T.id),
        (ids, tags, numbers),
    ),
    "insert or skip": (
        lambda i, tag: upsert(THINGS).values(id=i, tag=tag).on_conflict_do_nothing(),
        (ids, tags),
    ),
    "insert or update": (lambda i, tag, n: _upsert(i, tag, n, "id"), (ids, tags, numbers)),
    "insert or update by tag": (lambda i, tag, n: _upsert(i, tag, n, "tag"), (ids, tags, numbers)),
    "update": (
        lambda i, n: (
            update(THINGS).where(T.id == i).values(count=T.count + n - 3).returning(THINGS)
        ),
        (ids, numbers),
    ),
    "retag": (lambda i, tag: update(THINGS).where(T.id == i).values(tag=tag), (ids, tags)),
    "update all": (
        lambda n: (
            update(THINGS)
            .where(T.count < n, T.tag.is_(None))
            .values(count=case((T.count > 2, T.count), else_=T.count * 2))
        ),
        (numbers,),
    ),
    "update from": (
        lambda n: (
            update(PARTS)
            .where(P.thing_id == T.id, T.count > n)
            .values(weight=func.coalesce(P.weight, 0) + T.count)
        ),
        (numbers,),
    ),
    "delete": (lambda i: delete(THINGS).where(T.id == i).returning(T.count), (ids,)),
    "delete some": (
        lambda n: delete(THINGS).where(
            T.id.in_(select(T.id).where(T.count >= n).with_for_update(skip_locked=True))
        ),
        (numbers,),
    ),
    "lock": (
        lambda i, n: select(T.id, T.count).where(T.id == i, T.count >= n).with_for_update(),
        (ids, numbers),
    ),
    "lock a lot": (
        lambda n: (
            select(T.id).order_by(T.count.desc(), T.id).limit(n).with_for_update(skip_locked=True)
        ),
        (numbers,),
    ),
    "lock of a join": (
        lambda n: (
            select(T.id, P.name)
            .join_from(PARTS, THINGS, T.id == P.thing_id)
            .where(T.count >= n)
            .with_for_update(of=PARTS, skip_locked=True)
        ),
        (numbers,),
    ),
    "read": (
        lambda n, tag: select(THINGS).where(
            or_(T.count != n, ~T.tag.in_(["a", "c"]), T.tag == tag, T.tag.is_(None))
        ),
        (numbers, tags),
    ),
    "page": (
        lambda n, i: (
            select(T.id, T.tag)
            .where(tuple_(T.count, T.id) > (n, i))
            .order_by(T.tag.desc(), T.count, T.id)
            .limit(2)
        ),
        (numbers, ids),
    ),
    "count": (
        lambda n: select(
            T.count,
            func.count(),
            func.count(T.tag),
            func.sum(T.id),
            func.max(T.tag),
            func.count().filter(T.id > n),
        ).group_by(T.count),
        (numbers,),
    ),
    "totals": (lambda: select(func.sum(T.count), func.min(T.id), func.count()), ()),
    "outer join": (
        lambda n: (
            select(T.id, P.name, P.weight)
            .select_from(THINGS)
            .outerjoin(PARTS, (P.thing_id == T.id) & (P.weight > n))
        ),
        (numbers,),
    ),
    "outer join of one": (
        lambda i: (
            select(T.id, P.name)
            .select_from(THINGS)
            .outerjoin(PARTS, P.weight == T.count)
            .where(P.thing_id == i)
        ),
        (ids,),
    ),
    "above average": (
        lambda: select(T.id).where(
            T.count >= select(func.max(T.count)).where(T.tag.is_(None)).scalar_subquery()
        ),
        (),
    ),
    "insert part": (
        lambda i, name, n: insert(PARTS).values(thing_id=i, name=name, weight=n),
        (ids, names, numbers),
    ),
    "insert parts of things": (
        lambda name, n: (
            upsert(PARTS)
            .from_select(
                ["thing_id", "name", "weight"],
                select(T.id, func.coalesce(T.tag, name), T.count).where(T.count > n).order_by(T.id),
            )
            .on_conflict_do_nothing()
        ),
        (names, numbers),
    ),
}
BULKS: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "bulk insert": (
        lambda c, rows: _insert_many(c, [{"id": i, "tag": tag} for i, tag in rows]),
        (st.lists(st.tuples(ids, tags), max_size=3),),
    ),
    "bulk insert of parts": (
        lambda c, i, name: _insert_parts(c, [{"thing_id": i, "name": name, "weight": None}]),
        (ids, names),
    ),
    "bulk update": (
        lambda c, i, name, n: _guarded(
            c, [{"thing_id": i, "name": name, "weight": n + 1, "expected_weight": n}]
        ),
        (ids, names, numbers),
    ),
}
step = st.one_of(
    *(
        st.builds(Step, st.integers(0, CONNECTIONS - 1), st.just(name), st.tuples(*arguments))
        for name, (_, arguments) in [*STATEMENTS.items(), *BULKS.items()]
    ),
    *(
        st.builds(Step, st.integers(0, CONNECTIONS - 1), st.just(end))
        for end in ("commit", "commit", "rollback")
    ),
)


class Run:
    """One database's connections, and what became of each step."""

    def __init__(self, engine: AsyncEngine, stack: AsyncExitStack) -> None:
        self._engine = engine
        self._stack = stack
        self.connections: list[Any] = []

    async def open(self) -> None:
        async with self._engine.begin() as connection:
            await connection.execute(delete(THINGS))
            await connection.execute(delete(PARTS))
            for number, tag in ((1, "a"), (2, None), (3, None)):
                await connection.execute(insert(THINGS).values(id=number, tag=tag, count=number))
            await connection.execute(insert(PARTS).values(thing_id=1, name="x", weight=2))
            await connection.execute(insert(PARTS).values(thing_id=2, name="y"))
        for _ in range(CONNECTIONS):
            connection = await self._stack.enter_async_context(self._engine.connect())
            self.connections.append(connection)

    async def take(self, each: Step) -> Any:
        """The step's answer in a comparable form; the SQLSTATE where it fails."""
        connection = self.connections[each.connection]
        try:
            if each.name in ("commit", "rollback"):
                return await getattr(connection, each.name)()
            if each.name in BULKS:
                return sorted(await BULKS[each.name][0](connection, *each.arguments))
            result = await connection.execute(STATEMENTS[each.name][0](*each.arguments))
            rows = [tuple(row) for row in result] if result.returns_rows else []
        except DBAPIError as error:
            await connection.rollback()
            state = getattr(error.orig, "sqlstate", None)
            return BLOCKED if state in _WAITED else state
        if each.name != "page":
            rows.sort(key=lambda row: [(value is None, str(value)) for value in row])
        return result.rowcount if not result.returns_rows else rows

    async def take_if_free(self, each: Step) -> Any:
        """As `take`, for a database that waits without end."""
        task = asyncio.create_task(self.take(each))
        for _ in range(10):
            await asyncio.sleep(0)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await self.connections[each.connection].rollback()
        return BLOCKED

    async def rows(self) -> list[Any]:
        for connection in self.connections:
            await connection.commit()
        async with self._engine.connect() as connection:
            return [
                sorted(map(tuple, (await connection.execute(select(table))).all()), key=str)
                for table in (THINGS, PARTS)
            ]


@pytest.fixture(scope="module")
def memory() -> AsyncEngine:
    database: Any = MemoryDatabase(METADATA, now=lambda: datetime.now(UTC)).engine(OpenGate())
    return database  # type: ignore[no-any-return]


@pytest.fixture
async def postgres(new_database: Any) -> AsyncEngine:
    engine: AsyncEngine = await new_database(METADATA)

    def lose_patience(connection: Any, _: Any) -> None:
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = '{PATIENCE_SECONDS * 1000:.0f}ms'")
        cursor.close()
        connection.commit()

    event.listen(engine.sync_engine, "connect", lose_patience)
    await engine.dispose()  # Connections that were made before.
    return engine


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(steps=st.lists(step, min_size=5, max_size=25))
async def test_any_statements_give_the_same_answers_and_leave_the_same_rows(
    memory: AsyncEngine, postgres: AsyncEngine, steps: list[Step]
) -> None:
    async with AsyncExitStack() as stack:
        here, there = Run(memory, stack), Run(postgres, stack)
        await here.open()
        await there.open()
        for each in steps:
            answer = await here.take_if_free(each)
            assert await there.take(each) == answer, each
        assert await here.rows() == await there.rows()
