"""The kit's own way to bus and queues: puts messages on, watches what comes, reads dead letters.

Guarantee: it talks to the emulator directly, so that no outage that the kit makes for the
participant touches it; and it sees every message of the participant's source, in a queue of its
own.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from conformance.contract import Contract
from conformance.errors import ConformanceError
from conformance.messages import Message
from messaging.topology import apply

REGION = "us-east-1"
PROBE = "conformance-probe"
# PutEvents and SQS take ten at a time (quotas of both).
MAX_ENTRIES = 10
_DEPTHS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


@dataclass(frozen=True)
class Depth:
    """How many messages a queue holds."""

    waiting: int
    in_flight: int

    @property
    def total(self) -> int:
        return self.waiting + self.in_flight


@dataclass(frozen=True)
class Letter:
    """A dead letter: its text, and the reason that the participant wrote on it, if it did."""

    body: str
    reason_code: str | None
    reason: str | None


class Bus:
    """The clients, the participant's queues, and `seen`: all that it has sent, in order."""

    def __init__(
        self, events: Any, sqs: Any, *, bus: str, queue: str, dead_letters: str, probe: str
    ) -> None:
        self.seen: list[Message] = []
        self._events = events
        self._sqs = sqs
        self._bus = bus
        self._queue = queue
        self._dead_letters = dead_letters
        self._probe = probe

    async def publish(self, messages: Sequence[Message]) -> None:
        """Put messages on the bus, as another service would."""
        entries = [
            {
                "EventBusName": self._bus,
                "Source": message.source,
                "DetailType": message.detail_type,
                "Detail": json.dumps(message.detail),
            }
            for message in messages
        ]
        for start in range(0, len(entries), MAX_ENTRIES):
            answer = await self._events.put_events(Entries=entries[start : start + MAX_ENTRIES])
            if answer.get("FailedEntryCount"):
                raise ConformanceError(f"the bus refused a message: {answer['Entries']}")

    async def enqueue(self, bodies: Sequence[str]) -> None:
        """Put texts into the participant's queue, past the rules that lead there."""
        for body in bodies:
            await self._sqs.send_message(QueueUrl=self._queue, MessageBody=body)

    async def depth(self) -> Depth:
        """What is left in the participant's queue."""
        return await self._depth_of(self._queue)

    async def unseen(self) -> int:
        """What the participant has sent and is not yet in `seen`."""
        return (await self._depth_of(self._probe)).total

    async def take_letters(self) -> list[Letter]:
        """All dead letters; they are gone afterwards."""
        return [
            Letter(
                message["Body"],
                _attribute(message, "reason_code"),
                _attribute(message, "reason"),
            )
            for message in await self._take(self._dead_letters)
        ]

    async def clear(self) -> None:
        """Throw away what is in the participant's queue and among its dead letters."""
        for url in (self._queue, self._dead_letters):
            await self._sqs.purge_queue(QueueUrl=url)

    async def watch(self) -> None:
        """Fill `seen`, until cancelled."""
        while True:
            try:
                messages = await self._receive(self._probe, wait_seconds=1)
                for message in messages:
                    event = json.loads(message["Body"])
                    sent = Message(event["source"], event["detail-type"], event["detail"])
                    self.seen.append(sent)
                # Only now: whoever finds the queue empty finds them all in `seen`.
                await self._delete(self._probe, messages)
            except (ClientError, BotoCoreError, OSError):
                await asyncio.sleep(0.2)  # The emulator is busy, or ends.

    async def _take(self, url: str) -> list[dict[str, Any]]:
        taken: list[dict[str, Any]] = []
        while messages := await self._receive(url):
            taken += messages
            await self._delete(url, messages)
        return taken

    async def _receive(self, url: str, wait_seconds: int = 0) -> list[dict[str, Any]]:
        answer = await self._sqs.receive_message(
            QueueUrl=url,
            MaxNumberOfMessages=MAX_ENTRIES,
            WaitTimeSeconds=wait_seconds,
            MessageAttributeNames=["All"],
        )
        return list(answer.get("Messages", []))

    async def _delete(self, url: str, messages: Sequence[dict[str, Any]]) -> None:
        if messages:
            entries = [
                {"Id": str(number), "ReceiptHandle": each["ReceiptHandle"]}
                for number, each in enumerate(messages)
            ]
            await self._sqs.delete_message_batch(QueueUrl=url, Entries=entries)

    async def _depth_of(self, url: str) -> Depth:
        answer = await self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=list(_DEPTHS))
        waiting, in_flight, delayed = (int(answer["Attributes"].get(name, 0)) for name in _DEPTHS)
        return Depth(waiting + delayed, in_flight)


@asynccontextmanager
async def open_bus(contract: Contract, endpoint_url: str) -> AsyncIterator[Bus]:
    """The topology applied, the probe in place and watching."""
    session = AioSession()
    session.set_credentials("test", "test")
    where = {"endpoint_url": endpoint_url, "region": REGION}
    topology = contract.topology
    applied = await apply(topology, session, **where)
    async with AsyncExitStack() as stack:
        events, sqs = [
            await stack.enter_async_context(
                session.create_client(name, endpoint_url=endpoint_url, region_name=REGION)
            )
            for name in ("events", "sqs")
        ]
        bus = Bus(
            events,
            sqs,
            bus=topology.bus,
            queue=applied.queue_urls[contract.name],
            dead_letters=applied.dead_letter_urls[contract.name],
            probe=await _place_probe(events, sqs, topology.bus, contract.source),
        )
        watching = asyncio.create_task(bus.watch())
        try:
            yield bus
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching


async def _place_probe(events: Any, sqs: Any, bus: str, source: str) -> str:
    url = str((await sqs.create_queue(QueueName=PROBE))["QueueUrl"])
    attributes = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    pattern = json.dumps({"source": [source]})
    await events.put_rule(Name=PROBE, EventBusName=bus, EventPattern=pattern)
    target = {"Id": "probe", "Arn": attributes["Attributes"]["QueueArn"]}
    await events.put_targets(Rule=PROBE, EventBusName=bus, Targets=[target])
    return url


def _attribute(message: dict[str, Any], name: str) -> str | None:
    value = message.get("MessageAttributes", {}).get(name, {}).get("StringValue")
    return str(value) if value else None
