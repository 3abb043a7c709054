"""What search asks of the events that its index and its trends are made of.

Guarantee: the service runs as its worker does, on an embedded index and real servers (a queue of
SQS's protocol, DynamoDB, Redis), and what it made of an example is asked of its own API.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import httpx
import orjson
from pydantic import HttpUrl, SecretStr

from chassis import Resources
from chassis.web import build_app
from observability import Tracing
from search_service.app import SERVICE
from search_service.settings import SearchSettings

from .asks import (
    BOOK_ID,
    ORDER_ID,
    Ask,
    a_book,
    a_count,
    an_id,
    customer,
    money,
    order_lines,
)
from .scene import Detail

T = TypeVar("T")

# Far longer than handling takes; only a broken service makes anybody wait for it.
PATIENCE_SECONDS = 20.0
LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Servers:
    """Where the emulator and Redis listen, and a folder of the test's own for the index."""

    aws_endpoint_url: str
    redis_url: str
    folder: Path


class SearchScene:
    """One worker of the service, its queue and its API."""

    def __init__(
        self, resources: Resources, http: httpx.AsyncClient, examples: Mapping[str, Detail]
    ) -> None:
        self._resources = resources
        self._http = http
        self._examples = examples
        self._before: Mapping[str, int] = {}
        self._letters: list[Detail] = []
        self._told = 0

    async def start(self) -> None:
        """Leave out what earlier scenes have handled, since the inbox's count is kept for ever."""
        self._before = dict(await self._resources.inbox.census())
        await self._collect_letters()
        self._letters.clear()

    async def prepare(self, given: Sequence[str]) -> None:
        """See Scene: here every word is a message."""
        for word in given:
            await self.tell([self.fill_in(self._examples[word])])

    async def tell(self, details: Sequence[Detail]) -> None:
        """See Scene."""
        queue_url, _ = await self._resources.queue_urls()
        for detail in details:
            body = {
                "id": "event",
                "source": detail.get("source"),
                "detail-type": detail.get("type"),
                "detail": detail,
            }
            await self._resources.sqs.send_message(
                QueueUrl=queue_url, MessageBody=orjson.dumps(body).decode()
            )
        self._told += len(details)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while sum((await self.handled()).values()) + len(self._letters) < self._told:
                await self._collect_letters()
                await asyncio.sleep(LOOK_SECONDS)

    async def handled(self) -> Mapping[str, int]:
        """See Scene."""
        now = await self._resources.inbox.census()
        return {
            kind: count - self._before.get(kind, 0)
            for kind, count in now.items()
            if count > self._before.get(kind, 0)
        }

    async def refused(self) -> Sequence[Detail]:
        """See Scene."""
        return self._letters

    def fill_in(self, detail: Detail) -> Detail:
        """A message of its own each time, since the inbox remembers those of earlier scenes; and
        of this moment, since what was in demand long ago is forgotten.
        """
        return {**detail, "id": str(uuid.uuid4()), "time": datetime.now(UTC).isoformat()}

    async def get(self, path: str, **query: Any) -> Any:
        """What the API answers."""
        answer = await self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()

    async def _collect_letters(self) -> None:
        _, dead_letter_url = await self._resources.queue_urls()
        while True:
            answer = await self._resources.sqs.receive_message(
                QueueUrl=dead_letter_url, MaxNumberOfMessages=10
            )
            messages = answer.get("Messages", [])
            for message in messages:
                self._letters.append(orjson.loads(message["Body"])["detail"])
                await self._resources.sqs.delete_message(
                    QueueUrl=dead_letter_url, ReceiptHandle=message["ReceiptHandle"]
                )
            if not messages:
                return


async def _is_found(scene: SearchScene) -> bool:
    hits = (await scene.get("/search", q="emma"))["hits"]
    return [(hit["book_id"], hit["availability"]) for hit in hits] == [(BOOK_ID, "in_stock")]


async def _is_scarce(scene: SearchScene) -> bool:
    hits = (await scene.get("/search", q="emma"))["hits"]
    return [hit["availability"] for hit in hits] == ["few_left"]


async def _is_trending(scene: SearchScene) -> bool:
    books = (await scene.get("/trending", limit=100))["books"]
    return (BOOK_ID, "trending") in {(book["book_id"], book["because"]) for book in books}


ASKS = (
    Ask("BookListed", {"book": a_book(), "version": a_count(1)}, shows=_is_found),
    Ask("BookRevised", {"book": a_book(), "version": a_count(2)}, shows=_is_found),
    Ask(
        "StockLevelChanged",
        {"book_id": an_id(BOOK_ID), "available": a_count(2), "version": a_count(3)},
        given=("BookListed",),
        shows=_is_scarce,
    ),
    Ask(
        "OrderConfirmed",
        {
            "order_id": an_id(ORDER_ID),
            "customer_id": customer(),
            "lines": order_lines(),
            "total": money(),
        },
        given=("BookListed",),
        shows=_is_trending,
    ),
)


async def play(
    script: Callable[[SearchScene], Awaitable[T]],
    examples: Mapping[str, Detail],
    servers: Servers,
) -> T:
    """Run a script on a scene of its own."""
    settings = SearchSettings(
        aws_endpoint_url=servers.aws_endpoint_url,
        redis_url=SecretStr(servers.redis_url),
        index_path=servers.folder / "index",
        catalog_url=HttpUrl("http://127.0.0.1:1"),
    )
    async with AsyncExitStack() as opened:
        resources = await opened.enter_async_context(SERVICE.open(settings, Tracing(None)))
        parts = await SERVICE.compose(resources)
        for close in parts.closers:
            opened.push_async_callback(close)
        app = build_app(SERVICE.title, resources, parts.routers(), check=parts.check)
        http = await opened.enter_async_context(
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://search")
        )
        queue_worker = parts.workers[0]
        consuming = asyncio.create_task(queue_worker.run())
        try:
            scene = SearchScene(resources, http, examples)
            await scene.start()
            return await script(scene)
        finally:
            queue_worker.stop()
            await consuming
