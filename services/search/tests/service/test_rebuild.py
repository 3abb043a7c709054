"""Rebuilds from the catalog's feed, while events go on arriving."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from contracts.models.catalog import BookListed, BookRevised
from contracts.models.common import Book
from search_service.feed import CatalogFeed
from search_service.rebuild import Rebuilder, Rebuilds

PAGE_BOOKS = 2


class Catalog:
    """The feed of a hand-written catalog; `before_page` may be made to wait, or to fail."""

    def __init__(self, *books: Book) -> None:
        self.books = sorted(books, key=lambda each: each.book_id)
        self.before_page: Callable[[], Any] | None = None
        self.url = ""

    async def page(self, request: web.Request) -> web.Response:
        if self.before_page is not None:
            await self.before_page()
        start = int(request.query.get("cursor", "0"))
        shown = self.books[start : start + PAGE_BOOKS]
        page: dict[str, Any] = {"books": [self._view(each) for each in shown]}
        if start + PAGE_BOOKS < len(self.books):
            page["next_cursor"] = str(start + PAGE_BOOKS)
        return web.json_response(page)

    def _view(self, book: Book) -> dict[str, Any]:
        return {
            **book.model_dump(mode="json"),
            "available": 3,
            "version": 1,
            "stock_version": 1,
        }


@asynccontextmanager
async def serving(catalog: Catalog) -> AsyncIterator[Catalog]:
    app = web.Application()
    app.router.add_get("/books", catalog.page)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    catalog.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield catalog
    finally:
        await runner.cleanup()


@pytest.fixture
async def catalog(book: Any) -> AsyncIterator[Catalog]:
    async with serving(Catalog(*(book(f"Volume {n}") for n in range(5)))) as catalog:
        yield catalog


@pytest.fixture
def rebuilds(shop: Any, monkeypatch: pytest.MonkeyPatch, scope: str) -> Rebuilds:
    monkeypatch.setattr("search_service.rebuild._KEY", {"pk": {"S": f"{scope}#rebuild"}})
    return Rebuilds(shop.resources.dynamodb, table=shop.resources.table("ledger"))


def worker(shop: Any, rebuilds: Rebuilds, catalog: Catalog) -> Rebuilder:
    index = shop.parts.workers[1]._index
    return Rebuilder(index, rebuilds, CatalogFeed(catalog.url))


async def titles(shop: Any) -> set[str]:
    return {hit["title"] for hit in (await shop.get("/search", limit=100))["hits"]}


async def test_rebuilt_index_holds_what_the_catalog_holds(
    shop: Any, rebuilds: Rebuilds, catalog: Catalog, book: Any
) -> None:
    await shop.tell(BookListed(book=book("No longer there"), version=1))
    await rebuilds.request()
    request_id = await rebuilds.take()
    assert request_id is not None
    assert await worker(shop, rebuilds, catalog).rebuild(request_id)
    assert await titles(shop) == {f"Volume {n}" for n in range(5)}
    found = await rebuilds.progress()
    assert found is not None
    assert (found.state, found.books) == ("done", 5)


async def test_searches_go_on_and_events_count_while_it_is_rebuilt(
    shop: Any, rebuilds: Rebuilds, catalog: Catalog, book: Any
) -> None:
    await shop.tell(BookListed(book=book("Before"), version=1))
    reached, go_on = asyncio.Event(), asyncio.Event()

    async def hold() -> None:
        reached.set()
        await go_on.wait()

    catalog.before_page = hold
    await rebuilds.request()
    request_id = await rebuilds.take()
    assert request_id is not None
    rebuilding = asyncio.create_task(worker(shop, rebuilds, catalog).rebuild(request_id))
    await reached.wait()
    revised = catalog.books[4].model_copy(update={"title": "Volume 4, revised"})
    await shop.tell(BookRevised(book=revised, version=2))
    await shop.tell(BookListed(book=book("Meanwhile"), version=1))
    assert await titles(shop) == {"Before", "Volume 4, revised", "Meanwhile"}
    go_on.set()
    assert await rebuilding
    others = {each.title for each in catalog.books[:4]}
    assert await titles(shop) == {*others, "Volume 4, revised", "Meanwhile"}


async def test_only_one_worker_takes_a_request(shop: Any, rebuilds: Rebuilds, scope: str) -> None:
    others = [Rebuilds(shop.resources.dynamodb, table="bookstore-ledger") for _ in range(4)]
    await rebuilds.request()
    taken = await asyncio.gather(*(each.take() for each in others))
    assert sum(each is not None for each in taken) == 1


async def test_worker_that_died_is_taken_over_once_its_lease_is_over(
    shop: Any, rebuilds: Rebuilds, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Rebuilds(shop.resources.dynamodb, table="bookstore-ledger")
    await rebuilds.request()
    request_id = await rebuilds.take()
    assert request_id is not None
    assert await other.take() is None
    monkeypatch.setattr("search_service.rebuild.LEASE_SECONDS", -1)
    assert await rebuilds.report(request_id, 1)  # Its lease is over with this.
    assert await other.take() == request_id
    assert not await rebuilds.report(request_id, 2)
    assert not await rebuilds.report(request_id, 5, done=True)


async def test_catalog_that_is_down_is_waited_for(
    shop: Any, rebuilds: Rebuilds, catalog: Catalog
) -> None:
    failures = 2

    async def fail_twice() -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise web.HTTPServiceUnavailable

    catalog.before_page = fail_twice
    await rebuilds.request()
    request_id = await rebuilds.take()
    assert request_id is not None
    assert await worker(shop, rebuilds, catalog).rebuild(request_id)
    assert len(await titles(shop)) == 5


async def test_worker_with_an_empty_index_fills_it_by_itself(
    shop: Any, rebuilds: Rebuilds, catalog: Catalog
) -> None:
    rebuilder = worker(shop, rebuilds, catalog)
    running = asyncio.create_task(rebuilder.run())
    try:
        async with asyncio.timeout(20):
            while len(await titles(shop)) < 5:
                await asyncio.sleep(0.05)
    finally:
        rebuilder.stop()
        await running


async def test_rebuild_that_is_stopped_is_left_to_another(
    shop: Any, rebuilds: Rebuilds, catalog: Catalog
) -> None:
    reached = asyncio.Event()

    async def stand_still() -> None:
        reached.set()
        await asyncio.Event().wait()

    catalog.before_page = stand_still
    await rebuilds.request()
    rebuilder = worker(shop, rebuilds, catalog)
    running = asyncio.create_task(rebuilder.run())
    await reached.wait()
    rebuilder.stop()
    async with asyncio.timeout(5):
        await running
    found = await rebuilds.progress()
    assert found is not None
    assert found.state == "running"
