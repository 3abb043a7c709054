"""The kit is right about a sound participant, and about one that breaks exactly one rule.

Guarantee: every check has a fault that it must see; one that could not fail would be found here.
"""

import asyncio
import runpy
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from conformance.checks import CHECKS
from conformance.manifest import Manifest, ProcessSpec, load_manifest
from conformance.run import Report, chosen, examine
from conformance.verdicts import Verdict
from stack import PortAllocator

SAMPLE = Path(__file__).parent / "sample"
FAULTS: dict[str, str] = runpy.run_path(str(SAMPLE / "participant.py"))["FAULTS"]
# Each has an emulator of its own, and waits most of its time.
AT_ONCE = 4
HERE = Path(__file__)
PORTS = PortAllocator()


def sample(*arguments: str) -> Manifest:
    """The sample's manifest, with these arguments on its command line."""
    manifest = load_manifest(SAMPLE / "conformance.yaml")
    process = manifest.processes[0]
    changed = ProcessSpec(name=process.name, command=[*process.command, *arguments])
    return manifest.model_copy(update={"processes": [changed]})


@pytest.fixture(scope="module")
async def examinations(
    request: pytest.FixtureRequest,
) -> AsyncIterator[dict[str, asyncio.Task[Report]]]:
    """Of the sample with each fault that a test asks for, by the one check that has to see it."""
    wanted = {
        item.callspec.params["fault"]
        for item in request.session.items
        if item.path == HERE and hasattr(item, "callspec") and "fault" in item.callspec.params
    }
    room = asyncio.Semaphore(AT_ONCE)

    async def examined(fault: str) -> Report:
        async with room:
            return await examine(sample("--fault", fault), chosen([FAULTS[fault]]), PORTS)

    tasks = {fault: asyncio.create_task(examined(fault)) for fault in FAULTS if fault in wanted}
    yield tasks
    for task in tasks.values():
        task.cancel()
    await asyncio.gather(*tasks.values(), return_exceptions=True)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_broken_rule_is_seen_by_its_check(
    examinations: dict[str, asyncio.Task[Report]], fault: str
) -> None:
    (result,) = (await examinations[fault]).results
    assert result.check.name == FAULTS[fault]
    assert result.verdict is Verdict.FAILED
    assert result.expected
    assert result.seen


def test_every_check_has_a_fault_that_it_must_see() -> None:
    assert sorted(FAULTS.values()) == sorted(check.name for check in CHECKS)


async def test_a_sound_participant_passes_every_check() -> None:
    report = await examine(sample(), CHECKS, PORTS)
    assert {result.check.name: result.verdict for result in report.results} == {
        check.name: Verdict.PASSED for check in CHECKS
    }, [result.seen for result in report.results if result.verdict is not Verdict.PASSED]


async def test_one_that_answers_something_else_fails_everything_and_stops_nothing() -> None:
    files = ProcessSpec(
        name="parcels", command=["{python}", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]
    )
    manifest = sample().model_copy(update={"processes": [files], "ready": "/"})
    report = await examine(manifest, chosen(["health", "handles", "kill"]), PORTS)
    assert [result.verdict for result in report.results] == [Verdict.FAILED] * 3


async def test_one_that_does_not_start_fails_and_says_its_last_words() -> None:
    dying = ProcessSpec(name="parcels", command=["{python}", "-c", "exit('{port}: no luck')"])
    manifest = sample().model_copy(update={"processes": [dying]})
    report = await examine(manifest, chosen(["health", "kill"]), PORTS)
    assert [result.verdict for result in report.results] == [Verdict.FAILED, Verdict.NOT_RUN]
    assert "no luck" in report.results[0].seen


def test_the_command_ends_with_1_and_says_why(tmp_path: Path) -> None:
    text = (SAMPLE / "conformance.yaml").read_text()
    changed = text.replace("{here}", str(SAMPLE)).replace("contracts: ", f"contracts: {SAMPLE}/")
    manifest = tmp_path / "conformance.yaml"
    manifest.write_text(changed.replace('"{port}"]', '"{port}", --fault, plain-404]'))
    command = [sys.executable, "-m", "conformance", "run", "--check", "health"]
    ended = subprocess.run(
        [*command, "--manifest", str(manifest)], capture_output=True, text=True, timeout=60
    )
    assert ended.returncode == 1, ended.stderr
    assert "application/problem+json" in ended.stdout
    assert "1 participant(s): 1 failed" in ended.stdout
    assert not ended.stderr
