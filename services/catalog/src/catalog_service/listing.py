"""What listing books does to the catalog, pure.

Guarantee: one book's fault is its own; the same listing again changes and publishes nothing.
"""

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace


class Outcome(enum.StrEnum):
    """What became of one book of a request."""

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True)
class Book:
    """A book as it is offered; the price in minor units, a year before the common era negative."""

    book_id: str
    isbn: str | None
    title: str
    authors: Sequence[str]
    subjects: Sequence[str]
    language: str
    year: int | None
    price_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Listed:
    """A book and the copies that can be ordered, each with its own version."""

    book: Book
    version: int
    available: int
    stock_version: int = 1


@dataclass(frozen=True, slots=True)
class Listing:
    """A valid request to offer a book; `initial_stock` counts on the first listing only."""

    book: Book
    initial_stock: int


@dataclass(frozen=True, slots=True)
class Entry:
    """The answer to one listing."""

    outcome: Outcome
    listed: Listed | None = None
    error: str | None = None


@dataclass(slots=True)
class Plan:
    """What to write for a request, and what to answer to each of its listings."""

    entries: list[Entry] = field(default_factory=list)
    created: dict[str, Listed] = field(default_factory=dict)
    revised: dict[str, Listed] = field(default_factory=dict)


def plan(listings: Iterable[Listing], existing: Mapping[str, Listed]) -> Plan:
    """Decide in the order of the request, each listing on what those before it left.

    `existing`, by book id, holds the stored books that share an id or an ISBN with the request. An
    ISBN that a book gives up is free for others from the next request on, since the database
    checks uniqueness row by row, in no order that could be relied upon.
    """
    result = Plan()
    now: dict[str, Listed] = dict(existing)
    owners = {each.book.isbn: book_id for book_id, each in now.items() if each.book.isbn}
    for listing in listings:
        book = listing.book
        owner = owners.get(book.isbn) if book.isbn is not None else None
        if owner is not None and owner != book.book_id:
            error = f"isbn: {book.isbn} belongs to book {owner} already"
            result.entries.append(Entry(Outcome.REJECTED, error=error))
            continue
        before = now.get(book.book_id)
        if before is None:
            outcome = Outcome.CREATED
            listed = Listed(book, version=1, available=listing.initial_stock)
            result.created[book.book_id] = listed
        elif before.book == book:
            outcome, listed = Outcome.UNCHANGED, before
        else:
            outcome = Outcome.UPDATED
            listed = replace(before, book=book, version=before.version + 1)
            kept = result.created if book.book_id in result.created else result.revised
            kept[book.book_id] = listed
        now[book.book_id] = listed
        if book.isbn is not None:
            owners[book.isbn] = book.book_id
        result.entries.append(Entry(outcome, listed))
    return result
