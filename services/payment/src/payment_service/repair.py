"""One payment compared with what its order expects, and brought there.

Guarantee: a repair only ever moves along the payment's state machine; what cannot be repaired is
reported with action 'none'.

    expected   found                          action
    captured   a hold                         capture it
               taken, our row behind          settle the row ('recorded')
               anything else                  none: people must look
    voided     no hold, nothing taken         (match)
               a hold                         cancel it
               taken                          refund it
    refunded   refunded, or on its way        (match)
               taken                          refund it
               a hold                         cancel it
"""

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.models.common import PaymentExpectation, PaymentRepair
from payment_service import domain
from payment_service.domain import Intent, Payment, Status
from payment_service.gateway import Gateway
from payment_service.moves import take_back

_GIVEN_BACK = frozenset({Status.REFUND_PENDING, Status.REFUNDED})


@dataclass(frozen=True, slots=True)
class Result:
    """The payment as changed, if it was, and the report, if it differed."""

    changed: Payment | None = None
    report: PaymentRepair | None = None


async def repair(
    payment: Payment | None,
    expectation: PaymentExpectation,
    gateway: Gateway,
    known: Mapping[str, Intent],
) -> Result:
    """Compare and repair one payment; `known` holds intents that were listed a moment ago."""
    if payment is None or not payment.was_attempted:
        if expectation.expected == "voided":
            return Result()
        return _report(expectation, None, "missing", "none")
    intent = known.get(payment.intent_id or "") or await _current_intent(payment, gateway)
    if expectation.expected == "captured":
        return await _expect_captured(payment, expectation, intent, gateway)
    return await _expect_given_back(payment, expectation, intent, gateway)


async def _current_intent(payment: Payment, gateway: Gateway) -> Intent:
    """What the payment stands on, as the gateway shows it now; strays are the sweep's business."""
    if payment.intent_id:
        return await gateway.intent(payment.intent_id)
    found = await gateway.find(payment) if payment.status is Status.AUTHORIZING else []
    nothing = Intent("", "missing", 0, "")
    return next((i for i in found if i.is_hold), found[0] if found else nothing)


async def _expect_captured(
    payment: Payment, expectation: PaymentExpectation, intent: Intent, gateway: Gateway
) -> Result:
    found = _found(payment, intent)
    if payment.status is Status.CAPTURED and found == "captured":
        return Result()
    if payment.status is Status.AUTHORIZED and found in ("authorized", "captured"):
        captured = domain.settled(payment, await gateway.capture(payment))
        if captured is not None and captured.status is Status.CAPTURED:
            action = "captured" if found == "authorized" else "recorded"
            return _report(expectation, captured, found, action)
    return _report(expectation, None, found, "none")


async def _expect_given_back(
    payment: Payment, expectation: PaymentExpectation, intent: Intent, gateway: Gateway
) -> Result:
    found = _found(payment, intent)
    if payment.status in _GIVEN_BACK:
        return Result()
    if payment.status in (Status.DECLINED, Status.VOIDED):
        if not intent.is_hold:
            return Result()
        await gateway.cancel(payment.payment_id, intent.intent_id)
        return _report(expectation, None, found, "voided")
    after = await take_back(payment, gateway)
    if after is payment:
        return _report(expectation, None, found, "none")
    action = "voided" if after.status is Status.VOIDED else str(after.status)
    return _report(expectation, after, found, action)


def _found(payment: Payment, intent: Intent) -> str:
    words = {
        "requires_capture": "authorized",
        "succeeded": "captured",
        "requires_payment_method": "declined",
    }
    found = words.get(intent.status, intent.status)
    return str(payment.status) if found == "captured" and payment.refund_id else found


def _report(
    expectation: PaymentExpectation, changed: Payment | None, found: str, action: str
) -> Result:
    return Result(
        changed,
        PaymentRepair(
            order_id=expectation.order_id,
            payment_id=expectation.payment_id,
            found=found,
            action=action,
        ),
    )
