"""Locks, waiting, visibility and constraints: the same claims of the database in memory and of
PostgreSQL.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    DateTime,
    Integer,
    MetaData,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import transaction

METADATA = MetaData()
NOTES = Table(
    "notes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tag", Text, unique=True),
    Column("count", Integer, nullable=False, server_default="0"),
    Column("body", JSONB),
    Column("at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("count >= 0", name="notes_count_not_negative"),
)
LINKS = Table(
    "links",
    METADATA,
    Column("note_id", Integer, primary_key=True),
    Column("target", Integer, primary_key=True),
)
# Long enough for a statement to come to a lock, or through where there is none.
MOMENT_SECONDS = 0.15

Work = Callable[[AsyncConnection], Awaitable[Any]]


@pytest.fixture
async def engine(either_database: Any) -> AsyncEngine:
    made: AsyncEngine = await either_database(METADATA)
    async with made.begin() as connection:
        for number in (1, 2):
            await connection.execute(insert(NOTES).values(id=number, tag=f"tag {number}"))
    return made


@pytest.fixture
def autocommit(engine: AsyncEngine) -> AsyncEngine:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


async def counts(engine: AsyncEngine) -> dict[int, int]:
    async with engine.connect() as connection:
        rows = await connection.execute(select(NOTES.c.id, NOTES.c.count))
        return {row[0]: row[1] for row in rows}


def in_transaction(engine: AsyncEngine, *statements: Any) -> asyncio.Task[list[Any]]:
    """Run statements in a transaction of their own, meanwhile; the row counts."""

    async def work() -> list[Any]:
        async with engine.begin() as connection:
            return [(await connection.execute(each)).rowcount for each in statements]

    return asyncio.create_task(work())


async def waits(task: asyncio.Task[Any]) -> bool:
    await asyncio.sleep(MOMENT_SECONDS)
    return not task.done()


async def outcome(work: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> str | None:
    """The SQLSTATE with which it failed; None if it did not."""
    try:
        await work
    except DBAPIError as error:
        return str(getattr(error.orig, "sqlstate", None))
    return None


def bump(number: int) -> Any:
    return update(NOTES).where(NOTES.c.id == number).values(count=NOTES.c.count + 1)


def lock(number: int) -> Any:
    return select(NOTES.c.id, NOTES.c.count).where(NOTES.c.id == number).with_for_update()


async def test_a_locked_row_is_waited_for_and_changed_in_its_newest_version(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(lock(1))
        waiting = in_transaction(engine, bump(1))
        assert await waits(waiting)
        await holder.execute(update(NOTES).where(NOTES.c.id == 1).values(count=5))
    assert await waiting == [1]
    assert (await counts(engine))[1] == 6


async def test_whoever_waited_judges_the_newest_version(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    guarded = bump(1).where(NOTES.c.count == 0)
    async with transaction(autocommit) as holder:
        await holder.execute(guarded)
        waiting = in_transaction(engine, guarded)
        assert await waits(waiting)
    assert await waiting == [0]
    assert (await counts(engine))[1] == 1


async def test_a_lock_that_was_waited_for_shows_the_newest_version(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async def read() -> Any:
        async with engine.begin() as connection:
            return (await connection.execute(lock(1))).one().count

    async with transaction(autocommit) as holder:
        await holder.execute(bump(1))
        waiting = asyncio.create_task(read())
        assert await waits(waiting)
    assert await waiting == 1


async def test_a_holder_that_rolls_back_leaves_the_row_as_it_was(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    waiting: Any = None

    async def fail() -> None:
        nonlocal waiting
        async with transaction(autocommit) as holder:
            await holder.execute(update(NOTES).where(NOTES.c.id == 1).values(count=70))
            waiting = in_transaction(engine, bump(1))
            assert await waits(waiting)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await waiting == [1]
    assert (await counts(engine))[1] == 1


async def test_a_row_that_was_deleted_meanwhile_is_left_out(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(delete(NOTES).where(NOTES.c.id == 1))
        waiting = in_transaction(engine, update(NOTES).values(count=NOTES.c.count + 1))
        assert await waits(waiting)
    assert await waiting == [1]
    assert await counts(engine) == {2: 1}


async def test_a_statement_that_waited_changes_no_row_that_came_meanwhile(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(bump(1))
        waiting = in_transaction(engine, update(NOTES).values(count=NOTES.c.count + 10))
        assert await waits(waiting)
        await holder.execute(insert(NOTES).values(id=3))
    assert await waiting == [2]
    assert await counts(engine) == {1: 11, 2: 10, 3: 0}


async def test_a_row_that_is_deleted_and_inserted_anew_is_another_row(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(delete(NOTES).where(NOTES.c.id == 1))
        await holder.execute(insert(NOTES).values(id=1, tag="tag 1", count=5))
        waiting = in_transaction(engine, bump(1))
        assert await waits(waiting)
    assert await waiting == [0]
    assert (await counts(engine))[1] == 5
    assert await in_transaction(engine, bump(1)) == [1]


async def test_a_row_that_would_break_a_constraint_is_refused_before_it_is_waited_for(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    lower = update(NOTES).where(NOTES.c.id == 1).values(count=NOTES.c.count - 1)
    async with transaction(autocommit) as holder:
        await holder.execute(bump(1))
        assert await outcome(in_transaction(engine, lower)) == "23514"
    assert await outcome(in_transaction(engine, lower)) is None


async def test_waiters_get_the_row_in_the_order_of_their_arrival(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    got: list[int] = []

    async def work(number: int) -> None:
        async with engine.begin() as connection:
            await connection.execute(lock(1))
            got.append(number)
            await asyncio.sleep(0.01)

    async with transaction(autocommit) as holder:
        await holder.execute(lock(1))
        waiting = []
        for number in range(3):
            waiting.append(asyncio.create_task(work(number)))
            assert await waits(waiting[-1])
    await asyncio.gather(*waiting)
    assert got == [0, 1, 2]


async def test_a_waiter_that_is_cancelled_leaves_the_queue(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(bump(1))
        cancelled, other = in_transaction(engine, bump(1)), in_transaction(engine, bump(1))
        assert await waits(cancelled)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
    assert await other == [1]
    assert (await counts(engine))[1] == 2


async def test_skip_locked_leaves_locked_rows_out_and_counts_the_others(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    lot = select(NOTES.c.id).order_by(NOTES.c.id).limit(1).with_for_update(skip_locked=True)
    async with transaction(autocommit) as first, transaction(autocommit) as second:
        assert (await first.execute(lot)).scalar_one() == 1
        assert (await second.execute(lot)).scalar_one() == 2
        async with transaction(autocommit) as third:
            assert (await third.execute(lot)).all() == []
        await first.execute(bump(1))
        await second.execute(bump(2))
    assert await counts(engine) == {1: 1, 2: 1}


async def test_of_a_join_only_the_named_table_is_locked(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    await in_transaction(engine, insert(LINKS).values(note_id=1, target=7))
    joined = (
        select(NOTES.c.id, LINKS.c.target)
        .join_from(LINKS, NOTES, NOTES.c.id == LINKS.c.note_id)
        .with_for_update(of=LINKS, skip_locked=True)
    )
    async with transaction(autocommit) as first, transaction(autocommit) as second:
        assert [tuple(row) for row in await first.execute(joined)] == [(1, 7)]
        assert (await second.execute(joined)).all() == []
        await second.execute(bump(1))


async def test_a_key_that_an_open_transaction_inserted_is_waited_for(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(insert(NOTES).values(id=3))
        waiting = in_transaction(engine, insert(NOTES).values(id=3))
        assert await waits(waiting)
    assert await outcome(waiting) == "23505"


@pytest.mark.parametrize("statement", [insert(NOTES), upsert(NOTES).on_conflict_do_nothing()])
async def test_a_key_whose_transaction_rolls_back_is_free(
    engine: AsyncEngine, autocommit: AsyncEngine, statement: Any
) -> None:
    waiting: Any = None

    async def fail() -> None:
        nonlocal waiting
        async with transaction(autocommit) as holder:
            await holder.execute(insert(NOTES).values(id=3, count=1))
            waiting = in_transaction(engine, statement.values(id=3, count=2))
            assert await waits(waiting)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await waiting == [1]
    assert (await counts(engine))[3] == 2


async def test_on_conflict_do_nothing_waits_for_the_others_end_and_then_sees_it(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(insert(NOTES).values(id=3, count=1))
        statement = upsert(NOTES).values(id=3, count=2).on_conflict_do_nothing()
        waiting = in_transaction(engine, statement)
        assert await waits(waiting)
    assert await waiting == [0]
    assert (await counts(engine))[3] == 1


async def test_a_row_that_is_only_locked_or_changed_keeps_its_key(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    """PostgreSQL waits where the row may be gone with the holder's commit, and not for a lock."""
    statement = upsert(NOTES).values(id=1).on_conflict_do_nothing()
    async with transaction(autocommit) as holder:
        await holder.execute(lock(1))
        assert await in_transaction(engine, statement) == [0]
        await holder.execute(bump(1))
        waiting = in_transaction(engine, statement)
        assert await waits(waiting)
    assert await waiting == [0]


async def test_on_conflict_do_update_changes_the_newest_version_if_it_fulfils_the_condition(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    statement = upsert(NOTES).values(id=3, count=1)
    statement = statement.on_conflict_do_update(
        index_elements=["id"],
        set_={"count": NOTES.c.count + statement.excluded.count},
        where=NOTES.c.count < 3,
    )
    async with transaction(autocommit) as holder:
        await holder.execute(statement)
        waiting = [in_transaction(engine, statement) for _ in range(3)]
        assert await waits(waiting[0])
    assert sorted(n for (n,) in await asyncio.gather(*waiting)) == [0, 1, 1]
    assert (await counts(engine))[3] == 3


async def test_a_row_whose_condition_fails_on_conflict_stays_locked(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    statement = upsert(NOTES).values(id=1)
    statement = statement.on_conflict_do_update(
        index_elements=["id"], set_={"count": 9}, where=NOTES.c.count > 3
    )
    async with transaction(autocommit) as holder:
        assert (await holder.execute(statement.returning(NOTES.c.id))).all() == []
        waiting = in_transaction(engine, bump(1))
        assert await waits(waiting)
    assert await waiting == [1]


async def test_a_unique_value_that_moves_is_waited_for(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    def tag(number: int, value: str | None) -> Any:
        return update(NOTES).where(NOTES.c.id == number).values(tag=value)

    async with transaction(autocommit) as holder:
        await holder.execute(tag(1, None))
        waiting = in_transaction(engine, tag(2, "tag 1"))
        assert await waits(waiting)
    assert await waiting == [1]
    assert await outcome(in_transaction(engine, tag(1, "tag 1"))) == "23505"
    assert await outcome(in_transaction(engine, tag(1, "tag 2"))) is None
    assert (
        await outcome(in_transaction(engine, tag(2, None), tag(1, None), tag(2, "tag 1"))) is None
    )


async def test_a_unique_value_that_was_taken_for_a_moment_is_free(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    first = update(NOTES).where(NOTES.c.id == 1)
    await in_transaction(engine, first.values(tag="passing"), first.values(tag="last"))
    async with transaction(autocommit) as holder:
        await holder.execute(bump(1))
        assert await in_transaction(engine, insert(NOTES).values(id=3, tag="passing")) == [1]


async def test_a_statement_must_not_update_on_conflict_what_it_has_just_written(
    engine: AsyncEngine,
) -> None:
    statement = upsert(NOTES).values([{"id": 3, "count": 1}, {"id": 3, "count": 2}])
    statement = statement.on_conflict_do_update(index_elements=["id"], set_={"count": 7})
    assert await outcome(in_transaction(engine, statement)) == "21000"
    assert await counts(engine) == {1: 0, 2: 0}


async def test_a_deadlock_ends_one_of_the_circle(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    reached = [asyncio.Event(), asyncio.Event()]

    async def work(mine: int, others: int) -> None:
        async with transaction(autocommit) as connection:
            await connection.execute(bump(mine))
            reached[mine - 1].set()
            await reached[others - 1].wait()
            await connection.execute(bump(others))

    results = await asyncio.gather(outcome(work(1, 2)), outcome(work(2, 1)))
    assert sorted(results, key=str) == ["40P01", None]
    assert await counts(engine) == {1: 1, 2: 1}


async def test_open_inserts_of_each_others_keys_are_a_deadlock(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    reached = [asyncio.Event(), asyncio.Event()]
    skipping = upsert(NOTES).on_conflict_do_nothing()

    async def work(mine: int, others: int) -> None:
        async with transaction(autocommit) as connection:
            await connection.execute(skipping.values(id=10 + mine))
            reached[mine].set()
            await reached[others].wait()
            await connection.execute(skipping.values(id=10 + others))

    results = await asyncio.gather(outcome(work(0, 1)), outcome(work(1, 0)))
    assert sorted(results, key=str) == ["40P01", None]
    assert set(await counts(engine)) == {1, 2, 10, 11}


async def test_others_see_all_of_a_commit_and_nothing_before(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as holder:
        await holder.execute(update(NOTES).values(count=4))
        await holder.execute(insert(NOTES).values(id=3))
        await holder.execute(delete(NOTES).where(NOTES.c.id == 2))
        assert await counts(engine) == {1: 0, 2: 0}
        own = await holder.execute(select(NOTES.c.id, NOTES.c.count).order_by(NOTES.c.id))
        assert [tuple(row) for row in own] == [(1, 4), (3, 0)]
    assert await counts(engine) == {1: 4, 3: 0}


async def test_a_transaction_sees_what_others_commit_meanwhile(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    of_first = select(NOTES.c.count).where(NOTES.c.id == 1)
    async with transaction(autocommit) as reader:
        assert (await reader.execute(of_first)).scalar_one() == 0
        await in_transaction(engine, bump(1))
        assert (await reader.execute(of_first)).scalar_one() == 1


async def test_a_rollback_undoes_everything(engine: AsyncEngine) -> None:
    async def fail() -> None:
        async with engine.begin() as connection:
            await connection.execute(update(NOTES).values(count=4, tag=None))
            await connection.execute(delete(NOTES).where(NOTES.c.id == 2))
            await connection.execute(insert(NOTES).values(id=2, tag="tag 1"))
            await connection.execute(insert(NOTES).values(id=3, tag="tag 2"))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert await counts(engine) == {1: 0, 2: 0}
    assert await outcome(in_transaction(engine, insert(NOTES).values(id=3, tag="tag 2"))) == "23505"
    assert await outcome(in_transaction(engine, insert(NOTES).values(id=3, tag="tag 3"))) is None


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        (insert(NOTES).values(id=1), "23505"),
        (insert(NOTES).values(id=3, tag="tag 1"), "23505"),
        (insert(NOTES).values(id=3, count=-1), "23514"),
        (update(NOTES).where(NOTES.c.id == 1).values(count=NOTES.c.count - 1), "23514"),
        (insert(NOTES).values(id=3, at=None), "23502"),
        (upsert(NOTES).values(id=1, count=-1).on_conflict_do_nothing(), "23514"),
    ],
)
async def test_a_row_that_breaks_a_constraint_is_refused(
    engine: AsyncEngine, autocommit: AsyncEngine, statement: Any, state: str
) -> None:
    async with autocommit.connect() as connection:
        with pytest.raises(IntegrityError) as caught:
            await connection.execute(statement)
    assert caught.value.orig is not None
    assert getattr(caught.value.orig, "sqlstate", None) == state
    assert await counts(engine) == {1: 0, 2: 0}


async def test_after_an_error_a_transaction_takes_no_statement_and_commits_nothing(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.execute(bump(2))
        assert await outcome(connection.execute(insert(NOTES).values(id=1))) == "23505"
        assert await outcome(connection.execute(bump(1))) == "25P02"
    assert await counts(engine) == {1: 0, 2: 0}


async def test_now_stands_still_within_a_transaction(
    engine: AsyncEngine, autocommit: AsyncEngine
) -> None:
    async with transaction(autocommit) as connection:
        before = (await connection.execute(select(func.now()))).scalar_one()
        await asyncio.sleep(0.01)
        await connection.execute(insert(NOTES).values(id=3))
        assert (await connection.execute(select(func.now()))).scalar_one() == before
        at = select(NOTES.c.at).where(NOTES.c.id == 3)
        assert (await connection.execute(at)).scalar_one() == before
    async with autocommit.connect() as connection:
        first = (await connection.execute(select(func.now()))).scalar_one()
        await asyncio.sleep(0.01)
        assert (await connection.execute(select(func.now()))).scalar_one() > first > before


async def test_nothing_that_was_passed_in_or_read_is_the_stored_value(engine: AsyncEngine) -> None:
    body: dict[str, Any] = {"lines": [{"n": 1}]}
    read = select(NOTES.c.body).where(NOTES.c.id == 3)
    async with engine.begin() as connection:
        await connection.execute(insert(NOTES).values(id=3, body=body))
        body["lines"].append("later")
        found = (await connection.execute(read)).scalar_one()
        assert found == {"lines": [{"n": 1}]}
        found["lines"].clear()
        assert (await connection.execute(read)).scalar_one() == {"lines": [{"n": 1}]}


async def test_statements_that_change_the_same_row_twice_change_it_once(
    engine: AsyncEngine,
) -> None:
    await in_transaction(
        engine, *(insert(LINKS).values(note_id=1, target=target) for target in (7, 8))
    )
    joined = update(NOTES).where(NOTES.c.id == LINKS.c.note_id).values(count=NOTES.c.count + 1)
    assert await in_transaction(engine, joined) == [1]
    assert await counts(engine) == {1: 1, 2: 0}
