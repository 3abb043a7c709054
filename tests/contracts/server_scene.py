"""A consumer at work on real servers, seen from its queue: for services in whatever language.

Guarantee: nothing of the service is touched but its queue, its dead letters and its own count of
what it has handled; how it runs is its own business.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from .scene import Detail, event_of

# Far longer than handling takes; only a broken service makes anybody wait for it.
PATIENCE_SECONDS = 20.0
LOOK_SECONDS = 0.05

Census = Callable[[], Awaitable[Mapping[str, int]]]
QueueUrls = Callable[[], Awaitable[tuple[str, str]]]


@dataclass(frozen=True)
class Servers:
    """Where the emulator and Redis listen, and a folder of the test's own."""

    aws_endpoint_url: str
    redis_url: str
    folder: Path


@dataclass(frozen=True)
class Letter:
    """What lies among the dead letters, and the code of the reason, if the service has put it there
    itself.
    """

    detail: Detail
    reason_code: str | None


class ServerScene:
    """See Scene. `queue_urls` are those of its queue and its dead letters; `census` tells how many
    messages of each type the service has ever handled.
    """

    def __init__(
        self, sqs: Any, queue_urls: QueueUrls, census: Census, examples: Mapping[str, Detail]
    ) -> None:
        self._sqs = sqs
        self._queue_urls = queue_urls
        self._census = census
        self._examples = examples
        self._before: Mapping[str, int] = {}
        self._letters: list[Letter] = []
        self._told = 0

    async def start(self) -> None:
        """Leave out what earlier scenes on the same servers have left."""
        self._before = dict(await self._census())
        await self._collect_letters()
        self._letters.clear()

    async def prepare(self, given: Sequence[str]) -> None:
        """See Scene: here every word is a message."""
        for word in given:
            await self.tell([self.fill_in(self._examples[word])])

    async def tell(self, details: Sequence[Detail]) -> None:
        """See Scene."""
        queue_url, _ = await self._queue_urls()
        for number, detail in enumerate(details):
            body = orjson.dumps(event_of(detail, number)).decode()
            await self._sqs.send_message(QueueUrl=queue_url, MessageBody=body)
        self._told += len(details)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum((await self.handled()).values()) + len(self._letters) < self._told:
                await asyncio.sleep(LOOK_SECONDS)
                await self._collect_letters()

    async def handled(self) -> Mapping[str, int]:
        """See Scene."""
        return {
            kind: count - self._before.get(kind, 0)
            for kind, count in (await self._census()).items()
            if count > self._before.get(kind, 0)
        }

    async def refused(self) -> Sequence[Detail]:
        """See Scene."""
        return [letter.detail for letter in self._letters]

    @property
    def letters(self) -> Sequence[Letter]:
        """The same, with the reasons."""
        return self._letters

    def fill_in(self, detail: Detail) -> Detail:
        """A message of its own each time, since the inbox remembers those of earlier scenes; and
        of this moment, since what was in demand long ago is forgotten.
        """
        return {**detail, "id": str(uuid.uuid4()), "time": datetime.now(UTC).isoformat()}

    async def _collect_letters(self) -> None:
        _, dead_letter_url = await self._queue_urls()
        while True:
            answer = await self._sqs.receive_message(
                QueueUrl=dead_letter_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            messages = answer.get("Messages", [])
            for message in messages:
                self._letters.append(_letter_of(message))
                await self._sqs.delete_message(
                    QueueUrl=dead_letter_url, ReceiptHandle=message["ReceiptHandle"]
                )
            if not messages:
                return


def _letter_of(message: Mapping[str, Any]) -> Letter:
    reason_code = message.get("MessageAttributes", {}).get("reason_code", {}).get("StringValue")
    return Letter(orjson.loads(message["Body"])["detail"], reason_code)
