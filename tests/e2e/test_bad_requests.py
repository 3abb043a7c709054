"""What is refused at the door: a problem document with a code, and nothing changed."""

import base64
import json
import uuid
from typing import Any

import pytest

BOOK_ID = str(uuid.uuid4())
LINE = {
    "book_id": BOOK_ID,
    "quantity": 1,
    "unit_price": {"amount_minor": 100, "currency": "EUR"},
}
ORDER = {"customer_id": "c", "payment_method": "pm_card_visa", "lines": [LINE]}


def changed(**changes: Any) -> bytes:
    return json.dumps({**ORDER, **changes}).encode()


def with_line(**changes: Any) -> bytes:
    return changed(lines=[{**LINE, **changes}])


REFUSED = [
    pytest.param(b"{", 400, "invalid_json", id="not-json"),
    pytest.param(b'{"customer_id": "\xff"}', 400, "bad_request", id="not-utf8"),
    pytest.param(changed(lines=[]), 422, "invalid_request", id="no-lines"),
    pytest.param(changed(lines=[LINE] * 51), 422, "invalid_request", id="too-many-lines"),
    pytest.param(with_line(quantity=0), 422, "invalid_request", id="quantity-zero"),
    pytest.param(with_line(quantity=10**9), 422, "invalid_request", id="quantity-huge"),
    pytest.param(with_line(quantity="1"), 422, "invalid_request", id="quantity-text"),
    pytest.param(with_line(book_id="x"), 422, "invalid_request", id="book-id-malformed"),
    pytest.param(
        changed(
            lines=[LINE, {**LINE, "unit_price": {"amount_minor": 100, "currency": "USD"}}],
        ),
        422,
        "mixed_currencies",
        id="mixed-currencies",
    ),
    pytest.param(
        with_line(unit_price={"amount_minor": -1, "currency": "EUR"}),
        422,
        "invalid_request",
        id="negative-price",
    ),
    pytest.param(
        with_line(unit_price={"amount_minor": 0, "currency": "EUR"}),
        422,
        "total_zero",
        id="costs-nothing",
    ),
    pytest.param(changed(customer_id=""), 422, "invalid_request", id="no-customer"),
    pytest.param(
        changed(payment_method="4242424242424242"), 422, "invalid_request", id="card-number"
    ),
    pytest.param(
        changed(payment_method="pm_4242424242424242"),
        422,
        "invalid_request",
        id="card-number-in-disguise",
    ),
    pytest.param(
        changed(payment_method="pm_4242_4242_4242_4242"),
        422,
        "invalid_request",
        id="card-number-in-pieces",
    ),
    pytest.param(changed(surprise=1), 422, "invalid_request", id="unknown-field"),
    pytest.param(b" " * (2 * 1024 * 1024 + 1), 413, "content_too_large", id="too-large"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_bad_order_is_refused_and_changes_nothing(
    platform: Any, body: bytes, status: int, code: str
) -> None:
    url = platform.endpoints["order"]
    before = (await platform.http.get(f"{url}/ops/sagas")).json()
    answer = await platform.http.post(
        f"{url}/orders", content=body, headers={"Content-Type": "application/json"}
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    after = (await platform.http.get(f"{url}/ops/sagas")).json()
    assert sum(after["place_order"].values()) == sum(before["place_order"].values())


async def test_wrong_content_type_is_refused(platform: Any) -> None:
    answer = await platform.http.post(
        f"{platform.endpoints['order']}/orders", content=b"a=b", headers={"Content-Type": "text/x"}
    )
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


async def test_card_number_is_never_echoed(platform: Any) -> None:
    answer = await platform.http.post(
        f"{platform.endpoints['order']}/orders",
        content=changed(payment_method="4242424242424242"),
        headers={"Content-Type": "application/json"},
    )
    assert "4242424242424242" not in answer.text


@pytest.mark.parametrize("service", ["order", "catalog", "payment"])
async def test_unknown_path_is_a_problem_document(platform: Any, service: str) -> None:
    answer = await platform.http.get(f"{platform.endpoints[service]}/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    "position",
    [
        "nonsense",
        "2026-01-01T00:00:00+00:00|not-an-id",
        f"0001-01-01T00:00:00+23:59|{BOOK_ID}",
        f"9999-12-31T23:59:59-23:59|{BOOK_ID}",
        "|",
    ],
)
async def test_forged_cursor_is_refused(platform: Any, position: str) -> None:
    cursor = base64.urlsafe_b64encode(position.encode()).decode()
    answer = await platform.http.get(
        f"{platform.endpoints['order']}/orders", params={"cursor": cursor}
    )
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_cursor")
