"""The mails of an order under every single fault; pairs and mutants: `make faults`.

Guarantee: no time passes for real.
"""

import os

import pytest

from faults.explore import Tally, jobs_of, run_jobs, strikes_at
from faults.mutants import Mutant, check
from faults.mutation import judge_all
from faults.plan import Plan
from faults.scenario import Repairer
from mail_world.courses import COURSES, Course, told
from mail_world.mutants import MUTANTS
from mail_world.regressions import REGRESSIONS
from mail_world.watch import STATES

BY_NAME = {course.name: course for course in COURSES}
# One guard of each kind; all of them: `make mutants`.
JUDGED = ("sent-again-after-a-lost-answer", "no-stage-mark", "recorded-before-handled")


@pytest.fixture(scope="module")
def singles() -> Tally:
    """Every single fault at every operation of every course."""
    jobs = [job for course in COURSES for job in jobs_of(course)]
    return run_jobs(jobs, workers=os.cpu_count() or 1)


@pytest.mark.timeout(600)
def test_no_single_fault_breaks_an_invariant_of_the_mails(singles: Tally) -> None:
    assert [f"{failure}: {failure.violations}" for failure in singles.failures] == []


def test_every_interesting_state_of_a_mail_is_reached(singles: Tally) -> None:
    assert [state for state in STATES if not singles.reached[state]] == []


@pytest.mark.parametrize("course", COURSES, ids=lambda course: course.name)
def test_undisturbed_mails_need_no_repair(course: Course) -> None:
    outcome = course.run(Plan(), 1)

    assert outcome.violations == ()
    assert outcome.repairer is Repairer.NOBODY


def test_same_plan_and_seed_give_the_same_trace_of_mails() -> None:
    course = BY_NAME["mails/two-workers"]
    strike = strikes_at(course.run(Plan(), 7).visits)[-1]
    for plan in (Plan(), Plan((strike,))):
        first, again = (course.run(plan, 7).trace_hash for _ in range(2))
        assert first == again
    assert course.run(Plan(), 8).trace_hash != course.run(Plan(), 7).trace_hash


@pytest.mark.parametrize(("name", "plan", "why"), REGRESSIONS)
def test_what_once_broke_an_invariant_of_the_mails_does_so_no_more(
    name: str, plan: str, why: str
) -> None:
    outcome = (BY_NAME.get(name) or told(name)).run(Plan.parse(plan), 0)

    assert outcome.violations == (), why
    assert len(outcome.met) == len(Plan.parse(plan))


def test_every_guard_of_the_mails_that_mutants_take_out_is_in_the_product() -> None:
    check(MUTANTS)


@pytest.mark.parametrize("name", JUDGED)
def test_mails_without_a_guard_break_an_invariant(name: str) -> None:
    mutants: list[Mutant] = [mutant for mutant in MUTANTS if mutant.name == name]
    (verdict,) = judge_all(mutants, "mail_world.courses:COURSES", workers=1, search=False)

    assert verdict.killed


def test_script_with_an_unknown_word_is_refused() -> None:
    with pytest.raises(ValueError, match="'shipped' is none of confirmed"):
        told("contact@1 shipped")
