"""What the API does with orders: place, wait, cancel, look up, stream.

Guarantee: an order and the saga that sees it through are stored in one transaction, or neither is.
"""

import asyncio
import base64
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy.ext.asyncio import AsyncEngine

from batching import Batcher
from chassis import Problem
from contracts.models.common import OrderLine
from idempotency import (
    Claimed,
    HttpIdempotency,
    InProgress,
    KeyReused,
    RecordsUnavailable,
    Replay,
    StoredResponse,
)
from messaging import Envelope, Outbox
from order_service import domain, store
from order_service.cancel_order_saga import CANCEL_ORDER
from order_service.domain import Order, OrderStatus
from order_service.outcomes import Outcomes
from order_service.place_order_saga import PLACE_ORDER
from order_service.views import OrderPage, OrderView, shipment_of, timeline_of, view_of
from sagas import Instance, Orchestrator

log = logging.getLogger(__name__)

# A lot of orders that are being placed at once shares one transaction.
MAX_PLACEMENTS = 50
# Where orders come in numbers, a lot waits this long for more.
BUSY_PLACEMENTS = 4
BUSY_LINGER_SECONDS = 0.006
# Ten full lots ahead: whoever comes then is told at once instead of waiting for a time-out.
MAX_WAITING_PLACEMENTS = 10 * MAX_PLACEMENTS
STREAM_POLL_SECONDS = 0.2
STREAM_MAX_SECONDS = 600.0
JSON = "application/json"
PROBLEM_JSON = "application/problem+json"
_OUT_OF_REACH = (ClientError, BotoCoreError, OSError, RecordsUnavailable)


class Orders:
    """The application of the order service behind its HTTP API."""

    def __init__(
        self,
        *,
        reader: AsyncEngine,
        outbox: Outbox,
        orchestrator: Orchestrator,
        keys: HttpIdempotency,
        outcomes: Outcomes,
        max_streams: int,
    ) -> None:
        self._reader = reader
        self._outbox = outbox
        self._orchestrator = orchestrator
        self._keys = keys
        self._outcomes = outcomes
        self._max_streams = max_streams
        self._streams = 0
        placements = store.Placements(outbox, orchestrator)
        self._write: Batcher[tuple[Order, Instance, list[Envelope]], bool] = Batcher(
            placements.write,
            max_items=MAX_PLACEMENTS,
            max_in_flight=2,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_PLACEMENTS,
        )

    async def place(
        self,
        *,
        customer_id: str,
        lines: Sequence[OrderLine],
        payment_method: str,
        idempotency_key: str | None,
        wait_seconds: float,
    ) -> StoredResponse:
        """Place an order once for each key; raises Refused or Problem."""
        order, data = domain.place(
            customer_id=customer_id,
            lines=lines,
            payment_method=payment_method,
            idempotency_key=idempotency_key,
        )
        if self._write.depth >= MAX_WAITING_PLACEMENTS:
            raise Problem(
                503,
                "overloaded",
                "More orders are being placed than can be stored; send the same order again soon.",
                headers={"Retry-After": "1"},
            )
        if idempotency_key is None:
            return await self._place(order, data, wait_seconds)
        key = f"{customer_id}#{idempotency_key}"
        try:
            claim = await self._keys.begin(key, order.fingerprint)
        except _OUT_OF_REACH as error:
            # Safe without the record: the order's id is derived from the key, so the table's
            # primary key still refuses a second order.
            log.warning("idempotency records are out of reach, going on without: %s", error)
            return await self._place(order, data, wait_seconds)
        match claim:
            case Replay(response):
                headers = {**response.headers, "Idempotency-Replayed": "true"}
                return StoredResponse(response.status, response.body, headers)
            case InProgress():
                raise Problem(
                    409,
                    "idempotency_key_in_progress",
                    "The first request with this Idempotency-Key is still running; ask again soon.",
                    headers={"Retry-After": "1"},
                )
            case KeyReused():
                raise _key_reused()
            case Claimed():
                return await self._place_claimed(order, data, wait_seconds, key, claim)

    async def _place_claimed(
        self, order: Order, data: domain.PlaceOrder, wait_seconds: float, key: str, claim: Claimed
    ) -> StoredResponse:
        try:
            answer = await self._place(order, data, wait_seconds)
        except BaseException:
            await asyncio.shield(self._keys.release(key, claim.token))
            raise
        self._keys.finish(key, claim, answer)
        return answer

    async def _place(
        self, order: Order, data: domain.PlaceOrder, wait_seconds: float
    ) -> StoredResponse:
        instance, messages = self._orchestrator.begin(PLACE_ORDER, order.order_id, data)
        is_new = await self._write((order, instance, messages))
        if not is_new:
            existing = await self._row(order.order_id)
            if existing.fingerprint != order.fingerprint:
                raise _key_reused()
        if wait_seconds > 0:
            settled = await self._outcomes.wait_for(order.order_id, wait_seconds)
            return _outcome(settled or await self._row(order.order_id))
        return _accepted(view_of(order)) if is_new else _outcome(await self._row(order.order_id))

    async def cancel(self, order_id: str, *, wait_seconds: float) -> StoredResponse:
        """Start the cancellation; raises Refused, or Problem for an unknown order."""
        async with self._outbox.transaction() as transaction:
            connection = transaction.connection
            row = await store.find_order(connection, order_id, lock=True)
            if row is None:
                raise _unknown(order_id)
            data = domain.cancellation(store.order_of(row))
            instance, messages = self._orchestrator.begin(CANCEL_ORDER, order_id, data)
            await self._orchestrator.store.insert(connection, [instance])
            await store.set_status(connection, order_id, OrderStatus.CANCELLING)
            transaction.send(messages)
        settled = await self._outcomes.wait_for(order_id, wait_seconds) if wait_seconds else None
        row = settled or await self._row(order_id)
        if row.status == OrderStatus.CONFIRMED:
            raise domain.Refused(
                row.reason or "refund_failed", "The refund failed; nothing changed."
            )
        view = view_of(row)
        if view.status is OrderStatus.CANCELLED:
            return StoredResponse(200, _json(view), {"Content-Type": JSON})
        return _accepted(view)

    async def view(self, order_id: str) -> OrderView:
        """An order with its timeline and its parcel's; raises Problem for an unknown one."""
        async with self._reader.connect() as connection:
            row = await store.find_order(connection, order_id)
            if row is None:
                raise _unknown(order_id)
            instances = await self._orchestrator.store.find(connection, order_id)
            was_confirmed = OrderStatus(row.status).was_confirmed
            steps = await store.find_shipment(connection, order_id) if was_confirmed else []
        return view_of(row, timeline_of(instances), shipment_of(steps))

    async def page(
        self,
        *,
        customer_id: str | None,
        status: OrderStatus | None,
        limit: int,
        cursor: str | None,
    ) -> OrderPage:
        """A page of orders, newest first; raises Problem for a cursor that is not one of ours."""
        rows = await store.list_orders(
            self._reader,
            customer_id=customer_id,
            status=status,
            before=_position(cursor),
            limit=limit + 1,
        )
        more = len(rows) > limit
        views = [view_of(row) for row in rows[:limit]]
        next_cursor = _cursor(rows[limit - 1]) if more else None
        return OrderPage(orders=views, next_cursor=next_cursor)

    async def open_stream(
        self, order_id: str, *, after: int
    ) -> AsyncIterator[tuple[int, str, dict[str, Any]]] | None:
        """The order's timeline entries, numbered, then its outcome; those numbered `after` or less
        are left out. None when that leaves nothing; raises Problem.
        """
        view = await self.view(order_id)
        written = len(view.timeline or [])
        if view.status.is_settled and after > written:
            return None
        if self._streams >= self._max_streams:
            raise Problem(503, "too_many_streams", "Too many event streams are open; poll instead.")
        return self._stream(order_id, min(after, written))

    async def _stream(
        self, order_id: str, after: int
    ) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
        seen = after
        loop = asyncio.get_running_loop()
        until = loop.time() + STREAM_MAX_SECONDS
        self._streams += 1
        try:
            while loop.time() < until:
                view = await self.view(order_id)
                timeline = view.timeline or []
                for entry in timeline[seen:]:
                    seen += 1
                    yield seen, "timeline", entry.model_dump(mode="json", exclude_none=True)
                if view.status.is_settled:
                    outcome = view.model_dump(mode="json", exclude_none=True, exclude={"timeline"})
                    yield seen + 1, "outcome", outcome
                    return
                await asyncio.sleep(STREAM_POLL_SECONDS)
        finally:
            self._streams -= 1

    async def census(self) -> dict[str, dict[str, int]]:
        """Saga instances by saga and status."""
        return await self._orchestrator.store.census(self._reader, self._orchestrator.names)

    async def _row(self, order_id: str) -> Any:
        async with self._reader.connect() as connection:
            row = await store.find_order(connection, order_id)
        if row is None:
            raise _unknown(order_id)
        return row


def _outcome(row: Any) -> StoredResponse:
    """201 confirmed, 402 or 409 refused, else 202 as it goes on."""
    view = view_of(row)
    location = {"Location": f"/orders/{view.order_id}"}
    if view.status is OrderStatus.PENDING:
        return _accepted(view)
    if view.status is not OrderStatus.REJECTED:
        return StoredResponse(201, _json(view), {"Content-Type": JSON, **location})
    code = view.reason or "rejected"
    problem = Problem(
        409 if code in _STOCK_REASONS else 402,
        code,
        view.detail or _TEXTS.get(code, "The order was rejected."),
        order_id=view.order_id,
    )
    headers = {"Content-Type": PROBLEM_JSON, **location}
    return StoredResponse(problem.status, problem.body(), headers)


_STOCK_REASONS = frozenset(
    {"unknown_book", "out_of_stock", "price_changed", "released", "reserve_stock_timeout"}
)
_TEXTS = {
    "unknown_book": "A book of the order is not in the catalogue.",
    "out_of_stock": "There are not enough copies of a book of the order.",
    "price_changed": "A book's price has changed; look at it again before ordering.",
    "card_declined": "The card was declined; try another one.",
    "insufficient_funds": "The card has not enough funds; try another one.",
    "expired_card": "The card has expired; try another one.",
    "authentication_required": "The bank wants the customer to authenticate the payment.",
    "processing_error": "The card could not be processed; try again later.",
    "authorize_payment_timeout": "The payment gateway did not answer in time; nothing was charged.",
    "reserve_stock_timeout": "The stock could not be reserved in time; nothing was charged.",
}


def _accepted(view: OrderView) -> StoredResponse:
    headers = {"Content-Type": JSON, "Location": f"/orders/{view.order_id}"}
    return StoredResponse(202, _json(view), headers)


def _json(view: OrderView) -> bytes:
    return view.model_dump_json(exclude_none=True).encode()


def _unknown(order_id: str) -> Problem:
    return Problem(404, "order_not_found", f"There is no order {order_id}.")


def _key_reused() -> Problem:
    return Problem(
        422,
        "idempotency_key_reused",
        "This Idempotency-Key was used for another request; use a new key for a new order.",
    )


def _cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(
        f"{row.created_at.isoformat()}|{row.order_id}".encode()
    ).decode()


def _position(cursor: str | None) -> tuple[datetime, str] | None:
    if cursor is None:
        return None
    try:
        at, _, order_id = base64.urlsafe_b64decode(cursor).decode().partition("|")
        # Through the time stamp: what is no moment that a database can hold fails here.
        moment = datetime.fromtimestamp(datetime.fromisoformat(at).timestamp(), UTC)
        return moment, str(uuid.UUID(order_id))
    except (ValueError, OverflowError, OSError):
        raise Problem(422, "invalid_cursor", "Use a next_cursor as it was answered.") from None
