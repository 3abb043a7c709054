"""What people and programs are told, and by which exit code."""

import io
import json

import pytest
from rich.console import Console

from conformance.__main__ import main
from conformance.checks import CHECKS
from conformance.run import Report
from conformance.scorecard import as_json, show, summary
from conformance.verdicts import Result, Verdict

REPORT = Report(
    "catalog",
    [
        Result(CHECKS[0], Verdict.PASSED, "all is well", 0.1),
        Result(CHECKS[2], Verdict.FAILED, "two charges", 1.5, "one charge"),
        Result(CHECKS[9], Verdict.NOT_APPLICABLE, "it sends nothing", 0.0),
    ],
    2.0,
)


def shown(report: Report) -> str:
    text = io.StringIO()
    show(report, Console(file=text, width=120))
    return text.getvalue()


def test_a_failed_check_says_what_was_expected_and_seen_why_and_where_to_read() -> None:
    text = shown(REPORT)
    check = CHECKS[2]
    for told in (check.name, "one charge", "two charges", check.why, check.read):
        assert told in text


def test_each_check_has_its_line_with_verdict_and_what_was_seen() -> None:
    lines = shown(REPORT).splitlines()
    for result, mark in zip(REPORT.results, ("passed", "FAILED", "not applicable"), strict=True):
        assert any(
            result.check.name in each and mark in each and result.seen in each for each in lines
        )


def test_a_long_story_takes_no_room_from_check_and_verdict() -> None:
    long = Result(CHECKS[10], Verdict.FAILED, "and so on " * 50, 1.0, "an end")
    first = shown(Report("catalog", [long], 1.0)).splitlines()[2]
    assert long.check.name in first
    assert "FAILED" in first
    assert len(first) <= 120


def test_programs_get_the_same() -> None:
    (participant,) = json.loads(as_json([REPORT]))["participants"]
    assert participant["name"] == "catalog"
    verdicts = [each["verdict"] for each in participant["checks"]]
    assert verdicts == ["passed", "failed", "not applicable"]
    assert participant["checks"][1]["expected"] == "one charge"


def test_the_summary_counts_verdicts() -> None:
    assert summary([REPORT]) == "1 participant(s): 1 passed, 1 failed, 1 not applicable"
    assert REPORT.failed
    assert not Report("search", REPORT.results[:1], 1.0).failed


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["run", "--check", "none"], "no check 'none'; there are health"),
        (["run", "weather"], "services/weather/conformance.yaml is not there"),
        (["run", "search", "--manifest", "x.yaml"], "not both"),
    ],
)
def test_what_keeps_the_kit_from_judging_ends_with_2(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(request.config.rootpath)
    assert main(arguments) == 2
    assert told in capsys.readouterr().err


def test_the_rules_can_be_read(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["checks"]) == 0
    text = capsys.readouterr().out
    assert all(check.name in text and check.why in text for check in CHECKS)
