"""Orders from many customers at once, each seen through until it is accepted.

Guarantee: which books and cards is decided by the seed that is printed; BOOKSTORE_SEED repeats it.
"""

import asyncio
import os
import random
import uuid
from typing import Any

import httpx

from bookstore.balance import Endpoints, balance_sheet
from drive.platform import Platform

SEED = int(os.environ.get("BOOKSTORE_SEED", "0")) or random.SystemRandom().randrange(1, 10**6)
CARDS = ["pm_card_visa"] * 8 + ["pm_card_visa_chargeDeclined", "pm_card_chargeDeclinedExpiredCard"]
BOOKS = 5
ACCEPT_SECONDS = 90.0


class Load:
    """`orders` orders from `clients` clients; `accepted` is the card of each, by order id."""

    def __init__(
        self, platform: Platform, name: str, *, orders: int = 200, clients: int = 40
    ) -> None:
        print(f"seed {SEED}")
        self.chance = random.Random(f"{SEED}/{name}")
        self.orders = orders
        self.accepted: dict[str, str] = {}
        self.customer = f"customer-{uuid.uuid4()}"
        self._platform = platform
        self._name = name
        self._clients = clients
        self._grown = asyncio.Condition()

    async def run(self) -> None:
        """Until all are accepted."""
        books = [
            await self._platform.list_book(
                f"{self._name} {uuid.uuid4()}", stock=self.orders, price_minor=500 + number
            )
            for number in range(BOOKS)
        ]
        plan = iter(
            [(self.chance.choice(books), self.chance.choice(CARDS)) for _ in range(self.orders)]
        )

        async def client() -> None:
            for book, card in plan:
                await self._place(book, card)

        await asyncio.gather(*(client() for _ in range(self._clients)))

    async def reached(self, count: int) -> None:
        """Until so many are accepted."""
        async with asyncio.timeout(ACCEPT_SECONDS), self._grown:
            await self._grown.wait_for(lambda: len(self.accepted) >= count)

    def moment(self) -> int:
        """A number of orders somewhere in the midst."""
        return self.chance.randrange(self.orders // 10, self.orders * 9 // 10)

    async def settled(self, timeout_seconds: float = 120.0) -> None:
        """Until each accepted order has come to its end."""
        open_orders = set(self.accepted)
        async with asyncio.timeout(timeout_seconds):
            while open_orders:
                order_id = next(iter(open_orders))
                order = await self._platform.get_order(order_id)
                if order["status"] in ("confirmed", "rejected"):
                    open_orders.discard(order_id)
                else:
                    await asyncio.sleep(0.1)

    async def check(self, settle_seconds: float = 300.0) -> None:
        """Every invariant, over all that the platform has done; and each order's own outcome.

        An emulator that has lost its memory is told all that the platform has done again.
        """
        assert len(self.accepted) == self.orders
        checks = await balance_sheet(
            Endpoints.of(self._platform.endpoints),
            acknowledged=list(self.accepted),
            settle_seconds=settle_seconds,
        )
        broken = [
            f"{c.invariant} {c.claim}: {c.counted}, not {c.must_be}" for c in checks if not c.holds
        ]
        assert not broken, "\n".join(broken)
        for order_id, card in self.accepted.items():
            expected = "confirmed" if card == "pm_card_visa" else "rejected"
            assert (await self._platform.get_order(order_id))["status"] == expected

    async def _place(self, book: dict[str, Any], card: str) -> None:
        """As a careful client: the same key until there is an answer."""
        key = str(uuid.uuid4())
        async with asyncio.timeout(ACCEPT_SECONDS):
            while True:
                try:
                    answer = await self._platform.order(
                        book, card=card, key=key, customer=self.customer
                    )
                except httpx.TransportError:
                    await asyncio.sleep(0.05)
                    continue
                if answer.status_code in (409, 500, 503):
                    await asyncio.sleep(0.05)
                    continue
                # A repeat after a crash may find the order already confirmed, or declined.
                assert answer.status_code in (201, 202, 402), answer.text
                async with self._grown:
                    self.accepted[answer.json()["order_id"]] = card
                    self._grown.notify_all()
                return
