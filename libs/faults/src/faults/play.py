"""Plays a run from its seed to its outcome, whatever is on the stage.

Guarantee: a run depends on its plan and its seed alone, and leaves no clock, log or loop changed.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterable

from faults.loop import Deadlock, Endless, VirtualLoop, run_virtually
from faults.scenario import Outcome, Repairer, ended_badly
from faults.world import World

LOOK_SECONDS = 10.0
SETTLE_SECONDS = 1.0


def play(main: Callable[[VirtualLoop], Awaitable[Outcome]], seed: int) -> Outcome:
    """Run `main(loop)` in virtual time, with the product's own dice seeded and its log silent."""
    random.seed(seed)
    logging.disable(logging.CRITICAL)
    try:
        return run_virtually(main)
    except (Endless, Deadlock) as error:
        return ended_badly(error)
    finally:
        logging.disable(logging.NOTSET)


async def rest(is_at_rest: Callable[[], bool]) -> None:
    """Return once nothing moves any more."""
    await asyncio.sleep(SETTLE_SECONDS)
    while True:
        if is_at_rest():
            # Once more: between two messages everything looks at rest for a moment.
            await asyncio.sleep(SETTLE_SECONDS)
            if is_at_rest():
                return
        await asyncio.sleep(LOOK_SECONDS)


def outcome_of(
    world: World,
    *,
    broken: Iterable[str],
    rested_at: float,
    repairer: Repairer,
    reached: frozenset[str],
) -> Outcome:
    """What is said about a run that has come to rest at that time."""
    return Outcome(
        met=tuple(world.met),
        visits=tuple(world.visits),
        after_last=world.last_met_at,
        violations=tuple(dict.fromkeys(broken)),
        seconds=rested_at,
        recovery_seconds=rested_at - world.last_met_seconds,
        repairer=repairer,
        trace_hash=world.trace_hash,
        reached=reached,
        trace=tuple(world.trace or ()),
    )
