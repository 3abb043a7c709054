"""How a record lies in a Tantivy index.

Guarantee: a record is read back as it was written; what is searched, counted and sorted by stands
beside it, already folded, so that no analyzer of Tantivy's has a say in what a word is.
"""

import uuid
from functools import cache

from tantivy import Document, Schema, SchemaBuilder

from search_service.documents import Record, decade_of, language_of, price_band_of
from search_service.index import Book, Sort
from search_service.text import index_words, isbn13, key, main_title, title_key

WORD_FIELDS = ("title", "authors", "subjects")
SORT_FIELDS = {
    Sort.TITLE: "by_title",
    Sort.PRICE: "by_price",
    Sort.PRICE_DESCENDING: "by_price_descending",
    Sort.YEAR: "by_year",
    Sort.YEAR_DESCENDING: "by_year_descending",
}
FACET_FIELDS = ("subject", "language", "decade", "price_band", "in_stock")
LISTED = "yes"
_LAST = "~"  # Sorts behind all digits: a book without a year comes last in either direction.


@cache
def schema() -> Schema:
    """The schema; a change to it has to raise `folders.LAYOUT`."""
    builder = SchemaBuilder()
    builder.add_bytes_field("record", stored=True)
    for name in ("id", "listed", "isbn", "whole_title", "main_title", "author_key"):
        builder.add_text_field(name, fast=name == "id", tokenizer_name="raw", index_option="basic")
    for name in WORD_FIELDS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="position")
    for name in (*(name for name in FACET_FIELDS if name != "decade"), *SORT_FIELDS.values()):
        builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("decade", indexed=True, fast=True)
    for name in ("id_high", "id_low", "title_letters"):
        builder.add_unsigned_field(name, fast=True)
    return builder.build()


def to_document(record: Record) -> Document:
    """A record without a book has nothing by which it could be found but its id."""
    document = Document()
    document.add_text("id", record.book_id)
    document.add_bytes("record", record.to_json())
    high, low = id_order(record.book_id)
    document.add_unsigned("id_high", high)
    document.add_unsigned("id_low", low)
    if record.book is not None:
        document.add_text("listed", LISTED)
        document.add_text("in_stock", "true" if record.available > 0 else "false")
        _add_words(document, record.book)
        _add_facets(document, record.book)
        _add_sort_keys(document, record.book)
    return document


def id_order(book_id: str) -> tuple[int, int]:
    """Two numbers that order ids as their text does: UUIDs wholly, others by 16 bytes."""
    try:
        number = uuid.UUID(book_id).int
    except ValueError:
        number = int.from_bytes(book_id.encode()[:16].ljust(16, b"\0"), "big")
    return number >> 64, number & (1 << 64) - 1


def _add_words(document: Document, book: Book) -> None:
    document.add_text("title", " ".join(index_words(book.title)))
    document.add_text("whole_title", title_key(book.title))
    document.add_text("main_title", main_title(book.title))
    document.add_unsigned("title_letters", len(book.title))
    document.add_text("authors", " ".join(w for name in book.authors for w in index_words(name)))
    document.add_text("subjects", " ".join(w for name in book.subjects for w in index_words(name)))
    for name in book.authors:
        document.add_text("author_key", key(name))
    if book.isbn:
        document.add_text("isbn", isbn13(book.isbn) or book.isbn)


def _add_facets(document: Document, book: Book) -> None:
    for name in dict.fromkeys(book.subjects):
        document.add_text("subject", name)
    document.add_text("language", language_of(book.language))
    document.add_text("price_band", price_band_of(book.price_minor))
    if (decade := decade_of(book.year)) is not None:
        document.add_integer("decade", decade)


def _add_sort_keys(document: Document, book: Book) -> None:
    year, price = book.year, book.price_minor
    keys = {
        Sort.TITLE: title_key(book.title),
        Sort.PRICE: f"{price:020}",
        Sort.PRICE_DESCENDING: f"{10**20 - 1 - price:020}",
        Sort.YEAR: _LAST if year is None else f"{year + 10**6:07}",
        Sort.YEAR_DESCENDING: _LAST if year is None else f"{10**6 - year:07}",
    }
    for sort, sort_key in keys.items():
        # The id behind the key makes the order total, so no page repeats another's book.
        document.add_text(SORT_FIELDS[sort], f"{sort_key}\0{book.book_id}")
