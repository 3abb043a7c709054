"""What a statement reads from: tables, `unnest` and CTEs, joined row by row.

Guarantee: the rows are those of one moment, that at which the statement began. A table is asked by
its primary key wherever the conditions name it.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

from sqlalchemy import Join, Table
from sqlalchemy.sql import operators
from sqlalchemy.sql.selectable import CTE, TableValuedAlias

from faults.memory.expressions import Context, Scope, columns_of, compiled, listed_in
from faults.memory.logic import Evaluate, all_of
from faults.memory.rows import Slot, Values
from faults.memory.tables import schema_of

Candidates = Callable[[Any, Context], Iterable[tuple[Slot | None, Values]]]
# One combination of the sources' rows, and the slots that they are in.
Found = tuple[tuple[Values, ...], tuple[Slot | None, ...]]


class Source:
    """One of a statement's sources, with the conditions that can be judged once it is joined."""

    def __init__(self, origin: Any, on: Sequence[Any], is_outer: bool) -> None:
        self.origin = origin
        self.on = list(on)
        self.is_outer = is_outer
        self.where: list[Any] = []
        self.candidates: Candidates = lambda rows, context: ()
        self.joins: Evaluate | None = None
        self.keeps: Evaluate | None = None
        self.nothing = (None,) * len(origin.c)

    @property
    def is_table(self) -> bool:
        """Whether it has rows that can be locked."""
        return isinstance(self.origin, Table)

    def compile(self, scope: Scope, place: int) -> None:
        """Work out how its rows are found and chosen; those before it are known by then."""
        usable = self.on if self.is_outer else [*self.on, *self.where]
        self.candidates, used = _candidates(self.origin, usable, scope, place)
        self.joins = _all(self.on, used, scope)
        self.keeps = _all(self.where, used, scope)


class Sources:
    """All of a statement's sources and its whole condition."""

    def __init__(self, sources: Sequence[Source], where: Sequence[Any], scope: Scope) -> None:
        self.list = list(sources)
        for source in self.list:
            scope.add(source.origin)
        for condition in where:
            self.list[max(scope.places(condition), default=0)].where.append(condition)
        for place, source in enumerate(self.list):
            source.compile(scope, place)
        inner = [each for source in self.list if not source.is_outer for each in source.on]
        #: Whether a combination of rows fulfils everything; to be asked again of newer versions.
        self.fulfilled = _all([*where, *inner], None, scope)
        self._plain = len(self.list) == 1 and not self.list[0].is_outer

    def find(self, context: Context) -> list[Found]:
        """The combinations that fulfil the conditions, as the transaction sees them now."""
        if self._plain:
            return self._find_plain(context)
        found: list[Found] = [((), ())]
        for source in self.list:
            found = list(_joined(source, found, context))
        return found

    def _find_plain(self, context: Context) -> list[Found]:
        (source,) = self.list
        keeps = source.keeps
        found: list[Found] = [
            ((values,), (slot,)) for slot, values in source.candidates((), context)
        ]
        if keeps is None:
            return found
        return [each for each in found if keeps(each[0], context)]


def _joined(source: Source, found: list[Found], context: Context) -> Iterable[Found]:
    joins, keeps = source.joins, source.keeps
    for rows, slots in found:
        matches: list[Found] = [
            ((*rows, values), (*slots, slot)) for slot, values in source.candidates(rows, context)
        ]
        if joins is not None:
            matches = [each for each in matches if joins(each[0], context)]
        if source.is_outer and not matches:
            matches = [((*rows, source.nothing), (*slots, None))]
        if keeps is not None:
            matches = [each for each in matches if keeps(each[0], context)]
        yield from matches


def sources_of(froms: Iterable[Any]) -> list[Source]:
    """The sources of a FROM clause, joins taken apart."""
    listed: list[Source] = []
    for origin in froms:
        listed.extend(_apart(origin))
    return listed


def _apart(origin: Any) -> list[Source]:
    if not isinstance(origin, Join):
        return [Source(origin, (), False)]
    if origin.full or isinstance(origin.right, Join):
        raise NotImplementedError(f"the join {origin}")
    right = Source(origin.right, conjuncts(origin.onclause), bool(origin.isouter))
    return [*_apart(origin.left), right]


def conjuncts(condition: Any) -> list[Any]:
    """The conditions that are joined by AND."""
    if condition is None:
        return []
    if getattr(condition, "operator", None) is operators.and_:
        return [each for clause in condition.clauses for each in conjuncts(clause)]
    return [condition]


def _all(conditions: Sequence[Any], used: Any, scope: Scope) -> Evaluate | None:
    parts = [compiled(each, scope) for each in conditions if each is not used]
    if len(parts) < 2:
        return parts[0] if parts else None
    return all_of(parts)


def _candidates(
    origin: Any, conditions: Sequence[Any], scope: Scope, place: int
) -> tuple[Candidates, Any]:
    """How to find the source's rows, and the condition that they then fulfil anyway, or None."""
    if isinstance(origin, Table):
        return _of_table(origin, conditions, scope, place)
    if isinstance(origin, CTE):
        return (lambda rows, context: [(None, values) for values in context.memo[origin]]), None
    if isinstance(origin, TableValuedAlias):
        return _of_unnest(origin, scope), None
    raise NotImplementedError(f"reading from {origin.__visit_name__!r}: {origin}")


def _of_unnest(origin: Any, scope: Scope) -> Candidates:
    function = origin.element
    if function.name.lower() != "unnest":
        raise NotImplementedError(f"reading from {function}")
    arrays = [compiled(each, scope) for each in function.clauses]

    def candidates(rows: Any, context: Context) -> Iterable[tuple[None, Values]]:
        columns = [array(rows, context) or () for array in arrays]
        return [(None, values) for values in zip_longest(*columns)]

    return candidates


def _of_table(
    table: Table, conditions: Sequence[Any], scope: Scope, place: int
) -> tuple[Candidates, Any]:
    first = schema_of(table).columns[schema_of(table).primary.positions[0]]
    for condition in conditions:
        keys = _keys(condition, first, scope, place)
        if keys is not None:
            return _by_key(table, keys), condition

    def candidates(rows: Any, context: Context) -> Iterable[tuple[Slot, Values]]:
        transaction = context.transaction
        return [
            (slot, values)
            for slot in context.database.tables[table]
            if (values := slot.seen_by(transaction)) is not None
        ]

    return candidates, None


def _by_key(table: Table, keys: Evaluate) -> Candidates:
    def candidates(rows: Any, context: Context) -> Iterable[tuple[Slot, Values]]:
        transaction, having = context.transaction, context.database.tables[table].having
        return [
            (slot, values)
            for key in dict.fromkeys(keys(rows, context) or ())
            for slot in having(key)
            if (values := slot.seen_by(transaction)) is not None
        ]

    return candidates


def _keys(condition: Any, column: Any, scope: Scope, place: int) -> Evaluate | None:
    """Where the condition is `column = value`, `column = ANY (array)` or `column IN (...)`, and
    speaks of the sources before this one only: the values.
    """
    if condition.__visit_name__ != "binary":
        return None
    left, right = condition.left, condition.right
    if condition.operator is operators.eq and right is column:
        left, right = right, left
    if left is not column or any(scope.place(c)[0] >= place for c in columns_of(right)):
        return None
    if condition.operator is operators.in_op:
        return listed_in(right, scope)
    if condition.operator is not operators.eq:
        return None
    if right.__visit_name__ == "function" and right.name.lower() == "any":
        (items,) = right.clauses
        return compiled(items, scope)
    value = compiled(right, scope)
    return lambda rows, context: (value(rows, context),)
