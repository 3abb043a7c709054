"""The starting catalogue."""

import re
from collections import Counter

from bookstore.catalog_import import Options, read_books
from bookstore.catalog_import.rows import Row, read_table
from bookstore.data import CLASSICS

FIRST_YEAR_UNDER_COPYRIGHT = 1929


def test_every_classic_is_complete_and_in_the_public_domain() -> None:
    rows = read_table(CLASSICS).rows
    assert len(rows) >= 300
    for row in rows:
        assert isinstance(row, Row)
        assert sorted(row.values) == [
            "authors", "initial_stock", "language", "price", "subjects", "title", "year",
        ]  # fmt: skip
        assert row.values["year"] < FIRST_YEAR_UNDER_COPYRIGHT
        assert 2 <= len(row.values["subjects"]) <= 5
        assert re.fullmatch(r"[a-z]{2,3}", row.values["language"])
        assert 500 <= row.values["price"]["amount_minor"] <= 4000
        assert row.values["price"]["currency"] == "EUR"
        assert 1 <= row.values["initial_stock"] <= 200


def test_no_classic_is_there_twice_and_none_is_lost_on_import() -> None:
    found, _ = read_books(CLASSICS, Options())
    assert found.errors == []
    assert len(found.books) == len(read_table(CLASSICS).rows)
    titles = Counter(book.body["title"].casefold() for book in found.books)
    assert [title for title, count in titles.items() if count > 1] == []


def test_the_classics_come_from_many_languages_and_centuries() -> None:
    books = [book.body for book in read_books(CLASSICS, Options())[0].books]
    assert len({book["language"] for book in books}) >= 30
    assert len({book["year"] // 100 for book in books}) >= 25
