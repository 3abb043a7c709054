"""Orders of careful clients, each seen through to its end.

Guarantee: which orders, when and how is decided by the seed; a client repeats a request under the
same key until it is answered, and remembers what it was promised.
"""

import asyncio
import random
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson

from chaos.fault import LAST_SHARE
from chaos.stage import Stage

PENDING_REFUND_CARD = "pm_card_pendingRefund"
GOOD_CARDS = ("pm_card_visa", "pm_card_mastercard", PENDING_REFUND_CARD)
GOOD_CARD_WEIGHTS = (10, 4, 1)
DECLINED_CARDS = {
    "pm_card_visa_chargeDeclined": "card_declined",
    "pm_card_chargeDeclinedExpiredCard": "expired_card",
    "pm_card_chargeDeclinedInsufficientFunds": "insufficient_funds",
}
PLENTY_BOOKS = 12
CUSTOMERS = 50
SCARCE_BOOKS = 10
SETTLED = ("confirmed", "rejected", "cancelled")
# More do not shop at once: where orders stand still, others wait outside, as behind a rate limit.
MAX_CLIENTS = 200
ANSWER_SECONDS = 10.0
# What a careful client takes for 'ask again'.
AGAIN = (500, 502, 503)
PAUSE_SECONDS = (0.1, 0.5)


@dataclass(frozen=True)
class Wish:
    """What one client is going to do."""

    number: int
    at_seconds: float
    lines: tuple[tuple[int, int], ...]  # book, copies; books from PLENTY_BOOKS on are scarce
    card: str
    wait_seconds: int
    is_sent_twice: bool
    is_cancelled: bool

    @property
    def may_run_out(self) -> bool:
        """Whether it wants a book of which there are few."""
        return any(book >= PLENTY_BOOKS for book, _ in self.lines)


@dataclass
class Placed:
    """What became of it."""

    wish: Wish
    key: str
    order_id: str = ""
    placed_at: float = 0.0
    settled_at: float = 0.0
    status: str = ""
    reason: str | None = None
    cancel_asked: bool = False
    wrong: list[str] = field(default_factory=list)

    @property
    def expected(self) -> set[tuple[str, str | None]]:
        """The outcomes that are right, as (status, reason)."""
        right: set[tuple[str, str | None]] = set()
        if self.wish.card in DECLINED_CARDS:
            right.add(("rejected", DECLINED_CARDS[self.wish.card]))
        else:
            right.add(("cancelled" if self.cancel_asked else "confirmed", None))
        if self.wish.may_run_out:
            right.add(("rejected", "out_of_stock"))
        return right

    @property
    def ran_out_of_time(self) -> bool:
        """A deadline of the saga rejected it."""
        return self.status == "rejected" and (self.reason or "").endswith("_timeout")


def wishes(seed: int, orders: int, run_seconds: float) -> list[Wish]:
    """As many as `orders`, spread over the run."""
    chance = random.Random(f"{seed}/orders")
    moments = sorted(chance.uniform(0, run_seconds * LAST_SHARE) for _ in range(orders))
    return [_wish(chance, number, at) for number, at in enumerate(moments, 1)]


def _wish(chance: random.Random, number: int, at_seconds: float) -> Wish:
    books = chance.sample(range(PLENTY_BOOKS), k=chance.choice((1, 1, 2)))
    if chance.random() < 0.06:
        books.append(chance.randrange(PLENTY_BOOKS, PLENTY_BOOKS + SCARCE_BOOKS))
    is_good = chance.random() < 0.88
    card = chance.choices(GOOD_CARDS, GOOD_CARD_WEIGHTS)[0]
    # Where a refund takes its time, webhooks tell of its end: those orders are cancelled rather.
    cancelled_share = 0.6 if card == PENDING_REFUND_CARD else 0.08
    return Wish(
        number=number,
        at_seconds=at_seconds,
        lines=tuple((book, chance.randint(1, 3)) for book in books),
        card=card if is_good else chance.choice(tuple(DECLINED_CARDS)),
        wait_seconds=chance.choice((0, 0, 2)),
        is_sent_twice=chance.random() < 0.1,
        is_cancelled=chance.random() < cancelled_share,
    )


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    text: str

    def json(self) -> Any:
        return orjson.loads(self.text)


class Load:
    """All clients of a run; `placed` is what they were promised."""

    def __init__(self, stage: Stage, seed: int, orders: int, run_seconds: float) -> None:
        self.wishes = wishes(seed, orders, run_seconds)
        self.placed: list[Placed] = []
        self.answers: Counter[str] = Counter()
        self._stage = stage
        self._prefix = f"chaos-{uuid.uuid4().hex[:8]}"
        self._books: list[dict[str, Any]] = []
        self._clients: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(MAX_CLIENTS)
        # Beside the proxies in this process, the clients have to be frugal: httpx costs five times.
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS, sock_connect=3),
        )

    @property
    def accepted(self) -> int:
        return sum(bool(each.order_id) for each in self.placed)

    @property
    def settled(self) -> int:
        return sum(bool(each.settled_at) for each in self.placed)

    async def list_books(self) -> None:
        """Some of which there is plenty, and some of which there are few copies."""
        copies = [100 + 6 * len(self.wishes)] * PLENTY_BOOKS
        copies += [max(2, len(self.wishes) // 100)] * SCARCE_BOOKS
        for number, stock in enumerate(copies):
            book = {
                "title": f"{self._prefix} {number}",
                "authors": ["Test Author"],
                "subjects": [],
                "language": "en",
                "price": {"amount_minor": 500 + 37 * number, "currency": "EUR"},
                "initial_stock": stock,
            }
            answer = await self._until_answered(
                "POST",
                f"{self._stage.stack.endpoints['catalog']}/books/batch",
                json={"books": [book]},
            )
            self._books.append({**book, "book_id": answer.json()["results"][0]["book_id"]})

    async def give_contacts(self) -> None:
        """So that each customer is written to."""
        for number in range(CUSTOMERS):
            customer = f"customer-{number}"
            url = f"{self._stage.stack.endpoints['order']}/customers/{customer}/contact"
            await self._until_answered("PUT", url, json={"email": f"{customer}@example.com"})

    async def run(self) -> None:
        """Let each client begin in its time; `finish` waits for them."""
        began = time.monotonic()
        for wish in self.wishes:
            await asyncio.sleep(max(0.0, began + wish.at_seconds - time.monotonic()))
            await self._slots.acquire()
            placed = Placed(wish, key=f"{self._prefix}-{wish.number}")
            self.placed.append(placed)
            task = asyncio.create_task(self._see_through(placed))
            self._clients.add(task)
            task.add_done_callback(self._has_left)

    def _has_left(self, task: asyncio.Task[None]) -> None:
        self._clients.discard(task)
        self._slots.release()

    async def finish(self, timeout_seconds: float) -> int:
        """Wait until all have what they want; how many still do not when the time is up."""
        if self._clients:
            await asyncio.wait(self._clients, timeout=timeout_seconds)
        left = len(self._clients)
        await self.stop()
        return left

    async def stop(self) -> None:
        """Send all clients home."""
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        await self._http.close()

    async def _see_through(self, placed: Placed) -> None:
        try:
            placed.placed_at = time.monotonic()
            await self._browse(placed)
            sendings = [self._place(placed, 0)]
            if placed.wish.is_sent_twice:
                sendings.append(self._place(placed, 1))
            order_ids = set(await asyncio.gather(*sendings))
            if len(order_ids) > 1:
                placed.wrong.append(f"one key, several orders: {', '.join(sorted(order_ids))}")
            await self._follow(placed)
            if placed.wish.is_cancelled and placed.status == "confirmed":
                await self._cancel(placed)
                await self._follow(placed, until="cancelled")
            placed.settled_at = time.monotonic()
        except asyncio.CancelledError:
            raise
        except Exception as error:  # One client's trouble is a finding, and no end of the run.
            placed.wrong.append(f"{type(error).__name__}: {error}")

    async def _browse(self, placed: Placed) -> None:
        """Look at a book first, which the cache answers where it can."""
        book = self._books[placed.wish.lines[0][0]]
        url = f"{self._stage.stack.endpoints['catalog']}/books/{book['book_id']}"
        answer = await self._until_answered("GET", url)
        if answer.status != 200 or answer.json()["available"] < 0:
            placed.wrong.append(f"GET {url}: {answer.status} {answer.text[:200]}")

    async def _place(self, placed: Placed, first: int) -> str:
        """The same request to one address after the other, until there is an answer."""
        lines = [
            {
                "book_id": self._books[book]["book_id"],
                "quantity": copies,
                "unit_price": self._books[book]["price"],
            }
            for book, copies in placed.wish.lines
        ]
        headers = {"Idempotency-Key": placed.key}
        if placed.wish.wait_seconds:
            headers["Prefer"] = f"wait={placed.wish.wait_seconds}"
        urls = self._stage.order_urls
        turn = placed.wish.number + first
        while True:
            answer = await self._until_answered(
                "POST", f"{urls[turn % len(urls)]}/orders", tries=1, headers=headers,
                json={
                    "customer_id": f"customer-{placed.wish.number % CUSTOMERS}",
                    "payment_method": placed.wish.card,
                    "lines": lines,
                },
            )  # fmt: skip
            turn += 1
            if answer is None:
                continue
            document = answer.json()
            if document.get("code") == "idempotency_key_in_progress":
                await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
                continue
            if answer.status not in (201, 202, 402, 409) or "order_id" not in document:
                raise ValueError(f"POST /orders: {answer.status} {answer.text[:300]}")
            placed.order_id = str(document["order_id"])
            return placed.order_id

    async def _follow(self, placed: Placed, until: str | None = None) -> None:
        """Until the order is settled. An order that was promised is never unknown."""
        pause = 0.2
        while True:
            url = self._stage.order_urls[placed.wish.number % 2]
            answer = await self._until_answered("GET", f"{url}/orders/{placed.order_id}")
            if answer.status != 200:
                raise ValueError(f"GET /orders: {answer.status} {answer.text[:300]}")
            document = answer.json()
            placed.status, placed.reason = document["status"], document.get("reason")
            if placed.status == until or (until is None and placed.status in SETTLED):
                return
            if until and placed.status == "confirmed":
                raise ValueError(f"the cancellation came to nothing: {placed.reason}")
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 5.0)

    async def _cancel(self, placed: Placed) -> None:
        url = self._stage.order_urls[placed.wish.number % 2]
        placed.cancel_asked = True
        answer = await self._until_answered("POST", f"{url}/orders/{placed.order_id}/cancellation")
        begun = ("cancellation_in_progress", "order_already_cancelled")
        if answer.status not in (200, 202) and answer.json().get("code") not in begun:
            raise ValueError(f"cancellation: {answer.status} {answer.text[:300]}")

    async def _until_answered(
        self, method: str, url: str, *, tries: int | None = None, **request: Any
    ) -> Any:
        """The answer, once it is one; None after that many tries without."""
        tried = 0
        while tries is None or tried < tries:
            tried += 1
            try:
                async with self._http.request(method, url, **request) as response:
                    answer = Answer(response.status, await response.text())
            except (aiohttp.ClientError, OSError) as error:
                self.answers[type(error).__name__] += 1
            else:
                self.answers[str(answer.status)] += 1
                if answer.status not in AGAIN:
                    return answer
            await asyncio.sleep(random.uniform(*PAUSE_SECONDS))
        return None
