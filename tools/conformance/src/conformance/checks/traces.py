"""A trace goes on through it."""

from conformance.messages import Message
from conformance.stage import Stage
from conformance.verdicts import Check, NotApplicable, require


async def run(stage: Stage) -> str:
    if not stage.contract.sends:
        raise NotApplicable("its contract sends nothing, so there is no trace to hand on")
    if not stage.has_outputs:
        raise NotApplicable("its load expects no message: name a story that does (`load:`)")
    burst = await stage.burst(1)
    await stage.bus.publish(burst.messages)
    await burst.verify()
    links = [link for link in burst.links if link[0] is burst.messages[0]]
    for cause, effect in links:
        trace, span = _parts(cause)
        their_trace, their_span = _parts(effect)
        require(
            their_trace == trace and their_span != span,
            expected=f"{effect.detail_type} in the trace of {cause.detail_type}, "
            "under a span of its own",
            seen=f"{cause.traceparent} became {effect.traceparent}",
        )
    return f"in the trace of what it follows from, under a span of its own: {len(links)} message(s)"


def _parts(message: Message) -> tuple[str, str]:
    """Trace and span (W3C Trace Context, `version-trace-span-flags`)."""
    _, trace, span, *_ = [*str(message.traceparent).split("-"), "", "", ""]
    return trace, span


CHECK = Check(
    name="traces",
    proves="what it sends is in the trace of what it handled",
    why="without it nobody can follow an order from the customer's click to the mail",
    read="W3C Trace Context; contracts/common/envelope.json (traceparent)",
    run=run,
)
