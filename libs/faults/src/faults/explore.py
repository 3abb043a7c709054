"""Hits a scenario everywhere: each operation with each fault, then all that follows once more.

Guarantee: nothing is left out within the stated depth. Singles are every fault at every operation
of the undisturbed run; pairs are, for each single, every fault at every operation that this very
run then came through, recovery included. Triples are drawn by a seed.
"""

import gc
import multiprocessing
import random
import shlex
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Protocol

from faults.plan import Plan, Strike
from faults.scenario import Outcome, Scenario
from faults.world import READS, Visit

# Each tick of a poller reads, and the tenth lost read is like the second.
MAX_NTH_OF_READS = 2
# What pairs and triples are made of: of faults that leave everything outside of the process alike,
# one stands for all (singles try every one). What a process has in memory is lost or late in any
# case, so: a crash or pause after an operation is one before the next of that process; a crash
# around a receive or a delete is one before the commit, or after the publishing, in between; a
# message that its queue delivers twice, that is not deleted, or that is published again because its
# mark was lost, is one that the bus delivers twice; an unpublished part of a batch is an
# unpublished batch.
DEEP: Mapping[str, tuple[str, ...]] = {
    "commit": ("crash_before", "error_before", "error_after", "pause_before"),
    "write": (),
    "put_events": (
        "crash_before", "crash_after", "error_before", "error_after", "pause_before", "duplicate",
        "late",
    ),
    "receive_message": (),
    "delete_message_batch": (),
    "batch_execute_statement": ("crash_after", "error_after"),
    "batch_write_item": ("error_before",),
    # What only a recovery comes to: taking over, giving up, putting back, asking what happened.
    "put_item": ("error_after",),
    "update_item": ("error_after",),
    "delete_item": ("error_before",),
    "send_message": ("error_after", "crash_after"),
    "change_message_visibility": ("error_before",),
    "gateway_get": ("error_before",),
    "gateway_post": (
        "crash_after", "error_before", "error_after", "pause_before", "pause_after", "late",
        "fail_before", "fail_after",
    ),
    "deliver": ("late",),
    "tell": ("duplicate", "late", "reorder"),
    # What a service without SQL has instead of commits, each right after the other.
    "transact_write_items": (
        "crash_after", "error_before", "error_after", "pause_before", "pause_after",
    ),
    "send_raw_email": ("crash_after", "refuse", "error_after", "pause_after", "late"),
}  # fmt: skip
# And these where several messages are at it: of one, refusing a part is refusing all.
DEEP_OF_SEVERAL: Mapping[str, tuple[str, ...]] = {"put_events": ("partial",)}


@dataclass(frozen=True, slots=True)
class Failure:
    """A run that broke an invariant."""

    scenario: str
    plan: Plan
    seed: int
    violations: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.scenario} seed {self.seed}: {self.plan}"

    def again(self, command: str, options: str = "") -> str:
        """One line for a shell that shows it again; `command` is how the subject is called."""
        arguments = [
            "run",
            self.scenario,
            str(self.plan),
            *options.split(),
            "--seed",
            str(self.seed),
        ]
        return f"{command} {shlex.join(arguments)}"


@dataclass
class Tally:
    """What a number of runs came to; tallies add up.

    `cells` counts runs by scenario, place, fault and depth; `recoveries` holds seconds from the
    last fault to rest, rounded; `reached` counts runs by the interesting states they came through.
    `sites` are the scenarios' places in undisturbed runs; `offered` holds every place that any run
    came through, in the order of the first visits, with the faults that could be met there.
    """

    runs: int = 0
    faults_met: int = 0
    virtual_seconds: float = 0.0
    cells: Counter[tuple[str, str, str, int]] = field(default_factory=Counter)
    repairers: Counter[tuple[str, str]] = field(default_factory=Counter)
    recoveries: Counter[int] = field(default_factory=Counter)
    reached: Counter[str] = field(default_factory=Counter)
    sites: set[tuple[str, str]] = field(default_factory=set)
    offered: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)

    def add(self, scenario: str, plan: Plan, seed: int, outcome: Outcome) -> None:
        """Count one run in."""
        self.runs += 1
        self.faults_met += len(outcome.met)
        self.virtual_seconds += outcome.seconds
        for strike in outcome.met:
            self.cells[scenario, strike.site.place, strike.fault, len(plan)] += 1
        self.repairers[scenario, str(outcome.repairer)] += 1
        if outcome.met:
            self.recoveries[round(outcome.recovery_seconds)] += 1
        self.reached.update(outcome.reached)
        for visit in outcome.visits:
            self.offered.setdefault((scenario, visit.site.place), set()).update(visit.faults)
        if outcome.violations:
            self.failures.append(Failure(scenario, plan, seed, outcome.violations))

    def merge(self, other: "Tally") -> None:
        """Add another tally to this one."""
        self.runs += other.runs
        self.faults_met += other.faults_met
        self.virtual_seconds += other.virtual_seconds
        self.cells.update(other.cells)
        self.repairers.update(other.repairers)
        self.recoveries.update(other.recoveries)
        self.reached.update(other.reached)
        self.sites |= other.sites
        for place, faults in other.offered.items():
            self.offered.setdefault(place, set()).update(faults)
        self.failures.extend(other.failures)


def strikes_at(visits: Sequence[Visit]) -> list[Strike]:
    """Every fault at every one of these operations."""
    return [
        Strike(visit.site, fault)
        for visit in visits
        if visit.site.operation not in READS or visit.site.nth <= MAX_NTH_OF_READS
        for fault in visit.faults
    ]


def deep_strikes_at(visits: Sequence[Visit]) -> list[Strike]:
    """The faults at these operations that pairs and triples are made of (see DEEP)."""
    return [
        Strike(visit.site, fault)
        for visit in visits
        for fault in (
            *DEEP.get(visit.site.operation, ()),
            *(DEEP_OF_SEVERAL.get(visit.site.operation, ()) if "+" in visit.site.subject else ()),
        )
        if fault in visit.faults
    ]


class Job(Protocol):
    """Some runs that belong together; it travels to another process and answers a tally."""

    def __call__(self) -> Tally:
        """Run them all."""
        ...


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """The run without a fault."""

    scenario: Scenario
    seed: int

    def __call__(self) -> Tally:
        """Run it."""
        tally = Tally()
        outcome = _counted(self.scenario, Plan(), self.seed, tally)
        tally.sites |= {(self.scenario.name, visit.site.place) for visit in outcome.visits}
        return tally


@dataclass(frozen=True, slots=True)
class Singles:
    """One single and, if `depth` is 2, all pairs that begin with it."""

    scenario: Scenario
    seed: int
    first: Strike
    depth: int = 1

    def __call__(self) -> Tally:
        """Run them all."""
        tally = Tally()
        plan = Plan((self.first,))
        single = _counted(self.scenario, plan, self.seed, tally)
        if self.depth > 1:
            for second in deep_strikes_at(single.visits[single.after_last :]):
                if self.scenario.is_worth(plan.plus(second)):
                    _counted(self.scenario, plan.plus(second), self.seed, tally)
        return tally


@dataclass(frozen=True, slots=True)
class Triple:
    """One triple by its number: each fault is drawn from what the one before has left to come."""

    scenario: Scenario
    seed: int
    number: int

    def __call__(self) -> Tally:
        """Draw it and run it; the runs on the way to it are pairs and singles, and not counted."""
        tally = Tally()
        dice = random.Random(f"{self.seed}/{self.scenario.name}/{self.number}")
        plan, outcome = Plan(), self.scenario.run(Plan(), self.seed)
        for _ in range(3):
            strikes = deep_strikes_at(outcome.visits[outcome.after_last :])
            if not strikes:
                return tally  # The last fault was the last thing that happened.
            plan = plan.plus(dice.choice(strikes))
            outcome = self.scenario.run(plan, self.seed)
        tally.add(self.scenario.name, plan, self.seed, outcome)
        return tally


def _counted(scenario: Scenario, plan: Plan, seed: int, tally: Tally) -> Outcome:
    outcome = scenario.run(plan, seed)
    tally.add(scenario.name, plan, seed, outcome)
    return outcome


def jobs_of(scenario: Scenario, *, seed: int = 0, depth: int = 1) -> list[Job]:
    """The undisturbed run and one job for each single; pairs begin with those in DEEP."""
    undisturbed = scenario.run(Plan(), seed)
    deep = set(deep_strikes_at(undisturbed.visits))
    singles = [
        Singles(scenario, seed, strike, depth if strike in deep else 1)
        for strike in strikes_at(undisturbed.visits)
    ]
    return [Undisturbed(scenario, seed), *singles]


def run_jobs(
    jobs: Sequence[Job],
    *,
    workers: int,
    on_progress: Callable[[int, Tally], None] | None = None,
    stop_at_failure: bool = False,
) -> Tally:
    """Run all jobs on so many processes; `on_progress(done, tally)` hears of each that is done."""
    total = Tally()
    for done, tally in enumerate(_results(jobs, workers), start=1):
        total.merge(tally)
        if on_progress is not None:
            on_progress(done, total)
        if stop_at_failure and total.failures:
            break
    return total


def _results(jobs: Sequence[Job], workers: int) -> Iterator[Tally]:
    if workers <= 1:
        for job in jobs:
            yield job()
        return
    context: Any = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=leave_interrupts)
    try:
        yield from pool.map(_call, jobs, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def leave_interrupts() -> None:
    """Ctrl-C goes to a whole group of processes; only the one that was started says so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _call(job: Job) -> Tally:
    _freeze()
    return job()


@cache
def _freeze() -> None:
    """What lives as long as the process need not be looked through for circles after every run.

    Once: to ask how much is frozen already would count it, which takes longer than a run.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
