"""The API's documents, and the validation of what comes in.

Guarantee: what passes here can be stored, published and shown; the limits are the contract's.
"""

import unicodedata
from typing import Annotated, Any, Literal

from pydantic import (
    MISSING,
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
)

from catalog_service.domain import derived_book_id, isbn13_is_valid
from catalog_service.listing import Book, Entry, Listed, Listing
from chassis import UUID_PATTERN
from contracts import or_none
from contracts.models.common import Money

MAX_BATCH_BOOKS = 500
MAX_INITIAL_STOCK = 1_000_000


def _printable(text: str) -> str:
    """No control characters: they break terminals, logs and CSV files downstream."""
    for character in text:
        if unicodedata.category(character) == "Cc":
            raise ValueError(f"control character U+{ord(character):04X} is not allowed")
    return text


def _checked_isbn(isbn: str) -> str:
    if not isbn13_is_valid(isbn):
        raise ValueError("no ISBN-13: prefix 978 or 979 and the check digit must be right")
    return isbn


def _text(max_length: int) -> Any:
    return StringConstraints(
        strict=True, strip_whitespace=True, min_length=1, max_length=max_length
    )


Printable = AfterValidator(_printable)
Id = Annotated[str, StringConstraints(strict=True, pattern=UUID_PATTERN)]
Isbn = Annotated[
    str,
    StringConstraints(strict=True, min_length=13, max_length=13, pattern="^[0-9]{13}$"),
    AfterValidator(_checked_isbn),
]
Author = Annotated[str, _text(300), Printable]
Subject = Annotated[str, _text(200), Printable]


class BookDescription(BaseModel):
    """What input and view share."""

    model_config = ConfigDict(frozen=True)

    isbn: Isbn | MISSING = MISSING
    title: Annotated[str, _text(500), Printable]
    authors: list[Author] = Field(min_length=1, max_length=100)
    subjects: list[Subject] = Field(max_length=100)
    language: Annotated[
        str,
        StringConstraints(
            strict=True, min_length=2, max_length=35, pattern="^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$"
        ),
    ]
    year: Annotated[StrictInt, Field(ge=-4000, le=2200)] | MISSING = MISSING
    price: Money


class BookInput(BookDescription):
    """A book to list or revise."""

    model_config = ConfigDict(extra="forbid")

    book_id: Id | MISSING = MISSING
    initial_stock: Annotated[StrictInt, Field(ge=0, le=MAX_INITIAL_STOCK)] | MISSING = MISSING

    def listing(self, book_id: str | None = None) -> Listing:
        """The listing that this asks for; without any id the book gets one from its data."""
        isbn, year = or_none(self.isbn), or_none(self.year)
        book_id = book_id or or_none(self.book_id)
        return Listing(
            Book(
                book_id=book_id or derived_book_id(isbn, self.title, self.authors, year),
                isbn=isbn,
                title=self.title,
                authors=self.authors,
                subjects=self.subjects,
                language=self.language,
                year=year,
                price_minor=self.price.amount_minor,
                currency=self.price.currency,
            ),
            initial_stock=or_none(self.initial_stock) or 0,
        )


class BookView(BookDescription):
    """A book as it is offered, with its stock."""

    book_id: Id
    available: int = Field(ge=0, description="Copies on hand that are not reserved.")
    version: int = Field(ge=1, description="Grows with each change of the book.")
    stock_version: int = Field(ge=1, description="Grows with each change of the stock.")


class BookPage(BaseModel):
    """One page of books."""

    books: list[BookView]
    next_cursor: str | MISSING = Field(default=MISSING, description="Absent on the last page.")


# Documented as a BookInput, taken as it comes.
RawBook = Annotated[Any, WithJsonSchema({"$ref": "#/components/schemas/BookInput"})]


class BatchRequest(BaseModel):
    """Books to list or revise; each is validated by itself, so they arrive here as they came."""

    books: list[RawBook] = Field(min_length=1, max_length=MAX_BATCH_BOOKS)


class BatchEntry(BaseModel):
    """What became of one book of a batch."""

    index: int = Field(ge=0, le=MAX_BATCH_BOOKS - 1, description="Place in the request.")
    book_id: Id | MISSING = MISSING
    outcome: Literal["created", "updated", "unchanged", "rejected"]
    error: str | MISSING = Field(default=MISSING, description="Why the book was rejected.")


class BatchResult(BaseModel):
    """One entry for each book, in the order of the request."""

    results: list[BatchEntry]


class StockCensus(BaseModel):
    """For every book, received = on_hand + reserved + sold."""

    books: int = Field(ge=0)
    on_hand: int = Field(ge=0)
    reserved: int = Field(ge=0)
    sold: int = Field(ge=0)
    received: int = Field(ge=0)
    unbalanced: int = Field(ge=0, description="Books for which it does not hold.")


def parse_book(raw: Any) -> Listing | str:
    """A book of a batch, or what is wrong with it."""
    try:
        return BookInput.model_validate(raw).listing()
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        shown = "; ".join(f"{_path(fault['loc'])}: {fault['msg']}" for fault in faults[:3])
        return shown if len(faults) <= 3 else f"{shown}; and {len(faults) - 3} more"


def _path(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place) or "book"


def view(listed: Listed) -> dict[str, Any]:
    """A BookView as JSON data; what is not known of a book is absent."""
    book = listed.book
    document: dict[str, Any] = {
        "book_id": book.book_id,
        "title": book.title,
        "authors": book.authors,
        "subjects": book.subjects,
        "language": book.language,
        "price": {"amount_minor": book.price_minor, "currency": book.currency},
        "available": listed.available,
        "version": listed.version,
        "stock_version": listed.stock_version,
    }
    if book.isbn is not None:
        document["isbn"] = book.isbn
    if book.year is not None:
        document["year"] = book.year
    return document


def entry_view(index: int, entry: Entry) -> dict[str, Any]:
    """A BatchEntry as JSON data."""
    document: dict[str, Any] = {"index": index, "outcome": str(entry.outcome)}
    if entry.listed is not None:
        document["book_id"] = entry.listed.book.book_id
    if entry.error is not None:
        document["error"] = entry.error
    return document
