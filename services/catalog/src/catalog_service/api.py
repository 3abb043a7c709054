"""The catalog's HTTP API.

Guarantee: a book that was answered with 2xx is stored; of a batch, each book stands for itself.
"""

import base64
import binascii
import uuid
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.ext.asyncio import AsyncEngine

from catalog_service.books import Books, LostRace
from catalog_service.cache import BookCache
from catalog_service.documents import (
    BatchRequest,
    BatchResult,
    BookInput,
    BookPage,
    BookView,
    StockCensus,
    entry_view,
    parse_book,
    view,
)
from catalog_service.listing import Entry, Listing, Outcome, Plan
from catalog_service.store import stock_census
from chassis import BODY_PROBLEMS, INVALID, UNAVAILABLE, UUID_PATTERN, Problem, problem_responses
from contracts import or_none

BookId = Annotated[str, Path(pattern=UUID_PATTERN, description="The book.")]
Limit = Annotated[int, Query(ge=1, le=200, description="Books a page.")]
Cursor = Annotated[
    str | None,
    Query(min_length=1, max_length=200, description="The next_cursor of the page before."),
]
_REFUSED = {
    **BODY_PROBLEMS,
    **problem_responses(_503="Others are listing the same books, or a dependency is down."),
}


def book_routes(books: Books, cache: BookCache) -> APIRouter:
    """The routes over the catalog's books."""
    router = APIRouter(tags=["books"])

    async def put(listings: list[Listing]) -> Plan:
        try:
            plan = await books.put(listings)
        except LostRace:
            detail = "Others are listing the same books right now; send the request again."
            raise Problem(503, "busy", detail, headers={"Retry-After": "1"}) from None
        await cache.forget(list(plan.revised))
        return plan

    @router.get(
        "/books",
        operation_id="list_books",
        response_model=BookPage,
        responses={**INVALID, **UNAVAILABLE},
    )
    async def list_books(limit: Limit = 50, cursor: Cursor = None) -> Response:
        """One page of books."""
        found = await books.page(limit + 1, _decode_cursor(cursor) if cursor else None)
        page: dict[str, Any] = {"books": [view(listed) for listed in found[:limit]]}
        if len(found) > limit:
            page["next_cursor"] = _encode_cursor(found[limit - 1].book.book_id)
        return _json(page)

    @router.post(
        "/books/batch", operation_id="put_books", response_model=BatchResult, responses=_REFUSED
    )
    async def put_books(batch: BatchRequest) -> Response:
        """List or revise up to 500 books."""
        parsed = [parse_book(raw) for raw in batch.books]
        plan = await put([each for each in parsed if isinstance(each, Listing)])
        planned = iter(plan.entries)
        entries = [
            Entry(Outcome.REJECTED, error=each) if isinstance(each, str) else next(planned)
            for each in parsed
        ]
        return _json({"results": [entry_view(i, entry) for i, entry in enumerate(entries)]})

    @router.get(
        "/books/{book_id}",
        operation_id="get_book",
        response_model=BookView,
        responses={**problem_responses(_404="There is no such book."), **INVALID, **UNAVAILABLE},
    )
    async def get_book(book_id: BookId) -> Response:
        """A book and its stock."""
        document = await cache.get(book_id)
        if document is None:
            listed = await books.find(book_id)
            if listed is None:
                raise Problem(404, "book_not_found", "There is no book with this id.")
            document = orjson.dumps(view(listed))
            await cache.keep(book_id, document)
        return Response(document, media_type="application/json")

    @router.put(
        "/books/{book_id}",
        operation_id="put_book",
        response_model=BookView,
        responses={
            201: {"description": "The book is listed.", "model": BookView},
            **_REFUSED,
            **problem_responses(_409="Another book has this ISBN."),
        },
    )
    async def put_book(book_id: BookId, book: BookInput) -> Response:
        """List or revise a book."""
        if or_none(book.book_id) not in (None, book_id):
            fault = {"pointer": "/body/book_id", "message": "must equal the one in the path"}
            detail = "The body speaks of another book than the path."
            raise Problem(422, "invalid_request", detail, errors=[fault])
        entry = (await put([book.listing(book_id)])).entries[0]
        if entry.listed is None:
            raise Problem(409, "isbn_taken", f"{entry.error}.")
        status = 201 if entry.outcome is Outcome.CREATED else 200
        return _json(view(entry.listed), status)

    return router


def operator_routes(engine: AsyncEngine) -> APIRouter:
    """The operators' view of the stock."""
    router = APIRouter(tags=["operations"])

    @router.get(
        "/ops/stock",
        operation_id="get_stock_census",
        response_model=StockCensus,
        responses=UNAVAILABLE,
    )
    async def get_stock_census() -> Response:
        """The stock's balance sheet."""
        return _json(dict(await stock_census(engine)))

    return router


def _json(document: Any, status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")


def _encode_cursor(book_id: str) -> str:
    return base64.urlsafe_b64encode(uuid.UUID(book_id).bytes).rstrip(b"=").decode()


def _decode_cursor(cursor: str) -> str:
    try:
        return str(uuid.UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True)))
    except (ValueError, binascii.Error):
        fault = {"pointer": "/query/cursor", "message": "is no next_cursor of a page"}
        detail = "The cursor is not one that this service gave out."
        raise Problem(422, "invalid_request", detail, errors=[fault]) from None
