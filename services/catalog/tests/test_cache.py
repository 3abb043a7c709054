"""Reading books with Redis up, down and silent."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
import uvloop
from redis.asyncio import Redis
from sqlalchemy import event, update

from catalog_service.api import book_routes
from catalog_service.books import Books
from catalog_service.cache import TIMEOUT_SECONDS, BookCache
from catalog_service.tables import BOOKS
from chassis import SqlResources
from chassis.web import build_app
from messaging import Sender

ListBook = Callable[..., Awaitable[dict[str, Any]]]


class SilentServer:
    """Accepts connections, counts them, and never answers."""

    def __init__(self) -> None:
        self.connections = 0
        self.url = ""

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while await reader.read(1024):
            pass
        writer.close()


@pytest.fixture
async def silent() -> AsyncIterator[SilentServer]:
    silent = SilentServer()
    server = await asyncio.start_server(silent.accept, "127.0.0.1", 0)
    async with server:
        silent.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        yield silent


async def read_with(resources: SqlResources, cache: BookCache, book_id: str) -> httpx.Response:
    books = Books(resources.engine, resources.outbox, Sender("catalog"))
    app = build_app("catalog", resources, [book_routes(books, cache)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalog") as client:
        return await client.get(f"/books/{book_id}")


async def test_second_read_asks_no_database(
    client: httpx.AsyncClient, list_book: ListBook, resources: SqlResources
) -> None:
    book = await list_book(9)
    first = await client.get(f"/books/{book['book_id']}")
    statements: list[str] = []

    def on_statement(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        statements.append(text)

    event.listen(resources.engine.sync_engine, "before_cursor_execute", on_statement)
    try:
        second = await client.get(f"/books/{book['book_id']}")
    finally:
        event.remove(resources.engine.sync_engine, "before_cursor_execute", on_statement)
    assert second.content == first.content
    assert not statements


async def test_cached_book_is_forgotten_after_its_time(
    servers: Any, list_book: ListBook, resources: SqlResources
) -> None:
    book = await list_book(9)
    cache = BookCache(servers.redis_url, ttl_seconds=1)
    await read_with(resources, cache, book["book_id"])
    async with resources.engine.begin() as connection:  # Behind the catalog's back.
        await connection.execute(update(BOOKS).values(title="Changed"))
    deadline = time.monotonic() + 5
    while (await read_with(resources, cache, book["book_id"])).json()["title"] != "Changed":
        assert time.monotonic() < deadline
    await cache.close()


async def test_silent_redis_costs_one_timeout_not_one_a_request(
    resources: SqlResources, list_book: ListBook, silent: SilentServer
) -> None:
    book = await list_book(9)
    cache = BookCache(silent.url, ttl_seconds=5, pause_seconds=3600)
    for _ in range(20):
        async with asyncio.timeout(5):
            answer = await read_with(resources, cache, book["book_id"])
        assert (answer.status_code, answer.json()) == (200, book)
    assert silent.connections == 1
    await cache.close()


async def test_without_redis_books_are_read_and_forgotten_all_the_same(
    resources: SqlResources, list_book: ListBook
) -> None:
    book = await list_book(9)
    cache = BookCache("redis://127.0.0.1:1/0", ttl_seconds=5, pause_seconds=0)
    for _ in range(3):
        answer = await read_with(resources, cache, book["book_id"])
        assert (answer.status_code, answer.json()) == (200, book)
        await cache.forget([book["book_id"]])
    await cache.close()


async def test_connection_that_closes_before_a_command_is_written_costs_no_read(
    servers: Any, list_book: ListBook
) -> None:
    """On uvloop, as services run, where writing to such a connection is a RuntimeError."""
    book_id = (await list_book(9))["book_id"]

    async def read_and_lose_the_connection() -> bytes | None:
        cache = BookCache(servers.redis_url, ttl_seconds=60, pause_seconds=0)
        await cache.keep(book_id, b"{}")
        assert cache._redis is not None
        for connection in cache._redis.connection_pool._available_connections:
            connection._writer.transport.abort()
        lost = await cache.get(book_id)
        assert await cache.get(book_id) == b"{}"
        await cache.close()
        return lost

    def on_uvloop() -> bytes | None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(read_and_lose_the_connection())

    assert await asyncio.to_thread(on_uvloop) is None


async def test_cache_is_used_again_once_redis_is_back(
    servers: Any, resources: SqlResources, list_book: ListBook
) -> None:
    book = await list_book(9)
    cache = BookCache(servers.redis_url, ttl_seconds=60, pause_seconds=0)
    async with Redis.from_url(servers.redis_url) as redis:
        await redis.client_pause(timeout=int(3 * TIMEOUT_SECONDS * 1000))
        assert await cache.get(book["book_id"]) is None
        await redis.client_unpause()
        await read_with(resources, cache, book["book_id"])
    assert await cache.get(book["book_id"]) is not None
    await cache.close()
