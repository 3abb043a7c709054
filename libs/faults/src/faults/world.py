"""A world of processes that can be hit at every operation, in virtual time.

Guarantee: a crash never resumes: whatever a dead incarnation still tries ends in ProcessDead, its
tasks are cancelled, and the process starts again from what its stores hold. The same plan and seed
give the same trace.
"""

import asyncio
import hashlib
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

from faults.gate import ProcessDead
from faults.loop import SKEW_SECONDS, VirtualLoop, kept_task
from faults.plan import KINDS, TWISTS, Plan, Site, Strike

T = TypeVar("T")

# How long an operation takes on its way: drawn for each, so that the seed decides who is first.
LATENCY_SECONDS = (0.001, 0.009)
# A supervisor takes about this long to start a process again.
RESTART_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Visit:
    """An operation that was reached, and the faults that it could have met."""

    site: Site
    faults: tuple[str, ...]


class Incarnation:
    """One life of a process; everything that it does outside passes its gate."""

    def __init__(self, world: "World", process: str, number: int, skew_seconds: float) -> None:
        self.process = process
        self.number = number
        self.dead = False
        self.skew_seconds = skew_seconds
        self.frozen_until = 0.0
        self.tasks: list[asyncio.Task[Any]] = []
        self.on_death: list[Callable[[], None]] = []
        self._world = world

    async def call(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], T],
        *,
        error: Callable[[str], BaseException],
        twists: Sequence[str] = (),
    ) -> T:
        """See `Gate`: this is the gate that lets a plan's faults in."""
        world = self._world
        if self.dead or self.frozen_until:
            await self._thawed()
        if operation in READS and not world.reads:
            return effect(None)
        fault = world.visit(self.process, operation, detail, twists)
        if fault is None:
            await asyncio.sleep(world.latency())
            if self.dead or self.frozen_until:
                await self._thawed()
            result = effect(None)
            world.stepped(self.process, operation)
            return result
        return await self._struck(fault, effect, error)

    async def _struck(
        self,
        fault: str,
        effect: Callable[[str | None], T],
        error: Callable[[str], BaseException],
    ) -> T:
        world = self._world
        if fault == "crash_before":
            raise self.die()
        if fault == "error_before":
            await asyncio.sleep(world.latency())
            await self._thawed()
            raise error("it is out of reach")
        if fault == "pause_before":
            self.freeze(world.pause_seconds)
        else:
            await asyncio.sleep(world.latency())
        await self._thawed()
        happening = world.happenings.get(fault)
        result = effect(fault if fault in TWISTS and happening is None else None)
        if happening is not None:
            happening()
        world.stepped(self.process, fault)
        if fault == "crash_after":
            raise self.die()
        if fault == "error_after":
            raise error("its answer was lost")
        if fault == "pause_after":
            self.freeze(world.pause_seconds)
            await self._thawed()
        return result

    async def _thawed(self) -> None:
        """Return once the process runs; raises ProcessDead if it does no more."""
        loop = asyncio.get_running_loop()
        if not self.dead and loop.time() < self.frozen_until:
            await asyncio.sleep(self.frozen_until - loop.time())
            await self._thawed()  # It may have been stopped once more meanwhile.
        self.frozen_until = 0.0
        if self.dead:
            raise ProcessDead(f"{self.process} {self.number} is dead")

    def freeze(self, seconds: float) -> None:
        """Stand still, as under SIGSTOP; everybody else goes on."""
        self.frozen_until = asyncio.get_running_loop().time() + seconds

    def die(self) -> ProcessDead:
        """Die at once, as under SIGKILL; the world starts the process again."""
        if not self.dead:
            self._world.buried(self)
        return ProcessDead(f"{self.process} {self.number} is dead")


_INCARNATION: ContextVar[Incarnation | None] = ContextVar("incarnation", default=None)


class World:
    """Processes by name, the plan's faults, and the trace of a run.

    `pause_seconds` is how long a paused process stands still; it has to outlast every lease,
    visibility and deadline. `subject(operation, detail)` names what an operation is done to.
    `reads`: whether operations that change nothing count as operations.
    """

    def __init__(
        self,
        loop: VirtualLoop,
        plan: Plan,
        seed: int,
        *,
        pause_seconds: float,
        subject: Callable[[str, Sequence[str]], str],
        reads: bool = True,
        keep_trace: bool = False,
    ) -> None:
        self.loop = loop
        self.reads = reads
        self.plan = plan
        self.pause_seconds = pause_seconds
        self._seed = seed
        self._last = b""
        # Operations before this is set cannot be hit, and do not count.
        self.armed = True
        self.visits: list[Visit] = []
        self.met: list[Strike] = []
        # When each of them was met.
        self.met_at: list[float] = []
        # The number of visits when the last of the faults was met.
        self.last_met_at = 0
        self.last_met_seconds = 0.0
        self.crashes = 0
        # Processes that ended by themselves, which none may: by name, with the reason.
        self.ended: list[str] = []
        self.trace: list[str] | None = [] if keep_trace else None
        self.on_step: list[Callable[[str, str], None]] = []
        # What may befall the world itself, by the fault's name, and after which operations.
        self.happenings: dict[str, Callable[[], None]] = {}
        self.happen_after: dict[str, tuple[str, ...]] = {}
        # Twists that this world does not have.
        self.without: frozenset[str] = frozenset()
        self._subject = subject
        self._planned = {strike.site: strike.fault for strike in plan.strikes}
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._mains: dict[str, Callable[[Incarnation], Awaitable[None]]] = {}
        self._skews: dict[str, float] = {}
        self._lives: dict[str, Incarnation] = {}
        self._hash = hashlib.sha256()
        self._stopped = False
        loop.set_task_factory(_tracked_task)  # type: ignore[arg-type]

    @property
    def trace_hash(self) -> str:
        """Of every operation in its order, with its time: the same for the same run."""
        return self._hash.hexdigest()

    def start(
        self,
        process: str,
        main: Callable[[Incarnation], Awaitable[None]],
        *,
        skew_seconds: float = 0.0,
    ) -> None:
        """Run `main` as a process; it is started again whenever it has died or ended."""
        self._mains[process] = main
        self._skews[process] = skew_seconds
        self._start(process, 1)

    def life_of(self, process: str) -> Incarnation:
        """The present incarnation."""
        return self._lives[process]

    @property
    def is_frozen(self) -> bool:
        """Whether a process stands still and will go on."""
        now = self.loop.time()
        return any(not life.dead and life.frozen_until > now for life in self._lives.values())

    def stop(self) -> None:
        """End every process for good."""
        self._stopped = True
        for life in self._lives.values():
            life.dead = True
            for task in life.tasks:
                task.cancel()

    def latency(self) -> float:
        """How long the operation takes that was reached last.

        It follows from the seed and the operation, not from what came before: so a fault changes
        the order of events only by what it does.
        """
        shortest, longest = LATENCY_SECONDS
        share = (zlib.crc32(self._last, self._seed) & 0xFFFF) / 0xFFFF
        return shortest + share * (longest - shortest)

    def visit(
        self, process: str, operation: str, detail: Sequence[str], twists: Sequence[str]
    ) -> str | None:
        """Note that an operation is reached; the fault that it meets, if any."""
        if not self.armed:
            return None
        subject = self._subject(operation, detail)
        key = (process, operation, subject)
        self._counts[key] += 1
        site = Site(*key, self._counts[key])
        if operation in READS:
            faults: tuple[str, ...] = ("error_before", *twists)
        elif operation in _DELIVERIES:
            faults = tuple(twists)
        else:
            faults = (*KINDS, *twists, *self.happen_after.get(operation, ()))
            if self.without:
                faults = tuple(fault for fault in faults if fault not in self.without)
        self.visits.append(Visit(site, faults))
        fault = self._planned.get(site) if self._planned else None
        if fault is not None:
            # What the operation does not offer cannot be met: the plan is out of date.
            fault = self._planned.pop(site) if fault in faults else None
        name = str(site)
        self._last = name.encode()
        self._note(f"{self.loop.time():.6f} {name} {fault or ''}")
        if fault is not None:
            self.met.append(Strike(site, fault))
            self.met_at.append(self.loop.time())
            self.last_met_at = len(self.visits)
            self.last_met_seconds = self.loop.time()
        return fault

    def stepped(self, process: str, operation: str) -> None:
        """Something has changed: invariants that hold after every step are looked at."""
        for callback in self.on_step:
            callback(process, operation)

    def buried(self, life: Incarnation) -> None:
        """The incarnation is dead: fence it, free what it held, start the next."""
        life.dead = True
        self.crashes += 1
        self._note(f"{self.loop.time():.6f} {life.process} {life.number} died")
        for callback in life.on_death:
            callback()
        current = asyncio.current_task()
        for task in life.tasks:
            if task is not current:
                task.cancel()
        if not self._stopped:
            self.loop.call_later(
                RESTART_SECONDS, self._start, life.process, life.number + 1, context=copy_context()
            )

    def _start(self, process: str, number: int) -> None:
        if self._stopped:
            return
        life = Incarnation(self, process, number, self._skews[process])
        self._lives[process] = life

        async def live() -> None:
            try:
                await self._mains[process](life)
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                ended = f"{type(error).__name__}: {error}"
            else:
                ended = "a worker of it returned"
            if not life.dead and not self._stopped:
                self.ended.append(f"{process}: {ended}")
                self._note(f"{process} {number} ended: {ended}")
            life.die()

        context = copy_context()
        context.run(_INCARNATION.set, life)
        context.run(SKEW_SECONDS.set, life.skew_seconds)
        self.loop.create_task(live(), name=process, context=context)

    def _note(self, line: str) -> None:
        self._hash.update(line.encode())
        if self.trace is not None:
            self.trace.append(line)


# Operations that change nothing: a crash around them is one around what comes next.
READS = frozenset({"begin", "read", "query", "batch_get_item"})
# What the outside does by itself: nobody's process dies of it.
_DELIVERIES = frozenset({"deliver", "tell"})


def in_process(life: Incarnation, call: Callable[[], T]) -> T:
    """Call something as that process: what it starts belongs to it."""
    context = copy_context()
    context.run(_INCARNATION.set, life)
    context.run(SKEW_SECONDS.set, life.skew_seconds)
    return context.run(call)


def _tracked_task(
    loop: VirtualLoop, coroutine: Any, context: Any = None, **options: Any
) -> asyncio.Task[Any]:
    """Every task belongs to the process that starts it, and dies with it."""
    task = kept_task(loop, coroutine, context=context, **options)
    life = context[_INCARNATION] if context and _INCARNATION in context else _INCARNATION.get()
    if life is not None:
        life.tasks.append(task)
        if life.dead:
            task.cancel()
    return task
