"""Waits for what has to come true, never for a while.

Guarantee: returns the last value that was seen, accepted or not, so that a verdict can tell it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

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
