"""The in-memory database's engine and connections, where the product has SQLAlchemy's.

Guarantee: what reaches the database passes the gate of the process that asks: the beginning and the
commit of a transaction, and each statement outside of one. Whatever the gate raises, either all of
a transaction is committed or nothing of it, and its locks are free. Nothing of a process that was
aborted reaches the database any more.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy.exc import MultipleResultsFound, NoResultFound

from faults.gate import Gate, ProcessDead
from faults.memory import errors
from faults.memory.expressions import Context
from faults.memory.rows import Transaction
from faults.memory.statements import Plan, plan_of

if TYPE_CHECKING:
    from faults.memory.database import MemoryDatabase

Given = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None


class Answer:
    """A statement's result."""

    def __init__(self, rows: list[Any], rowcount: int, returns_rows: bool) -> None:
        self._rows = rows
        self.rowcount = rowcount
        self.returns_rows = returns_rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """Every row."""
        return self._rows

    def first(self) -> Any:
        """The first row, or None."""
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        """The only row, or None; raises MultipleResultsFound."""
        if len(self._rows) > 1:
            raise MultipleResultsFound("Multiple rows were found when one or none was required")
        return self.first()

    def one(self) -> Any:
        """The only row; raises NoResultFound, MultipleResultsFound."""
        row = self.one_or_none()
        if row is None:
            raise NoResultFound("No row was found when one was required")
        return row

    def scalar(self) -> Any:
        """The first row's first value, or None."""
        row = self.first()
        return None if row is None else row[0]

    def scalar_one(self) -> Any:
        """The only row's first value; raises NoResultFound, MultipleResultsFound."""
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        """The only row's first value, or None; raises MultipleResultsFound."""
        row = self.one_or_none()
        return None if row is None else row[0]

    def scalars(self) -> "Answer":
        """The rows' first values."""
        return Answer([row[0] for row in self._rows], self.rowcount, self.returns_rows)

    def mappings(self) -> "Answer":
        """The rows as mappings."""
        return Answer([row._mapping for row in self._rows], self.rowcount, self.returns_rows)


class _Process:
    """One incarnation: its gate, its open transactions, and whether it lives."""

    def __init__(self, database: "MemoryDatabase", gate: Gate) -> None:
        self.database = database
        self.gate = gate
        self.is_dead = False
        # In the order of their beginnings, so that the same run wakes waiters in the same order.
        self._open: dict[Transaction, None] = {}

    def begin(self) -> Transaction:
        self.refuse_dead()
        transaction = Transaction(self.database.now(), self._open.pop)
        self._open[transaction] = None
        return transaction

    def refuse_dead(self) -> None:
        if self.is_dead:
            raise ProcessDead

    def abort(self) -> None:
        self.is_dead = True
        for transaction in list(self._open):
            transaction.abort()

    async def commit(self, transaction: Transaction, operation: str, fallback: str) -> None:
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


class MemoryEngine:
    """Stands where the product has an AsyncEngine."""

    def __init__(self, process: _Process, is_autocommit: bool) -> None:
        self._process = process
        self._is_autocommit = is_autocommit

    @classmethod
    def of(cls, database: "MemoryDatabase", gate: Gate) -> "MemoryEngine":
        """An incarnation's first engine; others on the same come from `execution_options`."""
        return cls(_Process(database, gate), False)

    @property
    def sync_engine(self) -> Any:
        """Nobody listens to this engine's statements, and nothing of it is checked out."""
        return SimpleNamespace(
            dispatch=SimpleNamespace(before_cursor_execute=()),
            pool=SimpleNamespace(checkedout=lambda: 0),
        )

    def execution_options(self, *, isolation_level: str) -> "MemoryEngine":
        """The same engine under AUTOCOMMIT, or under READ COMMITTED."""
        if isolation_level not in ("AUTOCOMMIT", "READ COMMITTED"):
            raise NotImplementedError(f"the isolation level {isolation_level}")
        return MemoryEngine(self._process, isolation_level == "AUTOCOMMIT")

    def connect(self) -> "MemoryConnection":
        """A connection, as a context manager."""
        return MemoryConnection(self._process, self._is_autocommit)

    def begin(self) -> "_Begun":
        """A connection with an open transaction, which commits at the end."""
        if self._is_autocommit:
            raise NotImplementedError("begin() under AUTOCOMMIT, which would begin nothing")
        return _Begun(self._process)

    def transaction(self) -> "_Begun":
        """See batching.transaction."""
        if not self._is_autocommit:
            raise NotImplementedError("transaction() on an engine that is not under AUTOCOMMIT")
        return _Begun(self._process)

    def abort(self) -> None:
        """The incarnation was killed: its transactions roll back, and nothing of it may run on."""
        self._process.abort()

    async def dispose(self) -> None:
        """Nothing is kept open."""


class MemoryConnection:
    """Stands where the product has an AsyncConnection."""

    def __init__(self, process: _Process, is_autocommit: bool) -> None:
        self._process = process
        self._is_autocommit = is_autocommit
        self._transaction: Transaction | None = None

    async def __aenter__(self) -> "MemoryConnection":
        self._process.refuse_dead()
        return self

    def __await__(self) -> Generator[Any, None, "MemoryConnection"]:
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
        begun: list[Transaction] = []
        try:
            await process.gate.call(
                "begin",
                (),
                lambda _: begun.append(process.begin()),
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

    async def execute(self, statement: Any, parameters: Given = None) -> Answer:
        """Run one statement."""
        given = parameters or {}
        if not isinstance(given, Mapping):
            return await self._execute_many(statement, given)
        plan = plan_of(statement, given)
        count, rows = await self._run(plan, given)
        return Answer(rows, count, plan.returns_rows)

    async def scalars(self, statement: Any, parameters: Given = None) -> Answer:
        """The first values of a statement's rows."""
        return (await self.execute(statement, parameters)).scalars()

    async def scalar(self, statement: Any, parameters: Given = None) -> Any:
        """The first value of a statement's first row."""
        return (await self.execute(statement, parameters)).scalar()

    async def run_prepared(self, statement: Any, parameters: Mapping[str, Any]) -> list[Any]:
        """See batching.Prepared."""
        return (await self._run(plan_of(statement, parameters), parameters))[1]

    async def _execute_many(self, statement: Any, many: Sequence[Mapping[str, Any]]) -> Answer:
        count = 0
        for given in many:
            count += (await self._run(plan_of(statement, given), given))[0]
        return Answer([], count, False)

    async def _run(self, plan: Plan, given: Mapping[str, Any]) -> tuple[int, list[Any]]:
        self._process.refuse_dead()
        transaction = self._transaction
        if transaction is None:
            if self._is_autocommit:
                return await self._run_alone(plan, given)
            await self.begin()
            transaction = self._transaction
        assert transaction is not None
        return await run_in(self._process.database, transaction, plan, given)

    async def _run_alone(self, plan: Plan, given: Mapping[str, Any]) -> tuple[int, list[Any]]:
        """A statement that is its own transaction."""
        process = self._process
        if plan.is_read:
            return await self._read_alone(plan, given)
        transaction = process.begin()
        try:
            count, rows = await run_in(process.database, transaction, plan, given)
        except BaseException:
            transaction.rollback()
            raise
        await process.commit(transaction, "write", plan.what)
        return count, rows

    async def _read_alone(self, plan: Plan, given: Mapping[str, Any]) -> tuple[int, list[Any]]:
        process = self._process
        parameters = plan.parameters.bind(given)

        def effect(_: str | None) -> list[Any]:
            process.refuse_dead()
            database = process.database
            return plan.read(Context(database, None, database.now(), parameters))

        rows = await process.gate.call(
            "read", plan.tables, effect, error=lambda reason: errors.lost("SELECT", reason)
        )
        return len(rows), rows


class _Begun:
    """`async with`: a connection with an open transaction, committed or rolled back at the end."""

    def __init__(self, process: _Process) -> None:
        self._connection = MemoryConnection(process, False)

    async def __aenter__(self) -> MemoryConnection:
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


async def run_in(
    database: "MemoryDatabase", transaction: Transaction, plan: Plan, given: Mapping[str, Any]
) -> tuple[int, list[Any]]:
    """Run a statement in a transaction, which a failure leaves good for a rollback only."""
    if transaction.is_over:
        raise ProcessDead
    if transaction.is_failed:
        raise errors.refused(
            asyncpg.InFailedSQLTransactionError,
            "current transaction is aborted, commands ignored until end of transaction block",
        )
    parameters = plan.parameters.bind(given)
    try:
        return await plan.run(Context(database, transaction, transaction.now, parameters))
    except BaseException:
        transaction.is_failed = True
        raise
