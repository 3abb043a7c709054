"""Waits for what has to come true, never for a while.

Guarantee: `eventually` returns the last value that was seen, accepted or not, so that a verdict can
tell it; `together` leaves nothing running behind.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.05


async def eventually(
    look: Callable[[], Awaitable[T]],
    accept: Callable[[T], bool],
    seconds: float,
    *,
    poll_seconds: float = POLL_SECONDS,
) -> T:
    """Look until the value is accepted or the time is up; the last value."""
    give_up_at = time.monotonic() + seconds
    while True:
        value = await look()
        if accept(value) or time.monotonic() >= give_up_at:
            return value
        await asyncio.sleep(poll_seconds)


async def together(*work: Coroutine[Any, Any, None]) -> None:
    """All at once; the first that fails ends the others, and what it raised is raised as it is."""
    tasks = [asyncio.create_task(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
