"""Changes that come while others are being written are written together.

Guarantee: who has handed changes in goes on when these are written, or gets the error that they
themselves have caused; nobody's changes are lost because somebody else gives up waiting.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from search_service.index import Change

# One commit takes tens of milliseconds, whether for one change or for a few hundred.
_CHANGES_A_COMMIT = 1_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    changes: Sequence[Change]
    written: asyncio.Future[None]


class GroupCommit:
    """Hands changes to `write`, one call at a time; for one event loop."""

    def __init__(self, write: Callable[[Sequence[Change]], Awaitable[None]]) -> None:
        self._write = write
        self._queue: list[_Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def apply(self, changes: Sequence[Change]) -> None:
        """Returns once `write` has; raises what it raised for these changes."""
        waiting = _Waiting(changes, asyncio.get_running_loop().create_future())
        self._queue.append(waiting)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write_all())
        await waiting.written

    async def finish(self) -> None:
        """Wait for what has been handed in."""
        if self._writing is not None:
            await self._writing

    async def _write_all(self) -> None:
        try:
            while self._queue:
                await self._write_group(self._next_group())
        finally:
            self._writing = None

    def _next_group(self) -> list[_Waiting]:
        group = [self._queue.pop(0)]
        size = len(group[0].changes)
        while self._queue and size + len(self._queue[0].changes) <= _CHANGES_A_COMMIT:
            group.append(self._queue.pop(0))
            size += len(group[-1].changes)
        return group

    async def _write_group(self, group: Sequence[_Waiting]) -> None:
        try:
            await self._write([change for waiting in group for change in waiting.changes])
        except Exception as error:
            if len(group) == 1:
                if not group[0].written.done():
                    group[0].written.set_exception(error)
                return
            # One of them is to blame, and halving finds out which in a few steps.
            await self._write_group(group[: len(group) // 2])
            await self._write_group(group[len(group) // 2 :])
            return
        for waiting in group:
            if not waiting.written.done():  # Its task may have been cancelled meanwhile.
                waiting.written.set_result(None)
