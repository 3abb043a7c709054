"""Handling a message again yields the same ids."""

from conformance.checks.crash import crash
from conformance.stage import Stage
from conformance.verdicts import Check, NotApplicable


async def run(stage: Stage) -> str:
    if not stage.has_outputs:
        raise NotApplicable("its load makes it send nothing")
    done = await crash(stage)
    await done.burst.verify()
    return f"no new id for what was sent before the crash; sent again: {done.burst.copies()}"


CHECK = Check(
    name="stable-ids",
    proves="what is sent again after a crash has the ids that it had before",
    why="whoever receives it tells a copy by its id: under a new one it is a second order",
    read="contracts/common/envelope.json (id)",
    run=run,
)
