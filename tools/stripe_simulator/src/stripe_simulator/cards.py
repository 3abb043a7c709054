"""Stripe's documented test payment methods, and what each of them does."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from stripe_simulator.errors import StripeError, missing, unsafe_card_number

RefundBehaviour = Literal["succeeds", "pending", "fails"]


@dataclass(frozen=True, slots=True)
class Decline:
    """What the issuer answers: Stripe's error code, decline code and message for the customer."""

    code: str
    decline_code: str
    message: str


@dataclass(frozen=True, slots=True)
class Card:
    """One test payment method. `last4` is of Stripe's published test number."""

    brand: str = "visa"
    last4: str = "4242"
    funding: str = "credit"
    decline: Decline | None = field(default=None)
    authentication: bool = False
    refund: RefundBehaviour = "succeeds"


def _declined(decline_code: str) -> Decline:
    return Decline("card_declined", decline_code, "Your card was declined.")


GENERIC = _declined("generic_decline")
INSUFFICIENT_FUNDS = Decline(
    "card_declined", "insufficient_funds", "Your card has insufficient funds."
)
EXPIRED = Decline("expired_card", "expired_card", "Your card has expired.")
INCORRECT_CVC = Decline("incorrect_cvc", "incorrect_cvc", "Your card's security code is incorrect.")
PROCESSING_ERROR = Decline(
    "processing_error",
    "processing_error",
    "An error occurred while processing your card. Try again in a little bit.",
)
AUTHENTICATION_REQUIRED = Decline(
    "authentication_required",
    "authentication_required",
    "Your card was declined. This transaction requires authentication.",
)

# Names as in Stripe's testing guide; it has published several of them with and without the brand.
CARDS: dict[str, Card] = {
    "pm_card_visa": Card(),
    "pm_card_visa_debit": Card(last4="5556", funding="debit"),
    "pm_card_mastercard": Card("mastercard", "4444"),
    "pm_card_mastercard_debit": Card("mastercard", "8210", "debit"),
    "pm_card_mastercard_prepaid": Card("mastercard", "5100", "prepaid"),
    "pm_card_amex": Card("amex", "8431"),
    "pm_card_discover": Card("discover", "1117"),
    "pm_card_diners": Card("diners", "0004"),
    "pm_card_jcb": Card("jcb", "0505"),
    "pm_card_unionpay": Card("unionpay", "0005"),
    "pm_card_bypassPending": Card(last4="0077"),
    "pm_card_pendingRefund": Card(last4="7726", refund="pending"),
    "pm_card_refundFail": Card(last4="5126", refund="fails"),
    "pm_card_chargeCustomerFail": Card(last4="0341", decline=GENERIC),
    "pm_card_radarBlock": Card(last4="0019", decline=_declined("fraudulent")),
    "pm_card_chargeDeclinedFraudulent": Card(last4="0019", decline=_declined("fraudulent")),
    "pm_card_authenticationRequired": Card(last4="3184", authentication=True),
    "pm_card_authenticationRequiredOnSetup": Card(last4="3155", authentication=True),
    "pm_card_threeDSecureRequired": Card(last4="3063", authentication=True),
    "pm_card_threeDSecure2Required": Card(last4="3220", authentication=True),
    "pm_card_authenticationRequiredChargeDeclinedInsufficientFunds": Card(
        last4="8260", authentication=True, decline=INSUFFICIENT_FUNDS
    ),
}
for _suffix, _last4, _decline in (
    ("", "0002", GENERIC),
    ("InsufficientFunds", "9995", INSUFFICIENT_FUNDS),
    ("LostCard", "9987", _declined("lost_card")),
    ("StolenCard", "9979", _declined("stolen_card")),
    ("ExpiredCard", "0069", EXPIRED),
    ("IncorrectCvc", "0127", INCORRECT_CVC),
    ("ProcessingError", "0119", PROCESSING_ERROR),
    ("VelocityLimitExceeded", "6975", _declined("card_velocity_exceeded")),
):
    for _brand in ("", "visa_"):
        CARDS[f"pm_card_{_brand}chargeDeclined{_suffix}"] = Card(last4=_last4, decline=_decline)

_CARD_NUMBER = re.compile(r"[\d\s-]{12,25}")


def find_card(payment_method: str) -> Card:
    """The card behind a payment method id.

    Raises StripeError: a card number in its place, or a payment method that does not exist.
    """
    card = CARDS.get(payment_method)
    if card is not None:
        return card
    if _CARD_NUMBER.fullmatch(payment_method):
        raise unsafe_card_number()
    raise missing("PaymentMethod", payment_method, "payment_method", status=400)


def decline_error(
    decline: Decline, *, charge: str, intent_body: object, payment_method: object
) -> StripeError:
    """The 402 that a declined confirmation answers with, the intent enclosed."""
    return StripeError(
        402,
        "card_error",
        decline.message,
        code=decline.code,
        saved=True,
        decline_code=decline.decline_code,
        charge=charge,
        payment_intent=intent_body,
        payment_method=payment_method,
    )
