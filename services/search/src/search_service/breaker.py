"""Asks stores that a page of recommendations can do without, and leaves them alone while they fail.

Guarantee: a store that does not answer costs one caller one timeout every `pause_seconds`; all
others are told at once. Nothing but `Unavailable` comes out of it, whatever the store's client
raises.

             any failure                    `pause_seconds` later, one caller
    CLOSED ---------------> OPEN ------------------------------------------------> TRIAL
       ^                      ^                                                     |  |
       |                      +------------------- it fails ------------------------+  |
       +---------------------------------- it answers ---------------------------------+
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError
from prometheus_client import Counter

from chassis import without

with without("opentelemetry.sdk"):  # For metrics of its own, which nobody turns on here.
    from redis.asyncio import BlockingConnectionPool, Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

log = logging.getLogger(__name__)

FAILURES = Counter("search_store_failures_total", "Calls that a store did not answer", ["store"])

# Redis answers in under a millisecond; beyond this a page is better without it.
REDIS_TIMEOUT_SECONDS = 0.1
REDIS_CONNECTIONS = 32
# A query answers in single-digit milliseconds ("Amazon DynamoDB Developer Guide", Introduction).
DYNAMODB_TIMEOUT_SECONDS = 0.5
PAUSE_SECONDS = 1.0

Answer = TypeVar("Answer")


class Unavailable(Exception):
    """The store was not asked, or did not answer in time: go on without it."""


class Breaker:
    """Stands before one store, named as `store` in logs and metrics ("redis", "dynamodb")."""

    def __init__(
        self, store: str, *, timeout_seconds: float, pause_seconds: float = PAUSE_SECONDS
    ) -> None:
        self._store = store
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        self._is_open = False
        self._resume_at = 0.0

    async def ask(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """The call's answer; raises Unavailable."""
        now = time.monotonic()
        if self._is_open:
            if now < self._resume_at:
                raise Unavailable(f"{self._store} has failed a moment ago")
            # This call is the trial, and whoever comes while it waits goes on without.
            self._resume_at = now + self._pause_seconds + self._timeout_seconds
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answer = await call()
        # uvloop says RuntimeError of a connection that was closed a moment before it is written to.
        except (
            *(RedisError, BotoCoreError, ClientError),
            *(OSError, TimeoutError, RuntimeError),
        ) as error:
            self._failed(error)
            raise Unavailable(f"{self._store} does not answer: {error!r}") from error
        if self._is_open:
            self._is_open = False
            log.info("%s answers again", self._store)
        return answer

    def _failed(self, error: Exception) -> None:
        FAILURES.labels(self._store).inc()
        if not self._is_open:  # Once an outage, not once a call.
            log.warning("%s does not answer; going on without it: %r", self._store, error)
        self._is_open = True
        self._resume_at = time.monotonic() + self._pause_seconds


def open_redis(url: str, *, timeout_seconds: float = REDIS_TIMEOUT_SECONDS) -> Redis:
    """A client that gives up soon and never tries twice; the caller closes it.

    `timeout_seconds` is for one command; a worker that nobody waits for can have more patience.
    """
    return Redis.from_pool(
        BlockingConnectionPool.from_url(
            url,
            max_connections=REDIS_CONNECTIONS,
            timeout=timeout_seconds,
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
    )
