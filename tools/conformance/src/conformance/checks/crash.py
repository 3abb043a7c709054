"""The participant is hit in the middle of work; `kill` and `stable-ids` judge the same crash.

Guarantee: when it is hit, some of the burst are handled and others are still to come, so that there
is something in between; how many were left is in the verdict's text.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from conformance.burst import Burst
from conformance.stage import Stage
from conformance.waiting import eventually

COUNT = 40
# The rest are then on their way, in its hands, or handled and not yet deleted.
HANDLED_BEFORE = COUNT // 4
BEGIN_SECONDS = 10.0
PACE_SECONDS = 0.02


@dataclass(frozen=True)
class Crash:
    """The burst that it interrupted; how many messages it had in hand, or not yet deleted."""

    burst: Burst
    in_hand: int


async def crash(stage: Stage) -> Crash:
    """SIGKILL in a burst, then a new start; done once in a run."""
    if "crash" not in stage.shared:
        burst = await stage.burst(COUNT)
        async with in_the_middle(stage, burst):
            await stage.instance.kill()
            in_hand = (await stage.bus.depth()).in_flight
        await stage.instance.start()
        await stage.settle()
        stage.shared["crash"] = Crash(burst, in_hand)
    found = stage.shared["crash"]
    assert isinstance(found, Crash)
    return found


@asynccontextmanager
async def in_the_middle(stage: Stage, burst: Burst) -> AsyncIterator[None]:
    """The block runs when some of the burst are handled, while more of it comes in."""
    publishing = asyncio.create_task(_one_by_one(stage, burst))
    try:
        await eventually(
            burst.handled, lambda now: now >= HANDLED_BEFORE, BEGIN_SECONDS, poll_seconds=0.002
        )
        yield
    finally:
        await publishing


async def _one_by_one(stage: Stage, burst: Burst) -> None:
    """At a pace that leaves some to come when the first are handled."""
    for message in burst.messages:
        await stage.bus.publish([message])
        await asyncio.sleep(PACE_SECONDS)
