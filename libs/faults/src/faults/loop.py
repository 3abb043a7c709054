"""An event loop whose time passes only when nothing is left to do.

Guarantee: no run waits, and none depends on how fast the machine is: timers fire in the order of
their times, and between two of them no time passes. While a run lasts, `time.time()` and
`time.monotonic()` tell the loop's time too, each process with a skew of its own.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TypeVar

T = TypeVar("T")

# Wall-clock time when a run begins: any fixed moment will do.
EPOCH = datetime(2026, 1, 1, tzinfo=UTC).timestamp()
# By how many seconds the clock of the process that asks is wrong.
SKEW_SECONDS: ContextVar[float] = ContextVar("skew_seconds", default=0.0)


# The machine's own clock, whatever `time` tells while a run lasts.
machine_seconds = time.monotonic

# As `time.get_clock_info("monotonic")` has it on Linux.
RESOLUTION_SECONDS = 1e-9
# A run takes some hundreds of turns of the loop, one of a virtual hour some ten thousand.
MAX_TURNS = 200_000


class Deadlock(RuntimeError):
    """Nothing is ready and no timer is left: whoever still waits would wait for ever."""


class Endless(RuntimeError):
    """Far more happens than in any run that comes to an end: it goes round in a circle."""


class _Selector:
    """In place of waiting for sockets, which a run has none of, lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns = 0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise Deadlock("every task waits for another one")
        self.turns += 1
        if self.turns > MAX_TURNS:
            raise Endless(f"{MAX_TURNS} turns of the loop in {self.now:.0f} virtual seconds")
        # A little always passes, as for real: asyncio runs what is due within its clock's
        # resolution, and who then finds the time not yet come would otherwise look again for ever.
        self.now += timeout + RESOLUTION_SECONDS if timeout > 0 else RESOLUTION_SECONDS
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own loop over virtual time; it opens neither sockets nor threads."""

    def __init__(self) -> None:
        super().__init__()
        self._selector = _Selector()
        self._clock_resolution = RESOLUTION_SECONDS
        # Every task, as `asyncio.all_tasks` would find them in a set of all loops' tasks.
        self.tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(kept_task)  # type: ignore[arg-type]

    def time(self) -> float:
        """Seconds since the run began."""
        return self._selector.now

    def allow_more(self) -> None:
        """Count turns anew, so that an endless run can be ended in order."""
        self._selector.turns = 0

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """Nobody calls from another thread."""


def kept_task(loop: VirtualLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
    """A task that is in the loop's list; newer Pythons name it and more by `options`."""
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **options)
    loop.tasks.append(task)
    return task


def wall_seconds(loop: VirtualLoop) -> float:
    """Seconds since 1970 by the world's true clock."""
    return EPOCH + loop.time()


@contextlib.contextmanager
def clocks_of(loop: VirtualLoop) -> Iterator[None]:
    """Make the `time` module tell the loop's time; asyncio's other loops stand still meanwhile."""
    originals = time.time, time.time_ns, time.monotonic
    time.time = lambda: EPOCH + loop.time() + SKEW_SECONDS.get()
    time.time_ns = lambda: int(time.time() * 1e9)
    time.monotonic = loop.time
    try:
        yield
    finally:
        time.time, time.time_ns, time.monotonic = originals


def run_virtually(main: Callable[[VirtualLoop], Awaitable[T]]) -> T:
    """Run `main(loop)` to its end in virtual time; what it leaves running is cancelled."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda _loop, _context: None)
    previous = asyncio._get_running_loop()
    asyncio._set_running_loop(None)  # A test's own loop may be what calls this.
    try:
        with clocks_of(loop):
            running = loop.create_task(_to_its_end(main, loop))
            try:
                return loop.run_until_complete(running)
            except (Deadlock, Endless):
                loop.allow_more()
                running.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    loop.run_until_complete(running)
                raise
    finally:
        loop.close()
        asyncio._set_running_loop(previous)


async def _to_its_end(main: Callable[[VirtualLoop], Awaitable[T]], loop: VirtualLoop) -> T:
    try:
        return await main(loop)
    finally:
        own = asyncio.current_task()
        left = [task for task in loop.tasks if task is not own and not task.done()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
