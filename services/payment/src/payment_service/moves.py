"""Moves of money that several handlers and the sweep share.

Guarantee: each may be repeated: what the gateway has done already is found there, not done again.
"""

from payment_service import domain
from payment_service.domain import Intent, Payment, Status
from payment_service.gateway import Gateway

# An intent in one of these may still turn into a hold.
_LIVE = frozenset({"requires_capture", "requires_action", "requires_confirmation"})


async def release(payment: Payment, gateway: Gateway) -> list[Intent]:
    """Let go of everything that the gateway holds for the payment; its intents as they are now."""
    found = await gateway.find(payment)
    return [
        await gateway.cancel(payment.payment_id, intent.intent_id)
        if intent.status in _LIVE
        else intent
        for intent in found
    ]


async def take_back(payment: Payment, gateway: Gateway) -> Payment:
    """The payment with its money back at the customer, or on its way: voided or refunded.

    The same object comes back when nothing had to change. An attempt under way elsewhere loses its
    commit against the VOIDED that this leads to.
    """
    if payment.status is Status.AUTHORIZING:
        for intent in await release(payment, gateway):
            if intent.status == "succeeded":
                captured = payment.to(Status.CAPTURED, intent_id=intent.intent_id)
                return await give_back(captured, gateway)
            if intent.status == "canceled":
                return payment.to(Status.VOIDED, intent_id=intent.intent_id, reason="voided")
        return payment.to(Status.VOIDED, reason="voided")
    if payment.status is Status.AUTHORIZED:
        intent = await gateway.cancel(payment.payment_id, payment.intent_id or "")
        if intent.status == "succeeded":
            return await give_back(payment.to(Status.CAPTURED), gateway)
        return payment.to(Status.VOIDED, reason="voided")
    if payment.status is Status.CAPTURED:
        return await give_back(payment, gateway)
    return payment


async def give_back(payment: Payment, gateway: Gateway) -> Payment:
    """Refund captured money; the refund may still be pending afterwards."""
    refund = await gateway.refund(payment)
    return domain.refund_settled(payment, refund) or payment
