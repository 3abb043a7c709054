"""What the order service does on messages: every reply moves the saga that waits for it, and orders
show how far their parcels have come.

Guarantee: a reply that nobody waits for any more changes nothing.
"""

import logging
from typing import Any

from prometheus_client import Counter

from contracts.models.catalog import StockReconciled
from contracts.models.common import PaymentRepair, StockRepair
from contracts.models.fulfillment import ShipmentDelivered, ShipmentDispatched
from contracts.models.payment import PaymentsReconciled
from messaging import Route
from order_service.cancel_order_saga import CANCEL_ORDER
from order_service.place_order_saga import PLACE_ORDER
from order_service.store import OrderWork
from sagas import Saga

log = logging.getLogger(__name__)

REPAIRED = Counter(
    "reconciliation_repairs_total", "What reconciliation had to repair", ["what", "action"]
)


def move_saga(reply: Any, work: OrderWork) -> None:
    """Advance the order's saga; what it says next leaves with the same commit."""
    work.move_saga(reply)


def show_dispatch(event: ShipmentDispatched, work: OrderWork) -> None:
    """The parcel is on its way."""
    work.note_shipment("dispatched", event.dispatched_at, event)


def show_delivery(event: ShipmentDelivered, work: OrderWork) -> None:
    """The parcel has arrived."""
    work.note_shipment("delivered", event.delivered_at, event)


def record_payments(report: PaymentsReconciled, work: OrderWork) -> None:
    """Payments that had to be repaired are a bug somewhere, or a human's doing: say so loudly."""
    for repair in report.repaired:
        _record("payment", report.batch_id, repair)


def record_stock(report: StockReconciled, work: OrderWork) -> None:
    """So are copies that were not where the order's outcome wants them."""
    for repair in report.repaired:
        _record("stock", report.batch_id, repair)


def _record(what: str, batch_id: str, repair: PaymentRepair | StockRepair) -> None:
    REPAIRED.labels(what, repair.action).inc()
    log.error(
        "reconciliation %s of the %s of order %s: found %s, did %s",
        batch_id,
        what,
        repair.order_id,
        repair.found,
        repair.action,
    )


SAGAS: list[Saga[Any]] = [PLACE_ORDER, CANCEL_ORDER]
ROUTES = [
    *(Route(reply, move_saga) for saga in SAGAS for reply in saga.replies),
    Route(PaymentsReconciled, record_payments),
    Route(StockReconciled, record_stock),
    Route(ShipmentDispatched, show_dispatch),
    Route(ShipmentDelivered, show_delivery),
]
