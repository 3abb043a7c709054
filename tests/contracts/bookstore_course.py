"""What order, catalog and payment really say: each message as it leaves for the bus.

Guarantee: a message is here only if a service's own code wrote it and its own outbox and relay
sent it, and then byte for byte as PutEvents was handed it.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx
from fastapi import APIRouter, FastAPI

from bookstore_world.course import CARDS
from bookstore_world.customer import Customer
from bookstore_world.invariants import at_rest
from bookstore_world.stage import PAUSE_SECONDS, Stage
from catalog_service.api import book_routes
from catalog_service.app import SERVICE as CATALOG
from catalog_service.cache import BookCache
from faults.gate import Gate, OpenGate
from faults.loop import VirtualLoop, run_virtually
from faults.plan import Plan
from faults.play import rest
from messaging import Outbox, Sender
from order_service.api import contact_routes
from order_service.app import SERVICE as ORDER
from order_service.contacts import Contacts

from .asks import BOOK_ID, CUSTOMER_ID, PRICE_MINOR

SEED = 20261126
# Copies of the world's one book: so many that the last order finds too few.
STOCK = 6
_BOOK = {
    "title": "Emma",
    "authors": ["Jane Austen"],
    "subjects": ["Courtship"],
    "language": "en",
    "price": {"amount_minor": PRICE_MINOR, "currency": "EUR"},
    "initial_stock": 2,
}


@dataclass(frozen=True)
class Said:
    """One entry of PutEvents: `detail` is its JSON as it was handed over, or as the bus handed it
    on where the sender is a process of its own.
    """

    source: str
    message: str
    detail: bytes


class _Ear:
    """A client of the bus that notes what it is asked to take."""

    def __init__(self, client: Any, heard: list[Said]) -> None:
        self._client = client
        self._heard = heard

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def put_events(self, *, Entries: Sequence[Mapping[str, str]]) -> Any:
        self._heard += [Said(e["Source"], e["DetailType"], e["Detail"].encode()) for e in Entries]
        return await self._client.put_events(Entries=Entries)


@cache
def everything_said() -> tuple[Said, ...]:
    """What leaves the three services in one course of events that makes them say all they can."""
    random.seed(SEED)  # The product's own dice: jitter.
    logging.disable(logging.CRITICAL)
    try:
        return tuple(run_virtually(_course))
    finally:
        logging.disable(logging.NOTSET)


async def _course(loop: VirtualLoop) -> list[Said]:
    stage = Stage(loop, Plan(), SEED)
    heard: list[Said] = []
    events: Callable[[Gate], Any] = stage.aws.events
    stage.aws.events = lambda gate: _Ear(events(gate), heard)
    await stage.set_out(stock=STOCK)
    customer = Customer(stage)
    await _orders(stage, customer)
    await _an_authorization_that_is_late(stage, customer, heard)
    await _books(stage)
    await _contacts(stage)
    await rest(lambda: at_rest(stage))
    assert stage.world.ended == []
    assert stage.aws.unsupported == []
    stage.world.stop()
    return heard


async def _orders(stage: Stage, customer: Customer) -> None:
    """Confirmed, declined, cancelled in each way that a refund can take, out of stock; then what
    reconciliation asks about them.
    """
    await customer.place("confirmed", card=CARDS["good"])
    await customer.place("declined", card=CARDS["declined"])
    for card in ("good", "refund-pending", "refund-fails"):
        await customer.cancel(await customer.place(f"cancelled-{card}", card=CARDS[card]))
    await customer.place("out-of-stock", card=CARDS["good"], copies=STOCK + 1)
    await rest(lambda: at_rest(stage))


async def _an_authorization_that_is_late(
    stage: Stage, customer: Customer, heard: Sequence[Said]
) -> None:
    """Payment stands still beyond the deadline: the saga voids what it knows nothing about."""
    order_id = await customer.place("late", card=CARDS["good"])

    def is_asked() -> bool:
        return any(s.message == "AuthorizePayment" and order_id.encode() in s.detail for s in heard)

    await stage.until(is_asked)
    stage.world.life_of("payment-worker").freeze(PAUSE_SECONDS)
    await rest(lambda: at_rest(stage))


async def _books(stage: Stage) -> None:
    """An operator lists a scarce book, and revises it."""
    books = stage.application("catalog-worker")
    assert books is not None
    async with _client_of(book_routes(books, BookCache(None, ttl_seconds=1))) as http:
        for title in ("Emma", "Emma, annotated"):
            answer = await http.put(f"/books/{BOOK_ID}", json={**_BOOK, "title": title})
            assert answer.is_success, f"{CATALOG.name}: {answer.text}"


async def _contacts(stage: Stage) -> None:
    """Customers say where they want to be written to, more or less of it, and one is forgotten."""
    engine: Any = stage.databases[ORDER.name].engine(OpenGate())
    # Nobody is woken: the worker's relay finds these rows when it sweeps.
    outbox = Outbox(engine, ORDER.tables, lambda sent: None)
    async with _client_of(contact_routes(Contacts(outbox, Sender(ORDER.name)))) as http:
        path = f"/customers/{CUSTOMER_ID}/contact"
        full = {"email": "ada@example.com", "name": "Ada", "locale": "en-GB"}
        for ask in (
            http.put(path, json={"email": "ada@example.com"}),
            http.put("/customers/grace/contact", json=full),
        ):
            answer = await ask
            assert answer.is_success, f"{ORDER.name}: {answer.text}"
        await asyncio.sleep(PAUSE_SECONDS)  # So that they leave before one of them is forgotten.
        answer = await http.delete(path)
        assert answer.is_success, f"{ORDER.name}: {answer.text}"


def _client_of(router: APIRouter) -> AbstractAsyncContextManager[httpx.AsyncClient]:
    app = FastAPI()
    app.include_router(router)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service")
