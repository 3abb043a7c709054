"""Signed webhooks: every enabled event to every endpoint, again and again until one says 2xx.

Guarantee: at least once, in no promised order (as Stripe), unless a fault says to lose it or the
attempts run out; both are counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
import random
import time
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import aiohttp

from stripe_simulator.events import Event, matches
from stripe_simulator.faults import Action, Faults
from stripe_simulator.ids import new_id

log = logging.getLogger("stripe_simulator.webhooks")

CONCURRENT_DELIVERIES = 8
TIMEOUT_SECONDS = 20.0
LONGEST_RETRY_SECONDS = 3600.0


@dataclass(slots=True)
class Endpoint:
    url: str
    secret: str
    events: frozenset[str]
    id: str = field(default_factory=lambda: new_id("we_"))

    def document(self) -> dict[str, Any]:
        return {"id": self.id, "url": self.url, "enabled_events": sorted(self.events)}


@dataclass(slots=True)
class Delivery:
    event: Event
    endpoint: Endpoint
    attempts: int = 0
    # Released by the next delivery to the same endpoint, or by its timer.
    held: asyncio.TimerHandle | None = None


def signature(payload: bytes, secret: str, at: int) -> str:
    """The Stripe-Signature header: HMAC-SHA256 over `timestamp.payload`."""
    signed = str(at).encode() + b"." + payload
    return f"t={at},v1={hmac.new(secret.encode(), signed, sha256).hexdigest()}"


class Webhooks:
    def __init__(self, faults: Faults, *, retry_seconds: float, attempts: int) -> None:
        self.endpoints: list[Endpoint] = []
        self._faults = faults
        self._retry_seconds = retry_seconds
        self._attempts = attempts
        self._queue: asyncio.Queue[Delivery] = asyncio.Queue()
        self._held: list[Delivery] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._workers: list[asyncio.Task[None]] = []
        self._session: aiohttp.ClientSession | None = None
        self._counts = {"delivered": 0, "failed_attempts": 0, "given_up": 0, "lost": 0}
        self._pending = 0

    async def start(self) -> None:
        self._session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
            connector=aiohttp.TCPConnector(limit=CONCURRENT_DELIVERIES),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self._workers = [asyncio.create_task(self._work()) for _ in range(CONCURRENT_DELIVERIES)]

    async def stop(self) -> None:
        self.drop_pending()
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def publish(self, event: Event) -> None:
        """Queue an event for each endpoint that has it enabled; never blocks."""
        for endpoint in self.endpoints:
            if matches(event, endpoint.events):
                self._accept(Delivery(event, endpoint))

    def drop_pending(self) -> None:
        """Forget what waits; attempts under way still end and count."""
        self._pending -= len(self._timers) + len(self._held) + self._queue.qsize()
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        for delivery in self._held:
            if delivery.held is not None:
                delivery.held.cancel()
        self._held.clear()
        while not self._queue.empty():
            self._queue.get_nowait()

    def statistics(self) -> dict[str, int]:
        return {"pending": self._pending, **self._counts}

    def _accept(self, delivery: Delivery) -> None:
        actions: list[Action] = []
        if self._faults:
            actions = self._faults.for_webhook(delivery.event.type, delivery.event.metadata)
        kinds = {action.kind: action for action in actions}
        if "lose" in kinds:
            self._counts["lost"] += 1
            return
        copies = 1 + (kinds["duplicate"].copies if "duplicate" in kinds else 0)
        for _ in range(copies):
            copy = Delivery(delivery.event, delivery.endpoint)
            self._pending += 1
            if "reorder" in kinds:
                self._hold(copy, kinds["reorder"].seconds)
            elif "delay" in kinds:
                self._later(copy, kinds["delay"].seconds)
            else:
                self._queue.put_nowait(copy)

    def _later(self, delivery: Delivery, seconds: float) -> None:
        def enqueue() -> None:
            self._timers.discard(timer)
            self._queue.put_nowait(delivery)

        timer = asyncio.get_running_loop().call_later(seconds, enqueue)
        self._timers.add(timer)

    def _hold(self, delivery: Delivery, at_most_seconds: float) -> None:
        self._held.append(delivery)
        delivery.held = asyncio.get_running_loop().call_later(
            at_most_seconds, self._release, delivery
        )

    def _release(self, delivery: Delivery) -> None:
        if delivery.held is not None:
            delivery.held.cancel()
            delivery.held = None
            self._held.remove(delivery)
            self._queue.put_nowait(delivery)

    async def _work(self) -> None:
        while True:
            delivery = await self._queue.get()
            accepted = await self._attempt(delivery)
            if accepted:
                self._counts["delivered"] += 1
                self._pending -= 1
                for held in [each for each in self._held if each.endpoint is delivery.endpoint]:
                    self._release(held)
                continue
            self._counts["failed_attempts"] += 1
            if delivery.attempts >= self._attempts:
                self._counts["given_up"] += 1
                self._pending -= 1
                log.warning("gave up on %s %s", delivery.event.type, delivery.event.id)
                continue
            wait = min(self._retry_seconds * 2 ** (delivery.attempts - 1), LONGEST_RETRY_SECONDS)
            self._later(delivery, wait * random.uniform(0.5, 1.0))

    async def _attempt(self, delivery: Delivery) -> bool:
        assert self._session is not None
        delivery.attempts += 1
        body = delivery.event.body
        headers = {
            "Content-Type": "application/json; charset=utf-8",
            "Stripe-Signature": signature(body, delivery.endpoint.secret, int(time.time())),
            "User-Agent": "Stripe/1.0 (simulator)",
        }
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
            async with self._session.post(
                delivery.endpoint.url, data=body, headers=headers, allow_redirects=False
            ) as response:
                return 200 <= response.status < 300
        return False
