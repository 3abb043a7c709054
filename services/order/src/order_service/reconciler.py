"""Asks payment and catalog, in lots, whether money and copies are where orders' outcomes say.

Guarantee: every settled order is asked about once, after a grace age, within five minutes of it.
Payment compares with the gateway, catalog with its reservations; both repair, and the answers only
have to be recorded. So the copies of an order are sold, too, whose OrderConfirmed was lost.
"""

import asyncio
import logging
import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import uuid_utils
from sqlalchemy import Interval, bindparam, func, select, update
from sqlalchemy.dialects.postgresql import ARRAY, UUID

from batching import Prepared
from contracts.models.catalog import ReconcileStock
from contracts.models.common import PaymentExpectation, StockExpectation
from contracts.models.payment import ReconcilePayments
from messaging import Outbox, Sender, interruptible_sleep
from order_service.domain import OrderStatus
from order_service.store import ORDERS

log = logging.getLogger(__name__)

# ReconcilePayments and ReconcileStock take a hundred expectations.
LOT = 100
# What each outcome expects of the money and of the copies.
_EXPECTED = {
    OrderStatus.CONFIRMED: ("captured", "sold"),
    OrderStatus.REJECTED: ("voided", "released"),
    OrderStatus.CANCELLED: ("refunded", "restocked"),
}

_due = (
    select(ORDERS.c.order_id, ORDERS.c.payment_id, ORDERS.c.status)
    .where(
        ORDERS.c.reconciled_at.is_(None),
        ORDERS.c.status.in_([str(status) for status in _EXPECTED]),
        ORDERS.c.updated_at < func.now() - bindparam("grace", type_=Interval),
    )
    # Of about the same time, so that the gateway can list their payments at once.
    .order_by(ORDERS.c.created_at)
    .limit(LOT)
    .with_for_update(skip_locked=True)
)

_ids = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
_asked = Prepared(
    update(ORDERS).where(ORDERS.c.order_id == func.any(_ids)).values(reconciled_at=func.now())
)


class Reconciler:
    """Sweeps settled orders; several may run."""

    def __init__(
        self, outbox: Outbox, sender: Sender, *, interval_seconds: float, grace_seconds: float
    ) -> None:
        self._outbox = outbox
        self._sender = sender
        self._interval_seconds = interval_seconds
        self._grace = timedelta(seconds=grace_seconds)
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep until `stop`."""
        while not self._stopping.is_set():
            pause = self._interval_seconds * random.uniform(0.75, 1.0)
            await interruptible_sleep(pause, self._stopping)
            try:
                while not self._stopping.is_set() and await self.sweep() == LOT:
                    pass
            except Exception:
                log.warning("reconciliation failed and will be repeated", exc_info=True)

    def stop(self) -> None:
        """Let `run` return after the sweep under way."""
        self._stopping.set()

    async def sweep(self) -> int:
        """Ask about one lot of orders; how many it was."""
        async with self._outbox.transaction() as transaction:
            rows = list(await transaction.connection.execute(_due, {"grace": self._grace}))
            if not rows:
                return 0
            await _asked(transaction.connection, {"ids": [row.order_id for row in rows]})
            transaction.send(
                [
                    self._sender.envelope(
                        command,
                        cause=command.batch_id,
                        subject=command.batch_id,
                        correlation_id=command.batch_id,
                    )
                    for command in _questions(rows)
                ]
            )
        return len(rows)


def _questions(rows: Sequence[Any]) -> tuple[ReconcilePayments, ReconcileStock]:
    """What these orders ask payment and catalog."""
    batch_id = str(uuid_utils.uuid7())
    payments, stock = [], []
    for row in rows:
        order_id = str(row.order_id)
        money, copies = _EXPECTED[OrderStatus(row.status)]
        payments.append(
            PaymentExpectation.model_validate(
                {"order_id": order_id, "payment_id": str(row.payment_id), "expected": money}
            )
        )
        stock.append(StockExpectation.model_validate({"order_id": order_id, "expected": copies}))
    return (
        ReconcilePayments(batch_id=batch_id, expectations=payments),
        ReconcileStock(batch_id=batch_id, expectations=stock),
    )
