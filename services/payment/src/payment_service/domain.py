"""Payments: their states, what the gateway's answers mean for them, what they reply. Pure, no I/O.

Guarantee: a payment moves along the arrows below or not at all; DECLINED, VOIDED and REFUND_FAILED
absorb.

                      +-- refused --> DECLINED
    (none) --> AUTHORIZING -- held --> AUTHORIZED -- taken --> CAPTURED -- asked --> REFUND_PENDING
       |              |                   |                     |   |                  |        |
       +-- void ------+------ void -------+                     |   +--> REFUNDED <----+        |
                      v                                         |            | bank sends it    |
                   VOIDED (also the tombstone of a payment      |            v back             |
                   that was voided before it was authorized)    +-----> REFUND_FAILED <---------+

A void of money that is taken already becomes a refund. AUTHORIZING may go straight to CAPTURED when
only the gateway knows what happened in between.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from contracts import or_missing
from contracts.models.common import Money
from contracts.models.payment import (
    AuthorizePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentRefundFailed,
    PaymentVoided,
)

# Stripe may prune an idempotency key once it is at least 24 hours old (API reference, "Idempotent
# requests"); one hour less leaves room for clocks and for requests under way.
KEY_LIFETIME = timedelta(hours=23)


_NEVER = datetime.min.replace(tzinfo=UTC)


class Status(StrEnum):
    """Where a payment stands, as stored."""

    AUTHORIZING = "authorizing"
    AUTHORIZED = "authorized"
    DECLINED = "declined"
    VOIDED = "voided"
    CAPTURED = "captured"
    REFUND_PENDING = "refund_pending"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.AUTHORIZING: frozenset(
        {Status.AUTHORIZED, Status.DECLINED, Status.VOIDED, Status.CAPTURED}
    ),
    Status.AUTHORIZED: frozenset({Status.CAPTURED, Status.VOIDED}),
    Status.CAPTURED: frozenset({Status.REFUND_PENDING, Status.REFUNDED, Status.REFUND_FAILED}),
    Status.REFUND_PENDING: frozenset({Status.REFUNDED, Status.REFUND_FAILED}),
    Status.REFUNDED: frozenset({Status.REFUND_FAILED}),
    Status.DECLINED: frozenset(),
    Status.VOIDED: frozenset(),
    Status.REFUND_FAILED: frozenset(),
}
# The money was taken at some time, whatever became of it.
TAKEN = frozenset({Status.CAPTURED, Status.REFUND_PENDING, Status.REFUNDED, Status.REFUND_FAILED})


class IllegalTransition(ValueError):
    """A move that the state machine does not have: a bug, never a business refusal."""

    code = "illegal_transition"

    def __init__(self, payment_id: str, old: Status, new: Status) -> None:
        super().__init__(f"payment {payment_id} cannot go from {old} to {new}")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why the money could not be held: our reason, the gateway's code, a text for people."""

    reason: str
    decline_code: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Intent:
    """A payment intent as the gateway shows it now; `status` is the gateway's own word."""

    intent_id: str
    status: str
    amount_minor: int
    currency: str
    payment_id: str | None = None
    refusal: Refusal | None = None

    @property
    def is_hold(self) -> bool:
        """Whether it holds money that nobody has taken yet."""
        return self.status == "requires_capture"

    @property
    def is_settled(self) -> bool:
        """Whether it says what became of the attempt ('processing' does not)."""
        return self.status != "processing"


@dataclass(frozen=True, slots=True)
class Refund:
    """A refund as the gateway shows it now."""

    refund_id: str
    intent_id: str
    status: str
    payment_id: str | None = None
    failure: str | None = None


@dataclass(frozen=True, slots=True)
class Payment:
    """One payment. `revision` is what the row had when it was read; the store counts it up.

    `read_at` and `started_at` are the database's time, so their difference needs no clock of ours.
    `refund_command_id` names the RefundPayment that still waits for its answer's follow-up.
    """

    payment_id: str
    order_id: str
    status: Status
    customer_id: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    intent_id: str | None = None
    refund_id: str | None = None
    reason: str | None = None
    decline_code: str | None = None
    detail: str | None = None
    refund_command_id: str | None = None
    refund_correlation_id: str | None = None
    revision: int = 0
    started_at: datetime = _NEVER
    updated_at: datetime = _NEVER
    read_at: datetime = _NEVER

    @property
    def age(self) -> timedelta:
        """Time since the attempt began, when the row was read."""
        return self.read_at - self.started_at

    @property
    def keys_expired(self) -> bool:
        """Whether the gateway may have forgotten this payment's idempotency keys."""
        return self.age >= KEY_LIFETIME

    def is_in_hand(self, grace: timedelta) -> bool:
        """Whether a command may be at work on it right now, and will settle it by itself."""
        at_work = self.status in (Status.AUTHORIZING, Status.AUTHORIZED)
        return at_work and self.read_at - self.updated_at < grace

    @property
    def was_attempted(self) -> bool:
        """Whether the gateway has ever been asked: a tombstone has no amount."""
        return self.amount_minor is not None

    @property
    def money(self) -> Money:
        """The amount; raises ValueError on a tombstone."""
        if self.amount_minor is None or self.currency is None:
            raise ValueError(f"payment {self.payment_id} was never asked for, so has no amount")
        return Money(amount_minor=self.amount_minor, currency=self.currency)

    def to(self, status: Status, **changes: str | None) -> "Payment":
        """The payment in its next state; raises IllegalTransition."""
        if status not in TRANSITIONS[self.status]:
            raise IllegalTransition(self.payment_id, self.status, status)
        return replace(self, status=status, **changes)  # type: ignore[arg-type]

    def declined(self, refusal: Refusal, intent_id: str | None = None) -> "Payment":
        """Refused by the bank or by the gateway."""
        return self.to(
            Status.DECLINED,
            reason=refusal.reason,
            decline_code=refusal.decline_code,
            detail=refusal.detail,
            intent_id=intent_id or self.intent_id,
        )

    def is_for(self, command: AuthorizePayment) -> bool:
        """Whether the command asks for this very payment (an id is never used for another)."""
        same_amount = self.amount_minor is None or self.money == command.amount
        return self.order_id == command.order_id and same_amount


def begun(command: AuthorizePayment) -> Payment:
    """The payment that the command starts."""
    return Payment(
        payment_id=command.payment_id,
        order_id=command.order_id,
        status=Status.AUTHORIZING,
        customer_id=command.customer_id,
        amount_minor=command.amount.amount_minor,
        currency=command.amount.currency,
    )


def tombstone(payment_id: str, order_id: str) -> Payment:
    """Stands for a payment that was voided before anybody authorized it."""
    return Payment(payment_id, order_id, Status.VOIDED, reason="voided")


def settled(payment: Payment, intent: Intent) -> Payment | None:
    """What the payment becomes given the intent's current state; None if it tells nothing new."""
    found = payment.status
    if found is Status.AUTHORIZING:
        return _attempt_settled(payment, intent)
    if found is Status.AUTHORIZED and intent.intent_id == payment.intent_id:
        if intent.status == "succeeded":
            return payment.to(Status.CAPTURED)
        if intent.status == "canceled":
            return payment.to(Status.VOIDED, reason="expired")
    return None


def _attempt_settled(payment: Payment, intent: Intent) -> Payment | None:
    if intent.is_hold:
        return payment.to(Status.AUTHORIZED, intent_id=intent.intent_id)
    if intent.status == "succeeded":
        return payment.to(Status.CAPTURED, intent_id=intent.intent_id)
    if intent.status == "canceled":
        return payment.to(Status.VOIDED, intent_id=intent.intent_id, reason="voided")
    if intent.status in ("requires_action", "requires_confirmation"):
        # Nobody is there to answer the bank's question: the order was placed long ago.
        refusal = Refusal("authentication_required", detail="The bank asks for authentication.")
        return payment.declined(refusal, intent.intent_id)
    if intent.status == "requires_payment_method":
        refusal = intent.refusal or Refusal("card_declined")
        return payment.declined(refusal, intent.intent_id)
    return None


# What Stripe's refund statuses mean; 'missing' is not among them and tells nothing.
_REFUND_STATUS: Mapping[str, Status] = {
    "pending": Status.REFUND_PENDING,
    "requires_action": Status.REFUND_PENDING,
    "succeeded": Status.REFUNDED,
    "failed": Status.REFUND_FAILED,
    "canceled": Status.REFUND_FAILED,
}


def refund_settled(payment: Payment, refund: Refund) -> Payment | None:
    """What the payment becomes given its refund's current state; None if it tells nothing new."""
    target = _REFUND_STATUS.get(refund.status)
    if target is None or target not in TRANSITIONS[payment.status]:
        return None
    if payment.refund_id not in (None, refund.refund_id):
        return None
    return payment.to(target, refund_id=refund.refund_id, detail=refund.failure)


def followed_up(payment: Payment, command_id: str, correlation_id: str) -> Payment:
    """Remember which RefundPayment is owed an answer once the refund has settled."""
    return replace(payment, refund_command_id=command_id, refund_correlation_id=correlation_id)


def is_stray(payment: Payment, intent: Intent) -> bool:
    """Whether the intent holds money that its payment will never take."""
    if not intent.is_hold:
        return False
    if payment.status is Status.AUTHORIZING:
        return False
    return payment.intent_id != intent.intent_id


def authorization_reply(payment: Payment) -> PaymentAuthorized | PaymentDeclined:
    """The answer to AuthorizePayment, however often it is asked."""
    if payment.status in (Status.DECLINED, Status.VOIDED):
        reason = payment.reason if payment.status is Status.DECLINED else "voided"
        optional = {"detail": payment.detail} if payment.detail else {}
        return PaymentDeclined.model_validate(
            {**_ids(payment), "reason": reason or "card_declined", **optional}
        )
    if payment.status is Status.AUTHORIZING:
        raise IllegalTransition(payment.payment_id, payment.status, Status.AUTHORIZED)
    return PaymentAuthorized(**_ids(payment), amount=payment.money)


def voided_reply(payment: Payment) -> PaymentVoided:
    """The answer to VoidPayment."""
    return PaymentVoided(**_ids(payment))


def captured_reply(payment: Payment) -> PaymentCaptured:
    """The answer to CapturePayment."""
    return PaymentCaptured(**_ids(payment), amount=payment.money)


def refund_reply(payment: Payment) -> PaymentRefunded | PaymentRefundFailed | None:
    """The answer to RefundPayment; None while the refund is pending."""
    if payment.status is Status.REFUND_PENDING:
        return None
    if payment.status is Status.REFUNDED:
        return PaymentRefunded(
            **_ids(payment), amount=payment.money, customer_id=or_missing(payment.customer_id)
        )
    detail = payment.detail or f"the payment is {payment.status}"
    return PaymentRefundFailed(**_ids(payment), detail=detail[:1000])


def _ids(payment: Payment) -> dict[str, str]:
    return {"order_id": payment.order_id, "payment_id": payment.payment_id}


_DIGITS = re.compile(r"\d(?:[ _-]?\d){12,18}")


def looks_like_card_number(text: str) -> bool:
    """Whether 13 to 19 digits in the text pass the Luhn check (ISO/IEC 7812-1, annex B)."""
    return any(_luhn(re.sub(r"\D", "", found.group())) for found in _DIGITS.finditer(text))


def _luhn(digits: str) -> bool:
    doubled = (int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits)))
    return sum(d - 9 if d > 9 else d for d in doubled) % 10 == 0
