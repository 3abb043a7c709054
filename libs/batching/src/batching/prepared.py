"""Statements and transactions of the hot path: SQLAlchemy writes the SQL, asyncpg runs it.

Guarantee: a prepared statement does what `connection.execute` does with it, in the transaction that
is open on the connection, and fails with the same classes of errors; a connection whose state is
unknown never goes back to the pool.

Why: SQLAlchemy's execution costs ten times the CPU of asyncpg's own (250 µs against 25 a statement
here), and a message needs four statements. Where somebody listens to the engine's statements, as
tracing does, they go through SQLAlchemy all the same, so that nothing is missed.
"""

from collections import namedtuple
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol

import asyncpg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.types import TypeEngine

Convert = Callable[[Any], Any] | None
# PostgreSQL, Appendix A "Error Codes": class 23, integrity constraint violation.
_INTEGRITY = "23"
_DRIVER_ERRORS = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class OwnEngine(Protocol):
    """An engine with another database behind it, which opens its transactions by itself."""

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """What `transaction` promises."""
        ...


class OwnConnection(Protocol):
    """A connection to another database, which runs prepared statements by itself."""

    async def run_prepared(self, statement: Executable, parameters: Mapping[str, Any]) -> list[Any]:
        """What a call of `Prepared` promises."""
        ...


def transaction(
    autocommit: AsyncEngine | OwnEngine,
) -> AbstractAsyncContextManager[AsyncConnection]:
    """A connection with an open transaction; commits at the end, rolls back on any error.

    `autocommit` is the engine under `execution_options(isolation_level="AUTOCOMMIT")`, so that
    SQLAlchemy leaves beginning and ending to asyncpg. A connection that is lost, or whose end was
    cut off, is discarded.
    """
    if isinstance(autocommit, AsyncEngine):
        return _driver_transaction(autocommit)
    return autocommit.transaction()


@asynccontextmanager
async def _driver_transaction(autocommit: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    async with autocommit.connect() as connection:
        driver = _driver(connection)
        sql_transaction = driver.transaction()
        try:
            await sql_transaction.start()
        except BaseException as error:
            await connection.invalidate()
            raise _as_sqlalchemy_error("BEGIN", error, is_lost=True) from error
        try:
            yield connection
        except BaseException:
            try:
                await sql_transaction.rollback()
            except Exception:
                await connection.invalidate()
                # What went wrong first is what the caller should hear of.
            except BaseException:
                await connection.invalidate()
                raise
            raise
        try:
            await sql_transaction.commit()
        except BaseException as error:
            is_lost = _is_lost(driver, error)
            await connection.invalidate()
            raise _as_sqlalchemy_error("COMMIT", error, is_lost=is_lost) from error


class Prepared:
    """A statement whose text and conversions are worked out once.

    Call it with a connection and the values of its parameters; the answer is a list of named tuples
    of the columns that it selects or returns. Raises SQLAlchemy's IntegrityError and DBAPIError.
    """

    def __init__(self, statement: Executable) -> None:
        self._statement = statement
        self._dialect: Dialect | None = None
        self._text = ""
        self._parameters: Sequence[tuple[str, Convert]] = ()
        self._fixed: Mapping[str, Any] = {}
        self._columns: Sequence[Convert] = ()
        self._row: Any = None

    async def __call__(
        self,
        connection: AsyncConnection | OwnConnection,
        parameters: Mapping[str, Any] | None = None,
    ) -> list[Any]:
        if not isinstance(connection, AsyncConnection):
            return await connection.run_prepared(self._statement, parameters or {})
        if not _goes_straight(connection):
            result = await connection.execute(self._statement, parameters or {})
            return list(result) if result.returns_rows else []
        driver = _driver(connection)
        try:
            if self._dialect is not connection.dialect:
                await self._prepare(driver, connection.dialect)
            given = {**self._fixed, **(parameters or {})}
            arguments = [
                convert(given[name]) if convert else given[name]
                for name, convert in self._parameters
            ]
            records = await driver.fetch(self._text, *arguments)
        except _DRIVER_ERRORS as error:
            is_lost = _is_lost(driver, error)
            if is_lost:
                await connection.invalidate()
            raise _as_sqlalchemy_error(self._text, error, is_lost=is_lost) from error
        make, columns = self._row._make, self._columns
        if not any(columns):
            return [make(record) for record in records]
        return [
            make([convert(v) if convert else v for v, convert in zip(record, columns, strict=True)])
            for record in records
        ]

    async def _prepare(self, driver: Any, dialect: Dialect) -> None:
        compiled: Any = self._statement.compile(dialect=dialect)  # type: ignore[attr-defined]
        if compiled.post_compile_params:
            raise TypeError("a prepared statement's text is fixed: use = ANY(array) instead of IN")
        text = str(compiled)
        types = {name: bind.type for bind, name in compiled.bind_names.items()}
        attributes = (await driver.prepare(text)).get_attributes()
        selected = list(self._statement.exported_columns)[: len(attributes)]  # type: ignore[attr-defined]
        self._fixed = {
            name: compiled.params[name]
            for bind, name in compiled.bind_names.items()
            if not bind.required
        }
        self._parameters = [
            (name, _to_driver(types[name], dialect)) for name in compiled.positiontup or ()
        ]
        self._columns = [
            column.type.dialect_impl(dialect).result_processor(dialect, attribute.type.oid)
            for column, attribute in zip(selected, attributes, strict=True)
        ]
        self._row = namedtuple("Row", [column.key for column in selected], rename=True)  # type: ignore[misc]
        self._text, self._dialect = text, dialect


def _to_driver(declared: TypeEngine[Any], dialect: Dialect) -> Convert:
    """What SQLAlchemy does to a parameter of this type on its way to asyncpg; None if nothing."""
    if isinstance(declared, ARRAY) and _to_driver(declared.item_type, dialect) is None:
        return None
    return declared.dialect_impl(dialect).bind_processor(dialect)


def _driver(connection: AsyncConnection) -> Any:
    """asyncpg's connection behind SQLAlchemy's (documented as `driver_connection`)."""
    sync_connection: Any = connection.sync_connection
    return sync_connection.connection.driver_connection


def _goes_straight(connection: AsyncConnection) -> bool:
    """Whether nobody listens to the statements, and no transaction of SQLAlchemy's is to be begun:
    it begins those late, with the first statement that goes through it.
    """
    sync_connection: Any = connection.sync_connection
    is_listened_to = connection.sync_engine.dispatch.before_cursor_execute
    return not is_listened_to and sync_connection.connection.dbapi_connection.autocommit


def _is_lost(driver: Any, error: BaseException) -> bool:
    """Between the server's last word and the socket's end, asyncpg says InternalClientError.

    After an answer that did not come in time, nobody knows what the server is at.
    """
    return driver.is_closed() or isinstance(error, asyncpg.InternalClientError | TimeoutError)


def _as_sqlalchemy_error(text: str, error: BaseException, *, is_lost: bool) -> BaseException:
    """A driver's error as SQLAlchemy wraps it, without parameters; any other as it is."""
    if not isinstance(error, _DRIVER_ERRORS):
        return error
    state = str(getattr(error, "sqlstate", None) or "")
    kind = IntegrityError if state.startswith(_INTEGRITY) else DBAPIError
    return kind(text, None, error, hide_parameters=True, connection_invalidated=is_lost)
