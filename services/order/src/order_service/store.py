"""Orders and their sagas in PostgreSQL.

Guarantee: an order's row, its saga's row and the messages of both change in one transaction.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    MetaData,
    Table,
    Text,
    bindparam,
    func,
    null,
    select,
    tuple_,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import BulkInsert, BulkUpdate, Prepared
from contracts.models.fulfillment import ShipmentDelivered, ShipmentDispatched
from messaging import Attempt, Envelope, Outbox, Sender, Work, messaging_tables
from order_service.domain import Order, OrderStatus, settlement
from sagas import Advance, Instance, Orchestrator, saga_table

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
SAGAS_TABLE = saga_table(METADATA)
ORDERS = Table(
    "orders",
    METADATA,
    Column("order_id", UUID(as_uuid=False), primary_key=True),
    Column("customer_id", Text, nullable=False),
    Column("payment_id", UUID(as_uuid=False), nullable=False, unique=True),
    Column("payment_method", Text, nullable=False),
    Column("lines", JSONB, nullable=False),
    Column("total_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    Column("fingerprint", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("detail", Text),
    Column("reconciled_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("total_minor > 0", name="orders_total_positive"),
    CheckConstraint(
        "status IN ('pending', 'confirmed', 'rejected', 'cancelling', 'cancelled')",
        name="orders_status_known",
    ),
)
# The number of each customer's latest contact; the contact itself stands in the outbox only.
CONTACTS = Table(
    "contacts",
    METADATA,
    Column("customer_id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
)
# What became of an order's parcel. Each step is a row of its own, so it does not matter which of
# two events comes first.
SHIPMENT_EVENTS = Table(
    "shipment_events",
    METADATA,
    Column("order_id", UUID(as_uuid=False), primary_key=True),
    Column("status", Text, primary_key=True),
    Column("shipment_id", UUID(as_uuid=False), nullable=False),
    Column("tracking_code", Text, nullable=False),
    Column("happened_at", DateTime(timezone=True), nullable=False),
)
# For erasing contacts; no other message is ever looked for by its subject.
Index(
    "outbox_contacts",
    TABLES.outbox.c.subject,
    postgresql_where=TABLES.outbox.c.type == "ContactProvided",
)
Index("orders_of_customer", ORDERS.c.customer_id, ORDERS.c.created_at, ORDERS.c.order_id)
Index("orders_by_age", ORDERS.c.created_at, ORDERS.c.order_id)

_FIELDS = (
    "order_id", "customer_id", "payment_id", "payment_method", "lines", "total_minor", "currency",
    "fingerprint", "status", "reason", "detail",
)  # fmt: skip
_insert = BulkInsert(ORDERS, _FIELDS, skip_existing=True, returning="order_id")
_settle = BulkUpdate(
    ORDERS,
    key=["order_id"],
    columns=["status", "reason", "detail"],
    # A new outcome is reconciled anew.
    computed={"updated_at": lambda _: func.now(), "reconciled_at": lambda _: null()},
)
_insert_shipment_events = BulkInsert(
    SHIPMENT_EVENTS,
    ["order_id", "status", "shipment_id", "tracking_code", "happened_at"],
    skip_existing=True,
)
_shipment = (
    select(SHIPMENT_EVENTS)
    .where(SHIPMENT_EVENTS.c.order_id == bindparam("order"))
    .order_by(SHIPMENT_EVENTS.c.happened_at)
)
_found = select(ORDERS).where(ORDERS.c.order_id == bindparam("order"))
_locked = _found.with_for_update()
_ids = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
_settled = Prepared(
    select(ORDERS).where(
        ORDERS.c.order_id == func.any(_ids),
        *(ORDERS.c.status != str(status) for status in OrderStatus if not status.is_settled),
    )
)


async def insert_orders(connection: AsyncConnection, orders: Sequence[Order]) -> set[str]:
    """Write new orders; the ids of those that did not exist yet."""
    # In one order everywhere: two lots that share a key then wait instead of deadlocking.
    orders = sorted(orders, key=lambda order: order.order_id)
    rows = [{name: getattr(order, name) for name in _FIELDS} for order in orders]
    rows = [{**row, "status": str(row["status"])} for row in rows]
    return {str(order_id) for order_id in await _insert(connection, rows)}


async def settle_orders(connection: AsyncConnection, instances: Sequence[Instance]) -> None:
    """Follow sagas that have ended with their orders' state."""
    ended = [found for found in map(settlement, instances) if found is not None]
    # By order id: workers that settle the same orders lock them in the same order.
    rows = [
        {
            "order_id": s.order_id,
            "status": str(s.status),
            "reason": s.reason,
            "detail": s.detail,
        }
        for s in sorted(ended, key=lambda s: s.order_id)
    ]
    await _settle(connection, rows)


async def find_order(connection: AsyncConnection, order_id: str, *, lock: bool = False) -> Any:
    """The order's row, or None; locked until the transaction ends if asked to."""
    statement = _locked if lock else _found
    return (await connection.execute(statement, {"order": order_id})).one_or_none()


async def find_shipment(connection: AsyncConnection, order_id: str) -> list[Any]:
    """The steps of the order's parcel, in their order; none before it has left."""
    return list(await connection.execute(_shipment, {"order": order_id}))


async def set_status(connection: AsyncConnection, order_id: str, status: OrderStatus) -> None:
    """Move a locked order."""
    await connection.execute(
        update(ORDERS)
        .where(ORDERS.c.order_id == order_id)
        .values(status=str(status), reason=None, detail=None, updated_at=func.now())
    )


async def settled_orders(engine: AsyncEngine, order_ids: Iterable[str]) -> list[Any]:
    """The rows of those of these orders that are settled, in one statement."""
    async with engine.connect() as connection:
        return await _settled(connection, {"ids": list(order_ids)})


async def list_orders(
    engine: AsyncEngine,
    *,
    customer_id: str | None,
    status: OrderStatus | None,
    before: tuple[Any, str] | None,
    limit: int,
) -> list[Any]:
    """Orders, newest first, from below the (created_at, order_id) that a page ended with."""
    statement = select(ORDERS).order_by(ORDERS.c.created_at.desc(), ORDERS.c.order_id.desc())
    if customer_id is not None:
        statement = statement.where(ORDERS.c.customer_id == customer_id)
    if status is not None:
        statement = statement.where(ORDERS.c.status == str(status))
    if before is not None:
        statement = statement.where(tuple_(ORDERS.c.created_at, ORDERS.c.order_id) < before)
    async with engine.connect() as connection:
        return list(await connection.execute(statement.limit(limit)))


def order_of(row: Any) -> Order:
    """The order that a row holds."""
    return Order(
        **{name: getattr(row, name) for name in _FIELDS if name not in ("order_id", "status")},
        order_id=str(row.order_id),
        status=OrderStatus(row.status),
    )


class OrderWork(Work):
    """One reply's view of the sagas: it moves the instance that the reply answers."""

    def __init__(self, message: Envelope, sender: Sender, batch: "OrderUnitOfWork") -> None:
        super().__init__(message, sender)
        self._batch = batch

    def move_saga(self, reply: Any) -> None:
        """Advance the saga that waits for this reply; a stale reply moves nothing."""
        self.outgoing.extend(self._batch.move(self.message, reply))

    def note_shipment(
        self, status: str, at: datetime, event: ShipmentDispatched | ShipmentDelivered
    ) -> None:
        """Remember how far the order's parcel has come."""
        self._batch.shipment_events.append(
            {
                "order_id": event.order_id,
                "status": status,
                "shipment_id": event.shipment_id,
                "tracking_code": event.tracking_code,
                "happened_at": at,
            }
        )


class OrderUnitOfWork:
    """The saga instances that a batch of replies moves."""

    def __init__(self, orchestrator: Orchestrator, sender: Sender) -> None:
        self._orchestrator = orchestrator
        self._sender = sender
        self._instances: dict[tuple[str, str], Instance] = {}
        self._moved: dict[tuple[str, str], Instance] = {}
        self.shipment_events: list[dict[str, Any]] = []

    def work(self, message: Envelope) -> OrderWork:
        """One reply's view."""
        return OrderWork(message, self._sender, self)

    async def load(
        self, connection: AsyncConnection, attempts: Sequence[Attempt[OrderWork]]
    ) -> None:
        """Lock the instances of all the batch's orders."""
        if attempts:
            ids = {attempt.message.subject for attempt in attempts}
            self._instances = await self._orchestrator.store.lock(connection, ids)

    def move(self, message: Envelope, reply: Any) -> list[Envelope]:
        """What the instance has to say to this reply."""
        key = (self._orchestrator.saga_of(reply), message.subject)
        before = self._instances.get(key)
        if before is None:
            return []
        moved: Advance = self._orchestrator.on_reply(before, message, reply)
        if moved.instance is not before:
            # Two replies in one batch move it twice, and it is saved once.
            self._instances[key] = self._moved[key] = moved.instance
        return self._orchestrator.envelopes(moved, causation_id=message.id)

    async def flush(self, connection: AsyncConnection) -> None:
        """Save what moved, the orders whose saga ended with it, and what became of parcels."""
        moved = [self._moved[key] for key in sorted(self._moved)]
        await self._orchestrator.store.save(connection, moved)
        await settle_orders(connection, moved)
        # In one order everywhere, as the others.
        events = sorted(self.shipment_events, key=lambda e: (e["order_id"], e["status"]))
        await _insert_shipment_events(connection, events)


class Placements:
    """Writes new orders and their sagas, as many in one transaction as are being placed at once."""

    def __init__(self, outbox: Outbox, orchestrator: Orchestrator) -> None:
        self._outbox = outbox
        self._orchestrator = orchestrator

    async def write(self, items: list[tuple[Order, Instance, list[Envelope]]]) -> list[bool]:
        """True for each order that was new; an order that existed is left as it is."""
        async with self._outbox.transaction() as transaction:
            new = await insert_orders(transaction.connection, [order for order, _, _ in items])
            results, fresh = [], []
            for order, instance, messages in items:
                is_new = order.order_id in new
                new.discard(order.order_id)  # The same key twice in one lot is one order.
                results.append(is_new)
                if is_new:
                    fresh.append(instance)
                    transaction.send(messages)
            await self._orchestrator.store.insert(transaction.connection, fresh)
        return results
