"""The service while things fail: killed processes, lost answers, a bus that refuses, outages."""

import asyncio
import signal

import orjson
import pytest

PARKED_AFTER = 3


async def dispatched(heard, orders):
    """How often each order's parcel was told to be on its way, copies of a message not counted."""
    told = [await heard.told(order) for order in orders]
    return [len({each.id for each in messages}) for messages in told]


async def test_a_worker_killed_amid_its_work_loses_and_repeats_nothing(
    aws, start, heard, new_order, eventually, gate
):
    web = await start("web")
    before = await web.census()
    orders = [new_order() for _ in range(120)]
    doomed = await start("worker", PACKING_SECONDS="0", TRANSIT_SECONDS="3600")
    await aws.publish(*(order.confirmed for order in orders))

    async def is_amid():
        handled = (await web.census())["handled"].get("OrderConfirmed", 0)
        return handled > before["handled"].get("OrderConfirmed", 0)

    await eventually(is_amid)
    assert await doomed.stop(signal.SIGKILL) == -signal.SIGKILL
    await start("worker", PACKING_SECONDS="0", TRANSIT_SECONDS="3600")

    async def all_told():
        return await dispatched(heard, orders) == [1] * len(orders)

    await eventually(all_told)

    async def counts():
        after = await web.census()
        return (
            after["handled"]["OrderConfirmed"] - before["handled"].get("OrderConfirmed", 0),
            after["sent"]["ShipmentDispatched"] - before["sent"].get("ShipmentDispatched", 0),
            after["outbox"]["pending"],
        )

    async def all_counted():
        return await counts() == (len(orders), len(orders), 0)

    await eventually(all_counted)


async def test_a_message_committed_by_a_process_that_died_goes_out_by_another(
    aws, start, heard, order, eventually, gate
):
    gate.hold("PutEvents")
    doomed = await start("worker", PACKING_SECONDS="0")
    await aws.publish(order.confirmed)

    async def is_committed():
        return gate.calls["PutEvents"] > 0

    await eventually(is_committed)
    await doomed.stop(signal.SIGKILL)
    assert await heard.told(order) == []
    gate.open("PutEvents")
    successor = await start("worker")

    async def is_told():
        return await heard.types(order) == ["ShipmentDispatched"]

    await eventually(is_told)

    async def is_cleared():
        return (await successor.census())["outbox"]["pending"] == 0

    await eventually(is_cleared)


async def test_a_lost_answer_of_a_commit_is_no_second_effect(
    aws, start, heard, order, eventually, gate
):
    service = await start(PACKING_SECONDS="0")
    before = await service.census()
    gate.lose_answer("TransactWriteItems")
    await aws.publish(order.confirmed)

    async def is_told():
        return await heard.types(order) == ["ShipmentDispatched"]

    await eventually(is_told)
    after = await service.census()
    assert after["handled"]["OrderConfirmed"] - before["handled"].get("OrderConfirmed", 0) == 1
    sent = [each["sent"].get("ShipmentDispatched", 0) for each in (before, after)]
    assert sent[1] - sent[0] == 1


async def test_two_workers_share_the_work_and_tell_each_thing_once(
    aws, start, heard, new_order, eventually
):
    settings = {"PACKING_SECONDS": "0.5", "TRANSIT_SECONDS": "0.5"}
    workers = [await start("worker", **settings) for _ in range(2)]
    before = await workers[0].census()
    orders = [new_order() for _ in range(60)]
    await aws.publish(*(order.confirmed for order in orders))

    async def all_told():
        return await dispatched(heard, orders) == [2] * len(orders)

    await eventually(all_told)
    after = await workers[0].census()
    for name in ("ShipmentDispatched", "ShipmentDelivered"):
        assert after["sent"][name] - before["sent"].get(name, 0) == len(orders)


async def test_an_outage_costs_an_innocent_message_none_of_its_receives(
    aws, start, order, eventually, gate
):
    url = aws.applied.queue_urls["fulfillment"]
    service = await start()
    before = (await service.census())["dead_lettered"]
    # As after a long outage: the message has been received three times already.
    await service.stop()
    await aws.publish(order.confirmed)
    for _ in range(3):
        answer = await aws.sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10)
        (message,) = answer["Messages"]
        await aws.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
        )
    for operation in ("GetItem", "TransactWriteItems", "Query"):
        gate.close(operation)
    worker = await start("worker", ready=False)

    async def is_put_back():
        return gate.calls["SendMessage"] == 1

    await eventually(is_put_back)
    for operation in ("GetItem", "TransactWriteItems", "Query"):
        gate.open(operation)
    web = await start("web")
    await eventually(lambda: web.status(order))
    assert (await web.census())["dead_lettered"] == before
    assert any("receiving pauses" in message for message in worker.messages())


async def test_what_the_bus_refuses_again_and_again_is_parked_and_counted(
    aws, start, heard, order, eventually, gate
):
    def refuse(body):
        entries = orjson.loads(body)["Entries"]
        refusal = {"ErrorCode": "MalformedDetail", "ErrorMessage": "refused by the test"}
        return {"FailedEntryCount": len(entries), "Entries": [refusal] * len(entries)}

    gate.answer("PutEvents", refuse)
    service = await start(PACKING_SECONDS="0")
    before = (await service.census())["outbox"]["parked"]
    await aws.publish(order.confirmed)

    async def is_parked():
        outbox = (await service.census())["outbox"]
        return outbox == {"pending": 0, "parked": before + 1}

    await eventually(is_parked)
    assert gate.calls["PutEvents"] > PARKED_AFTER
    assert await heard.told(order) == []


async def test_a_row_that_nothing_can_be_made_of_keeps_no_other_waiting(
    aws, start, heard, order, eventually, gate
):
    gate.hold("PutEvents")
    doomed = await start("worker", PACKING_SECONDS="0")
    parked = (await doomed.census())["outbox"]["parked"]
    await aws.publish(order.confirmed)

    async def is_committed():
        return gate.calls["PutEvents"] > 0

    await eventually(is_committed)
    await doomed.stop(signal.SIGKILL)
    damaged = {
        "pk": "outbox", "sk": "0000000000000#damaged", "id": order.order_id, "detail": "by hand",
        "source": "bookstore.fulfillment", "type": "ShipmentDispatched",
    }  # fmt: skip
    item = {name: {"S": text} for name, text in damaged.items()} | {"attempts": {"N": "0"}}
    await aws.dynamodb.put_item(TableName="bookstore-shipments", Item=item)
    gate.open("PutEvents")
    successor = await start("worker")

    async def is_told():
        return await heard.types(order) == ["ShipmentDispatched"]

    async def is_parked():
        outbox = (await successor.census())["outbox"]
        return outbox == {"pending": 0, "parked": parked + 1}

    await eventually(is_told)
    await eventually(is_parked)


async def test_a_process_without_its_bus_gets_ready_and_delivers_later(
    aws, start, heard, order, eventually, gate
):
    gate.close("PutEvents")
    service = await start(PACKING_SECONDS="0")
    await aws.publish(order.confirmed)

    async def is_pending():
        return (await service.census())["outbox"]["pending"] == 1

    await eventually(is_pending)
    gate.open("PutEvents")

    async def is_told():
        return await heard.types(order) == ["ShipmentDispatched"]

    await eventually(is_told)


async def test_what_is_at_work_when_it_is_told_to_stop_is_finished(
    aws, start, order, eventually, gate
):
    worker = await start("worker")
    gate.hold("TransactWriteItems")
    await aws.publish(order.confirmed)

    async def is_at_work():
        return gate.calls["TransactWriteItems"] > 0

    await eventually(is_at_work)
    stopping = asyncio.create_task(worker.stop())
    with pytest.raises(TimeoutError):  # It does not leave its work alone.
        await asyncio.wait_for(asyncio.shield(stopping), 1.5)
    gate.open("TransactWriteItems")
    assert await stopping == 0
    web = await start("web")
    assert await web.status(order) == "packing"
    queue = await aws.sqs.get_queue_attributes(
        QueueUrl=aws.applied.queue_urls["fulfillment"],
        AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
    )
    assert set(queue["Attributes"].values()) == {"0"}


async def test_a_message_at_work_stays_hidden_from_others_however_long_it_takes(
    aws, start, order, eventually, gate
):
    workers = [await start("worker", VISIBILITY_SECONDS="2") for _ in range(2)]
    gate.hold("TransactWriteItems")
    await aws.publish(order.confirmed)

    async def is_extended():  # Every third of two seconds: by now it had been visible again.
        return gate.calls["ChangeMessageVisibilityBatch"] >= 5

    await eventually(is_extended)
    assert gate.calls["TransactWriteItems"] == 1
    gate.open("TransactWriteItems")

    async def is_deleted():
        return gate.calls["DeleteMessageBatch"] == 1

    await eventually(is_deleted)
    metrics = [(await worker.http.get("/metrics")).text for worker in workers]
    assert not any('outcome="duplicate"' in text for text in metrics)


async def test_work_that_does_not_end_keeps_no_process_longer_than_eight_seconds(
    aws, start, order, eventually, gate
):
    worker = await start("worker")
    gate.hold("TransactWriteItems")
    await aws.publish(order.confirmed)

    async def is_at_work():
        return gate.calls["TransactWriteItems"] > 0

    await eventually(is_at_work)
    async with asyncio.timeout(9):
        assert await worker.stop() == 0
    assert any("did not finish in time" in message for message in worker.messages())


async def test_a_second_signal_ends_it_at_once(aws, start, order, eventually, gate):
    worker = await start("worker")
    gate.hold("TransactWriteItems")
    await aws.publish(order.confirmed)

    async def is_at_work():
        return gate.calls["TransactWriteItems"] > 0

    await eventually(is_at_work)
    worker.process.send_signal(signal.SIGINT)

    async def has_heard():
        return any("asked to end" in message for message in worker.messages())

    await eventually(has_heard)
    async with asyncio.timeout(2):
        assert await worker.stop(signal.SIGINT) == 128 + signal.SIGINT
