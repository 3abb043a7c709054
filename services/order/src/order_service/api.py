"""The order service's HTTP API.

Guarantee: an order that was answered with 2xx is stored; the same Idempotency-Key never makes two.
"""

import re
from collections.abc import AsyncIterator
from typing import Annotated

import orjson
from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, field_validator

from chassis import BODY_PROBLEMS, INVALID, UNAVAILABLE, UUID_PATTERN, Problem, problem_responses
from contracts.models.common import Contact, OrderLine
from idempotency import StoredResponse
from order_service.contacts import Contacts
from order_service.domain import OrderStatus, Refused
from order_service.orders import Orders
from order_service.views import CustomerId, OrderPage, OrderView, SagaCensus

OrderId = Annotated[str, Path(pattern=UUID_PATTERN, description="The order.")]
OfCustomer = Annotated[
    str,
    Path(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$", description="The customer."),
]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=128,
        pattern="^[!-~]+$",
        description="Makes repeating the request safe for 24 hours.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        pattern="^[0-9]{1,9}$",
        description="The id of the last event that arrived: the stream goes on behind it.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(
        alias="Prefer",
        max_length=100,
        description="`wait=N`: wait up to N seconds for the outcome (RFC 7240).",
    ),
]
# Card numbers have 12 to 19 digits (ISO/IEC 7812-1); no token has as many in a row.
_CARD_NUMBER = re.compile(r"(?:\d[_-]?){12}")
_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,4})(?:$|[,;\s])")


class OrderRequest(BaseModel):
    """A new order. Prices are the ones that the customer saw; the catalog checks them."""

    model_config = ConfigDict(extra="forbid")

    customer_id: CustomerId
    lines: list[OrderLine] = Field(min_length=1, max_length=50)
    payment_method: str = Field(
        pattern="^pm_[A-Za-z0-9_]+$",
        min_length=4,
        max_length=255,
        description="A token from the payment gateway, never a card number.",
    )

    @field_validator("payment_method")
    @classmethod
    def refuse_card_numbers(cls, token: str) -> str:
        """A card number in disguise must go no further: it would be stored and logged."""
        if _CARD_NUMBER.search(token):
            raise ValueError("this looks like a card number; send the gateway's token instead")
        return token


_HEADERS = {
    "headers": {
        "Location": {"description": "The order's URL.", "schema": {"type": "string"}},
        "Preference-Applied": {
            "description": "The wait that was honoured, if one was preferred.",
            "schema": {"type": "string"},
        },
    }
}
_REFUSED = problem_responses(
    _402="The payment was refused within the preferred wait; nothing is charged.",
    _409="The stock cannot be reserved, or the key's first request still runs.",
)
_OF_AN_ORDER = {**problem_responses(_404="No such order."), **INVALID, **UNAVAILABLE}


def _applied(answer: StoredResponse, wait_seconds: float) -> Response:
    """The response; RFC 7240, section 3: it says which preference was honoured."""
    preference = {"Preference-Applied": f"wait={wait_seconds:g}"} if wait_seconds else {}
    return Response(answer.body, answer.status, {**answer.headers, **preference})


def order_routes(orders: Orders, max_wait_seconds: float) -> APIRouter:
    """The routes over the application's orders."""
    router = APIRouter()

    def wait_of(prefer: str | None) -> float:
        found = _WAIT.search(prefer or "")
        return min(float(found.group(1)), max_wait_seconds) if found else 0.0

    @router.post(
        "/orders",
        operation_id="place_order",
        tags=["orders"],
        status_code=202,
        response_model=OrderView,
        responses={
            201: {"model": OrderView, **_HEADERS},
            202: _HEADERS,
            402: {**_REFUSED[402], **_HEADERS},
            409: {**_REFUSED[409], **_HEADERS},
            **BODY_PROBLEMS,
            **UNAVAILABLE,
        },
    )
    async def place_order(
        request: OrderRequest,
        idempotency_key: IdempotencyKey = None,
        prefer: Prefer = None,
    ) -> Response:
        """Accept an order; with `Prefer: wait=N`, wait up to N seconds for its outcome."""
        try:
            answer = await orders.place(
                customer_id=request.customer_id,
                lines=request.lines,
                payment_method=request.payment_method,
                idempotency_key=idempotency_key,
                wait_seconds=wait_of(prefer),
            )
        except Refused as refusal:
            raise Problem(422, refusal.code, str(refusal)) from None
        return _applied(answer, wait_of(prefer))

    @router.get(
        "/orders", operation_id="list_orders", tags=["orders"], response_model=OrderPage,
        response_model_exclude_none=True, responses={**INVALID, **UNAVAILABLE},
    )  # fmt: skip
    async def list_orders(
        customer_id: CustomerId | None = None,
        status: OrderStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=200)] = 50,
        cursor: Annotated[str | None, Query(min_length=1, max_length=200)] = None,
    ) -> OrderPage:
        """Orders, newest first."""
        return await orders.page(customer_id=customer_id, status=status, limit=limit, cursor=cursor)

    @router.get(
        "/orders/{order_id}", operation_id="get_order", tags=["orders"], response_model=OrderView,
        response_model_exclude_none=True, responses=_OF_AN_ORDER,
    )  # fmt: skip
    async def get_order(order_id: OrderId) -> OrderView:
        """An order and the timeline of its sagas."""
        return await orders.view(order_id)

    @router.get(
        "/orders/{order_id}/events",
        operation_id="stream_order_events",
        tags=["orders"],
        response_class=Response,
        responses={
            200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}},
            204: {"description": "The client has the outcome already."},
            **_OF_AN_ORDER,
        },
    )
    async def stream_order_events(
        order_id: OrderId, request: Request, last_event_id: LastEventId = None
    ) -> Response:
        """The order's timeline as it grows; ends with the order's outcome."""
        from sse_starlette import EventSourceResponse

        stream = await orders.open_stream(order_id, after=int(last_event_id or 0))
        if stream is None:
            return Response(status_code=204)

        async def events() -> AsyncIterator[dict[str, str]]:
            async for number, name, document in stream:
                if await request.is_disconnected():
                    return
                yield {"id": str(number), "event": name, "data": orjson.dumps(document).decode()}

        return EventSourceResponse(events(), ping=15)

    @router.post(
        "/orders/{order_id}/cancellation",
        operation_id="cancel_order",
        tags=["orders"],
        status_code=202,
        response_model=OrderView,
        responses={
            200: {"model": OrderView, **_HEADERS},
            202: _HEADERS,
            **problem_responses(_409="There is nothing to cancel (any more, or yet)."),
            **BODY_PROBLEMS,
            **_OF_AN_ORDER,
        },
    )
    async def cancel_order(order_id: OrderId, prefer: Prefer = None) -> Response:
        """Refund a confirmed order and put its books back."""
        try:
            answer = await orders.cancel(order_id, wait_seconds=wait_of(prefer))
        except Refused as refusal:
            raise Problem(409, refusal.code, str(refusal), order_id=order_id) from None
        return _applied(answer, wait_of(prefer))

    @router.get(
        "/ops/sagas", operation_id="get_saga_census", tags=["operations"], responses=UNAVAILABLE
    )
    async def get_saga_census() -> SagaCensus:
        """Saga instances by saga and status."""
        return SagaCensus.model_validate(await orders.census())

    return router


def contact_routes(contacts: Contacts) -> APIRouter:
    """The routes over customers' contacts."""
    router = APIRouter(tags=["customers"])

    @router.put(
        "/customers/{customer_id}/contact",
        operation_id="provide_contact",
        status_code=204,
        responses={**BODY_PROBLEMS, **UNAVAILABLE},
    )
    async def provide_contact(customer_id: OfCustomer, contact: Contact) -> Response:
        """Say where the customer wants to be written to."""
        await contacts.provide(customer_id, contact)
        return Response(status_code=204)

    @router.delete(
        "/customers/{customer_id}/contact",
        operation_id="erase_contact",
        status_code=204,
        responses={**INVALID, **UNAVAILABLE},
    )
    async def erase_contact(customer_id: OfCustomer) -> Response:
        """Forget where the customer can be written to, in all services."""
        await contacts.erase(customer_id)
        return Response(status_code=204)

    return router
