"""In whatever order changes come, the newest version of a book and of its stock stands."""

import itertools
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from search_service.index import Book, BookChange, Change, Hit, SearchIndex, StockChange

MakeBook = Callable[..., Book]
Until = Callable[..., Awaitable[Any]]
BOOK_ID = "33333333-3333-4333-8333-333333333333"


@pytest.fixture
def changes(book: MakeBook) -> list[Change]:
    books: list[Change] = [BookChange(book(f"Title {n}", book_id=BOOK_ID), n) for n in range(3)]
    return [*books, *(StockChange(BOOK_ID, 10 + n, n) for n in range(3))]


async def newest_stands(index: SearchIndex, until: Until) -> None:
    def holds(hits: dict[str, Hit]) -> bool:
        hit = hits.get(BOOK_ID)
        return hit is not None and (hit.book.title, hit.available) == ("Title 2", 12)

    await until(lambda: index.books([BOOK_ID]), holds)


@pytest.mark.parametrize("one_batch", [True, False], ids=["one batch", "batch each"])
@pytest.mark.parametrize("order", ["as they happened", "reversed", "twice", "stock first"])
async def test_older_version_never_wins(
    index: SearchIndex, changes: list[Change], until: Until, order: str, one_batch: bool
) -> None:
    ordered = {
        "as they happened": changes,
        "reversed": changes[::-1],
        "twice": changes + changes,
        "stock first": changes[3:] + changes[:3],
    }[order]
    for batch in [ordered] if one_batch else [[change] for change in ordered]:
        await index.apply(batch)
    await newest_stands(index, until)
    assert await index.count() == 1


async def test_second_change_of_one_version_changes_nothing(
    index: SearchIndex, book: MakeBook, until: Until
) -> None:
    first, second = (book(title, book_id=BOOK_ID) for title in ("First", "Second"))
    await index.apply([BookChange(first, 5), StockChange(BOOK_ID, 5, 5)])
    await index.apply([BookChange(second, 5), StockChange(BOOK_ID, 9, 5)])
    await index.apply([BookChange(book("Other"), 1)])  # What comes after it can be awaited.
    await until(index.count, lambda count: count == 2)
    hit = (await index.books([BOOK_ID]))[BOOK_ID]
    assert (hit.book.title, hit.available) == ("First", 5)


@pytest.mark.parametrize("seed", [random.randrange(2**32) for _ in range(5)], ids="seed{}".format)
async def test_any_shuffle_with_duplicates_and_losses_of_older_ones_ends_alike(
    index: SearchIndex, book: MakeBook, until: Until, seed: int
) -> None:
    print(f"seed {seed}")
    draw = random.Random(seed)
    ids = [f"44444444-4444-4444-8444-{n:012}" for n in range(8)]
    newest: dict[str, tuple[str, int]] = {}
    sent: list[Change] = []
    for book_id in ids:
        last, last_stock = draw.randrange(6), draw.randrange(6)
        newest[book_id] = (f"Title {last}", 100 + last_stock)
        for version in range(last + 1):
            copies = draw.choice([0, 1, 2]) or int(version == last)
            sent += [BookChange(book(f"Title {version}", book_id=book_id), version)] * copies
        for version in range(last_stock + 1):
            copies = draw.choice([0, 1, 2]) or int(version == last_stock)
            sent += [StockChange(book_id, 100 + version, version)] * copies
    draw.shuffle(sent)
    batches = iter(sent)
    while batch := list(itertools.islice(batches, draw.randrange(1, 12))):
        await index.apply(batch)

    def holds(hits: dict[str, Hit]) -> bool:
        return {key: (hit.book.title, hit.available) for key, hit in hits.items()} == newest

    await until(lambda: index.books(ids), holds)


async def test_rebuild_takes_live_changes_in_and_neither_side_goes_back(
    index: SearchIndex, book: MakeBook, until: Until
) -> None:
    ids = [f"55555555-5555-4555-8555-{n:012}" for n in range(20)]
    await index.apply([BookChange(book("Gone", book_id="gone"), 1)])
    await index.apply([BookChange(book("Old", book_id=each), 1) for each in ids])
    await index.begin_rebuild()
    # The catalog was read before the live change came (first half), or after it (second half).
    await index.apply_to_rebuild([BookChange(book("Old", book_id=each), 1) for each in ids[:10]])
    await index.apply([BookChange(book("New", book_id=each), 2) for each in ids])
    await index.apply([StockChange(each, 3, 1) for each in ids])
    await index.apply_to_rebuild([BookChange(book("Old", book_id=each), 1) for each in ids[10:]])

    def all_new(hits: dict[str, Hit]) -> bool:
        return [(hits[key].book.title, hits[key].available) for key in ids if key in hits] == [
            ("New", 3)
        ] * 20

    hits = await until(lambda: index.books([*ids, "gone"]), all_new)
    assert "gone" in hits
    await index.finish_rebuild()
    await until(lambda: index.books([*ids, "gone"]), lambda hits: len(hits) == 20 and all_new(hits))
    await index.apply([BookChange(book("Newest", book_id=ids[0]), 3)])
    await until(lambda: index.books(ids), lambda hits: hits[ids[0]].book.title == "Newest")


async def test_second_begin_throws_an_unfinished_rebuild_away(
    index: SearchIndex, book: MakeBook, until: Until
) -> None:
    await index.apply([BookChange(book("Old"), 1)])
    await index.begin_rebuild()
    await index.apply_to_rebuild([BookChange(book("Left Over"), 1)])
    await index.begin_rebuild()
    await index.apply_to_rebuild([BookChange(book("Fresh"), 1)])
    await index.finish_rebuild()
    fresh = book("Fresh").book_id
    ids = [fresh, book("Old").book_id, book("Left Over").book_id]
    await until(lambda: index.books(ids), lambda hits: list(hits) == [fresh])
