"""Orders follow their parcels, whichever event comes first and however often."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from contracts.models.fulfillment import ShipmentDelivered, ShipmentDispatched
from messaging import Envelope, Outbox, Sender, Transactions, dispatcher
from order_service.handlers import ROUTES, SAGAS
from order_service.store import METADATA, SAGAS_TABLE, TABLES, OrderUnitOfWork, find_shipment
from order_service.views import ShipmentView, shipment_of
from sagas import Orchestrator, SagaStore

LEFT = datetime(2026, 1, 15, 16, 5, tzinfo=UTC)
ARRIVED = LEFT + timedelta(days=2)
ORDER, SHIPMENT = str(uuid.uuid4()), str(uuid.uuid4())
FULFILLMENT = Sender("fulfillment")


def told(name: str) -> Envelope:
    """An event about the one parcel, as fulfillment sends it."""
    parcel = {
        "order_id": ORDER,
        "shipment_id": SHIPMENT,
        "customer_id": "customer-42",
        "tracking_code": "BK7Q2M9X4T1C",
    }
    payload = (
        ShipmentDispatched(**parcel, dispatched_at=LEFT)
        if name == "dispatched"
        else ShipmentDelivered(**parcel, delivered_at=ARRIVED)
    )
    return FULFILLMENT.envelope(payload, cause=ORDER, subject=ORDER, correlation_id=ORDER)


class Desk:
    """The order service's handlers over one database."""

    def __init__(self, engine: Any) -> None:
        self._engine = engine
        sender = Sender("order")
        orchestrator = Orchestrator(SAGAS, SagaStore(SAGAS_TABLE), sender)
        transactions = Transactions(
            outbox=Outbox(engine, TABLES, lambda _: None),
            tables=TABLES,
            unit_of_work=lambda: OrderUnitOfWork(orchestrator, sender),
        )
        self.handle: Callable[[Envelope], Awaitable[bool]] = dispatcher(ROUTES, transactions)

    async def shown(self) -> ShipmentView | None:
        async with self._engine.connect() as connection:
            return shipment_of(await find_shipment(connection, ORDER))


@pytest.fixture
async def desk(either_database: Any) -> Desk:
    return Desk(await either_database(METADATA))


async def test_order_has_no_parcel_before_it_has_left(desk: Desk) -> None:
    assert await desk.shown() is None


async def test_dispatched_parcel_is_shown_with_its_tracking_code(desk: Desk) -> None:
    await desk.handle(told("dispatched"))
    assert await desk.shown() == ShipmentView(
        shipment_id=SHIPMENT,
        status="dispatched",
        tracking_code="BK7Q2M9X4T1C",
        dispatched_at=LEFT,
    )


@pytest.mark.parametrize(
    "events", [*permutations(["dispatched", "delivered"]), ["delivered", "dispatched", "delivered"]]
)
async def test_parcel_ends_as_delivered_in_whatever_order_it_is_told(
    desk: Desk, events: list[str]
) -> None:
    for event in events:
        await desk.handle(told(event))
    shown = await desk.shown()
    assert shown is not None
    assert (shown.status, shown.dispatched_at, shown.delivered_at) == ("delivered", LEFT, ARRIVED)


async def test_copy_of_an_event_changes_nothing(desk: Desk) -> None:
    assert await desk.handle(told("dispatched")) is True
    before = await desk.shown()
    assert await desk.handle(told("dispatched")) is False
    assert await desk.shown() == before
