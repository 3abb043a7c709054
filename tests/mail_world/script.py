"""What the other services tell about one order, as a line of words, and who tells it.

Guarantee: every event is published in the order of the words. What may befall it on its way is what
a relay and a bus do to it: it comes twice, late, or is overtaken.

    contact@1 60 confirmed refunded cancelled
    ^event    ^seconds between two events      events: confirmed, refunded, cancelled, rejected,
         ^the contact's version                        contact@N, erased@N
"""

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from contracts.models.common import Contact, Money, OrderLine
from contracts.models.order import (
    ContactErased,
    ContactProvided,
    OrderCancelled,
    OrderConfirmed,
    OrderRejected,
)
from contracts.models.payment import PaymentRefunded
from faults.stage import Stage
from faults.world import Incarnation
from messaging import Sender

CUSTOMER_ID = "c-1"
ORDER_ID = "5f0c7a3e-93a5-4d52-8d4e-0f6f1c2d3e4f"
# Which mail each outcome of an order is owed.
OUTCOMES = {
    "OrderConfirmed": "confirmed",
    "PaymentRefunded": "refunded",
    "OrderCancelled": "cancelled",
    "OrderRejected": "rejected",
}
START_SECONDS = 1.0
_PRICE = Money(amount_minor=1999, currency="EUR")
_IDS = {"order_id": ORDER_ID, "customer_id": CUSTOMER_ID}
_LINE = OrderLine(book_id=ORDER_ID, quantity=1, unit_price=_PRICE)
_PAYLOADS: dict[str, BaseModel] = {
    "confirmed": OrderConfirmed(**_IDS, lines=[_LINE], total=_PRICE),
    "refunded": PaymentRefunded(**_IDS, payment_id=ORDER_ID, amount=_PRICE),
    "cancelled": OrderCancelled(**_IDS, refunded=_PRICE),
    "rejected": OrderRejected(**_IDS, reason="out_of_stock"),
}
_PERSONAL = re.compile(r"(contact|erased)@(\d+)")


def address(version: int) -> str:
    """The customer's address in that version of the contact."""
    return f"version-{version}@example.com"


def payload_of(word: str) -> BaseModel:
    """The event that a word stands for; raises ValueError."""
    if word in _PAYLOADS:
        return _PAYLOADS[word]
    found = _PERSONAL.fullmatch(word)
    if found is None:
        raise ValueError(f"{word!r} is none of {', '.join(_PAYLOADS)}, contact@1, erased@2")
    version = int(found[2])
    if found[1] == "erased":
        return ContactErased(customer_id=CUSTOMER_ID, version=version)
    contact = Contact(email=address(version), name="Ada")
    return ContactProvided(customer_id=CUSTOMER_ID, version=version, contact=contact)


class Script:
    """The words still to be told; `run` is the one life of the process that tells them."""

    def __init__(self, stage: Stage, text: str) -> None:
        self.is_over = False
        self._stage = stage
        self._words = text.split()

    async def run(self, life: Incarnation) -> None:
        """Tell everything, then do nothing more."""
        events = self._stage.aws.events(_Outside(life))
        # What may befall a worker that starts, other worlds show.
        await asyncio.sleep(START_SECONDS)
        self._stage.world.armed = True
        for number, word in enumerate(self._words):
            if word.isdigit():
                await asyncio.sleep(int(word))
            else:
                await events.put_events(Entries=[self._entry(number, word)])
        self.is_over = True
        await asyncio.Event().wait()

    def _entry(self, number: int, word: str) -> dict[str, str]:
        payload = payload_of(word)
        sender = Sender("payment" if isinstance(payload, PaymentRefunded) else "order")
        message = sender.envelope(
            payload, cause=f"script/{number}", subject=ORDER_ID, correlation_id=ORDER_ID
        )
        return {
            "EventBusName": self._stage.topology.bus,
            "Source": message.source,
            "DetailType": message.type,
            "Detail": message.encode().decode(),
        }


class _Outside:
    """A gate at which nobody dies: what happens there befalls an event, not who tells it."""

    def __init__(self, life: Incarnation) -> None:
        self._life = life

    async def call(
        self,
        operation: str,
        detail: Sequence[str],
        effect: Callable[[str | None], Any],
        *,
        error: Callable[[str], BaseException],
        twists: Sequence[str] = (),
    ) -> Any:
        """See `faults.gate.Gate`."""
        twists = ("duplicate", "late", "reorder")
        return await self._life.call("tell", detail, effect, error=error, twists=twists)
