"""Stripe's documents, as far as we read them, and what we write into its requests.

Guarantee: nothing of a card but its decline code gets past here.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from payment_service.domain import Intent, Payment, Refund, Refusal
from payment_service.sdk import stripe

_REASONS = {
    "insufficient_funds": "insufficient_funds",
    "expired_card": "expired_card",
    "authentication_required": "authentication_required",
    "processing_error": "processing_error",
    "issuer_not_available": "processing_error",
    "try_again_later": "processing_error",
}


def metadata_of(payment: Payment) -> dict[str, str]:
    """What ties an object at the gateway to our payment."""
    return {"payment_id": payment.payment_id, "order_id": payment.order_id}


def created_between(since: datetime, until: datetime) -> dict[str, int]:
    """The `created` filter of Stripe's lists, both ends included."""
    return {"gte": int(since.timestamp()), "lte": int(until.timestamp())}


def created_since(moment: datetime) -> dict[str, int]:
    """The `created` filter of Stripe's lists."""
    return {"gte": int(moment.timestamp())}


def error_of(error: stripe.StripeError) -> Mapping[str, Any]:
    """The error object that the SDK's exception came from."""
    body = error.json_body
    return body.get("error", {}) if isinstance(body, dict) else {}


def refused_intent(error: stripe.StripeError, payment: Payment) -> Intent:
    """A card's decline, or parameters that will never do (an unknown payment method, say)."""
    told = error_of(error)
    enclosed = told.get("payment_intent") or {}
    refusal = _refusal(told)
    if isinstance(error, stripe.InvalidRequestError):
        refusal = Refusal("processing_error", told.get("code"), refusal.detail)
    return Intent(
        intent_id=enclosed.get("id", ""),
        status="requires_payment_method",
        amount_minor=payment.money.amount_minor,
        currency=payment.money.currency,
        payment_id=payment.payment_id,
        refusal=refusal,
    )


def _refusal(told: Mapping[str, Any]) -> Refusal:
    code, decline_code = told.get("code") or "", told.get("decline_code") or ""
    reason = _REASONS.get(decline_code) or _REASONS.get(code) or "card_declined"
    return Refusal(reason, decline_code or code or None, (told.get("message") or None))


def intent_from(document: Mapping[str, Any]) -> Intent:
    """A payment intent; from an event it shows what was then, so is a hint and not the truth."""
    told = document.get("last_payment_error")
    return Intent(
        intent_id=document["id"],
        status=document["status"],
        amount_minor=document["amount"],
        currency=document["currency"].upper(),
        payment_id=(document.get("metadata") or {}).get("payment_id"),
        refusal=_refusal(told) if told else None,
    )


def refund_from(document: Mapping[str, Any]) -> Refund:
    """A refund; from an event it shows what was then, so is a hint and not the truth."""
    return Refund(
        refund_id=document["id"],
        intent_id=document.get("payment_intent") or "",
        status=document["status"],
        payment_id=(document.get("metadata") or {}).get("payment_id"),
        failure=document.get("failure_reason"),
    )
