"""A saga of one's own under fault: declared in a short file, hit everywhere, its mutants killed."""

import asyncio
import pickle
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import gift_world.trial
from chassis import Problem
from contracts.models.payment import AuthorizePayment
from faults.explore import Singles, jobs_of, run_jobs
from faults.loop import VirtualLoop, run_virtually
from faults.mutants import Mutant, check
from faults.mutation import Verdict, judge_all
from faults.plan import Plan
from faults.scenario import Repairer
from faults.stage import Process, Stage
from faults.trial import Databases, Trial
from gift_world import gifts, points
from gift_world.gifts import Gifts
from gift_world.messages import TakePoints
from gift_world.mutants import MUTANTS
from gift_world.send_gift_saga import GIFT, take_points
from gift_world.topology import gift_topology
from gift_world.trial import TRIALS

SENT, NO_PAPER = TRIALS
LATE = Plan.parse("gifts-web:put_events(AuthorizePayment):late")


def test_declaration_takes_less_than_30_lines() -> None:
    lines = Path(gift_world.trial.__file__).read_text(encoding="utf-8").splitlines()

    assert len(lines) < 30


def test_documentation_shows_the_declaration_as_it_is() -> None:
    source = Path(gift_world.trial.__file__)
    document = (source.parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")

    assert f"```python\n{source.read_text(encoding='utf-8')}```\n" in document


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_undisturbed_run_breaks_nothing_and_needs_no_repair(trial: Trial) -> None:
    outcome = trial.run(Plan(), 0)

    assert outcome.violations == ()
    assert outcome.repairer is Repairer.NOBODY


def test_same_seed_gives_the_same_trace() -> None:
    hashes = [SENT.run(LATE, seed).trace_hash for seed in (0, 0, 1)]

    assert hashes[0] == hashes[1] != hashes[2]


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_no_single_fault_breaks_the_saga(trial: Trial) -> None:
    tally = run_jobs(jobs_of(trial), workers=1)

    assert tally.failures == []
    assert tally.faults_met > 200
    assert tally.reached["a saga was compensated"]
    assert tally.reached["a message was delivered twice"]


def test_no_pair_that_begins_with_a_late_command_breaks_the_saga() -> None:
    tally = Singles(SENT, 0, LATE.strikes[0], depth=2)()

    assert tally.failures == []
    assert tally.runs > 30


def test_deadline_long_fault_is_repaired_by_the_deadline() -> None:
    assert SENT.run(LATE, 0).repairer is Repairer.DEADLINE


def test_outcome_other_than_expected_is_a_violation() -> None:
    wrong = replace(NO_PAPER, expected=("completed",))

    assert wrong.run(Plan(), 0).violations == ("I8 outcome: compensated, not completed",)


def no_points_are_taken(databases: Databases) -> Iterator[str]:
    for account in databases["points"].rows(points.ACCOUNTS):
        if account["balance"] < 100:
            yield "I1 points: taken"


def test_invariant_that_holds_always_is_looked_at_after_every_step() -> None:
    trial = replace(SENT, always=[no_points_are_taken])

    # They are taken for a while only: the points of a gift that is called off come back.
    assert trial.run(LATE, 0).violations == ()
    assert trial.run(Plan(), 0).violations == ("I1 points: taken",)


async def ask_in_vain(stage: Stage) -> None:
    await stage.ask("gifts-web", lambda application: application.nothing_of_the_kind())


async def ask_for_what_is_refused(stage: Stage) -> None:
    async def refuse(application: Gifts) -> None:
        raise Problem(422, "no_gift", "this is no gift")

    await stage.ask("gifts-web", refuse)


def test_application_that_never_answers_is_a_violation() -> None:
    outcome = replace(SENT, start=ask_in_vain, invariants=(), expected=()).run(Plan(), 0)

    assert outcome.violations == ("I9 acknowledged: gifts-web does not answer any more",)


def test_refusal_for_good_is_told_to_who_asked() -> None:
    with pytest.raises(Problem, match="this is no gift"):
        replace(SENT, start=ask_for_what_is_refused).run(Plan(), 0)


def test_told_message_is_handled_by_who_receives_it() -> None:
    async def main(loop: VirtualLoop) -> Stage:
        stage = Stage(
            loop,
            Plan(),
            0,
            processes=[Process(points.SERVICE)],
            topology=gift_topology(),
            pause_seconds=200,
        )
        await stage.fill("points", points.ACCOUNTS, owner=GIFT.giver, balance=100)
        stage.open()
        stage.tell("gifts", take_points(GIFT), subject=GIFT.gift_id)
        while not stage.databases["points"].rows(points.TABLES.outbox):
            await asyncio.sleep(0.1)
        stage.world.stop()
        return stage

    stage = run_virtually(main)

    assert stage.databases["points"].rows(points.ACCOUNTS)[0]["balance"] == 100 - GIFT.points
    inbox = stage.databases["points"].rows(points.TABLES.inbox)
    assert {row["message_id"] for row in inbox} == stage.told


def test_trial_travels_by_name_so_that_its_tables_stay_the_same() -> None:
    copy = pickle.loads(pickle.dumps(SENT))

    assert copy.processes[0].service is gifts.SERVICE
    assert copy.processes[0].name == "gifts-web"


def test_messages_are_the_contracts_own() -> None:
    assert TakePoints is AuthorizePayment


def judged(mutant: Mutant) -> Verdict:
    check([mutant])
    (verdict,) = judge_all([mutant], "gift_world.trial:TRIALS", workers=1, search=False)
    return verdict


def test_missing_inbox_is_found_where_a_handler_is_not_idempotent() -> None:
    verdict = judged(next(mutant for mutant in MUTANTS if mutant.name == "no-inbox"))

    assert verdict.violations == ("I1 points: 60 for 1 parcels",)


@pytest.mark.parametrize(
    "mutant",
    [mutant for mutant in MUTANTS if mutant.name != "no-inbox"],
    ids=lambda mutant: mutant.name,
)
def test_every_other_mutant_is_killed(mutant: Mutant) -> None:
    assert judged(mutant).killed


def test_command_line_shows_a_failure_again() -> None:
    command = [sys.executable, "-m", "faults", "gift_world.trial", "run", "sent", str(LATE)]
    done = subprocess.run(
        command, cwd=Path(gift_world.trial.__file__).parents[1], capture_output=True, text=True
    )

    assert done.returncode == 0
    assert "repaired by: a saga's deadline" in done.stdout
