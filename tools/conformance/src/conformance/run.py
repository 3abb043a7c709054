"""Examines participants: starts each with its surroundings, runs the checks, stops it all.

Guarantee: a check that fails, or leaves ruins, does not decide the next one: the participant is
then started anew on empty queues. What goes wrong on the kit's own side is a ConformanceError.
"""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from botocore.exceptions import BotoCoreError, ClientError

from conformance.bus import open_bus
from conformance.checks import CHECKS
from conformance.contract import load_contract
from conformance.errors import ConformanceError
from conformance.manifest import Manifest
from conformance.participant import Instance
from conformance.stage import Stage
from conformance.surroundings import surroundings
from conformance.verdicts import Check, Failed, NotApplicable, Result, Verdict
from stack import PortAllocator, StackError
from stack.child import Watchdog

# An examination mostly waits: this many keep two cores busy.
AT_ONCE = 3
CHECK_SECONDS = 90.0
HTTP_SECONDS = 10.0


@dataclass(frozen=True)
class Report:
    """All that was found out about one participant."""

    name: str
    results: Sequence[Result]
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether any rule was broken."""
        return any(result.verdict is Verdict.FAILED for result in self.results)


def chosen(names: Sequence[str]) -> list[Check]:
    """The checks of those names, in their order; all for none. Raises ConformanceError."""
    known = {check.name: check for check in CHECKS}
    for name in names:
        if name not in known:
            raise ConformanceError(f"no check {name!r}; there are {', '.join(known)}")
    return [check for check in CHECKS if not names or check.name in names]


async def examine_all(
    manifests: Sequence[Manifest],
    checks: Sequence[Check],
    *,
    logs: Path | None = None,
    done: Callable[[Report], None] = lambda report: None,
) -> list[Report]:
    """Examine participants, some at once; `done` is told each report as soon as it is there."""
    ports = PortAllocator()
    room = asyncio.Semaphore(AT_ONCE)

    async def one(manifest: Manifest) -> Report:
        async with room:
            report = await examine(manifest, checks, ports, logs=logs)
        done(report)
        return report

    try:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(one(manifest)) for manifest in manifests]
    except* ConformanceError as group:
        raise _first(group) from None
    return [task.result() for task in running]


async def examine(
    manifest: Manifest,
    checks: Sequence[Check],
    ports: PortAllocator,
    *,
    logs: Path | None = None,
) -> Report:
    """Examine one participant; `logs` is where its processes' output is kept, if anywhere."""
    started = time.monotonic()
    try:
        async with _staged(manifest, ports, logs) as stage:
            results = await _run(stage, checks)
    except (StackError, ClientError, BotoCoreError) as error:
        raise ConformanceError(f"{manifest.name}: {error}") from error
    return Report(manifest.name, results, time.monotonic() - started)


@asynccontextmanager
async def _staged(
    manifest: Manifest, ports: PortAllocator, logs: Path | None
) -> AsyncIterator[Stage]:
    contract = load_contract(manifest)
    instance, twin = (Instance(manifest, number, ports) for number in (0, 1))
    async with (
        surroundings(manifest, ports, instance.url) as around,
        open_bus(contract, around.aws_url) as bus,
        httpx.AsyncClient(timeout=HTTP_SECONDS, trust_env=False) as http,
    ):
        watchdog = Watchdog()
        try:
            for each in (instance, twin):
                each.stand_on(around, watchdog)
            yield Stage(manifest, contract, around, bus, http, instance, twin)
        finally:
            await twin.kill()
            await instance.kill()
            await asyncio.to_thread(watchdog.close)
            if logs is not None:
                shutil.copytree(around.folder / "logs", logs / manifest.name, dirs_exist_ok=True)


async def _run(stage: Stage, checks: Sequence[Check]) -> list[Result]:
    results: list[Result] = []
    began = time.monotonic()
    try:
        await stage.instance.migrate()
        await stage.refresh()
    except Failed as failed:
        took = time.monotonic() - began
        first = Result(checks[0], Verdict.FAILED, failed.seen, took, failed.expected)
        rest = [
            Result(check, Verdict.NOT_RUN, "it does not start", 0.0, None) for check in checks[1:]
        ]
        return [first, *rest]
    for check in checks:
        result = await _attempt(check, stage)
        results.append(result)
        if result.verdict is Verdict.FAILED:
            await stage.instance.kill()
    return results


async def _attempt(check: Check, stage: Stage) -> Result:
    began = time.monotonic()

    def result(verdict: Verdict, seen: str, expected: str | None = None) -> Result:
        return Result(check, verdict, seen, time.monotonic() - began, expected)

    try:
        async with asyncio.timeout(CHECK_SECONDS):
            await stage.refresh()
            seen = await check.run(stage)
        stage.require_alive()
        return result(Verdict.PASSED, seen)
    except NotApplicable as reason:
        return result(Verdict.NOT_APPLICABLE, str(reason))
    except Failed as failed:
        return result(Verdict.FAILED, failed.seen, failed.expected)
    except TimeoutError:
        return result(Verdict.FAILED, "none", f"an end within {CHECK_SECONDS:g} s")
    except httpx.HTTPError as error:
        seen = f"{type(error).__name__}: {error}; {stage.instance.last_words()}"
        return result(Verdict.FAILED, seen, "it to answer over HTTP")


def _first(group: BaseExceptionGroup[ConformanceError]) -> ConformanceError:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, ConformanceError)
    return error
