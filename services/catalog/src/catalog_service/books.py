"""Books in SQL: listed in bulk, read one by one or by the page.

Guarantee: a request's books and the events about them commit together, in four statements at most
however many books there are; only books that changed are written and published.
"""

import logging
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Integer, bindparam, func, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.types import Text

from batching import BulkInsert, BulkUpdate
from catalog_service.domain import Level
from catalog_service.listing import Book, Listed, Listing, Plan, plan
from catalog_service.tables import BOOKS
from contracts import or_missing
from contracts.models import common
from contracts.models.catalog import BookListed, BookRevised, StockLevelChanged
from messaging import Envelope, Outbox, Sender

log = logging.getLogger(__name__)

# Two requests that list the same new books at the same time make one of them start over; losing
# this often in a row takes as many others.
ATTEMPTS = 5
# serialization_failure, deadlock_detected, unique_violation (PostgreSQL, appendix A)
_LOST_RACE = frozenset({"40001", "40P01", "23505"})

_DESCRIPTION = [
    "isbn", "title", "authors", "subjects", "language", "year", "price_minor", "currency",
]  # fmt: skip
_LISTED = select(
    BOOKS.c.book_id,
    *(BOOKS.c[name] for name in _DESCRIPTION),
    BOOKS.c.version,
    BOOKS.c.on_hand,
    BOOKS.c.stock_version,
)
_LOCK = (
    _LISTED.where(
        or_(
            BOOKS.c.book_id == func.any(bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))),
            BOOKS.c.isbn == func.any(bindparam("isbns", type_=ARRAY(Text()))),
        )
    )
    .order_by(BOOKS.c.book_id)
    .with_for_update()
)
_FIND = _LISTED.where(BOOKS.c.book_id == bindparam("id", type_=UUID(as_uuid=False)))
_FIRST_PAGE = _LISTED.order_by(BOOKS.c.book_id).limit(bindparam("count", type_=Integer))
_NEXT_PAGE = _FIRST_PAGE.where(BOOKS.c.book_id > bindparam("after", type_=UUID(as_uuid=False)))
_INSERT = BulkInsert(
    BOOKS,
    ["book_id", *_DESCRIPTION, "version", "on_hand", "reserved", "sold", "received",
     "stock_version"],
    skip_existing=True,
    returning="book_id",
)  # fmt: skip
_UPDATE = BulkUpdate(
    BOOKS,
    key=["book_id"],
    columns=[*_DESCRIPTION, "version"],
    computed={"revised_at": lambda _: func.now()},
)


class LostRace(Exception):
    """Others kept listing the same books at the same time."""


class Books:
    """The catalog's books."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox, sender: Sender) -> None:
        self._engine = engine
        self._outbox = outbox
        self._sender = sender

    async def put(self, listings: Sequence[Listing]) -> Plan:
        """List or revise books; raises LostRace if others kept doing the same."""
        for _ in range(ATTEMPTS):
            try:
                return await self._put(listings)
            except _Overtaken:
                continue
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) not in _LOST_RACE:
                    raise
                log.info("a listing lost a race and starts over: %s", error.orig)
        raise LostRace

    async def _put(self, listings: Sequence[Listing]) -> Plan:
        ids = sorted({listing.book.book_id for listing in listings})
        isbns = sorted({listing.book.isbn for listing in listings if listing.book.isbn})
        async with self._outbox.transaction() as transaction:
            rows = await transaction.connection.execute(_LOCK, {"ids": ids, "isbns": isbns})
            found = plan(listings, {row.book_id: _listed(row) for row in rows})
            created = [found.created[book_id] for book_id in sorted(found.created)]
            revised = [found.revised[book_id] for book_id in sorted(found.revised)]
            inserted = await _INSERT(transaction.connection, [_new_row(each) for each in created])
            if len(inserted) != len(created):
                raise _Overtaken
            await _UPDATE(transaction.connection, [_row(each) for each in revised])
            transaction.send(self._events(created, revised))
        return found

    def _events(self, created: Sequence[Listed], revised: Sequence[Listed]) -> list[Envelope]:
        correlation_id = str(uuid.uuid4())

        def envelope(event: BookListed | BookRevised | StockLevelChanged, book_id: str) -> Envelope:
            return self._sender.envelope(
                event,
                cause=f"book/{book_id}/{event.version}",
                subject=book_id,
                correlation_id=correlation_id,
            )

        events = [
            envelope(BookListed(book=_contract(each.book), version=each.version), each.book.book_id)
            for each in created
        ]
        events += [
            envelope(
                BookRevised(book=_contract(each.book), version=each.version), each.book.book_id
            )
            for each in revised
        ]
        # A book is taken to be there in plenty unless it is said to be scarce.
        events += [
            envelope(
                StockLevelChanged(book_id=each.book.book_id, available=each.available, version=1),
                each.book.book_id,
            )
            for each in created
            if Level.of(each.available) is not Level.PLENTY
        ]
        return events

    async def find(self, book_id: str) -> Listed | None:
        """One book as it is now."""
        async with self._engine.connect() as connection:
            row = (await connection.execute(_FIND, {"id": book_id})).one_or_none()
        return _listed(row) if row is not None else None

    async def page(self, count: int, after: str | None) -> list[Listed]:
        """Up to `count` books in the order of their ids, from behind the id `after`."""
        async with self._engine.connect() as connection:
            if after is None:
                rows = await connection.execute(_FIRST_PAGE, {"count": count})
            else:
                rows = await connection.execute(_NEXT_PAGE, {"count": count, "after": after})
            return [_listed(row) for row in rows]


class _Overtaken(Exception):
    """A book that was not there when it was looked for is there now."""


def _listed(row: Any) -> Listed:
    return Listed(
        Book(*row[:9]),
        version=row.version,
        available=row.on_hand,
        stock_version=row.stock_version,
    )


def _row(listed: Listed) -> dict[str, Any]:
    book = listed.book
    return {
        "book_id": book.book_id,
        "isbn": book.isbn,
        "title": book.title,
        "authors": list(book.authors),
        "subjects": list(book.subjects),
        "language": book.language,
        "year": book.year,
        "price_minor": book.price_minor,
        "currency": book.currency,
        "version": listed.version,
    }


def _new_row(listed: Listed) -> dict[str, Any]:
    stock = {"on_hand": listed.available, "received": listed.available}
    return {**_row(listed), **stock, "reserved": 0, "sold": 0, "stock_version": 1}


def _contract(book: Book) -> common.Book:
    """The book as messages show it; built without a second validation of valid data."""
    return common.Book.model_construct(
        book_id=book.book_id,
        isbn=or_missing(book.isbn),
        title=book.title,
        authors=[common.Author.model_construct(author) for author in book.authors],
        subjects=[common.Subject.model_construct(subject) for subject in book.subjects],
        language=book.language,
        year=or_missing(book.year),
        price=common.Money.model_construct(amount_minor=book.price_minor, currency=book.currency),
    )
