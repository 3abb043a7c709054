"""What order asks of the replies that move its sagas, of the reports of reconciliation, and of the
parcel that it only shows.

Guarantee: each example moves a real saga that waits for it, or is recorded.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from prometheus_client import REGISTRY

from bookstore_world.customer import Customer
from faults.stage import Process
from order_service.app import SERVICE
from order_service.orders import Orders
from order_service.store import ORDERS
from order_service.views import OrderView

from .asks import (
    BATCH_ID,
    ORDER_ID,
    PAYMENT_ID,
    SHIPMENT_ID,
    Ask,
    a_code,
    a_count,
    a_moment,
    an_id,
    any_of,
    customer,
    money,
    one_of,
    text_like,
)
from .scene import Detail, MemoryScene, play_in_memory, says

T = TypeVar("T")

# Longer than the payment's deadline (120 s) and a sweep.
DEADLINE_SECONDS = 150.0
_SETTINGS = {"deadline_sweep_seconds": 20}
_PROCESSES = (Process(SERVICE, "web", settings=_SETTINGS), Process(SERVICE, settings=_SETTINGS))

_ORDER = {"order_id": an_id(ORDER_ID)}
_PAYMENT = {**_ORDER, "payment_id": an_id(PAYMENT_ID)}
_STOCK_REASONS = one_of("out_of_stock", "unknown_book", "price_changed", "released")
_PAYMENT_REASONS = one_of(
    "card_declined", "insufficient_funds", "expired_card", "authentication_required",
    "processing_error", "voided",
)  # fmt: skip
_REPAIR = {**_ORDER, "found": a_code("held"), "action": a_code("sold")}
_PAYMENT_REPAIR = {**_PAYMENT, "found": a_code("authorized"), "action": a_code("captured")}
_PARCEL = {
    **_ORDER,
    "shipment_id": an_id(SHIPMENT_ID),
    "customer_id": customer(),
    "tracking_code": text_like("BK7Q2M9X4T1C", "^[A-Z0-9]{8,32}$"),
}
_REPORT = {"batch_id": an_id(BATCH_ID), "matched": a_count(1)}

_RESERVED = ("the order is placed", "StockReserved")
_CONFIRMED = (*_RESERVED, "PaymentAuthorized", "PaymentCaptured")
_REFUNDING = (*_CONFIRMED, "the order is cancelled")


class OrderScene(MemoryScene):
    """One order of one customer; catalog and payment are the test's."""

    order_id = ""

    async def the_order_is_placed(self) -> None:
        """The customer orders, and the saga asks for stock."""
        self._repairs = dict(_repairs())
        self.order_id = await Customer(self.stage).place("key", card="pm_card_visa")

    async def the_order_is_cancelled(self) -> None:
        """The customer cancels, and the saga asks for the refund."""
        await Customer(self.stage).cancel(self.order_id)

    async def nobody_answers(self) -> None:
        """The deadline of the step under way passes."""
        await asyncio.sleep(DEADLINE_SECONDS)

    def fill_in(self, detail: Detail) -> Detail:
        """The example's ids stand for those of the order."""
        if not self.order_id:
            return detail
        row = self.order
        text = json.dumps(detail).replace(ORDER_ID, str(row["order_id"]))
        filled: Detail = json.loads(text.replace(PAYMENT_ID, str(row["payment_id"])))
        return filled

    @property
    def order(self) -> Mapping[str, Any]:
        """The order's row."""
        (row,) = self.stage.databases["order"].rows(ORDERS)
        return row

    def recorded(self, what: str) -> bool:
        """Whether a repair was counted meanwhile."""
        return any(
            number > self._repairs.get(key, 0)
            for key, number in _repairs().items()
            if key[0] == what
        )

    async def shipment_status(self) -> str | None:
        """What customers are shown of the parcel's way."""

        async def ask(orders: Orders) -> OrderView:
            return await orders.view(self.order_id)

        view: OrderView = await self.stage.ask("order-web", ask)
        return view.shipment.status if view.shipment else None


def _repairs() -> Mapping[tuple[str, str], float]:
    return {
        (sample.labels["what"], sample.labels["action"]): sample.value
        for metric in REGISTRY.collect()
        if metric.name == "reconciliation_repairs"
        for sample in metric.samples
        if sample.name.endswith("_total")
    }


async def _is_on_its_way(scene: OrderScene) -> bool:
    return await scene.shipment_status() == "dispatched"


async def _has_arrived(scene: OrderScene) -> bool:
    return await scene.shipment_status() == "delivered"


def _refused(scene: OrderScene) -> bool:
    return (scene.order["status"], scene.order["reason"]) == ("confirmed", "refund_failed")


ASKS = (
    Ask(
        "StockReserved",
        {**_ORDER, "reserved_until": a_moment()},
        given=_RESERVED[:1],
        shows=says("AuthorizePayment"),
    ),
    Ask(
        "StockUnavailable",
        {**_ORDER, "reason": _STOCK_REASONS},
        given=_RESERVED[:1],
        shows=says("OrderRejected"),
    ),
    Ask(
        "StockReleased",
        _ORDER,
        given=(*_RESERVED, "PaymentDeclined"),
        shows=says("OrderRejected"),
    ),
    Ask(
        "ItemsRestocked",
        _ORDER,
        given=(*_REFUNDING, "PaymentRefunded"),
        shows=says("OrderCancelled"),
    ),
    Ask(
        "StockReconciled",
        {**_REPORT, "repaired": any_of(_REPAIR)},
        given=_RESERVED[:1],
        shows=lambda scene: scene.recorded("stock"),
    ),
    Ask(
        "PaymentAuthorized",
        {**_PAYMENT, "amount": money()},
        given=_RESERVED,
        shows=says("CapturePayment"),
    ),
    Ask(
        "PaymentDeclined",
        {**_PAYMENT, "reason": _PAYMENT_REASONS},
        given=_RESERVED,
        shows=says("ReleaseStock"),
    ),
    Ask(
        "PaymentVoided",
        _PAYMENT,
        given=(*_RESERVED, "nobody answers"),
        shows=says("ReleaseStock"),
    ),
    Ask(
        "PaymentCaptured",
        {**_PAYMENT, "amount": money()},
        given=_CONFIRMED[:-1],
        shows=says("OrderConfirmed"),
    ),
    Ask(
        "PaymentRefunded",
        {**_PAYMENT, "amount": money()},
        given=_REFUNDING,
        shows=says("RestockItems"),
    ),
    Ask("PaymentRefundFailed", _PAYMENT, given=_REFUNDING, shows=_refused),
    Ask(
        "PaymentsReconciled",
        {**_REPORT, "repaired": any_of(_PAYMENT_REPAIR)},
        given=_RESERVED[:1],
        shows=lambda scene: scene.recorded("payment"),
    ),
    Ask(
        "ShipmentDispatched",
        {**_PARCEL, "dispatched_at": a_moment()},
        given=_CONFIRMED,
        shows=_is_on_its_way,
    ),
    Ask(
        "ShipmentDelivered",
        {**_PARCEL, "delivered_at": a_moment()},
        given=(*_CONFIRMED, "ShipmentDispatched"),
        shows=_has_arrived,
    ),
)


async def play(script: Callable[[OrderScene], Awaitable[T]], examples: Mapping[str, Detail]) -> T:
    """Run a script on a scene of its own."""
    return play_in_memory(lambda loop: OrderScene(loop, "order", _PROCESSES, examples), script)
