"""The catalog's rules, pure: what a book's stock may do, and what a reservation may become.

Guarantee: no I/O and no clock; of a book, on_hand + reserved + sold = received after every step,
and a step that would break this raises instead.

A reservation, by the messages that move it (a state not drawn as a source of a message ignores
it and repeats its answer, or refuses it as impossible; see the functions):

                 ReserveStock, all lines            OrderConfirmed
    (unknown) ---------------------------> HELD -----------------------> SOLD
      |  |                                 | | |                          |
      |  | ReserveStock, not all lines     | | | RestockItems             | RestockItems
      |  +--------------------> REFUSED    | | +-------> RESTOCKED <------+
      |                                    | | time is up     ^
      | ReleaseStock          ReleaseStock | +---> EXPIRED ---+ RestockItems
      +----------> RELEASED <--------------+          |
                      |                               |
                      +-- OrderConfirmed, and the stock is still there: SOLD --+

RELEASED without a reservation is the tombstone: a ReserveStock that its own compensation has
overtaken is refused. RESTOCKED absorbs everything: an OrderConfirmed that the cancellation has
overtaken changes nothing. An EXPIRED order that is confirmed after all takes its copies again.

ReconcileStock moves a reservation along the same arrows to where its order's outcome wants it.
"""

import enum
import unicodedata
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from messaging import DeadLetter

# Ids of books that come without one are derived below this namespace; changing it duplicates
# every imported book.
BOOK_NAMESPACE = uuid.UUID("3f0a8a4e-6d0f-5d6a-9b7e-6f3f1c6c2a11")
# At or below this many copies readers are told that a book runs low.
LOW_STOCK = 5

Reason = Literal["unknown_book", "out_of_stock", "price_changed", "released"]
Expected = Literal["sold", "released", "restocked"]


class StockRefused(DeadLetter):
    """A message that the order's reservation cannot obey: something upstream is wrong."""

    code = "impossible_reservation_change"


class Level(enum.IntEnum):
    """What readers care to know of a stock."""

    NONE = 0
    LOW = 1
    PLENTY = 2

    @classmethod
    def of(cls, on_hand: int) -> "Level":
        """The level of a number of copies."""
        if on_hand <= 0:
            return cls.NONE
        return cls.LOW if on_hand <= LOW_STOCK else cls.PLENTY


@dataclass(slots=True)
class Stock:
    """The copies of one book. `version` counts the changes that were stored."""

    book_id: str
    price_minor: int
    currency: str
    on_hand: int
    reserved: int
    sold: int
    received: int
    version: int

    def reserve(self, copies: int) -> None:
        """Set copies aside."""
        self._move(on_hand=-copies, reserved=copies)

    def release(self, copies: int) -> None:
        """Put copies that were set aside back."""
        self._move(on_hand=copies, reserved=-copies)

    def sell(self, copies: int) -> None:
        """Copies that were set aside are gone."""
        self._move(reserved=-copies, sold=copies)

    def restock(self, copies: int) -> None:
        """Sold copies are back."""
        self._move(on_hand=copies, sold=-copies)

    def _move(self, *, on_hand: int = 0, reserved: int = 0, sold: int = 0) -> None:
        counts = (self.on_hand + on_hand, self.reserved + reserved, self.sold + sold)
        if min(counts) < 0 or sum(counts) != self.received:
            raise StockRefused(
                f"book {self.book_id} has {self.on_hand} on hand, {self.reserved} reserved and "
                f"{self.sold} sold: it cannot move by {on_hand}, {reserved}, {sold}"
            )
        self.on_hand, self.reserved, self.sold = counts


class Status(enum.StrEnum):
    """Where a reservation stands."""

    HELD = "held"
    SOLD = "sold"
    RELEASED = "released"
    EXPIRED = "expired"
    RESTOCKED = "restocked"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Line:
    """Copies of one book at the price that the customer saw."""

    book_id: str
    quantity: int
    price_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an order gets no stock."""

    reason: Reason
    book_id: str | None = None
    detail: str | None = None


@dataclass(slots=True)
class Reservation:
    """The copies of one order; `copies` maps book ids to numbers."""

    order_id: str
    status: Status
    copies: Mapping[str, int]
    expires_at: datetime | None = None
    refusal: Refusal | None = None


class Shelf(Protocol):
    """The locked stock of the books that a batch names."""

    def stock(self, book_id: str) -> Stock | None:
        """A book's stock; None when there is no such book."""
        ...


def refusal_of(lines: Sequence[Line], shelf: Shelf) -> Refusal | None:
    """Why these lines cannot be reserved, all or none; None when they can."""
    for line in lines:
        if shelf.stock(line.book_id) is None:
            return Refusal("unknown_book", line.book_id, "There is no book with this id.")
    for line in lines:
        stock = shelf.stock(line.book_id)
        assert stock is not None
        if (line.price_minor, line.currency) != (stock.price_minor, stock.currency):
            return Refusal(
                "price_changed",
                line.book_id,
                f"The price is now {stock.price_minor} {stock.currency} in minor units.",
            )
    return shortage(copies_of(lines), shelf)


def shortage(copies: Mapping[str, int], shelf: Shelf) -> Refusal | None:
    """The first book of which there are too few copies."""
    for book_id, quantity in copies.items():
        stock = shelf.stock(book_id)
        on_hand = stock.on_hand if stock is not None else 0
        if on_hand < quantity:
            left = f"Only {on_hand} of {quantity} copies are left." if on_hand else "None is left."
            return Refusal("out_of_stock", book_id, left)
    return None


def copies_of(lines: Iterable[Line]) -> dict[str, int]:
    """Copies by book: an order may name a book in several lines."""
    copies: Counter[str] = Counter()
    for line in lines:
        copies[line.book_id] += line.quantity
    return dict(copies)


def reserve(
    order_id: str, lines: Sequence[Line], shelf: Shelf, until: Callable[[], datetime]
) -> Reservation:
    """Set all copies of a new order aside, or none; a refusal is remembered like a success.

    `until` tells when a hold expires, and is asked only if there is one.
    """
    copies = copies_of(lines)
    refusal = refusal_of(lines, shelf)
    if refusal is not None:
        return Reservation(order_id, Status.REFUSED, copies, refusal=refusal)
    for stock, quantity in _stocks(copies, shelf):
        stock.reserve(quantity)
    return Reservation(order_id, Status.HELD, copies, expires_at=until())


def answer_again(reservation: Reservation) -> Refusal | None:
    """The answer to a ReserveStock of an order that is known already; None if it has its stock."""
    match reservation.status:
        case Status.HELD | Status.SOLD:
            return None
        case Status.REFUSED if reservation.refusal is not None:
            return reservation.refusal
        case _:
            return Refusal(
                "released", detail=f"The order's reservation is {reservation.status} already."
            )


def tombstone(order_id: str) -> Reservation:
    """What a ReleaseStock leaves behind that has overtaken its ReserveStock."""
    return Reservation(order_id, Status.RELEASED, {})


def release(reservation: Reservation, shelf: Shelf) -> bool:
    """Give an order's copies back; False when there is nothing to give. Raises StockRefused."""
    match reservation.status:
        case Status.RELEASED | Status.REFUSED | Status.EXPIRED:
            return False
        case Status.HELD:
            _give_back(reservation, shelf, Status.RELEASED)
            return True
        case _:
            # A saga releases before its pivot only, and sells after it.
            raise StockRefused(
                f"order {reservation.order_id} is to be released, but is {reservation.status}"
            )


def expire(reservation: Reservation, shelf: Shelf) -> None:
    """Give the copies of a hold back whose time is up."""
    assert reservation.status is Status.HELD
    _give_back(reservation, shelf, Status.EXPIRED)


def sell(reservation: Reservation, ordered: Mapping[str, int], shelf: Shelf) -> bool:
    """Turn an order's hold into a sale; False when nothing changes. Raises StockRefused.

    `ordered` are the copies that the confirmation names, for a tombstone that knows of none.
    """
    match reservation.status:
        case Status.SOLD | Status.RESTOCKED:
            return False
        case Status.HELD:
            pass
        case _:
            reservation.copies = reservation.copies or ordered
            short = shortage(reservation.copies, shelf)
            if short is not None:
                raise StockRefused(
                    f"order {reservation.order_id} is confirmed, but its reservation is "
                    f"{reservation.status} and cannot be made again: book {short.book_id}: "
                    f"{short.detail}"
                )
            for stock, quantity in _stocks(reservation.copies, shelf):
                stock.reserve(quantity)
    for stock, quantity in _stocks(reservation.copies, shelf):
        stock.sell(quantity)
    reservation.status = Status.SOLD
    reservation.expires_at = None
    return True


def restock(reservation: Reservation, shelf: Shelf) -> bool:
    """Take a cancelled order's copies back; False when nothing changes. Raises StockRefused.

    The cancellation may overtake the order's OrderConfirmed, and then finds the copies still held
    (or put back already, because the hold has expired meanwhile).
    """
    match reservation.status:
        case Status.RESTOCKED:
            return False
        case Status.SOLD:
            for stock, quantity in _stocks(reservation.copies, shelf):
                stock.restock(quantity)
        case Status.HELD:
            for stock, quantity in _stocks(reservation.copies, shelf):
                stock.release(quantity)
        case Status.EXPIRED:
            pass
        case _:
            raise StockRefused(
                f"order {reservation.order_id} is to be restocked, but is {reservation.status}"
            )
    reservation.status = Status.RESTOCKED
    reservation.expires_at = None
    return True


def reconcile(
    reservation: Reservation | None, expected: Expected, shelf: Shelf
) -> Literal["sold", "released", "restocked", "none"] | None:
    """Bring an order's copies where its outcome wants them; what was done, None if all was well.

    expected    found                                   done
    sold        sold, restocked                         (match: a cancellation has overtaken)
                held                                    sold
                released or expired, still in stock     sold
                anything else                           none: people must look
    released    held                                    released
                sold, restocked                         none: people must look
                anything else                           (match)
    restocked   restocked                               (match)
                sold, held, expired                     restocked
                anything else                           none: people must look
    """
    if reservation is None:
        return None if expected == "released" else "none"
    match expected, reservation.status:
        case ("sold", Status.SOLD | Status.RESTOCKED) | ("restocked", Status.RESTOCKED):
            return None
        case "sold", Status.HELD | Status.RELEASED | Status.EXPIRED if reservation.copies:
            held = reservation.status is Status.HELD
            if not held and shortage(reservation.copies, shelf) is not None:
                return "none"
            sell(reservation, {}, shelf)
            return "sold"
        case "released", Status.HELD:
            release(reservation, shelf)
            return "released"
        case "released", Status.RELEASED | Status.EXPIRED | Status.REFUSED:
            return None
        case "restocked", Status.SOLD | Status.HELD | Status.EXPIRED:
            restock(reservation, shelf)
            return "restocked"
        case _:
            return "none"


def _give_back(reservation: Reservation, shelf: Shelf, status: Status) -> None:
    for stock, quantity in _stocks(reservation.copies, shelf):
        stock.release(quantity)
    reservation.status = status
    reservation.expires_at = None


def _stocks(copies: Mapping[str, int], shelf: Shelf) -> list[tuple[Stock, int]]:
    """The stock of each book with its number of copies. Books are never deleted."""
    found = []
    for book_id, quantity in copies.items():
        stock = shelf.stock(book_id)
        if stock is None:
            raise StockRefused(f"book {book_id} is reserved, but not in the catalog")
        found.append((stock, quantity))
    return found


def isbn13_is_valid(isbn: str) -> bool:
    """Thirteen digits, prefix 978 or 979, and the check digit of ISO 2108: weights 1 and 3."""
    if len(isbn) != 13 or not (isbn.isascii() and isbn.isdigit()):
        return False
    total = sum(int(digit) * (3 if i % 2 else 1) for i, digit in enumerate(isbn))
    return isbn[:3] in ("978", "979") and total % 10 == 0


def derived_book_id(isbn: str | None, title: str, authors: Sequence[str], year: int | None) -> str:
    """The id of a book that came without one: the same data always gives the same book."""
    if isbn is not None:
        return str(uuid.uuid5(BOOK_NAMESPACE, f"isbn:{isbn}"))
    parts = [_folded(title), *(_folded(author) for author in authors), str(year)]
    return str(uuid.uuid5(BOOK_NAMESPACE, "work:" + "\x1f".join(parts)))


def _folded(text: str) -> str:
    """Case, width and spacing do not tell books apart."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
