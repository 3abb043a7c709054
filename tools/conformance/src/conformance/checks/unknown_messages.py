"""What it has no code for is kept for people, never dropped."""

from conformance.checks.letters import lettered
from conformance.stage import Stage
from conformance.verdicts import Check


async def run(stage: Stage) -> str:
    burst = await stage.burst(1)
    message = burst.messages[0]
    schema = str(message.detail["dataschema"])
    owner = schema.rpartition(":")[0].rpartition(":")[0]
    unknown = {
        "a version of the future": stage.make(burst.name).body(
            dataschema=f"{schema.rpartition(':')[0]}:99"
        ),
        "a name of the future": stage.make(burst.name).body(
            type="DoSomethingNew", dataschema=f"{owner}:DoSomethingNew:1"
        ),
    }
    await stage.bus.enqueue([*unknown.values()])
    codes = await lettered(stage, unknown)
    await stage.bus.publish(burst.messages)
    await burst.verify()
    return f"dead letters with {', '.join(codes)}; the {burst.name} behind them was handled"


CHECK = Check(
    name="unknown-messages",
    proves="an unknown version or type becomes a dead letter with its reason; the queue goes on",
    why="during a deployment old code meets new messages: what it drops, no redrive brings back",
    read="contracts/README.md; docs/adr/0002-one-bus.md",
    run=run,
)
