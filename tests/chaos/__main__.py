"""`python -m chaos`: the bookstore under load and random faults, every invariant checked.

Exits with 0 if all hold, 1 if one is broken, 2 if it could not run, 130 after Ctrl-C.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from bookstore.local_stack import data_folder
from chaos.kinds import KINDS
from chaos.run import Options, Run, perform
from stack import StackError, stop_signals

T = TypeVar("T")


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="make chaos ARGS=...",
        description="The embedded stack under load and random faults; every invariant is checked "
        "from outside at the end.",
        epilog="Kinds of faults: "
        + "; ".join(f"{kind.__name__} ({kind.weight}): {kind.about}" for kind in KINDS),
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="of load and faults (10)")
    parser.add_argument("--orders", type=int, default=2000, help="spread over that time (2000)")
    parser.add_argument("--faults", type=int, default=60, help="spread over that time (60)")
    parser.add_argument("--seed", type=int, help="makes the choices of the run that printed it")
    parser.add_argument("--only", default="", help="kinds of faults, divided by commas")
    parser.add_argument("--keep", action="store_true", help="keep the stack's data, too")
    parser.add_argument("--no-replay", action="store_true", help="leave out I10, the replay")
    given = parser.parse_args()
    known = {kind.__name__: kind for kind in KINDS}
    names = [name for name in given.only.split(",") if name]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no kind of fault: {', '.join(unknown)}; there are {', '.join(known)}")
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(1, 10**6)
    folder = data_folder() / "chaos" / f"{time.strftime('%m%d-%H%M%S')}-seed-{seed}"
    options = Options(
        given.minutes, given.orders, given.faults, seed, folder, given.keep, not given.no_replay
    )
    kinds = [known[name] for name in names] or list(KINDS)
    print(f"seed {seed}: {options.orders} orders, {options.faults} faults, {options.minutes} min")
    print(f"logs: {folder / 'logs'}", flush=True)
    try:
        run = asyncio.run(_stoppable(perform(options, kinds)))
    except StackError as error:
        print(f"chaos: {error}", file=sys.stderr)
        return 2
    if run is None:
        print("\nstopped; nothing is left running", file=sys.stderr)
        return 130
    return _verdict(run, folder)


async def _stoppable(work: Coroutine[Any, Any, T]) -> T | None:
    """Its result; None after Ctrl-C, once everything is stopped."""
    task = asyncio.ensure_future(work)

    def stop() -> None:
        task.cancel()

    # The second press ends this process; its watchdog then kills what it has started.
    with stop_signals(stop, lambda: os._exit(130)):
        try:
            return await task
        except asyncio.CancelledError:
            return None


def _verdict(run: Run, folder: Path) -> int:
    print(f"\nseed {run.options.seed}, report: {folder / 'report.json'}")
    if run.broken:
        broken = ", ".join(sorted({check.invariant for check in run.broken}))
        print(f"✗ broken: {broken}; logs: {folder / 'logs'}")
        return 1
    print(
        f"✓ {len(run.entries)} faults, {run.options.orders} orders, {len(run.checks)} checks hold"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
