"""The search service's HTTP API.

Guarantee: reads only, but for the views that customers' clients report; a broken Redis or DynamoDB
makes answers less personal, never fails them.
"""

import base64
import binascii
import hashlib
import uuid
from datetime import UTC, datetime
from typing import Annotated

import orjson
from fastapi import APIRouter, Path, Response
from fastapi import Query as QueryParameter
from pydantic import BaseModel, ConfigDict, Field

from chassis import BODY_PROBLEMS, INVALID, UNAVAILABLE, UUID_PATTERN, Problem, problem_responses
from search_service.index import Filters, PriceBand, Query, SearchIndex, Sort
from search_service.interactions import Interaction, Interactions, Kind
from search_service.recommendations import Recommender
from search_service.trending import Trending
from search_service.views import (
    BookView,
    Completions,
    RecommendationList,
    SearchPage,
    list_of,
    page_of,
)

# Whoever has not found it among so many books has to say more.
MAX_RESULTS = 1000
Text = Annotated[
    str,
    QueryParameter(max_length=500, description="Words of title, authors, subjects; or an ISBN."),
]
BookId = Annotated[str, Path(pattern=UUID_PATTERN, description="The book.")]
OfCustomer = Annotated[
    str,
    Path(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$", description="The customer."),
]
Limit = Annotated[int, QueryParameter(ge=1, le=100, description="Books at most.")]
Cursor = Annotated[
    str | None,
    QueryParameter(min_length=1, max_length=200, description="The next_cursor of the page before."),
]
Subject = Annotated[str, QueryParameter(min_length=1, max_length=200)]
Language = Annotated[str, QueryParameter(pattern="^[a-z]{2,3}(-[A-Za-z0-9]{1,8})*$")]
Decade = Annotated[int, QueryParameter(ge=-4000, le=2200, multiple_of=10)]


class SearchParameters(BaseModel):
    """What a search is asked. A parameter that it does not know is refused: one that is misspelt
    would find every book.
    """

    model_config = ConfigDict(extra="forbid")

    q: Text = ""
    subject: list[Subject] = Field(default=[], max_length=20)
    language: list[Language] = Field(default=[], max_length=20)
    decade: list[Decade] = Field(default=[], max_length=20)
    price_band: list[PriceBand] = Field(default=[], max_length=20)
    in_stock: bool = False
    sort: Sort = Sort.RELEVANCE
    limit: Limit = 20
    cursor: Cursor = None

    @property
    def filters(self) -> Filters:
        """What a book must be."""
        return Filters(
            subjects=tuple(self.subject),
            languages=tuple(self.language),
            decades=tuple(self.decade),
            price_bands=tuple(self.price_band),
            in_stock=self.in_stock,
        )

    @property
    def fingerprint(self) -> str:
        """The same for all pages of one search."""
        return hashlib.sha256(repr((self.q, self.filters, self.sort)).encode()).hexdigest()[:16]


def search_routes(index: SearchIndex) -> APIRouter:
    """The routes over the index."""
    router = APIRouter(tags=["search"])

    @router.get(
        "/search",
        operation_id="search_books",
        response_model_exclude_none=True,
        responses={**INVALID, **UNAVAILABLE},
    )
    async def search_books(asked: Annotated[SearchParameters, QueryParameter()]) -> SearchPage:
        """Books that a text and filters find."""
        offset = _decode_cursor(asked.cursor, asked.fingerprint) if asked.cursor else 0
        limit = min(asked.limit, MAX_RESULTS - offset)
        query = Query(asked.q, asked.filters, asked.sort, limit, offset)
        found = await index.search(query)
        following = offset + limit
        more = following < min(found.total, MAX_RESULTS)
        return page_of(found, _encode_cursor(following, asked.fingerprint) if more else None)

    @router.get("/autocomplete", operation_id="complete_text", responses={**INVALID, **UNAVAILABLE})
    async def complete_text(
        q: Annotated[str, QueryParameter(min_length=1, max_length=200, description="As typed.")],
        limit: Annotated[int, QueryParameter(ge=1, le=20)] = 8,
    ) -> Completions:
        """Titles and authors that what is typed may become."""
        return Completions(completions=await index.complete(q, limit))

    return router


def recommendation_routes(
    index: SearchIndex, recommender: Recommender, interactions: Interactions, trending: Trending
) -> APIRouter:
    """The routes over what customers do."""
    router = APIRouter(tags=["recommendations"])

    @router.get(
        "/books/{book_id}/similar",
        operation_id="list_similar_books",
        response_model_exclude_none=True,
        responses={**problem_responses(_404="There is no such book."), **INVALID, **UNAVAILABLE},
    )
    async def list_similar_books(book_id: BookId, limit: Limit = 10) -> RecommendationList:
        """Books that were bought with a book, or are like it."""
        if not await index.books([book_id]):
            raise Problem(404, "book_not_found", "There is no book with this id.")
        return list_of(await recommender.similar_to(book_id, limit))

    @router.get(
        "/trending",
        operation_id="list_trending_books",
        response_model_exclude_none=True,
        responses={**INVALID, **UNAVAILABLE},
    )
    async def list_trending_books(limit: Limit = 10) -> RecommendationList:
        """Books that are in demand now."""
        return list_of(await recommender.trending(limit))

    @router.get(
        "/recommendations/{customer_id}",
        operation_id="recommend_books",
        response_model_exclude_none=True,
        responses={**INVALID, **UNAVAILABLE},
    )
    async def recommend_books(customer_id: OfCustomer, limit: Limit = 10) -> RecommendationList:
        """Books that a customer may like and has not bought."""
        return list_of(await recommender.for_customer(customer_id, limit))

    @router.post(
        "/views",
        operation_id="report_view",
        status_code=204,
        responses={**BODY_PROBLEMS, **UNAVAILABLE},
    )
    async def report_view(view: BookView) -> Response:
        """Somebody looked at a book; one that is not offered counts nothing."""
        if not await index.books([view.book_id]):
            return Response(status_code=204)
        now, view_id = datetime.now(UTC), str(uuid.uuid4())
        seen = Interaction(view.customer_id, view.book_id, Kind.VIEW, now, view_id)
        await interactions.append([seen])
        await trending.add_view(view_id, view.book_id, now)
        return Response(status_code=204)

    return router


def _encode_cursor(offset: int, asked: str) -> str:
    return base64.urlsafe_b64encode(orjson.dumps([offset, asked])).rstrip(b"=").decode()


def _decode_cursor(cursor: str, asked: str) -> int:
    """Where the page begins; a cursor only goes on with the query that it was given out for."""
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        offset, of_query = orjson.loads(raw)
    except (binascii.Error, ValueError, TypeError):
        offset, of_query = None, None
    if type(offset) is not int or not 0 < offset < MAX_RESULTS or of_query != asked:
        fault = {"pointer": "/query/cursor", "message": "is no next_cursor of this query"}
        detail = "The cursor is not one that this service gave out for this query."
        raise Problem(422, "invalid_request", detail, errors=[fault])
    return offset
