"""What the demo will order and what must come of it; pure.

Guarantee: the same seed and the same books give the same plan, and the plan never wants more copies
than there are, except in the one scenario that is about that.
"""

import random
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# Stripe's test cards. Those with a fault at the gateway are used by no other scenario, so a fault
# that matches the card hits the orders that it is meant for.
ORDINARY_CARDS = ("pm_card_visa", "pm_card_visa_debit", "pm_card_mastercard", "pm_card_discover")
STALLED_CARD = "pm_card_diners"
UNANSWERED_CARD = "pm_card_amex"
CRASH_CARD = "pm_card_jcb"
DECLINED_CARD = "pm_card_visa_chargeDeclined"
NO_FUNDS_CARD = "pm_card_visa_chargeDeclinedInsufficientFunds"
EXPIRED_CARD = "pm_card_chargeDeclinedExpiredCard"

STALL_SECONDS = 1.5
WAIT_SECONDS = 10
# The gateway has charged, but holds its answer back for this long: the worker is killed meanwhile.
CRASH_WINDOW_SECONDS = 5.0
# Fewer copies of a book are left alone; a scarce one has at least as many, so that some orders win.
SCARCE_COPIES = 4
PLENTY_COPIES = 12
# Orders arrive over this time, so that the crash falls into their midst.
ARRIVAL_SECONDS = 1.8

Fault = dict[str, Any]


class TooFewBooksError(Exception):
    """The catalog has not enough copies left to plan with."""


@dataclass(frozen=True, slots=True)
class Book:
    """What ordering a book takes."""

    book_id: str
    price_minor: int
    currency: str
    available: int


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the outcomes; `expected` counts outcomes (see `outcomes.Result`)."""

    key: str
    title: str
    expected: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class PlannedOrder:
    """One POST /orders, `at_seconds` after the start."""

    scenario: str
    at_seconds: float
    body: Mapping[str, Any]
    idempotency_key: str | None = None
    # Sent under the same key right after the order; the same body again, or another one.
    repeats: tuple[Mapping[str, Any], ...] = ()
    wait_seconds: int = 0
    cancel: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """All orders, the faults that the gateway is told, and what to expect."""

    customer_id: str
    scenarios: tuple[Scenario, ...]
    orders: tuple[PlannedOrder, ...]
    faults: Mapping[str, Fault]
    expected_orders: int


class _Shelf:
    """Copies that no planned order has taken yet."""

    def __init__(self, books: Sequence[Book], dice: random.Random) -> None:
        self._left = {book.book_id: book.available for book in books}
        self._books = list(books)
        self._dice = dice

    def lines(self) -> list[dict[str, Any]]:
        """One to three books, one or two copies each."""
        return [self._line() for _ in range(self._dice.choices((1, 2, 3), (6, 3, 1))[0])]

    def _line(self) -> dict[str, Any]:
        while self._books:
            place = self._dice.randrange(len(self._books))
            book, quantity = self._books[place], self._dice.choice((1, 1, 2))
            if self._left[book.book_id] >= quantity:
                self._left[book.book_id] -= quantity
                return line(book, quantity)
            self._books[place] = self._books[-1]
            self._books.pop()
        raise TooFewBooksError


def line(book: Book, quantity: int) -> dict[str, Any]:
    """An order line at the book's present price."""
    price = {"amount_minor": book.price_minor, "currency": book.currency}
    return {"book_id": book.book_id, "quantity": quantity, "unit_price": price}


@dataclass(slots=True)
class _Draft:
    """Collects scenarios and orders."""

    customer_id: str
    dice: random.Random
    shelf: _Shelf
    scenarios: list[Scenario] = field(default_factory=list)
    orders: list[PlannedOrder] = field(default_factory=list)

    def scenario(self, key: str, title: str, **expected: int) -> None:
        self.scenarios.append(Scenario(key, title, expected))

    def body(self, card: str, lines: Sequence[Mapping[str, Any]] | None = None) -> dict[str, Any]:
        return {
            "customer_id": self.customer_id,
            "lines": lines if lines is not None else self.shelf.lines(),
            "payment_method": card,
        }

    def order(
        self,
        scenario: str,
        body: Mapping[str, Any],
        between: tuple[float, float] = (0.0, ARRIVAL_SECONDS),
        **how: Any,
    ) -> None:
        at_seconds = self.dice.uniform(*between)
        self.orders.append(PlannedOrder(scenario, at_seconds, body, **how))

    def simple(self, key: str, title: str, card: str, outcome: str, count: int) -> None:
        """`count` orders with a card that all end in the same way."""
        self.scenario(key, title, **{outcome: count})
        for _ in range(count):
            self.order(key, self.body(card))


def make_plan(seed: int, run: str, books: Sequence[Book]) -> Plan:
    """The demo's orders over these books; raises TooFewBooksError. `run` tells runs apart."""
    dice = random.Random(seed)
    books = _of_one_currency(books)
    scarce = _scarcest(books)
    plenty = [each for each in books if each.available >= PLENTY_COPIES and each is not scarce]
    draft = _Draft(f"demo-{run}", dice, _Shelf(plenty, dice))

    count = 80
    draft.scenario("ordinary", "ordinary orders", confirmed=count)
    for _ in range(count):
        draft.order("ordinary", draft.body(dice.choice(ORDINARY_CARDS)))
    _contention(draft, scarce)
    _unknown_book(draft, plenty[0])
    draft.simple("declined", "card declined", DECLINED_CARD, "card_declined", 10)
    draft.simple("no_funds", "insufficient funds", NO_FUNDS_CARD, "insufficient_funds", 8)
    draft.simple("expired", "card expired", EXPIRED_CARD, "expired_card", 6)
    _stalled_gateway(draft)
    _unanswered_charge(draft)
    _crash(draft)
    _same_key(draft)
    _prefer_wait(draft, plenty[0])
    _cancelled(draft)
    orders = tuple(sorted(draft.orders, key=lambda each: each.at_seconds))
    return Plan(
        customer_id=draft.customer_id,
        scenarios=tuple(draft.scenarios),
        orders=orders,
        faults=_faults(Counter(each.scenario for each in orders)),
        expected_orders=len(orders),
    )


def _contention(draft: _Draft, scarce: Book) -> None:
    """Six more customers than the last copies serve: exactly as many win as there are copies."""
    quantity = max(1, scarce.available // 6)
    winners = scarce.available // quantity
    losers = 6
    draft.scenario("scarce", "more wanted than in stock", confirmed=winners, out_of_stock=losers)
    for _ in range(winners + losers):
        draft.order("scarce", draft.body("pm_card_visa", [line(scarce, quantity)]))


def _unknown_book(draft: _Draft, book: Book) -> None:
    """One line is fine, the other is not: nothing is reserved."""
    draft.scenario("unknown", "unknown book", unknown_book=6)
    for _ in range(6):
        draft.order("unknown", draft.body("pm_card_visa", _with_unknown_book(draft, book)))


def _with_unknown_book(draft: _Draft, book: Book) -> list[dict[str, Any]]:
    stranger = str(uuid.UUID(int=draft.dice.getrandbits(128), version=4))
    return [line(book, 1), {**line(book, 1), "book_id": stranger}]


def _stalled_gateway(draft: _Draft) -> None:
    draft.scenario("stalled", f"gateway stalls for {STALL_SECONDS:g} s", confirmed=8)
    for _ in range(8):
        draft.order("stalled", draft.body(STALLED_CARD), (0.0, 0.2))


def _unanswered_charge(draft: _Draft) -> None:
    draft.scenario("unanswered", "charge done, its answer lost", confirmed=4)
    for _ in range(4):
        draft.order("unanswered", draft.body(UNANSWERED_CARD), (0.0, 1.0))


def _crash(draft: _Draft) -> None:
    """These are in the worker's hands, charged but unanswered, when it is killed."""
    draft.scenario("crash", "payment-worker killed", confirmed=12)
    for _ in range(12):
        draft.order("crash", draft.body(CRASH_CARD), (ARRIVAL_SECONDS * 0.8, ARRIVAL_SECONDS))


def _same_key(draft: _Draft) -> None:
    draft.scenario("same_key", "same Idempotency-Key twice", confirmed=6, same_order=6)
    reused = {"confirmed": 2, "422 idempotency_key_reused": 2}
    draft.scenario("other_body", "same key, another order", **reused)
    for number in range(6):
        body = draft.body("pm_card_visa")
        draft.order("same_key", body, idempotency_key=f"twice-{number}", repeats=(body,))
    for number in range(2):
        body, other = draft.body("pm_card_visa"), draft.body("pm_card_mastercard")
        draft.order("other_body", body, idempotency_key=f"other-{number}", repeats=(other,))


def _prefer_wait(draft: _Draft, book: Book) -> None:
    """They come first, while nothing is broken yet."""
    expected = {"201 confirmed": 6, "402 card_declined": 1, "409 unknown_book": 1}
    draft.scenario("wait", f"Prefer: wait={WAIT_SECONDS}", **expected)
    bodies = [draft.body("pm_card_visa") for _ in range(6)]
    bodies.append(draft.body(DECLINED_CARD))
    bodies.append(draft.body("pm_card_visa", _with_unknown_book(draft, book)))
    for body in bodies:
        draft.order("wait", body, (0.0, 0.3), wait_seconds=WAIT_SECONDS)


def _cancelled(draft: _Draft) -> None:
    draft.scenario("cancelled", "cancelled once confirmed", cancelled=10)
    for _ in range(10):
        draft.order("cancelled", draft.body("pm_card_visa"), (0.0, 1.0), cancel=True)


def _faults(counts: Mapping[str, int]) -> dict[str, Fault]:
    """By the scenario that they are for, or by scenario and operation."""

    def fault(operation: str, card: str, times: int, **action: Any) -> Fault:
        match = {"operation": operation, "payment_method": card, "times": times}
        return {"match": match, "action": action}

    half = counts["unanswered"] // 2
    return {
        "stalled": fault(
            "authorize", STALLED_CARD, counts["stalled"], kind="stall", seconds=STALL_SECONDS
        ),
        "unanswered hold": fault("authorize", UNANSWERED_CARD, half, kind="drop", when="after"),
        "unanswered charge": fault("capture", UNANSWERED_CARD, half, kind="drop", when="after"),
        "crash": fault(
            "authorize", CRASH_CARD, counts["crash"],
            kind="stall", when="after", seconds=CRASH_WINDOW_SECONDS,
        ),
    }  # fmt: skip


def _of_one_currency(books: Sequence[Book]) -> list[Book]:
    """An order has one currency; the one that most books have is as good as any."""
    count = Counter(book.currency for book in books)
    if not count:
        raise TooFewBooksError
    currency = count.most_common(1)[0][0]
    return [book for book in books if book.currency == currency and book.price_minor >= 50]


def _scarcest(books: Sequence[Book]) -> Book:
    """The book with the least copies of which there are some; ties go by id."""
    some = [book for book in books if book.available >= SCARCE_COPIES]
    if sum(book.available >= PLENTY_COPIES for book in books) < 20:
        raise TooFewBooksError
    return min(some, key=lambda book: (book.available, book.book_id))
