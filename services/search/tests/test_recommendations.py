"""Recommendations on a real DynamoDB API and a Valkey of their own that is flushed and stopped.

The index is a hand-written shelf: what recommendations ask of one is small.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from redis.asyncio import Redis

from idempotency import Ledger
from search_service.breaker import Breaker, open_redis
from search_service.index import Book, Found, Hit, Query
from search_service.interactions import Interaction, Interactions, Kind
from search_service.recommendations import Because, Reason, Recommendations, Recommender
from search_service.recompute import Recompute
from search_service.results import Publication, Results
from search_service.trending import Trending
from stack.ports import PortAllocator
from stack.supervisor import Supervisor
from stack.valkey import ValkeyServer

NOW = datetime.now(UTC)


class Shelf:
    """An index of the few calls that recommendations make; books of one subject are similar."""

    def __init__(self) -> None:
        self._hits: dict[str, Hit] = {}

    def put(self, subject: str, *book_ids: str, available: int = 5) -> None:
        for book_id in book_ids:
            book = Book(book_id, book_id, (), (subject,), "en", 999, "EUR")
            self._hits[book_id] = Hit(book, available, 0.0)

    async def similar(self, book_id: str, limit: int) -> list[Hit]:
        known = self._hits.get(book_id)
        if known is None:
            return []
        alike = [hit for hit in self._hits.values() if hit.book.subjects == known.book.subjects]
        return [hit for hit in alike if hit is not known][:limit]

    async def books(self, book_ids: Sequence[str]) -> dict[str, Hit]:
        return {each: self._hits[each] for each in book_ids if each in self._hits}

    async def search(self, query: Query) -> Found:
        hits = [h for h in self._hits.values() if h.available or not query.filters.in_stock]
        return Found(hits[: query.limit], len(hits), {})


class Valkey:
    """A server of these tests alone, on a fixed port so that clients find it again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server = ValkeyServer(folder, PortAllocator().pick(), persistent=False)
        self._supervisor: Supervisor | None = None
        self.url = self._server.url

    async def start(self) -> None:
        self._supervisor = Supervisor([self._server.process()], self._folder)
        await self._supervisor.start()

    async def stop(self) -> None:
        if self._supervisor is not None:
            await self._supervisor.stop()
        self._supervisor = None


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Valkey]:
    valkey = Valkey(tmp_path_factory.mktemp("valkey"))
    await valkey.start()
    yield valkey
    await valkey.stop()


class Shop:
    """A shop of one test: its books, its customers, its recommendations."""

    def __init__(self, dynamodb: Any, redis: Redis, table: str, scope: str) -> None:
        self.dynamodb, self.redis, self.table, self.scope = dynamodb, redis, table, scope
        self.shelf = Shelf()
        self.interactions = Interactions(dynamodb, table=table)
        self.trending = Trending(redis, patient("redis"))
        ledger = Ledger(dynamodb, table="bookstore-ledger", scope=scope)
        publication = Publication(redis, dynamodb, table=table)
        self.job = Recompute(self.interactions, publication, ledger, period_seconds=1e6)

    def recommender(
        self, redis: Redis | None = None, dynamodb: Any = None, pause_seconds: float = 0.0
    ) -> Recommender:
        """On these stores, or on others in their place."""
        redis, dynamodb = redis or self.redis, dynamodb or self.dynamodb
        redis_breaker = patient("redis", pause_seconds)
        dynamodb_breaker = patient("dynamodb", pause_seconds)
        return Recommender(
            self.shelf,  # type: ignore[arg-type]
            Interactions(dynamodb, table=self.table),
            dynamodb_breaker,
            Results(redis, redis_breaker, dynamodb, dynamodb_breaker, table=self.table),
            Trending(redis, redis_breaker),
        )

    async def did(self, customer: str, kind: Kind, *books: str, hours_ago: float = 1.0) -> None:
        at = NOW - timedelta(hours=hours_ago)
        await self.interactions.append(
            Interaction(customer, book, kind, at, "cause") for book in books
        )

    async def bought(self, customer: str, *books: str, hours_ago: float = 1.0) -> None:
        await self.did(customer, Kind.ORDER, *books, hours_ago=hours_ago)

    async def viewed(self, customer: str, *books: str, hours_ago: float = 1.0) -> None:
        await self.did(customer, Kind.VIEW, *books, hours_ago=hours_ago)

    async def many_bought(self, *books: str, customers: int = 8) -> None:
        for number in range(customers):
            await self.bought(f"{'-'.join(books)}-{number}", *books)


def patient(store: str, pause_seconds: float = 0.0) -> Breaker:
    """For a machine that is busy with other tests."""
    return Breaker(store, timeout_seconds=5, pause_seconds=pause_seconds)


@pytest.fixture
async def shop(aws: Any, server: Valkey, table: str, scope: str) -> AsyncIterator[Shop]:
    async with open_redis(server.url, timeout_seconds=5) as redis:
        await redis.flushall()
        yield Shop(aws.dynamodb, redis, table, scope)


@pytest.fixture
async def no_dynamodb() -> AsyncIterator[Any]:
    """A client whose every call is refused at once."""
    session = AioSession()
    session.set_credentials("test", "test")
    client = session.create_client(
        "dynamodb",
        endpoint_url="http://127.0.0.1:1",
        region_name="us-east-1",
        config=AioConfig(retries={"total_max_attempts": 1}),
    )
    async with client as opened:
        yield opened


def ids(found: Recommendations) -> list[str]:
    return [entry.hit.book.book_id for entry in found.entries]


def reasons(found: Recommendations) -> dict[str, Because]:
    return {entry.hit.book.book_id: entry.because for entry in found.entries}


async def test_what_others_bought_too_comes_first_and_says_because_of_what(shop: Shop) -> None:
    shop.shelf.put("novel", "emma", "persuasion", "ulysses", "walden")
    await shop.many_bought("emma", "persuasion")
    await shop.many_bought("walden", "ulysses", customers=4)
    await shop.bought("ada", "emma", hours_ago=1)
    await shop.viewed("ada", "walden", hours_ago=2)
    await shop.job.check()
    found = await shop.recommender().for_customer("ada", 2)
    assert ids(found) == ["persuasion", "ulysses"]
    assert reasons(found) == {
        "persuasion": Because(Reason.BOUGHT, "emma"),
        "ulysses": Because(Reason.VIEWED, "walden"),
    }
    assert not found.degraded
    assert found.result is not None
    assert 0 <= found.result.age_seconds < 60


async def test_own_purchases_are_never_recommended(shop: Shop) -> None:
    """Though they are neighbours, similar, trending, popular, and on the shelf."""
    shop.shelf.put("novel", "emma", "persuasion", "ulysses")
    await shop.many_bought("emma", "persuasion", "ulysses")
    await shop.bought("ada", "emma", "persuasion", hours_ago=2000)
    await shop.viewed("ada", *(f"x{index}" for index in range(60)))
    await shop.trending.add_order("m", {"emma": 5, "persuasion": 5}, NOW)
    await shop.job.check()
    assert ids(await shop.recommender().for_customer("ada", 10)) == ["ulysses"]
    await shop.redis.flushall()
    assert ids(await shop.recommender().for_customer("ada", 10)) == ["ulysses"]


async def test_cold_books_are_followed_by_similar_ones(shop: Shop) -> None:
    shop.shelf.put("poem", "leaves", "odes")
    shop.shelf.put("novel", "emma")
    await shop.bought("ada", "leaves")
    await shop.job.check()
    found = await shop.recommender().for_customer("ada", 1)
    assert reasons(found) == {"odes": Because(Reason.SIMILAR, "leaves")}


async def test_new_customer_gets_what_trends_then_what_is_popular_then_any(shop: Shop) -> None:
    shop.shelf.put("novel", "emma", "rising", "ulysses")
    shop.shelf.put("novel", "gone", available=0)
    await shop.many_bought("emma")
    await shop.trending.add_order("m", {"rising": 1}, NOW)
    await shop.job.check()
    found = await shop.recommender().for_customer("new", 10)
    assert {book: because.reason for book, because in reasons(found).items()} == {
        "rising": Reason.TRENDING,
        "emma": Reason.POPULAR,
        "ulysses": Reason.ANY,
        "gone": Reason.ANY,
    }
    assert ids(found) == ["rising", "emma", "ulysses", "gone"]
    assert not found.degraded


async def test_books_in_stock_come_before_others_of_their_kind(shop: Shop) -> None:
    shop.shelf.put("novel", "sold-out", available=0)
    shop.shelf.put("novel", "here")
    await shop.trending.add_order("m", {"sold-out": 5, "here": 1}, NOW)
    assert ids(await shop.recommender().trending(10)) == ["here", "sold-out"]


async def test_books_that_are_not_offered_are_left_out(shop: Shop) -> None:
    shop.shelf.put("novel", "emma")
    await shop.trending.add_order("m", {"withdrawn": 5, "emma": 1}, NOW)
    assert ids(await shop.recommender().trending(10)) == ["emma"]


async def test_newest_books_weigh_most(shop: Shop) -> None:
    for book in ("emma", "persuasion", "walden", "ulysses"):
        shop.shelf.put(f"alone {book}", book)
    await shop.many_bought("emma", "persuasion")
    await shop.many_bought("walden", "ulysses")
    await shop.bought("ada", "walden", hours_ago=1)
    await shop.bought("ada", "emma", hours_ago=2)
    await shop.job.check()
    assert ids(await shop.recommender().for_customer("ada", 2)) == ["ulysses", "persuasion"]


async def test_a_book_that_several_rankings_have_comes_before_the_best_of_one(
    shop: Shop,
) -> None:
    shop.shelf.put("novel", "emma", "ulysses")
    shop.shelf.put("poem", "odes")
    await shop.many_bought("emma", "odes", customers=9)
    await shop.many_bought("emma", "ulysses")
    await shop.bought("ada", "emma")
    await shop.job.check()
    found = await shop.recommender().for_customer("ada", 2)
    assert ids(found) == ["ulysses", "odes"]
    assert reasons(found)["ulysses"] == Because(Reason.BOUGHT, "emma")


async def test_similar_books_blend_what_was_bought_with_what_is_alike(shop: Shop) -> None:
    shop.shelf.put("novel", "emma", "both", "alike")
    shop.shelf.put("poem", "bought")
    await shop.many_bought("emma", "bought")
    await shop.many_bought("emma", "both", customers=4)
    await shop.job.check()
    found = await shop.recommender().similar_to("emma", 10)
    assert ids(found)[0] == "both"
    assert reasons(found) == {
        "both": Because(Reason.BOUGHT, "emma"),
        "bought": Because(Reason.BOUGHT, "emma"),
        "alike": Because(Reason.SIMILAR, "emma"),
    }
    assert found.result is not None


async def test_nothing_is_similar_to_an_unknown_book(shop: Shop) -> None:
    found = await shop.recommender().similar_to("unknown", 10)
    assert ids(found) == []


async def test_flush_degrades_and_the_next_run_restores(shop: Shop) -> None:
    shop.shelf.put("novel", "emma", "ulysses")
    shop.shelf.put("poem", "odes")
    await shop.many_bought("emma", "odes")
    await shop.bought("ada", "emma")
    await shop.trending.add_order("m", {"odes": 1}, NOW)
    await shop.job.check()
    whole = await shop.recommender().for_customer("ada", 1)
    await shop.redis.flushall()
    poor = await shop.recommender().for_customer("ada", 2)
    assert poor.degraded == {"neighbours"}
    assert poor.result is None
    assert {book: because.reason for book, because in reasons(poor).items()} == {
        "ulysses": Reason.SIMILAR,
        "odes": Reason.POPULAR,
    }
    assert await shop.job.check()
    again = await shop.recommender().for_customer("ada", 1)
    assert reasons(again) == reasons(whole) == {"odes": Because(Reason.BOUGHT, "emma")}
    assert not again.degraded


async def test_stopped_redis_degrades_and_a_started_one_is_used_again(
    shop: Shop, server: Valkey
) -> None:
    shop.shelf.put("novel", "emma", "ulysses")
    shop.shelf.put("poem", "odes")
    await shop.many_bought("emma", "odes")
    await shop.bought("ada", "emma")
    await shop.job.check()
    recommender = shop.recommender()
    assert reasons(await recommender.for_customer("ada", 1)) == {
        "odes": Because(Reason.BOUGHT, "emma")
    }
    await server.stop()
    try:
        poor = await recommender.for_customer("ada", 2)
        assert poor.degraded == {"neighbours"}
        assert {book: because.reason for book, because in reasons(poor).items()} == {
            "ulysses": Reason.SIMILAR,
            "odes": Reason.POPULAR,
        }
        assert ids(await recommender.similar_to("emma", 5)) == ["ulysses"]
        trending = await recommender.trending(3)
        assert trending.degraded == {"trending"}
        assert ids(trending)[:2] == ["emma", "odes"]
    finally:
        await server.start()
    await shop.job.check()
    again = await recommender.for_customer("ada", 1)
    assert reasons(again) == {"odes": Because(Reason.BOUGHT, "emma")}


async def test_without_dynamodb_there_are_still_recommendations(
    shop: Shop, no_dynamodb: Any
) -> None:
    shop.shelf.put("novel", "emma", "ulysses")
    await shop.many_bought("emma")
    await shop.job.check()
    found = await shop.recommender(dynamodb=no_dynamodb).for_customer("ada", 2)
    assert found.degraded == {"interactions"}
    assert {book: because.reason for book, because in reasons(found).items()} == {
        "emma": Reason.POPULAR,
        "ulysses": Reason.ANY,
    }


async def test_without_redis_and_dynamodb_there_are_still_books(
    shop: Shop, no_dynamodb: Any
) -> None:
    shop.shelf.put("novel", "emma")
    async with open_redis("redis://127.0.0.1:1/0") as no_redis:
        recommender = shop.recommender(no_redis, no_dynamodb)
        found = await recommender.for_customer("ada", 2)
    assert ids(found) == ["emma"]
    assert found.degraded == {"interactions", "neighbours", "trending", "popularity"}


async def test_silent_redis_costs_one_timeout_not_one_a_request(shop: Shop) -> None:
    shop.shelf.put("novel", "emma")
    connections = 0

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as silent:
        port = silent.sockets[0].getsockname()[1]
        async with open_redis(f"redis://127.0.0.1:{port}/0") as redis:
            recommender = shop.recommender(redis, pause_seconds=3600)
            before = time.monotonic()
            for _ in range(20):
                assert ids(await recommender.for_customer("ada", 1)) == ["emma"]
            assert time.monotonic() - before < 2.5  # A timeout each would be 4 s and more.
    assert connections == 1


async def test_only_one_caller_tries_a_store_that_has_failed() -> None:
    breaker = Breaker("redis", timeout_seconds=0.05, pause_seconds=0.05)
    asked = 0

    async def never() -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    async def ask() -> None:
        await asyncio.gather(*(breaker.ask(never) for _ in range(10)), return_exceptions=True)

    await ask()
    assert asked == 10  # They were all under way when the first one failed.
    deadline = time.monotonic() + 10
    while asked == 10:
        assert time.monotonic() < deadline
        await ask()
        await asyncio.sleep(0)
    assert asked == 11
