"""Set-based INSERT and UPDATE: any number of rows in one statement of constant text.

Guarantee: one round trip, one plan, and one compiled statement however many rows there are, because
the rows travel as one array a column (`unnest`), not as a VALUES list that grows.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from sqlalchemy import (
    Column,
    ColumnElement,
    Table,
    Update,
    bindparam,
    cast,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import Text, TypeEngine

from batching.prepared import Prepared

Row = Mapping[str, Any]
# From the row source to a value that the database computes, such as `now() + ...`.
Computed = Mapping[str, Callable[[Any], ColumnElement[Any]]]


def _wire_type(column: Column[Any]) -> TypeEngine[Any]:
    """JSON travels as text and is cast in the database: asyncpg has no array of jsonb."""
    return Text() if isinstance(column.type, JSONB) else column.type


def _unnested(columns: Sequence[Column[Any]]) -> Any:
    """`unnest(:a::type[], :b::type[], ...) AS rows(a, b, ...)`."""
    arrays = [bindparam(f"rows_{c.name}", type_=ARRAY(_wire_type(c))) for c in columns]
    casted = [cast(a, ARRAY(_wire_type(c))) for a, c in zip(arrays, columns, strict=True)]
    return func.unnest(*casted).table_valued(*[c.name for c in columns]).render_derived("rows")


def _select_list(rows: Any, columns: Sequence[Column[Any]]) -> list[Any]:
    return [
        cast(rows.c[c.name], JSONB) if isinstance(c.type, JSONB) else rows.c[c.name]
        for c in columns
    ]


def _parameters(columns: Sequence[Column[Any]], rows: Sequence[Row]) -> dict[str, list[Any]]:
    parameters: dict[str, list[Any]] = {}
    for column in columns:
        values = [row[column.name] for row in rows]
        if isinstance(column.type, JSONB):
            values = [None if v is None else orjson.dumps(v).decode() for v in values]
        parameters[f"rows_{column.name}"] = values
    return parameters


class BulkInsert:
    """`INSERT ... SELECT FROM unnest(...)` for the named columns of one table.

    With `skip_existing` a row whose key is taken is left out instead of failing the statement.
    `computed` columns are worked out in the database. The call answers the values of `returning`
    for the rows that were really inserted; or, with `and_into`, writes them to that column of
    another table, in the same statement.
    """

    def __init__(
        self,
        table: Table,
        columns: Sequence[str],
        *,
        skip_existing: bool = False,
        returning: str | None = None,
        and_into: Column[Any] | None = None,
        computed: Computed | None = None,
    ) -> None:
        self._columns = [table.c[name] for name in columns]
        rows = _unnested(self._columns)
        extra = dict(computed or {})
        source = select(
            *_select_list(rows, self._columns), *(value(rows) for value in extra.values())
        ).select_from(rows)
        columns = [*columns, *extra]
        statement: Any
        if skip_existing:
            statement = (
                postgresql.insert(table).from_select(columns, source).on_conflict_do_nothing()
            )
        else:
            statement = insert(table).from_select(columns, source)
        if returning:
            statement = statement.returning(table.c[returning])
        if returning and and_into is not None:
            inserted = statement.cte("inserted")
            statement = insert(and_into.table).from_select(
                [and_into.name], select(inserted.c[returning])
            )
        self._answers = returning is not None and and_into is None
        self._statement = Prepared(statement)

    async def __call__(self, connection: AsyncConnection, rows: Sequence[Row]) -> list[Any]:
        if not rows:
            return []
        answer = await self._statement(connection, _parameters(self._columns, rows))
        return [row[0] for row in answer] if self._answers else []


class BulkUpdate:
    """`UPDATE ... FROM unnest(...) WHERE key = rows.key` for the named columns of one table.

    `guard` names a column that must still hold the row's `expected_<guard>` value (compare and
    set). `computed` columns are worked out in the database. The call answers the keys
    of the rows that were really updated, as tuples.
    """

    def __init__(
        self,
        table: Table,
        *,
        key: Sequence[str],
        columns: Sequence[str],
        guard: str | None = None,
        computed: Computed | None = None,
    ) -> None:
        names = [*key, *columns]
        self._columns = [table.c[name] for name in names]
        if guard:
            self._columns.append(Column(f"expected_{guard}", table.c[guard].type))
        rows = _unnested(self._columns)
        values = dict(zip(names, _select_list(rows, [table.c[n] for n in names]), strict=True))
        changes = {name: values[name] for name in columns}
        changes |= {name: value(rows) for name, value in (computed or {}).items()}
        statement: Update = update(table).values(changes)
        for name in key:
            statement = statement.where(table.c[name] == rows.c[name])
        if guard:
            statement = statement.where(table.c[guard] == rows.c[f"expected_{guard}"])
        self._statement = Prepared(statement.returning(*[table.c[name] for name in key]))

    async def __call__(
        self, connection: AsyncConnection, rows: Sequence[Row]
    ) -> list[tuple[Any, ...]]:
        if not rows:
            return []
        answer = await self._statement(connection, _parameters(self._columns, rows))
        return [tuple(row) for row in answer]
