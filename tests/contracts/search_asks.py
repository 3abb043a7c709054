"""What search asks of the events that its index and its trends are made of.

Guarantee: the service runs as its worker does, on an embedded index and real servers (a queue of
SQS's protocol, DynamoDB, Redis), and what it made of an example is asked of its own API.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import httpx
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
from .server_scene import Servers, ServerScene

T = TypeVar("T")


class SearchScene(ServerScene):
    """One worker of the service, and its API."""

    def __init__(
        self, resources: Resources, http: httpx.AsyncClient, examples: Mapping[str, Detail]
    ) -> None:
        super().__init__(resources.sqs, resources.queue_urls, resources.inbox.census, examples)
        self._http = http

    async def get(self, path: str, **query: Any) -> Any:
        """What the API answers."""
        answer = await self._http.get(path, params=query)
        answer.raise_for_status()
        return answer.json()


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
