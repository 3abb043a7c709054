"""The engine and connections that a process of a world has where the product has SQLAlchemy's.

Guarantee: what reaches the database, be it the one in memory or PostgreSQL, passes the gate of the
process that asks: the beginning and the commit of a transaction, and each statement outside of one.
Whatever the gate raises, either all of a transaction is committed or nothing of it, and its locks
are free. Nothing of a process that was aborted reaches the database any more.
"""

from collections.abc import Callable, Generator, Mapping, Sequence, Set
from datetime import datetime
from types import SimpleNamespace, TracebackType
from typing import Any, NamedTuple, Protocol

from sqlalchemy import MetaData, Table

from faults.gate import Gate, ProcessDead
from faults.memory import errors
from faults.memory.answer import Answer
from faults.memory.statements import plan_of

Given = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Call(NamedTuple):
    """A statement with its parameters; `is_prepared`: as batching.Prepared runs it.

    `plan` is what the statement is understood as: whether it only reads, and what.
    """

    statement: Any
    plan: Any
    given: Mapping[str, Any]
    is_prepared: bool


class OpenTransaction(Protocol):
    """A transaction that has begun; `is_failed`: it is good for a rollback only."""

    is_failed: bool

    @property
    def written(self) -> Set[str]:
        """What the commit will make visible: one text for each kind of write."""
        ...

    def commit(self) -> None:
        """Make everything visible, then free the locks."""
        ...

    def rollback(self) -> None:
        """Undo everything and free the locks; does nothing once the transaction is over."""
        ...

    def abort(self) -> None:
        """Roll back, and raise ProcessDead where the transaction waits."""
        ...


class Database(Protocol):
    """The tables of one service, and the way of its processes to them."""

    def engine(self, gate: Gate) -> "GatedEngine":
        """One process incarnation's way in."""
        ...

    def rows(self, table: Table) -> Sequence[Mapping[str, Any]]:
        """The committed rows."""
        ...

    async def execute(self, statement: Any, parameters: Given = None) -> Any:
        """Run a statement as a transaction of its own, past every gate; its result."""
        ...

    def begin(self, on_end: Callable[[Any], object], *, by_driver: bool) -> OpenTransaction:
        """Open a transaction; `by_driver`: as batching.transaction does, not as SQLAlchemy."""
        ...

    async def run(self, transaction: Any, call: Call) -> Any:
        """Run a statement, which may wait for a row; the rows if it is prepared, else its result.

        Raises ProcessDead once the transaction is over.
        """
        ...

    def read(self, call: Call) -> Any:
        """Run a statement that only reads, outside of any transaction."""
        ...


# From the tables and the server's clock, with a time zone, to a database with empty tables.
NewDatabase = Callable[[MetaData, Callable[[], datetime]], Database]


class _Process:
    """One incarnation: its gate, its open transactions, and whether it lives."""

    def __init__(self, database: Database, gate: Gate) -> None:
        self.database = database
        self.gate = gate
        self.is_dead = False
        # In the order of their beginnings, so that the same run wakes waiters in the same order.
        self._open: dict[OpenTransaction, None] = {}

    def begin(self, by_driver: bool) -> OpenTransaction:
        self.refuse_dead()
        transaction = self.database.begin(self._open.pop, by_driver=by_driver)
        self._open[transaction] = None
        return transaction

    def refuse_dead(self) -> None:
        if self.is_dead:
            raise ProcessDead

    def abort(self) -> None:
        self.is_dead = True
        for transaction in list(self._open):
            transaction.abort()

    async def commit(self, transaction: OpenTransaction, operation: str, fallback: str) -> None:
        """Through the gate; rolled back if it did not come to that."""

        def effect(_: str | None) -> None:
            self.refuse_dead()
            transaction.commit()

        try:
            await self.gate.call(
                operation,
                sorted(transaction.written) or [fallback],
                effect,
                error=lambda reason: errors.lost(operation.upper(), reason),
            )
        finally:
            transaction.rollback()  # Does nothing after a commit.


class GatedEngine:
    """Stands where the product has an AsyncEngine."""

    def __init__(self, process: _Process, is_autocommit: bool) -> None:
        self._process = process
        self._is_autocommit = is_autocommit

    @classmethod
    def of(cls, database: Database, gate: Gate) -> "GatedEngine":
        """An incarnation's first engine; others on the same come from `execution_options`."""
        return cls(_Process(database, gate), False)

    @property
    def sync_engine(self) -> Any:
        """Nobody listens to this engine's statements, and nothing of it is checked out."""
        return SimpleNamespace(
            dispatch=SimpleNamespace(before_cursor_execute=()),
            pool=SimpleNamespace(checkedout=lambda: 0),
        )

    def execution_options(self, *, isolation_level: str) -> "GatedEngine":
        """The same engine under AUTOCOMMIT, or under READ COMMITTED."""
        if isolation_level not in ("AUTOCOMMIT", "READ COMMITTED"):
            raise NotImplementedError(f"the isolation level {isolation_level}")
        return GatedEngine(self._process, isolation_level == "AUTOCOMMIT")

    def connect(self) -> "GatedConnection":
        """A connection, as a context manager."""
        return GatedConnection(self._process, self._is_autocommit)

    def begin(self) -> "_Begun":
        """A connection with an open transaction, which commits at the end."""
        if self._is_autocommit:
            raise NotImplementedError("begin() under AUTOCOMMIT, which would begin nothing")
        return _Begun(self._process)

    def transaction(self) -> "_Begun":
        """See batching.transaction."""
        if not self._is_autocommit:
            raise NotImplementedError("transaction() on an engine that is not under AUTOCOMMIT")
        return _Begun(self._process, by_driver=True)

    def abort(self) -> None:
        """The incarnation was killed: its transactions roll back, and nothing of it may run on."""
        self._process.abort()

    async def dispose(self) -> None:
        """Nothing is kept open."""


class GatedConnection:
    """Stands where the product has an AsyncConnection."""

    def __init__(self, process: _Process, is_autocommit: bool, *, by_driver: bool = False) -> None:
        self._process = process
        self._is_autocommit = is_autocommit
        self._by_driver = by_driver
        self._transaction: OpenTransaction | None = None

    async def __aenter__(self) -> "GatedConnection":
        self._process.refuse_dead()
        return self

    def __await__(self) -> Generator[Any, None, "GatedConnection"]:
        return self.__aenter__().__await__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.rollback()

    async def begin(self) -> None:
        """Open a transaction; a statement does so by itself, except under AUTOCOMMIT."""
        process = self._process
        begun: list[OpenTransaction] = []
        try:
            await process.gate.call(
                "begin",
                (),
                lambda _: begun.append(process.begin(self._by_driver)),
                error=lambda reason: errors.lost("BEGIN", reason),
            )
        except BaseException:
            for transaction in begun:
                transaction.rollback()
            raise
        self._transaction = begun[0]

    async def commit(self) -> None:
        """Commit what is open; of a transaction that has failed, PostgreSQL makes a rollback."""
        transaction, self._transaction = self._transaction, None
        if transaction is None:
            return
        if transaction.is_failed or not transaction.written:
            self._process.refuse_dead()
            transaction.rollback()
        else:
            await self._process.commit(transaction, "commit", "")

    async def rollback(self) -> None:
        """Roll back what is open; a dead process's transactions have been already."""
        transaction, self._transaction = self._transaction, None
        if transaction is not None:
            transaction.rollback()

    async def invalidate(self) -> None:
        """Drop the connection, and with it what is open."""
        await self.rollback()

    async def close(self) -> None:
        """Give the connection back."""
        await self.rollback()

    async def execute(self, statement: Any, parameters: Given = None) -> Any:
        """Run one statement."""
        given = parameters or {}
        if not isinstance(given, Mapping):
            return await self._execute_many(statement, given)
        return await self._run(Call(statement, plan_of(statement, given), given, False))

    async def scalars(self, statement: Any, parameters: Given = None) -> Any:
        """The first values of a statement's rows."""
        return (await self.execute(statement, parameters)).scalars()

    async def scalar(self, statement: Any, parameters: Given = None) -> Any:
        """The first value of a statement's first row."""
        return (await self.execute(statement, parameters)).scalar()

    async def run_prepared(self, statement: Any, parameters: Mapping[str, Any]) -> list[Any]:
        """See batching.Prepared."""
        plan = plan_of(statement, parameters)
        rows: list[Any] = await self._run(Call(statement, plan, parameters, True))
        return rows

    async def _execute_many(self, statement: Any, many: Sequence[Mapping[str, Any]]) -> Any:
        count = 0
        for given in many:
            answer = await self._run(Call(statement, plan_of(statement, given), given, False))
            count += answer.rowcount
        return Answer([], count, False)

    async def _run(self, call: Call) -> Any:
        self._process.refuse_dead()
        transaction = self._transaction
        if transaction is None:
            if self._is_autocommit:
                return await self._run_alone(call)
            await self.begin()
            transaction = self._transaction
        return await self._process.database.run(transaction, call)

    async def _run_alone(self, call: Call) -> Any:
        """A statement that is its own transaction."""
        process = self._process
        if call.plan.is_read:
            return await self._read_alone(call)
        transaction = process.begin(by_driver=True)
        try:
            answer = await process.database.run(transaction, call)
        except BaseException:
            transaction.rollback()
            raise
        await process.commit(transaction, "write", call.plan.what)
        return answer

    async def _read_alone(self, call: Call) -> Any:
        process = self._process

        def effect(_: str | None) -> Any:
            process.refuse_dead()
            return process.database.read(call)

        return await process.gate.call(
            "read", call.plan.tables, effect, error=lambda reason: errors.lost("SELECT", reason)
        )


class _Begun:
    """`async with`: a connection with an open transaction, committed or rolled back at the end."""

    def __init__(self, process: _Process, *, by_driver: bool = False) -> None:
        self._connection = GatedConnection(process, False, by_driver=by_driver)

    async def __aenter__(self) -> GatedConnection:
        await self._connection.begin()
        return self._connection

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            await self._connection.commit()
        else:
            await self._connection.rollback()
