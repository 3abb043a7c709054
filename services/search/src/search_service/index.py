"""What the search index is asked and told: one small protocol, with two adapters behind it.

Guarantee: an older version of a book or of its stock never takes a newer one's place, in whatever
order and however often the changes come; what `apply` has returned for survives a crash.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

# Pages end here, as they do in OpenSearch by default (index.max_result_window).
MAX_RESULTS = 10_000
# Of each facet; the rest is in too few books to choose by.
MAX_FACET_VALUES = 50


@dataclass(frozen=True, slots=True)
class Book:
    """A book as it is offered. `price_minor` is in minor units of `currency`; the year is that of
    first publication, negative before the common era.
    """

    book_id: str
    title: str
    authors: tuple[str, ...]
    subjects: tuple[str, ...]
    language: str
    price_minor: int
    currency: str
    year: int | None = None
    isbn: str | None = None


@dataclass(frozen=True, slots=True)
class BookChange:
    """The book as it was at `version`."""

    book: Book
    version: int


@dataclass(frozen=True, slots=True)
class StockChange:
    """How many copies could be ordered at stock `version`; the book itself may not be known yet."""

    book_id: str
    available: int
    version: int


Change = BookChange | StockChange


class Sort(StrEnum):
    """The order of the results; among equals the book's id decides."""

    RELEVANCE = "relevance"
    TITLE = "title"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    YEAR = "year"
    YEAR_DESCENDING = "-year"


class PriceBand(StrEnum):
    """Prices in minor units, whatever the currency: the lower bound belongs to the band."""

    UNDER_10 = "under-10"
    FROM_10_TO_20 = "10-to-20"
    FROM_20_TO_50 = "20-to-50"
    FROM_50 = "from-50"


@dataclass(frozen=True, slots=True)
class Filters:
    """What a book must be. Values of one filter are alternatives; filters hold together.

    `languages` are tags of which only the language counts ('en' finds 'en-GB', too); `decades` are
    their first years (1810); `in_stock` True leaves only what can be ordered.
    """

    subjects: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    decades: tuple[int, ...] = ()
    price_bands: tuple[PriceBand, ...] = ()
    in_stock: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """What a customer looks for; an empty text finds every book that the filters let through.

    Results beyond the first `MAX_RESULTS` are counted, but are on no page.
    """

    text: str = ""
    filters: Filters = field(default_factory=Filters)
    sort: Sort = Sort.RELEVANCE
    limit: int = 20
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Hit:
    """A book that was found. `highlights`: for `title` and `authors`, where the query's words stand
    in them, the text as HTML with these in `<mark>`; all else in it is escaped.
    """

    book: Book
    available: int
    score: float
    highlights: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FacetValue:
    """How many of the found books have a value."""

    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Found:
    """One page of results, the count of all of them, and what they are made of.

    `facets` by name: subject, language, decade, price_band, in_stock ("true" or "false"), the most
    frequent `MAX_FACET_VALUES` of each; a facet counts what all filters but its own let through.
    `did_you_mean` is there when words of the query are in no book, but others close to them are.
    """

    hits: Sequence[Hit]
    total: int
    facets: dict[str, list[FacetValue]]
    did_you_mean: str | None = None


class SearchIndex(Protocol):
    """Reads see what was applied within a second."""

    async def apply(self, changes: Sequence[Change]) -> None:
        """Take changes in, durably; into the index under construction, too, if there is one."""
        ...

    async def search(self, query: Query) -> Found:
        """The page of results; typing errors in the text are forgiven, its last word may be begun
        only.
        """
        ...

    async def complete(self, prefix: str, limit: int) -> list[str]:
        """Titles and authors that a customer who has typed `prefix` may mean, likeliest first."""
        ...

    async def similar(self, book_id: str, limit: int) -> list[Hit]:
        """Books of like content: authors, subjects, title. Empty for an unknown book."""
        ...

    async def books(self, book_ids: Sequence[str]) -> dict[str, Hit]:
        """The known ones of these books, by id; scores are 0."""
        ...

    async def count(self) -> int:
        """Books that can be found (not those of which only the stock is known)."""
        ...

    async def begin_rebuild(self) -> None:
        """Start an empty index beside the one in use; an unfinished one is thrown away. From now on
        `apply` changes both.
        """
        ...

    async def apply_to_rebuild(self, changes: Sequence[Change]) -> None:
        """Take changes into the index under construction only."""
        ...

    async def finish_rebuild(self) -> None:
        """Put the new index in the old one's place, in one step, and remove the old one."""
        ...

    async def close(self) -> None:
        """Let go of files and connections."""
        ...
