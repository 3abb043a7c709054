"""One run: set the stage, let load and faults loose on it, wait for rest, check everything.

Guarantee: whatever happens, the stack is stopped at the end, and the report is written with what is
known by then.
"""

import asyncio
import contextlib
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bookstore.balance import Check, UnreachableError
from chaos.checks import all_checks, replayed
from chaos.fault import Fault, Planned, plan
from chaos.load import Load
from chaos.report import (
    Entry,
    figures,
    print_checks,
    print_figures,
    print_timeline,
    write_report,
)
from chaos.stage import Stage, set_stage
from stack import StackError

PROGRESS_SECONDS = 10.0
# After the last fault all is to be in order again within the longest deadline, and a sweep.
SETTLE_SECONDS = 240.0


@dataclass(frozen=True)
class Options:
    """The size of a run; `folder` is where its logs and its report stay."""

    minutes: float
    orders: int
    faults: int
    seed: int
    folder: Path
    keep: bool
    replay: bool


@dataclass
class Run:
    """What is known of a run so far."""

    options: Options
    entries: list[Entry]
    load: Load | None = None
    checks: Sequence[Check] = ()
    seconds: float = 0.0

    @property
    def broken(self) -> list[Check]:
        return [check for check in self.checks if not check.holds]


async def perform(options: Options, kinds: Sequence[type[Fault]]) -> Run:
    """The whole run, printed as it goes; raises StackError if the stack does not start."""
    run_seconds = options.minutes * 60
    planned = plan(kinds, seed=options.seed, faults=options.faults, run_seconds=run_seconds)
    run = Run(options, [Entry(each) for each in planned])
    began = time.monotonic()
    try:
        async with set_stage(options.folder, keep=options.keep) as stage:
            print(f"the stack is ready after {time.monotonic() - began:.0f} s", flush=True)
            run.load = Load(stage, options.seed, options.orders, run_seconds)
            try:
                await run.load.list_books()
                await run.load.give_contacts()
                stage.began = time.monotonic()
                await _hit(stage, run)
                run.checks = await _check(stage, run)
            except StackError as error:
                run.checks = [_not("the stack is whole again at the end", str(error))]
            finally:
                await run.load.stop()
    finally:
        run.seconds = time.monotonic() - began
        _report(run)
    return run


async def _hit(stage: Stage, run: Run) -> None:
    """Load and faults, until all orders are placed and all faults are over."""
    assert run.load is not None
    progress = asyncio.create_task(_progress(stage, run))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(run.load.run())
            for entry in run.entries:
                tasks.create_task(_inflict(stage, entry))
        await stage.heal()
        print(f"{stage.seconds:5.0f} s  all faults are over; waiting for rest", flush=True)
        left = await run.load.finish(SETTLE_SECONDS)
        print(f"{stage.seconds:5.0f} s  clients still waiting: {left}", flush=True)
    finally:
        progress.cancel()


async def _inflict(stage: Stage, entry: Entry) -> None:
    planned: Planned = entry.planned
    await asyncio.sleep(max(0.0, planned.at_seconds - stage.seconds))
    entry.began_seconds = stage.seconds
    try:
        entry.outcome = await planned.fault.inflict(stage)
    except asyncio.CancelledError:
        raise
    except Exception as error:  # Told in the timeline, and a check of its own.
        entry.outcome = f"failed: {type(error).__name__}: {error}"
    finally:
        entry.ended_seconds = stage.seconds
    print(entry.line, flush=True)


async def _progress(stage: Stage, run: Run) -> None:
    assert run.load is not None
    total = run.options.minutes * 60
    while True:
        await asyncio.sleep(PROGRESS_SECONDS)
        done = sum(bool(entry.ended_seconds) for entry in run.entries)
        print(
            f"{stage.seconds:5.0f} s  orders placed {run.load.accepted:,} of "
            f"{run.options.orders:,}, settled {run.load.settled:,}; faults {done} of "
            f"{len(run.entries)}; {max(0.0, total - stage.seconds):.0f} s left",
            flush=True,
        )


async def _check(stage: Stage, run: Run) -> list[Check]:
    assert run.load is not None
    try:
        checks = await all_checks(stage, run.load)
        if run.options.replay and all(check.holds for check in checks):
            print(f"{stage.seconds:5.0f} s  replaying all messages", flush=True)
            checks.append(await replayed(stage, run.load, checks))
    except (UnreachableError, TimeoutError) as error:
        return [_not("the platform can be asked at rest", str(error) or type(error).__name__)]
    made, planned = sum(entry.was_made for entry in run.entries), len(run.entries)
    claim = "faults that could be made"
    checks.append(Check("all", claim, str(made), str(planned), made == planned))
    return checks


def _not(claim: str, reason: str) -> Check:
    return Check("I4", claim, "no", "yes", False, reason)


def _report(run: Run) -> None:
    if run.load is None:
        return
    found: dict[str, Any] = figures(run.load, run.entries, run.seconds)
    options = {**asdict(run.options), "folder": str(run.options.folder)}
    path = run.options.folder / "report.json"
    with contextlib.suppress(OSError):
        write_report(path, options=options, found=found, entries=run.entries, checks=run.checks)
    print_timeline(run.entries)
    print_figures(found)
    print_checks(run.checks)
