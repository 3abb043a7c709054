"""'Customers also bought': which books are found in the same baskets, and what is popular.

Guarantee: a pure function of the interactions; its memory and time are bounded by `Limits`, however
many interactions come. Their order makes no difference, unless a basket is over its limit: a book
that fell out of one and comes back has lost what it weighed before.

Item-item cosine (Sarwar, Karypis, Konstan, Riedl: "Item-based collaborative filtering
recommendation algorithms", WWW 2001). A basket is a customer's books, each with its weight w; with
the sums over customers u, and n the number of customers that have both books:

    similarity(i, j) = sum w_ui w_uj / sqrt(sum w_ui^2 * sum w_uj^2)  *  n / (n + shrinkage)

The last factor shrinks what rests on few customers (Bell, Koren: "Improved neighborhood-based
collaborative filtering", KDD Cup 2007), so that a pair which one customer happened to buy does not
beat one that a hundred did.

For N interactions in baskets of at most B books: time O(N * B), since each book meets the baskets
that it is in; memory O(N), since one book's row of the matrix is held at a time.
"""

import heapq
import math
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

# A customer, a book, "order" or "view", and when, in seconds since 1970.
Event = tuple[str, str, str, float]

WEIGHTS = {"order": 1.0, "view": 0.2}
# Measured (docs/search.md): more finds no more, and less lets rare pairs win.
SHRINKAGE = 50.0
NEIGHBOURS = 20
POPULAR = 200


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the work: 50,000 customers of 50 books are 2.5 million interactions.

    Of more customers a sample is taken, the same one for every order of the interactions.
    """

    basket: int = 50
    customers: int = 50_000


@dataclass(frozen=True, slots=True)
class Popularity:
    """The most wanted books with the sums of their weights, highest first."""

    books: list[tuple[str, float]]
    customers: int
    interactions: int


@dataclass(frozen=True, slots=True)
class Neighbours:
    """The books most alike to one, with their similarities in (0, 1), highest first."""

    book_id: str
    books: list[tuple[str, float]]


class AlsoBought:
    """Takes interactions in, one by one, then answers `neighbours` and `popularity`.

    `half_life_seconds`: how long until an interaction counts half, seen from the newest one;
    None counts all alike.
    """

    def __init__(
        self,
        *,
        shrinkage: float = SHRINKAGE,
        half_life_seconds: float | None = None,
        limits: Limits = Limits(),
    ) -> None:
        self._shrinkage = shrinkage
        self._half_life_seconds = half_life_seconds
        self._limits = limits
        self._baskets: dict[str, dict[str, tuple[float, float]]] = {}
        self._ids: dict[str, str] = {}
        self._level = 0

    def add(self, event: Event) -> None:
        """Put the book into the customer's basket; an order counts more than a view of it."""
        customer, book, kind, at = event
        if not self._is_sampled(customer):
            return
        basket = self._baskets.get(customer)
        if basket is None:
            basket = self._baskets[customer] = {}
            self._thin_out()
        book = self._ids.setdefault(book, book)  # One copy of each id, not one an interaction.
        weight, latest = basket.get(book, (0.0, at))
        basket[book] = (max(weight, WEIGHTS[kind]), max(latest, at))
        if len(basket) >= 2 * self._limits.basket:
            self._baskets[customer] = self._newest(basket)

    def popularity(self, limit: int = POPULAR) -> Popularity:
        """Of the customers that were sampled."""
        weights: dict[str, float] = defaultdict(float)
        interactions = 0
        for basket in self._weighted().values():
            interactions += len(basket)
            for book, weight in basket.items():
                weights[book] += weight
        best = heapq.nsmallest(limit, weights.items(), key=_best_first)
        return Popularity(best, len(self._baskets), interactions)

    def neighbours(self, limit: int = NEIGHBOURS) -> Iterator[Neighbours]:
        """One row for each book that has any, in the order of their ids."""
        baskets = self._weighted()
        owners: dict[str, list[str]] = defaultdict(list)
        squares: dict[str, float] = defaultdict(float)
        for customer in sorted(baskets):  # So that sums are rounded alike on every run.
            for book, weight in baskets[customer].items():
                owners[book].append(customer)
                squares[book] += weight * weight
        norms = {book: math.sqrt(square) for book, square in squares.items()}
        for book in sorted(owners):
            products: dict[str, float] = defaultdict(float)
            counts: dict[str, int] = defaultdict(int)
            for customer in owners[book]:
                basket = baskets[customer]
                weight = basket[book]
                for other, other_weight in basket.items():
                    products[other] += weight * other_weight
                    counts[other] += 1
            del products[book]
            row = [
                (other, product / (norms[book] * norms[other]) * self._trust(counts[other]))
                for other, product in products.items()
            ]
            if row:
                yield Neighbours(book, heapq.nsmallest(limit, row, key=_best_first))

    def _trust(self, customers: int) -> float:
        return customers / (customers + self._shrinkage)

    def _weighted(self) -> dict[str, dict[str, float]]:
        """The newest books of each basket with their weights."""
        newest = {customer: self._newest(basket) for customer, basket in self._baskets.items()}
        if self._half_life_seconds is None:
            return {
                customer: {book: weight for book, (weight, _) in basket.items()}
                for customer, basket in newest.items()
            }
        now = max((at for basket in newest.values() for _, at in basket.values()), default=0.0)
        return {
            customer: {
                book: weight * 2.0 ** ((at - now) / self._half_life_seconds)
                for book, (weight, at) in basket.items()
            }
            for customer, basket in newest.items()
        }

    def _newest(self, basket: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        if len(basket) <= self._limits.basket:
            return basket
        kept = heapq.nsmallest(
            self._limits.basket, basket.items(), key=lambda each: (-each[1][1], each[0])
        )
        return dict(kept)

    def _is_sampled(self, customer: str) -> bool:
        return zlib.crc32(customer.encode()) % (1 << self._level) == 0

    def _thin_out(self) -> None:
        """Half of the customers go whenever they are too many, by a hash of their ids (adaptive
        sampling: Flajolet, "On adaptive sampling", Computing 43, 1990).
        """
        while len(self._baskets) > self._limits.customers:
            self._level += 1
            self._baskets = {
                customer: basket
                for customer, basket in self._baskets.items()
                if self._is_sampled(customer)
            }


def also_bought(
    events: Iterable[Event], *, shrinkage: float = SHRINKAGE
) -> tuple[dict[str, list[tuple[str, float]]], Popularity]:
    """Neighbours by book, and popularity, of all events at once."""
    baskets = AlsoBought(shrinkage=shrinkage)
    for event in events:
        baskets.add(event)
    neighbours = {each.book_id: each.books for each in baskets.neighbours()}
    return neighbours, baskets.popularity()


def _best_first(entry: tuple[str, float]) -> tuple[float, str]:
    return -entry[1], entry[0]
