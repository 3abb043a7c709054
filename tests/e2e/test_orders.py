"""What a customer sees: each way an order can end, over HTTP, through the whole platform."""

import asyncio
import json
import uuid
from typing import Any

import pytest

WAIT = 30


def order_id_of(response: Any) -> str:
    return str(response.headers["location"].rpartition("/")[2])


async def test_order_is_confirmed_within_the_wait(platform: Any) -> None:
    book = await platform.list_book("Confirmed", stock=10)
    answer = await platform.order(book, quantity=2, wait=WAIT)
    assert answer.status_code == 201
    assert answer.headers["preference-applied"] == f"wait={WAIT}"
    order = await platform.get_order(order_id_of(answer))
    assert order["status"] == "confirmed"
    assert order["total"] == {"amount_minor": 2400, "currency": "EUR"}
    received = [e["message"] for e in order["timeline"] if e["event"] == "received"]
    assert received == ["StockReserved", "PaymentAuthorized", "PaymentCaptured"]


async def test_order_without_wait_is_accepted_at_once(platform: Any) -> None:
    book = await platform.list_book("Accepted", stock=10)
    answer = await platform.order(book)
    assert answer.status_code == 202
    assert answer.json()["status"] == "pending"


@pytest.mark.parametrize(
    ("card", "code"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card"),
    ],
)
async def test_declined_payment_rejects_and_releases(platform: Any, card: str, code: str) -> None:
    book = await platform.list_book(f"Declined {code}", stock=3)
    answer = await platform.order(book, quantity=3, card=card, wait=WAIT)
    assert (answer.status_code, answer.json()["code"]) == (402, code)
    assert answer.headers["content-type"] == "application/problem+json"
    order = await platform.get_order(order_id_of(answer))
    assert (order["status"], order["reason"]) == ("rejected", code)
    # The stock is back: the same three can be had with a good card.
    again = await platform.order(book, quantity=3, wait=WAIT)
    assert again.status_code == 201


async def test_last_copies_go_to_as_many_as_there_are(platform: Any) -> None:
    book = await platform.list_book("Scarce", stock=5)
    answers = await asyncio.gather(*(platform.order(book, wait=WAIT) for _ in range(12)))
    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 5 + [409] * 7
    refused = {answer.json()["code"] for answer in answers if answer.status_code == 409}
    assert refused == {"out_of_stock"}


async def test_unknown_book_is_refused(platform: Any) -> None:
    ghost = {
        "book_id": str(uuid.uuid4()),
        "price": {"amount_minor": 100, "currency": "EUR"},
    }
    answer = await platform.order(ghost, wait=WAIT)
    assert (answer.status_code, answer.json()["code"]) == (409, "unknown_book")


async def test_changed_price_is_refused(platform: Any) -> None:
    book = await platform.list_book("Repriced", stock=10)
    stale = {**book, "price": {"amount_minor": 1, "currency": "EUR"}}
    answer = await platform.order(stale, wait=WAIT)
    assert (answer.status_code, answer.json()["code"]) == (409, "price_changed")


async def test_same_key_is_one_order(platform: Any) -> None:
    book = await platform.list_book("Keyed", stock=100)
    key = str(uuid.uuid4())
    answers = await asyncio.gather(*(platform.order(book, key=key) for _ in range(5)))
    accepted = {order_id_of(a) for a in answers if a.status_code == 202}
    assert len(accepted) == 1
    assert {a.status_code for a in answers} <= {202, 409}
    repeat = await platform.order(book, key=key)
    assert repeat.status_code == 202
    assert repeat.headers["idempotency-replayed"] == "true"
    assert {order_id_of(repeat)} == accepted


async def test_key_with_another_payload_is_refused(platform: Any) -> None:
    book = await platform.list_book("Rekeyed", stock=100)
    key = str(uuid.uuid4())
    await platform.order(book, key=key)
    other = await platform.order(book, quantity=2, key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")


async def test_same_key_of_two_customers_is_two_orders(platform: Any) -> None:
    book = await platform.list_book("Two customers", stock=100)
    key = str(uuid.uuid4())
    one = await platform.order(book, key=key, customer="one")
    two = await platform.order(book, key=key, customer="two")
    assert order_id_of(one) != order_id_of(two)


async def test_confirmed_order_can_be_cancelled_once(platform: Any) -> None:
    book = await platform.list_book("Cancelled", stock=1)
    placed = await platform.order(book, wait=WAIT)
    url = f"{platform.endpoints['order']}/orders/{order_id_of(placed)}/cancellation"
    cancelled = await platform.http.post(url, headers={"Prefer": f"wait={WAIT}"})
    assert (cancelled.status_code, cancelled.json()["status"]) == (200, "cancelled")
    again = await platform.http.post(url)
    assert (again.status_code, again.json()["code"]) == (409, "order_already_cancelled")
    # The only copy is back on the shelf.
    assert (await platform.order(book, wait=WAIT)).status_code == 201


async def test_unknown_order_cannot_be_cancelled(platform: Any) -> None:
    url = f"{platform.endpoints['order']}/orders/{uuid.uuid4()}/cancellation"
    answer = await platform.http.post(url)
    assert (answer.status_code, answer.json()["code"]) == (404, "order_not_found")


async def test_event_stream_tells_the_story_and_ends(platform: Any) -> None:
    book = await platform.list_book("Streamed", stock=10)
    placed = await platform.order(book)
    url = f"{platform.endpoints['order']}/orders/{order_id_of(placed)}/events"
    names, documents = [], []
    async with platform.http.stream("GET", url) as stream:
        async for line in stream.aiter_lines():
            if line.startswith("event:"):
                names.append(line.removeprefix("event:").strip())
            elif line.startswith("data:"):
                documents.append(json.loads(line.removeprefix("data:")))
    # Whoever comes again says what arrived, and gets the rest.
    seen = {"Last-Event-ID": str(len(names) - 2)}
    rest = await platform.http.get(url, headers=seen)
    assert [line for line in rest.text.splitlines() if line.startswith("event:")] == [
        "event: timeline", "event: outcome"
    ]  # fmt: skip
    assert (
        await platform.http.get(url, headers={"Last-Event-ID": str(len(names))})
    ).status_code == 204
    assert names[-1] == "outcome"
    assert set(names[:-1]) == {"timeline"}
    assert documents[-1]["status"] == "confirmed"


async def test_orders_are_paged_newest_first(platform: Any) -> None:
    book = await platform.list_book("Paged", stock=100)
    customer = f"pager-{uuid.uuid4().hex[:8]}"
    placed = [order_id_of(await platform.order(book, customer=customer)) for _ in range(5)]
    found: list[str] = []
    cursor: str | None = None
    while True:
        answer = await platform.http.get(
            f"{platform.endpoints['order']}/orders",
            params={"customer_id": customer, "limit": 2, **({"cursor": cursor} if cursor else {})},
        )
        page = answer.json()
        found += [order["order_id"] for order in page["orders"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert found == placed[::-1]
