"""Random scenarios, schedules and faults, shrunk to the smallest that still breaks an invariant.

Guarantee: the same seed draws the same examples; what is reported of a failure is one line, which
shows it again without any drawing.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from faults.explore import Tally, strikes_at
from faults.plan import Plan
from faults.scenario import Outcome, Scenario

S = TypeVar("S")

MAX_FAULTS = 3
# Schedules are numbered; a run draws its latencies from the number.
MAX_SCHEDULE = 999

# Which of the operations that follow is hit, and with which of its faults: both modulo their count.
CHOICES = st.lists(st.tuples(st.integers(0, 499), st.integers(0, 9)), max_size=MAX_FAULTS)


class Broken(AssertionError):
    """An example broke an invariant."""


def follow(
    scenario: Scenario, schedule: int, choices: Sequence[tuple[int, int]]
) -> tuple[Plan, list[Outcome]]:
    """Hit a run at the chosen operations, each among those that come after the last; all runs."""
    plan = Plan()
    outcomes = [scenario.run(plan, schedule)]
    for operation, fault in choices:
        last = outcomes[-1]
        visits = [v for v in last.visits[last.after_last :] if v.faults]
        if not visits or last.violations:
            break
        strikes = strikes_at([visits[operation % len(visits)]])
        if not strikes:
            continue
        plan = plan.plus(strikes[fault % len(strikes)])
        outcomes.append(scenario.run(plan, schedule))
    return plan, outcomes


def explore_randomly(
    scenarios: st.SearchStrategy[Scenario],
    *,
    examples: int,
    seed_number: int,
    on_progress: Callable[[int, Tally], None] | None = None,
) -> Tally:
    """Draw so many examples; the tally's one failure, if any, is the smallest that was found."""
    tally = Tally()
    smallest: list[tuple[Scenario, int, Plan, Outcome]] = []
    drawn = 0

    @seed(seed_number)
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        print_blob=False,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(scenario=scenarios, schedule=st.integers(0, MAX_SCHEDULE), choices=CHOICES)
    def example(scenario: Scenario, schedule: int, choices: list[tuple[int, int]]) -> None:
        nonlocal drawn
        drawn += 1
        plan, outcomes = follow(scenario, schedule, choices)
        for outcome in outcomes:
            tally.add("random", Plan(outcome.met), schedule, outcome)
            tally.sites |= {("random", visit.site.place) for visit in outcome.visits}
        if on_progress is not None:
            on_progress(drawn, tally)
        if outcomes[-1].violations:
            smallest[:] = [(scenario, schedule, plan, outcomes[-1])]
            raise Broken(f"{scenario.name} seed {schedule}: {plan}")

    try:
        example()
    except Broken:
        scenario, schedule, plan, outcome = smallest[0]
        tally.failures.clear()
        last = Tally()
        last.add(scenario.name, plan, schedule, outcome)
        tally.failures.extend(last.failures)
    return tally
