"""Aggregates: functions of the group of rows that the context holds.

Guarantee: NULLs are passed over, and nothing summed up is NULL, as in SQL.
"""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from faults.memory.logic import Evaluate

_NAMES = frozenset({"count", "sum", "max", "min"})


def is_aggregate(element: Any) -> bool:
    """Whether the expression asks for a group of rows."""
    if element.__visit_name__ == "select":
        return False  # A subquery's are its own.
    if element.__visit_name__ == "function" and element.name.lower() in _NAMES:
        return True
    return any(is_aggregate(child) for child in element.get_children())


def refuse_ungrouped(element: Any, groups: Sequence[Any]) -> None:
    """Raise NotImplementedError for a column that has many values in a group."""
    if any(element is group for group in groups) or element.__visit_name__ == "select":
        return
    if element.__visit_name__ == "funcfilter":
        element = element.func
    if element.__visit_name__ == "function" and element.name.lower() in _NAMES:
        return
    if element.__visit_name__ == "column":
        raise NotImplementedError(f"{element} outside of aggregates and not in GROUP BY")
    for child in element.get_children():
        refuse_ungrouped(child, groups)


def count_rows(rows: Any, context: Any) -> int:
    """count(*)"""
    return len(context.group)


def sum_as_numeric(part: Evaluate) -> Evaluate:
    """The sum of bigints, which is a numeric in PostgreSQL."""

    def evaluate(rows: Any, context: Any) -> Any:
        values = _values(part, context)
        return Decimal(sum(values)) if values else None

    return evaluate


def filtered(aggregate: Evaluate, condition: Evaluate) -> Evaluate:
    """FILTER (WHERE ...)"""

    def evaluate(rows: Any, context: Any) -> Any:
        whole = context.group
        context.group = [each for each in whole if condition(each, context)]
        try:
            return aggregate(rows, context)
        finally:
            context.group = whole

    return evaluate


def _values(part: Evaluate, context: Any) -> list[Any]:
    return [value for rows in context.group if (value := part(rows, context)) is not None]


def _over(reduce: Callable[[list[Any]], Any]) -> Callable[[Evaluate], Evaluate]:
    def build(part: Evaluate) -> Evaluate:
        return lambda rows, context: reduce(_values(part, context))

    return build


AGGREGATES: Mapping[str, Callable[[Evaluate], Evaluate]] = {
    "count": _over(len),
    "sum": _over(lambda values: sum(values) if values else None),
    "max": _over(lambda values: max(values, default=None)),
    "min": _over(lambda values: min(values, default=None)),
}
