"""Asked to stop, it finishes what it has in hand and leaves the rest."""

from conformance.checks.crash import COUNT, in_the_middle
from conformance.stage import Stage
from conformance.verdicts import Check, require


async def run(stage: Stage) -> str:
    burst = await stage.burst(COUNT)
    async with in_the_middle(stage, burst):
        codes = await stage.instance.drain(stage.manifest.drain_seconds)
    left = (await stage.bus.depth()).total
    require(
        all(code == 0 for code in codes.values()),
        expected=f"exit code 0 within {stage.manifest.drain_seconds:g} s of SIGTERM",
        seen=", ".join(
            f"{name}: {'still running' if code is None else code}" for name, code in codes.items()
        ),
    )
    await stage.instance.start()
    await burst.verify()
    return f"exit code 0 with {left} of {COUNT} {burst.name} left, which were handled afterwards"


CHECK = Check(
    name="drain",
    proves="SIGTERM in the middle of work ends it with 0, and loses and repeats nothing",
    why="every deployment sends SIGTERM to a busy worker",
    read="docs/adr/0002-one-bus.md; libs/chassis/src/chassis/server.py for how it is done here",
    run=run,
)
