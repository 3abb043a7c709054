"""Many workers and importers at once, on a real database."""

import asyncio
import random
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import BaseModel

from contracts.models.catalog import ReleaseStock, ReserveStock
from messaging import Envelope, RetryLater

Handle = Callable[[Envelope], Awaitable[bool]]
Sent = Callable[..., Awaitable[list[dict[str, Any]]]]
ListBook = Callable[..., Awaitable[dict[str, Any]]]
Stock = Callable[[], Awaitable[dict[str, int]]]
Wrap = Callable[[BaseModel], Envelope]


def reserve(*wanted: tuple[dict[str, Any], int], order_id: str | None = None) -> ReserveStock:
    lines = [
        {"book_id": book["book_id"], "quantity": quantity, "unit_price": book["price"]}
        for book, quantity in wanted
    ]
    return ReserveStock.model_validate({"order_id": order_id or str(uuid.uuid4()), "lines": lines})


async def redelivered(handle: Handle, message: Envelope) -> bool:
    """Handle like the consumer does: what is too early comes again."""
    while True:
        try:
            return await handle(message)
        except RetryLater as error:
            await asyncio.sleep(error.seconds)


async def test_concurrent_orders_never_oversell_nor_deadlock(
    list_book: ListBook,
    new_worker: Callable[[], Handle],
    sent: Sent,
    stock: Stock,
    envelope: Wrap,
) -> None:
    books = [await list_book(40) for _ in range(4)]
    workers = [new_worker() for _ in range(4)]
    dice = random.Random(7)
    messages = []
    for _ in range(200):
        wanted = dice.sample(books, k=2)  # In any order: the locks must not follow it.
        messages.append(envelope(reserve(*((book, 1) for book in wanted))))
    await asyncio.gather(
        *(redelivered(workers[i % 4], message) for i, message in enumerate(messages))
    )
    reserved, refused = await sent("StockReserved"), await sent("StockUnavailable")
    assert len(reserved) + len(refused) == 200
    assert {answer["reason"] for answer in refused} == {"out_of_stock"}
    census = await stock()
    assert census["reserved"] == 2 * len(reserved)
    # 400 copies were wanted of 160; only copies without a partner may be left over.
    assert len(reserved) > 60


async def test_copies_of_a_message_at_two_workers_reserve_once(
    list_book: ListBook,
    new_worker: Callable[[], Handle],
    sent: Sent,
    stock: Stock,
    envelope: Wrap,
) -> None:
    book = await list_book(100)
    workers = [new_worker() for _ in range(3)]
    messages = [envelope(reserve((book, 1))) for _ in range(20)]
    fresh = await asyncio.gather(
        *(redelivered(worker, message) for message in messages for worker in workers)
    )
    assert fresh.count(True) == 20
    assert (await stock())["reserved"] == 20
    assert len(await sent("StockReserved")) == 20


async def test_release_racing_its_reserve_leaves_nothing_held(
    list_book: ListBook,
    new_worker: Callable[[], Handle],
    sent: Sent,
    stock: Stock,
    envelope: Wrap,
) -> None:
    book = await list_book(100)
    reserving, releasing = new_worker(), new_worker()
    orders = [str(uuid.uuid4()) for _ in range(40)]
    await asyncio.gather(
        *(redelivered(reserving, envelope(reserve((book, 1), order_id=o))) for o in orders),
        *(redelivered(releasing, envelope(ReleaseStock(order_id=o))) for o in orders),
    )
    assert (await stock())["reserved"] == 0
    assert len(await sent("StockReleased")) == 40
    assert len(await sent("StockReserved", "StockUnavailable")) == 40


async def test_two_releases_of_an_order_at_once_give_back_once(
    list_book: ListBook,
    new_worker: Callable[[], Handle],
    stock: Stock,
    envelope: Wrap,
) -> None:
    book = await list_book(100)
    first, second = new_worker(), new_worker()
    # The other orders' holds are what a second release would give away.
    orders = [str(uuid.uuid4()) for _ in range(60)]
    await asyncio.gather(*(first(envelope(reserve((book, 1), order_id=o))) for o in orders))
    for released in orders[:20]:
        await asyncio.gather(
            *(redelivered(w, envelope(ReleaseStock(order_id=released))) for w in (first, second))
        )
    assert (await stock())["reserved"] == 40


async def test_same_new_books_listed_at_once_are_created_once(
    client: httpx.AsyncClient, sent: Sent, stock: Stock
) -> None:
    books = [
        {
            "title": f"Volume {i}",
            "authors": ["Anonymous"],
            "subjects": [],
            "language": "en",
            "price": {"amount_minor": 100, "currency": "EUR"},
            "initial_stock": 10,
        }
        for i in range(100)
    ]
    requests = [books, list(reversed(books)), books[50:] + books[:50]]
    answers = await asyncio.gather(
        *(client.post("/books/batch", json={"books": request}) for request in requests)
    )
    outcomes = [r["outcome"] for answer in answers for r in answer.json()["results"]]
    assert outcomes.count("created") == 100
    assert outcomes.count("unchanged") == 200
    assert (await stock())["received"] == 1000
    assert len(await sent("BookListed")) == 100


async def test_isbn_claimed_by_two_books_at_once_goes_to_one(client: httpx.AsyncClient) -> None:
    def claim(book_id: str, isbn: str | None) -> dict[str, Any]:
        book = {
            "book_id": book_id,
            "title": "Emma",
            "authors": ["Jane Austen"],
            "subjects": [],
            "language": "en",
            "price": {"amount_minor": 100, "currency": "EUR"},
        }
        return {**book, "isbn": isbn} if isbn is not None else book

    isbns = ["9780141439518", "9780306406157", "9791090636071", "9780141439587"]
    for isbn in isbns:
        listed, new = str(uuid.uuid4()), str(uuid.uuid4())
        await client.put(f"/books/{listed}", json=claim(listed, None))
        answers = await asyncio.gather(
            *(client.put(f"/books/{book}", json=claim(book, isbn)) for book in (listed, new))
        )
        codes = sorted(answer.status_code for answer in answers)
        assert codes in ([200, 409], [201, 409])


async def test_revisions_at_once_are_published_one_by_one(
    client: httpx.AsyncClient, list_book: ListBook, sent: Sent
) -> None:
    book = await list_book(10)
    url = f"/books/{book['book_id']}"
    changes = {name: book[name] for name in ("title", "authors", "subjects", "language")}
    prices = range(100, 112)
    await asyncio.gather(
        *(
            client.put(url, json={**changes, "price": {"amount_minor": p, "currency": "EUR"}})
            for p in prices
        )
    )
    revisions = await sent("BookRevised")
    assert [revision["version"] for revision in revisions] == list(range(2, 14))
    assert {r["book"]["price"]["amount_minor"] for r in revisions} == set(prices)
    assert (await client.get(url)).json()["price"] == revisions[-1]["book"]["price"]
