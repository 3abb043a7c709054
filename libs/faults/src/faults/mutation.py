"""Lets scenarios loose on mutants: which fault finds out that which guard is missing.

Guarantee: each mutant has a process of its own, in which the mutated modules were never imported
whole; a mutant counts as killed only by an invariant that a named plan breaks.
"""

import importlib
import logging
import multiprocessing
import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import chain
from typing import Any

from faults.explore import deep_strikes_at, leave_interrupts, strikes_at
from faults.mutants import Mutant, install
from faults.plan import Plan
from faults.scenario import Outcome, Scenario

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a mutant: the run that killed it, or None after `runs` runs."""

    mutant: str
    runs: int
    scenario: str | None = None
    plan: str = ""
    violations: tuple[str, ...] = ()

    @property
    def killed(self) -> bool:
        """Whether some invariant was broken."""
        return self.scenario is not None


def load(reference: str) -> Any:
    """The object that `package.module:name` stands for."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


def judge(mutant: Mutant, scenarios: str, *, search: bool, most_runs: int = 1_500) -> Verdict:
    """Run a mutant's killers, and where they fail and `search` is set, everything else.

    `scenarios` refers to them, since they must not be imported before the mutant is in place.
    """
    install(mutant)
    by_name: dict[str, Scenario] = {each.name: each for each in load(scenarios)}
    runs = 0
    plans = _all_plans(list(by_name.values())) if search else iter(())
    for scenario, plan, outcome in chain(_killers(mutant, by_name), plans):
        runs += 1
        if outcome.violations:
            return Verdict(mutant.name, runs, scenario.name, str(plan), outcome.violations)
        if runs >= most_runs:
            break
    return Verdict(mutant.name, runs)


Run = tuple[Scenario, Plan, Outcome]


def _killers(mutant: Mutant, by_name: dict[str, Scenario]) -> Iterator[Run]:
    for name, text in mutant.killers:
        plan = Plan.parse(text)
        yield by_name[name], plan, by_name[name].run(plan, mutant.seed)


def _all_plans(scenarios: Sequence[Scenario]) -> Iterator[Run]:
    """No fault, then singles, then pairs, of all scenarios; in no order, so that the scenario that
    a guard matters to is among the first.
    """
    undisturbed = [(scenario, scenario.run(Plan(), 0)) for scenario in scenarios]
    for scenario, outcome in undisturbed:
        yield scenario, Plan(), outcome
    dice = random.Random(0)
    singles = [
        (scenario, Plan((strike,)))
        for scenario, outcome in undisturbed
        for strike in strikes_at(outcome.visits)
    ]
    dice.shuffle(singles)
    for scenario, plan in singles:
        yield scenario, plan, scenario.run(plan, 0)
    firsts = [
        (scenario, Plan((strike,)))
        for scenario, outcome in undisturbed
        for strike in deep_strikes_at(outcome.visits)
    ]
    dice.shuffle(firsts)
    for scenario, first in firsts:
        single = scenario.run(first, 0)
        for second in deep_strikes_at(single.visits[single.after_last :]):
            plan = first.plus(second)
            if scenario.is_worth(plan):
                yield scenario, plan, scenario.run(plan, 0)


def judge_all(
    mutants: Sequence[Mutant],
    scenarios: str,
    *,
    workers: int,
    search: bool,
    on_verdict: Callable[[Verdict], None] | None = None,
) -> list[Verdict]:
    """Judge each in a process of its own; the verdicts in the mutants' order."""
    context: Any = multiprocessing.get_context("spawn")
    found: dict[str, Verdict] = {}
    pool = ProcessPoolExecutor(
        workers, mp_context=context, max_tasks_per_child=1, initializer=leave_interrupts
    )
    try:
        judging = [pool.submit(judge, mutant, scenarios, search=search) for mutant in mutants]
        for each in as_completed(judging):
            verdict = each.result()
            found[verdict.mutant] = verdict
            if on_verdict is not None:
                on_verdict(verdict)
    finally:
        pool.shutdown(cancel_futures=True)
    return [found[mutant.name] for mutant in mutants]
