"""A payment intent and its transitions; pure, no I/O.

    requires_payment_method --> requires_confirmation --confirm--> requires_capture --> succeeded
            ^                         |                                  |
            |                         +--> requires_action --authenticated--^
            +--- declined ------------+          |
    every status but succeeded --cancel--> canceled       requires_capture --expire--> canceled

Guarantee: an illegal transition raises payment_intent_unexpected_state with the intent inside and
changes nothing; a legal one books its money move in the same `Changes` as its events.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from stripe_simulator import cards
from stripe_simulator.changes import Changes
from stripe_simulator.charges import Charge, payment_method_document
from stripe_simulator.encoding import compact_json
from stripe_simulator.errors import StripeError, refused, unexpected_state
from stripe_simulator.ids import new_id

CANCELLATION_REASONS = ("duplicate", "fraudulent", "requested_by_customer", "abandoned")
CONFIRMABLE = ("requires_payment_method", "requires_confirmation")
CANCELABLE = (
    "requires_payment_method",
    "requires_capture",
    "requires_confirmation",
    "requires_action",
)


@dataclass(slots=True)
class Intent:
    id: str
    created: int
    amount: int
    currency: str
    capture_method: str
    confirmation_method: str
    metadata: dict[str, str]
    status: str = "requires_payment_method"
    payment_method: str | None = None
    # The last one tried, which Stripe's object no longer shows after a decline.
    attempted_method: str | None = None
    payment_method_types: list[str] = field(default_factory=lambda: ["card"])
    automatic_payment_methods: dict[str, Any] | None = None
    description: str | None = None
    customer: str | None = None
    return_url: str | None = None
    amount_capturable: int = 0
    amount_received: int = 0
    latest_charge: str | None = None
    last_payment_error: dict[str, Any] | None = None
    next_action: dict[str, Any] | None = None
    canceled_at: int | None = None
    cancellation_reason: str | None = None
    _body: bytes | None = field(default=None, repr=False)

    @property
    def body(self) -> bytes:
        if self._body is None:
            self._body = compact_json(self.document())
        return self._body

    def changed(self) -> None:
        """Forget the rendered body; every mutation ends with this."""
        self._body = None

    def document(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "object": "payment_intent",
            "amount": self.amount,
            "amount_capturable": self.amount_capturable,
            "amount_details": {"tip": {}},
            "amount_received": self.amount_received,
            "application": None,
            "application_fee_amount": None,
            "automatic_payment_methods": self.automatic_payment_methods,
            "canceled_at": self.canceled_at,
            "cancellation_reason": self.cancellation_reason,
            "capture_method": self.capture_method,
            "client_secret": f"{self.id}_secret_simulated",
            "confirmation_method": self.confirmation_method,
            "created": self.created,
            "currency": self.currency,
            "customer": self.customer,
            "description": self.description,
            "last_payment_error": self.last_payment_error,
            "latest_charge": self.latest_charge,
            "livemode": False,
            "metadata": self.metadata,
            "next_action": self.next_action,
            "on_behalf_of": None,
            "payment_method": self.payment_method,
            "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
            "payment_method_types": self.payment_method_types,
            "processing": None,
            "receipt_email": None,
            "review": None,
            "setup_future_usage": None,
            "shipping": None,
            "source": None,
            "statement_descriptor": None,
            "statement_descriptor_suffix": None,
            "status": self.status,
            "transfer_data": None,
            "transfer_group": None,
        }


def use_method(intent: Intent, payment_method: str) -> None:
    """Attach a payment method. Raises StripeError when there is no such method."""
    cards.find_card(payment_method)
    intent.payment_method = intent.attempted_method = payment_method
    if intent.status == "requires_payment_method":
        intent.status = "requires_confirmation"
    intent.changed()


def confirm(
    intent: Intent, changes: Changes, *, off_session: bool, refuse_action: bool
) -> tuple[Charge | None, StripeError | None]:
    """Try the card: the charge made, if any, and the 402 to answer with, if any.

    A decline is returned and not raised, for it does change the intent.
    """
    if intent.status not in CONFIRMABLE:
        raise unexpected_state(
            f"You cannot confirm this PaymentIntent because it has a status of {intent.status}."
            " Only a PaymentIntent with one of the following statuses may be confirmed: "
            + ", ".join(CONFIRMABLE)
            + ".",
            intent.body,
        )
    if intent.payment_method is None:
        raise unexpected_state(
            "You cannot confirm this PaymentIntent because it's missing a payment method."
            " Pass `payment_method` with a payment method's id.",
            intent.body,
        )
    card = cards.find_card(intent.payment_method)
    if not card.authentication:
        return authorize(intent, changes, card.decline)
    if off_session or refuse_action:
        return authorize(intent, changes, cards.AUTHENTICATION_REQUIRED)
    intent.status = "requires_action"
    intent.next_action = (
        {"type": "redirect_to_url", "redirect_to_url": {"return_url": intent.return_url}}
        if intent.return_url
        else {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
    )
    intent.changed()
    changes.announce("payment_intent.requires_action", intent)
    return None, None


def authenticate(
    intent: Intent, changes: Changes, *, succeed: bool
) -> tuple[Charge | None, StripeError | None]:
    """The customer passes or fails 3-D Secure."""
    if intent.status != "requires_action":
        raise unexpected_state(
            f"This PaymentIntent awaits no authentication: its status is {intent.status}.",
            intent.body,
        )
    intent.next_action = None
    assert intent.payment_method is not None
    card = cards.find_card(intent.payment_method)
    if succeed:
        return authorize(intent, changes, card.decline)
    failure = cards.Decline(
        "payment_intent_authentication_failure",
        "authentication_required",
        "The provided PaymentMethod has failed authentication.",
    )
    return authorize(intent, changes, failure)


def authorize(
    intent: Intent, changes: Changes, decline: cards.Decline | None
) -> tuple[Charge, StripeError | None]:
    """Ask the issuer, whose answer is `decline` or approval."""
    assert intent.payment_method is not None
    charge = Charge(
        id=new_id("ch_"),
        created=int(changes.at),
        amount=intent.amount,
        currency=intent.currency,
        payment_intent=intent.id,
        payment_method=intent.payment_method,
        status="succeeded",
        metadata=intent.metadata,
    )
    intent.latest_charge = charge.id
    if decline is not None:
        return charge, _decline(intent, charge, changes, decline)
    intent.last_payment_error = None
    changes.book(
        "authorized", intent.id, charge.id, intent.amount, intent.currency, intent.metadata
    )
    if intent.capture_method == "manual":
        intent.status = "requires_capture"
        intent.amount_capturable = intent.amount
        intent.changed()
        changes.announce("charge.succeeded", charge)
        changes.announce("payment_intent.amount_capturable_updated", intent)
    else:
        _take(intent, charge, changes, intent.amount)
        changes.announce("charge.succeeded", charge)
        changes.announce("payment_intent.succeeded", intent)
    return charge, None


def _decline(
    intent: Intent, charge: Charge, changes: Changes, decline: cards.Decline
) -> StripeError:
    charge.declined(decline)
    method = payment_method_document(charge.payment_method, charge.created)
    intent.status = "requires_payment_method"
    intent.payment_method = None
    intent.next_action = None
    intent.last_payment_error = {
        "type": "card_error",
        "code": decline.code,
        "decline_code": decline.decline_code,
        "message": decline.message,
        "charge": charge.id,
        "payment_method": method,
    }
    intent.changed()
    changes.announce("charge.failed", charge)
    changes.announce("payment_intent.payment_failed", intent)
    return cards.decline_error(
        decline,
        charge=charge.id,
        intent_body=orjson.Fragment(intent.body),
        payment_method=method,
    )


def capture(
    intent: Intent,
    charge: Charge | None,
    changes: Changes,
    amount: int | None,
    metadata: dict[str, str],
) -> None:
    """Take the held money, or `amount` of it; what is left of the hold goes back."""
    if intent.status == "succeeded":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has already been captured.",
            intent.body,
        )
    if intent.status != "requires_capture":
        raise unexpected_state(
            "This PaymentIntent could not be captured because it has a status of"
            f" {intent.status}. Only a PaymentIntent with one of the following statuses may be"
            " captured: requires_capture.",
            intent.body,
        )
    assert charge is not None
    taken = intent.amount_capturable if amount is None else amount
    if not 0 < taken <= intent.amount_capturable:
        raise refused(
            f"The amount to capture ({taken}) must be positive and at most the amount that can"
            f" be captured ({intent.amount_capturable}).",
            "amount_too_large" if taken > 0 else "parameter_invalid_integer",
            "amount_to_capture",
        )
    intent.metadata = {**intent.metadata, **metadata}
    _take(intent, charge, changes, taken)
    changes.announce("charge.captured", charge)
    changes.announce("payment_intent.succeeded", intent)


def _take(intent: Intent, charge: Charge, changes: Changes, taken: int) -> None:
    rest = intent.amount - taken
    intent.status = "succeeded"
    intent.amount_capturable = 0
    intent.amount_received = taken
    charge.captured = True
    charge.amount_captured = taken
    intent.changed()
    charge.changed()
    changes.book("captured", intent.id, charge.id, taken, intent.currency, intent.metadata)
    if rest:
        changes.book("voided", intent.id, charge.id, rest, intent.currency, intent.metadata)


def cancel(intent: Intent, charge: Charge | None, changes: Changes, reason: str | None) -> None:
    """Cancel, voiding a hold; announces charge.refunded for a voided charge, as Stripe does."""
    if intent.status not in CANCELABLE:
        raise unexpected_state(
            f"You cannot cancel this PaymentIntent because it has a status of {intent.status}."
            " Only a PaymentIntent with one of the following statuses may be canceled: "
            + ", ".join(CANCELABLE)
            + ".",
            intent.body,
        )
    _void(intent, charge, changes, "charge.refunded", reason)


def expire(intent: Intent, charge: Charge | None, changes: Changes) -> None:
    """The hold has lapsed: what Stripe does after seven days. Nothing if it holds no more."""
    if intent.status == "requires_capture":
        _void(intent, charge, changes, "charge.expired", "automatic")


def _void(
    intent: Intent, charge: Charge | None, changes: Changes, event_type: str, reason: str | None
) -> None:
    held = intent.status == "requires_capture"
    intent.status = "canceled"
    intent.canceled_at = int(changes.at)
    intent.cancellation_reason = reason
    intent.next_action = None
    if held:
        assert charge is not None
        changes.book(
            "voided",
            intent.id,
            charge.id,
            intent.amount_capturable,
            intent.currency,
            intent.metadata,
        )
        charge.amount_refunded = intent.amount_capturable
        intent.amount_capturable = 0
        charge.changed()
        changes.announce(event_type, charge)
    intent.changed()
    changes.announce("payment_intent.canceled", intent)
