"""Books that are in demand now: a Redis sorted set with scores that fade.

Guarantee: an event counts once, in whatever order events come; with Redis down it is lost, counted
as lost, and nobody's message fails for it.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: "Forward Decay", ICDE 2009): instead of all old
scores shrinking, a new event weighs more, w * 2^(time / half-life). What is stored is the logarithm
to base 2 of the sum of these: it grows by 1 in a half-life, so it never overflows (the sum itself
would pass the largest double after 1,024 half-lives: less than three years), and after a century
of days it still has 11 decimals. Scores of now are 2^(stored - now / half-life).
"""

import logging
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from prometheus_client import Counter
from redis.asyncio import Redis

from search_service.breaker import Breaker, Unavailable

log = logging.getLogger(__name__)

LOST = Counter("search_trending_lost_total", "Events that trending lost with Redis down")

ORDER_WEIGHT = 1.0
VIEW_WEIGHT = 0.1
# One large order is one customer's wish.
MAX_COPIES = 5
HALF_LIFE_SECONDS = 24 * 3600.0
# More than anybody reads, since a book that has just begun to rise must not fall out at once.
MAX_BOOKS = 10_000
# After so long a repeated event would add a 128th of its weight.
SEEN_HALF_LIVES = 7
# A view's repeat is an HTTP request's, which comes soon or never; and views are many.
SEEN_VIEW_SECONDS = 600

# KEYS: the scores, the mark of the event. ARGV: seconds to keep the mark, how many books to keep,
# then book, log2 of its weight, and so on. Answers 1, or 0 for an event that was there already.
_ADD = """
if not redis.call('SET', KEYS[2], '', 'NX', 'EX', ARGV[1]) then return 0 end
for i = 3, #ARGV, 2 do
  local added = tonumber(ARGV[i + 1])
  local found = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if found then
    local score = tonumber(found)
    local high, low = math.max(score, added), math.min(score, added)
    added = high + math.log(1 + 2 ^ (low - high)) / math.log(2)
  end
  redis.call('ZADD', KEYS[1], string.format('%.17g', added), ARGV[i])
end
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -ARGV[2] - 1)
return 1
"""


@dataclass(frozen=True, slots=True)
class TrendingBook:
    """A book and its score of now: 1.0 is an order of this moment, or two of a half-life ago."""

    book_id: str
    score: float


class Trending:
    """Scores under `<prefix>:{trending}:...`, all in one slot of a cluster."""

    def __init__(
        self,
        redis: Redis,
        breaker: Breaker,
        *,
        half_life_seconds: float = HALF_LIFE_SECONDS,
        max_books: int = MAX_BOOKS,
        prefix: str = "search",
    ) -> None:
        self._redis = redis
        self._breaker = breaker
        self._half_life_seconds = half_life_seconds
        self._max_books = max_books
        self._prefix = f"{prefix}:{{trending}}"
        # Scores of another half-life mean something else.
        self._scores = f"{self._prefix}:scores:{half_life_seconds:g}"
        self._add = redis.register_script(_ADD)

    async def add_order(self, message_id: str, copies: Mapping[str, int], at: datetime) -> bool:
        """Count the copies of each book that a confirmed order has; True if it counted now."""
        weights = [
            (book_id, ORDER_WEIGHT * min(count, MAX_COPIES)) for book_id, count in copies.items()
        ]
        keep_seconds = math.ceil(SEEN_HALF_LIVES * self._half_life_seconds)
        return await self._count(message_id, weights, at, keep_seconds)

    async def add_view(self, view_id: str, book_id: str, at: datetime) -> bool:
        """Count a look at a book; True if it counted now."""
        return await self._count(view_id, [(book_id, VIEW_WEIGHT)], at, SEEN_VIEW_SECONDS)

    async def top(self, limit: int) -> list[TrendingBook]:
        """The highest scores of now, highest first; raises Unavailable."""
        found: Any = await self._breaker.ask(
            lambda: self._redis.zrange(self._scores, 0, limit - 1, desc=True, withscores=True)
        )
        now = time.time() / self._half_life_seconds
        return [TrendingBook(book_id, 2.0 ** (score - now)) for book_id, score in found]

    async def _count(
        self,
        event_id: str,
        weights: Iterable[tuple[str, float]],
        at: datetime,
        keep_seconds: int,
    ) -> bool:
        # An event from a clock that is ahead would weigh more than anything to come.
        half_lives = min(at.timestamp(), time.time()) / self._half_life_seconds
        arguments: list[str | int] = [keep_seconds, self._max_books]
        for book_id, weight in weights:
            arguments += [book_id, repr(math.log2(weight) + half_lives)]
        keys: Sequence[str] = [self._scores, f"{self._prefix}:seen:{event_id}"]
        try:
            return bool(await self._breaker.ask(lambda: self._add(keys=list(keys), args=arguments)))
        except Unavailable:
            LOST.inc()
            return False
