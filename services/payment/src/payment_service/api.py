"""HTTP: payments for their readers, figures for operators, webhooks for the gateway.

Guarantee: nothing here takes or shows card data, and nothing a webhook says is believed without
its signature.
"""

from datetime import datetime
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Request, Response
from pydantic import Field, SecretStr

from chassis import (
    BODY_PROBLEMS,
    INVALID,
    UNAVAILABLE,
    UUID_PATTERN,
    Counts,
    Problem,
    View,
    problem_responses,
)
from contracts.models.common import Money
from messaging import RetryLater
from payment_service.domain import Payment, Status
from payment_service.notices import Notices
from payment_service.sdk import stripe
from payment_service.store import Payments

# Stripe's own default: older signatures may be replays (Stripe docs, "Verify webhook signatures").
TOLERANCE_SECONDS = 300
Id = Annotated[str, Field(pattern=UUID_PATTERN)]
PaymentId = Annotated[str, Path(pattern=UUID_PATTERN, description="The payment.")]


class PaymentView(View):
    """A payment as its readers see it; absent fields do not apply (yet)."""

    payment_id: Id
    order_id: Id
    status: Status
    amount: Money | None = None
    reason: str | None = None
    decline_code: str | None = None
    detail: str | None = None
    intent_id: str | None = None
    refund_id: str | None = None
    started_at: datetime
    updated_at: datetime


class PaymentCensus(View):
    """Counts by status, and sums by currency in minor units, of everything ever taken on."""

    by_status: Counts
    authorized_minor: Counts
    captured_minor: Counts
    refunded_minor: Counts


_EVENT = {
    "type": "object",
    "required": ["id", "type", "data"],
    "properties": {
        "id": {"type": "string", "minLength": 1, "maxLength": 255},
        "type": {"type": "string", "minLength": 1, "maxLength": 255},
        "data": {
            "type": "object",
            "required": ["object"],
            "properties": {"object": {"type": "object"}},
        },
    },
}
_SIGNATURE = {
    "name": "Stripe-Signature",
    "in": "header",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 1000},
}


def payment_router(payments: Payments) -> APIRouter:
    """What readers and operators may ask."""
    router = APIRouter()

    @router.get(
        "/payments/{payment_id}",
        operation_id="get_payment",
        tags=["payments"],
        response_model=PaymentView,
        response_model_exclude_none=True,
        responses={**problem_responses(_404="No such payment."), **INVALID, **UNAVAILABLE},
    )
    async def get_payment(payment_id: PaymentId) -> PaymentView:
        """One payment."""
        payment = await payments.get(payment_id)
        if payment is None:
            raise Problem(404, "payment_not_found", f"There is no payment {payment_id}.")
        return _view(payment)

    @router.get(
        "/ops/payments",
        operation_id="get_payment_census",
        tags=["operations"],
        responses=UNAVAILABLE,
    )
    async def get_payment_census() -> PaymentCensus:
        """Payments by status and money by currency, for the balance sheet."""
        return PaymentCensus.model_validate(await payments.census())

    return router


def webhook_router(notices: Notices, secret: SecretStr) -> APIRouter:
    """What the gateway may tell."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/stripe",
        operation_id="receive_stripe_event",
        status_code=204,
        responses={
            413: BODY_PROBLEMS[413],
            415: BODY_PROBLEMS[415],
            **problem_responses(
                _400="The signature is missing, wrong or stale, or the body is no event.",
                _503="The gateway could not be asked; send the event again later.",
            ),
        },
        openapi_extra={
            "parameters": [_SIGNATURE],
            "requestBody": {"required": True, "content": {"application/json": {"schema": _EVENT}}},
        },
    )
    async def receive_stripe_event(request: Request) -> Response:
        """A signed event; the answer only says that it need not come again."""
        signature = request.headers.get("stripe-signature")
        event = _verified(await request.body(), signature, secret)
        try:
            await notices.take(event)
        except RetryLater as later:
            raise Problem(
                503, "try_again", f"{later}.", headers={"Retry-After": str(int(later.seconds) + 1)}
            ) from None
        return Response(status_code=204)

    return router


def _verified(body: bytes, signature: str | None, secret: SecretStr) -> dict[str, Any]:
    """The event, once its signature has been verified; raises Problem."""
    if signature is not None and not signature.isascii():
        # The SDK compares text, and comparing refuses other text with a TypeError.
        raise Problem(400, "bad_signature", "The signature is no signature.")
    try:
        stripe.WebhookSignature.verify_header(
            body, signature, secret.get_secret_value(), tolerance=TOLERANCE_SECONDS
        )
        event = orjson.loads(body)
    except stripe.SignatureVerificationError as error:
        raise Problem(400, "bad_signature", _first_sentence(error)) from None
    except ValueError:
        raise Problem(400, "invalid_event", "The body is no UTF-8 or no JSON.") from None
    shown = event.get("data") if isinstance(event, dict) else None
    if (
        not isinstance(shown, dict)
        or not isinstance(shown.get("object"), dict)
        or not all(_is_plain(event.get(name)) for name in ("id", "type"))
    ):
        raise Problem(400, "invalid_event", "The body is no event of the gateway's.")
    return event  # type: ignore[no-any-return]


def _is_plain(name: Any) -> bool:
    """Whether it is printable ASCII of a sane length, as all of the gateway's names are."""
    return isinstance(name, str) and 0 < len(name) <= 255 and name.isascii() and name.isprintable()


def _first_sentence(error: stripe.SignatureVerificationError) -> str:
    told = error.user_message or "The signature cannot be verified"
    return told.split(". ")[0].rstrip(".") + "."


def _view(payment: Payment) -> PaymentView:
    return PaymentView(
        payment_id=payment.payment_id,
        order_id=payment.order_id,
        status=payment.status,
        amount=payment.money if payment.was_attempted else None,
        reason=payment.reason,
        decline_code=payment.decline_code,
        detail=payment.detail,
        intent_id=payment.intent_id,
        refund_id=payment.refund_id,
        started_at=payment.started_at,
        updated_at=payment.updated_at,
    )
