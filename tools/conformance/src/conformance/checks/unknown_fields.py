"""A field that it does not know is none of its business."""

from dataclasses import replace

from conformance.messages import Message
from conformance.stage import Stage
from conformance.verdicts import Check

COUNT = 2
NEW = {"added_in_a_later_release": {"since": 2, "items": [None, True, "x"]}}


async def run(stage: Stage) -> str:
    burst = await stage.burst(COUNT)
    await stage.bus.publish([_from_the_future(message) for message in burst.messages])
    await burst.verify()
    return f"{COUNT} {burst.name} with a new field in data and in the envelope"


def _from_the_future(message: Message) -> Message:
    data = {**message.data, **NEW}
    return replace(message, detail={**message.detail, "addedextension": "new", "data": data})


CHECK = Check(
    name="unknown-fields",
    proves="new fields in data and envelope are ignored",
    why="senders are deployed before readers: to a strict one each added field is an outage",
    read="contracts/README.md, the rules for a change",
    run=run,
)
