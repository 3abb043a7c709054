"""The catalog's messages.

Guarantee: a command gets the same answer however often and in whatever order it comes; what can
never be right (a sold order to be released) becomes a dead letter with the reason.
"""

import logging
from collections.abc import Sequence

from catalog_service import domain
from catalog_service.domain import Line, Refusal, StockRefused
from catalog_service.store import StockWork
from contracts import or_missing
from contracts.models.catalog import (
    ItemsRestocked,
    ReconcileStock,
    ReleaseStock,
    ReserveStock,
    RestockItems,
    StockReconciled,
    StockReleased,
    StockReserved,
    StockUnavailable,
)
from contracts.models.common import OrderLine, StockRepair
from contracts.models.order import OrderConfirmed
from messaging import Route

log = logging.getLogger(__name__)


def reserve_stock(command: ReserveStock, work: StockWork) -> None:
    """Set all copies of the order aside, or none."""
    reservation = work.room.reservation(command.order_id)
    if reservation is None:
        reservation = domain.reserve(
            command.order_id, _lines(command.lines), work.room, lambda: work.hold_until
        )
        work.room.open(reservation)
    refusal = domain.answer_again(reservation)
    if refusal is not None:
        work.reply(_unavailable(command.order_id, refusal))
    else:
        until = reservation.expires_at or work.hold_until
        work.reply(StockReserved(order_id=command.order_id, reserved_until=until))


def release_stock(command: ReleaseStock, work: StockWork) -> None:
    """Give the order's copies back, or see to it that it never gets any."""
    reservation = work.room.reservation(command.order_id)
    if reservation is None:
        work.room.open(domain.tombstone(command.order_id))
    elif domain.release(reservation, work.room):
        work.room.moved(reservation)
    work.reply(StockReleased(order_id=command.order_id))


def sell_stock(event: OrderConfirmed, work: StockWork) -> None:
    """The order is paid: its copies are sold."""
    reservation = work.room.reservation(event.order_id)
    if reservation is None:
        # An order is confirmed after its StockReserved, which committed with the reservation.
        raise StockRefused(f"order {event.order_id} is confirmed, but was never reserved")
    if domain.sell(reservation, domain.copies_of(_lines(event.lines)), work.room):
        work.room.moved(reservation)


def restock_items(command: RestockItems, work: StockWork) -> None:
    """The order is cancelled: its copies are for sale again."""
    reservation = work.room.reservation(command.order_id)
    if reservation is None:
        # Only a confirmed order can be cancelled, and that one has a reservation (see above).
        raise StockRefused(f"order {command.order_id} is to be restocked, but was never reserved")
    if domain.restock(reservation, work.room):
        work.room.moved(reservation)
    work.reply(ItemsRestocked(order_id=command.order_id))


def reconcile_stock(command: ReconcileStock, work: StockWork) -> None:
    """Compare what orders expect with their reservations, and repair what differs."""
    expected = {each.order_id: each.expected for each in command.expectations}
    repaired = []
    for order_id, state in expected.items():
        reservation = work.room.reservation(order_id)
        found = str(reservation.status) if reservation is not None else "missing"
        done = domain.reconcile(reservation, state, work.room)
        if done is None:
            continue
        if reservation is not None and done != "none":
            work.room.moved(reservation)
        log.warning("order %s should be %s, was %s: %s", order_id, state, found, done)
        repaired.append(StockRepair(order_id=order_id, found=found, action=done))
    work.reply(
        StockReconciled(
            batch_id=command.batch_id, matched=len(expected) - len(repaired), repaired=repaired
        )
    )


def _lines(lines: Sequence[OrderLine]) -> list[Line]:
    return [
        Line(line.book_id, line.quantity, line.unit_price.amount_minor, line.unit_price.currency)
        for line in lines
    ]


def _unavailable(order_id: str, refusal: Refusal) -> StockUnavailable:
    return StockUnavailable(
        order_id=order_id,
        reason=refusal.reason,
        book_id=or_missing(refusal.book_id),
        detail=or_missing(refusal.detail),
    )


ROUTES = [
    Route(ReserveStock, reserve_stock),
    Route(ReleaseStock, release_stock),
    Route(OrderConfirmed, sell_stock),
    Route(RestockItems, restock_items),
    Route(ReconcileStock, reconcile_stock),
]
