"""The short way to PostgreSQL against SQLAlchemy's own, and what becomes of broken connections."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    Column,
    DateTime,
    Float,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import BulkInsert, Prepared, transaction

METADATA = MetaData()
NOTES = Table(
    "notes",
    METADATA,
    Column("id", UUID(as_uuid=False), primary_key=True),
    Column("body", JSONB),
    Column("weight", Float),
    Column("at", DateTime(timezone=True)),
    Column("lines", Integer, server_default="1"),
    Column("tag", Text),
)
_add = BulkInsert(NOTES, ["id", "body", "weight", "at", "tag"])
_of_ids = (
    select(NOTES, func.now().label("now"))
    .where(NOTES.c.id == func.any(bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))))
    .where(NOTES.c.lines > 0)
    .order_by(NOTES.c.id)
)


@pytest.fixture
async def engine(new_database: Any) -> AsyncEngine:
    made: AsyncEngine = await new_database(METADATA)
    return made.execution_options(isolation_level="AUTOCOMMIT")


def note(tag: str = "plain") -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "body": {"ü": [1, None, {"b": "本"}]},
        "weight": 0.5,
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "tag": tag,
    }


async def tags(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        return list(await connection.scalars(select(NOTES.c.tag).order_by(NOTES.c.tag)))


async def pid(connection: AsyncConnection) -> int:
    return int((await connection.execute(select(func.pg_backend_pid()))).scalar_one())


async def end_backend(engine: AsyncEngine, backend: int) -> None:
    async with engine.connect() as other:
        await other.execute(select(func.pg_terminate_backend(backend, 5000)))


@asynccontextmanager
async def nothing_in_use(engine: AsyncEngine) -> AsyncIterator[None]:
    yield
    assert engine.sync_engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_a_prepared_statement_answers_as_sqlalchemy_does(engine: AsyncEngine) -> None:
    rows = [note(), {**note(), "body": None, "weight": None, "at": None, "tag": None}]
    heard: list[str] = []
    async with transaction(engine) as connection:
        await _add(connection, rows)
        ids = {"ids": [row["id"] for row in rows]}
        straight = await Prepared(_of_ids)(connection, ids)
        expected = (await connection.execute(_of_ids, ids)).all()
        event.listen(engine.sync_engine, "before_cursor_execute", lambda *a: heard.append(a[2]))
        listened_to = await Prepared(_of_ids)(connection, ids)
    assert [tuple(row) for row in straight] == [tuple(row) for row in expected]
    assert [tuple(row) for row in listened_to] == [tuple(row) for row in expected]
    assert straight[0].id == expected[0].id
    assert isinstance(straight[0].id, str)
    assert any("FROM notes" in statement for statement in heard)


async def test_statements_join_whatever_transaction_is_open(new_database: Any) -> None:
    engine = await new_database(METADATA)  # Without autocommit: SQLAlchemy begins and ends.

    async def fail() -> None:
        async with engine.begin() as connection:
            await _add(connection, [note()])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with engine.begin() as connection:
        await _add(connection, [note("kept")])
    assert await tags(engine) == ["kept"]


async def test_an_error_rolls_back_everything(engine: AsyncEngine) -> None:
    async with nothing_in_use(engine):

        async def fail() -> None:
            async with transaction(engine) as connection:
                await _add(connection, [note("straight")])
                await connection.execute(insert(NOTES).values(note("through SQLAlchemy")))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
    assert await tags(engine) == []


async def test_a_broken_constraint_is_an_integrity_error(engine: AsyncEngine) -> None:
    row = note()
    with pytest.raises(IntegrityError) as caught:
        async with transaction(engine) as connection:
            await _add(connection, [row, row])
    assert "本" not in str(caught.value)  # Parameters stay out of texts and logs.
    assert await tags(engine) == []


async def test_a_list_of_unknown_length_in_the_text_is_refused(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        with pytest.raises(TypeError, match="ANY"):
            await Prepared(select(NOTES).where(NOTES.c.tag.in_(["a", "b"])))(connection)


async def test_a_lost_connection_is_discarded_and_said_to_be_lost(engine: AsyncEngine) -> None:
    async with nothing_in_use(engine):

        async def fail() -> None:
            async with transaction(engine) as connection:
                await _add(connection, [note("lost")])
                await end_backend(engine, await pid(connection))
                await _add(connection, [note("lost")])

        with pytest.raises(DBAPIError) as caught:
            await fail()
        assert caught.value.connection_invalidated
    async with transaction(engine) as connection:  # From a pool with live connections only.
        await _add(connection, [note("next")])
    assert await tags(engine) == ["next"]


async def test_a_commit_without_an_answer_is_an_error_of_a_lost_connection(
    engine: AsyncEngine,
) -> None:
    async def fail() -> None:
        async with transaction(engine) as connection:
            await _add(connection, [note("lost")])
            await end_backend(engine, await pid(connection))

    with pytest.raises(DBAPIError) as caught:
        await fail()
    assert caught.value.connection_invalidated
    assert await tags(engine) == []


async def test_a_cancelled_transaction_leaves_no_trace_and_no_poisoned_connection(
    engine: AsyncEngine,
) -> None:
    started = asyncio.Event()

    async def work() -> None:
        async with transaction(engine) as connection:
            await _add(connection, [note("cancelled")])
            started.set()
            await connection.execute(text("SELECT pg_sleep(60)"))

    async with nothing_in_use(engine):
        task = asyncio.create_task(work())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    for _ in range(8):  # As many as the pool holds.
        async with transaction(engine) as connection:
            await _add(connection, [note("after")])
    assert await tags(engine) == ["after"] * 8


async def test_a_commit_that_a_constraint_refuses_is_no_lost_connection(
    engine: AsyncEngine,
) -> None:
    async with engine.connect() as connection:
        await connection.execute(
            text("ALTER TABLE notes ADD CONSTRAINT tags UNIQUE (tag) DEFERRABLE INITIALLY DEFERRED")
        )

    async def fail() -> None:
        async with transaction(engine) as connection:
            await _add(connection, [note("twice"), note("twice")])

    with pytest.raises(IntegrityError) as caught:
        await fail()
    assert not caught.value.connection_invalidated
    assert await tags(engine) == []


async def test_a_value_that_the_statement_brings_may_be_null(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await _add(connection, [note("gone")])
        await Prepared(update(NOTES).values(tag=None))(connection)
    assert await tags(engine) == [None]


async def test_whatever_a_terminated_backend_says_it_is_a_lost_connection(
    engine: AsyncEngine,
) -> None:
    """asyncpg has several words for it, depending on how far the bad news has come."""

    async def work(victims: set[int]) -> list[DBAPIError]:
        lost = []
        for _ in range(20):
            try:
                async with transaction(engine) as connection:
                    victims.add(await pid(connection))
                    await _add(connection, [note()])
                    await _add(connection, [note()])
            except DBAPIError as error:
                lost.append(error)
        return lost

    victims: set[int] = set()
    working = asyncio.gather(*(work(victims) for _ in range(6)))
    async with engine.connect() as other:
        while not working.done():
            if victims:
                await other.execute(select(func.pg_terminate_backend(victims.pop())))
            await asyncio.sleep(0)
    lost = [error for each in await working for error in each]
    assert lost
    assert all(error.connection_invalidated for error in lost)
