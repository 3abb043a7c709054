"""The indexes under test: the embedded one, and OpenSearch where `OPENSEARCH_URL` names one.

Guarantee: each test has an index of its own, in a temporary folder or under a name of its own which
is removed with all that stands under it.
"""

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest

from search_service.index import Book, BookChange, SearchIndex
from search_service.opensearch_index import OpenSearchIndex
from search_service.tantivy_index import TantivyIndex

Value = TypeVar("Value")

OPENSEARCH_URL = os.environ.get("OPENSEARCH_URL")
KINDS = ["tantivy", *(["opensearch"] if OPENSEARCH_URL else [])]
# What the protocol promises; a loaded machine gets more before a test fails.
PATIENCE_SECONDS = 10.0


def make_book(title: str, *authors: str, **fields: Any) -> Book:
    """A book whose id follows from its title and authors."""
    written_by = authors or ("Anon",)
    return Book(
        **{
            "book_id": str(uuid.uuid5(uuid.NAMESPACE_OID, "\n".join((title, *written_by)))),
            "title": title,
            "authors": written_by,
            "subjects": (),
            "language": "en",
            "price_minor": 1250,
            "currency": "EUR",
            **fields,
        }
    )


async def poll(ask: Callable[[], Awaitable[Value]], holds: Callable[[Value], bool]) -> Value:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds(value := await ask()):
        assert time.monotonic() < deadline, f"still {value!r}"
        await asyncio.sleep(0.02)
    return value


@pytest.fixture
def book() -> Callable[..., Book]:
    """`book("Emma", "Jane Austen", year=1815)`."""
    return make_book


@pytest.fixture
def until() -> Callable[..., Awaitable[Any]]:
    """`await until(ask, holds)`: what `ask` answers once that `holds`."""
    return poll


@pytest.fixture(params=KINDS)
async def index(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SearchIndex]:
    async with AsyncExitStack() as stack:
        if request.param == "tantivy":
            embedded = TantivyIndex(tmp_path / "search")
            stack.push_async_callback(embedded.close)
            yield embedded
        else:
            assert OPENSEARCH_URL is not None
            served = OpenSearchIndex(OPENSEARCH_URL, name=f"test-{uuid.uuid4().hex}")
            stack.push_async_callback(served.close)
            stack.push_async_callback(served.remove_everything)
            yield served


@pytest.fixture
def fill(index: SearchIndex) -> Callable[..., Awaitable[None]]:
    """`await fill(book, ...)`: lists the books, and returns once they can be found."""

    async def put(*books: Book) -> None:
        await index.apply([BookChange(each, 1) for each in books])
        await poll(index.count, lambda count: count == len(books))

    return put
