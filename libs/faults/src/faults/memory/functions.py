"""Functions of single rows' values, as closures.

Guarantee: NULLs are passed over, or make the answer NULL, as each function does in PostgreSQL.
"""

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from faults.memory.logic import Evaluate, strict


def _coalesce(parts: list[Evaluate]) -> Evaluate:
    def evaluate(rows: Any, context: Any) -> Any:
        for part in parts:
            if (value := part(rows, context)) is not None:
                return value
        return None

    return evaluate


def _chosen(choose: Callable[[list[Any]], Any]) -> Callable[[list[Evaluate]], Evaluate]:
    """LEAST and GREATEST, which pass NULLs over."""

    def build(parts: list[Evaluate]) -> Evaluate:
        def evaluate(rows: Any, context: Any) -> Any:
            values = [value for part in parts if (value := part(rows, context)) is not None]
            return choose(values) if values else None

        return evaluate

    return build


def _power(parts: list[Evaluate]) -> Evaluate:
    base, exponent = parts
    return strict(lambda a, b: float(a) ** float(b), base, exponent)


def _make_interval(parts: list[Evaluate]) -> Evaluate:
    """(years, months, weeks, days, hours, minutes, seconds); as PostgreSQL's, NULL if any is."""

    def evaluate(rows: Any, context: Any) -> Any:
        values = [part(rows, context) for part in parts]
        if None in values:
            return None
        values += [0] * (7 - len(values))
        years, months, weeks, days, hours, minutes, seconds = values
        if years or months:
            raise NotImplementedError("an interval of years or months")
        return timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)

    return evaluate


FUNCTIONS: Mapping[str, Callable[[list[Evaluate]], Evaluate]] = {
    "coalesce": _coalesce,
    # Sessions in memory have no settings, and nothing here depends on one.
    "set_config": lambda parts: parts[1],
    "least": _chosen(min),
    "greatest": _chosen(max),
    "power": _power,
    "make_interval": _make_interval,
}
