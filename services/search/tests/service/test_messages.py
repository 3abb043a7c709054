"""What the service makes of its messages."""

import asyncio
import uuid
from typing import Any

import pytest

from contracts.models.catalog import BookListed, BookRevised, StockLevelChanged
from contracts.models.common import Money, OrderLine
from contracts.models.order import OrderConfirmed
from messaging import ContractViolation, Sender


def confirmed(customer: str, *book_ids: str) -> OrderConfirmed:
    price = Money(amount_minor=1699, currency="EUR")
    return OrderConfirmed(
        order_id=str(uuid.uuid4()),
        customer_id=customer,
        lines=[OrderLine(book_id=each, quantity=1, unit_price=price) for each in book_ids],
        total=price,
    )


async def found(shop: Any, text: str) -> Any:
    return await shop.get("/search", q=text)


async def test_listed_book_can_be_found_and_is_in_stock(shop: Any, book: Any) -> None:
    emma = book("Emma")
    await shop.tell(BookListed(book=emma, version=1))
    (hit,) = (await found(shop, "emma"))["hits"]
    assert (hit["book_id"], hit["availability"]) == (emma.book_id, "in_stock")
    assert hit["price"] == {"amount_minor": 1699, "currency": "EUR"}
    assert hit["highlights"] == {"title": "<mark>Emma</mark>"}


async def test_message_is_handled_once_and_counted_once(shop: Any, book: Any) -> None:
    before = dict(await shop.resources.inbox.census())
    event = BookListed(book=book(), version=1)
    assert await shop.tell(event, message_id="same")
    assert not await shop.tell(event, message_id="same")
    after = await shop.resources.inbox.census()
    assert after["BookListed"] == before.get("BookListed", 0) + 1


async def test_revision_that_overtakes_the_listing_stays(shop: Any, book: Any) -> None:
    emma = book("Emma")
    revised = emma.model_copy(update={"title": "Emma, annotated"})
    await shop.tell(BookRevised(book=revised, version=2))
    await shop.tell(BookListed(book=emma, version=1))
    (hit,) = (await found(shop, "emma"))["hits"]
    assert hit["title"] == "Emma, annotated"


@pytest.mark.parametrize(
    ("available", "shown"), [(0, "out_of_stock"), (1, "few_left"), (5, "few_left")]
)
async def test_scarce_stock_is_shown_whether_told_before_or_after_the_book(
    shop: Any, book: Any, available: int, shown: str
) -> None:
    first, second = book("First told"), book("Second told")
    scarce = {"available": available, "version": 2}
    await shop.tell(StockLevelChanged(book_id=first.book_id, **scarce))
    await shop.tell(BookListed(book=first, version=1))
    await shop.tell(BookListed(book=second, version=1))
    await shop.tell(StockLevelChanged(book_id=second.book_id, **scarce))
    hits = (await found(shop, "told"))["hits"]
    assert [hit["availability"] for hit in hits] == [shown, shown]


async def test_message_that_breaks_its_contract_takes_no_other_down(shop: Any, book: Any) -> None:
    sender = Sender("catalog")
    good = BookListed(book=book("Persuasion"), version=1)
    broken = sender.envelope(good, cause="x", subject="s", correlation_id=str(uuid.uuid4()))
    del broken.data["version"]
    results = await asyncio.gather(shop.tell(good), shop.handle(broken), return_exceptions=True)
    assert results[0] is True
    assert isinstance(results[1], ContractViolation)
    assert (await found(shop, "persuasion"))["total"] == 1


async def test_order_feeds_trending_and_the_customers_history(shop: Any, book: Any) -> None:
    emma, other = book("Emma"), book("Persuasion")
    for each in (emma, other):
        await shop.tell(BookListed(book=each, version=1))
    customer = f"c-{uuid.uuid4()}"
    await shop.tell(confirmed(customer, emma.book_id))
    shown = await shop.get("/trending", limit=100)
    assert emma.book_id in {each["book_id"] for each in shown["books"]}
    mine = await shop.get(f"/recommendations/{customer}")
    assert emma.book_id not in {each["book_id"] for each in mine["books"]}
    assert other.book_id in {each["book_id"] for each in mine["books"]}
