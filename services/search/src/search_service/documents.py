"""What the index keeps of a book, and what a change makes of it.

Guarantee: a book and its stock have versions of their own, so that either may come first, and of
several changes of one of them only the newest counts.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import orjson

from search_service.index import Book, BookChange, Change, Hit, PriceBand

UNKNOWN = -1  # The version of what has not come yet.


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of one book id; without `book` only its stock is, and nobody finds it."""

    book_id: str
    book: Book | None = None
    version: int = UNKNOWN
    available: int = 0
    stock_version: int = UNKNOWN

    def after(self, change: Change) -> "Record":
        """The record with the change in it; whether it is news its user has seen to."""
        if isinstance(change, BookChange):
            return replace(self, book=change.book, version=change.version)
        return replace(self, available=change.available, stock_version=change.version)

    def hit(self, score: float = 0.0, highlights: dict[str, str] | None = None) -> Hit:
        """The record as a result; only for one that has a book."""
        assert self.book is not None
        return Hit(self.book, self.available, score, highlights or {})

    def to_json(self) -> bytes:
        """What `from_json` reads."""
        return orjson.dumps(self)

    @classmethod
    def from_json(cls, document: bytes) -> "Record":
        """Raises ValueError or KeyError for what `to_json` did not write."""
        fields = orjson.loads(document)
        return cls(**{**fields, "book": fields["book"] and book_from(fields["book"])})


def book_from(fields: dict[str, object]) -> Book:
    """A book from its fields as JSON has them."""
    return Book(
        **{
            **fields,
            "authors": tuple(fields["authors"]),  # type: ignore[arg-type]
            "subjects": tuple(fields["subjects"]),  # type: ignore[arg-type]
        }
    )


def book_id_of(change: Change) -> str:
    """The id of the book that the change is about."""
    return change.book.book_id if isinstance(change, BookChange) else change.book_id


def newest(changes: Iterable[Change]) -> dict[tuple[str, bool], Change]:
    """Of the changes of one book, or of its stock, the newest; the first among equal versions."""
    kept: dict[tuple[str, bool], Change] = {}
    for change in changes:
        slot = (book_id_of(change), isinstance(change, BookChange))
        if slot not in kept or kept[slot].version < change.version:
            kept[slot] = change
    return kept


def language_of(tag: str) -> str:
    """The language of a BCP 47 tag, whatever the region: 'en' of 'en-US'."""
    return tag.partition("-")[0].lower()


def decade_of(year: int | None) -> int | None:
    """1813 is of 1810, -375 of -380: a decade is ten years from its name on."""
    return None if year is None else year // 10 * 10


def price_band_of(price_minor: int) -> PriceBand:
    """The band whose lower bound the price has reached last."""
    if price_minor < 1000:
        return PriceBand.UNDER_10
    if price_minor < 2000:
        return PriceBand.FROM_10_TO_20
    return PriceBand.FROM_20_TO_50 if price_minor < 5000 else PriceBand.FROM_50
