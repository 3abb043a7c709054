"""The cancel_order saga: give the money back, then put the books back.

Guarantee: the stock returns only after the money has; a refused refund leaves the order confirmed.
"""

from contracts.models.catalog import ItemsRestocked, RestockItems
from contracts.models.order import OrderCancelled
from contracts.models.payment import PaymentRefunded, PaymentRefundFailed, RefundPayment
from order_service.domain import CancelOrder
from order_service.place_order_saga import GATEWAY_HARD_TIMEOUT, MARGIN, TWO_CRASHES
from sagas import Refusal, Request, Saga, Step


def refund_payment(order: CancelOrder) -> RefundPayment:
    return RefundPayment(order_id=order.order_id, payment_id=order.payment_id)


def restock_items(order: CancelOrder) -> RestockItems:
    return RestockItems(order_id=order.order_id)


def announce_cancellation(order: CancelOrder) -> OrderCancelled:
    return OrderCancelled(
        order_id=order.order_id, customer_id=order.customer_id, refunded=order.total
    )


def keep_order(order: CancelOrder, refusal: Refusal) -> None:
    """The order stays confirmed, so there is nothing to announce; the order's row says why."""


CANCEL_ORDER = Saga(
    name="cancel_order",
    version=1,
    data=CancelOrder,
    steps=[
        Step(  # The pivot: once the money is back there is no way but forward.
            "refund_payment",
            action=Request(refund_payment, success=PaymentRefunded, failure=PaymentRefundFailed),
            deadline=TWO_CRASHES + GATEWAY_HARD_TIMEOUT + MARGIN,
        ),
        Step(
            "restock_items",
            action=Request(restock_items, success=ItemsRestocked),
            deadline=TWO_CRASHES + MARGIN,
        ),
    ],
    on_completed=announce_cancellation,
    on_compensated=keep_order,
)
