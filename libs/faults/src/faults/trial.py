"""A saga put to the test by declaration: which saga, whose services, what must come of it.

Guarantee: a trial is a pure function of plan and seed. What holds of any saga is looked at in every
run; what its own rows must come to, the team says.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from contracts import Topology, load_topology
from faults import invariants
from faults.loop import VirtualLoop
from faults.plan import Plan
from faults.play import outcome_of, play, rest
from faults.scenario import Outcome
from faults.stage import Databases, Process, Stage, Unanswered
from sagas import Saga

__all__ = ["Databases", "Invariant", "Process", "Stage", "Trial"]

# A pause outlasts every deadline by more than a visibility or a lease (30 s each) and the sweeps.
PAUSE_MARGIN_SECONDS = 100.0
# How long after its saga's longest life a run is given up: two pauses, and an hour for deliveries.
LIMIT_MARGIN_SECONDS = 3_600.0

Invariant = Callable[[Databases], Iterable[str]]


@dataclass(frozen=True)
class Trial:
    """One course of one saga, from its beginning to rest; see docs/faults.md.

    `start(stage)` fills the databases and begins the saga, by `stage.ask` or `stage.tell`.
    `expected` are the states in which the instances end, one each, when no fault was as long as a
    deadline. `invariants` yield a text, number first, for each thing that is wrong at rest; those
    in `always`, after each step. `letters` are the reasons of dead letters that have to be there.
    `without` names faults that are left out, such as 'lose' where a message has no deadline.

    Everything in it is a name in a module: trials travel to other processes.
    """

    name: str
    saga: Saga[Any]
    processes: Sequence[Process]
    start: Callable[[Stage], Awaitable[None]]
    invariants: Sequence[Invariant] = ()
    always: Sequence[Invariant] = ()
    expected: tuple[str, ...] = ("completed",)
    topology: Callable[[], Topology] = load_topology
    letters: tuple[str, ...] = ()
    without: frozenset[str] = frozenset()
    reads: bool = False

    @property
    def pause_seconds(self) -> float:
        """How long the long faults last: beyond every deadline of the saga."""
        return max(s.deadline.total_seconds() for s in self.saga.steps) + PAUSE_MARGIN_SECONDS

    def is_worth(self, plan: Plan) -> bool:
        """Nothing here covers up for the saga, so every plan may show something."""
        return True

    def run(self, plan: Plan, seed: int, *, keep_trace: bool = False) -> Outcome:
        """Play it in a new world."""
        return play(lambda loop: self._play(loop, plan, seed, keep_trace), seed)

    async def _play(self, loop: VirtualLoop, plan: Plan, seed: int, keep_trace: bool) -> Outcome:
        stage = Stage(
            loop,
            plan,
            seed,
            processes=self.processes,
            topology=self.topology(),
            pause_seconds=self.pause_seconds,
            reads=self.reads,
            without=self.without,
            keep_trace=keep_trace,
        )
        world, moves = stage.world, invariants.SagaMoves(stage)
        broken: list[str] = []
        world.on_step.append(
            lambda process, operation: broken.extend(_broken(self.always, stage.databases))
        )
        stage.open()
        limit_seconds = self.saga.longest_life().total_seconds() + LIMIT_MARGIN_SECONDS
        try:
            async with asyncio.timeout(limit_seconds):
                await self.start(stage)
                await rest(lambda: invariants.is_at_rest(stage))
        except Unanswered as error:
            broken.append(f"I9 acknowledged: {error}")
        except TimeoutError:
            broken.append(f"I4 terminal: still moving after {limit_seconds:.0f} s")
        rested_at = loop.time()
        broken += [*moves.broken, *self._broken_at_rest(stage)]
        world.stop()
        return outcome_of(
            world,
            broken=broken,
            rested_at=rested_at,
            repairer=invariants.repairer_of(stage, bool(broken)),
            reached=invariants.reached_by(stage),
        )

    def _broken_at_rest(self, stage: Stage) -> Iterator[str]:
        yield from _broken(self.invariants, stage.databases)
        yield from invariants.died(stage)
        yield from invariants.left_over(stage, self.letters)
        yield from invariants.unheard(stage)
        yield from invariants.unexpected(stage, self.saga.name, self.expected)
        yield from (f"stand-in: {what} is not supported" for what in stage.aws.unsupported)


def _broken(these: Sequence[Invariant], databases: Databases) -> list[str]:
    return [text for invariant in these for text in invariant(databases)]
