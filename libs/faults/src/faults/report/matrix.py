"""Which fault struck where, and how often: counts by place and kind of fault, for each scenario.

Guarantee: every fault that some run could have met is either counted, or listed as not tested; a
run that two layers share counts once.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from faults.explore import DEEP
from faults.plan import KINDS, TWISTS
from faults.results import Exploration

FAULTS = (*KINDS, *TWISTS)
# DEEP's representatives stand for these; nothing stands for a loss, a repeat or another order.
REPRESENTED = frozenset({*KINDS, "partial", "duplicate"})
# Where the scenarios are drawn, there are too many to tell of each.
DRAWN = "random"
Cell = tuple[str, str]
Parts = tuple[str, str, str]


def parts_of(place: str) -> Parts:
    """Process, operation and subject of a place."""
    process, _, rest = place.partition(":")
    operation, _, subject = rest.partition("(")
    return process, operation, subject.removesuffix(")")


@dataclass
class Matrix:
    """Places in the order of an order's path, grouped by process.

    `counts` are runs by (place, fault); `offered` holds the faults that can be met at a place, and
    `undisturbed` the places that a run without faults comes through.
    """

    offered: dict[str, set[str]] = field(default_factory=dict)
    counts: Counter[Cell] = field(default_factory=Counter)
    undisturbed: set[str] = field(default_factory=set)

    @property
    def processes(self) -> dict[str, list[str]]:
        """The places of each process; the processes in the order in which they first commit."""
        places: dict[str, list[str]] = {}
        entry: dict[str, int] = {}
        for number, place in enumerate(self.offered):
            process, operation, _ = parts_of(place)
            places.setdefault(process, []).append(place)
            if operation in ("commit", "deliver"):
                entry.setdefault(process, number)
        # Whoever never commits comes last.
        return {
            process: places[process]
            for process in sorted(places, key=lambda each: entry.get(each, len(self.offered)))
        }

    @property
    def untested(self) -> list[Cell]:
        """What could have been met and never was, and nothing stands for it."""
        return [cell for cell in self._missing() if not self.is_stood_for(*cell)]

    @property
    def stood_for(self) -> list[Cell]:
        """What was never met, but pairs hold a fault for it that leaves the outside alike."""
        return [cell for cell in self._missing() if self.is_stood_for(*cell)]

    def is_stood_for(self, place: str, fault: str) -> bool:
        """Whether only a recovery comes here, and DEEP has another fault in place of this one."""
        operation = parts_of(place)[1]
        return (
            place not in self.undisturbed
            and operation in DEEP
            and fault in REPRESENTED.difference(DEEP[operation])
        )

    def _missing(self) -> list[Cell]:
        return [
            (place, fault)
            for places in self.processes.values()
            for place in places
            for fault in FAULTS
            if fault in self.offered[place] and not self.counts[place, fault]
        ]


def matrices(explorations: Sequence[Exploration]) -> dict[str, Matrix]:
    """One for each scenario."""
    found: dict[str, Matrix] = {}
    # By seed, since layers share the runs of the same plan and seed; drawn ones are their own.
    runs: dict[tuple[str, int | str], Counter[tuple[str, str, str, int]]] = {}
    for exploration in explorations:
        tally, is_drawn = exploration.tally, exploration.layer == DRAWN

        def of(scenario: str, is_drawn: bool = is_drawn) -> Matrix:
            return found.setdefault(DRAWN if is_drawn else scenario, Matrix())

        for (scenario, place), faults in tally.offered.items():
            of(scenario).offered.setdefault(place, set()).update(faults)
        for scenario, place in tally.sites:
            of(scenario).undisturbed.add(place)
        source = (DRAWN, DRAWN) if is_drawn else ("planned", exploration.seed)
        known = runs.setdefault(source, Counter())
        for cell, count in tally.cells.items():
            known[cell] = max(known[cell], count)
    for (kind, _), cells in runs.items():
        for (scenario, place, fault, _), count in cells.items():
            found[DRAWN if kind == DRAWN else scenario].counts[place, fault] += count
    return found


def total(several: Sequence[Matrix]) -> Matrix:
    """All scenarios in one."""
    result = Matrix()
    for each in several:
        for place, faults in each.offered.items():
            result.offered.setdefault(place, set()).update(faults)
        result.counts.update(each.counts)
        result.undisturbed |= each.undisturbed
    return result
