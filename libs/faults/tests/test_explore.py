"""What is tried within a depth, on a scenario whose runs are written down here."""

from dataclasses import dataclass, field

from faults.explore import DEEP, MAX_NTH_OF_READS, Tally, Triple, jobs_of, run_jobs, strikes_at
from faults.plan import KINDS, TWISTS, Plan, Site, Strike
from faults.scenario import Outcome, Repairer
from faults.world import Visit

FAULTS = tuple(KINDS)
COMMIT = Visit(Site("clerk", "commit", "A"), FAULTS)
PUT = Visit(Site("clerk", "put_events", "A"), (*FAULTS, "duplicate"))
AGAIN = Visit(Site("clerk", "commit", "A", 2), FAULTS)


@dataclass
class Written:
    """Commits, then publishes; after any fault, which always strikes, it commits once more."""

    name: str = "written"
    fatal: frozenset[str] = frozenset()
    plans: list[Plan] = field(default_factory=list)
    worthless: frozenset[str] = frozenset()

    def is_worth(self, plan: Plan) -> bool:
        return not self.worthless & set(plan.faults)

    def run(self, plan: Plan, seed: int, *, keep_trace: bool = False) -> Outcome:
        self.plans.append(plan)
        visits: list[Visit] = [COMMIT, PUT]
        struck_at = [
            number
            for strike in plan.strikes
            for number, visit in enumerate([COMMIT, PUT, AGAIN], start=1)
            if visit.site == strike.site
        ]
        if plan.strikes:
            visits.append(AGAIN)
        return Outcome(
            met=plan.strikes,
            visits=tuple(visits),
            after_last=max(struck_at, default=0),
            violations=("I1 money: gone",) if self.fatal & set(plan.faults) else (),
            seconds=60.0,
            recovery_seconds=5.4,
            repairer=Repairer.RETRY if plan.strikes else Repairer.NOBODY,
            trace_hash="",
            reached=frozenset({"a process died"} if plan.strikes else ()),
        )


def pairs(scenario: Written) -> set[Plan]:
    return {plan for plan in scenario.plans if len(plan) == 2}


def test_singles_are_every_fault_at_every_visit() -> None:
    scenario = Written()
    run_jobs(jobs_of(scenario), workers=1)

    singles = [plan.strikes[0] for plan in scenario.plans if len(plan) == 1]
    assert sorted(singles) == sorted(
        Strike(visit.site, fault) for visit in (COMMIT, PUT) for fault in visit.faults
    )


def test_pairs_are_every_deep_fault_at_what_follows_each_deep_single() -> None:
    scenario = Written()
    run_jobs(jobs_of(scenario, depth=2), workers=1)

    deep = {"commit": DEEP["commit"], "put_events": set(DEEP["put_events"]) & set(PUT.faults)}
    after = {COMMIT: (PUT, AGAIN), PUT: (AGAIN,)}
    assert pairs(scenario) == {
        Plan((Strike(visit.site, first), Strike(later.site, second)))
        for visit, following in after.items()
        for first in deep[visit.site.operation]
        for later in following
        for second in deep[later.site.operation]
    }


def test_pair_that_is_not_worth_it_is_left_out() -> None:
    scenario = Written(worthless=frozenset({"pause_before"}))
    run_jobs(jobs_of(scenario, depth=2), workers=1)

    assert pairs(scenario)
    assert not any("pause_before" in plan.faults for plan in pairs(scenario))


def test_triples_are_the_same_each_time() -> None:
    first, second = Written(), Written()
    for scenario in (first, second):
        run_jobs([Triple(scenario, 0, number) for number in range(20)], workers=1)

    assert any(len(plan) == 3 for plan in first.plans)
    assert first.plans == second.plans


def test_polls_are_hit_in_their_first_rounds_only() -> None:
    visits = [Visit(Site("clerk", "read", "books", nth), ("error_before",)) for nth in range(1, 9)]

    assert len(strikes_at(visits)) == MAX_NTH_OF_READS


def test_deep_faults_are_faults() -> None:
    assert {fault for faults in DEEP.values() for fault in faults} <= {*KINDS, *TWISTS}


def test_tally_adds_up_whatever_the_order_of_its_parts() -> None:
    scenario = Written(fatal=frozenset({"error_after"}))
    jobs = jobs_of(scenario, depth=2)
    whole, backwards = run_jobs(jobs, workers=1), Tally()
    for job in reversed(jobs):
        backwards.merge(job())
    backwards.failures.reverse()

    assert whole.runs == len(scenario.plans) // 2  # The undisturbed run to find visits, and again.
    assert whole.runs == backwards.runs
    assert whole.faults_met == sum(whole.cells.values())
    assert whole.virtual_seconds == 60.0 * whole.runs
    assert sum(whole.repairers.values()) == whole.runs
    assert whole.recoveries == {5: whole.runs - 1}
    assert whole.reached == {"a process died": whole.runs - 1}
    assert whole.sites == {("written", COMMIT.site.place), ("written", PUT.site.place)}
    assert (whole.cells, whole.repairers) == (backwards.cells, backwards.repairers)
    assert {str(each) for each in whole.failures} == {str(each) for each in backwards.failures}


def test_failure_names_the_plan_that_shows_it_again() -> None:
    tally = run_jobs(jobs_of(Written(fatal=frozenset({"duplicate"}))), workers=1)

    (failure,) = tally.failures
    assert str(failure) == "written seed 0: clerk:put_events(A):duplicate"


def test_exploring_can_stop_at_the_first_failure() -> None:
    scenario = Written(fatal=frozenset({"crash_before"}))
    tally = run_jobs(jobs_of(scenario), workers=1, stop_at_failure=True)

    assert len(tally.failures) == 1
    assert tally.runs == 2


def test_progress_is_told_after_each_job() -> None:
    heard: list[int] = []
    jobs = jobs_of(Written())
    run_jobs(jobs, workers=1, on_progress=lambda done, tally: heard.append(done))

    assert heard == list(range(1, len(jobs) + 1))
