"""Listing and reading books over HTTP, on a real database."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from sqlalchemy import event

from chassis import SqlResources
from contracts import validate

Sent = Callable[..., Awaitable[list[dict[str, Any]]]]
Stock = Callable[[], Awaitable[dict[str, int]]]


def a_book(**changes: Any) -> dict[str, Any]:
    book = {
        "isbn": "9780141439518",
        "title": "Pride and Prejudice",
        "authors": ["Jane Austen"],
        "subjects": ["Courtship", "England"],
        "language": "en",
        "year": 1813,
        "price": {"amount_minor": 1299, "currency": "EUR"},
        "initial_stock": 25,
        **changes,
    }
    return {name: value for name, value in book.items() if value is not None}


async def batch(client: httpx.AsyncClient, *books: Any) -> list[dict[str, Any]]:
    answer = await client.post("/books/batch", json={"books": list(books)})
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


async def test_listed_book_is_shown_with_its_stock(client: httpx.AsyncClient) -> None:
    url = f"/books/{uuid.uuid4()}"
    created = await client.put(url, json=a_book())
    assert created.status_code == 201
    shown = (await client.get(url)).json()
    assert shown == created.json()
    expected = a_book(initial_stock=None, book_id=url.removeprefix("/books/"))
    assert shown == {**expected, "available": 25, "version": 1, "stock_version": 1}


async def test_book_without_isbn_or_year_shows_neither(client: httpx.AsyncClient) -> None:
    url = f"/books/{uuid.uuid4()}"
    await client.put(url, json=a_book(isbn=None, year=None))
    assert not {"isbn", "year"} & (await client.get(url)).json().keys()


async def test_revision_is_published_and_leaves_the_stock(
    client: httpx.AsyncClient, sent: Sent
) -> None:
    url = f"/books/{uuid.uuid4()}"
    await client.put(url, json=a_book())
    await client.get(url)  # Now it is cached.
    price = {"amount_minor": 999, "currency": "EUR"}
    revised = await client.put(url, json=a_book(price=price, initial_stock=500))
    assert revised.status_code == 200
    shown = (await client.get(url)).json()
    assert (shown["price"], shown["available"], shown["version"]) == (price, 25, 2)
    listed, changed = await sent()
    assert (listed["type"], listed["version"]) == ("BookListed", 1)
    assert (changed["type"], changed["version"]) == ("BookRevised", 2)
    assert changed["book"]["price"] == price


async def test_published_books_keep_their_contract(client: httpx.AsyncClient, sent: Sent) -> None:
    await batch(client, a_book(initial_stock=0), a_book(title="Ode", isbn=None, year=-23))
    messages = await sent()
    assert {m["type"] for m in messages} == {"BookListed", "StockLevelChanged"}
    for message in messages:
        validate(message.pop("type"), 1, message)


async def test_batch_again_changes_and_publishes_nothing(
    client: httpx.AsyncClient, sent: Sent, stock: Stock
) -> None:
    books = [a_book(), a_book(title="Emma", isbn=None), a_book(title="Persuasion", isbn=None)]
    first = await batch(client, *books)
    before = (await stock(), await sent())
    again = await batch(client, *books)
    assert [r["outcome"] for r in first] == ["created"] * 3
    assert [r["outcome"] for r in again] == ["unchanged"] * 3
    assert [r["book_id"] for r in first] == [r["book_id"] for r in again]
    assert (await stock(), await sent()) == before


async def test_bad_books_of_a_batch_leave_the_good_ones_alone(client: httpx.AsyncClient) -> None:
    results = await batch(
        client,
        a_book(),
        "no book",
        a_book(title="", isbn=None),
        a_book(isbn="9780141439519"),
        a_book(title="Emma", isbn=None),
        a_book(book_id=str(uuid.uuid4())),
        None,
    )
    assert [r["outcome"] for r in results] == [
        "created", "rejected", "rejected", "rejected", "created", "rejected", "rejected",
    ]  # fmt: skip
    assert [r["index"] for r in results] == list(range(7))
    assert "title" in results[2]["error"]
    assert "check digit" in results[3]["error"]
    assert results[0]["book_id"] in results[5]["error"]
    assert len((await client.get("/books")).json()["books"]) == 2


async def test_five_hundred_books_take_three_statements(
    client: httpx.AsyncClient, resources: SqlResources
) -> None:
    books = [a_book(title=f"Volume {i}", isbn=None) for i in range(500)]
    statements: list[str] = []

    def on_statement(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        statements.append(text)

    engine = resources.engine.sync_engine
    event.listen(engine, "before_cursor_execute", on_statement)
    try:
        created = await batch(client, *books)
        assert len(statements) == 3, statements  # Look, insert, outbox.
        unchanged = await batch(client, *books)
        assert len(statements) == 4, statements  # Look.
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
    assert {r["outcome"] for r in created} == {"created"}
    assert {r["outcome"] for r in unchanged} == {"unchanged"}


async def test_pages_hold_every_book_once(client: httpx.AsyncClient) -> None:
    results = await batch(client, *(a_book(title=f"Volume {i}", isbn=None) for i in range(7)))
    seen: list[str] = []
    cursor: str | None = None
    while True:
        query: dict[str, Any] = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await client.get("/books", params=query)).json()
        seen += [book["book_id"] for book in page["books"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen == sorted(r["book_id"] for r in results)


async def test_limit_that_fits_exactly_has_no_next_page(client: httpx.AsyncClient) -> None:
    await batch(client, *(a_book(title=f"Volume {i}", isbn=None) for i in range(3)))
    assert "next_cursor" not in (await client.get("/books?limit=3")).json()


async def test_book_may_take_an_isbn_that_was_given_up(client: httpx.AsyncClient) -> None:
    first, second = f"/books/{uuid.uuid4()}", f"/books/{uuid.uuid4()}"
    await client.put(first, json=a_book())
    taken = await client.put(second, json=a_book(title="Emma"))
    assert (taken.status_code, taken.json()["code"]) == (409, "isbn_taken")
    await client.put(first, json=a_book(isbn=None))
    assert (await client.put(second, json=a_book(title="Emma"))).status_code == 201
