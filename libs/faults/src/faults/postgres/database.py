"""A database of the world whose transactions are PostgreSQL's.

Guarantee: what runs is the product's own way to the server (batching's transactions and prepared
statements, SQLAlchemy for the rest), and no virtual time passes while it does; a row that somebody
else holds is waited for in virtual time. The world's clock is what the server's now() tells.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import MetaData, Table
from sqlalchemy.ext.asyncio import AsyncConnection

from batching import Prepared, transaction
from faults.engine import Call, GatedEngine, Given
from faults.gate import Gate, ProcessDead
from faults.postgres.machine import MachineLoop
from faults.postgres.schema import Note, Schema, driver_of


class Postgres:
    """A server at a SQLAlchemy URL, as long as this process has runs for it."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._loop = MachineLoop()
        self._schemas: dict[MetaData, Schema] = {}

    def database(self, metadata: MetaData, now: Callable[[], datetime]) -> "PostgresDatabase":
        """The tables of a MetaData, empty at first; one run at a time."""
        schema = self._schemas.get(metadata)
        if schema is None:
            schema = self._schemas[metadata] = Schema(self._loop, self._url, metadata)
        schema.reset()
        return PostgresDatabase(schema, now)

    def close(self) -> None:
        """Close every connection."""
        for schema in self._schemas.values():
            self._loop.complete(schema.close())
        self._loop.close()


@cache
def connected(url: str) -> Postgres:
    """This process's connections to a server."""
    return Postgres(url)


class PostgresDatabase:
    """See engine.Database. `now`: the server's clock, with a time zone."""

    def __init__(self, schema: Schema, now: Callable[[], datetime]) -> None:
        self.now = now
        self._schema = schema

    def engine(self, gate: Gate) -> GatedEngine:
        """One process incarnation's way in."""
        return GatedEngine.of(self, gate)

    def rows(self, table: Table) -> Sequence[Mapping[str, Any]]:
        """The committed rows in the order of their keys, to be read only."""
        return self._schema.rows(table)

    async def execute(self, statement: Any, parameters: Given = None) -> Any:
        """Run a statement as a transaction of its own, past every gate."""
        begun = self.begin(lambda _: None, by_driver=False)
        try:
            answer = await self._schema.waits.run(
                begun, begun.pid, begun.connection.execute(statement, parameters)
            )
            begun.commit()
        finally:
            begun.rollback()
        return answer

    def begin(self, on_end: Callable[[Any], object], *, by_driver: bool) -> "Transaction":
        """See engine.Database."""
        schema = self._schema
        opened = transaction(schema.autocommit) if by_driver else schema.engine.begin()
        return Transaction(schema, opened, self.now(), on_end)

    async def run(self, transaction: "Transaction", call: Call) -> Any:
        """See engine.Database."""
        transaction.refuse_over()
        try:
            answer = await self._schema.waits.run(
                transaction, transaction.pid, self._work(transaction.connection, call)
            )
        except BaseException:
            transaction.is_failed = True
            raise
        transaction.refuse_over()  # Killed between the wake-up and its being heard.
        return answer

    def read(self, call: Call) -> Any:
        """See engine.Database."""

        async def read() -> Any:
            async with self._schema.autocommit.connect() as connection:
                await tell_time(connection, self.now())
                return await self._work(connection, call)

        return self._schema.loop.complete(read())

    async def _work(self, connection: AsyncConnection, call: Call) -> Any:
        if not call.is_prepared:
            return await connection.execute(call.statement, call.given)
        prepared = self._schema.prepared.get(call.statement)
        if prepared is None:
            prepared = self._schema.prepared[call.statement] = Prepared(call.statement)
        return await prepared(connection, call.given)


class Transaction:
    """An open transaction on a connection of its own; see engine.OpenTransaction."""

    def __init__(
        self,
        schema: Schema,
        opened: AbstractAsyncContextManager[AsyncConnection],
        now: datetime,
        on_end: Callable[[Any], object],
    ) -> None:
        self.is_failed = False
        self.is_over = False
        self._schema = schema
        self._opened = opened
        self._on_end = on_end
        self.connection, self.pid = schema.loop.complete(self._enter(now))
        schema.notes[self.pid].clear()
        schema.open[self] = None

    @property
    def written(self) -> Set[str]:
        """What the commit will make visible: one text for each kind of write."""
        return {note.what for note in self._notes}

    def refuse_over(self) -> None:
        """Raise ProcessDead once it is over."""
        if self.is_over:
            raise ProcessDead

    def commit(self) -> None:
        """Make everything visible, then free the locks."""
        assert not self.is_over
        self.is_over = True
        try:
            self._schema.loop.complete(self._exit(None))
        finally:
            self._end()

    def rollback(self) -> None:
        """Undo everything and free the locks; does nothing once the transaction is over."""
        if self.is_over:
            return
        self.is_over = True
        undone = _Undone()
        with suppress(Exception):  # The connection is gone, and with it what was open.
            self._schema.loop.complete(self._exit(undone))
        self._end()

    def abort(self) -> None:
        """Roll back, and raise ProcessDead where the transaction waits."""
        self._schema.waits.abort(self)
        self.rollback()

    @property
    def _notes(self) -> list[Note]:
        return self._schema.notes[self.pid]

    async def _enter(self, now: datetime) -> tuple[AsyncConnection, int]:
        connection = await self._opened.__aenter__()
        driver = await tell_time(connection, now)
        return connection, driver.get_server_pid()

    async def _exit(self, error: BaseException | None) -> None:
        kind = None if error is None else type(error)
        await self._opened.__aexit__(kind, error, None)

    def _end(self) -> None:
        self._schema.open.pop(self)
        self._schema.changed(self._notes)
        self._on_end(self)
        self._schema.waits.settle()


class _Undone(Exception):
    """Makes whoever opened the transaction roll it back."""


async def tell_time(connection: AsyncConnection, now: datetime) -> Any:
    """Set what now() answers on this connection; asyncpg's own connection."""
    driver = await driver_of(connection)
    await driver.execute(f"SET world.now = '{now.isoformat()}'")
    return driver
