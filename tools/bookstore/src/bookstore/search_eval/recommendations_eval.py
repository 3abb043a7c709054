"""How often recommendations find a book that a simulated customer bought next.

Guarantee: the same books and seed give the same figures. They say how the methods compare under
the simulation's assumptions, and nothing of real customers: these baskets are made up.

How they are made up:

- A book's topics are its authors, its subjects, and the words of its title, as far as 2 to 300
  books of the file have them. Popularity is Zipf-like, 1 / (rank + 10), the ranks drawn at random.
- A customer has one to three tastes, each of them a topic, drawn by the popularity of its books
  (a famous author has more followers). A book of the basket (4 to 20 of them) comes from a taste
  with probability 0.6, by popularity within the topic, else from all books by popularity alone. It
  is ordered with probability 0.5, else only viewed.
- One ordered book of each customer is hidden. A hit is a hidden book among the ten recommended.

So there are tastes to be found, by construction, and four books of ten follow none. The hybrid's
content similarity sees the same authors, subjects and words that the tastes are made of, which
flatters it.
"""

import math
import random
import re
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate

from rich.table import Table

from search_service.also_bought import also_bought
from search_service.index import Book
from search_service.interactions import Interaction, Kind
from search_service.recommendations import (
    SIMILAR_SEEDS,
    Because,
    Candidate,
    Reason,
    from_neighbours,
    fused,
    seeds_of,
)

SHOWN = 10
TASTE_SHARE = 0.6
ORDER_SHARE = 0.5
BASKET = (4, 20)
TASTES = (1, 3)
TOPIC_BOOKS = (2, 300)
ZIPF_SHIFT = 10
SIMILAR_BOOKS = 20
METHODS = ("popularity", "also bought", "hybrid")

_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class MethodReport:
    """`hits` of `customers`; `distinct_books`: how many different books it recommended at all."""

    customers: int
    method: str
    hits: int
    distinct_books: int

    @property
    def hit_rate(self) -> float:
        """hit@10: the share of customers whose hidden book was found."""
        return self.hits / self.customers

    @property
    def margin(self) -> float:
        """Half of the 95 % confidence interval (normal approximation)."""
        return 1.96 * math.sqrt(self.hit_rate * (1 - self.hit_rate) / self.customers)


@dataclass(frozen=True, slots=True)
class RecommendationsReport:
    """One entry a method and number of customers."""

    seed: int
    books: int
    methods: Sequence[MethodReport]


def evaluate_recommendations(
    books: Sequence[Book], seed: int, customers: Sequence[int] = (1_000, 10_000)
) -> RecommendationsReport:
    """Simulate each number of customers, with few of whom most books are cold, and compare."""
    shop = _Simulation(books, seed)
    reports = [report for count in customers for report in shop.compare(count)]
    return RecommendationsReport(seed, len(books), reports)


def render_recommendations(report: RecommendationsReport) -> Table:
    """The report for a terminal."""
    table = Table(
        title=f"Recommendations: {report.books:,} books, simulated baskets, seed {report.seed}"
    )
    table.add_column("customers", justify="right")
    table.add_column("method")
    table.add_column(f"hit@{SHOWN}", justify="right")
    table.add_column("books ever shown", justify="right")
    for each in report.methods:
        table.add_row(
            f"{each.customers:,}",
            each.method,
            f"{each.hit_rate:.1%} ± {each.margin:.1%}",
            f"{each.distinct_books:,}",
        )
    return table


class _Simulation:
    def __init__(self, books: Sequence[Book], seed: int) -> None:
        self._seed = seed
        self._books = [book.book_id for book in books]
        ranks = list(range(len(books)))
        random.Random(seed).shuffle(ranks)
        self._weights = dict(
            zip(self._books, (1 / (rank + ZIPF_SHIFT) for rank in ranks), strict=True)
        )
        shelves: dict[str, list[str]] = defaultdict(list)
        for book in books:
            for topic in sorted(_topics(book)):
                shelves[topic].append(book.book_id)
        low, high = TOPIC_BOOKS
        self._shelves = {t: shelf for t, shelf in shelves.items() if low <= len(shelf) <= high}
        self._topics_of: dict[str, list[str]] = defaultdict(list)
        for topic, shelf in self._shelves.items():
            for book_id in shelf:
                self._topics_of[book_id].append(topic)
        self._draws = {topic: self._draw(shelf) for topic, shelf in self._shelves.items()}
        self._draw_any = self._draw(self._books)
        self._draw_topic = _Draw(
            list(self._draws), list(accumulate(draw.sums[-1] for draw in self._draws.values()))
        )

    def compare(self, customers: int) -> Iterator[MethodReport]:
        """Each method on the same baskets with the same hidden books."""
        rng = random.Random(f"{self._seed}/{customers}")
        known: dict[str, list[Interaction]] = {}
        hidden: dict[str, str] = {}
        for number in range(customers):
            basket = self._basket(rng, f"c{number}")
            orders = [each for each in basket if each.kind is Kind.ORDER]
            out = rng.choice(orders) if orders else basket[0]
            hidden[out.customer_id] = out.book_id
            known[out.customer_id] = [each for each in basket if each is not out]
        rows, popularity = also_bought(
            (each.customer_id, each.book_id, each.kind, each.at.timestamp())
            for basket in known.values()
            for each in basket
        )
        popular = [Candidate(*each, Because(Reason.POPULAR)) for each in popularity.books]
        hits: Counter[str] = Counter()
        shown: dict[str, set[str]] = defaultdict(set)
        for customer, basket in known.items():
            # What was viewed may be shown, so what is left out is the same for all methods.
            bought = {each.book_id for each in basket if each.kind is Kind.ORDER}
            seeds = seeds_of(basket)
            near = from_neighbours(seeds, rows)
            alike = [each for seed, _ in seeds[:SIMILAR_SEEDS] for each in self._similar(seed)]
            rankings = (popular, near, fused(near, alike, popular))
            for method, ranking in zip(METHODS, rankings, strict=True):
                ids = dict.fromkeys(each.book_id for each in ranking)
                best = [each for each in ids if each not in bought][:SHOWN]
                hits[method] += hidden[customer] in best
                shown[method].update(best)
        for method in METHODS:
            yield MethodReport(customers, method, hits[method], len(shown[method]))

    def _basket(self, rng: random.Random, customer: str) -> list[Interaction]:
        """Distinct books, newest first."""
        topics = self._draw_topic
        tastes = [topics.pick(rng) for _ in range(rng.randint(*TASTES))] if topics.items else []
        books: dict[str, None] = {}
        for _ in range(rng.randint(*BASKET)):
            follows = tastes and rng.random() < TASTE_SHARE
            draw = self._draws[rng.choice(tastes)] if follows else self._draw_any
            books[draw.pick(rng)] = None
        return [
            Interaction(
                customer,
                book_id,
                Kind.ORDER if rng.random() < ORDER_SHARE else Kind.VIEW,
                _START - timedelta(days=age),
                customer,
            )
            for age, book_id in enumerate(books)
        ]

    def _similar(self, seed: Interaction) -> list[Candidate]:
        """Books by the topics they share with the seed; a rare topic counts more."""
        scores: dict[str, float] = defaultdict(float)
        for topic in self._topics_of[seed.book_id]:
            shelf = self._shelves[topic]
            for other in shelf:
                scores[other] += math.log(len(self._books) / len(shelf))
        scores.pop(seed.book_id, None)
        best = sorted(scores, key=lambda each: (-scores[each], each))[:SIMILAR_BOOKS]
        because = Because(Reason.SIMILAR, seed.book_id)
        return [Candidate(each, scores[each], because) for each in best]

    def _draw(self, shelf: Sequence[str]) -> "_Draw":
        return _Draw(shelf, list(accumulate(self._weights[each] for each in shelf)))


@dataclass(frozen=True, slots=True)
class _Draw:
    """Picks books or topics in proportion to their weights, given as running sums."""

    items: Sequence[str]
    sums: Sequence[float]

    def pick(self, rng: random.Random) -> str:
        return self.items[bisect(self.sums, rng.random() * self.sums[-1])]


def _topics(book: Book) -> set[str]:
    words = {word for word in re.findall(r"\w+", book.title.casefold()) if len(word) > 3}
    return {
        *(f"author {each.casefold()}" for each in book.authors),
        *(f"subject {each.casefold()}" for each in book.subjects),
        *(f"word {word}" for word in words),
    }
