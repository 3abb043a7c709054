"""An order: what it holds, and where it may go.

Guarantee: no I/O; an order moves only along the arrows below, and its end is final.

    PENDING --completed--> CONFIRMED --cancel--> CANCELLING --completed--> CANCELLED
       |                      ^                       |
       +--compensated-->      +------compensated------+   (the gateway refused the refund)
          REJECTED
"""

import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import uuid_utils
from pydantic import BaseModel, ConfigDict

from contracts.models.common import Money, OrderLine
from sagas import Instance, Status

MAX_TOTAL_MINOR = 9_999_999_999
_NAMESPACE = uuid_utils.UUID("b5b1c0a4-0f0e-5a53-8d35-0a6f6d1f2c11")


class OrderStatus(enum.StrEnum):
    """Where an order stands."""

    PENDING = "pending"
    CONFIRMED = "confirmed"
    REJECTED = "rejected"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"

    @property
    def is_settled(self) -> bool:
        """Nothing is under way for the order."""
        return self not in (OrderStatus.PENDING, OrderStatus.CANCELLING)

    @property
    def was_confirmed(self) -> bool:
        """A parcel may be on its way, or have been."""
        return self not in (OrderStatus.PENDING, OrderStatus.REJECTED)


class Refused(Exception):
    """A request that the business refuses; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class PlaceOrder(BaseModel):
    """What the place_order saga knows."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    customer_id: str
    payment_id: str
    payment_method: str
    lines: list[OrderLine]
    total: Money


class CancelOrder(BaseModel):
    """What the cancel_order saga knows."""

    model_config = ConfigDict(frozen=True)

    order_id: str
    customer_id: str
    payment_id: str
    total: Money


@dataclass(frozen=True, slots=True)
class Order:
    """One order as stored."""

    order_id: str
    customer_id: str
    payment_id: str
    payment_method: str
    lines: Sequence[dict[str, Any]]
    total_minor: int
    currency: str
    fingerprint: str
    status: OrderStatus = OrderStatus.PENDING
    reason: str | None = None
    detail: str | None = None


def place(
    *,
    customer_id: str,
    lines: Sequence[OrderLine],
    payment_method: str,
    idempotency_key: str | None = None,
) -> tuple[Order, PlaceOrder]:
    """A new order and its saga's data; raises Refused.

    With an idempotency key the ids are derived from it, so that the same request can never become
    two orders, whatever is lost between the key's record and the order's row.
    """
    currencies = {line.unit_price.currency for line in lines}
    if len(currencies) != 1:
        raise Refused(
            "mixed_currencies",
            f"An order has one currency; this one has {', '.join(sorted(currencies))}.",
        )
    total_minor = sum(line.quantity * line.unit_price.amount_minor for line in lines)
    if total_minor > MAX_TOTAL_MINOR:
        raise Refused("total_too_large", f"An order may come to {MAX_TOTAL_MINOR} minor units.")
    if total_minor == 0:
        raise Refused("total_zero", "An order that costs nothing cannot be paid for.")
    order_id = order_id_for(customer_id, idempotency_key)
    payment_id = str(uuid_utils.uuid5(_NAMESPACE, f"payment/{order_id}"))
    currency = currencies.pop()
    documents = [line.model_dump(mode="json") for line in lines]
    order = Order(
        order_id=order_id,
        customer_id=customer_id,
        payment_id=payment_id,
        payment_method=payment_method,
        lines=documents,
        total_minor=total_minor,
        currency=currency,
        fingerprint=_fingerprint(customer_id, documents, payment_method),
    )
    data = PlaceOrder(
        order_id=order_id,
        customer_id=customer_id,
        payment_id=payment_id,
        payment_method=payment_method,
        lines=list(lines),
        total=Money(amount_minor=total_minor, currency=currency),
    )
    return order, data


def order_id_for(customer_id: str, idempotency_key: str | None) -> str:
    """A time-ordered id, or one derived from the customer's key."""
    if idempotency_key is None:
        return str(uuid_utils.uuid7())
    return str(uuid_utils.uuid5(_NAMESPACE, f"order/{customer_id}/{idempotency_key}"))


def cancellation(order: Order) -> CancelOrder:
    """The cancel_order saga's data; raises Refused where there is nothing to cancel."""
    if order.status is not OrderStatus.CONFIRMED:
        raise Refused(*_WHY_NOT_CANCELLABLE[order.status])
    if order.reason == "refund_failed":
        raise Refused("refund_failed", "The gateway refused the refund; a human has to look at it.")
    return CancelOrder(
        order_id=order.order_id,
        customer_id=order.customer_id,
        payment_id=order.payment_id,
        total=Money(amount_minor=order.total_minor, currency=order.currency),
    )


_WHY_NOT_CANCELLABLE = {
    OrderStatus.PENDING: (
        "order_pending",
        "The order is still being placed; cancel it once it is confirmed.",
    ),
    OrderStatus.REJECTED: (
        "order_rejected",
        "The order was rejected, so there is nothing to cancel.",
    ),
    OrderStatus.CANCELLING: ("cancellation_in_progress", "The order is being cancelled already."),
    OrderStatus.CANCELLED: ("order_already_cancelled", "The order is cancelled already."),
}


@dataclass(frozen=True, slots=True)
class Settlement:
    """What a saga's end means for its order."""

    order_id: str
    status: OrderStatus
    reason: str | None
    detail: str | None


def settlement(instance: Instance) -> Settlement | None:
    """The order's new state once its saga has ended; None while it goes on."""
    if not instance.status.is_final:
        return None
    refusal = instance.refusal or {}
    completed = instance.status is Status.COMPLETED
    status = {
        ("place_order", True): OrderStatus.CONFIRMED,
        ("place_order", False): OrderStatus.REJECTED,
        ("cancel_order", True): OrderStatus.CANCELLED,
        ("cancel_order", False): OrderStatus.CONFIRMED,
    }[(instance.saga, completed)]
    reason = None if completed else str(refusal.get("reason", "refund_failed"))
    return Settlement(instance.id, status, reason, refusal.get("detail"))


def _fingerprint(customer_id: str, lines: list[dict[str, Any]], payment_method: str) -> str:
    document = orjson.dumps([customer_id, lines, payment_method], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(document).hexdigest()
