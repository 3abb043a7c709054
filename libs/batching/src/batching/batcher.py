"""Coalesces concurrent calls into batches.

Guarantee: each call gets its own item's result or its own item's error, and waits for nothing
but the batches ahead of it and for company. A quiet process pays no delay (a lone call is flushed
at once); a busy one fills its batches, since whatever arrives while a flush is under way leaves
with the next, and since a batch may wait for more where the one before it had found company.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Turns `flush(items) -> results` into `await batcher(item) -> result`.

    `flush` returns one result an item, in order; a result that is an exception is raised to
    that item's caller alone, and an exception that `flush` raises goes to all callers of the batch.
    At most `max_in_flight` flushes run at once, each with at most `max_items` items. A caller that
    is cancelled gives up its answer; its item is flushed all the same.

    `linger_seconds`: how long a batch that is not full waits for more, provided that the one before
    it had at least `linger_after` items: 0 for calls that nobody is in a hurry for, more for calls
    that only a busy process may hold up.
    """

    def __init__(
        self,
        flush: Callable[[list[Item]], Awaitable[Sequence[Result | BaseException]]],
        *,
        max_items: int,
        max_in_flight: int = 1,
        linger_seconds: float = 0.0,
        linger_after: int = 0,
    ) -> None:
        self._flush = flush
        self._max_items = max_items
        self._max_in_flight = max_in_flight
        self._waiting: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._flushing: set[asyncio.Task[None]] = set()
        self._linger_seconds = linger_seconds
        self._linger_after = linger_after
        self._last_size = 0
        self._scheduled: asyncio.Handle | None = None

    async def __call__(self, item: Item) -> Result:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._waiting.append((item, future))
        if len(self._flushing) < self._max_in_flight:
            if self._lingers and len(self._waiting) >= self._max_items:
                self._start()
            else:
                self._schedule(loop)
        return await future

    @property
    def depth(self) -> int:
        """Items that wait for a flush to take them."""
        return len(self._waiting)

    @property
    def _lingers(self) -> bool:
        return self._linger_seconds > 0 and self._last_size >= self._linger_after

    async def drain(self) -> None:
        """Return once everything handed in so far has been flushed."""
        while self._waiting or self._flushing:
            self._start()
            await asyncio.wait(self._flushing)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._scheduled is not None:
            return
        if self._lingers:
            self._scheduled = loop.call_later(self._linger_seconds, self._start)
        else:
            # One turn of the loop later, so that calls made in the same turn leave together.
            self._scheduled = loop.call_soon(self._start)

    def _start(self) -> None:
        if self._scheduled is not None:
            self._scheduled.cancel()
            self._scheduled = None
        while self._waiting and len(self._flushing) < self._max_in_flight:
            size = min(self._max_items, len(self._waiting))
            batch = [self._waiting.popleft() for _ in range(size)]
            self._last_size = size
            task = asyncio.get_running_loop().create_task(self._run(batch))
            self._flushing.add(task)
            task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._flushing.discard(task)
        if not self._waiting:
            return
        if self._lingers and len(self._waiting) < self._max_items:
            self._schedule(asyncio.get_running_loop())
        else:
            self._start()

    async def _run(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._flush([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"flush answered {len(results)} results to {len(batch)} items")
        except asyncio.CancelledError:
            for _, future in batch:
                future.cancel()
            raise
        except BaseException as error:
            for _, future in batch:
                if not future.done():
                    future.set_exception(error)
            if not isinstance(error, Exception):
                raise
            return
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue
            if isinstance(result, BaseException):
                future.set_exception(result)
            else:
                future.set_result(result)
