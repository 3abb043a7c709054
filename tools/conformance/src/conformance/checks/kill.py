"""Killed in the middle of work, it loses nothing and does nothing twice."""

from conformance.checks.crash import COUNT, crash
from conformance.stage import Stage
from conformance.verdicts import Check


async def run(stage: Stage) -> str:
    done = await crash(stage)
    await done.burst.verify_effects()
    return (
        f"killed with {done.in_hand} of {COUNT} {done.burst.name} in hand; each had its one effect"
    )


CHECK = Check(
    name="kill",
    proves="SIGKILL in the middle of work: after a new start every message has had its one effect",
    why="machines die between a commit and an acknowledgement, and then the message comes again",
    read="docs/adr/0003-inbox-ledger-outside-key.md",
    run=run,
)
