"""What fulfillment really says: each message as the bus hands it on.

Guarantee: a message is here only if the Node process's own outbox and relay have published it, and
it is heard by a rule and a queue of the course's own, which are gone at its end.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import orjson

from contracts import load_topology

from .asks import ORDER_ID, examples_of, pact_of
from .bookstore_course import Said
from .fulfillment_asks import ASKS
from .fulfillment_scene import NAME, FulfillmentScene, client_of, play
from .scene import Detail
from .server_scene import PATIENCE_SECONDS, Servers

# As fast as the service goes: 0.05 s is the shortest pause of its sweeper.
HURRIED = {"PACKING_SECONDS": "0", "TRANSIT_SECONDS": "0", "SWEEP_SECONDS": "0.05"}
_TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def everything_said(servers: Servers) -> Sequence[Said]:
    """What is said of parcels that are dispatched and arrive: of an order with a trace, of one
    without, and of one from a sender of a later release.
    """
    examples = examples_of(pact_of(NAME, "order", ASKS))
    confirmed = examples["OrderConfirmed"]
    orders = [
        _of_its_own({**confirmed, "traceparent": _TRACEPARENT}),
        _of_its_own(confirmed),
        _of_its_own({**confirmed, "data": {**confirmed["data"], "added_later": None}}),
    ]
    expected = {
        (message, order["subject"])
        for message in load_topology().services[NAME].sends
        for order in orders
    }

    async with _ear(servers) as ear:

        async def script(scene: FulfillmentScene) -> Sequence[Said]:
            await scene.tell([scene.fill_in(order) for order in orders])
            return await ear.everything(expected)

        return await play(script, examples, servers, HURRIED)


def _of_its_own(detail: Detail) -> Detail:
    """The same event about an order that nobody has heard of."""
    text = orjson.dumps(detail).decode()
    event: Detail = orjson.loads(text.replace(ORDER_ID, str(uuid.uuid4())))
    return event


class _Ear:
    """A queue that holds what the service has published."""

    def __init__(self, sqs: Any, queue_url: str) -> None:
        self._sqs = sqs
        self._queue_url = queue_url

    async def everything(self, expected: set[tuple[str, str]]) -> Sequence[Said]:
        """What has arrived once each message (its name and its subject) is there, or once nothing
        of it comes any more: what is missing then is the reader's to find.
        """
        heard: list[Said] = []
        missing = set(expected)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while missing:
                    answer = await self._sqs.receive_message(
                        QueueUrl=self._queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
                    )
                    events = [orjson.loads(each["Body"]) for each in answer.get("Messages", [])]
                    heard += map(_said, events)
                    missing -= {(e["detail-type"], e["detail"]["subject"]) for e in events}
        except TimeoutError:
            return heard
        return heard


def _said(event: Mapping[str, Any]) -> Said:
    """The bus hands `detail` on as a part of its own JSON, with every name and value in it."""
    return Said(event["source"], event["detail-type"], orjson.dumps(event["detail"]))


@asynccontextmanager
async def _ear(servers: Servers) -> AsyncIterator[_Ear]:
    """Whatever has the service as its source, from now on until the block's end."""
    topology = load_topology()
    name = f"ear-{uuid.uuid4().hex}"
    async with AsyncExitStack() as opened:
        sqs, events = [
            await opened.enter_async_context(client_of(each, servers)) for each in ("sqs", "events")
        ]
        queue_url = (await sqs.create_queue(QueueName=name))["QueueUrl"]
        opened.push_async_callback(sqs.delete_queue, QueueUrl=queue_url)
        attributes = await sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["QueueArn"])
        rule = {"EventBusName": topology.bus}
        pattern = {"source": [topology.services[NAME].source]}
        await events.put_rule(Name=name, EventPattern=orjson.dumps(pattern).decode(), **rule)
        opened.push_async_callback(events.delete_rule, Name=name, **rule)
        target = {"Id": name, "Arn": attributes["Attributes"]["QueueArn"]}
        await events.put_targets(Rule=name, Targets=[target], **rule)
        opened.push_async_callback(events.remove_targets, Rule=name, Ids=[name], **rule)
        yield _Ear(sqs, queue_url)
