"""Computes neighbours and popularity anew, once a period.

Guarantee: any number of workers may run this: one of them takes each period, and another takes it
over when that one dies. A result that Redis has lost is computed again at once, again by one.

What is due has a key in the ledger, and whoever holds it computes:

    recompute/<period>                           the period has begun
    recompute/<period>/restores/<computed at>    Redis holds no result; the last one, as DynamoDB
                                                 remembers, was computed then
"""

import asyncio
import logging
import random
import time
from contextlib import aclosing

from prometheus_client import Counter, Gauge
from redis.exceptions import RedisError

from idempotency import ClaimState, Ledger
from messaging import interruptible_sleep
from search_service.computation import computation
from search_service.interactions import Interaction, Interactions
from search_service.results import Publication

log = logging.getLogger(__name__)

COMPUTED = Counter("search_recomputed_total", "Results that this process computed")
SECONDS = Gauge("search_recompute_seconds", "How long the last computation took")

PERIOD_SECONDS = 3600.0
CHECK_SECONDS = 5.0
# Far beyond the 40 s that the largest permitted computation takes, to end one that hangs.
MAX_SECONDS = 900.0


class Recompute:
    """Looks every `check_seconds` whether something is due."""

    def __init__(
        self,
        interactions: Interactions,
        publication: Publication,
        ledger: Ledger,
        *,
        period_seconds: float = PERIOD_SECONDS,
        check_seconds: float = CHECK_SECONDS,
    ) -> None:
        self._interactions = interactions
        self._publication = publication
        self._ledger = ledger
        self._period_seconds = period_seconds
        self._check_seconds = check_seconds
        self._done_period = -1
        self._stopping = asyncio.Event()
        self._attempt: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Check until `stop`."""
        while not self._stopping.is_set():
            self._attempt = asyncio.create_task(self._check_and_log())
            try:
                await asyncio.wait([self._attempt])
            finally:
                self._attempt.cancel()
            pause = self._check_seconds * random.uniform(0.75, 1.25)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """Let `run` return soon; a computation under way is given up, for another worker."""
        self._stopping.set()
        if self._attempt is not None:
            self._attempt.cancel()

    async def check(self) -> bool:
        """Compute if something is due and nobody else is at it; whether it did."""
        period = int(time.time() // self._period_seconds)
        period_key = key = f"recompute/{period}"
        if period == self._done_period and await self._publication.is_published():
            return False
        # Asked before Redis, since it is written after: who finds the last result's time here and
        # then nothing in Redis competes for the key of that loss; who comes later finds both new.
        stored_at = await self._publication.stored_at()
        if not await self._publication.is_published():
            key = f"{period_key}/restores/{stored_at}"
        claim = await self._ledger.claim(key)
        if claim.state is not ClaimState.ACQUIRED:
            if key == period_key and claim.state is ClaimState.DONE:
                self._done_period = period
            return False
        try:
            async with self._ledger.kept(key), asyncio.timeout(MAX_SECONDS):
                await self._compute()
        except BaseException:
            await self._ledger.release(key)
            raise
        for each in {key, period_key}:
            self._ledger.finish(each)
        await self._ledger.drain()
        self._done_period = period
        return True

    async def _check_and_log(self) -> None:
        try:
            await self.check()
        except (RedisError, ConnectionError) as error:
            log.info("a result cannot be published at present: %s", error)
        except Exception:
            log.warning("computing neighbours failed and will be repeated", exc_info=True)

    async def _compute(self) -> None:
        computed_at = time.time()
        async with computation() as process, aclosing(self._interactions.all()) as pages:
            async for page in pages:
                await process.feed(list(map(_event, page)))
            popularity = await process.popularity()
            generation = self._publication.begin()
            books = 0
            async for rows in process.rows():
                await self._publication.write(generation, rows)
                books += len(rows)
        is_newest = await self._publication.switch_in(generation, popularity, computed_at)
        COMPUTED.inc()
        SECONDS.set(time.time() - computed_at)
        log.info(
            "neighbours of %d books from %d interactions of %d customers in %.1f s%s",
            books,
            popularity.interactions,
            popularity.customers,
            time.time() - computed_at,
            "" if is_newest else "; a newer result is there already",
        )


def _event(interaction: Interaction) -> tuple[str, str, str, float]:
    at = interaction.at.timestamp()
    return interaction.customer_id, interaction.book_id, interaction.kind, at
