"""What passes the gate, what the product sees where the gate fails, what a killed process leaves
behind, and which statements the database in memory refuses; but for these, the same of PostgreSQL.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import (
    CheckConstraint,
    Column,
    ColumnElement,
    Integer,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError

from batching import BulkInsert, Prepared, transaction
from faults.engine import Database, GatedEngine
from faults.gate import OpenGate, ProcessDead
from faults.memory.database import MemoryDatabase
from faults.postgres.database import Postgres
from messaging import messaging_tables
from stack import EmbeddedServers

METADATA = MetaData()
MESSAGES = messaging_tables(METADATA)
NOTES = Table(
    "notes",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("tag", Text),
    Column("count", Integer, server_default="0"),
    Column("body", JSONB),
)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
ID = "0198f1c5-8a5e-7c61-9a3c-1d1f0a6b7c01"


class ScriptedGate:
    """Keeps what was asked; at the operation `at` it fails before or after the effect."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.at: str | None = None
        self.is_after = False
        self.dies = False
        self.delay: asyncio.Event | None = None

    async def call(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], Any],
        *,
        error: Callable[[str], BaseException],
        twists: Sequence[str] = (),
    ) -> Any:
        self.calls.append((operation, list(detail)))
        if self.delay is not None:
            await self.delay.wait()
        if operation == self.at:
            if self.is_after:
                effect(None)
            raise ProcessDead if self.dies else error("reset")
        return effect(None)

    def fail(self, at: str, *, after: bool, dies: bool = False) -> None:
        self.at, self.is_after, self.dies = at, after, dies


@pytest.fixture
def memory() -> MemoryDatabase:
    return MemoryDatabase(METADATA, now=lambda: NOON)


@pytest.fixture(scope="module")
def postgres(servers: EmbeddedServers) -> Iterator[Postgres]:
    postgres = Postgres(servers.postgres_url("scratch"))
    yield postgres
    postgres.close()


@pytest.fixture(params=["memory", "postgres"])
def database(request: pytest.FixtureRequest, memory: MemoryDatabase) -> Database:
    """Both databases of the world: the same claims of both."""
    if request.param == "memory":
        return memory
    postgres: Postgres = request.getfixturevalue("postgres")
    return postgres.database(METADATA, lambda: NOON)


@pytest.fixture
def gate() -> ScriptedGate:
    return ScriptedGate()


@pytest.fixture
def engine(database: Database, gate: ScriptedGate) -> GatedEngine:
    return database.engine(gate)


@pytest.fixture
def autocommit(engine: GatedEngine) -> Any:
    return engine.execution_options(isolation_level="AUTOCOMMIT")


def ids_of(database: Database) -> list[int]:
    return sorted(row["id"] for row in database.rows(NOTES))


async def test_a_transaction_passes_at_its_beginning_and_at_its_commit(
    database: Database, gate: ScriptedGate, autocommit: Any
) -> None:
    send = BulkInsert(
        MESSAGES.outbox,
        ["id", "source", "type", "subject", "detail"],
        skip_existing=True,
        returning="id",
        and_into=MESSAGES.unsent.c.message_id,
    )
    row = {"id": ID, "source": "s", "type": "ReserveStock", "subject": "o", "detail": "{}"}
    await database.execute(insert(NOTES), [{"id": 1, "tag": "a"}, {"id": 2, "tag": "b"}])
    async with transaction(autocommit) as connection:
        await send(connection, [row])
        await connection.execute(insert(MESSAGES.inbox).values(message_id=ID, type="StockReserved"))
        await connection.execute(update(NOTES).values(count=1))
        await connection.execute(delete(NOTES).where(NOTES.c.id == 1))
        await connection.execute(delete(NOTES).where(NOTES.c.id == 7))
        assert len(gate.calls) == 1
    written = [
        "delete notes", "inbox StockReserved", "insert outbox_unsent", "outbox ReserveStock",
        "update notes",
    ]  # fmt: skip
    assert gate.calls == [("begin", []), ("commit", written)]
    assert [row["detail"] for row in database.rows(MESSAGES.outbox)] == ["{}"]


async def test_a_transaction_that_wrote_nothing_passes_at_its_beginning_only(
    gate: ScriptedGate, engine: GatedEngine
) -> None:
    async with engine.begin() as connection:
        await connection.execute(select(NOTES).with_for_update())
        await connection.execute(update(NOTES).values(count=1))
    async with engine.connect() as connection:
        await connection.execute(select(NOTES))
    async with engine.connect():
        pass
    assert gate.calls == [("begin", []), ("begin", [])]


async def test_outside_of_a_transaction_each_statement_passes(
    database: Database, gate: ScriptedGate, autocommit: Any
) -> None:
    async with autocommit.connect() as connection:
        await connection.execute(insert(NOTES).values(id=1))
        joined = NOTES.join(MESSAGES.inbox, MESSAGES.inbox.c.type == NOTES.c.tag)
        await connection.execute(select(NOTES.c.id).select_from(joined))
        await Prepared(delete(NOTES).where(NOTES.c.id == 7))(connection)
        await connection.execute(text("SELECT 1"))
    assert gate.calls == [
        ("write", ["insert notes"]),
        ("read", ["inbox", "notes"]),
        ("write", ["delete notes"]),
        ("read", []),
    ]
    assert ids_of(database) == [1]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("dies", [False, True])
async def test_a_commit_that_fails_is_all_there_or_not_at_all(
    database: Database, gate: ScriptedGate, autocommit: Any, after: bool, dies: bool
) -> None:
    async def write() -> None:
        async with transaction(autocommit) as connection:
            await connection.execute(insert(NOTES).values(id=1))
            await connection.execute(insert(NOTES).values(id=2))

    gate.fail("commit", after=after, dies=dies)
    with pytest.raises(ProcessDead if dies else DBAPIError) as caught:
        await write()
    if isinstance(caught.value, DBAPIError):
        assert caught.value.connection_invalidated
    assert ids_of(database) == ([1, 2] if after else [])
    # Whatever became of it, nobody has to wait for its locks.
    await database.execute(delete(NOTES))
    await database.execute(insert(NOTES).values(id=1))


@pytest.mark.parametrize("after", [False, True])
async def test_a_write_of_its_own_that_fails_is_there_or_not(
    database: Database, gate: ScriptedGate, autocommit: Any, after: bool
) -> None:
    gate.fail("write", after=after)
    async with autocommit.connect() as connection:
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(insert(NOTES).values(id=1))
    assert caught.value.connection_invalidated
    assert ids_of(database) == ([1] if after else [])


@pytest.mark.parametrize("operation", ["begin", "read"])
@pytest.mark.parametrize("after", [False, True])
async def test_a_beginning_or_a_read_that_fails_leaves_nothing_open(
    database: Database, gate: ScriptedGate, autocommit: Any, operation: str, after: bool
) -> None:
    async def use(connecting: Any) -> None:
        async with connecting as connection:
            await connection.execute(select(NOTES))

    gate.fail(operation, after=after)
    with pytest.raises(DBAPIError) as caught:
        await use(transaction(autocommit) if operation == "begin" else autocommit.connect())
    assert caught.value.connection_invalidated
    await database.execute(insert(NOTES).values(id=1))


async def test_nobody_sees_a_commit_that_waits_at_the_gate(
    database: Database, gate: ScriptedGate, autocommit: Any
) -> None:
    async with transaction(autocommit) as connection:
        await connection.execute(insert(NOTES).values(id=1))
        gate.delay = asyncio.Event()
        asyncio.get_running_loop().call_soon(lambda: seen.append(ids_of(database)))
        asyncio.get_running_loop().call_later(0.01, gate.delay.set)
        seen: list[Any] = []
    assert seen == [[]]
    assert ids_of(database) == [1]


async def test_a_killed_process_leaves_no_locks_and_can_do_nothing_more(
    database: Database, engine: GatedEngine, autocommit: Any
) -> None:
    await database.execute(insert(NOTES).values(id=1))
    heir = database.engine(OpenGate())
    bump = update(NOTES).values(count=NOTES.c.count + 1)

    async def work(on: GatedEngine) -> None:
        async with on.begin() as connection:
            await connection.execute(bump)

    async def die_at_work() -> None:
        async with transaction(autocommit) as connection:
            await connection.execute(bump)
            await connection.execute(insert(NOTES).values(id=2))
            waiting.extend(asyncio.create_task(work(on)) for on in (engine, heir))
            await asyncio.sleep(0)
            engine.abort()
            await connection.execute(select(NOTES))

    waiting: list[asyncio.Task[None]] = []
    with pytest.raises(ProcessDead):
        await die_at_work()
    ours, theirs = waiting
    assert isinstance((await asyncio.gather(ours, return_exceptions=True))[0], ProcessDead)
    await theirs
    assert [(row["id"], row["count"]) for row in database.rows(NOTES)] == [(1, 1)]
    for use in (engine.begin(), engine.connect(), transaction(autocommit)):
        with pytest.raises(ProcessDead):
            async with use:
                pass


async def test_a_process_that_is_killed_as_it_gets_its_lock_holds_nothing(
    database: Database, engine: GatedEngine
) -> None:
    await database.execute(insert(NOTES).values(id=1))
    holder = database.engine(OpenGate())

    async def work() -> None:
        async with engine.begin() as connection:
            await connection.execute(update(NOTES).values(count=9))

    async with holder.begin() as connection:
        await connection.execute(update(NOTES).values(count=1))
        waiting = asyncio.create_task(work())
        await asyncio.sleep(0)
    engine.abort()
    with pytest.raises(ProcessDead):
        await waiting
    await database.execute(update(NOTES).values(count=NOTES.c.count + 1))
    assert database.rows(NOTES)[0]["count"] == 2


async def test_the_servers_clock_is_the_one_that_was_given(database: Database) -> None:
    await database.execute(insert(MESSAGES.inbox).values(message_id=ID, type="x"))
    assert database.rows(MESSAGES.inbox)[0]["handled_at"] == NOON
    assert (await database.execute(select(func.now()))).scalar_one() == NOON


async def test_a_statement_that_was_derived_from_one_that_ran_is_another(
    database: Database,
) -> None:
    await database.execute(insert(NOTES), [{"id": 1}, {"id": 2}])
    every = select(NOTES.c.id)
    assert len((await database.execute(every)).all()) == 2
    assert len((await database.execute(every.where(NOTES.c.id == 1))).all()) == 1
    assert len((await database.execute(every)).all()) == 2


ids = bindparam("ids", type_=ARRAY(Integer))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (text("DELETE FROM notes"), "DELETE FROM notes"),
        (select(func.lower(NOTES.c.tag)), "lower"),
        (select(NOTES.c.tag.like("a%")), "LIKE"),
        (select(NOTES.c.body["a"]), "operator"),
        (select(NOTES.c.id / 2), "operator"),
        (select(NOTES.c.body == {"a": 1}), "operator"),
        (select(NOTES.c.id).distinct(), "distinct"),
        (select(NOTES.c.tag, func.count()), "notes.tag"),
        (select(NOTES.c.id).where(NOTES.c.id != func.any(ids)), "ANY"),
        (select(NOTES.alias("other").c.id), "alias"),
        (select(literal_column("1")), "literal"),
        (select(NOTES).with_for_update(nowait=True), "lock"),
        (select(NOTES).with_for_update(read=True), "lock"),
        (select(select(NOTES.c.id).subquery().c.id), "subquery"),
        (select(func.row_number().over()), "over"),
        (select(NOTES.c.id).union(select(NOTES.c.id)), "compound_select"),
        (update(NOTES).values(id=NOTES.c.id + 1), "primary key"),
        (delete(NOTES).where(NOTES.c.id == MESSAGES.inbox.c.type), "USING"),
        (upsert(NOTES).values(id=1).on_conflict_do_nothing(constraint="notes_pkey"), "constraint"),
        (select(NOTES.c.id).where(NOTES.c.id.in_(select(NOTES.c.id).with_for_update())), "wait"),
    ],
)
async def test_what_is_not_understood_is_refused_by_name(
    memory: MemoryDatabase, statement: Any, named: str
) -> None:
    with pytest.raises(NotImplementedError) as caught:
        await memory.execute(statement, {"ids": [1]})
    assert named in str(caught.value)


def table_with(*items: Any) -> MetaData:
    metadata = MetaData()
    Table("odd", metadata, Column("id", Integer, primary_key=True), *items)
    return metadata


def check(condition: str | ColumnElement[bool]) -> MetaData:
    return table_with(CheckConstraint(condition, name="odd_check"))


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: check("id % 2 = 0"), "%"),
        (lambda: check("length(id) = 0"), "length"),
        (lambda: table_with(Column("x", Integer, default=3)), "default"),
        (lambda: table_with(Column("x", Integer, server_default=text("1 + 1"))), "default"),
        (lambda: table_with(Column("x", Integer), UniqueConstraint("x", deferrable=True)), "odd"),
    ],
)
async def test_a_table_that_is_not_understood_is_refused(make: Any, named: str) -> None:
    with pytest.raises(NotImplementedError, match=named):
        MemoryDatabase(make(), now=lambda: NOON)


@pytest.mark.parametrize(
    "values",
    [{"id": "1"}, {"id": 1 << 31}, {"id": 1, "tag": 7}],
)
async def test_a_value_that_does_not_fit_is_refused_as_the_driver_does(
    database: Database, values: dict[str, Any]
) -> None:
    with pytest.raises(DBAPIError):
        await database.execute(insert(NOTES).values(values))
    assert database.rows(NOTES) == []


async def test_types_that_are_not_understood_are_refused(memory: MemoryDatabase) -> None:
    odd = bindparam("odd", 1, type_=Numeric())
    as_uuid = bindparam("odd", ID, type_=UUID(as_uuid=True))
    for parameter in (odd, as_uuid):
        with pytest.raises(NotImplementedError):
            await memory.execute(select(NOTES.c.id).where(NOTES.c.tag == parameter))
