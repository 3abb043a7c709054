"""The bus, the queues and the tables are out of reach for a while, and nobody has to help."""

import time

import httpx

from conformance.checks.crash import COUNT, in_the_middle
from conformance.stage import Stage
from conformance.verdicts import Check, require
from conformance.waiting import eventually
from faults.proxy import Refuse

OUTAGE_SECONDS = 3.0
RECOVERY_SECONDS = 30.0


async def run(stage: Stage) -> str:
    burst = await stage.burst(COUNT)
    way = stage.around.to_aws
    try:
        async with in_the_middle(stage, burst):
            way.add(Refuse())
            way.reset()
        said = await _said_during(stage)
    finally:
        way.clear()
    back_at = time.monotonic()
    require(
        stage.instance.is_running,
        expected="every process to live through it",
        seen=f"{said} from {stage.manifest.ready}, then its end; {stage.instance.last_words()}",
    )
    recovered = await eventually(
        lambda: _ready(stage), lambda code: code == 200, RECOVERY_SECONDS, poll_seconds=0.2
    )
    require(recovered == 200, expected="ready again by itself", seen=f"{recovered}")
    await burst.verify()
    seconds = time.monotonic() - back_at
    how = "stayed ready" if said == 200 else f"said {said}"
    return f"{how} during it; {COUNT} {burst.name} handled {seconds:.1f} s after it, none set aside"


async def _ready(stage: Stage) -> int:
    try:
        response = await stage.http.get(f"{stage.instance.url}{stage.manifest.ready}")
    except httpx.HTTPError:
        return 0
    return response.status_code


async def _said_during(stage: Stage) -> int:
    """Live through the outage with it, or until it ends; the status that it was in, if any."""
    codes: list[int] = []

    async def look() -> bool:
        codes.append(await _ready(stage))
        return stage.instance.is_running

    await eventually(look, lambda alive: not alive, OUTAGE_SECONDS, poll_seconds=0.2)
    return next((code for code in codes if code != 200), 200)


CHECK = Check(
    name="outage",
    proves="it lives through an outage of AWS, blames no message for it, and recovers by itself",
    why="an outage that uses up the receives of innocent messages outlives itself by days",
    read="docs/adr/0002-one-bus.md",
    run=run,
)
