"""What customers viewed and ordered, kept for 90 days in DynamoDB.

Guarantee: an interaction that `append` has returned for is stored, and telling it again stores
nothing more, since its key is made of nothing but what happened.

    pk  customer#<customer id>
    sk  <kind>#<time, UTC, microseconds>#<book id>#<cause>

Kinds stand apart in the sort key, so that all that a customer ordered can be read, however much was
viewed since. Expiry is compared here: DynamoDB removes expired items only within a few days
("Amazon DynamoDB Developer Guide", Using time to live).
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from batching import Batcher
from contracts.models.order import OrderConfirmed

KEEP = timedelta(days=90)
# BatchWriteItem takes 25 items, and may return some as unprocessed (DynamoDB API Reference).
MAX_BATCH_ITEMS = 25
WRITE_TRIES = 6
FIRST_PAUSE_SECONDS = 0.05
# Of one customer: what is looked at for tastes, and what is known as bought.
LATEST = 50
MAX_BOUGHT = 1000
# A page of a scan is parsed in one go while the event loop waits: 500 items delay it by 20 ms at
# the 99th percentile, 200 by 5.
SCAN_PAGE_ITEMS = 200

Item = dict[str, dict[str, str]]


class InteractionsUnavailable(ConnectionError):
    """DynamoDB has not taken an interaction, after several tries: tell it again later. It is a
    ConnectionError, so callers take it for the outage that it is.
    """


class Kind(StrEnum):
    """What a customer did with a book."""

    VIEW = "view"
    ORDER = "order"


@dataclass(frozen=True, slots=True)
class Interaction:
    """A customer and a book at a time; `cause` is the id of the order, or of the request."""

    customer_id: str
    book_id: str
    kind: Kind
    at: datetime
    cause: str
    copies: int = 1


@dataclass(frozen=True, slots=True)
class History:
    """A customer's newest interactions of either kind, newest first, and the books bought."""

    latest: Sequence[Interaction] = ()
    bought: frozenset[str] = frozenset()


def ordered(event: OrderConfirmed, at: datetime) -> list[Interaction]:
    """One interaction a book of the order; `at` is the time on the event's envelope."""
    copies: Counter[str] = Counter()
    for line in event.lines:
        copies[line.book_id] += line.quantity
    return [
        Interaction(event.customer_id, book_id, Kind.ORDER, at, event.order_id, count)
        for book_id, count in copies.items()
    ]


class Interactions:
    """One DynamoDB table with string keys `pk` and `sk`, and the TTL attribute `expires_at`."""

    def __init__(self, dynamodb: Any, *, table: str) -> None:
        self._dynamodb = dynamodb
        self._table = table
        self._writes: Batcher[Item, None] = Batcher(self._write_all, max_items=MAX_BATCH_ITEMS)

    async def append(self, interactions: Iterable[Interaction]) -> None:
        """Store them; raises InteractionsUnavailable, or what DynamoDB's client raises.

        What is 90 days old is dropped, as by a replay of old events.
        """
        oldest = _oldest()
        items = [_item(each) for each in interactions if each.at > oldest]
        results = await asyncio.gather(*map(self._writes, items), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def of_customer(self, customer_id: str) -> History:
        """Two queries: the newest views and orders, up to 50, and up to 1,000 books bought."""
        views, orders = await asyncio.gather(
            self._newest(customer_id, Kind.VIEW, LATEST),
            self._newest(customer_id, Kind.ORDER, MAX_BOUGHT),
        )
        latest = sorted([*views, *orders[:LATEST]], key=lambda each: each.at, reverse=True)
        return History(latest[:LATEST], frozenset(each.book_id for each in orders))

    async def all(self, segments: int = 4) -> AsyncGenerator[list[Interaction], None]:
        """All customers' interactions, in pages, in no order; `segments` are read side by side.

        Close it (`contextlib.aclosing`) when it is left early, so that no scan goes on.

        What it costs: the table is read as a whole, eventually consistent, at half a read unit for
        each 4 KB. An item has 190 bytes, so a million of them are 23,000 units (0.3 cents at 0.125
        dollars a million units, the on-demand price of us-east-1 in 2025).
        """
        pages: asyncio.Queue[list[Interaction]] = asyncio.Queue(maxsize=segments)
        reading = [
            asyncio.create_task(self._scan(segment, segments, pages)) for segment in range(segments)
        ]
        everything = asyncio.gather(*reading)
        try:
            while not (everything.done() and pages.empty()):
                getting = asyncio.ensure_future(pages.get())
                waits: list[asyncio.Future[Any]] = [getting, everything]
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                if getting.done():
                    yield getting.result()
                    continue
                getting.cancel()
                everything.result()  # A segment that failed fails the whole.
        finally:
            for task in reading:
                task.cancel()
            await asyncio.gather(*reading, return_exceptions=True)

    async def _newest(self, customer_id: str, kind: Kind, limit: int) -> list[Interaction]:
        found: list[Interaction] = []
        after: dict[str, Any] = {}
        while len(found) < limit:
            answer = await self._dynamodb.query(
                TableName=self._table,
                KeyConditionExpression="pk = :pk AND sk BETWEEN :oldest AND :end",
                ExpressionAttributeValues={
                    ":pk": {"S": f"customer#{customer_id}"},
                    ":oldest": {"S": f"{kind}#{_time(_oldest())}"},
                    ":end": {"S": f"{kind}#~"},  # After every digit.
                },
                ScanIndexForward=False,
                Limit=limit - len(found),
                **after,
            )
            found += map(_interaction, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                break
            after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
        return found

    async def _scan(
        self, segment: int, segments: int, pages: "asyncio.Queue[list[Interaction]]"
    ) -> None:
        after: dict[str, Any] = {}
        while True:
            answer = await self._dynamodb.scan(
                TableName=self._table,
                Segment=segment,
                TotalSegments=segments,
                Limit=SCAN_PAGE_ITEMS,
                **after,
            )
            now = time.time()
            page = [
                _interaction(item)
                for item in answer["Items"]
                if item["pk"]["S"].startswith("customer#") and _expiry(item) > now
            ]
            if page:
                await pages.put(page)
            if "LastEvaluatedKey" not in answer:
                return
            after = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    async def _write_all(self, items: list[Item]) -> Sequence[InteractionsUnavailable | None]:
        # A call that names a key twice is refused as a whole.
        left = {_key(item): item for item in items}
        for attempt in range(WRITE_TRIES):
            if attempt:
                # Full jitter ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
                await asyncio.sleep(random.uniform(0, FIRST_PAUSE_SECONDS * 2**attempt))
            answer = await self._dynamodb.batch_write_item(
                RequestItems={
                    self._table: [{"PutRequest": {"Item": item}} for item in left.values()]
                }
            )
            unprocessed = answer.get("UnprocessedItems", {}).get(self._table, [])
            keys = {_key(request["PutRequest"]["Item"]) for request in unprocessed}
            left = {key: item for key, item in left.items() if key in keys}
            if not left:
                break
        why = InteractionsUnavailable(f"{self._table} took {WRITE_TRIES} times not all items")
        return [why if _key(item) in left else None for item in items]


def _item(interaction: Interaction) -> Item:
    parts = (
        interaction.kind,
        _time(interaction.at),
        interaction.book_id,
        interaction.cause,
    )
    return {
        "pk": {"S": f"customer#{interaction.customer_id}"},
        "sk": {"S": "#".join(parts)},
        "copies": {"N": str(interaction.copies)},
        "expires_at": {"N": str(int((interaction.at + KEEP).timestamp()))},
    }


def _interaction(item: Item) -> Interaction:
    kind, at, book_id, cause = item["sk"]["S"].split("#", 3)
    return Interaction(
        customer_id=item["pk"]["S"].removeprefix("customer#"),
        book_id=book_id,
        kind=Kind(kind),
        at=datetime.fromisoformat(at),
        cause=cause,
        copies=int(item["copies"]["N"]),
    )


def _key(item: Item) -> tuple[str, str]:
    return item["pk"]["S"], item["sk"]["S"]


def _expiry(item: Item) -> int:
    return int(item["expires_at"]["N"])


def _time(at: datetime) -> str:
    """Text that sorts as the times do."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def _oldest() -> datetime:
    return datetime.fromtimestamp(time.time(), UTC) - KEEP
