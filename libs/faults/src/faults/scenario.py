"""What can be hit, and what is said about a run: the two shapes that explorers and reports share.

Guarantee: none of its own.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from faults.plan import Plan, Strike
from faults.world import Visit


class Repairer(StrEnum):
    """Who brought a run to its end: the first of these that sufficed."""

    NOBODY = "nobody had to"
    RETRY = "retries and redelivery"
    DEADLINE = "a saga's deadline"
    RECONCILER = "reconciliation"
    HUMAN = "a human would have to"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one run.

    `violations` name the invariant first ('I1 ...'). `reached` are the interesting states that the
    run came through. Times are virtual seconds; `recovery_seconds` is from the last fault to rest.
    `met` are the faults that really struck, `visits` every operation, and `after_last` the number
    of visits when the last fault had been met.
    """

    met: tuple[Strike, ...]
    visits: tuple[Visit, ...]
    after_last: int
    violations: tuple[str, ...]
    seconds: float
    recovery_seconds: float
    repairer: Repairer
    trace_hash: str
    reached: frozenset[str] = frozenset()
    trace: tuple[str, ...] = field(default=(), repr=False)


def ended_badly(error: RuntimeError) -> Outcome:
    """The outcome of a run that could not be played to its end (`Endless`, `Deadlock`)."""
    violation = f"I4 terminal: {type(error).__name__}: {error}"
    return Outcome((), (), 0, (violation,), 0.0, 0.0, Repairer.HUMAN, "")


class Scenario(Protocol):
    """One course of a saga, from the request to rest."""

    @property
    def name(self) -> str:
        """Short and stable: it stands in reproductions."""
        ...

    def is_worth(self, plan: Plan) -> bool:
        """Whether a plan of several faults can come to anything that no shorter plan shows."""
        ...

    def on_postgres(self, url: str) -> "Scenario":
        """The same on the server at this URL instead of databases in memory."""
        ...

    def run(self, plan: Plan, seed: int, *, keep_trace: bool = False) -> Outcome:
        """Play it once in a new world."""
        ...
