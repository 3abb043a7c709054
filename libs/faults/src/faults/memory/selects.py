"""SELECT on rows in memory.

Guarantee: FOR UPDATE locks what PostgreSQL locks, in the order in which the rows come: whoever had
to wait for a row goes on with its newest version, and without it where that fulfils the conditions
no longer. A LIMIT counts the rows that are left after that.
"""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import Select, Table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import operators

from faults.memory.aggregates import is_aggregate, refuse_ungrouped
from faults.memory.expressions import Context, Parameters, Scope, compiled
from faults.memory.logic import Evaluate
from faults.memory.rows import Slot, Values
from faults.memory.sources import Found, Sources, conjuncts, sources_of
from faults.memory.types import converter

Project = Callable[[Any, Context], Values]
Order = Sequence[tuple[Evaluate, bool]]
_UNSUPPORTED = (
    "_having_criteria", "_distinct", "_prefixes", "_suffixes", "_with_options", "_fetch_clause",
    "_hints", "_statement_hints", "_independent_ctes",
)  # fmt: skip


class Locks:
    """Which sources' rows a statement locks, and what has to hold of them afterwards."""

    def __init__(self, tables: Sequence[tuple[int, Table]], sources: Sources, skip: bool) -> None:
        if any(source.is_outer for source in sources.list):
            raise NotImplementedError("locking rows of an outer join")
        self._tables = tables
        self._fulfilled = sources.fulfilled
        self._skip = skip

    def take(self, found: Found, context: Context) -> tuple[Values, ...] | Slot | None:
        """Lock the rows: their newest versions; or the slot that has to be waited for first; or
        None where they are to be left out.
        """
        rows, slots = found
        transaction = context.transaction
        is_newer = False
        for place, table in self._tables:
            slot = slots[place]
            assert slot is not None
            if slot.holder is not transaction:
                if slot.holder is not None:
                    return None if self._skip else slot
                if slot.values is None:
                    return None
                transaction.take(context.database.tables[table], slot)
            newest = slot.seen_by(transaction)
            if newest is None:
                return None
            if newest is not rows[place]:
                rows, is_newer = (*rows[:place], newest, *rows[place + 1 :]), True
        if is_newer and self._fulfilled is not None and not self._fulfilled(rows, context):
            return None
        return rows

    async def wait(self, found: Found, context: Context) -> tuple[Values, ...] | None:
        """Lock the rows, however long it takes."""
        taken = self.take(found, context)
        while isinstance(taken, Slot):
            await context.transaction.wait_for(taken, wants_lock=True)
            taken = self.take(found, context)
        return taken


class Reading:
    """A compiled SELECT."""

    def __init__(self, statement: Select[Any], parameters: Parameters) -> None:
        for name in _UNSUPPORTED:
            if getattr(statement, name, None):
                raise NotImplementedError(f"{name.strip('_')} of a SELECT")
        scope = Scope(parameters, subquery)
        self._sources = Sources(
            sources_of(statement.get_final_froms()),
            [each for where in statement._where_criteria for each in conjuncts(where)],
            scope,
        )
        self.columns = list(statement.selected_columns)
        self.tables = sorted(s.origin.name for s in self._sources.list if s.is_table)
        self._project = projection(self.columns, scope)
        self._order = _order(statement._order_by_clauses, scope)
        self._groups = [compiled(each, scope) for each in statement._group_by_clauses]
        self._is_grouped = bool(self._groups) or any(map(is_aggregate, self.columns))
        if self._is_grouped:
            for each in [*self.columns, *statement._order_by_clauses]:
                refuse_ungrouped(each, statement._group_by_clauses)
        self._limit = _count(statement._limit_clause, scope)
        self._offset = _count(statement._offset_clause, scope)
        self.locks = self._locks(statement)
        self.may_wait = self.locks is not None and not _skips(statement)
        if self.locks is not None and (self._is_grouped or self._offset is not None):
            raise NotImplementedError("FOR UPDATE with groups or an OFFSET")

    def rows(self, context: Context) -> list[Values]:
        """The answer of a SELECT that never waits, in stored form."""
        if self.locks is None:
            return self._answer(self._sources.find(context), context)
        if self.may_wait:
            raise NotImplementedError("a subquery that may wait for locks")
        answer: list[Values] = []
        limit = self._evaluated(self._limit, context)
        for found in self._ordered(self._sources.find(context), context):
            if len(answer) == limit:
                break
            taken = self.locks.take(found, context)
            if taken is not None:
                answer.append(self._project(taken, context))
        return answer

    async def rows_once_free(self, context: Context) -> list[Values]:
        """The answer of a SELECT that may have to wait for locks."""
        assert self.locks is not None
        answer: list[Values] = []
        limit = self._evaluated(self._limit, context)
        for found in self._ordered(self._sources.find(context), context):
            if len(answer) == limit:
                break
            taken = await self.locks.wait(found, context)
            if taken is not None:
                answer.append(self._project(taken, context))
        return answer

    def _answer(self, found: list[Found], context: Context) -> list[Values]:
        if self._is_grouped:
            answer = self._grouped(found, context)
        else:
            project = self._project
            answer = [project(rows, context) for rows, _ in self._ordered(found, context)]
        if self._limit is None and self._offset is None:
            return answer
        start = self._evaluated(self._offset, context) or 0
        limit = self._evaluated(self._limit, context)
        return answer[start : None if limit is None else start + limit]

    def _grouped(self, found: list[Found], context: Context) -> list[Values]:
        groups: dict[Any, list[Any]] = {}
        if not self._groups:
            groups[()] = [rows for rows, _ in found]  # One group, even of nothing.
        else:
            for rows, _ in found:
                key = tuple(group(rows, context) for group in self._groups)
                groups.setdefault(key, []).append(rows)
        answer = []
        nothing = tuple(source.nothing for source in self._sources.list)
        for group in groups.values():
            context.group = group
            rows = group[0] if group else nothing
            key = tuple(evaluate(rows, context) for evaluate, _ in self._order)
            answer.append((self._project(rows, context), key))
        for place, (_, descends) in reversed(list(enumerate(self._order))):
            answer.sort(key=lambda each: _nulls_last(each[1][place]), reverse=descends)
        return [values for values, _ in answer]

    def _ordered(self, found: list[Found], context: Context) -> list[Found]:
        for evaluate, descends in reversed(self._order):
            found.sort(
                key=lambda each: _nulls_last(evaluate(each[0], context)),
                reverse=descends,
            )
        return found

    def _locks(self, statement: Select[Any]) -> Locks | None:
        wanted = statement._for_update_arg
        if wanted is None:
            return None
        if wanted.nowait or wanted.read or wanted.key_share:
            raise NotImplementedError(f"this strength of lock: {statement}")
        tables = [
            (place, source.origin)
            for place, source in enumerate(self._sources.list)
            if source.is_table and (not wanted.of or source.origin in wanted.of)
        ]
        return Locks(tables, self._sources, _skips(statement))

    @staticmethod
    def _evaluated(count: Evaluate | None, context: Context) -> int | None:
        return None if count is None else count((), context)


def subquery(statement: Any, parameters: Parameters) -> Callable[[Context], list[Any]]:
    """A SELECT within a statement, whose answer depends on none of the statement's rows."""
    return Reading(statement, parameters).rows


def projection(columns: Sequence[Any], scope: Scope) -> Project:
    """From the sources' rows to the values that are answered, in stored form."""
    parts = [compiled(column, scope) for column in columns]
    plain = [_plain(column) for column in columns]
    if len(columns) > 1 and all(column.__visit_name__ == "column" for column in plain):
        places = [scope.place(column) for column in plain]
        if len({source for source, _ in places}) == 1:
            source, pick = places[0][0], itemgetter(*(position for _, position in places))
            return lambda rows, context: pick(rows[source])
    return lambda rows, context: tuple([part(rows, context) for part in parts])


def _plain(column: Any) -> Any:
    """The column that a label, or the cast of a text to JSON, hands on as it is stored."""
    if column.__visit_name__ == "label":
        return _plain(column.element)
    if column.__visit_name__ == "cast" and isinstance(column.type, JSONB):
        return _plain(column.clause)
    return column


def _skips(statement: Select[Any]) -> bool:
    wanted = statement._for_update_arg
    return wanted is not None and bool(wanted.skip_locked)


def _order(clauses: Sequence[Any], scope: Scope) -> Order:
    order = []
    for clause in clauses:
        descends = False
        if clause.__visit_name__ == "unary" and clause.modifier in _MODIFIERS:
            clause, descends = clause.element, clause.modifier is operators.desc_op
        if clause.__visit_name__ == "label_reference":
            clause = clause.element
        order.append((compiled(clause, scope), descends))
    return order


def _nulls_last(value: Any) -> tuple[bool, Any]:
    """As PostgreSQL sorts: NULL is larger than anything."""
    return (value is None, value)


def _count(clause: Any, scope: Scope) -> Evaluate | None:
    if clause is None:
        return None
    if clause.__visit_name__ == "bindparam" and clause.unique:
        convert = converter(clause.type)
        count = convert(clause.value) if convert else clause.value
        return lambda rows, context: count
    return compiled(clause, scope)


_MODIFIERS = (operators.desc_op, operators.asc_op)
