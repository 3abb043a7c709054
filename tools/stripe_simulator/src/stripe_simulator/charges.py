"""A charge: one attempt to take money from a card."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from stripe_simulator.cards import CARDS, Card, Decline
from stripe_simulator.encoding import compact_json

NO_BILLING_DETAILS = {"address": None, "email": None, "name": None, "phone": None}
# What is printed on every card: a test card is only refused as expired where it is named so.
EXPIRES_MONTH, EXPIRES_YEAR = 12, 2034


@dataclass(slots=True)
class Charge:
    id: str
    created: int
    amount: int
    currency: str
    payment_intent: str
    payment_method: str
    status: str  # succeeded | failed
    metadata: dict[str, str]
    captured: bool = False
    amount_captured: int = 0
    amount_refunded: int = 0
    failure_code: str | None = None
    failure_message: str | None = None
    decline_code: str | None = None
    _body: bytes | None = field(default=None, repr=False)

    @property
    def refundable(self) -> int:
        """Captured and not yet given back, in minor units."""
        return self.amount_captured - self.amount_refunded if self.captured else 0

    def declined(self, decline: Decline) -> None:
        self.status = "failed"
        self.failure_code = decline.code
        self.failure_message = decline.message
        self.decline_code = decline.decline_code

    def changed(self) -> None:
        """Forget the rendered body; every mutation ends with this."""
        self._body = None

    @property
    def body(self) -> bytes:
        if self._body is None:
            self._body = compact_json(self._document())
        return self._body

    def _document(self) -> dict[str, Any]:
        card = CARDS[self.payment_method]
        failed = self.status == "failed"
        return {
            "id": self.id,
            "object": "charge",
            "amount": self.amount,
            "amount_captured": self.amount_captured,
            "amount_refunded": self.amount_refunded,
            "application": None,
            "balance_transaction": None,
            "billing_details": NO_BILLING_DETAILS,
            "captured": self.captured,
            "created": self.created,
            "currency": self.currency,
            "customer": None,
            "description": None,
            "disputed": False,
            "failure_code": self.failure_code,
            "failure_message": self.failure_message,
            "livemode": False,
            "metadata": self.metadata,
            "outcome": {
                "network_status": "declined_by_network" if failed else "approved_by_network",
                "reason": self.decline_code,
                "risk_level": "normal",
                "seller_message": self.failure_message or "Payment complete.",
                "type": "issuer_declined" if failed else "authorized",
            },
            "paid": not failed,
            "payment_intent": self.payment_intent,
            "payment_method": self.payment_method,
            "payment_method_details": {"card": _card_document(card), "type": "card"},
            "receipt_email": None,
            "refunded": 0 < self.amount == self.amount_refunded,
            "status": self.status,
        }


def payment_method_document(payment_method: str, created: int) -> dict[str, Any]:
    """The payment method as errors enclose it."""
    return {
        "id": payment_method,
        "object": "payment_method",
        "billing_details": NO_BILLING_DETAILS,
        "card": _card_document(CARDS[payment_method]),
        "created": created,
        "customer": None,
        "livemode": False,
        "metadata": {},
        "type": "card",
    }


def _card_document(card: Card) -> dict[str, Any]:
    return {
        "brand": card.brand,
        "country": "US",
        "exp_month": EXPIRES_MONTH,
        "exp_year": EXPIRES_YEAR,
        "funding": card.funding,
        "last4": card.last4,
    }
