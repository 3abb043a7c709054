"""What it sends is what its contract says, to the byte."""

from collections.abc import Iterator

from conformance.contract import ENVELOPE, Contract
from conformance.messages import Message, texts_in
from conformance.stage import Stage
from conformance.verdicts import Check, NotApplicable, require
from conformance.waiting import together


async def run(stage: Stage) -> str:
    contract = stage.contract
    if not contract.sends:
        raise NotApplicable("its contract sends nothing")
    if not stage.bus.seen:
        told = [stage.tell(story) for story in stage.manifest.stories]
        await together(*(tale.play(tale.story.steps) for tale in told))
        await stage.settle()
    seen = stage.bus.seen
    require(bool(seen), expected="messages on the bus", seen="none: tell a story that makes some")
    faults = [fault for message in seen for fault in _faults(message, contract)]
    faults += [
        fault for tale in stage.tales for pair in tale.links for fault in _faults_of_link(*pair)
    ]
    first = list(dict.fromkeys(faults))[:3]
    require(not faults, expected="every message as in its contract", seen="; ".join(first))
    types = {message.detail_type for message in seen}
    return f"{len(seen)} messages, {len(types)} of {len(contract.sends)} declared types seen"


def _faults(message: Message, contract: Contract) -> Iterator[str]:
    name = message.detail_type
    if name not in contract.sends:
        yield f"{name} is sent, and its contract does not say so"
        return
    for fault in contract.faults_of(ENVELOPE, message.detail):
        yield f"envelope of {name}: {fault}"
    for fault in contract.faults_of(contract.dataschema(name), message.data):
        yield f"data of {name}: {fault}"
    for field, wanted in (
        ("type", name),
        ("source", contract.source),
        ("dataschema", contract.dataschema(name)),
    ):
        if message.detail.get(field) != wanted:
            yield f"{field} of {name} is {message.detail.get(field)!r}, not {wanted!r}"
    if message.source != contract.source:
        yield f"the entry of {name} has the source {message.source!r}"
    if message.subject not in set(texts_in(message.data)):
        yield f"subject of {name} is {message.subject!r}, which its data are not about"


def _faults_of_link(cause: Message, effect: Message) -> Iterator[str]:
    what = f"{effect.detail_type} after {cause.detail_type}"
    if effect.causation_id != cause.id:
        yield f"{what} has the causationid {effect.causation_id!r}, not the handled message's id"
    if effect.correlation_id != cause.correlation_id:
        yield f"{what} has another correlationid than what it answers"


CHECK = Check(
    name="envelopes",
    proves="each message sent is declared, valid to the byte, and says what it follows from",
    why="readers validate raw JSON: one null for an absent field becomes their dead letter",
    read="contracts/common/envelope.json; contracts/README.md",
    run=run,
)
