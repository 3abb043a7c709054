"""The consumer under load and when what it depends on is down; and the whole path over the bus."""

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from contracts.models.catalog import RestockItems
from messaging import Envelope, Outbox, Relay, Sender

Make = Callable[..., Envelope]
Body = Callable[[Envelope], str]
Running = Callable[..., Any]


class SpiedSqs:
    """The real client, with the moments at which it was asked for messages."""

    def __init__(self, sqs: Any) -> None:
        self._sqs = sqs
        self.receives: list[float] = []
        self.answer_gate = asyncio.Event()
        self.answer_gate.set()
        self.answers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)

    async def receive_message(self, **arguments: Any) -> Any:
        self.receives.append(time.monotonic())
        answer = await self._sqs.receive_message(**arguments)
        self.answers += len(answer.get("Messages", ()))
        await self.answer_gate.wait()
        return answer


async def test_a_database_outage_pauses_receiving_instead_of_using_up_the_messages_tries(
    aws: Any, consuming: Running, new_handler: Any, put: Any, message: Make, event_body: Body,
    until: Any, empty: Any,
) -> None:  # fmt: skip
    handler, sent = new_handler(), message()
    failed_at: list[float] = []

    async def handle(received: Envelope) -> bool:
        if not failed_at:
            failed_at.append(time.monotonic())
            raise OperationalError("SELECT 1", {}, ConnectionError("the database is away"))
        return bool(await handler(received))

    sqs = SpiedSqs(aws.sqs)
    await put(event_body(sent))
    async with consuming(handle, sqs=sqs, wait_seconds=0, pollers=2):
        await until(empty)
    assert handler.done == [sent.id]
    # Half a second at least, once the receive of the other poller has come back.
    asked = [at for at in sqs.receives if at > failed_at[0]]
    assert max(after - before for before, after in pairwise([failed_at[0], *asked])) > 0.4


async def test_a_failing_handler_pauses_nobody(
    aws: Any, consuming: Running, new_handler: Any, put: Any, message: Make, event_body: Body,
    until: Any,
) -> None:  # fmt: skip
    handler, bad, good = new_handler(), message(), message()
    handler.errors[bad.id] = [ValueError("a bug")] * 9
    sqs = SpiedSqs(aws.sqs)
    await put(event_body(bad))
    async with consuming(handler, sqs=sqs, wait_seconds=0):
        await until(lambda: handler.seen)
        failed_at = time.monotonic()
        await put(event_body(good))
        await until(lambda: good.id in handler.done)
    assert [at for at in sqs.receives if failed_at < at < failed_at + 0.45]


@pytest.mark.parametrize("max_in_flight", [1, 10, 15])
async def test_no_more_messages_are_at_work_than_allowed_and_none_is_left_waiting(
    consuming: Running, new_handler: Any, put: Any, message: Make, event_body: Body,
    until: Any, empty: Any, max_in_flight: int,
) -> None:  # fmt: skip
    handler = new_handler()
    sent = [message() for _ in range(20)]
    await put(*map(event_body, sent))
    async with consuming(handler, pollers=2, max_in_flight=max_in_flight):
        await until(empty)
    assert sorted(handler.done) == sorted(each.id for each in sent)
    assert handler.most_at_once <= max_in_flight


async def test_one_slow_message_does_not_stop_the_rest(
    consuming: Running, new_handler: Any, put: Any, message: Make, event_body: Body, until: Any
) -> None:
    handler, slow = new_handler(), message()
    sent = [message() for _ in range(30)]

    async def handle(received: Envelope) -> bool:
        if received.id == slow.id:
            await gate.wait()
        return bool(await handler(received))

    gate = asyncio.Event()
    await put(event_body(slow), *map(event_body, sent))
    async with consuming(handle, pollers=2, max_in_flight=10):
        await until(lambda: len(handler.done) == len(sent))
        gate.set()


async def test_messages_on_their_way_when_it_stops_are_handled_not_hidden(
    aws: Any, consumer_of: Any, new_handler: Any, put: Any, message: Make, event_body: Body,
    until: Any, empty: Any,
) -> None:  # fmt: skip
    sqs, handler, sent = SpiedSqs(aws.sqs), new_handler(), message()
    sqs.answer_gate.clear()
    await put(event_body(sent))
    consumer = consumer_of(handler, sqs=sqs)
    running = asyncio.create_task(consumer.run())
    await until(lambda: sqs.answers)
    consumer.stop()
    await asyncio.wait([running], timeout=0.1)  # It would have cut the answer off by now.
    sqs.answer_gate.set()
    async with asyncio.timeout(5):
        await running
    assert handler.done == [sent.id]
    assert await empty()


async def test_an_idle_consumer_stops_soon_in_the_middle_of_a_long_poll(
    consumer_of: Any, new_handler: Any, aws: Any, until: Any
) -> None:
    sqs = SpiedSqs(aws.sqs)
    consumer = consumer_of(new_handler(), sqs=sqs, wait_seconds=20)
    running = asyncio.create_task(consumer.run())
    await until(lambda: sqs.receives)
    consumer.stop()
    async with asyncio.timeout(3):
        await running


async def test_a_consumer_that_breaks_says_why(consumer_of: Any, new_handler: Any) -> None:
    """Whoever supervises it has to learn of it: a consumer that ends silently loses messages."""

    class Broken:
        async def receive_message(self, **_: Any) -> Any:
            raise LookupError("not an answer of SQS")

    with pytest.raises(LookupError, match="not an answer"):
        await asyncio.wait_for(consumer_of(new_handler(), sqs=Broken()).run(), timeout=5)


async def test_a_queue_that_does_not_answer_is_asked_again(
    aws: Any, consuming: Running, new_handler: Any, put: Any, message: Make, event_body: Body,
    until: Any, empty: Any,
) -> None:  # fmt: skip
    class Flaky(SpiedSqs):
        async def receive_message(self, **arguments: Any) -> Any:
            if not self.receives:
                self.receives.append(time.monotonic())
                raise ConnectionError("refused")
            return await super().receive_message(**arguments)

    handler, sent = new_handler(), message()
    await put(event_body(sent))
    async with consuming(handler, sqs=Flaky(aws.sqs)):
        await until(empty)
    assert handler.done == [sent.id]


async def test_from_the_outbox_over_the_bus_to_the_effect_and_its_reply(
    aws: Any, queue: Any, toy: Any, consuming: Running, until: Any
) -> None:
    """Relay, bus, rule, queue, consumer, inbox: the parts fit, with nothing faked between them."""
    source = f"bookstore.test-{uuid.uuid4().hex[:8]}"
    await lead_into(aws, queue.url, source)
    outbox = Outbox(toy.engine, toy.tables, lambda committed: relay.wake(committed))
    relay = Relay(toy.engine, toy.tables, aws.events, bus="bookstore", grace_seconds=60)
    relaying = asyncio.create_task(relay.run())
    sender = Sender(source.removeprefix("bookstore."))
    orders = [str(uuid.uuid4()) for _ in range(15)]
    async with outbox.transaction() as transaction:
        transaction.send(
            [
                sender.envelope(
                    RestockItems(order_id=each), cause=each, subject=each, correlation_id=each
                )
                for each in orders
            ]
        )
    async with consuming(toy.handle, wait_seconds=5):

        async def all_took_effect() -> bool:
            return bool(await toy.effects() == dict.fromkeys(orders, 1))

        await until(all_took_effect)
    relay.stop()
    await relaying
    assert sorted(reply.subject for _, reply in toy.committed) == sorted(orders)


async def lead_into(aws: Any, queue_url: str, source: str) -> None:
    """A rule of the test's own on the shared bus."""
    attributes = await aws.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
    pattern = json.dumps({"source": [source]})
    await aws.events.put_rule(Name=source, EventBusName="bookstore", EventPattern=pattern)
    target = {"Id": "queue", "Arn": attributes["Attributes"]["QueueArn"]}
    await aws.events.put_targets(Rule=source, EventBusName="bookstore", Targets=[target])
