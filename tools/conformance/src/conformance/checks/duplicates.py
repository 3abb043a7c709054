"""A message that comes again changes nothing."""

from conformance.stage import Stage
from conformance.verdicts import Check

COUNT = 4
COPIES_AT_ONCE = 3


async def run(stage: Stage) -> str:
    burst = await stage.burst(COUNT)
    await stage.bus.publish([each for each in burst.messages for _ in range(COPIES_AT_ONCE)])
    await burst.verify()
    await stage.bus.publish(burst.messages)
    await burst.verify()
    return f"{COUNT} {burst.name}, each {COPIES_AT_ONCE} times at once and once later"


CHECK = Check(
    name="duplicates",
    proves="a copy of a message, at once or later, is handled by doing nothing",
    why="SQS and EventBridge deliver at least once: without an inbox a customer pays twice",
    read="docs/adr/0003-inbox-ledger-outside-key.md",
    run=run,
)
