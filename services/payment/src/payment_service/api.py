"""HTTP: payments for their readers, figures for operators, webhooks for the gateway.

Guarantee: nothing here takes or shows card data, and nothing a webhook says is believed without
its signature.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

import orjson
from fastapi import APIRouter, Header, Request, Response
from pydantic import BaseModel, SecretStr

from chassis import Problem, problem_responses
from contracts.models.common import Money
from messaging import RetryLater
from payment_service.domain import Payment, Status
from payment_service.notices import Notices
from payment_service.sdk import stripe
from payment_service.store import Payments

# Stripe's own default: older signatures may be replays (Stripe docs, "Verify webhook signatures").
TOLERANCE_SECONDS = 300


class PaymentView(BaseModel):
    """A payment as its readers see it; absent fields do not apply (yet)."""

    payment_id: UUID
    order_id: UUID
    status: Status
    amount: Money | None = None
    reason: str | None = None
    decline_code: str | None = None
    detail: str | None = None
    intent_id: str | None = None
    refund_id: str | None = None
    started_at: datetime
    updated_at: datetime


class PaymentFigures(BaseModel):
    """Counts by status, and sums by currency in minor units, of everything ever taken on."""

    by_status: dict[str, int]
    authorized_minor: dict[str, int]
    captured_minor: dict[str, int]
    refunded_minor: dict[str, int]


def payment_router(payments: Payments) -> APIRouter:
    """What readers and operators may ask."""
    router = APIRouter()

    @router.get(
        "/payments/{payment_id}",
        operation_id="get_payment",
        tags=["payments"],
        response_model=PaymentView,
        response_model_exclude_none=True,
        responses=problem_responses(_404="No such payment.", _422="The id is no UUID."),
    )
    async def get_payment(payment_id: UUID) -> PaymentView:
        """One payment."""
        payment = await payments.get(str(payment_id))
        if payment is None:
            raise Problem(404, "payment_not_found", f"There is no payment {payment_id}.")
        return _view(payment)

    @router.get("/ops/payments", operation_id="get_payment_figures", tags=["operations"])
    async def get_payment_figures() -> PaymentFigures:
        """Payments by status and money by currency, for the balance sheet."""
        return PaymentFigures.model_validate(await payments.census())

    return router


def webhook_router(notices: Notices, secret: SecretStr) -> APIRouter:
    """What the gateway may tell."""
    router = APIRouter(tags=["webhooks"])

    @router.post(
        "/webhooks/stripe",
        operation_id="receive_stripe_event",
        status_code=204,
        responses=problem_responses(
            _400="The signature is missing, wrong or stale, or the body is no event.",
            _503="The gateway could not be asked; send the event again later.",
        ),
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    )
    async def receive_stripe_event(
        request: Request, stripe_signature: Annotated[str | None, Header()] = None
    ) -> Response:
        """A signed event; the answer only says that it need not come again."""
        event = _verified(await request.body(), stripe_signature, secret)
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
        payment_id=UUID(payment.payment_id),
        order_id=UUID(payment.order_id),
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
