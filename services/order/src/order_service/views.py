"""What clients see of an order.

Guarantee: optional fields are absent, never null; no payment data beyond its id.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from chassis import UUID_PATTERN, Count, View
from contracts.models.common import Money, OrderLine
from order_service.domain import OrderStatus
from sagas import Instance

Id = Annotated[str, Field(pattern=UUID_PATTERN)]
CustomerId = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")]


class TimelineEntry(View):
    """One thing that happened: when, in which saga and step, by which message of which service."""

    at: datetime
    saga: Literal["place_order", "cancel_order"]
    event: Literal[
        "sent", "sent_again", "received", "deadline_passed", "completed", "compensated", "parked"
    ]
    step: str | None = None
    message: str | None = None
    service: str | None = None
    sent_at: datetime | None = None


class ShipmentView(View):
    """How far an order's parcel has come: `dispatched` or `delivered`."""

    shipment_id: Id
    status: str
    tracking_code: str
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None


class OrderView(View):
    """An order. `timeline` and `shipment` are there when a single order is asked for."""

    order_id: Id
    customer_id: CustomerId
    status: OrderStatus
    reason: str | None = None
    detail: str | None = None
    payment_id: Id
    lines: list[OrderLine]
    total: Money
    created_at: datetime | None = None
    updated_at: datetime | None = None
    shipment: ShipmentView | None = None
    timeline: list[TimelineEntry] | None = None


class OrderPage(View):
    """A page of orders; `next_cursor` is absent on the last."""

    orders: list[OrderView]
    next_cursor: str | None = None


class SagaCounts(View):
    """Instances of one saga by status."""

    running: Count
    compensating: Count
    completed: Count
    compensated: Count
    parked: Count


class SagaCensus(View):
    """Instances by saga."""

    place_order: SagaCounts
    cancel_order: SagaCounts


def view_of(
    row: Any,
    timeline: list[TimelineEntry] | None = None,
    shipment: ShipmentView | None = None,
) -> OrderView:
    """The view of a stored order."""
    return OrderView(
        order_id=str(row.order_id),
        customer_id=row.customer_id,
        status=OrderStatus(row.status),
        reason=row.reason,
        detail=row.detail,
        payment_id=str(row.payment_id),
        lines=row.lines,
        total=Money(amount_minor=row.total_minor, currency=row.currency),
        created_at=getattr(row, "created_at", None),
        updated_at=getattr(row, "updated_at", None),
        shipment=shipment,
        timeline=timeline,
    )


def shipment_of(steps: Sequence[Any]) -> ShipmentView | None:
    """How far a parcel has come, from its steps in their order; None before the first."""
    if not steps:
        return None
    at = {step.status: step.happened_at for step in steps}
    return ShipmentView(
        shipment_id=str(steps[-1].shipment_id),
        status="delivered" if "delivered" in at else "dispatched",
        tracking_code=steps[-1].tracking_code,
        dispatched_at=at.get("dispatched"),
        delivered_at=at.get("delivered"),
    )


def timeline_of(instances: Iterable[Instance]) -> list[TimelineEntry]:
    """What happened to an order, in the order in which its sagas saw it."""
    return [
        TimelineEntry.model_validate({**entry, "saga": instance.saga})
        for instance in instances
        for entry in instance.history
    ]
