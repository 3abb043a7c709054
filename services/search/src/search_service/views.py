"""What clients see of the search service.

Guarantee: optional fields are absent, never null.
"""

from typing import Annotated, Literal

from pydantic import Field

from chassis import UUID_PATTERN, Count, View
from contracts.models.common import Money
from search_service.index import Found, Hit
from search_service.recommendations import Recommendations

Id = Annotated[str, Field(pattern=UUID_PATTERN)]
CustomerId = Annotated[str, Field(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")]
Availability = Literal["in_stock", "few_left", "out_of_stock"]
# The catalog says when a stock falls to this many copies, and when none is left.
FEW_COPIES = 5


class FoundBook(View):
    """A book that is offered."""

    book_id: Id
    isbn: str | None = None
    title: str
    authors: list[str]
    subjects: list[str]
    language: str
    year: int | None = None
    price: Money
    availability: Availability


class SearchHit(FoundBook):
    """A book that was found, and where in it."""

    highlights: dict[str, str] = Field(
        description="HTML of the fields in which words were found, these in <mark>."
    )


class FacetCount(View):
    """How many of the books that were found have a value."""

    value: str
    count: Count


class Facets(View):
    """What the found books are, most frequent first."""

    subject: list[FacetCount]
    language: list[FacetCount]
    decade: list[FacetCount]
    price_band: list[FacetCount]
    in_stock: list[FacetCount]


class SearchPage(View):
    """One page of what was found."""

    hits: list[SearchHit]
    total: Count = Field(description="Books that were found, on all pages.")
    facets: Facets
    did_you_mean: str | None = None
    next_cursor: str | None = None


class Completions(View):
    """What may be meant."""

    completions: list[str]


class RecommendedBook(FoundBook):
    """A book and why it is recommended."""

    because: Literal["bought", "viewed", "similar", "trending", "popular", "any"]
    because_of: Id | None = Field(
        default=None, description="The book that was bought or viewed, or that is similar."
    )


class RecommendationList(View):
    """Books that may be liked, the likeliest first."""

    books: list[RecommendedBook]
    age_seconds: float | None = Field(
        default=None, ge=0, description="How old the computation is that they come from, if any."
    )
    degraded: list[str] = Field(description="What could not be asked, or is not there yet.")


class BookView(View):
    """Somebody looked at a book."""

    customer_id: CustomerId
    book_id: Id


def page_of(found: Found, next_cursor: str | None) -> SearchPage:
    """A page as clients see it."""
    facets = {
        name: [FacetCount(value=each.value, count=each.count) for each in values]
        for name, values in found.facets.items()
    }
    return SearchPage(
        hits=[SearchHit(**_book(hit), highlights=hit.highlights) for hit in found.hits],
        total=found.total,
        facets=Facets(**facets),
        did_you_mean=found.did_you_mean,
        next_cursor=next_cursor,
    )


def list_of(found: Recommendations) -> RecommendationList:
    """Recommendations as clients see them."""
    return RecommendationList(
        books=[
            RecommendedBook(
                **_book(each.hit),
                because=each.because.reason.value,
                because_of=each.because.book_id,
            )
            for each in found.entries
        ],
        age_seconds=round(found.result.age_seconds, 1) if found.result is not None else None,
        degraded=sorted(found.degraded),
    )


def _book(hit: Hit) -> dict[str, object]:
    book = hit.book
    return {
        "book_id": book.book_id,
        "isbn": book.isbn,
        "title": book.title,
        "authors": list(book.authors),
        "subjects": list(book.subjects),
        "language": book.language,
        "year": book.year,
        "price": Money(amount_minor=book.price_minor, currency=book.currency),
        "availability": _availability(hit.available),
    }


def _availability(copies: int) -> Availability:
    if copies <= 0:
        return "out_of_stock"
    return "few_left" if copies <= FEW_COPIES else "in_stock"
