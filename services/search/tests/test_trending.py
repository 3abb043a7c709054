"""Trending on a real Valkey: scores fade, count once, and never fail who adds them."""

import random
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from search_service.breaker import Breaker, open_redis
from search_service.trending import LOST, MAX_COPIES, VIEW_WEIGHT, Trending

DAY = 24 * 3600.0
NewTrending = Callable[..., Trending]


@pytest.fixture
async def redis(servers: Any) -> AsyncIterator[Redis]:
    async with open_redis(servers.redis_url, timeout_seconds=5) as client:
        yield client


@pytest.fixture
def new_trending(redis: Redis, scope: str) -> NewTrending:
    def create(prefix: str = scope, **arguments: Any) -> Trending:
        return Trending(redis, patient(), prefix=prefix, **arguments)

    return create


def patient() -> Breaker:
    """For a machine that is busy with other tests."""
    return Breaker("redis", timeout_seconds=5)


def ago(seconds: float) -> datetime:
    return datetime.fromtimestamp(time.time() - seconds, UTC)


async def scores(trending: Trending) -> dict[str, float]:
    return {each.book_id: each.score for each in await trending.top(100)}


async def test_same_message_twice_counts_once(new_trending: NewTrending) -> None:
    trending = new_trending()
    at = ago(0)
    assert await trending.add_order("m1", {"emma": 2}, at)
    assert not await trending.add_order("m1", {"emma": 2}, at)
    assert await scores(trending) == pytest.approx({"emma": 2}, rel=1e-3)


async def test_same_view_twice_counts_once(new_trending: NewTrending) -> None:
    trending = new_trending()
    assert await trending.add_view("v1", "emma", ago(0))
    assert not await trending.add_view("v1", "emma", ago(0))
    assert await scores(trending) == pytest.approx({"emma": VIEW_WEIGHT}, rel=1e-3)


async def test_scores_halve_in_a_half_life(new_trending: NewTrending) -> None:
    trending = new_trending()
    for half_lives in range(4):
        await trending.add_order(f"m{half_lives}", {f"b{half_lives}": 1}, ago(half_lives * DAY))
    expected = {"b0": 1, "b1": 0.5, "b2": 0.25, "b3": 0.125}
    assert await scores(trending) == pytest.approx(expected, rel=1e-3)


async def test_scores_fade_while_time_passes(
    new_trending: NewTrending, monkeypatch: pytest.MonkeyPatch
) -> None:
    trending = new_trending()
    await trending.add_order("m", {"emma": 1}, ago(0))
    now = time.time()
    monkeypatch.setattr("search_service.trending.time.time", lambda: now + DAY)
    assert await scores(trending) == pytest.approx({"emma": 0.5}, rel=1e-3)


async def test_order_of_events_makes_no_difference(new_trending: NewTrending, scope: str) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    events = [
        (f"m{index}", {f"b{rng.randrange(5)}": rng.randint(1, 3)}, ago(rng.uniform(0, 90 * DAY)))
        for index in range(200)
    ]
    found = []
    for index in range(2):
        trending = new_trending(prefix=f"{scope}-{index}")
        rng.shuffle(events)
        for event in events:
            await trending.add_order(*event)
        found.append(await scores(trending))
    assert found[0] == pytest.approx(found[1], rel=1e-6)
    assert len(found[0]) == 5


async def test_sum_is_that_of_the_faded_weights(new_trending: NewTrending) -> None:
    trending = new_trending()
    await trending.add_order("m1", {"emma": 3}, ago(2 * DAY))
    await trending.add_order("m2", {"emma": 1}, ago(DAY))
    await trending.add_view("v1", "emma", ago(0))
    assert await scores(trending) == pytest.approx({"emma": 0.75 + 0.5 + 0.1}, rel=1e-3)


async def test_large_order_counts_as_a_few_copies(new_trending: NewTrending) -> None:
    trending = new_trending()
    await trending.add_order("m", {"emma": 1000}, ago(0))
    assert await scores(trending) == pytest.approx({"emma": MAX_COPIES}, rel=1e-3)


async def test_event_from_the_future_weighs_no_more_than_one_of_now(
    new_trending: NewTrending,
) -> None:
    trending = new_trending()
    await trending.add_order("m", {"emma": 1}, ago(-365 * DAY))
    assert await scores(trending) == pytest.approx({"emma": 1}, rel=1e-3)


async def test_event_of_thousands_of_half_lives_ago_adds_nothing(
    new_trending: NewTrending,
) -> None:
    trending = new_trending(half_life_seconds=3600.0)
    await trending.add_order("m1", {"emma": 1}, ago(0))
    await trending.add_order("m2", {"emma": 1}, ago(3000 * 3600))
    assert await scores(trending) == pytest.approx({"emma": 1}, rel=1e-2)


async def test_scores_of_a_century_of_half_lives_do_not_overflow(
    new_trending: NewTrending, monkeypatch: pytest.MonkeyPatch
) -> None:
    trending = new_trending()
    in_a_century = datetime.now(UTC) + timedelta(days=36_525)
    monkeypatch.setattr("search_service.trending.time.time", in_a_century.timestamp)
    for index in range(10):
        await trending.add_order(f"m{index}", {"emma": 1}, in_a_century)
    assert await scores(trending) == pytest.approx({"emma": 10}, rel=1e-9)


async def test_only_the_highest_scores_are_kept(new_trending: NewTrending) -> None:
    trending = new_trending(max_books=3)
    for index in range(6):
        await trending.add_order(f"m{index}", {f"b{index}": 1}, ago(index * DAY))
    assert list(await scores(trending)) == ["b0", "b1", "b2"]


async def test_marks_and_scores_are_in_one_slot_and_marks_expire(
    new_trending: NewTrending, redis: Redis, scope: str
) -> None:
    await new_trending().add_order("m1", {"emma": 1}, ago(0))
    keys = [key async for key in redis.scan_iter(f"{scope}:*")]
    assert {key.partition("}")[0] for key in keys} == {f"{scope}:{{trending"}
    assert 6 * DAY < await redis.ttl(f"{scope}:{{trending}}:seen:m1") <= 7 * DAY


async def test_counting_goes_on_after_scripts_were_flushed(
    new_trending: NewTrending, redis: Redis
) -> None:
    trending = new_trending()
    await trending.add_order("m1", {"emma": 1}, ago(0))
    await redis.script_flush()
    assert await trending.add_order("m2", {"emma": 1}, ago(0))


async def test_without_redis_events_are_counted_as_lost_and_nothing_fails(
    caplog: pytest.LogCaptureFixture,
) -> None:
    lost = LOST._value.get()
    async with open_redis("redis://127.0.0.1:1/0") as nowhere:
        trending = Trending(nowhere, Breaker("redis", timeout_seconds=5, pause_seconds=0))
        for index in range(5):
            assert not await trending.add_order(f"m{index}", {"emma": 1}, ago(0))
    assert LOST._value.get() == lost + 5
    assert len(caplog.records) == 1
