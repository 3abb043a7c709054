"""The service's HTTP API: pages, filters, and what it refuses."""

import base64
import uuid
from typing import Any

import pytest

from contracts.models.catalog import BookListed


async def shelve(shop: Any, *books: Any) -> None:
    for each in books:
        await shop.tell(BookListed(book=each, version=1))


async def test_pages_show_each_book_once(shop: Any, book: Any) -> None:
    shelf = [book(f"Volume {number}") for number in range(23)]
    await shelve(shop, *shelf)
    seen, cursor = [], {}
    while True:
        page = await shop.get("/search", q="volume", sort="title", limit=10, **cursor)
        assert page["total"] == 23
        seen += [hit["book_id"] for hit in page["hits"]]
        if "next_cursor" not in page:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert sorted(seen) == sorted(each.book_id for each in shelf)


async def test_cursor_goes_on_with_its_own_query_only(shop: Any, book: Any) -> None:
    await shelve(shop, *(book(f"Volume {number}") for number in range(3)))
    page = await shop.get("/search", q="volume", limit=1)
    for other in (
        {"q": "volumes"},
        {"q": "volume", "sort": "year"},
        {"q": "volume", "in_stock": 1},
    ):
        answer = await shop.http.get(
            "/search", params={**other, "limit": 1, "cursor": page["next_cursor"]}
        )
        assert answer.status_code == 422, other
        assert answer.json()["errors"][0]["pointer"] == "/query/cursor"


@pytest.mark.parametrize(
    "content",
    [b"[-1, 0]", b"[1e400, 0]", b"[true, 0]", b"{}", b"[", b"\xff", b"[99999999, 0]", b"1"],
)
async def test_forged_cursor_is_refused(shop: Any, content: bytes) -> None:
    cursor = base64.urlsafe_b64encode(content).rstrip(b"=").decode()
    answer = await shop.http.get("/search", params={"q": "a", "cursor": cursor})
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"


@pytest.mark.parametrize(
    "query",
    [
        {"limit": 0}, {"limit": 101}, {"limit": "ten"}, {"decade": 1815}, {"decade": "1810.5"},
        {"language": "English!"}, {"price_band": "cheap"}, {"sort": "random"}, {"q": "x" * 501},
        {"subject": ""}, {"in_stock": "perhaps"}, {"cursor": "ü"}, {"subject": ["s"] * 21},
        {"query": "austen"}, {"Q": "austen"}, {"page": 2},
    ],
    ids=str,
)  # fmt: skip
async def test_parameters_that_break_the_contract_are_refused(shop: Any, query: Any) -> None:
    answer = await shop.http.get("/search", params=query)
    assert answer.status_code == 422
    assert answer.json()["code"] == "invalid_request"


async def test_filters_hold_together_and_values_of_one_are_alternatives(
    shop: Any, book: Any
) -> None:
    german = book("Faust", language="de", year=1808, subjects=["Drama"])
    english = book("Hamlet", language="en", year=1603, subjects=["Drama"])
    novel = book("Emma", language="en", year=1815, subjects=["Novel"])
    await shelve(shop, german, english, novel)
    both = await shop.get("/search", subject="Drama", language=["de", "en"])
    assert {hit["title"] for hit in both["hits"]} == {"Faust", "Hamlet"}
    one = await shop.get("/search", subject="Drama", decade=1600)
    assert [hit["title"] for hit in one["hits"]] == ["Hamlet"]
    languages = {each["value"]: each["count"] for each in both["facets"]["language"]}
    assert languages == {"en": 1, "de": 1}


async def test_completion_begins_with_what_is_typed(shop: Any, book: Any) -> None:
    await shelve(shop, book("Pride and Prejudice"))
    assert (await shop.get("/autocomplete", q="pri"))["completions"] == ["Pride and Prejudice"]


async def test_book_that_nobody_knows_has_no_similar_ones(shop: Any) -> None:
    answer = await shop.http.get(f"/books/{uuid.uuid4()}/similar")
    assert (answer.status_code, answer.json()["code"]) == (404, "book_not_found")


async def test_view_counts_towards_what_is_recommended(shop: Any, book: Any) -> None:
    emma, persuasion = book("Emma"), book("Persuasion")
    await shelve(shop, emma, persuasion)
    customer = f"c-{uuid.uuid4()}"
    body = {"customer_id": customer, "book_id": emma.book_id}
    assert (await shop.http.post("/views", json=body)).status_code == 204
    mine = await shop.get(f"/recommendations/{customer}")
    because = {each["book_id"]: (each["because"], each.get("because_of")) for each in mine["books"]}
    assert because[persuasion.book_id] == ("similar", emma.book_id)


@pytest.mark.parametrize("body", [{}, {"customer_id": "a b", "book_id": "x"}, [], None])
async def test_view_that_breaks_the_contract_is_refused(shop: Any, body: Any) -> None:
    answer = await shop.http.post("/views", json=body)
    assert answer.status_code == 422


async def test_readiness_is_about_the_index_alone(shop: Any, settings: Any) -> None:
    assert (await shop.http.get("/health/ready")).json() == {"status": "ready"}


async def test_view_of_a_book_that_is_not_offered_counts_nothing(shop: Any) -> None:
    stranger = {"customer_id": f"c-{uuid.uuid4()}", "book_id": str(uuid.uuid4())}
    assert (await shop.http.post("/views", json=stranger)).status_code == 204
    scores = await shop.parts.application._trending.top(10_000)
    assert stranger["book_id"] not in {each.book_id for each in scores}
