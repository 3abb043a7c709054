"""Pure arithmetic on measurements.

Guarantee: a percentile is a value that was measured, never one between two of them.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest value that at least `percent` of all values do not exceed (nearest rank).

    NaN without values.
    """
    ordered = sorted(values)
    if not ordered:
        return math.nan
    rank = math.ceil(percent / 100 * len(ordered))
    return ordered[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution in five numbers; milliseconds."""

    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> "Spread":
        p50, p90, p99, top = (percentile(values_ms, percent) for percent in (50, 90, 99, 100))
        return cls(len(values_ms), p50, p90, p99, top)


class Key(NamedTuple):
    """Names one counter: what it counts, whose it is, and which of theirs."""

    kind: str
    owner: str
    item: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """All counters at one moment (monotonic seconds); they only ever grow."""

    at_seconds: float
    counters: Mapping[Key, float]


# What the kernel's rounding of processor time may take back when a process is reaped.
_TOLERANCE_SECONDS = 0.05


class CounterFellBack(Exception):
    """A counter shrank: its process was started anew in the middle of a measurement."""

    def __init__(self, key: Key) -> None:
        super().__init__(f"{key.owner} started again while it was measured ({key.kind} shrank)")


def difference(before: Sample, after: Sample) -> dict[Key, float]:
    """What was added between two samples; raises CounterFellBack."""
    added = {}
    for key, value in after.counters.items():
        growth = value - before.counters.get(key, 0)
        if growth < -_TOLERANCE_SECONDS:
            raise CounterFellBack(key)
        added[key] = max(growth, 0.0)
    return added


def rates(before: Sample, after: Sample) -> dict[Key, float]:
    """Growth a second."""
    seconds = after.at_seconds - before.at_seconds
    return {key: added / seconds for key, added in difference(before, after).items()}


def spent(
    before: Sample, after: Sample, *, idle: Mapping[Key, float], quiet_seconds: float
) -> dict[Key, float]:
    """What a load cost: all growth, less what an idle stack would have spent while it settled.

    `idle` are rates at rest; `quiet_seconds` the part of the time without load, in which work
    that was left over still went on. Under load nothing is subtracted.
    """
    return {
        key: max(0.0, added - idle.get(key, 0.0) * quiet_seconds)
        for key, added in difference(before, after).items()
    }


def total(costs: Mapping[Key, float], kind: str) -> float:
    """The sum of one kind."""
    return sum(value for key, value in costs.items() if key.kind == kind)


def by_owner(costs: Mapping[Key, float], kind: str) -> dict[str, float]:
    """The sums of one kind, by owner."""
    return _grouped((key.owner, value) for key, value in costs.items() if key.kind == kind)


def by_item(costs: Mapping[Key, float], kind: str) -> dict[str, float]:
    """The sums of one kind, by item."""
    return _grouped((key.item, value) for key, value in costs.items() if key.kind == kind)


def _grouped(pairs: Iterable[tuple[str, float]]) -> dict[str, float]:
    groups: dict[str, float] = {}
    for name, value in pairs:
        groups[name] = groups.get(name, 0.0) + value
    return groups
