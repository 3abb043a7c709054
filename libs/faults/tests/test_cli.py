"""The command line: what it prints of a failure is the command that shows it again."""

import shlex
from pathlib import Path

import pytest

from faults.cli import Subject, main

SCENARIOS = """
from faults.plan import Site
from faults.scenario import Outcome, Repairer
from faults.world import Visit

class Fragile:
    name = "fragile saga"

    def is_worth(self, plan):
        return True

    def run(self, plan, seed, *, keep_trace=False):
        return Outcome(
            met=plan.strikes,
            visits=(Visit(Site("web", "commit", "insert a, b"), ("crash_before", "crash_after")),),
            after_last=1,
            violations=("I1 money: gone",) if "crash_after" in plan.faults else (),
            seconds=1.0,
            recovery_seconds=1.0,
            repairer=Repairer.RETRY,
            trace_hash="0" * 64,
        )

TRIALS = [Fragile()]
"""


@pytest.fixture
def subject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    (tmp_path / "fragile_trial.py").write_text(SCENARIOS)
    monkeypatch.syspath_prepend(tmp_path)
    return Subject.of("fragile_trial")


def test_printed_command_shows_the_failure_again(
    subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(subject, ["explore", "--workers", "1"]) == 1
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "again:" in each]

    command = shlex.split(line.partition("again:")[2])
    assert command[:4] == ["python", "-m", "faults", "fragile_trial"]
    assert main(subject, command[4:]) == 1
    assert "violated: I1 money: gone" in capsys.readouterr().out


def test_exploration_without_a_violation_ends_well(
    subject: Subject, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(subject, ["run", "fragile saga", "web:commit(insert a, b):crash_before"]) == 0


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run", "sturdy"], "no story is told by 'sturdy'; there is no such scenario either"),
        (["run", "fragile saga", "nonsense"], "'nonsense' is no fault at a site"),
        (["explore", "--scenario", "sturdy"], "no scenario sturdy; there are fragile saga"),
    ],
)
def test_mistake_is_told_in_one_line(
    subject: Subject, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(subject, arguments) == 2
    assert complaint in capsys.readouterr().err
