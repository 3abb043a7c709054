"""Interactions on a real DynamoDB API, in a table of the test's own."""

import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from contracts.models.order import OrderConfirmed
from messaging import is_outage
from search_service.interactions import (
    LATEST,
    WRITE_TRIES,
    Interaction,
    Interactions,
    InteractionsUnavailable,
    Kind,
    ordered,
)

NOW = datetime.now(UTC)


@pytest.fixture
def interactions(aws: Any, table: str) -> Interactions:
    return Interactions(aws.dynamodb, table=table)


def did(
    customer: str, book: str, kind: Kind = Kind.VIEW, ago: timedelta = timedelta(minutes=1)
) -> Interaction:
    return Interaction(customer, book, kind, NOW - ago, f"{customer}-{book}")


async def everything(interactions: Interactions) -> list[Interaction]:
    return [each async for page in interactions.all() for each in page]


class Thin:
    """A DynamoDB that takes at most `accepts` items a call, as when it is throttled."""

    def __init__(self, dynamodb: Any, accepts: int) -> None:
        self.calls: list[int] = []
        self._dynamodb = dynamodb
        self._accepts = accepts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._dynamodb, name)

    async def batch_write_item(self, RequestItems: dict[str, list[Any]]) -> Any:
        ((table, requests),) = RequestItems.items()
        self.calls.append(len(requests))
        taken, refused = requests[: self._accepts], requests[self._accepts :]
        if taken:
            await self._dynamodb.batch_write_item(RequestItems={table: taken})
        return {"UnprocessedItems": {table: refused} if refused else {}}


async def test_order_is_one_interaction_a_book_whatever_its_lines(
    interactions: Interactions,
) -> None:
    price = {"amount_minor": 999, "currency": "EUR"}
    books = [str(uuid.uuid4()), str(uuid.uuid4())]
    event = OrderConfirmed.model_validate(
        {
            "order_id": str(uuid.uuid4()),
            "customer_id": "ada",
            "lines": [
                {"book_id": book, "quantity": quantity, "unit_price": price}
                for book, quantity in ((books[0], 2), (books[1], 1), (books[0], 3))
            ],
            "total": price,
        }
    )
    await interactions.append(ordered(event, NOW))
    history = await interactions.of_customer("ada")
    assert {(each.book_id, each.copies) for each in history.latest} == {
        (books[0], 5),
        (books[1], 1),
    }
    assert {each.at for each in history.latest} == {NOW}
    assert history.bought == set(books)


async def test_same_event_twice_is_stored_once(interactions: Interactions) -> None:
    both = [did("ada", "emma", Kind.ORDER), did("ada", "ulysses", Kind.ORDER)]
    await interactions.append([*both, *both])
    await interactions.append(both)
    assert len(await everything(interactions)) == 2


async def test_newest_interactions_of_both_kinds_come_first(interactions: Interactions) -> None:
    ago = [timedelta(minutes=minute) for minute in range(LATEST + 20)]
    kinds = [Kind.ORDER if index % 3 == 0 else Kind.VIEW for index in range(len(ago))]
    done = [did("ada", f"b{i}", kinds[i], ago[i]) for i in range(len(ago))]
    await interactions.append(random.sample(done, len(done)))
    history = await interactions.of_customer("ada")
    assert list(history.latest) == done[:LATEST]


async def test_purchase_is_known_however_much_was_viewed_since(
    interactions: Interactions,
) -> None:
    await interactions.append([did("ada", "emma", Kind.ORDER, timedelta(days=80))])
    await interactions.append([did("ada", f"b{index}") for index in range(3 * LATEST)])
    assert (await interactions.of_customer("ada")).bought == {"emma"}


async def test_customers_do_not_see_each_other(interactions: Interactions) -> None:
    await interactions.append([did("ada", "emma"), did("adam", "ulysses")])
    for customer, book in (("ada", "emma"), ("adam", "ulysses"), ("eve", None)):
        history = await interactions.of_customer(customer)
        assert [each.book_id for each in history.latest] == ([book] if book else [])


async def test_expired_interactions_are_not_read_before_dynamodb_removes_them(
    aws: Any, table: str, interactions: Interactions
) -> None:
    old = did("ada", "emma", Kind.ORDER, timedelta(days=91))
    await aws.dynamodb.put_item(
        TableName=table,
        Item={
            "pk": {"S": "customer#ada"},
            "sk": {"S": f"order#{old.at.isoformat(timespec='microseconds')}#emma#1"},
            "copies": {"N": "1"},
            "expires_at": {"N": str(int((old.at + timedelta(days=90)).timestamp()))},
        },
    )
    assert (await interactions.of_customer("ada")).bought == set()
    assert await everything(interactions) == []


async def test_what_is_90_days_old_is_not_stored(
    aws: Any, table: str, interactions: Interactions
) -> None:
    await interactions.append([did("ada", "emma", ago=timedelta(days=91)), did("ada", "ulysses")])
    assert (await aws.dynamodb.scan(TableName=table))["Count"] == 1


async def test_all_reads_every_page_of_every_segment_once(interactions: Interactions) -> None:
    done = [did(f"c{index % 300}", f"b{index}") for index in range(2500)]
    await interactions.append(done)
    found = await everything(interactions)
    assert len(found) == len(done)
    assert set(found) == set(done)


async def test_reader_that_stops_early_leaves_no_scan_behind(
    aws: Any, table: str, interactions: Interactions
) -> None:
    await interactions.append([did(f"c{index}", "emma") for index in range(200)])
    scans = Scans(aws.dynamodb)
    pages = Interactions(scans, table=table).all()
    async for _ in pages:
        break
    await pages.aclose()
    assert scans.running == 0


class Scans:
    """Counts the scans under way."""

    def __init__(self, dynamodb: Any) -> None:
        self.running = 0
        self._dynamodb = dynamodb

    async def scan(self, **arguments: Any) -> Any:
        self.running += 1
        try:
            # One item a call, so that there is always more to read.
            return await self._dynamodb.scan(**arguments | {"Limit": 1})
        finally:
            self.running -= 1


async def test_a_failing_segment_fails_the_whole_read(aws: Any) -> None:
    missing = Interactions(aws.dynamodb, table="no-such-table")
    with pytest.raises(aws.dynamodb.exceptions.ResourceNotFoundException):
        await everything(missing)


async def test_unprocessed_items_are_sent_again(aws: Any, table: str) -> None:
    thin = Thin(aws.dynamodb, accepts=10)
    interactions = Interactions(thin, table=table)
    await interactions.append([did("ada", f"b{index}") for index in range(25)])
    assert thin.calls == [25, 15, 5]
    assert len(await everything(interactions)) == 25


async def test_items_that_are_never_taken_fail_after_bounded_tries(
    aws: Any, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search_service.interactions.FIRST_PAUSE_SECONDS", 0)
    thin = Thin(aws.dynamodb, accepts=0)
    with pytest.raises(InteractionsUnavailable) as refused:
        await Interactions(thin, table=table).append([did("ada", "emma")])
    assert is_outage(refused.value)  # And so no innocent event becomes a dead letter.
    assert len(thin.calls) == WRITE_TRIES
