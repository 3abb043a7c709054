"""Two of it at once do no more than one."""

import asyncio

from conformance.stage import Stage
from conformance.verdicts import Check, NotApplicable

COUNT = 20


async def run(stage: Stage) -> str:
    if stage.manifest.one_instance is not None:
        raise NotApplicable(f"there is only ever one: {stage.manifest.one_instance}")
    burst, _ = await asyncio.gather(stage.burst(COUNT), stage.twin.start())
    try:
        await stage.bus.publish([*burst.messages, *burst.messages])
        await burst.verify()
    finally:
        await stage.twin.kill()
    return f"{COUNT} {burst.name}, each twice, on two instances: one effect each"


CHECK = Check(
    name="two-instances",
    proves="copies of a message that two instances handle at the same moment have one effect",
    why="every deployment runs two for a while: an inbox in one's memory is none",
    read="docs/adr/0003-inbox-ledger-outside-key.md",
    run=run,
)
