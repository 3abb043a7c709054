"""Releases holds whose time is up.

Guarantee: each expires once, however many sweepers run; one that an order's message is at work on
is left to it. A hold's time is far longer than what an order needs to end and the order service to
reconcile it (minutes), so only the holds of orders that nobody ends any more expire.
"""

import asyncio
import logging
import random

from prometheus_client import Counter

from catalog_service import domain
from catalog_service.cache import BookCache
from catalog_service.store import StockRoom
from messaging import Outbox, Sender, interruptible_sleep

log = logging.getLogger(__name__)

EXPIRED = Counter("stock_holds_expired_total", "Holds that no order confirmed or released in time")
LOT = 100


class ExpirySweeper:
    """Looks for expired holds every `interval_seconds`."""

    def __init__(
        self, outbox: Outbox, sender: Sender, cache: BookCache, *, interval_seconds: float
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._cache = cache
        self._interval_seconds = interval_seconds
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep until `stop`."""
        while not self._stopping.is_set():
            try:
                while await self.sweep() == LOT and not self._stopping.is_set():
                    pass
            except Exception:
                log.warning("the expiry sweep failed and will be repeated", exc_info=True)
            pause = self._interval_seconds * random.uniform(0.75, 1.25)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """Let `run` return after the sweep under way."""
        self._stopping.set()

    async def sweep(self) -> int:
        """Release one lot of holds; how many it took."""
        room = StockRoom()
        async with self._outbox.transaction() as transaction:
            expired = await room.lock_expired(transaction.connection, LOT)
            for reservation in expired:
                domain.expire(reservation, room)
                room.moved(reservation)
            changed = await room.write(transaction.connection)
            transaction.send(
                [
                    self._sender.envelope(
                        event,
                        cause=f"expiry/{event.book_id}/{event.version}",
                        subject=event.book_id,
                        correlation_id=expired[-1].order_id,
                    )
                    for event in room.level_changes()
                ]
            )
        if expired:
            EXPIRED.inc(len(expired))
            log.warning("%d holds expired", len(expired))
        await self._cache.forget(changed)
        return len(expired)
