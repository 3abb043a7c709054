"""What a fault is, and how a seed becomes a plan of them.

Guarantee: the plan depends on the seed and the size of the run alone; each kind comes at least once
when there are as many faults as kinds.
"""

import random
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

from chaos.stage import Stage

# The first orders are under way by then; and after the last fault there are still some to come.
FIRST_SECONDS = 3.0
LAST_SHARE = 0.95


@dataclass(frozen=True)
class Fault(ABC):
    """One fault: `target` and the other fields are its parameters."""

    # Relative to the other kinds; and what it does, in one line.
    weight: ClassVar[int]
    about: ClassVar[str]

    target: str

    @classmethod
    @abstractmethod
    def drawn(cls, chance: random.Random) -> Self:
        """One of this kind with random parameters."""

    @abstractmethod
    async def inflict(self, stage: Stage) -> str:
        """Do it and undo it; returns what came of it, in words."""

    @property
    def kind(self) -> str:
        return type(self).__name__

    @property
    def parameters(self) -> dict[str, Any]:
        """Without the target."""
        return {name: value for name, value in asdict(self).items() if name != "target"}


@dataclass(frozen=True)
class Planned:
    """A fault and when it is due, in seconds of the run."""

    number: int
    at_seconds: float
    fault: Fault


def plan(
    kinds: Sequence[type[Fault]], *, seed: int, faults: int, run_seconds: float
) -> list[Planned]:
    """As many faults, spread over the run."""
    chance = random.Random(f"{seed}/faults")
    chosen = list(kinds)
    chance.shuffle(chosen)
    chosen = chosen[:faults]
    weights = [kind.weight for kind in kinds]
    chosen += chance.choices(kinds, weights, k=faults - len(chosen))
    chance.shuffle(chosen)
    step = (run_seconds * LAST_SHARE - FIRST_SECONDS) / max(faults, 1)
    return [
        Planned(
            number=number,
            at_seconds=FIRST_SECONDS + step * (number - 1 + chance.random()),
            fault=kind.drawn(chance),
        )
        for number, kind in enumerate(chosen, 1)
    ]
