"""Books kept in Redis for reading.

Guarantee: a book read through here is at most `ttl_seconds` old, and usually current, since whoever
changes one forgets it after the commit. Nothing is decided on what stands here. With Redis down or
slow, reads go to the database: slower, still right.
"""

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from chassis import without

with without("opentelemetry.sdk"):  # For metrics of its own, which nobody turns on here.
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

log = logging.getLogger(__name__)

# Redis answers in under a millisecond; beyond this the database is the faster way.
TIMEOUT_SECONDS = 0.1
# After a failure Redis is left alone this long, so that an outage costs a timeout a second rather
# than a timeout a request. Books that should have been forgotten meanwhile outlive it by the TTL.
PAUSE_SECONDS = 1.0
MAX_CONNECTIONS = 32


class BookCache:
    """JSON documents of books by id. Without a URL it keeps nothing."""

    def __init__(
        self, url: str | None, *, ttl_seconds: int, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._ttl_seconds = ttl_seconds
        self._pause_seconds = pause_seconds
        self._redis: Redis | None = None
        self._resume_at = 0.0
        if url is not None:
            self._redis = Redis.from_pool(
                BlockingConnectionPool.from_url(
                    url,
                    max_connections=MAX_CONNECTIONS,
                    timeout=TIMEOUT_SECONDS,
                    socket_timeout=TIMEOUT_SECONDS,
                    socket_connect_timeout=TIMEOUT_SECONDS,
                    retry=Retry(NoBackoff(), 0),
                )
            )

    async def get(self, book_id: str) -> bytes | None:
        """The document, if it is here and Redis answers."""
        document: bytes | None = await self._ask(lambda redis: redis.get(_key(book_id)))
        return document

    async def keep(self, book_id: str, document: bytes) -> None:
        """Keep a document that was just read from the database."""
        await self._ask(lambda redis: redis.set(_key(book_id), document, ex=self._ttl_seconds))

    async def forget(self, book_ids: Sequence[str]) -> None:
        """Drop documents of books that have changed; call it after the commit."""
        if book_ids:
            await self._ask(lambda redis: redis.delete(*map(_key, book_ids)))

    async def close(self) -> None:
        """Close the connections."""
        if self._redis is not None:
            await self._redis.aclose()

    async def _ask(self, call: Callable[[Redis], Awaitable[Any]]) -> Any:
        if self._redis is None or time.monotonic() < self._resume_at:
            return None
        try:
            return await call(self._redis)
        # uvloop says RuntimeError of a connection that was closed a moment before it is written to.
        except (RedisError, OSError, TimeoutError, RuntimeError) as error:
            self._resume_at = time.monotonic() + self._pause_seconds
            log.warning("Redis does not answer; books are read from the database: %s", error)
            return None


def _key(book_id: str) -> str:
    return f"catalog:book:{book_id}"
