"""From rows to the books that are sent: validate, identify, find duplicates.

Guarantee: the same file gives the same books, so importing it again changes nothing. Every row ends
up as a book or as a RowError, and no two books of one file are the same book.

What makes two rows the same book: the `source_id` if it is a UUID, else the ISBN, else title,
authors and year, together with the `source_id` where the file has one. Numbers alone would not do,
since two files number different books alike; nor would the title, since a file may hold two
editions of one work in the same year. Without a `source_id` the catalog derives the book's id from
the ISBN, or from title, authors and year, in the same way.
"""

import hashlib
import unicodedata
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bookstore.catalog_import import values
from bookstore.catalog_import.columns import Columns
from bookstore.catalog_import.errors import RowError
from bookstore.catalog_import.isbn import is_spreadsheet_float, to_isbn13
from bookstore.catalog_import.rows import Row
from bookstore.catalog_import.values import BadValueError

BookInput = dict[str, Any]  # The body of the catalog's `BookInput`.
Remark = tuple[str, str]  # What a good row lacks: its kind, and why if that is worth a line.

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:bookstore:catalog-import")


@dataclass(frozen=True, slots=True)
class Book:
    """A row to send; `identity` is what makes it the same book as another row."""

    line: int
    body: BookInput
    identity: tuple[str, ...]


@dataclass(slots=True)
class Books:
    """All books of one file, and what is to be said about its rows."""

    books: list[Book] = field(default_factory=list)
    errors: list[RowError] = field(default_factory=list)
    notes: Counter[str] = field(default_factory=Counter)  # 'isbn missing' -> 700


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a row means that says nothing: its currency, and whether a price may be made up."""

    currency: str = "EUR"
    require_price: bool = False


def collect_books(rows: Iterable[Row | RowError], columns: Columns, defaults: Defaults) -> Books:
    """Of rows that are the same book the first is taken; the later are errors ('duplicate')."""
    collected = Books()
    first_lines: dict[tuple[str, ...], int] = {}
    for row in rows:
        if isinstance(row, RowError):
            collected.errors.append(row)
            continue
        remarks: list[Remark] = []
        try:
            book = _book(row, columns, defaults, remarks)
        except BadValueError as error:
            collected.errors.append(RowError(row.line, str(error)))
            continue
        if book.identity in first_lines:
            first = first_lines[book.identity]
            why = f"duplicate: {_shared(book)} as line {first}; skipped, the first one counts"
            collected.errors.append(RowError(row.line, why, "duplicate"))
            continue
        first_lines[book.identity] = row.line
        collected.books.append(book)
        collected.notes.update(kind for kind, _ in remarks)
        collected.errors += [RowError(row.line, why, "warning") for _, why in remarks if why]
    return collected


def _book(row: Row, columns: Columns, defaults: Defaults, remarks: list[Remark]) -> Book:
    def cell(name: str) -> Any:
        cells = (row.values.get(column) for column in columns.get(name, ()))
        return next((value for value in cells if value not in (None, "", [])), None)

    body: BookInput = {
        "title": values.title(cell("title")),
        "authors": values.authors(cell("authors")),
        "subjects": values.subjects(cell("subjects")),
    }
    source_id = values.text(cell("source_id"), "source_id")
    if (isbn := _isbn(row, columns, remarks)) is not None:
        body["isbn"] = isbn
    body["language"] = _language(cell("language"), remarks)
    if (year := values.year(cell("year"))) is not None:
        body["year"] = year
    price = _price(cell("price"), cell("price_minor"), cell("currency"), defaults)
    stock = values.stock(cell("stock"))
    identity = _identity(body, source_id)
    draw = _draw(identity)
    if price is None and defaults.require_price:
        raise BadValueError("has no price")
    if price is None:
        price = (499 + 100 * (draw % 30) + 50 * (draw // 30 % 2), defaults.currency)
    if stock is None and not defaults.require_price:
        stock = 5 + draw // 60 % 96
    body["price"] = {"amount_minor": price[0], "currency": price[1]}
    if stock is not None:
        body["initial_stock"] = stock
    if identity[0] == "book_id":
        body["book_id"] = identity[1]
    elif identity[0] == "numbered work":
        body["book_id"] = str(uuid.uuid5(_NAMESPACE, "\n".join(identity[1:])))
    return Book(row.line, body, identity)


def _identity(body: BookInput, source_id: str) -> tuple[str, ...]:
    """What makes two rows the same book; case and compatibility forms make no difference."""
    if (book_id := _as_uuid(source_id)) is not None:
        return ("book_id", book_id)
    if "isbn" in body:
        return ("isbn", body["isbn"])
    words = [body["title"], *body["authors"], str(body.get("year", ""))]
    folded = [unicodedata.normalize("NFKC", word).casefold() for word in words]
    return ("numbered work", *folded, source_id) if source_id else ("work", *folded)


def _isbn(row: Row, columns: Columns, remarks: list[Remark]) -> str | None:
    """The first valid ISBN among the row's ISBN columns; a missing or a wrong one is only noted."""
    cells = [
        line
        for column in columns.get("isbn", ())
        if (line := values.text(row.values.get(column), "isbn")) and not is_spreadsheet_float(line)
    ]
    isbn = next((isbn for isbn in map(to_isbn13, cells) if isbn), None)
    if isbn is None and cells:
        remarks.append(("isbn invalid", f"isbn {cells[-1][:20]!r} is not valid; imported without"))
    elif isbn is None and "isbn" in columns:
        remarks.append(("isbn missing", ""))
    return isbn


def _language(value: Any, remarks: list[Remark]) -> str:
    try:
        return values.language(value)
    except BadValueError as error:
        remarks.append(("language unknown", f"{error}; imported as 'und'"))
        return values.UNDETERMINED_LANGUAGE


def _price(major: Any, minor: Any, code: Any, defaults: Defaults) -> tuple[int, str] | None:
    if isinstance(major, dict):  # The catalog's own form: {"amount_minor": 1299, "currency": "EUR"}
        major, minor, code = None, major.get("amount_minor"), major.get("currency", code)
    currency = values.currency(code, defaults.currency)
    amount = values.price_minor(minor)
    return values.price(major, currency) if amount is None else (amount, currency)


def _draw(identity: tuple[str, ...]) -> int:
    """A number that looks random and is the same on every run."""
    return int.from_bytes(hashlib.sha256("\n".join(identity).encode()).digest()[:8], "big")


def _shared(book: Book) -> str:
    match book.identity[0]:
        case "work":
            return "same title, authors and year"
        case "numbered work":
            return "same title, authors, year and source_id"
        case kind:
            return f"same {kind} {book.identity[1]}"


def _as_uuid(source_id: str) -> str | None:
    if len(source_id) != 36:
        return None
    try:
        return str(uuid.UUID(source_id))
    except ValueError:
        return None
