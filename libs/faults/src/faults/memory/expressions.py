"""SQLAlchemy's expressions as Python closures.

Guarantee: an expression is evaluated as PostgreSQL does it, NULLs included, or refused by
NotImplementedError when its statement is compiled.

A closure is called with the rows that are being combined, one tuple for each source of the
statement, and with the execution's context.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from sqlalchemy import FromClause
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.sql import operators
from sqlalchemy.types import BigInteger, Float, Integer, NullType, String, TypeEngine

from faults.memory import aggregates
from faults.memory.functions import FUNCTIONS
from faults.memory.logic import Evaluate, all_of, any_of, inverse, member, strict
from faults.memory.types import Convert, converter, is_json


class Context:
    """One execution of a statement."""

    __slots__ = ("database", "group", "memo", "now", "parameters", "transaction")

    def __init__(self, database: Any, transaction: Any, now: Any, parameters: Any) -> None:
        self.database = database
        self.transaction = transaction
        self.now = now
        self.parameters: Mapping[str, Any] = parameters
        # What subqueries and CTEs have answered.
        self.memo: dict[Any, Any] = {}
        # The rows of the group that is being aggregated.
        self.group: list[Any] = []


class Parameters:
    """The parameters that a statement has to be given, with what brings their values in."""

    def __init__(self) -> None:
        self._required: dict[str, Convert | None] = {}
        self._defaults: dict[str, Any] = {}
        # Subqueries, innermost first: they run before the statement, and the memo keeps their
        # answers.
        self.preludes: dict[Any, Callable[[Context], Any]] = {}

    def add(self, key: str, convert: Convert | None) -> None:
        """Expect a value under this name."""
        self._required[key] = convert

    def add_default(self, key: str, convert: Convert | None, value: Any) -> None:
        """A value under this name that need not be given."""
        self.add(key, convert)
        self._defaults[key] = value

    def bind(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """The values as they are stored."""
        if self._defaults:
            given = {**self._defaults, **given}
        try:
            return {
                key: convert(given[key]) if convert is not None else given[key]
                for key, convert in self._required.items()
            }
        except KeyError as error:
            raise LookupError(f"a value is required for the parameter {error}") from None


# Compiles a SELECT within a statement: from it to what answers its rows.
Subquery = Callable[[Any, Parameters], Callable[[Context], list[Any]]]


class Scope:
    """The sources that an expression may speak of, in the order of their rows."""

    def __init__(self, parameters: Parameters, subquery: Subquery) -> None:
        self.parameters = parameters
        self.subquery = subquery
        self._places: dict[Any, int] = {}

    def add(self, source: FromClause) -> int:
        """Let columns of this source be spoken of; its place."""
        return self._places.setdefault(source, len(self._places))

    def has(self, source: Any) -> bool:
        """Whether the source has a place."""
        return source in self._places

    def place(self, column: Any) -> tuple[int, int]:
        """The source's place and the column's place in it."""
        source = column.table
        if source not in self._places:
            raise NotImplementedError(f"{column} of a table that the statement does not read from")
        return self._places[source], list(source.c.keys()).index(column.key)

    def places(self, element: Any) -> set[int]:
        """The sources that the expression speaks of."""
        return {self.place(column)[0] for column in columns_of(element)}


def columns_of(element: Any) -> Iterator[Any]:
    """All columns in an expression, those of subqueries left out."""
    if element.__visit_name__ == "select":
        return
    if element.__visit_name__ == "column":
        if element.table is not None:
            yield element
        return
    for child in element.get_children():
        yield from columns_of(child)


def compiled(element: Any, scope: Scope) -> Evaluate:
    """The expression as a closure."""
    visit = _VISITS.get(element.__visit_name__)
    if visit is None:
        raise NotImplementedError(f"the construct {element.__visit_name__!r}: {element}")
    return visit(element, scope)


def constant(value: Any) -> Evaluate:
    """The same value whatever the rows are."""
    return lambda rows, context: value


def value_for(column: Any, element: Any, scope: Scope) -> Evaluate:
    """What an INSERT or UPDATE writes to a column; an untyped parameter has the column's type."""
    if element.__visit_name__ == "bindparam":
        return _parameter(element, scope, column.type)
    if is_json(column.type) and not isinstance(element.type, (JSONB, NullType)):
        raise NotImplementedError(f"{element} for the JSON column {column}")
    return compiled(element, scope)


def _column(element: Any, scope: Scope) -> Evaluate:
    if element.table is None:
        raise NotImplementedError(f"the literal column {element}")
    source, position = scope.place(element)
    return lambda rows, context: rows[source][position]


def _bindparam(element: Any, scope: Scope) -> Evaluate:
    return _parameter(element, scope, element.type)


def _parameter(element: Any, scope: Scope, declared: TypeEngine[Any]) -> Evaluate:
    if not isinstance(element.type, NullType):
        declared = element.type
    convert = converter(declared)
    if element.expanding:
        raise NotImplementedError(f"a list that is not the right side of IN: {element}")
    if element.callable is not None:
        raise NotImplementedError("a parameter whose value is a callable")
    if element.unique:
        return constant(convert(element.value) if convert is not None else element.value)
    key = element.key
    if element.required:
        scope.parameters.add(key, convert)
    else:
        scope.parameters.add_default(key, convert, element.value)
    return lambda rows, context: context.parameters[key]


def _binary(element: Any, scope: Scope) -> Evaluate:
    kind = element.operator
    if kind in (operators.in_op, operators.not_in_op):
        found = member(compiled(element.left, scope), listed_in(element.right, scope))
        return inverse(found) if kind is operators.not_in_op else found
    if kind in (operators.is_, operators.is_not):
        return _is(element, scope)
    if _is_any(element.right):
        if kind is not operators.eq:
            raise NotImplementedError(f"only = ANY (...), not {element}")
        (items,) = element.right.clauses
        return member(compiled(element.left, scope), compiled(items, scope))
    combine = _OPERATORS.get(kind)
    if combine is None or is_json(element.left.type) or is_json(element.right.type):
        raise NotImplementedError(f"the operator of {element}")
    return strict(combine, compiled(element.left, scope), compiled(element.right, scope))


def _is_any(element: Any) -> bool:
    return bool(element.__visit_name__ == "function" and element.name.lower() == "any")


def listed_in(right: Any, scope: Scope) -> Evaluate:
    """The right side of IN: a list in the statement or a subquery of one column."""
    if right.__visit_name__ == "bindparam" and right.expanding:
        convert = converter(right.type)
        if right.value is None:
            raise NotImplementedError(f"IN with a named parameter: {right}")
        values = [convert(value) if convert else value for value in right.value]
        return constant(values)
    element = getattr(right, "element", None)
    if element is not None and element.__visit_name__ == "select":
        # A dict: unlike a set's, its order is the same in every process.
        memo = _prelude("list", element, scope, lambda rows: dict.fromkeys(r[0] for r in rows))
        return lambda rows, context: context.memo[memo]
    raise NotImplementedError(f"IN {right}")


def _grouping(element: Any, scope: Scope) -> Evaluate:
    """Parentheses; and a subquery's, which has to answer one value."""
    inner = element.element
    if inner.__visit_name__ != "select":
        return compiled(inner, scope)

    def only(rows: list[Any]) -> Any:
        if len(rows) > 1:
            raise NotImplementedError("a scalar subquery of more than one row")
        return rows[0][0] if rows else None

    memo = _prelude("value", inner, scope, only)
    return lambda rows, context: context.memo[memo]


def _prelude(
    kind: str, select: Any, scope: Scope, keep: Callable[[list[Any]], Any]
) -> tuple[str, Any]:
    """Let a subquery run before the statement, once; where in the memo its answer will be."""
    memo = (kind, select)
    if memo not in scope.parameters.preludes:
        run = scope.subquery(select, scope.parameters)
        scope.parameters.preludes[memo] = lambda context: keep(run(context))
    return memo


def _is(element: Any, scope: Scope) -> Evaluate:
    if element.right.__visit_name__ != "null":
        raise NotImplementedError(f"{element}")
    left, wants_null = compiled(element.left, scope), element.operator is operators.is_
    return lambda rows, context: (left(rows, context) is None) is wants_null


def _boolean_list(element: Any, scope: Scope) -> Evaluate:
    parts = [compiled(clause, scope) for clause in element.clauses]
    if element.operator is operators.and_:
        return all_of(parts)
    if element.operator is operators.or_:
        return any_of(parts)
    # A sum or a product of more than two.
    combine = _OPERATORS.get(element.operator)
    if combine is None:
        raise NotImplementedError(f"the operator of {element}")
    whole = parts[0]
    for part in parts[1:]:
        whole = strict(combine, whole, part)
    return whole


def _unary(element: Any, scope: Scope) -> Evaluate:
    inner = compiled(element.element, scope)
    if element.operator is operators.inv:
        return inverse(inner)
    if element.operator is operators.neg:
        return lambda rows, context: None if (v := inner(rows, context)) is None else -v
    raise NotImplementedError(f"the operator of {element}")


def _tuple(element: Any, scope: Scope) -> Evaluate:
    parts = [compiled(clause, scope) for clause in element.clauses]

    def evaluate(rows: Any, context: Any) -> Any:
        values = tuple(part(rows, context) for part in parts)
        if None in values:
            raise NotImplementedError("NULL in a comparison of rows")
        return values

    return evaluate


def _cast(element: Any, scope: Scope) -> Evaluate:
    source, target = element.clause.type, element.type
    untyped = isinstance(source, NullType)  # A column of unnest, which has its array's type.
    if (
        untyped
        or type(source) is type(target)
        or (isinstance(source, String) and isinstance(target, JSONB))
    ):
        return compiled(element.clause, scope)
    raise NotImplementedError(f"{element}")


def _case(element: Any, scope: Scope) -> Evaluate:
    if element.value is not None:
        raise NotImplementedError("CASE with a value")
    whens = [(compiled(when, scope), compiled(then, scope)) for when, then in element.whens]
    otherwise = constant(None) if element.else_ is None else compiled(element.else_, scope)

    def evaluate(rows: Any, context: Any) -> Any:
        for when, then in whens:
            if when(rows, context):
                return then(rows, context)
        return otherwise(rows, context)

    return evaluate


def _function(element: Any, scope: Scope) -> Evaluate:
    name = element.name.lower()
    arguments = list(element.clauses)
    if name == "now" and not arguments:
        return lambda rows, context: context.now
    if name == "count" and [str(each) for each in arguments] in ([], ["*"]):
        return aggregates.count_rows
    parts = [compiled(each, scope) for each in arguments]
    if name in ("count", "max", "min") and len(parts) == 1:
        return aggregates.AGGREGATES[name](parts[0])
    if name == "sum" and len(parts) == 1:
        return _sum(arguments[0].type, parts[0])
    if name in FUNCTIONS:
        return FUNCTIONS[name](parts)
    raise NotImplementedError(f"the function {element}")


def _sum(declared: TypeEngine[Any], part: Evaluate) -> Evaluate:
    if isinstance(declared, BigInteger):
        return aggregates.sum_as_numeric(part)
    if isinstance(declared, (Integer, Float)):
        return aggregates.AGGREGATES["sum"](part)
    raise NotImplementedError(f"the sum of {declared!r}")


def _filtered(element: Any, scope: Scope) -> Evaluate:
    """An aggregate over those rows of the group that fulfil a condition."""
    inner, condition = compiled(element.func, scope), compiled(element.criterion, scope)
    return aggregates.filtered(inner, condition)


_OPERATORS: Mapping[Any, Callable[[Any, Any], Any]] = {
    operators.eq: operator.eq,
    operators.ne: operator.ne,
    operators.lt: operator.lt,
    operators.le: operator.le,
    operators.gt: operator.gt,
    operators.ge: operator.ge,
    operators.add: operator.add,
    operators.sub: operator.sub,
    operators.mul: operator.mul,
}
_VISITS: Mapping[str, Callable[[Any, Scope], Evaluate]] = {
    "column": _column,
    "bindparam": _bindparam,
    "binary": _binary,
    "expression_clauselist": _boolean_list,
    "clauselist": _boolean_list,
    "unary": _unary,
    "grouping": _grouping,
    "label": lambda element, scope: compiled(element.element, scope),
    "cast": _cast,
    "case": _case,
    "function": _function,
    "funcfilter": _filtered,
    "tuple": _tuple,
    "null": lambda element, scope: constant(None),
    "true": lambda element, scope: constant(True),
    "false": lambda element, scope: constant(False),
}
