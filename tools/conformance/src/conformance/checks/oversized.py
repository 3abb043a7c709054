"""A message as large as the bus takes does not bring it down."""

import json
from dataclasses import replace

from conformance.messages import Message
from conformance.stage import Stage
from conformance.verdicts import Check, require

# EventBridge takes 256 KB a request, and counts detail, source, detail-type and 14 bytes of time
# (Amazon EventBridge User Guide, "Calculating event entry size").
MAX_ENTRY_BYTES = 256 * 1024
OVERHEAD_BYTES = 14


async def run(stage: Stage) -> str:
    burst = await stage.burst(1)
    large = _as_large_as_possible(burst.messages[0])
    await stage.bus.publish([large])
    await stage.settle()
    letters = await stage.bus.take_letters()
    handled = await burst.handled()
    require(
        len(letters) + handled == 1,
        expected="it handled once, or set aside once",
        seen=f"{handled} handled, {len(letters)} dead letters",
    )
    if letters:
        require(
            letters[0].reason_code is not None,
            expected="the dead letter to say why",
            seen="no reason_code",
        )
        return f"set aside: {letters[0].reason_code}"
    await burst.verify()
    return f"{burst.name} of {MAX_ENTRY_BYTES // 1024} KB: handled"


def _as_large_as_possible(message: Message) -> Message:
    """Filled up with a field that nobody knows."""
    empty = replace(message, detail={**message.detail, "data": {**message.data, "filler": ""}})
    size = len(json.dumps(empty.detail)) + len(message.source) + len(message.detail_type)
    filler = "x" * (MAX_ENTRY_BYTES - OVERHEAD_BYTES - size)
    data = {**message.data, "filler": filler}
    return replace(message, detail={**message.detail, "data": data})


CHECK = Check(
    name="oversized",
    proves="the largest message that the bus takes is handled or set aside",
    why="a worker that dies of one message dies of it again at each redelivery",
    read="Amazon EventBridge User Guide, 'Calculating event entry size'",
    run=run,
)
