"""What the payment service does about each command.

Guarantee: every command may come twice, late or out of order; it moves money once and is answered
from the payment's state each time.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from contracts.models.common import PaymentExpectation, PaymentRepair
from contracts.models.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentDeclined,
    PaymentRefundFailed,
    PaymentsReconciled,
    ReconcilePayments,
    RefundPayment,
    VoidPayment,
)
from messaging import DeadLetter, RetryLater, Route
from payment_service import domain
from payment_service.domain import TAKEN, Payment, Refusal, Status
from payment_service.gateway import Gateway
from payment_service.moves import release, take_back
from payment_service.repair import repair
from payment_service.store import Payments, PaymentWork

log = logging.getLogger(__name__)

Handler = Callable[[Any, PaymentWork], Awaitable[None]]


class PaymentMismatch(DeadLetter):
    """A payment id that already stands for another order or amount: never guess with money."""

    code = "payment_mismatch"


class NotCapturable(DeadLetter):
    """There is no hold to take: the saga parks, and people decide."""

    code = "not_capturable"


async def authorize_payment(
    command: AuthorizePayment, work: PaymentWork, payments: Payments, gateway: Gateway
) -> None:
    """Hold the money; the payment and its reply commit together.

    Where a void overtook us while we asked, the commit loses against it, and the handling that
    follows finds VOIDED here and lets go of whatever the gateway holds by then.
    """
    if domain.looks_like_card_number(command.payment_method):
        work.reply(_card_number_refused(command))
        return
    payment, is_new = await payments.begin(domain.begun(command))
    if not payment.is_for(command):
        raise PaymentMismatch(f"payment {payment.payment_id} is for another order or amount")
    if payment.status is Status.AUTHORIZING:
        payment = await _hold(payment, command.payment_method, gateway, look_first=not is_new)
        work.save(payment)
    elif payment.status is Status.VOIDED and payment.was_attempted and not payment.intent_id:
        await release(payment, gateway)
    work.reply(domain.authorization_reply(payment))


async def _hold(
    payment: Payment, payment_method: str, gateway: Gateway, *, look_first: bool
) -> Payment:
    intent = await gateway.authorize(payment, payment_method, look_first=look_first)
    if intent is None:
        detail = "The gateway has no trace of the attempt, which is too old to be repeated."
        return payment.declined(Refusal("processing_error", "attempt_expired", detail))
    settled = domain.settled(payment, intent)
    if settled is None:
        raise RetryLater(f"the gateway is still at it: {intent.status}", seconds=2)
    return settled


def _card_number_refused(command: AuthorizePayment) -> PaymentDeclined:
    return PaymentDeclined(
        order_id=command.order_id,
        payment_id=command.payment_id,
        reason="processing_error",
        detail="The payment method looks like a card number; send the gateway's token instead.",
    )


async def void_payment(
    command: VoidPayment, work: PaymentWork, payments: Payments, gateway: Gateway
) -> None:
    """Let go of the money; before, after or without the authorization."""
    payment, _ = await payments.begin(domain.tombstone(command.payment_id, command.order_id))
    if payment.order_id != command.order_id:
        raise PaymentMismatch(f"payment {payment.payment_id} is for another order")
    after = await take_back(payment, gateway)
    if after is not payment:
        work.save(after)
    if after.status is Status.REFUND_FAILED:
        raise DeadLetter(f"payment {payment.payment_id} was captured and its refund failed")
    work.reply(domain.voided_reply(after))


async def capture_payment(
    command: CapturePayment, work: PaymentWork, payments: Payments, gateway: Gateway
) -> None:
    """Take the held money."""
    payment = await payments.get(command.payment_id)
    if payment is None or payment.order_id != command.order_id:
        raise NotCapturable(f"there is no payment {command.payment_id} for this order")
    if payment.status is Status.AUTHORIZING:
        raise RetryLater("the payment is still being authorized", seconds=1)
    if payment.status is Status.AUTHORIZED:
        intent = await gateway.capture(payment)
        captured = domain.settled(payment, intent)
        if captured is None or captured.status is not Status.CAPTURED:
            if captured is not None:
                await payments.apply(captured)
            raise NotCapturable(f"the hold is gone: the gateway says {intent.status}")
        payment = captured
        work.save(payment)
    if payment.status not in TAKEN:
        raise NotCapturable(f"payment {payment.payment_id} is {payment.status}")
    work.reply(domain.captured_reply(payment))


async def refund_payment(
    command: RefundPayment, work: PaymentWork, payments: Payments, gateway: Gateway
) -> None:
    """Give the captured money back; a pending refund is answered when it has settled."""
    payment = await payments.get(command.payment_id)
    if payment is None or payment.order_id != command.order_id:
        work.reply(
            PaymentRefundFailed(
                order_id=command.order_id,
                payment_id=command.payment_id,
                detail="There is no such payment for this order.",
            )
        )
        return
    if payment.status in (Status.CAPTURED, Status.REFUND_PENDING):
        refund = (
            await gateway.refund(payment)
            if payment.refund_id is None
            else await gateway.find_refund(payment.refund_id)
        )
        settled = domain.refund_settled(payment, refund)
        if settled is not None:
            payment = domain.followed_up(settled, work.message.id, work.message.correlation_id)
            work.save(payment)
    reply = domain.refund_reply(payment)
    if reply is not None:
        work.reply(reply)


async def reconcile_payments(
    command: ReconcilePayments, work: PaymentWork, payments: Payments, gateway: Gateway
) -> None:
    """Compare what orders expect with our rows and the gateway, and repair what differs."""
    rows = await payments.of_ids([e.payment_id for e in command.expectations])
    known = await gateway.intents_of(rows.values())

    async def compare(expectation: PaymentExpectation) -> PaymentRepair | None:
        payment = rows.get(expectation.payment_id)
        result = await repair(payment, expectation, gateway, known)
        if result.changed is not None:
            work.save(result.changed)
        return result.report

    reports = await asyncio.gather(*map(compare, _distinct(command.expectations)))
    repaired = [report for report in reports if report is not None]
    for report in repaired:
        log.warning("payment %s was %s: %s", report.payment_id, report.found, report.action)
    work.reply(
        PaymentsReconciled(
            batch_id=command.batch_id,
            matched=len(command.expectations) - len(repaired),
            repaired=repaired,
        )
    )


def _distinct(expectations: list[PaymentExpectation]) -> list[PaymentExpectation]:
    return list({each.payment_id: each for each in expectations}.values())


def routes(payments: Payments, gateway: Gateway) -> list[Route[PaymentWork]]:
    """Which command leads where."""

    def route(message: type[Any], handler: Callable[..., Awaitable[None]]) -> Route[PaymentWork]:
        return Route(message, partial(handler, payments=payments, gateway=gateway))

    return [
        route(AuthorizePayment, authorize_payment),
        route(VoidPayment, void_payment),
        route(CapturePayment, capture_payment),
        route(RefundPayment, refund_payment),
        route(ReconcilePayments, reconcile_payments),
    ]
