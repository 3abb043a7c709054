"""Stock and reservations in SQL: locked in a fixed order, changed in memory, written in bulk.

Guarantee: whoever changes stock locks first the reservations by order id, then the books by book
id, so that concurrent batches wait for each other and neither oversell nor deadlock. A batch takes
the same number of statements however many messages are in it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Integer, bindparam, func, select
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import BulkInsert, BulkUpdate, Prepared
from catalog_service.domain import Level, Refusal, Reservation, Status, Stock
from catalog_service.tables import BOOKS, RESERVATIONS
from contracts.models.catalog import ReconcileStock, StockLevelChanged
from messaging import Attempt, Conflict, Envelope, Sender, Work

_IDS = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
_RESERVATION = select(
    RESERVATIONS.c.order_id,
    RESERVATIONS.c.status,
    RESERVATIONS.c.copies,
    RESERVATIONS.c.refusal,
    RESERVATIONS.c.expires_at,
)
_LOCK_RESERVATIONS = Prepared(
    _RESERVATION.where(RESERVATIONS.c.order_id == func.any(_IDS))
    .order_by(RESERVATIONS.c.order_id)
    .with_for_update()
)
_LOCK_EXPIRED = Prepared(
    _RESERVATION.where(RESERVATIONS.c.expires_at <= func.now())
    .order_by(RESERVATIONS.c.expires_at)
    .limit(bindparam("lot", type_=Integer))
    .with_for_update(skip_locked=True)
)
_LOCK_BOOKS = Prepared(
    select(
        BOOKS.c.book_id,
        BOOKS.c.price_minor,
        BOOKS.c.currency,
        BOOKS.c.on_hand,
        BOOKS.c.reserved,
        BOOKS.c.sold,
        BOOKS.c.received,
        BOOKS.c.stock_version,
        func.now().label("now"),
    )
    .where(BOOKS.c.book_id == func.any(_IDS))
    .order_by(BOOKS.c.book_id)
    .with_for_update()
)
_RESERVED = ["order_id", "status", "copies", "refusal", "expires_at"]
_INSERT_RESERVATIONS = BulkInsert(RESERVATIONS, _RESERVED, skip_existing=True, returning="order_id")
_UPDATE_RESERVATIONS = BulkUpdate(
    RESERVATIONS,
    key=["order_id"],
    columns=_RESERVED[1:],
    computed={"updated_at": lambda _: func.now()},
)
_UPDATE_STOCK = BulkUpdate(
    BOOKS, key=["book_id"], columns=["on_hand", "reserved", "sold", "stock_version"]
)


class StockRoom:
    """The locked reservations and books of one transaction, and what became of them."""

    def __init__(self) -> None:
        self.now: datetime | None = None
        self._reservations: dict[str, Reservation] = {}
        self._stocks: dict[str, Stock] = {}
        self._levels: dict[str, Level] = {}
        self._opened: dict[str, Reservation] = {}
        self._moved: dict[str, Reservation] = {}
        self._changed: dict[str, Stock] = {}

    def stock(self, book_id: str) -> Stock | None:
        """A locked book's stock; None when there is no such book."""
        return self._stocks.get(book_id)

    def reservation(self, order_id: str) -> Reservation | None:
        """An order's reservation, locked; None when there is none."""
        return self._reservations.get(order_id)

    def open(self, reservation: Reservation) -> None:
        """Keep a new reservation."""
        self._reservations[reservation.order_id] = reservation
        self._opened[reservation.order_id] = reservation
        if reservation.status is Status.HELD:
            self._touch(reservation)

    def moved(self, reservation: Reservation) -> None:
        """Keep a change of a reservation that was there."""
        if reservation.order_id not in self._opened:
            self._moved[reservation.order_id] = reservation
        self._touch(reservation)

    def _touch(self, reservation: Reservation) -> None:
        for book_id in reservation.copies:
            if (stock := self._stocks.get(book_id)) is not None:
                self._changed[book_id] = stock

    async def lock(
        self, connection: AsyncConnection, order_ids: Iterable[str], book_ids: Iterable[str]
    ) -> None:
        """Lock these orders' reservations, then these books and those that the orders hold."""
        found = await _LOCK_RESERVATIONS(connection, {"ids": sorted(set(order_ids))})
        self._keep(found)
        await self._lock_books(connection, book_ids)

    async def lock_expired(self, connection: AsyncConnection, lot: int) -> list[Reservation]:
        """Lock up to `lot` holds whose time is up, and their books; skips what others work on."""
        self._keep(await _LOCK_EXPIRED(connection, {"lot": lot}))
        await self._lock_books(connection, ())
        return list(self._reservations.values())

    def _keep(self, rows: Iterable[Any]) -> None:
        for row in rows:
            refusal = Refusal(**row.refusal) if row.refusal is not None else None
            self._reservations[row.order_id] = Reservation(
                row.order_id, Status(row.status), row.copies, row.expires_at, refusal
            )

    async def _lock_books(self, connection: AsyncConnection, book_ids: Iterable[str]) -> None:
        wanted = set(book_ids)
        for reservation in self._reservations.values():
            wanted.update(reservation.copies)
        if not wanted:
            return
        for row in await _LOCK_BOOKS(connection, {"ids": sorted(wanted)}):
            self.now = row.now
            self._stocks[row.book_id] = Stock(*row[:8])
            self._levels[row.book_id] = Level.of(row.on_hand)

    async def write(self, connection: AsyncConnection) -> list[str]:
        """Write what changed; the ids of the books that did. Raises Conflict.

        A conflict is an order that someone else opened meanwhile: there was no row to lock yet.
        """
        rows = [_row(self._opened[order_id]) for order_id in sorted(self._opened)]
        if len(await _INSERT_RESERVATIONS(connection, rows)) != len(rows):
            raise Conflict("a reservation")
        await _UPDATE_RESERVATIONS(connection, [_row(r) for r in self._moved.values()])
        stocks = [self._changed[book_id] for book_id in sorted(self._changed)]
        for stock in stocks:
            stock.version += 1
        await _UPDATE_STOCK(
            connection,
            [
                {
                    "book_id": stock.book_id,
                    "on_hand": stock.on_hand,
                    "reserved": stock.reserved,
                    "sold": stock.sold,
                    "stock_version": stock.version,
                }
                for stock in stocks
            ],
        )
        return [stock.book_id for stock in stocks]

    def level_changes(self) -> list[StockLevelChanged]:
        """One event for each book whose level is another than before; call it after `write`."""
        return [
            StockLevelChanged(book_id=book_id, available=stock.on_hand, version=stock.version)
            for book_id, stock in sorted(self._changed.items())
            if Level.of(stock.on_hand) is not self._levels[book_id]
        ]


def _row(reservation: Reservation) -> dict[str, Any]:
    refusal = reservation.refusal
    return {
        "order_id": reservation.order_id,
        "status": str(reservation.status),
        "copies": dict(reservation.copies),
        "refusal": asdict(refusal) if refusal is not None else None,
        "expires_at": reservation.expires_at,
    }


class StockWork(Work):
    """One message's view of the batch's stock room."""

    def __init__(self, message: Envelope, sender: Sender, room: StockRoom, hold: timedelta) -> None:
        super().__init__(message, sender)
        self.room = room
        self._hold = hold

    @property
    def hold_until(self) -> datetime:
        """When a hold taken now expires, by the database's clock."""
        # Only an order whose books were all found gets a hold, and finding one tells the time.
        assert self.room.now is not None
        return self.room.now + self._hold


class StockUnitOfWork:
    """A batch's stock: locked once, changed by the handlers, written once.

    `on_changed(message_id, book_ids)` hears, before the commit, which books a batch changes; the
    message is one of the batch.
    """

    def __init__(
        self, sender: Sender, hold: timedelta, on_changed: Callable[[str, Sequence[str]], None]
    ) -> None:
        self._sender = sender
        self._hold = hold
        self._on_changed = on_changed
        self._room = StockRoom()
        self._works: list[StockWork] = []

    def work(self, message: Envelope) -> StockWork:
        work = StockWork(message, self._sender, self._room, self._hold)
        self._works.append(work)
        return work

    async def load(
        self, connection: AsyncConnection, attempts: Sequence[Attempt[StockWork]]
    ) -> None:
        payloads = [attempt.payload for attempt in attempts]
        if not payloads:
            return
        await self._room.lock(
            connection,
            [order_id for payload in payloads for order_id in _orders_of(payload)],
            [line.book_id for payload in payloads for line in getattr(payload, "lines", ())],
        )

    async def flush(self, connection: AsyncConnection) -> None:
        changed = await self._room.write(connection)
        if not changed:
            return
        last = self._works[-1]
        for event in self._room.level_changes():
            last.publish(event, subject=event.book_id)
        self._on_changed(last.message.id, changed)


def _orders_of(payload: Any) -> list[str]:
    """The orders that a message is about."""
    if isinstance(payload, ReconcileStock):
        return [expectation.order_id for expectation in payload.expectations]
    return [payload.order_id]


async def stock_census(engine: AsyncEngine) -> Mapping[str, int]:
    """The balance sheet over all books; `unbalanced` counts those that do not add up."""
    adds_up = BOOKS.c.on_hand + BOOKS.c.reserved + BOOKS.c.sold == BOOKS.c.received
    sums = [
        func.coalesce(func.sum(BOOKS.c[name]), 0).label(name)
        for name in ("on_hand", "reserved", "sold", "received")
    ]
    statement = select(
        func.count().label("books"), *sums, func.count().filter(~adds_up).label("unbalanced")
    ).select_from(BOOKS)
    async with engine.connect() as connection:
        row = (await connection.execute(statement)).one()
    return {name: int(value) for name, value in row._mapping.items()}
