"""A message that can never be handled is set aside with the reason, and holds nobody up."""

import json
from collections.abc import Iterator

from conformance.checks.letters import lettered
from conformance.stage import Stage
from conformance.verdicts import Check, require


async def run(stage: Stage) -> str:
    burst = await stage.burst(1)
    before = await stage.handled()
    poison = dict(_poison(stage, burst.name))
    await stage.bus.enqueue([*poison.values()])
    codes = await lettered(stage, poison)
    await stage.bus.publish(burst.messages)
    await burst.verify()
    counted = sum((await stage.handled()).values()) - sum(before.values())
    require(counted == 1, expected="poison not to count as handled", seen=f"{counted} handled")
    return f"{len(poison)} kinds set aside ({', '.join(codes)}); the message behind was handled"


def _poison(stage: Stage, name: str) -> Iterator[tuple[str, str]]:
    """Kind and text; each text differs from all others."""
    yield "no JSON", "this is {no JSON"
    yield "no event", json.dumps(["neither", "an", "event"])
    yield "an event without detail", json.dumps({"some": "event"})
    yield "a detail that is text", json.dumps({**stage.make(name).event(), "detail": "text"})
    for field in ("id", "type", "data", "correlationid"):
        message = stage.make(name)
        event = message.event()
        del event["detail"][field]
        yield f"an envelope without {field}", json.dumps(event)
    yield "an id that is no UUID", stage.make(name).body(id="42")
    renamed = {**stage.make(name).event(), "detail-type": "SomethingElse"}
    yield "another detail-type than type", json.dumps(renamed)
    yield "data that lack what is required", stage.make(name).body(data={})
    message = stage.make(name)
    first = stage.contract.required_field(name)
    yield "null in place of a value", message.body(data={**message.data, first: None})
    if optional := stage.contract.optional_field(name):
        absent = stage.make(name)
        yield "null for an absent field", absent.body(data={**absent.data, optional: None})
    message = stage.make(name)
    yield "a value of the wrong type", message.body(data={**message.data, first: {"not": "it"}})


CHECK = Check(
    name="poison",
    proves="what breaks the rules becomes a dead letter with its reason, one by one",
    why="a poisonous message that is tried again and again holds up every order behind it",
    read="docs/adr/0002-one-bus.md",
    run=run,
)
