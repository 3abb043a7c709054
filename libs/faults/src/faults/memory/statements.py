"""Statements as plans: compiled once for each statement object, then run on any database.

Guarantee: a statement that is not understood in full is refused by NotImplementedError that names
the construct, before anything of it runs.
"""

from collections import namedtuple
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import TextClause

from faults.memory.expressions import Context, Parameters
from faults.memory.rows import Values
from faults.memory.selects import Reading
from faults.memory.types import is_json, read
from faults.memory.writes import Inserting, Updating, Writing

_PLAN = "_plan_in_memory"


class Plan:
    """One statement. `tables`: the names of those that a SELECT reads."""

    def __init__(self, statement: Any, given: Sequence[str] = ()) -> None:
        self.statement = statement
        self.parameters = Parameters()
        self.reading: Reading | None = None
        self.writing: Writing | None = None
        kind = statement.__visit_name__
        if kind == "select":
            self.reading = Reading(statement, self.parameters)
        elif kind == "insert":
            self.writing = Inserting(statement, self.parameters, given)
        elif kind in ("update", "delete"):
            self.writing = Updating(statement, self.parameters, kind)
        else:
            raise NotImplementedError(f"the statement {kind}: {statement}")
        columns = (self.reading or self.writing).columns  # type: ignore[union-attr]
        self.returns_rows = bool(columns)
        self.tables = self.reading.tables if self.reading is not None else []
        # In words, for a gate: of a write that found nothing to write.
        self.what = self.writing.what if self.writing is not None else "lock rows"
        self._preludes = list(self.parameters.preludes.items())
        self._json = [place for place, column in enumerate(columns) if is_json(column.type)]
        self._row = _row_class(tuple(str(column.key) for column in columns))

    @property
    def is_read(self) -> bool:
        """Whether it neither writes nor locks."""
        return self.reading is not None and self.reading.locks is None

    def read(self, context: Context) -> list[Any]:
        """Run a statement that is one."""
        assert self.reading is not None
        self._begin(context)
        return self._handed_out(self.reading.rows(context))

    async def run(self, context: Context) -> tuple[int, list[Any]]:
        """Run any statement in its transaction: how many rows it took, and its answer."""
        self._begin(context)
        if self.writing is not None:
            count, rows = await self.writing.run(context)
            return count, self._handed_out(rows)
        assert self.reading is not None
        if self.reading.may_wait:
            rows = await self.reading.rows_once_free(context)
        else:
            rows = self.reading.rows(context)
        return len(rows), self._handed_out(rows)

    def _begin(self, context: Context) -> None:
        for memo, prelude in self._preludes:
            context.memo[memo] = prelude(context)

    def _handed_out(self, rows: list[Values]) -> list[Any]:
        make = self._row._make
        if not self._json:
            return [make(values) for values in rows]
        answer = []
        for values in rows:
            fresh = list(values)
            for place in self._json:
                fresh[place] = read(fresh[place])
            answer.append(make(fresh))
        return answer


class Ping:
    """SELECT 1, with which a process asks whether the database is there."""

    returns_rows, tables, is_read = True, (), True
    parameters = Parameters()

    def read(self, context: Context) -> list[Any]:
        """One row."""
        return [(1,)]

    async def run(self, context: Context) -> tuple[int, list[Any]]:
        """One row."""
        return 1, [(1,)]


_PING = Ping()


def plan_of(statement: Any, given: Mapping[str, Any]) -> Any:
    """The statement's plan, which is kept with it."""
    if isinstance(statement, TextClause):
        if statement.text.strip().upper() != "SELECT 1":
            raise NotImplementedError(f"a statement of text: {statement.text}")
        return _PING
    plan = statement.__dict__.get(_PLAN)
    # A statement that was derived from this one has taken its attributes along.
    if plan is not None and plan.statement is statement:
        return plan
    takes_columns = statement.__visit_name__ == "insert" and not (
        statement._values or statement._multi_values or statement.select is not None
    )
    if takes_columns:
        return Plan(statement, list(given))
    plan = statement.__dict__[_PLAN] = Plan(statement)
    return plan


@lru_cache(maxsize=1024)
def _row_class(names: tuple[str, ...]) -> Any:
    """Named tuples with `_mapping`, as SQLAlchemy's rows have it."""
    named: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]
    return type("Row", (named,), {"__slots__": (), "_mapping": property(named._asdict)})
