"""Indexes the books and asks for them.

Guarantee: a question counts as answered if the book, or one whose title differs from its in case,
accents and punctuation at most, is among the first `PLACES` results.
"""

import random
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bookstore.catalog_import import Options, UsageError, read_books
from bookstore.search_eval.questions import Kind, ask
from search_service.feed import book_from
from search_service.index import Book, BookChange, Query, SearchIndex, StockChange
from search_service.text import key

PLACES = 10
BOOKS_PER_BATCH = 250

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@dataclass(slots=True)
class Answers:
    """How the questions of one kind were answered."""

    kind: Kind
    ranks: list[int | None] = field(default_factory=list)  # From 1; None beyond the first places.
    seconds: list[float] = field(default_factory=list)
    missed: list[tuple[str, str]] = field(default_factory=list)  # The question, the title.

    @property
    def hit_rate(self) -> float:
        """The share with the book among the first places."""
        return sum(rank is not None for rank in self.ranks) / len(self.ranks) if self.ranks else 0.0

    @property
    def reciprocal_rank(self) -> float:
        """The mean of 1/rank, 0 where the book is not among the first places (MRR)."""
        if not self.ranks:
            return 0.0
        return sum(1 / rank for rank in self.ranks if rank is not None) / len(self.ranks)

    def milliseconds(self, share: float) -> float:
        """The latency that this share of the questions did not exceed."""
        ordered = sorted(self.seconds)
        at = min(int(share * len(ordered)), len(ordered) - 1)
        return ordered[at] * 1000 if ordered else 0.0


def books_of(file: Path) -> list[Book]:
    """The file's good rows. Raises UsageError."""
    found, _ = read_books(file, Options())
    if not found.books:
        raise UsageError(f"{file}: there is no book in it")
    return [_book(each.body, each.identity) for each in found.books]


async def fill(index: SearchIndex, books: Sequence[Book], progress: Progress) -> float:
    """Index books and stock in batches; answers the seconds it took."""
    started = time.perf_counter()
    for at in range(0, len(books), BOOKS_PER_BATCH):
        batch = books[at : at + BOOKS_PER_BATCH]
        await index.apply([BookChange(book, 1) for book in batch])
        await index.apply([StockChange(book.book_id, 1, 1) for book in batch])
        progress("indexing", at + len(batch), len(books))
    return time.perf_counter() - started


async def ask_all(
    index: SearchIndex, books: Sequence[Book], sample: int, seed: int, progress: Progress
) -> list[Answers]:
    """All kinds of questions about `sample` of the books, one after the other."""
    chosen = random.Random(seed).sample(books, min(sample, len(books)))
    answers = []
    for kind in Kind:
        of_kind = Answers(kind)
        for number, book in enumerate(chosen):
            progress(kind, number + 1, len(chosen))
            if (text := ask(kind, book, seed)) is not None:
                await _ask_one(index, book, text, of_kind)
        answers.append(of_kind)
    return answers


async def _ask_one(index: SearchIndex, book: Book, text: str, answers: Answers) -> None:
    started = time.perf_counter()
    found = await index.search(Query(text, limit=PLACES))
    answers.seconds.append(time.perf_counter() - started)
    title = key(book.title)
    ranks = (
        place
        for place, hit in enumerate(found.hits, 1)
        if hit.book.book_id == book.book_id or key(hit.book.title) == title
    )
    rank = next(ranks, None)
    answers.ranks.append(rank)
    if rank is None:
        answers.missed.append((text, book.title))


def _book(body: dict[str, Any], identity: tuple[str, ...]) -> Book:
    book_id = body.get("book_id") or str(uuid.uuid5(uuid.NAMESPACE_URL, "\n".join(identity)))
    return book_from({**body, "book_id": book_id})
