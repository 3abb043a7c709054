"""The consumer on a real queue: what it deletes, what comes again, what becomes a dead letter."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson

from contracts.models.payment import CapturePayment
from messaging import DeadLetter, Envelope, RetryLater, Sender

Make = Callable[..., Envelope]
Body = Callable[[Envelope], str]
Running = Callable[..., Any]


async def test_a_duplicate_delivery_takes_effect_once(
    toy: Any,
    consuming: Running,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    command = message()
    await put(event_body(command), event_body(command), event_body(message()))
    async with consuming(toy.handle):
        await until(empty)
        assert (await toy.effects())[command.subject] == 1
        await put(event_body(command))  # Long after it was deleted, too.
        await until(empty)
    assert (await toy.effects())[command.subject] == 1
    assert await toy.outbox_types() == ["ItemsRestocked"] * 2


async def test_what_can_never_succeed_becomes_a_dead_letter_with_the_reason(
    aws: Any,
    queue: Any,
    toy: Any,
    consuming: Running,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    good = message()
    whole = orjson.loads(event_body(good))
    capture = Sender("order").envelope(
        CapturePayment(order_id=good.subject, payment_id=good.subject),
        cause="c", subject=good.subject, correlation_id="c",
    )  # fmt: skip

    def changed(**changes: Any) -> str:
        return orjson.dumps({**whole, "detail": {**whole["detail"], **changes}}).decode()

    def body(**changes: Any) -> str:
        return event_body(replace(message(), **changes))

    expected = {
        "no JSON at all": "malformed",
        '{"truncated": ': "malformed",
        "[]": "malformed",
        '{"detail-type": "RestockItems"}': "malformed",
        orjson.dumps({**whole, "detail": "text"}).decode(): "malformed",
        orjson.dumps({**whole, "detail-type": "ReleaseStock"}).decode(): "malformed",
        changed(specversion="0.3"): "malformed",
        changed(id="7"): "malformed",
        changed(time="2026-01-01"): "malformed",
        changed(data=[]): "malformed",
        body(dataschema="urn:bookstore:catalog:RestockItems:x"): "malformed",
        body(data={"order_id": 7}): "contract_violation",
        body(data={}): "contract_violation",
        body(dataschema="urn:bookstore:catalog:RestockItems:99"): "unknown_message",
        body(type="BurnItems"): "unknown_message",
        event_body(capture): "unknown_message",
    }
    await put(event_body(good), *expected, event_body(message()))
    async with consuming(toy.handle):
        await until(empty)
    assert len(await toy.effects()) == 2

    letters: dict[str, Any] = {}
    while len(letters) < len(expected):
        answer = await aws.sqs.receive_message(
            QueueUrl=queue.dead_letter_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        )
        assert answer.get("Messages"), f"missing: {expected.keys() - letters.keys()}"
        letters |= {each["Body"]: each["MessageAttributes"] for each in answer["Messages"]}
    assert {
        text: attributes["reason_code"]["StringValue"] for text, attributes in letters.items()
    } == expected
    reasons = {text: attributes["reason"]["StringValue"] for text, attributes in letters.items()}
    assert "/order_id" in reasons[next(t for t, c in expected.items() if c.startswith("contr"))]
    assert "CapturePayment" in reasons[event_body(capture)]


async def test_a_handlers_own_dead_letter_keeps_its_code(
    aws: Any,
    queue: Any,
    consuming: Running,
    new_handler: Any,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    class NoSuchBook(DeadLetter):
        code = "no_such_book"

    handler, sent = new_handler(), message()
    handler.errors[sent.id] = [NoSuchBook("list it first " * 200)]
    await put(event_body(sent))
    async with consuming(handler):
        await until(empty)
    answer = await aws.sqs.receive_message(
        QueueUrl=queue.dead_letter_url, MessageAttributeNames=["All"]
    )
    attributes = answer["Messages"][0]["MessageAttributes"]
    assert attributes["reason_code"]["StringValue"] == "no_such_book"
    assert attributes["reason"]["StringValue"].startswith("list it first")


async def test_a_message_stays_until_its_dead_letter_is_stored(
    consumer_of: Any,
    consuming: Running,
    new_handler: Any,
    aws: Any,
    put: Any,
    until: Any,
    depth: Any,
) -> None:
    class NoDeadLetters:
        refused = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(aws.sqs, name)

        async def send_message(self, **_: Any) -> Any:
            self.refused += 1
            raise ConnectionError("the dead-letter queue does not answer")

    sqs = NoDeadLetters()
    await put("no JSON")
    async with consuming(new_handler(), sqs=sqs):
        await until(lambda: sqs.refused)
    assert sum(await depth()) == 1


async def test_a_message_that_is_too_early_comes_again(
    consuming: Running,
    new_handler: Any,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    handler, sent = new_handler(), message()
    handler.errors[sent.id] = [RetryLater("the order is not there yet", 0.0)] * 2
    await put(event_body(sent))
    async with consuming(handler):
        await until(empty)
    assert handler.seen == [sent.id] * 3
    assert handler.done == [sent.id]


async def test_a_message_that_fails_comes_again_and_takes_no_other_down(
    consuming: Running,
    new_handler: Any,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    handler, sent = new_handler(), [message() for _ in range(10)]
    bad = sent[4].id
    handler.errors[bad] = [ValueError("a bug")]
    await put(*map(event_body, sent))
    async with consuming(handler):
        await until(empty)
    assert sorted(handler.done) == sorted(each.id for each in sent)
    assert Counter(handler.seen) == {each.id: 2 if each.id == bad else 1 for each in sent}


async def test_a_message_is_deleted_only_after_its_commit(
    toy: Any,
    consuming: Running,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
    depth: Any,
) -> None:
    toy.commit_gate.clear()
    await put(event_body(message()))
    async with consuming(toy.handle):
        await asyncio.wait_for(toy.at_commit.wait(), timeout=10)
        assert await depth() == (0, 1)
        assert await toy.effects() == {}
        toy.commit_gate.set()
        await until(empty)
    assert len(await toy.effects()) == 1


async def test_a_commit_that_fails_brings_the_message_back(
    toy: Any,
    consuming: Running,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    await toy.fail_first_commit()
    command = message()
    await put(event_body(command))
    async with consuming(toy.handle):
        await until(empty)
    assert toy.calls == [command.subject] * 2
    assert await toy.effects() == {command.subject: 1}


async def test_stopping_finishes_what_is_at_work_and_takes_nothing_more(
    consumer_of: Any,
    new_handler: Any,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
    depth: Any,
) -> None:
    handler, sent = new_handler(), message()
    handler.gate.clear()
    # Without long polls: the emulator goes on with one whose caller has gone.
    consumer = consumer_of(handler, wait_seconds=0)
    running = asyncio.create_task(consumer.run())
    await put(event_body(sent))
    await until(lambda: handler.seen)
    consumer.stop()
    done, _ = await asyncio.wait([running], timeout=0.3)
    assert not done, "the message at work is not finished yet"
    await put(event_body(message()))
    handler.gate.set()
    async with asyncio.timeout(5):
        await running
    assert handler.done == [sent.id]
    assert await depth() == (1, 0)


async def test_a_message_stays_hidden_for_as_long_as_the_work_on_it_takes(
    aws: Any,
    queue: Any,
    consuming: Running,
    new_handler: Any,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    handler = new_handler()
    handler.gate.clear()
    await put(event_body(message()))
    async with consuming(handler, visibility_seconds=1):
        await until(lambda: handler.seen)
        # Somebody else asks for longer than the message would stay hidden by itself.
        async with consuming(handler, pollers=1, visibility_seconds=1):
            await asyncio.sleep(2.2)
            assert len(handler.seen) == 1
        handler.gate.set()
        await until(empty)
    assert len(handler.done) == 1


async def test_waiting_does_not_use_up_a_messages_receives(
    aws: Any,
    queue: Any,
    consuming: Running,
    put: Any,
    message: Make,
    event_body: Body,
    until: Any,
    empty: Any,
) -> None:
    dead = await aws.sqs.get_queue_attributes(
        QueueUrl=queue.dead_letter_url, AttributeNames=["QueueArn"]
    )
    policy = {"deadLetterTargetArn": dead["Attributes"]["QueueArn"], "maxReceiveCount": 8}
    await aws.sqs.set_queue_attributes(
        QueueUrl=queue.url, Attributes={"RedrivePolicy": orjson.dumps(policy).decode()}
    )
    waits = 0

    async def handle(_: Envelope) -> bool:
        nonlocal waits
        waits += 1
        if waits <= 12:
            raise RetryLater("the gateway's circuit is open", 0.0)
        return True

    await put(event_body(message()))
    async with consuming(handle):
        await until(empty)
    assert waits == 13
    dead = await aws.sqs.get_queue_attributes(
        QueueUrl=queue.dead_letter_url, AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert dead["Attributes"]["ApproximateNumberOfMessages"] == "0"
