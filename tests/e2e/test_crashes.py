"""Killing a process in the middle of orders leaves every invariant true.

The moment of the kill is random; its seed is printed, and BOOKSTORE_SEED repeats it.
"""

import asyncio
import os
import random
import signal
from typing import Any

import httpx
import pytest

from bookstore.balance import Endpoints, balance_sheet

ORDERS = 200
CLIENTS = 40
SEED = int(os.environ.get("BOOKSTORE_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
CARDS = ["pm_card_visa"] * 8 + ["pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedExpiredCard"]


class Load:
    """Two hundred orders from forty clients, each seen through until it is accepted."""

    def __init__(self, platform: Any, books: list[dict[str, Any]], chance: random.Random) -> None:
        self._platform = platform
        self._books = books
        self._plan = iter([(chance.choice(books), chance.choice(CARDS)) for _ in range(ORDERS)])
        self._name = f"{chance.randrange(10**9):09d}"
        self.accepted: dict[str, str] = {}

    async def run(self) -> None:
        await asyncio.gather(*(self._client() for _ in range(CLIENTS)))

    async def _client(self) -> None:
        for book, card in self._plan:
            await self._place(book, card, f"{self._name}-{len(self.accepted)}-{id(book)}")

    async def _place(self, book: dict[str, Any], card: str, hint: str) -> None:
        """As a careful client: the same key until there is an answer."""
        key = f"{hint}-{random.SystemRandom().randrange(10**12)}"
        async with asyncio.timeout(60):
            while True:
                try:
                    answer = await self._platform.order(book, card=card, key=key)
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code in (409, 500, 503):
                    await asyncio.sleep(0.05)
                    continue
                # A repeat after a crash may find the order already confirmed, or declined.
                assert answer.status_code in (201, 202, 402), answer.text
                self.accepted[answer.json()["order_id"]] = card
                return


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    "victim", ["order-worker", "catalog-worker", "payment-worker", "order-web"]
)
async def test_killed_process_leaves_every_invariant_true(platform: Any, victim: str) -> None:
    print(f"seed {SEED}")
    chance = random.Random(f"{SEED}/{victim}")
    books = [
        await platform.list_book(f"{victim} {SEED} {n}", stock=ORDERS, price_minor=500 + n)
        for n in range(5)
    ]
    load = Load(platform, books, chance)
    moment = chance.randrange(ORDERS // 10, ORDERS * 9 // 10)
    running = asyncio.create_task(load.run())
    async with asyncio.timeout(60):
        while len(load.accepted) < moment and not running.done():
            await asyncio.sleep(0.001)
    platform.supervisor.kill(victim, signal.SIGKILL)
    await running
    await platform.supervisor.wait_ready(victim)

    assert len(load.accepted) == ORDERS
    checks = await balance_sheet(
        Endpoints.of(platform.endpoints), acknowledged=list(load.accepted), settle_seconds=120
    )
    assert [
        f"{c.invariant} {c.claim}: {c.counted}, not {c.must_be}" for c in checks if not c.holds
    ] == []
    for order_id, card in load.accepted.items():
        expected = "confirmed" if card == "pm_card_visa" else "rejected"
        assert (await platform.get_order(order_id))["status"] == expected
