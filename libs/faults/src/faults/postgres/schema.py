"""One service's tables on PostgreSQL, in a schema of this process, used by one run after another.

Guarantee: a run begins with empty tables; the server's clock is the run's; and whoever asks hears
what a transaction has really written, since triggers say so.
"""

import itertools
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import orjson
from sqlalchemy import MetaData, Table, event, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from batching import Prepared
from faults.memory.tables import schema_of
from faults.postgres.machine import MachineLoop
from faults.postgres.waits import Waits

# A server default that says now(), and a statement that does, mean the function of this schema:
# search_path has it before PostgreSQL's own.
_FUNCTIONS = (
    """CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql STABLE
    AS $$ SELECT current_setting('world.now')::timestamptz $$""",
    """CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE NOTICE USING TABLE = TG_TABLE_NAME,
            MESSAGE = lower(TG_OP) || ' ' || TG_TABLE_NAME;
        RETURN NULL;
    END $$""",
    """CREATE FUNCTION note_message() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE NOTICE USING TABLE = TG_TABLE_NAME, MESSAGE = TG_ARGV[0] || ' ' || NEW.type;
        RETURN NULL;
    END $$""",
)
_BLOCKERS = "SELECT pid, pg_blocking_pids(pid) FROM unnest($1::int[]) AS pid"
# Kept open from run to run, and opened when more are in use at once.
POOL_SIZE, OVERFLOW = 12, 20
RUNS_UNTIL_TRUNCATE = 100
_NUMBERS = itertools.count()


class Note(NamedTuple):
    """A row that was written, in words for a gate."""

    table: str
    what: str


class Schema:
    """The tables of a MetaData; `engine` begins transactions as SQLAlchemy does, `autocommit` is
    what batching.transaction takes.
    """

    def __init__(self, loop: MachineLoop, url: str, metadata: MetaData) -> None:
        name = f"world_{os.getpid()}_{next(_NUMBERS)}"
        self.loop = loop
        self.engine = _engine(url, name)
        self.autocommit = self.engine.execution_options(isolation_level="AUTOCOMMIT")
        self.waits = Waits(loop, self._blockers)
        # What the backend of a transaction has noted since it began.
        self.notes: defaultdict[int, list[Note]] = defaultdict(list)
        # By the statement; those that live as long as the process are prepared once.
        self.prepared: WeakKeyDictionary[Any, Prepared] = WeakKeyDictionary()
        # The open ones, in the order of their beginnings.
        self.open: dict[Any, None] = {}
        self._metadata = metadata
        self._selects = {
            table: Prepared(select(table).order_by(*table.primary_key.columns))
            for table in metadata.tables.values()
        }
        self._rows: dict[str, Sequence[Mapping[str, Any]]] = {}
        self._dirty: set[str] = set()
        self._runs = 0
        event.listen(self.engine.sync_engine, "connect", self._listen)
        loop.complete(self._create(name))
        self._observer: AsyncConnection = loop.complete(self._observe())

    def reset(self) -> None:
        """Begin another run: nothing is open, every table empty."""
        for transaction in list(self.open):
            transaction.abort()
        self._rows.clear()
        if self._dirty:
            self._runs += 1
            self.loop.complete(self._run(self._emptying()))
            self._dirty.clear()

    def rows(self, table: Table) -> Sequence[Mapping[str, Any]]:
        """The committed rows in the order of their keys, to be read only."""
        rows = self._rows.get(table.name)
        if rows is None:
            found = self.loop.complete(self._selects[table](self._observer))
            rows = self._rows[table.name] = [row._asdict() for row in found]
        return rows

    def changed(self, notes: Sequence[Note]) -> None:
        """A transaction that has noted these is over."""
        for note in notes:
            self._rows.pop(note.table, None)
            self._dirty.add(note.table)

    async def close(self) -> None:
        """Give all connections back."""
        await self._observer.close()
        await self.engine.dispose()

    def _blockers(self, pids: Sequence[int]) -> Mapping[int, Sequence[int]]:
        async def ask() -> Any:
            return await (await driver_of(self._observer)).fetch(_BLOCKERS, pids)

        return dict(self.loop.complete(ask()))

    def _listen(self, connection: Any, _record: Any) -> None:
        driver = connection.driver_connection
        driver.add_log_listener(self._noted)

    def _noted(self, driver: Any, message: Any) -> None:
        if message.table_name is not None:
            note = Note(message.table_name, message.message)
            self.notes[driver.get_server_pid()].append(note)

    async def _create(self, name: str) -> None:
        async with self.engine.begin() as connection:
            await connection.execute(text(f"DROP SCHEMA IF EXISTS {name} CASCADE"))
            await connection.execute(text(f"CREATE SCHEMA {name}"))
            for function in _FUNCTIONS:
                await connection.execute(text(function))
            await connection.run_sync(self._metadata.create_all)
            for table in self._metadata.tables.values():
                # It would make room for new rows amid the old ones, whenever it comes round.
                still = f"ALTER TABLE {table.name} SET (autovacuum_enabled = false)"
                for statement in (still, *_triggers(table)):
                    await connection.execute(text(statement))

    async def _observe(self) -> AsyncConnection:
        return await self.autocommit.connect()

    def _emptying(self) -> str:
        """TRUNCATE makes the server plan every statement anew, so most runs are swept up after by
        DELETE, which leaves dead rows; this connection has no `world.now`, so triggers are silent.
        """
        if self._runs % RUNS_UNTIL_TRUNCATE == 0:
            return f"TRUNCATE {', '.join(sorted(self._dirty))} RESTART IDENTITY"
        statements = [f"DELETE FROM {name}" for name in sorted(self._dirty)]  # noqa: S608
        statements += [
            f"SELECT setval(pg_get_serial_sequence('{table.name}', '{column.name}'), 1, false)"
            for table in self._metadata.tables.values()
            for column in table.columns
            if column.identity is not None and table.name in self._dirty
        ]
        return "; ".join(statements)

    async def _run(self, statement: str) -> None:
        await (await driver_of(self._observer)).execute(statement)


async def driver_of(connection: AsyncConnection) -> Any:
    """asyncpg's own connection."""
    return (await connection.get_raw_connection()).driver_connection


def _engine(url: str, schema: str) -> AsyncEngine:
    """With JSON as the product has it."""
    return create_async_engine(
        url,
        connect_args={
            "server_settings": {
                "search_path": f"{schema}, pg_catalog",
                # An answer in no order then comes in that of the rows' writing, the same for each
                # run; an index would give it in the order of ids, which are drawn anew.
                "enable_seqscan": "on",
            }
        },
        pool_size=POOL_SIZE,
        max_overflow=OVERFLOW,
        pool_timeout=1,
        pool_use_lifo=True,  # So that few connections prepare all the statements.
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )


def _triggers(table: Table) -> Iterator[str]:
    """What tells of writes in the words in which the database in memory does."""
    told = "FOR EACH ROW WHEN (current_setting('world.now', true) <> '') EXECUTE FUNCTION"
    message = schema_of(table).message
    rows = "INSERT OR UPDATE OR DELETE" if message is None else "UPDATE OR DELETE"
    yield f"CREATE TRIGGER note AFTER {rows} ON {table.name} {told} note_write()"
    if message is not None:
        function = f"note_message('{message[0]}')"
        yield f"CREATE TRIGGER note_type AFTER INSERT ON {table.name} {told} {function}"
