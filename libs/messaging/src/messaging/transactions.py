"""Runs handlers: a batch of messages in one SQL transaction, each effectively once.

Guarantee: a message's inbox row, its effect and its outgoing messages commit together; a copy of a
handled message changes nothing; a message that fails takes no other down with it.

    outside part (only where a handler asks a third party)      no transaction open, own lease
    begin -> inbox rows -> load -> handlers -> flush -> outbox -> commit        one per batch
    any error: roll back, then each message alone, so that only the guilty one fails
"""

import contextlib
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import trace
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import Batcher, BulkInsert
from idempotency import ClaimState, Ledger
from messaging import metrics
from messaging.envelope import Envelope
from messaging.errors import RetryLater
from messaging.outbox import Outbox
from messaging.tables import MessagingTables
from messaging.work import Work

log = logging.getLogger(__name__)
W = TypeVar("W", bound=Work)
W_co = TypeVar("W_co", bound=Work)

MAX_BATCH_MESSAGES = 100
# Where messages come in numbers, a transaction waits for more of them: a batch of 35 instead of 20
# saves a fifth of the CPU time of all its statements.
BUSY_MESSAGES = 4
BUSY_LINGER_SECONDS = 0.015


@dataclass(frozen=True, slots=True)
class Route(Generic[W]):
    """A message and what handles it.

    A plain function runs inside the transaction, on entities that were loaded for its batch. A
    coroutine function asks a third party: it runs before the transaction, under a lease in the
    ledger, and only what it put into its work is committed.
    """

    message: type[BaseModel]
    handler: Callable[[Any, W], Awaitable[None] | None]
    # Whether the handler asks a third party; worked out once, since each message wants to know.
    is_outside: bool = field(init=False)

    def __post_init__(self) -> None:
        handler = inspect.unwrap(self.handler)
        is_outside = inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(
            getattr(self.handler, "func", None)
        )
        object.__setattr__(self, "is_outside", is_outside)


@dataclass(slots=True)
class Attempt(Generic[W]):
    """One message on its way through a transaction; `work` is there once its handler has run."""

    message: Envelope
    payload: BaseModel
    route: Route[W]
    context: otel_context.Context
    work: W | None = None


class UnitOfWork(Protocol[W]):
    """The entities that a batch touches: read in bulk, changed by handlers, written in bulk."""

    def work(self, message: Envelope) -> W:
        """The view of these entities that one message's handler gets."""
        ...

    async def load(self, connection: AsyncConnection, attempts: Sequence[Attempt[W]]) -> None:
        """Read (and lock, in a fixed order) what the batch's handlers will need."""
        ...

    async def flush(self, connection: AsyncConnection) -> None:
        """Write what the handlers changed; raises Conflict when someone else was faster."""
        ...


class Conflict(RetryLater):
    """A compare-and-set was lost: handle the message again on the newer state."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} was changed by someone else meanwhile", seconds=0.0)


class Transactions(Generic[W]):
    """Handles messages one by one for its callers and in batches for the database."""

    def __init__(
        self,
        *,
        outbox: Outbox,
        tables: MessagingTables,
        unit_of_work: Callable[[], UnitOfWork[W]],
        ledger: Ledger | None = None,
        max_in_flight: int = 1,
    ) -> None:
        self._outbox = outbox
        self._unit_of_work = unit_of_work
        self._ledger = ledger
        self._receive = _reception(tables)
        self._batches: Batcher[Attempt[W], bool] = Batcher(
            self._run,
            max_items=MAX_BATCH_MESSAGES,
            max_in_flight=max_in_flight,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_MESSAGES,
        )

    async def handle(self, message: Envelope, payload: BaseModel, route: Route[W]) -> bool:
        """Handle one message; False when it had been handled before.

        Raises RetryLater when it is too early, or whatever the handler raised.
        """
        attempt = Attempt(message, payload, route, otel_context.get_current())
        if not route.is_outside:
            return await self._batches(attempt)
        return await self._handle_outside(attempt)

    async def _handle_outside(self, attempt: Attempt[W]) -> bool:
        if self._ledger is None:
            raise RuntimeError("a handler that asks a third party needs a ledger")
        key = attempt.message.id
        claim = await self._ledger.claim(key)
        if claim.state is ClaimState.DONE:
            return False
        if claim.state is ClaimState.BUSY:
            raise RetryLater("another worker is at it", claim.retry_after_seconds)
        try:
            async with self._ledger.kept(key):
                attempt.work = self._unit_of_work().work(attempt.message)
                outcome = attempt.route.handler(attempt.payload, attempt.work)
                if inspect.isawaitable(outcome):
                    await outcome
                fresh = await self._batches(attempt)
        except BaseException:
            with contextlib.suppress(Exception):
                await self._ledger.release(key)
            raise
        self._ledger.finish(key)
        return fresh

    async def _run(self, attempts: list[Attempt[W]]) -> Sequence[bool | BaseException]:
        with _in_context_of(attempts[0]):
            try:
                return await self._transact(attempts)
            except Exception as error:
                if len(attempts) == 1:
                    return [error]
                log.info("a batch of %d failed, now one by one: %s", len(attempts), error)
        results: list[bool | BaseException] = []
        for attempt in attempts:
            with _in_context_of(attempt):
                try:
                    results.extend(await self._transact([attempt]))
                except Exception as error:
                    results.append(error)
        return results

    async def _transact(self, attempts: Sequence[Attempt[W]]) -> list[bool]:
        metrics.BATCH_SIZE.observe(len(attempts))
        unit = self._unit_of_work()
        async with self._outbox.transaction() as transaction:
            rows = {a.message.id: {"message_id": a.message.id, "type": a.message.type}
                    for a in attempts}  # fmt: skip
            # Sorted, so that two workers with the same messages wait instead of deadlocking.
            fresh_ids = set(
                await self._receive(transaction.connection, [rows[i] for i in sorted(rows)])
            )
            fresh: list[Attempt[W]] = []
            results: list[bool] = []
            for attempt in attempts:
                is_fresh = attempt.message.id in fresh_ids
                fresh_ids.discard(attempt.message.id)  # A copy in the same batch is a copy.
                results.append(is_fresh)
                if is_fresh:
                    fresh.append(attempt)
            await unit.load(transaction.connection, fresh)
            works = [self._work_of(attempt, unit) for attempt in fresh]
            await unit.flush(transaction.connection)
            for work in works:
                transaction.send(work.outgoing)
        return results

    def _work_of(self, attempt: Attempt[W], unit: UnitOfWork[W]) -> W:
        if attempt.work is not None:
            return attempt.work
        work = unit.work(attempt.message)
        with _in_context_of(attempt):
            attempt.route.handler(attempt.payload, work)
        return work


@cache
def _reception(tables: MessagingTables) -> BulkInsert:
    return BulkInsert(
        tables.inbox, ["message_id", "type"], skip_existing=True, returning="message_id"
    )


@contextlib.contextmanager
def _in_context_of(attempt: Attempt[Any]) -> Iterator[trace.Span]:
    """Spans and log lines belong to this message while its part of the batch runs."""
    token = otel_context.attach(attempt.context)
    try:
        yield trace.get_current_span()
    finally:
        otel_context.detach(token)


async def handled_census(engine: AsyncEngine, tables: MessagingTables) -> Mapping[str, int]:
    """For operators: how many messages of each type this service has handled."""
    inbox = tables.inbox
    statement = select(inbox.c.type, func.count()).group_by(inbox.c.type)
    async with engine.connect() as connection:
        return {row[0]: row[1] for row in (await connection.execute(statement)).all()}
