"""The rules of stock and reservations, without any server."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog_service import domain
from catalog_service.domain import Expected, Level, Line, Reservation, Status, Stock, StockRefused

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ORDER = "00000000-0000-4000-8000-000000000001"
EMMA, WALDEN = "emma", "walden"


class Shelf:
    """The books of a test by id."""

    def __init__(self, *stocks: Stock) -> None:
        self._stocks = {stock.book_id: stock for stock in stocks}

    def stock(self, book_id: str) -> Stock | None:
        return self._stocks.get(book_id)


def copies(book_id: str, on_hand: int) -> Stock:
    return Stock(book_id, 1250, "EUR", on_hand, reserved=0, sold=0, received=on_hand, version=1)


def line(book_id: str, quantity: int, price_minor: int = 1250, currency: str = "EUR") -> Line:
    return Line(book_id, quantity, price_minor, currency)


def reserve(shelf: Shelf, *lines: Line) -> Reservation:
    return domain.reserve(ORDER, lines, shelf, lambda: NOON)


def counts(stock: Stock) -> tuple[int, int, int]:
    return stock.on_hand, stock.reserved, stock.sold


def test_reserving_sets_all_lines_aside() -> None:
    emma, walden = copies(EMMA, 5), copies(WALDEN, 1)
    reservation = reserve(Shelf(emma, walden), line(EMMA, 2), line(WALDEN, 1))
    assert reservation.status is Status.HELD
    assert reservation.expires_at == NOON
    assert (counts(emma), counts(walden)) == ((3, 2, 0), (0, 1, 0))


def test_one_missing_copy_reserves_nothing() -> None:
    emma, walden = copies(EMMA, 5), copies(WALDEN, 0)
    reservation = reserve(Shelf(emma, walden), line(EMMA, 2), line(WALDEN, 1))
    assert reservation.status is Status.REFUSED
    assert counts(emma) == (5, 0, 0)


def test_lines_of_the_same_book_are_summed() -> None:
    emma = copies(EMMA, 5)
    refused = reserve(Shelf(emma), line(EMMA, 3), line(EMMA, 3))
    assert refused.refusal is not None
    assert refused.refusal.reason == "out_of_stock"
    assert reserve(Shelf(emma), line(EMMA, 3), line(EMMA, 2)).status is Status.HELD
    assert counts(emma) == (0, 5, 0)


@pytest.mark.parametrize(
    ("ordered", "reason"),
    [
        (line("nowhere", 1), "unknown_book"),
        (line(EMMA, 1, price_minor=1249), "price_changed"),
        (line(EMMA, 1, currency="USD"), "price_changed"),
        (line(EMMA, 6), "out_of_stock"),
    ],
)
def test_refusal_says_why_and_which_book(ordered: Line, reason: str) -> None:
    refusal = reserve(Shelf(copies(EMMA, 5)), line(EMMA, 1), ordered).refusal
    assert refusal is not None
    assert (refusal.reason, refusal.book_id) == (reason, ordered.book_id)
    assert refusal.detail


# What each message makes of each state, and where the five copies of the book then are, from two
# of them in the order's hands. This is the diagram above the domain, as data.
TRANSITIONS: list[tuple[Status, str, Status | type[StockRefused], tuple[int, int, int]]] = [
    (Status.HELD, "release", Status.RELEASED, (5, 0, 0)),
    (Status.HELD, "sell", Status.SOLD, (3, 0, 2)),
    (Status.HELD, "restock", Status.RESTOCKED, (5, 0, 0)),
    (Status.SOLD, "release", StockRefused, (3, 0, 2)),
    (Status.SOLD, "sell", Status.SOLD, (3, 0, 2)),
    (Status.SOLD, "restock", Status.RESTOCKED, (5, 0, 0)),
    (Status.RELEASED, "release", Status.RELEASED, (5, 0, 0)),
    (Status.RELEASED, "sell", Status.SOLD, (3, 0, 2)),
    (Status.RELEASED, "restock", StockRefused, (5, 0, 0)),
    (Status.EXPIRED, "release", Status.EXPIRED, (5, 0, 0)),
    (Status.EXPIRED, "sell", Status.SOLD, (3, 0, 2)),
    (Status.EXPIRED, "restock", Status.RESTOCKED, (5, 0, 0)),
    (Status.RESTOCKED, "release", StockRefused, (5, 0, 0)),
    (Status.RESTOCKED, "sell", Status.RESTOCKED, (5, 0, 0)),
    (Status.RESTOCKED, "restock", Status.RESTOCKED, (5, 0, 0)),
    (Status.REFUSED, "release", Status.REFUSED, (5, 0, 0)),
    (Status.REFUSED, "sell", Status.SOLD, (3, 0, 2)),
    (Status.REFUSED, "restock", StockRefused, (5, 0, 0)),
]
MESSAGES: dict[str, Callable[[Reservation, Shelf], bool]] = {
    "release": domain.release,
    "sell": lambda reservation, shelf: domain.sell(reservation, {EMMA: 2}, shelf),
    "restock": domain.restock,
}


@pytest.mark.parametrize(("before", "message", "after", "where"), TRANSITIONS)
def test_each_message_does_to_each_state_what_the_diagram_says(
    before: Status,
    message: str,
    after: Status | type[StockRefused],
    where: tuple[int, int, int],
) -> None:
    emma = copies(EMMA, 5)
    reservation = Reservation(ORDER, before, {EMMA: 2})
    if before in (Status.HELD, Status.SOLD):
        emma.reserve(2)
    if before is Status.SOLD:
        emma.sell(2)
    if isinstance(after, Status):
        changed = MESSAGES[message](reservation, Shelf(emma))
        assert reservation.status is after
        assert changed is (after is not before)
    else:
        with pytest.raises(after, match=ORDER):
            MESSAGES[message](reservation, Shelf(emma))
        assert reservation.status is before
    assert counts(emma) == where


# What an order's outcome wants, what is found, what is done about it, and where the book's five
# copies then are. None: all was well; "none": people must look.
RECONCILED: list[tuple[Expected, Status | None, str | None, tuple[int, int, int]]] = [
    ("sold", None, "none", (5, 0, 0)),
    ("sold", Status.HELD, "sold", (3, 0, 2)),
    ("sold", Status.SOLD, None, (3, 0, 2)),
    ("sold", Status.RELEASED, "sold", (3, 0, 2)),
    ("sold", Status.EXPIRED, "sold", (3, 0, 2)),
    ("sold", Status.RESTOCKED, None, (5, 0, 0)),
    ("sold", Status.REFUSED, "none", (5, 0, 0)),
    ("released", None, None, (5, 0, 0)),
    ("released", Status.HELD, "released", (5, 0, 0)),
    ("released", Status.SOLD, "none", (3, 0, 2)),
    ("released", Status.RELEASED, None, (5, 0, 0)),
    ("released", Status.EXPIRED, None, (5, 0, 0)),
    ("released", Status.RESTOCKED, "none", (5, 0, 0)),
    ("released", Status.REFUSED, None, (5, 0, 0)),
    ("restocked", None, "none", (5, 0, 0)),
    ("restocked", Status.HELD, "restocked", (5, 0, 0)),
    ("restocked", Status.SOLD, "restocked", (5, 0, 0)),
    ("restocked", Status.RELEASED, "none", (5, 0, 0)),
    ("restocked", Status.EXPIRED, "restocked", (5, 0, 0)),
    ("restocked", Status.RESTOCKED, None, (5, 0, 0)),
    ("restocked", Status.REFUSED, "none", (5, 0, 0)),
]


@pytest.mark.parametrize(("expected", "found", "done", "where"), RECONCILED)
def test_reconciliation_brings_copies_where_the_outcome_wants_them(
    expected: Expected, found: Status | None, done: str | None, where: tuple[int, int, int]
) -> None:
    emma = copies(EMMA, 5)
    reservation = Reservation(ORDER, found, {EMMA: 2}) if found is not None else None
    if found in (Status.HELD, Status.SOLD):
        emma.reserve(2)
    if found is Status.SOLD:
        emma.sell(2)
    assert domain.reconcile(reservation, expected, Shelf(emma)) == done
    assert counts(emma) == where
    if reservation is not None and done in ("sold", "released", "restocked"):
        assert str(reservation.status) == done


@pytest.mark.parametrize("held", [{EMMA: 6}, {}], ids=["sold out meanwhile", "tombstone"])
def test_reconciliation_sells_no_copies_that_are_not_there(held: dict[str, int]) -> None:
    emma = copies(EMMA, 5)
    reservation = Reservation(ORDER, Status.RELEASED, held)
    assert domain.reconcile(reservation, "sold", Shelf(emma)) == "none"
    assert reservation.status is Status.RELEASED
    assert counts(emma) == (5, 0, 0)


def test_every_state_and_message_is_in_the_table() -> None:
    assert {(before, message) for before, message, _, _ in TRANSITIONS} == {
        (status, message) for status in Status for message in MESSAGES
    }


STEPS = st.tuples(
    st.sampled_from(["reserve", "release", "sell", "restock", "expire"]),
    st.sampled_from(["order 1", "order 2", "order 3"]),
    st.dictionaries(st.sampled_from([EMMA, WALDEN]), st.integers(1, 4), min_size=1),
)


@given(st.lists(STEPS, max_size=30))
def test_no_order_of_messages_loses_or_invents_a_copy(
    steps: list[tuple[str, str, dict[str, int]]],
) -> None:
    stocks = (copies(EMMA, 6), copies(WALDEN, 3))
    orders: dict[str, Reservation] = {}
    for message, order, wanted in steps:
        before = deepcopy((stocks, orders))
        try:
            shelf = Shelf(*stocks)
            known = orders.get(order)
            if message == "reserve":
                lines = [line(book, quantity) for book, quantity in wanted.items()]
                orders[order] = known or domain.reserve(order, lines, shelf, lambda: NOON)
            elif message == "release" and known is None:
                orders[order] = domain.tombstone(order)
            elif message == "expire" and known is not None and known.status is Status.HELD:
                domain.expire(known, shelf)
            elif message == "sell" and known is not None:
                domain.sell(known, wanted, shelf)
            elif message in MESSAGES and known is not None:
                MESSAGES[message](known, shelf)
        except StockRefused:
            stocks, orders = before  # As the transaction is rolled back.
        for stock in stocks:
            held, sold = (
                sum(o.copies.get(stock.book_id, 0) for o in orders.values() if o.status is status)
                for status in (Status.HELD, Status.SOLD)
            )
            assert counts(stock) == (stock.received - held - sold, held, sold)
            assert stock.on_hand >= 0


def test_confirmed_order_whose_stock_went_elsewhere_is_refused_loudly() -> None:
    emma = copies(EMMA, 1)
    expired = Reservation(ORDER, Status.EXPIRED, {EMMA: 2})
    with pytest.raises(StockRefused, match="Only 1 of 2 copies"):
        domain.sell(expired, {}, Shelf(emma))
    assert counts(emma) == (1, 0, 0)


def test_tombstone_refuses_a_late_reservation() -> None:
    refusal = domain.answer_again(domain.tombstone(ORDER))
    assert refusal is not None
    assert refusal.reason == "released"


def test_refused_order_keeps_its_first_answer() -> None:
    refused = reserve(Shelf(copies(EMMA, 0)), line(EMMA, 1))
    assert domain.answer_again(refused) == refused.refusal


def test_stock_that_would_not_add_up_is_refused() -> None:
    emma = copies(EMMA, 1)
    with pytest.raises(StockRefused):
        emma.reserve(2)
    with pytest.raises(StockRefused):
        emma.sell(1)
    assert counts(emma) == (1, 0, 0)


@pytest.mark.parametrize(
    ("on_hand", "level"),
    [(0, Level.NONE), (1, Level.LOW), (5, Level.LOW), (6, Level.PLENTY), (10**6, Level.PLENTY)],
)
def test_level_boundaries(on_hand: int, level: Level) -> None:
    assert Level.of(on_hand) is level


@pytest.mark.parametrize("isbn", ["9780141439518", "9780306406157", "9791090636071"])
def test_isbn_check_digit_decides(isbn: str) -> None:
    assert domain.isbn13_is_valid(isbn)
    others = [digit for digit in "0123456789" if digit != isbn[-1]]
    assert not any(domain.isbn13_is_valid(isbn[:-1] + digit) for digit in others)


@pytest.mark.parametrize("isbn", ["", "978014143951", "0000000000000", "97801414395\uff118", "abc"])
def test_what_is_no_isbn_is_refused(isbn: str) -> None:
    assert not domain.isbn13_is_valid(isbn)


def test_derived_id_ignores_case_and_spacing_but_not_the_year() -> None:
    emma = domain.derived_book_id(None, "Emma", ["Jane Austen"], 1815)
    assert domain.derived_book_id(None, " EMMA ", ["jane  austen"], 1815) == emma
    assert domain.derived_book_id(None, "Emma", ["Jane Austen"], 1816) != emma
    assert domain.derived_book_id(None, "Emma", ["Jane Austen"], None) != emma


def test_derived_id_is_the_isbn_alone_where_there_is_one() -> None:
    first = domain.derived_book_id("9780141439518", "Pride and Prejudice", ["Jane Austen"], 1813)
    other = domain.derived_book_id("9780141439518", "Pride & Prejudice", ["J. Austen"], None)
    assert first == other
