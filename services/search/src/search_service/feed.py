"""The catalog's public feed: all of its books, page by page, with the versions that events carry.

Guarantee: each book that was listed before the first page was asked for is in one of the pages.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
from tenacity import AsyncRetrying, before_sleep_log, retry_if_exception_type
from tenacity import wait_exponential_jitter as exponential_jitter

from search_service.index import Book, BookChange, Change, StockChange

log = logging.getLogger(__name__)

PAGE = 200  # The catalog's limit.
TIMEOUT_SECONDS = 30.0
LONGEST_WAIT_SECONDS = 10.0


class FeedUnavailable(Exception):
    """The catalog does not answer, or not with a page of books; the text says which."""


class CatalogFeed:
    """Reads `GET /books` of the catalog at `url`, for as long as it takes to be answered."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")

    async def pages(self) -> AsyncIterator[list[Change]]:
        """The changes that make each page's books."""
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS, trust_env=False) as client:
            query = {"limit": str(PAGE)}
            while True:
                page = await self._page(client, query)
                yield [change for view in page["books"] for change in changes_of(view)]
                if "next_cursor" not in page:
                    return
                query["cursor"] = page["next_cursor"]

    async def _page(self, client: httpx.AsyncClient, query: dict[str, str]) -> Any:
        """Whoever gives up is cancelled: a catalog that is down will be up again."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(FeedUnavailable),
            wait=exponential_jitter(multiplier=0.2, max=LONGEST_WAIT_SECONDS),
            before_sleep=before_sleep_log(log, logging.WARNING),
            sleep=asyncio.sleep,
            reraise=True,
        ):
            with attempt:
                try:
                    answer = await client.get(f"{self._url}/books", params=query)
                    answer.raise_for_status()
                    page = answer.json()
                    page["books"]
                except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
                    reason = f"{self._url} gives no page of books: {error or type(error).__name__}"
                    raise FeedUnavailable(reason) from None
        return page


def changes_of(view: Any) -> list[Change]:
    """A book and its stock, from the catalog's BookView."""
    book = book_from(view)
    return [
        BookChange(book, view["version"]),
        StockChange(book.book_id, view["available"], view["stock_version"]),
    ]


def book_from(view: Any) -> Book:
    """A book as the catalog's API writes it."""
    return Book(
        book_id=view["book_id"],
        title=view["title"],
        authors=tuple(view["authors"]),
        subjects=tuple(view["subjects"]),
        language=view["language"],
        price_minor=view["price"]["amount_minor"],
        currency=view["price"]["currency"],
        year=view.get("year"),
        isbn=view.get("isbn"),
    )
