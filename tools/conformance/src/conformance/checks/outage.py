"""What it stands on is out of reach for a while, and nobody has to help."""

import time
from collections.abc import Sequence

import httpx

from conformance.checks.crash import COUNT, in_the_middle
from conformance.stage import Stage
from conformance.verdicts import Check, require
from conformance.waiting import eventually
from faults.proxy import Refuse

OUTAGE_SECONDS = 3.0
RECOVERY_SECONDS = 30.0


async def run(stage: Stage) -> str:
    seen = [await _without(stage, ["aws"])]
    if others := [name for name in stage.around.ways if name != "aws"]:
        seen.append(await _without(stage, others))
    return f"{COUNT} {stage.load.sends[-1]} each time, none lost or blamed: {'; '.join(seen)}"


async def _without(stage: Stage, names: Sequence[str]) -> str:
    """An outage of these servers in the middle of a burst, and what came of it."""
    burst = await stage.burst(COUNT)
    ways = [stage.around.ways[name] for name in names]
    try:
        async with in_the_middle(stage, burst):
            for way in ways:
                way.add(Refuse())
                way.reset()
        said = await _said_during(stage)
    finally:
        for way in ways:
            way.clear()
    back_at = time.monotonic()
    what = ", ".join(names)
    require(
        stage.instance.is_running,
        expected=f"every process to live through an outage of {what}",
        seen=f"{said} from {stage.manifest.ready}, then its end; {stage.instance.last_words()}",
    )
    recovered = await eventually(
        lambda: _ready(stage), lambda code: code == 200, RECOVERY_SECONDS, poll_seconds=0.2
    )
    require(recovered == 200, expected=f"ready again by itself after {what}", seen=recovered)
    await burst.verify()
    how = "ready" if said == 200 else f"{said}"
    return f"{how} without {what}, all done {time.monotonic() - back_at:.1f} s after it"


async def _said_during(stage: Stage) -> int:
    """Live through the outage with it, or until it ends; the status that it was in, if any."""
    codes: list[int] = []

    async def look() -> bool:
        codes.append(await _ready(stage))
        return stage.instance.is_running

    await eventually(look, lambda alive: not alive, OUTAGE_SECONDS, poll_seconds=0.2)
    return next((code for code in codes if code != 200), 200)


async def _ready(stage: Stage) -> int:
    """The status of its readiness; 0 for no answer."""
    try:
        response = await stage.http.get(f"{stage.instance.url}{stage.manifest.ready}")
    except httpx.HTTPError:
        return 0
    return response.status_code


CHECK = Check(
    name="outage",
    proves="it lives through outages of AWS and of its servers, blames no message, and recovers",
    why="an outage that uses up the receives of innocent messages outlives itself by days",
    read="docs/adr/0002-one-bus.md",
    run=run,
)
