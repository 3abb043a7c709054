"""What the other services tell about one order, as a line of words; and the process that tells it.

Guarantee: every event is published at least once, in the order of the words, under an id that is
the same each time; as a relay's are, from an outbox.

    contact@1 60 confirmed refunded cancelled
    ^event    ^seconds between two events      events: confirmed, refunded, cancelled, rejected,
         ^the contact's version                        contact@N, erased@N
"""

import asyncio
import re

from botocore.exceptions import BotoCoreError
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
from messaging import Envelope, Sender

CUSTOMER_ID = "c-1"
ORDER_ID = "5f0c7a3e-93a5-4d52-8d4e-0f6f1c2d3e4f"
# Which mail each outcome of an order is owed.
OUTCOMES = {
    "OrderConfirmed": "confirmed",
    "PaymentRefunded": "refunded",
    "OrderCancelled": "cancelled",
    "OrderRejected": "rejected",
}
AGAIN_SECONDS = 1.0
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
    """The words still to be told; `run` is one life of the process that tells them."""

    def __init__(self, stage: Stage, text: str) -> None:
        self._stage = stage
        self._words = text.split()
        # What would be the outbox's marks: it outlives the process.
        self._told = 0

    @property
    def is_over(self) -> bool:
        """Whether everything was told."""
        return self._told == len(self._words)

    async def run(self, life: Incarnation) -> None:
        """Tell what is left, then do nothing more."""
        events = self._stage.aws.events(life)
        while not self.is_over:
            word = self._words[self._told]
            if word.isdigit():
                await asyncio.sleep(int(word))
            elif not await self._publish(events, self._envelope(word)):
                await asyncio.sleep(AGAIN_SECONDS)
                continue
            self._told += 1
        await asyncio.Event().wait()

    def _envelope(self, word: str) -> Envelope:
        payload = payload_of(word)
        sender = Sender("payment" if isinstance(payload, PaymentRefunded) else "order")
        return sender.envelope(
            payload, cause=f"script/{self._told}", subject=ORDER_ID, correlation_id=ORDER_ID
        )

    async def _publish(self, events: object, message: Envelope) -> bool:
        entry = {
            "EventBusName": self._stage.topology.bus,
            "Source": message.source,
            "DetailType": message.type,
            "Detail": message.encode().decode(),
        }
        try:
            answer = await events.put_events(Entries=[entry])  # type: ignore[attr-defined]
        except BotoCoreError:
            return False
        return answer["FailedEntryCount"] == 0
