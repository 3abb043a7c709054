"""The place_order saga: reserve stock, hold the money, take the money; on one screen.

Guarantee: the customer has either a confirmed order that is paid and reserved, or neither.
"""

from datetime import timedelta

from contracts import or_missing
from contracts.models.catalog import (
    ReleaseStock,
    ReserveStock,
    StockReleased,
    StockReserved,
    StockUnavailable,
)
from contracts.models.order import OrderConfirmed, OrderRejected
from contracts.models.payment import (
    AuthorizePayment,
    CapturePayment,
    PaymentAuthorized,
    PaymentCaptured,
    PaymentDeclined,
    PaymentVoided,
    VoidPayment,
)
from order_service.domain import PlaceOrder
from sagas import Refusal, Request, Saga, Step

# A deadline outlasts what may happen while the participant is in order: two crashes, after each of
# which the message comes back when its visibility (30 s) or its lease (30 s) ends, and the work.
TWO_CRASHES = timedelta(seconds=2 * 30)
GATEWAY_HARD_TIMEOUT = timedelta(seconds=30)
MARGIN = timedelta(seconds=30)


def reserve_stock(order: PlaceOrder) -> ReserveStock:
    return ReserveStock(order_id=order.order_id, lines=order.lines)


def release_stock(order: PlaceOrder) -> ReleaseStock:
    return ReleaseStock(order_id=order.order_id)


def authorize_payment(order: PlaceOrder) -> AuthorizePayment:
    return AuthorizePayment(
        order_id=order.order_id,
        payment_id=order.payment_id,
        customer_id=order.customer_id,
        amount=order.total,
        payment_method=order.payment_method,
    )


def void_payment(order: PlaceOrder) -> VoidPayment:
    return VoidPayment(order_id=order.order_id, payment_id=order.payment_id)


def capture_payment(order: PlaceOrder) -> CapturePayment:
    return CapturePayment(order_id=order.order_id, payment_id=order.payment_id)


def confirm_order(order: PlaceOrder) -> OrderConfirmed:
    return OrderConfirmed(
        order_id=order.order_id,
        customer_id=order.customer_id,
        lines=order.lines,
        total=order.total,
    )


def reject_order(order: PlaceOrder, refusal: Refusal) -> OrderRejected:
    return OrderRejected(
        order_id=order.order_id,
        customer_id=order.customer_id,
        reason=refusal["reason"],
        detail=or_missing(refusal.get("detail")),
    )


PLACE_ORDER = Saga(
    name="place_order",
    version=1,
    data=PlaceOrder,
    steps=[
        Step(
            "reserve_stock",
            action=Request(reserve_stock, success=StockReserved, failure=StockUnavailable),
            compensation=Request(release_stock, success=StockReleased),
            deadline=TWO_CRASHES + MARGIN,
        ),
        Step(
            "authorize_payment",
            action=Request(authorize_payment, success=PaymentAuthorized, failure=PaymentDeclined),
            compensation=Request(void_payment, success=PaymentVoided),
            deadline=TWO_CRASHES + GATEWAY_HARD_TIMEOUT + MARGIN,
        ),
        Step(  # The pivot: nothing compensates it, so its deadline resends.
            "capture_payment",
            action=Request(capture_payment, success=PaymentCaptured),
            deadline=TWO_CRASHES + GATEWAY_HARD_TIMEOUT + MARGIN,
        ),
    ],
    on_completed=confirm_order,
    on_compensated=reject_order,
)
