"""What the API refuses, and how it says so."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

Stock = Callable[[], Awaitable[dict[str, int]]]
Sent = Callable[..., Awaitable[list[dict[str, Any]]]]
BOOK_ID = "6f1c2b9e-4a57-5d0b-9c1e-2f3a4b5c6d7e"


def a_book(**changes: Any) -> dict[str, Any]:
    return {
        "title": "Emma",
        "authors": ["Jane Austen"],
        "subjects": [],
        "language": "en",
        "price": {"amount_minor": 999, "currency": "EUR"},
        **changes,
    }


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["code"], problem["status"]) == (code, status)
    assert problem["type"] == f"urn:bookstore:problem:{code}"
    assert problem["detail"]


@pytest.mark.parametrize(
    "fault",
    [
        {"title": ""},
        {"title": "   "},
        {"title": "x" * 501},
        {"title": "Em\x00ma"},
        {"title": "Em\x1b[31mma"},
        {"title": 7},
        {"title": None},
        {"authors": []},
        {"authors": "Jane Austen"},
        {"authors": [""]},
        {"authors": ["x" * 301]},
        {"authors": ["A"] * 101},
        {"subjects": ["x" * 201]},
        {"subjects": ["A"] * 101},
        {"language": "English"},
        {"language": "e"},
        {"language": "en\n"},
        {"year": -4001},
        {"year": 2201},
        {"year": 1815.5},
        {"year": "1815"},
        {"year": None},
        {"isbn": "9780141439519"},
        {"isbn": "978-0141439518"},
        {"isbn": "0141439513"},
        {"isbn": 9780141439518},
        {"price": {"amount_minor": -1, "currency": "EUR"}},
        {"price": {"amount_minor": 10_000_000_000, "currency": "EUR"}},
        {"price": {"amount_minor": 9.99, "currency": "EUR"}},
        {"price": {"amount_minor": "999", "currency": "EUR"}},
        {"price": {"amount_minor": 999, "currency": "eur"}},
        {"price": {"amount_minor": 999}},
        {"price": 999},
        {"initial_stock": -1},
        {"initial_stock": 1_000_001},
        {"initial_stock": True},
        {"intial_stock": 5},
        {"book_id": "not-an-id"},
        {"book_id": BOOK_ID.upper()},
        {"book_id": "00000000-0000-4000-8000-000000000000"},
    ],
    ids=repr,
)
async def test_faulty_book_is_refused_with_its_place_and_changes_nothing(
    client: httpx.AsyncClient, stock: Stock, sent: Sent, fault: dict[str, Any]
) -> None:
    answer = await client.put(f"/books/{BOOK_ID}", json=a_book(**fault))
    assert_problem(answer, 422, "invalid_request")
    (error,) = answer.json()["errors"]
    assert error["pointer"].startswith(f"/body/{next(iter(fault))}")
    assert (await stock())["books"] == 0
    assert not await sent()


async def test_missing_fields_are_all_named(client: httpx.AsyncClient) -> None:
    answer = await client.put(f"/books/{BOOK_ID}", json={})
    assert_problem(answer, 422, "invalid_request")
    assert {error["pointer"] for error in answer.json()["errors"]} == {
        f"/body/{name}" for name in ("title", "authors", "subjects", "language", "price")
    }


async def test_half_a_surrogate_pair_is_refused(client: httpx.AsyncClient) -> None:
    body = b'{"title": "\\ud800", "authors": ["A"], "subjects": [], "language": "en", \
"price": {"amount_minor": 1, "currency": "EUR"}}'
    headers = {"content-type": "application/json"}
    answer = await client.put(f"/books/{BOOK_ID}", content=body, headers=headers)
    assert_problem(answer, 422, "invalid_request")


@pytest.mark.parametrize(
    "body",
    [{}, {"books": []}, {"books": [a_book()] * 501}, {"books": a_book()}, [], "books"],
    ids=["none", "empty", "501", "object", "list", "text"],
)
async def test_batch_that_is_none_is_refused(
    client: httpx.AsyncClient, stock: Stock, body: Any
) -> None:
    assert_problem(await client.post("/books/batch", json=body), 422, "invalid_request")
    assert (await stock())["books"] == 0


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "invalid_json"),
        (b'{"books": [}', "application/json", 400, "invalid_json"),
        (b'{"books": ["\xff"]}', "application/json", 400, "bad_request"),
        (b"title=Emma", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"x" * (2 * 1024 * 1024 + 1), "application/json", 413, "content_too_large"),
    ],
    ids=["truncated", "broken", "no UTF-8", "form", "large"],
)
async def test_body_that_is_no_json_is_refused(
    client: httpx.AsyncClient, content: bytes, content_type: str, status: int, code: str
) -> None:
    headers = {"content-type": content_type}
    answer = await client.post("/books/batch", content=content, headers=headers)
    assert_problem(answer, status, code)


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=201", "limit=x", "cursor=", "cursor=abc", "cursor=%C3%A9", "cursor=!"],
)
async def test_bad_page_is_refused(client: httpx.AsyncClient, query: str) -> None:
    assert_problem(await client.get(f"/books?{query}"), 422, "invalid_request")


async def test_unknown_book_is_not_found(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get(f"/books/{uuid.uuid4()}"), 404, "book_not_found")


async def test_id_that_is_none_is_refused(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/books/1"), 422, "invalid_request")
