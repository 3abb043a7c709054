"""The batcher: the outcome of each call is its own, and a busy process makes fewer calls."""

import asyncio
from collections.abc import Sequence

import pytest

from batching import Batcher


class Flushes:
    """A flush that doubles numbers, records its batches and can be held up."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.at_once = 0
        self.most_at_once = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: list[int]) -> Sequence[int | BaseException]:
        self.batches.append(items)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await self.gate.wait()
        finally:
            self.at_once -= 1
        if 13 in items:
            raise ConnectionError("the whole batch")
        return [ValueError(f"{item} is negative") if item < 0 else item * 2 for item in items]


async def settled(times: int = 5) -> None:
    """Let everything that can run without I/O run."""
    for _ in range(times):
        await asyncio.sleep(0)


async def test_each_call_gets_its_own_result_in_whatever_batch() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=4)
    assert await asyncio.gather(*map(batcher, range(11))) == [n * 2 for n in range(11)]
    assert flushes.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


async def test_an_items_error_reaches_its_caller_alone() -> None:
    batcher = Batcher(Flushes(), max_items=10)
    first, second, third = await asyncio.gather(
        batcher(1), batcher(-2), batcher(3), return_exceptions=True
    )
    assert (first, third) == (2, 6)
    assert isinstance(second, ValueError)
    assert str(second) == "-2 is negative"


async def test_a_failed_flush_fails_its_batch_and_not_the_next() -> None:
    batcher = Batcher(Flushes(), max_items=2)
    results = await asyncio.gather(*map(batcher, [1, 13, 3, 4]), return_exceptions=True)
    assert [type(each) for each in results] == [ConnectionError, ConnectionError, int, int]


async def test_a_flush_that_answers_too_few_results_fails_instead_of_mixing_them_up() -> None:
    async def forgetful(items: list[int]) -> Sequence[int]:
        return items[1:]

    batcher: Batcher[int, int] = Batcher(forgetful, max_items=5)
    results = await asyncio.gather(batcher(1), batcher(2), return_exceptions=True)
    assert all(isinstance(each, RuntimeError) for each in results)


async def test_a_lone_call_waits_for_nobody() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=100)
    async with asyncio.timeout(0.05):  # There is no timer that it could wait for.
        assert await batcher(1) == 2
    assert flushes.batches == [[1]]


async def test_what_arrives_during_a_flush_leaves_with_the_next() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=100)
    first = asyncio.create_task(batcher(1))
    await settled()
    later = [asyncio.create_task(batcher(n)) for n in (2, 3)]
    await settled()
    later.append(asyncio.create_task(batcher(4)))
    await settled()
    assert flushes.batches == [[1]]
    assert batcher.depth == 3
    flushes.gate.set()
    assert await asyncio.gather(first, *later) == [2, 4, 6, 8]
    assert flushes.batches == [[1], [2, 3, 4]]


async def test_no_more_flushes_run_at_once_than_allowed() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=1, max_in_flight=3)
    calls = [asyncio.create_task(batcher(n)) for n in range(10)]
    await settled()
    assert len(flushes.batches) == 3
    flushes.gate.set()
    await asyncio.gather(*calls)
    assert flushes.most_at_once == 3


async def test_a_cancelled_caller_disturbs_nobody_and_its_item_is_flushed() -> None:
    flushes = Flushes()
    flushes.gate.clear()
    batcher = Batcher(flushes, max_items=10)
    calls = [asyncio.create_task(batcher(n)) for n in (1, 2, 3)]
    await settled()
    waiting = asyncio.create_task(batcher(4))
    await settled()
    calls[1].cancel()
    waiting.cancel()
    await settled()
    flushes.gate.set()
    results = await asyncio.gather(*calls, return_exceptions=True)
    await batcher.drain()
    assert results[0] == 2
    assert isinstance(results[1], asyncio.CancelledError)
    assert results[2] == 6
    assert flushes.batches == [[1, 2, 3], [4]]


async def test_drain_waits_for_everything_handed_in() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=2)
    calls = [asyncio.create_task(batcher(n)) for n in range(7)]
    await asyncio.sleep(0)
    await batcher.drain()
    assert sum(map(len, flushes.batches)) == 7
    assert batcher.depth == 0
    await asyncio.gather(*calls)


async def test_the_batcher_goes_on_after_a_failure() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=2)
    with pytest.raises(ConnectionError):
        await batcher(13)
    assert await batcher(1) == 2


async def test_a_batch_waits_for_company_only_where_the_one_before_had_some() -> None:
    flushes = Flushes()
    batcher = Batcher(flushes, max_items=4, linger_seconds=3600.0, linger_after=2)
    assert await batcher(1) == 2  # Nobody came before it, so it left at once.
    assert await asyncio.gather(batcher(2), batcher(3)) == [4, 6]
    waiting = [asyncio.create_task(batcher(n)) for n in (4, 5, 6)]
    await settled()
    assert flushes.batches == [[1], [2, 3]]
    assert await batcher(7) == 14  # Full, so it leaves before the hour is over.
    assert await asyncio.gather(*waiting) == [8, 10, 12]
    assert flushes.batches[2:] == [[4, 5, 6, 7]]
