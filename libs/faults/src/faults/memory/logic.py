"""SQL's three-valued logic, as closures.

Guarantee: None stands for NULL and for unknown, as the SQL standard combines them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

# From the rows that are being combined (one a source) and the execution's context to a value.
Evaluate = Callable[[Any, Any], Any]


def strict(combine: Callable[[Any, Any], Any], left: Evaluate, right: Evaluate) -> Evaluate:
    """An operator that answers NULL where either side is NULL."""

    def evaluate(rows: Any, context: Any) -> Any:
        a = left(rows, context)
        if a is None:
            return None
        b = right(rows, context)
        return None if b is None else combine(a, b)

    return evaluate


def inverse(condition: Evaluate) -> Evaluate:
    """NOT."""

    def evaluate(rows: Any, context: Any) -> Any:
        value = condition(rows, context)
        return None if value is None else not value

    return evaluate


def all_of(conditions: Sequence[Evaluate]) -> Evaluate:
    """AND."""

    def evaluate(rows: Any, context: Any) -> Any:
        answer: bool | None = True
        for condition in conditions:
            value = condition(rows, context)
            if value is None:
                answer = None
            elif not value:
                return False
        return answer

    return evaluate


def any_of(conditions: Sequence[Evaluate]) -> Evaluate:
    """OR."""

    def evaluate(rows: Any, context: Any) -> Any:
        answer: bool | None = False
        for condition in conditions:
            value = condition(rows, context)
            if value is None:
                answer = None
            elif value:
                return True
        return answer

    return evaluate


def member(left: Evaluate, items: Callable[[Any, Any], Iterable[Any] | None]) -> Evaluate:
    """`left = ANY (items)`, which is IN, too."""

    def evaluate(rows: Any, context: Any) -> Any:
        listed = items(rows, context)
        if listed is None:
            return None
        if not isinstance(listed, (list, tuple, set, frozenset, dict)):
            listed = list(listed)
        if not listed:
            return False
        value = left(rows, context)
        if value is None:
            return None
        if value in listed:
            return True
        return None if None in listed else False

    return evaluate
