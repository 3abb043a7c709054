"""What messages lead to: over the bus into a running process, and what it tells over the bus."""

import asyncio
import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import orjson

from messaging.envelope import derived_id


async def test_a_confirmed_order_is_dispatched_and_then_delivered(
    aws, start, heard, order, eventually
):
    service = await start(PACKING_SECONDS="0.2", TRANSIT_SECONDS="0.2")
    await aws.publish(order.confirmed)

    async def is_told():
        return await heard.types(order) == ["ShipmentDispatched", "ShipmentDelivered"]

    await eventually(is_told)
    shipment = (await service.http.get(f"/shipments/{order.order_id}")).json()
    dispatched, delivered = sorted(await heard.told(order), key=lambda each: each.time)
    assert shipment["status"] == "delivered"
    assert shipment["shipment_id"] == derived_id(order.order_id, "shipment")
    assert shipment["lines"] == order.confirmed.data["lines"]
    assert shipment["dispatched_at"] == dispatched.data["dispatched_at"]
    assert shipment["delivered_at"] == delivered.data["delivered_at"]
    assert shipment["tracking_code"] == delivered.data["tracking_code"]


async def test_what_is_told_hangs_under_the_order_s_confirmation(
    aws, start, heard, order, eventually
):
    await start(PACKING_SECONDS="0", TRANSIT_SECONDS="0")
    await aws.publish(order.confirmed)

    async def is_told():
        return len(await heard.told(order)) == 2

    await eventually(is_told)
    for message in await heard.told(order):
        assert message.id == derived_id(order.confirmed.id, message.type, 0)
        assert message.source == "bookstore.fulfillment"
        assert message.correlation_id == order.conversation
        assert message.causation_id == order.confirmed.id
        # Nothing is recorded here, so the trace goes on from the message that caused it.
        assert message.traceparent == order.traceparent


async def test_copies_of_a_message_are_one(aws, start, heard, order, eventually):
    service = await start(PACKING_SECONDS="0.2")
    before = await service.census()
    await aws.publish(*[order.confirmed] * 7)

    async def is_at_rest():
        counted = copies(await service.http.get("/metrics"), "OrderConfirmed")
        return counted == 6 and await heard.types(order) == ["ShipmentDispatched"]

    await eventually(is_at_rest)
    after = await service.census()
    assert after["handled"]["OrderConfirmed"] - before["handled"].get("OrderConfirmed", 0) == 1
    sent = [each["sent"].get("ShipmentDispatched", 0) for each in (before, after)]
    assert sent[1] - sent[0] == 1


def copies(metrics, message_type):
    """How often the process has recognised a copy."""
    start = f'messages_handled_total{{type="{message_type}",outcome="duplicate"}} '
    lines = [line for line in metrics.text.splitlines() if line.startswith(start)]
    return int(lines[0].removeprefix(start)) if lines else 0


async def test_a_cancelled_parcel_stays_in_the_house(aws, start, heard, order, eventually):
    service = await start(PACKING_SECONDS="5")
    await aws.publish(order.confirmed)
    await eventually(lambda: service.status(order))
    await aws.publish(order.cancelled)

    async def is_withdrawn():
        return await service.status(order) == "withdrawn"

    await eventually(is_withdrawn)
    await past_its_time(aws, order)
    assert await heard.types(order) == []


async def test_a_cancelled_parcel_is_called_back_from_its_way(aws, start, heard, order, eventually):
    service = await start(PACKING_SECONDS="0", TRANSIT_SECONDS="5")
    await aws.publish(order.confirmed)

    async def is_dispatched():
        return await heard.types(order) == ["ShipmentDispatched"]

    await eventually(is_dispatched)
    await aws.publish(order.cancelled)

    async def is_recalled():
        return await service.status(order) == "recalled"

    await eventually(is_recalled)
    await past_its_time(aws, order)
    assert await heard.types(order) == ["ShipmentDispatched"]


async def test_a_cancellation_from_after_the_dispatch_ends_the_same_when_both_are_heard_at_once(
    aws, start, heard, order, eventually
):
    """As when all that was ever sent comes again to tables that have forgotten it."""
    service = await start(PACKING_SECONDS="60", TRANSIT_SECONDS="7200")
    then = datetime.now(UTC) - timedelta(hours=1)
    await aws.publish(replace(order.confirmed, time=then))
    await aws.publish(replace(order.cancelled, time=then + timedelta(minutes=2)))

    async def is_recalled():
        return await service.status(order) == "recalled"

    await eventually(is_recalled)
    assert await heard.types(order) == ["ShipmentDispatched"]


async def past_its_time(aws, order):
    """Nothing is left in the table that time could move."""
    for shard in range(4):
        answer = await aws.dynamodb.query(
            TableName="bookstore-shipments",
            KeyConditionExpression="pk = :shard",
            ExpressionAttributeValues={":shard": {"S": f"due#{shard}"}},
            ConsistentRead=True,
        )
        assert order.order_id not in {item["order_id"]["S"] for item in answer["Items"]}


async def test_a_cancellation_that_overtakes_its_order_withdraws_it(
    aws, start, heard, order, eventually
):
    service = await start(PACKING_SECONDS="0")
    before = (await service.http.get("/ops/shipments")).json()
    handled = (await service.census())["handled"].get("OrderCancelled", 0)
    await aws.publish(order.cancelled)

    async def is_handled():
        return (await service.census())["handled"].get("OrderCancelled", 0) == handled + 1

    await eventually(is_handled)
    assert await service.status(order) is None
    await aws.publish(order.confirmed)

    async def is_withdrawn():
        return await service.status(order) == "withdrawn"

    await eventually(is_withdrawn)
    await past_its_time(aws, order)
    assert await heard.types(order) == []
    after = (await service.http.get("/ops/shipments")).json()
    assert after.get("withdrawn", 0) - before.get("withdrawn", 0) == 1
    assert sum(after.values()) - sum(before.values()) == 1


async def test_every_order_of_the_same_messages_ends_with_one_withdrawn_shipment(
    aws, start, new_order, eventually
):
    service = await start()
    arrivals = sorted(set(itertools.permutations("CCXX")))
    orders = [new_order() for _ in arrivals]
    for place in range(4):
        await aws.publish(
            *(
                order.confirmed if names[place] == "C" else order.cancelled
                for order, names in zip(orders, arrivals, strict=True)
            )
        )

    async def are_withdrawn():
        statuses = await asyncio.gather(*(service.status(order) for order in orders))
        return set(statuses) == {"withdrawn"}

    await eventually(are_withdrawn)


def wrapped(message, **changes):
    """The text that the bus puts into a queue, with fields of the envelope replaced."""
    detail = {**orjson.loads(message.encode()), **changes}
    detail = {name: value for name, value in detail.items() if value is not None}
    return {"version": "0", "detail-type": message.type, "source": "s", "detail": detail}


def without_total(message):
    return {name: value for name, value in message.data.items() if name != "total"}


HOPELESS = {
    "no JSON": (lambda m: "hello", "malformed"),
    "no event": (lambda m: [1], "malformed"),
    "no object": (lambda m: {"detail": 7}, "malformed"),
    "no id": (lambda m: wrapped(m, id=None), "malformed"),
    "an id that is none": (lambda m: wrapped(m, id="7"), "malformed"),
    "another specversion": (lambda m: wrapped(m, specversion="0.3"), "malformed"),
    "a time without offset": (lambda m: wrapped(m, time="2026-01-15T10:30:30"), "malformed"),
    "no version": (lambda m: wrapped(m, dataschema="urn:bookstore:order:X:new"), "malformed"),
    "another detail-type": (
        lambda m: {**wrapped(m), "detail-type": "OrderCancelled"},
        "malformed",
    ),
    "no total": (lambda m: wrapped(m, data=without_total(m)), "contract_violation"),
    "a version to come": (
        lambda m: wrapped(m, dataschema="urn:bookstore:order:OrderConfirmed:2"),
        "unknown_message",
    ),
    "somebody else's": (
        lambda m: {
            **wrapped(m, type="StockReserved", dataschema="urn:bookstore:catalog:StockReserved:1"),
            "detail-type": "StockReserved",
        },
        "unknown_message",
    ),
}


async def test_what_can_never_succeed_is_a_dead_letter_with_its_reason(
    aws, start, order, eventually
):
    service = await start("worker")
    before = (await service.census())["dead_lettered"]
    bodies = {case: build(order.confirmed) for case, (build, _) in HOPELESS.items()}
    texts = {
        case: body if isinstance(body, str) else orjson.dumps(body).decode()
        for case, body in bodies.items()
    }
    for text in texts.values():
        await aws.put(text)

    async def are_dead():
        return (await service.census())["dead_lettered"] == before + len(HOPELESS)

    await eventually(are_dead)
    letters = {}
    while not letters.keys() >= set(texts.values()):
        answer = await aws.sqs.receive_message(
            QueueUrl=aws.applied.dead_letter_urls["fulfillment"],
            MaxNumberOfMessages=10,
            MessageAttributeNames=["All"],
        )
        for each in answer["Messages"]:
            letters[each["Body"]] = each.get("MessageAttributes", {})
    codes = {case: letters[text]["reason_code"]["StringValue"] for case, text in texts.items()}
    assert codes == {case: code for case, (_, code) in HOPELESS.items()}
    assert all(letters[text]["reason"]["StringValue"] for text in texts.values())


async def test_a_broken_trace_context_loses_no_message(aws, start, order, eventually):
    service = await start()
    await aws.publish(replace(order.confirmed, traceparent="nonsense"))
    await eventually(lambda: service.status(order))


async def test_fields_that_a_newer_sender_adds_are_ignored(aws, start, order, eventually):
    service = await start()
    (line,) = order.confirmed.data["lines"]
    data = {**order.confirmed.data, "gift": True, "lines": [{**line, "wrapping": "red"}]}
    await aws.publish(replace(order.confirmed, data=data))
    await eventually(lambda: service.status(order))
    shipment = (await service.http.get(f"/shipments/{order.order_id}")).json()
    assert shipment["lines"] == [line]
