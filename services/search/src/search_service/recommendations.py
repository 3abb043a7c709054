"""What a customer may like, what goes with a book, and what is in demand.

Guarantee: only a failing search index fails a request. Without Redis or DynamoDB the answer is less
personal, says so in `degraded`, and comes no later than their breakers' timeouts allow. Whatever a
customer is known to have bought is never recommended to that customer.

For a customer, in this order, until there are enough:

    neighbours of the newest books
    + books like these in content   ->  trending  ->  popular  ->  any
    + popular

The first step fuses three rankings into one, since neighbours alone find less than popularity does
in a shop of few customers (measured: docs/search.md).
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from search_service.breaker import Breaker, Unavailable
from search_service.index import Filters, Hit, Query, SearchIndex
from search_service.interactions import History, Interaction, Interactions, Kind
from search_service.results import Result, Results, Scored
from search_service.trending import Trending

# Tastes change: the newest book counts fully, the eleventh a third (0.9^10).
SEEDS = 20
SEED_DECAY = 0.9
SEED_WEIGHTS = {Kind.ORDER: 1.0, Kind.VIEW: 0.2}
# Content similarity costs a query of the index a book.
SIMILAR_SEEDS = 3
# Reciprocal rank fusion blends rankings whose scores do not compare: 1 / (60 + rank), where 60 is
# the constant of Cormack, Clarke, Buettcher: "Reciprocal rank fusion", SIGIR 2009.
FUSION = 60
# Some candidates are bought already, or no longer offered.
SPARE = 20


class Reason(StrEnum):
    """Why a book is recommended; the first three because of another book."""

    BOUGHT = "bought"
    VIEWED = "viewed"
    SIMILAR = "similar"
    TRENDING = "trending"
    POPULAR = "popular"
    ANY = "any"


@dataclass(frozen=True, slots=True)
class Because:
    """`book_id`: the book that was bought or viewed, or that this one is similar to."""

    reason: Reason
    book_id: str | None = None


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A book as the index knows it. A score orders the books of one step (see above) only."""

    hit: Hit
    score: float
    because: Because


@dataclass(frozen=True, slots=True)
class Recommendations:
    """`result` says how old the neighbours are. `degraded` names what could not be asked or is not
    there: "interactions", "neighbours", "trending", "popularity"; empty when all is well.
    """

    entries: Sequence[Recommendation]
    result: Result | None
    degraded: frozenset[str]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A book that may be recommended, if it is still offered."""

    book_id: str
    score: float
    because: Because


class Recommender:
    """Answers from these stores; `dynamodb_breaker` stands before `interactions`."""

    def __init__(
        self,
        index: SearchIndex,
        interactions: Interactions,
        dynamodb_breaker: Breaker,
        results: Results,
        trending: Trending,
    ) -> None:
        self._index = index
        self._interactions = interactions
        self._dynamodb_breaker = dynamodb_breaker
        self._results = results
        self._trending = trending

    async def for_customer(self, customer_id: str, limit: int) -> Recommendations:
        """Books that the customer has not bought, best first; at least one if any is left."""
        answer = Answer(self._index, limit)
        history = History()
        try:
            history = await self._dynamodb_breaker.ask(
                lambda: self._interactions.of_customer(customer_id)
            )
        except Unavailable:
            answer.degraded.add("interactions")
        answer.leave_out(history.bought)
        seeds = seeds_of(history.latest)

        async def personal() -> list[Candidate]:
            near = await self._neighbours_of(seeds, answer)
            if not seeds:
                return []
            alike = await self._similar_to_each([each.book_id for each, _ in seeds[:SIMILAR_SEEDS]])
            return fused(near, alike, await self._popular(answer))

        await answer.fill(personal, *self._for_anybody(answer))
        return answer.recommendations()

    async def similar_to(self, book_id: str, limit: int) -> Recommendations:
        """Books that were bought with this one or are like it in content; may be none."""
        answer = Answer(self._index, limit)
        answer.leave_out([book_id])

        async def blended() -> list[Candidate]:
            rows = await self._neighbours(answer, [book_id])
            bought = Because(Reason.BOUGHT, book_id)
            near = [Candidate(*each, bought) for each in rows.get(book_id, [])]
            return fused(near, await self._similar_to_each([book_id], limit + SPARE))

        await answer.fill(blended)
        return answer.recommendations()

    async def trending(self, limit: int) -> Recommendations:
        """What is in demand now, filled up with what was in demand for long."""
        answer = Answer(self._index, limit)
        await answer.fill(*self._for_anybody(answer))
        return answer.recommendations()

    async def _neighbours(self, answer: "Answer", book_ids: Sequence[str]) -> dict[str, Scored]:
        try:
            answer.result, rows = await self._results.neighbours(book_ids)
        except Unavailable:
            answer.degraded.add("neighbours")
            return {}
        return rows

    async def _neighbours_of(
        self, seeds: Sequence[tuple[Interaction, float]], answer: "Answer"
    ) -> list[Candidate]:
        rows = await self._neighbours(answer, [seed.book_id for seed, _ in seeds])
        return from_neighbours(seeds, rows)

    async def _similar_to_each(
        self, book_ids: Sequence[str], limit: int = SPARE
    ) -> list[Candidate]:
        found = await asyncio.gather(*(self._index.similar(each, limit) for each in book_ids))
        return [
            Candidate(hit.book.book_id, hit.score, Because(Reason.SIMILAR, book_id))
            for book_id, hits in zip(book_ids, found, strict=True)
            for hit in hits
        ]

    async def _popular(self, answer: "Answer") -> list[Candidate]:
        try:
            books = await self._results.popularity()
        except Unavailable:
            answer.degraded.add("popularity")
            return []
        return [Candidate(*each, Because(Reason.POPULAR)) for each in books]

    def _for_anybody(self, answer: "Answer") -> "Iterator[Tier]":
        async def trending() -> list[Candidate]:
            try:
                top = await self._trending.top(answer.limit + SPARE)
            except Unavailable:
                answer.degraded.add("trending")
                return []
            because = Because(Reason.TRENDING)
            return [Candidate(each.book_id, each.score, because) for each in top]

        async def any_book(in_stock: bool) -> list[Candidate]:
            limit = answer.limit + answer.left_out
            found = await self._index.search(Query(filters=Filters(in_stock=in_stock), limit=limit))
            because = Because(Reason.ANY)
            return [Candidate(book_id, 0.0, because) for book_id in _ids(found.hits)]

        yield from (trending, lambda: self._popular(answer))
        yield from (lambda: any_book(True), lambda: any_book(False))


Tier = Callable[[], Awaitable[list[Candidate]]]


class Answer:
    """Entries as they are found, none of them twice; a tier's books in stock before its others."""

    def __init__(self, index: SearchIndex, limit: int) -> None:
        self.limit = limit
        self.result: Result | None = None
        self.degraded: set[str] = set()
        self._index = index
        self._entries: dict[str, Recommendation] = {}
        self._excluded: frozenset[str] = frozenset()

    @property
    def left_out(self) -> int:
        """How many books can be found and not be used."""
        return len(self._excluded) + len(self._entries)

    def leave_out(self, book_ids: Iterable[str]) -> None:
        """Books that must not be among the entries."""
        self._excluded = frozenset(book_ids)

    async def fill(self, *tiers: Tier) -> None:
        """Ask one tier after the other, until there are enough entries."""
        for tier in tiers:
            if len(self._entries) >= self.limit:
                return
            await self._take(await tier())

    def recommendations(self) -> Recommendations:
        """What was found, at most `limit`."""
        entries = list(self._entries.values())[: self.limit]
        return Recommendations(entries, self.result, frozenset(self.degraded))

    async def _take(self, candidates: Iterable[Candidate]) -> None:
        new: dict[str, Candidate] = {}
        for each in candidates:
            if each.book_id not in self._excluded and each.book_id not in self._entries:
                new.setdefault(each.book_id, each)
        wanted = list(new)[: self.limit + SPARE]
        hits = await self._index.books(wanted) if wanted else {}
        found = [(hits[each], new[each]) for each in wanted if each in hits]
        found.sort(key=lambda each: each[0].available == 0)
        for hit, candidate in found:
            self._entries[candidate.book_id] = Recommendation(
                hit, candidate.score, candidate.because
            )


def seeds_of(latest: Iterable[Interaction]) -> list[tuple[Interaction, float]]:
    """The newest books, newest first, with their weights; an order outweighs views of the book."""
    strongest: dict[str, Interaction] = {}
    for each in latest:
        known = strongest.setdefault(each.book_id, each)
        if known.kind is Kind.VIEW and each.kind is Kind.ORDER:
            strongest[each.book_id] = each
    return [
        (seed, SEED_WEIGHTS[seed.kind] * SEED_DECAY**rank)
        for rank, seed in enumerate(list(strongest.values())[:SEEDS])
    ]


def from_neighbours(
    seeds: Iterable[tuple[Interaction, float]], rows: Mapping[str, Scored]
) -> list[Candidate]:
    """The seeds' neighbours, best first; each because of the seed that says most for it."""
    scores: dict[str, float] = defaultdict(float)
    because: dict[str, tuple[float, Because]] = {}
    for seed, weight in seeds:
        reason = Reason.BOUGHT if seed.kind is Kind.ORDER else Reason.VIEWED
        for book_id, similarity in rows.get(seed.book_id, []):
            part = weight * similarity
            scores[book_id] += part
            if book_id not in because or part > because[book_id][0]:
                because[book_id] = part, Because(reason, seed.book_id)
    candidates = [Candidate(each, score, because[each][1]) for each, score in scores.items()]
    return sorted(candidates, key=lambda each: (-each.score, each.book_id))


def fused(*rankings: Iterable[Candidate]) -> list[Candidate]:
    """All rankings in one; a book's reason is that of the first ranking which has it."""
    scores: dict[str, float] = defaultdict(float)
    reasons: dict[str, Because] = {}
    for ranking in rankings:
        places: dict[str, Because] = {}
        for each in ranking:
            places.setdefault(each.book_id, each.because)
        for rank, (book_id, because) in enumerate(places.items(), start=1):
            scores[book_id] += 1 / (FUSION + rank)
            reasons.setdefault(book_id, because)
    best = sorted(scores, key=lambda each: (-scores[each], each))
    return [Candidate(each, scores[each], reasons[each]) for each in best]


def _ids(hits: Sequence[Hit]) -> list[str]:
    return [hit.book.book_id for hit in hits]
