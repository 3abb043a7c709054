"""The bookstore's sagas under every single fault, and under some at random.

Guarantee: no time passes for real. Pairs, triples, mutants and more random runs: `make faults`.
"""

import os
from dataclasses import replace

import pytest

from bookstore_world.course import story
from bookstore_world.mutants import MUTANTS
from bookstore_world.regressions import REGRESSIONS
from bookstore_world.sagas import COURSES, EXHAUSTIVE
from bookstore_world.stories import STORIES
from bookstore_world.witness import STATES
from faults.explore import Tally, jobs_of, run_jobs, strikes_at
from faults.mutants import check
from faults.plan import Plan
from faults.randomly import explore_randomly

SEED = 20261126
EXAMPLES = 60


@pytest.fixture(scope="module")
def singles() -> Tally:
    """Every single fault at every operation of every course."""
    jobs = [job for course in COURSES for job in jobs_of(course)]
    return run_jobs(jobs, workers=os.cpu_count() or 1)


@pytest.mark.timeout(600)
def test_no_single_fault_breaks_an_invariant(singles: Tally) -> None:
    assert [f"{failure}: {failure.violations}" for failure in singles.failures] == []


@pytest.mark.timeout(600)
def test_every_interesting_state_is_reached(singles: Tally) -> None:
    assert [state for state in STATES if not singles.reached[state]] == []


def test_random_stories_break_no_invariant() -> None:
    tally = explore_randomly(STORIES, examples=EXAMPLES, seed_number=SEED)
    assert [f"{failure}: {failure.violations}" for failure in tally.failures] == []


@pytest.mark.parametrize("course", EXHAUSTIVE, ids=lambda course: course.name)
def test_same_plan_and_seed_give_the_same_trace(course: object) -> None:
    assert isinstance(course, type(EXHAUSTIVE[0]))
    undisturbed = course.run(Plan(), 7, keep_trace=True)
    strike = strikes_at(undisturbed.visits)[-1]
    for plan in (Plan(), Plan((strike,))):
        first, again = (course.run(plan, 7, keep_trace=True) for _ in range(2))
        assert first.trace_hash == again.trace_hash
        assert first.trace == again.trace
    other = course.run(Plan(), 8, keep_trace=True)
    assert other.trace_hash != undisturbed.trace_hash


@pytest.mark.parametrize(("name", "plan", "why"), REGRESSIONS)
def test_what_once_broke_an_invariant_does_so_no_more(name: str, plan: str, why: str) -> None:
    course = {each.name: each for each in COURSES}.get(name) or story(name)
    outcome = course.run(Plan.parse(plan), 0)
    assert outcome.violations == (), why


def test_every_guard_that_mutants_take_out_is_in_the_product() -> None:
    check(MUTANTS)


def test_skewed_clocks_change_nothing_but_the_times() -> None:
    plain = next(course for course in COURSES if course.name == "confirmed/alone")
    skewed = replace(plain, skews=(("order-worker", 3600.0), ("catalog-worker", -3600.0)))
    assert skewed.run(Plan(), 0).violations == ()
    assert [visit.site for visit in skewed.run(Plan(), 0).visits] == [
        visit.site for visit in plain.run(Plan(), 0).visits
    ]
