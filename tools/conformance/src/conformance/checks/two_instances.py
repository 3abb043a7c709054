"""Two of it at once do no more than one."""

from conformance.stage import Stage
from conformance.verdicts import Check, NotApplicable
from conformance.waiting import eventually

COUNT = 20
# For what the first had received when it froze, which comes back to the second.
TWIN_SECONDS = 10.0


async def run(stage: Stage) -> str:
    if stage.manifest.one_instance is not None:
        raise NotApplicable(f"there is only ever one: {stage.manifest.one_instance}")
    try:
        await stage.twin.start()
        burst = await stage.burst(COUNT)
        await stage.bus.publish([*burst.messages, *burst.messages])
        await burst.verify()
        stage.instance.freeze()
        await stage.bus.publish(burst.messages)
        await eventually(stage.bus.depth, lambda now: now.total == 0, TWIN_SECONDS)
        stage.instance.thaw()
        await burst.verify()
    finally:
        stage.instance.thaw()
        await stage.twin.kill()
    return (
        f"{COUNT} {burst.name}: twice on both at once, again on the second alone; one effect each"
    )


CHECK = Check(
    name="two-instances",
    proves="copies of a message that two instances handle at the same moment have one effect",
    why="every deployment runs two for a while: an inbox in one's memory is none",
    read="docs/adr/0003-inbox-ledger-outside-key.md",
    run=run,
)
