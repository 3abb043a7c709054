"""What the periodic job leaves for recommendations: neighbours in Redis, popularity there and in
DynamoDB.

Guarantee: readers see one generation as a whole, the old one or the new one; an older result never
takes a newer one's place, even when a worker comes to itself long after it was given up.

    <prefix>:{neighbours}:current        JSON: the generation, when it was computed, from how much
    <prefix>:{neighbours}:<generation>   hash: book id -> JSON [[book id, similarity], ...]

In DynamoDB one item (pk `result#popularity`) holds the most wanted books, so that something better
than chance is left when Redis has been flushed.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from redis.asyncio import Redis

from search_service.also_bought import Neighbours, Popularity
from search_service.breaker import Breaker, Unavailable

# A generation that nobody replaces (all workers are down) serves for a week; one that was replaced
# stays for those who have just read its name.
KEEP_SECONDS = 7 * 24 * 3600
GRACE_SECONDS = 600

_POPULARITY_KEY = {"pk": {"S": "result#popularity"}, "sk": {"S": "current"}}
# Fields of a generation beside its books, whose ids are UUIDs.
_COMPLETE = "complete"
_POPULARITY = "popularity"

# KEYS: the pointer. ARGV: its new text, when that was computed, how long it lives. Answers the old
# text ("" if there was none), or nil where a newer result stands.
_SWITCH = """
local old = redis.call('GET', KEYS[1])
if old and cjson.decode(old).computed_at > tonumber(ARGV[2]) then return false end
redis.call('SET', KEYS[1], ARGV[1], 'EX', ARGV[3])
return old or ''
"""


@dataclass(frozen=True, slots=True)
class Result:
    """What a result is made from; `computed_at` in seconds since 1970."""

    computed_at: float
    customers: int
    interactions: int

    @property
    def age_seconds(self) -> float:
        """How old the interactions are that it knows nothing of."""
        return max(time.time() - self.computed_at, 0.0)


Scored = list[tuple[str, float]]


class Keys:
    """Names in Redis, all in one slot of a cluster."""

    def __init__(self, prefix: str) -> None:
        self._prefix = f"{prefix}:{{neighbours}}"
        self.current = f"{self._prefix}:current"

    def generation(self, name: str) -> str:
        return f"{self._prefix}:{name}"


class Results:
    """Reads results; every method raises Unavailable where there is none or its store is down."""

    def __init__(
        self,
        redis: Redis,
        redis_breaker: Breaker,
        dynamodb: Any,
        dynamodb_breaker: Breaker,
        *,
        table: str,
        prefix: str = "search",
    ) -> None:
        self._redis = redis
        self._redis_breaker = redis_breaker
        self._dynamodb = dynamodb
        self._dynamodb_breaker = dynamodb_breaker
        self._table = table
        self._keys = Keys(prefix)

    async def neighbours(self, book_ids: Sequence[str]) -> tuple[Result, dict[str, Scored]]:
        """The neighbours of those books that have any, and what they are computed from."""
        result, rows = await self._fields([*book_ids])
        found = {book_id: row for book_id, row in zip(book_ids, rows, strict=True) if row}
        return result, {book_id: _scored(row) for book_id, row in found.items()}

    async def popularity(self) -> Scored:
        """The most wanted books, from Redis or else from DynamoDB."""
        try:
            _, (document,) = await self._fields([_POPULARITY])
        except Unavailable:
            document = await self._stored_popularity()
        return _scored(document)

    async def _fields(self, names: list[str]) -> tuple[Result, list[Any]]:
        pointer = await self._redis_breaker.ask(lambda: self._redis.get(self._keys.current))
        if not pointer:
            raise Unavailable("Redis holds no result")
        current = orjson.loads(pointer)
        key = self._keys.generation(current["generation"])
        complete, *values = await self._redis_breaker.ask(
            lambda: self._redis.hmget(key, [_COMPLETE, *names])
        )
        if complete is None:
            raise Unavailable("Redis has lost the result that it names")
        result = Result(current["computed_at"], current["customers"], current["interactions"])
        return result, values

    async def _stored_popularity(self) -> str:
        answer = await self._dynamodb_breaker.ask(
            lambda: self._dynamodb.get_item(TableName=self._table, Key=_POPULARITY_KEY)
        )
        if "Item" not in answer:
            raise Unavailable("no popularity was ever computed")
        return str(answer["Item"]["books"]["S"])


class Publication:
    """Writes results, for the job alone; raises what the stores' clients raise."""

    def __init__(self, redis: Redis, dynamodb: Any, *, table: str, prefix: str = "search") -> None:
        self._redis = redis
        self._dynamodb = dynamodb
        self._table = table
        self._keys = Keys(prefix)
        self._switch = redis.register_script(_SWITCH)

    async def is_published(self) -> bool:
        """Whether Redis holds a whole result."""
        pointer = await self._redis.get(self._keys.current)
        if not pointer:
            return False
        key = self._keys.generation(orjson.loads(pointer)["generation"])
        return bool(await self._redis.hexists(key, _COMPLETE))

    async def stored_at(self) -> str:
        """When the result in DynamoDB was computed, as text; "never" if there is none."""
        answer = await self._dynamodb.get_item(
            TableName=self._table,
            Key=_POPULARITY_KEY,
            ConsistentRead=True,
            ProjectionExpression="computed_at",
        )
        return str(answer["Item"]["computed_at"]["N"]) if "Item" in answer else "never"

    def begin(self) -> str:
        """The name of a new generation."""
        return uuid.uuid4().hex

    async def write(self, generation: str, rows: Sequence[Neighbours]) -> None:
        """Add rows to a generation that nobody reads yet."""
        if rows:
            await self._put(generation, {row.book_id: orjson.dumps(row.books) for row in rows})

    async def switch_in(self, generation: str, popularity: Popularity, computed_at: float) -> bool:
        """Make the generation the one that is read; False where a newer result already is."""
        await self._put(generation, {_POPULARITY: orjson.dumps(popularity.books), _COMPLETE: b"1"})
        pointer = {
            "generation": generation,
            "computed_at": computed_at,
            "customers": popularity.customers,
            "interactions": popularity.interactions,
        }
        text = orjson.dumps(pointer).decode()
        old = await self._switch(keys=[self._keys.current], args=[text, computed_at, KEEP_SECONDS])
        if old is None:
            await self._redis.delete(self._keys.generation(generation))
            return False
        if old:
            replaced = self._keys.generation(orjson.loads(old)["generation"])
            await self._redis.expire(replaced, GRACE_SECONDS)
        await self._store(popularity, computed_at)
        return True

    async def _put(self, generation: str, fields: dict[Any, Any]) -> None:
        key = self._keys.generation(generation)
        async with self._redis.pipeline(transaction=True) as pipeline:
            pipeline.hset(key, mapping=fields)
            # From the first row on, so that what a dead worker leaves behind goes away.
            pipeline.expire(key, KEEP_SECONDS)
            await pipeline.execute()

    async def _store(self, popularity: Popularity, computed_at: float) -> None:
        try:
            await self._dynamodb.put_item(
                TableName=self._table,
                Item={
                    **_POPULARITY_KEY,
                    "computed_at": {"N": repr(computed_at)},
                    "books": {"S": orjson.dumps(popularity.books).decode()},
                },
                ConditionExpression="attribute_not_exists(pk) OR computed_at <= :computed_at",
                ExpressionAttributeValues={":computed_at": {"N": repr(computed_at)}},
            )
        except self._dynamodb.exceptions.ConditionalCheckFailedException:
            return  # A newer one stands there.


def _scored(document: Any) -> Scored:
    return [(book_id, score) for book_id, score in orjson.loads(document)]
