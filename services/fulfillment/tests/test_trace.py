"""One trace from the order's confirmation to its delivery, in the shape that all services write."""

import json


async def test_the_steps_hang_under_the_message_that_began_them(
    aws, start, heard, order, eventually, tmp_path
):
    path = tmp_path / "traces" / "spans.jsonl"
    await start("worker", PACKING_SECONDS="0", TRANSIT_SECONDS="0", TRACE_FILE=str(path))
    await aws.publish(order.confirmed)
    wanted = {
        "process OrderConfirmed": "CONSUMER",
        "dispatch shipment": "INTERNAL",
        "publish ShipmentDispatched": "PRODUCER",
        "deliver shipment": "INTERNAL",
        "publish ShipmentDelivered": "PRODUCER",
    }

    _, trace_id, sender, _ = order.traceparent.split("-")

    def spans():
        """Those of the order's trace: what others left in the queue is handled here, too."""
        lines = path.read_text().splitlines() if path.exists() else []
        mine = [span for span in map(json.loads, lines) if trace_id in span["context"]["trace_id"]]
        return {span["name"]: span for span in mine}

    async def is_complete():
        return spans().keys() >= wanted.keys()

    await eventually(is_complete)
    found = spans()
    for name, kind in wanted.items():
        span = found[name]
        assert span["kind"] == f"SpanKind.{kind}"
        assert span["resource"]["attributes"]["service.name"] == "fulfillment-worker"
        conversation = span["attributes"]["messaging.message.conversation_id"]
        assert conversation == order.conversation

    def parent_of(name):
        return found[name]["parent_id"]

    def id_of(name):
        return found[name]["context"]["span_id"]

    assert parent_of("process OrderConfirmed") == f"0x{sender}"
    for verb, event in (("dispatch", "Dispatched"), ("deliver", "Delivered")):
        assert parent_of(f"{verb} shipment") == id_of("process OrderConfirmed")
        assert parent_of(f"publish Shipment{event}") == id_of(f"{verb} shipment")
    told = {each.type: each.traceparent for each in await heard.told(order)}
    dispatching = id_of("dispatch shipment").removeprefix("0x")
    assert told["ShipmentDispatched"] == f"00-{trace_id}-{dispatching}-01"


async def test_log_lines_name_their_conversation(aws, start, order, eventually):
    worker = await start("worker", LOG_LEVEL="debug")
    broken = {**order.confirmed.data, "total": None}
    fields = {name: getattr(order.confirmed, name) for name in order.confirmed.__slots__}
    await aws.publish(type(order.confirmed)(**{**fields, "data": broken}))

    def letters():
        lines = [line for line in worker.lines if line["message"].startswith("dead letter")]
        return [line for line in lines if line.get("message_id") == order.confirmed.id]

    async def is_logged():
        return bool(letters())

    await eventually(is_logged)
    (line,) = letters()
    assert line["service"] == "fulfillment-worker"
    assert line["level"] == "error"
    assert line["correlation_id"] == order.conversation
