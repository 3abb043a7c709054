"""What the embedded index makes of words that are run together or split."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from search_service.index import Book, BookChange, Query
from search_service.tantivy_index import TantivyIndex


@pytest.fixture
async def shelf(tmp_path: Path, book: Callable[..., Book]) -> AsyncIterator[TantivyIndex]:
    index = TantivyIndex(tmp_path / "search")
    books = [
        book("Middlemarch", "George Eliot"),
        book("The Da Vinci Code", "Dan Brown"),
        book("March", "Geraldine Brooks"),
        book("Middle Earth Songs", "Anon"),
    ]
    await index.apply([BookChange(each, 1) for each in books])
    yield index
    await index.close()


@pytest.mark.parametrize(
    ("typed", "title", "meant"),
    [
        ("middle march", "Middlemarch", "middlemarch"),
        ("davinci code", "The Da Vinci Code", "da vinci code"),
        ("the davinci code", "The Da Vinci Code", "the da vinci code"),
    ],
)
async def test_words_cut_at_the_wrong_place_find_the_book(
    shelf: TantivyIndex, typed: str, title: str, meant: str
) -> None:
    found = await shelf.search(Query(typed))
    assert [hit.book.title for hit in found.hits] == [title]
    assert found.did_you_mean == meant


async def test_words_that_find_something_are_left_as_they_are(shelf: TantivyIndex) -> None:
    found = await shelf.search(Query("middle earth"))
    assert [hit.book.title for hit in found.hits] == ["Middle Earth Songs"]
    assert found.did_you_mean is None
