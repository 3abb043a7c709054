"""Reading books with Redis up, down and silent."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from sqlalchemy import event, update

from catalog_service.api import book_routes
from catalog_service.books import Books
from catalog_service.cache import TIMEOUT_SECONDS, BookCache
from catalog_service.tables import BOOKS
from chassis import Resources
from chassis.web import build_app
from messaging import Sender

ListBook = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def silent_redis() -> AsyncIterator[str]:
    """A server that accepts and never answers."""

    async def ignore(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1024):
            pass
        writer.close()

    server = await asyncio.start_server(ignore, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


async def read_with(resources: Resources, cache: BookCache, book_id: str) -> httpx.Response:
    books = Books(resources.engine, resources.outbox, Sender("catalog"))
    app = build_app("catalog", resources, [book_routes(books, cache)])
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://catalog") as client:
        return await client.get(f"/books/{book_id}")


async def test_second_read_asks_no_database(
    client: httpx.AsyncClient, list_book: ListBook, resources: Resources
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
    servers: Any, list_book: ListBook, resources: Resources
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


@pytest.mark.parametrize("url", ["redis://127.0.0.1:1/0", "silent"])
async def test_without_redis_books_are_read_and_written_all_the_same(
    resources: Resources, list_book: ListBook, silent_redis: str, url: str
) -> None:
    book = await list_book(9)
    cache = BookCache(silent_redis if url == "silent" else url, ttl_seconds=5)
    started = time.monotonic()
    for _ in range(20):
        answer = await read_with(resources, cache, book["book_id"])
        assert (answer.status_code, answer.json()) == (200, book)
    await cache.forget([str(uuid.uuid4())])
    # One timeout, then the database alone: not a timeout a request.
    assert time.monotonic() - started < 10 * TIMEOUT_SECONDS
    await cache.close()
