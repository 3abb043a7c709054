"""Asks payment, in lots, whether the money of settled orders is where their outcome says.

Guarantee: every settled order is asked about once, after a grace age, within five minutes of it.
Payment compares with the gateway and repairs both ways; the answer only has to be recorded.
"""

import asyncio
import logging
import random
from datetime import timedelta

import uuid_utils
from sqlalchemy import func, select, update

from contracts.models.common import PaymentExpectation
from contracts.models.payment import ReconcilePayments
from messaging import Outbox, Sender, interruptible_sleep
from order_service.domain import OrderStatus
from order_service.store import ORDERS

log = logging.getLogger(__name__)

# ReconcilePayments takes a hundred expectations.
LOT = 100
_EXPECTED = {
    OrderStatus.CONFIRMED: "captured",
    OrderStatus.REJECTED: "voided",
    OrderStatus.CANCELLED: "refunded",
}


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
        due = (
            select(ORDERS.c.order_id, ORDERS.c.payment_id, ORDERS.c.status)
            .where(
                ORDERS.c.reconciled_at.is_(None),
                ORDERS.c.status.in_([str(status) for status in _EXPECTED]),
                ORDERS.c.updated_at < func.now() - self._grace,
            )
            # Of about the same time, so that the gateway can list their payments at once.
            .order_by(ORDERS.c.created_at)
            .limit(LOT)
            .with_for_update(skip_locked=True)
        )
        async with self._outbox.transaction() as transaction:
            rows = list(await transaction.connection.execute(due))
            if not rows:
                return 0
            await transaction.connection.execute(
                update(ORDERS)
                .where(ORDERS.c.order_id.in_([row.order_id for row in rows]))
                .values(reconciled_at=func.now())
            )
            batch_id = str(uuid_utils.uuid7())
            command = ReconcilePayments(
                batch_id=batch_id,
                expectations=[
                    PaymentExpectation.model_validate(
                        {
                            "order_id": str(row.order_id),
                            "payment_id": str(row.payment_id),
                            "expected": _EXPECTED[OrderStatus(row.status)],
                        }
                    )
                    for row in rows
                ],
            )
            transaction.send(
                [
                    self._sender.envelope(
                        command, cause=batch_id, subject=batch_id, correlation_id=batch_id
                    )
                ]
            )
        return len(rows)
