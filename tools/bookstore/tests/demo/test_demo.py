"""The demo's pure parts: plan, outcomes, percentiles, what is said of a failure."""

import io
import uuid
from collections import Counter
from typing import Any

import pytest
from rich.console import Console, RenderableType

from bookstore.balance import Check
from bookstore.demo.outcomes import Result, Row, outcome_of, percentile, rows_of
from bookstore.demo.plan import Book, Plan, Scenario, TooFewBooksError, make_plan
from bookstore.demo.report import balance_table, first_failure, outcomes_table, timeline_table


def shelf(count: int = 200, available: int = 60) -> list[Book]:
    books = [
        Book(str(uuid.UUID(int=number + 1)), 500 + number, "EUR", available)
        for number in range(count)
    ]
    books[7] = Book(books[7].book_id, 990, "EUR", 5)
    return books


def the_plan(seed: int = 1) -> Plan:
    return make_plan(seed, "test", shelf())


def copies(plan: Plan, scenario: str | None = None) -> Counter[str]:
    found: Counter[str] = Counter()
    for order in plan.orders:
        if scenario in (None, order.scenario):
            for line in order.body["lines"]:
                found[line["book_id"]] += line["quantity"]
    return found


def test_the_same_seed_makes_the_same_plan() -> None:
    assert the_plan(5) == the_plan(5)
    assert the_plan(5) != the_plan(6)


def test_every_scenario_expects_an_outcome_for_each_of_its_requests() -> None:
    plan = the_plan()
    requests: Counter[str] = Counter()
    for order in plan.orders:
        requests[order.scenario] += 1 + len(order.repeats)
    assert requests == {each.key: sum(each.expected.values()) for each in plan.scenarios}


def test_all_that_the_demo_promises_is_in_the_plan() -> None:
    expected = {each.key: set(each.expected) for each in the_plan().scenarios}
    assert expected["scarce"] == {"confirmed", "out_of_stock"}
    assert expected["unknown"] == {"unknown_book"}
    assert expected["declined"] == {"card_declined"}
    assert expected["no_funds"] == {"insufficient_funds"}
    assert expected["expired"] == {"expired_card"}
    assert expected["stalled"] == expected["unanswered"] == expected["crash"] == {"confirmed"}
    assert expected["same_key"] == {"confirmed", "same_order"}
    assert expected["other_body"] == {"confirmed", "422 idempotency_key_reused"}
    assert expected["wait"] == {"201 confirmed", "402 card_declined", "409 unknown_book"}
    assert expected["cancelled"] == {"cancelled"}


def test_most_orders_are_to_be_confirmed() -> None:
    plan = the_plan()
    confirmed = sum(each.expected.get("confirmed", 0) for each in plan.scenarios)
    assert confirmed > plan.expected_orders / 2
    assert 120 <= plan.expected_orders <= 200


@pytest.mark.parametrize("seed", range(20))
def test_only_the_scarce_book_is_wanted_more_often_than_there_are_copies(seed: int) -> None:
    books = {book.book_id: book.available for book in shelf(40, 25)}
    plan = make_plan(seed, "test", shelf(40, 25))
    wanted = copies(plan)
    short = {book_id for book_id, count in wanted.items() if count > books.get(book_id, count)}
    assert short == set(copies(plan, "scarce"))


@pytest.mark.parametrize("available", [4, 5, 6, 7, 11, 12, 59, 60, 100_000])
def test_exactly_as_many_win_the_scarce_book_as_its_copies_serve(available: int) -> None:
    books = shelf(200, max(available, 60))
    books[7] = Book(books[7].book_id, 990, "EUR", available)
    plan = make_plan(1, "test", books)
    orders = [order for order in plan.orders if order.scenario == "scarce"]
    quantities = {order.body["lines"][0]["quantity"] for order in orders}
    expected = next(each.expected for each in plan.scenarios if each.key == "scarce")
    assert len(quantities) == 1
    assert expected["confirmed"] == available // quantities.pop()
    assert expected["out_of_stock"] >= 1


def test_faults_strike_cards_that_no_other_scenario_uses() -> None:
    plan = the_plan()
    hit = {fault["match"]["payment_method"] for fault in plan.faults.values()}
    users = {o.scenario for o in plan.orders if o.body["payment_method"] in hit}
    assert users == {"stalled", "unanswered", "crash"}


@pytest.mark.parametrize("books", [[], shelf(10), shelf(200, 3)])
def test_a_catalog_with_too_few_copies_is_refused(books: list[Book]) -> None:
    with pytest.raises(TooFewBooksError):
        make_plan(1, "test", books)


def test_orders_have_one_currency() -> None:
    mixed = [*shelf(), Book(str(uuid.UUID(int=9999)), 700, "USD", 50)]
    plan = make_plan(1, "test", mixed)
    currencies = {
        line["unit_price"]["currency"] for order in plan.orders for line in order.body["lines"]
    }
    assert currencies == {"EUR"}


@pytest.mark.parametrize(
    ("values", "percent", "found"),
    [
        ([], 50, None),
        ([3.0], 99, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 75, 3.0),
        ([float(n) for n in range(1, 101)], 99, 99.0),
        ([float(n) for n in range(1, 102)], 99, 100.0),
        ([1.0, 2.0], 0, 1.0),
    ],
)
def test_percentile_is_the_nearest_rank(
    values: list[float], percent: float, found: float | None
) -> None:
    assert percentile(values, percent) == found


SCENARIO = Scenario("scarce", "more wanted than in stock", {"confirmed": 2, "out_of_stock": 1})


def row_of(*outcomes: str) -> Row:
    return rows_of([SCENARIO], [Result("scarce", each, 0.1) for each in outcomes])[0]


def test_outcomes_count_whatever_their_order() -> None:
    assert row_of("out_of_stock", "confirmed", "confirmed").as_expected


@pytest.mark.parametrize(
    "outcomes",
    [
        (),
        ("confirmed", "confirmed"),
        ("confirmed", "confirmed", "confirmed"),
        ("confirmed", "confirmed", "out_of_stock", "out_of_stock"),
        ("confirmed", "confirmed", "no answer"),
        ("confirmed", "confirmed", "pending"),
    ],
)
def test_any_other_count_is_not_as_expected(outcomes: tuple[str, ...]) -> None:
    assert not row_of(*outcomes).as_expected


def test_a_rejected_order_ends_with_its_reason() -> None:
    assert outcome_of({"status": "rejected", "reason": "expired_card"}) == "expired_card"
    assert outcome_of({"status": "confirmed"}) == "confirmed"


GOOD = Check("I1", "money is right", "1.00 EUR", "1.00 EUR", True)
BAD = Check("I2", "stock is right", "3", "4", False, "GET /ops/stock of the catalog")
RIGHT = row_of("confirmed", "confirmed", "out_of_stock")


def test_nothing_is_said_when_nothing_failed() -> None:
    assert first_failure([RIGHT], [GOOD]) is None


def test_a_broken_invariant_says_where_to_look() -> None:
    said = first_failure([row_of()], [GOOD, BAD])
    assert said == "I2, stock is right: 3 instead of 4; look at GET /ops/stock of the catalog"


def test_a_stuck_message_is_named_before_what_it_led_to() -> None:
    stuck = Check("I5", "messages", "1", "2", False, "OrderConfirmed")
    assert (first_failure([], [BAD, stuck]) or "").startswith("I5")


def test_another_outcome_says_what_was_expected() -> None:
    said = first_failure([RIGHT, row_of("pending")], [GOOD]) or ""
    assert said.startswith("more wanted than in stock: 1 pending instead of 2 confirmed, 1 out of")
    assert "look at" in said


def rendered(table: RenderableType) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


TIMELINE: list[dict[str, Any]] = [
    {"at": "2026-01-01T10:00:00+00:00", "saga": "place_order", "event": "sent",
     "message": "ReserveStock", "service": "catalog", "step": "reserve_stock"},
    {"at": "2026-01-01T10:00:00.031+00:00", "saga": "place_order", "event": "received",
     "message": "StockReserved", "service": "catalog", "step": "reserve_stock"},
    {"at": "2026-01-01T10:00:00.040+00:00", "saga": "place_order", "event": "completed",
     "message": "OrderConfirmed", "service": "order"},
    {"at": "2026-01-01T10:00:01+00:00", "saga": "cancel_order", "event": "deadline_passed",
     "step": "refund_payment"},
]  # fmt: skip
ORDER = {
    "order_id": "0190a1b2-0000-7000-8000-000000000000",
    "status": "cancelled",
    "lines": [{"quantity": 2}],
    "total": {"amount_minor": 1598, "currency": "EUR"},
}


def test_the_timeline_shows_who_told_whom_and_how_long_the_answer_took() -> None:
    lines = rendered(timeline_table({**ORDER, "timeline": TIMELINE})).splitlines()
    assert "2 copies, 15.98 EUR, cancelled" in lines[0]
    assert "order → catalog" in lines[2]
    assert "catalog → order" in lines[3]
    assert "answered in 31 ms" in lines[3]
    assert "order → all" in lines[4]
    assert "deadline passed refund payment" in lines[5]


def test_an_order_without_a_timeline_is_shown_too() -> None:
    assert "15.98 EUR" in rendered(timeline_table(ORDER))


def test_the_tables_fit_a_hundred_columns_and_mark_what_is_wrong() -> None:
    plan = the_plan()
    rows = rows_of(plan.scenarios, [Result("declined", "pending", 61.0)])
    for table in (outcomes_table(rows), balance_table([GOOD, BAD])):
        text = rendered(table)
        assert max(map(len, text.splitlines())) <= 100
        assert "✗" in text
