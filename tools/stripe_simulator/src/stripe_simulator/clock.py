"""The simulated wall clock and the agenda of what falls due on it.

Guarantee: an entry runs once, never before its time, and at once when the clock is advanced
past it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable


class Clock:
    """Real time plus an offset that only ever grows."""

    def __init__(self) -> None:
        self.offset_seconds = 0.0

    def now(self) -> float:
        return time.time() + self.offset_seconds

    def advance(self, seconds: float) -> None:
        self.offset_seconds += seconds


class Agenda:
    """Callbacks by due time: authorizations that expire, refunds that settle."""

    # asyncio's timers may not lie further ahead than about a day on every platform.
    LONGEST_TIMER_SECONDS = 3600.0

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, due: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._due, (due, next(self._order), callback))
        if self._timer is None or self._due[0][0] == due:
            self._arm()

    def run_due(self) -> None:
        """Run everything that is due now, then wait for the next entry."""
        while self._due and self._due[0][0] <= self._clock.now():
            heapq.heappop(self._due)[2]()
        self._arm()

    def clear(self) -> None:
        self._due.clear()
        self.stop()

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        self.stop()
        if not self._due:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # State loaded before the server runs; its start arms the timer.
        wait = max(0.0, self._due[0][0] - self._clock.now())
        self._timer = loop.call_later(min(wait, self.LONGEST_TIMER_SECONDS), self.run_due)
