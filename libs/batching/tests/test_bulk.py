"""Set-based SQL against the same rows written one by one, on a real PostgreSQL."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Float,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    event,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import BulkInsert, BulkUpdate

METADATA = MetaData()
COLUMNS = ["id", "kind", "title", "price", "weight", "sold", "at", "tags"]


def things(name: str) -> Table:
    return Table(
        name,
        METADATA,
        Column("id", UUID(as_uuid=False), primary_key=True),
        Column("kind", Text, primary_key=True),
        Column("title", Text),
        Column("price", Numeric(12, 2)),
        Column("weight", Float),
        Column("sold", Boolean),
        Column("at", DateTime(timezone=True)),
        Column("tags", JSONB(none_as_null=True)),
        Column("revision", Integer, server_default="0", nullable=False),
        Column("touched_at", DateTime(timezone=True)),
    )


IN_BULK = things("in_bulk")
ONE_BY_ONE = things("one_by_one")

STRANGE_TITLES = ["", "Ærø; DROP TABLE", "“Zażółć” 本 🕮", "{a,b}", 'quote " and \\', None, "NULL"]
STRANGE_TAGS: list[Any] = [{}, [], {"a": [1, {"b": None}]}, "text", 1.5, None, {"ü": "本"}]


def rows(count: int = len(STRANGE_TITLES)) -> list[dict[str, Any]]:
    """Every kind of value that the services keep, nulls and awkward texts included."""
    return [
        {
            "id": f"00000000-0000-4000-8000-{n:012d}",
            "kind": "book" if n % 2 else "map",
            "title": STRANGE_TITLES[n % len(STRANGE_TITLES)],
            "price": None if n % 3 == 0 else Decimal(n) / 4,
            "weight": n / 7,
            "sold": [True, False, None][n % 3],
            "at": datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=n),
            "tags": STRANGE_TAGS[n % len(STRANGE_TAGS)],
        }
        for n in range(count)
    ]


@pytest.fixture
async def engine(new_database: Any) -> AsyncEngine:
    created: AsyncEngine = await new_database(METADATA)
    return created


async def contents(connection: AsyncConnection, table: Table) -> list[dict[str, Any]]:
    found = await connection.execute(select(table).order_by(table.c.id, table.c.kind))
    return [dict(row) for row in found.mappings()]


async def test_a_bulk_insert_writes_what_single_inserts_write(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await BulkInsert(IN_BULK, COLUMNS)(connection, rows())
        for row in rows():
            await connection.execute(insert(ONE_BY_ONE).values(row))
        written = await contents(connection, IN_BULK)
        assert len(written) == len(STRANGE_TITLES)
        assert written == await contents(connection, ONE_BY_ONE)


async def test_a_bulk_update_writes_what_single_updates_write(engine: AsyncEngine) -> None:
    changes = [{**row, "title": f"new {row['title']}", "tags": [row["tags"]]} for row in rows()]
    async with engine.begin() as connection:
        await connection.execute(insert(IN_BULK), rows())
        await connection.execute(insert(ONE_BY_ONE), rows())
        bulk = BulkUpdate(IN_BULK, key=["id", "kind"], columns=["title", "tags"])
        keys = await bulk(connection, changes[:5])
        for row in changes[:5]:
            table = ONE_BY_ONE
            await connection.execute(
                update(table)
                .where(table.c.id == row["id"], table.c.kind == row["kind"])
                .values(title=row["title"], tags=row["tags"])
            )
        assert sorted(keys) == sorted((row["id"], row["kind"]) for row in changes[:5])
        written = await contents(connection, IN_BULK)
        assert written == await contents(connection, ONE_BY_ONE)
        assert [row["title"] for row in written[4:6]] == ['new quote " and \\', None]


async def test_a_key_must_match_as_a_whole(engine: AsyncEngine) -> None:
    row = rows(1)[0]
    async with engine.begin() as connection:
        await connection.execute(insert(IN_BULK), [row, {**row, "kind": "globe"}])
        bulk = BulkUpdate(IN_BULK, key=["id", "kind"], columns=["title"])
        await bulk(connection, [{**row, "title": "changed"}])
        assert {r["kind"]: r["title"] for r in await contents(connection, IN_BULK)} == {
            "map": "changed",
            "globe": "",
        }


async def test_the_guard_lets_only_the_expected_rows_change(engine: AsyncEngine) -> None:
    first, second = rows(2)
    bulk = BulkUpdate(IN_BULK, key=["id", "kind"], columns=["title", "revision"], guard="revision")
    async with engine.begin() as connection:
        await connection.execute(insert(IN_BULK), [first, second])
        change = {"title": "changed", "revision": 1}
        changed = await bulk(
            connection,
            [
                {**first, **change, "expected_revision": 0},
                {**second, **change, "expected_revision": 7},
            ],
        )
        assert changed == [(first["id"], first["kind"])]
        assert [r["revision"] for r in await contents(connection, IN_BULK)] == [1, 0]


async def test_computed_columns_come_from_the_databases_clock(engine: AsyncEngine) -> None:
    def later(source: Any) -> Any:
        return func.now() + func.make_interval(0, 0, 0, 0, 0, 0, source.c.weight)

    row = {**rows(1)[0], "weight": 60.0}
    async with engine.begin() as connection:
        await BulkInsert(IN_BULK, COLUMNS, computed={"touched_at": later})(connection, [row])
        ahead = select(IN_BULK.c.touched_at - func.now())
        assert (await connection.execute(ahead)).scalar_one() == timedelta(seconds=60)
        bulk = BulkUpdate(
            IN_BULK, key=["id", "kind"], columns=["weight"], computed={"touched_at": later}
        )
        await bulk(connection, [{**row, "weight": 5.0}])
        assert (await connection.execute(ahead)).scalar_one() == timedelta(seconds=5)


async def test_skipping_inserts_leave_existing_rows_alone_and_say_what_was_new(
    engine: AsyncEngine,
) -> None:
    first, second = rows(2)
    insert_new = BulkInsert(IN_BULK, COLUMNS, skip_existing=True, returning="id")
    async with engine.begin() as connection:
        assert await insert_new(connection, [first]) == [first["id"]]
        taken = {**first, "title": "another"}
        assert await insert_new(connection, [taken, second, {**second, "title": "twice"}]) == [
            second["id"]
        ]
        written = await contents(connection, IN_BULK)
        assert [row["title"] for row in written] == [first["title"], second["title"]]


async def test_a_plain_insert_refuses_a_taken_key(engine: AsyncEngine) -> None:
    with pytest.raises(IntegrityError):
        async with engine.begin() as connection:
            await BulkInsert(IN_BULK, COLUMNS)(connection, [*rows(2), *rows(1)])
    async with engine.begin() as connection:
        assert await contents(connection, IN_BULK) == []


async def test_any_number_of_rows_is_one_statement_of_one_text(engine: AsyncEngine) -> None:
    texts: list[str] = []

    def record(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        texts.append(statement)

    event.listen(engine.sync_engine, "before_cursor_execute", record)
    insert_rows = BulkInsert(IN_BULK, COLUMNS)
    update_rows = BulkUpdate(IN_BULK, key=["id", "kind"], columns=["title"])
    async with engine.begin() as connection:
        await insert_rows(connection, [])
        await update_rows(connection, [])
        assert texts == []
        await insert_rows(connection, rows(1))
        await insert_rows(connection, rows(300)[1:])
        await update_rows(connection, rows(1))
        await update_rows(connection, rows(300))
        assert len(texts) == 4
        assert len(set(texts)) == 2
