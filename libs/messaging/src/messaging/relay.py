"""The relay: publishes committed outbox rows to the bus.

Guarantee: every committed row is published at least once, and marked only after the bus has taken
it. Rows that this process has just committed go out from memory at once, and are marked a little
later, many at a time; a slow sweep picks up what a crash, a lost commit reply or a refused entry
left behind. Several relays may run: the sweep skips locked rows, and a message published twice is
stopped by the receiver's inbox.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import Sequence
from datetime import timedelta
from functools import cache
from typing import Any

from botocore.exceptions import ClientError
from sqlalchemy import Interval, Select, bindparam, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.ext.asyncio import AsyncEngine

from batching import Batcher, Prepared
from messaging import metrics
from messaging.envelope import MAX_ENTRY_BYTES, Envelope
from messaging.errors import AWS_OUTAGE_CODES
from messaging.outbox import interruptible_sleep
from messaging.tables import MessagingTables

log = logging.getLogger(__name__)

# PutEvents takes ten entries a request (EventBridge quotas).
MAX_ENTRIES = 10
# Above this many rows in memory the sweep takes over, so that a bus outage costs no memory.
MAX_FRESH_ROWS = 5_000
# A quiet relay publishes at once; one that has published just now waits for company.
BUSY_SECONDS = 0.05
BUSY_LINGER_SECONDS = 0.015
# Well below the grace after which the sweep takes a row for left behind.
MARK_LINGER_SECONDS = 0.25
MAX_MARKS = 100
MAX_ATTEMPTS = 20
_TRANSIENT = frozenset({"InternalFailure", "InternalException", "ThrottlingException"})


class Relay:
    """Publishes one service's outbox.

    `sweep_seconds`: pause between sweeps. `grace_seconds`: age from which a row counts as left
    behind. `concurrency`: PutEvents requests under way at once.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        tables: MessagingTables,
        events: Any,
        *,
        bus: str,
        sweep_seconds: float = 1.0,
        grace_seconds: float = 3.0,
        concurrency: int = 1,
    ) -> None:
        self._engine = engine
        # Marking is one statement, so it is its own transaction.
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._unsent = tables.unsent
        self._events = events
        self._bus = bus
        self._sweep_seconds = sweep_seconds
        self._grace = timedelta(seconds=grace_seconds)
        self._concurrency = concurrency
        self._fresh: deque[tuple[str, Envelope]] = deque()
        self._marks: Batcher[list[str], None] = Batcher(
            self._mark_all, max_items=MAX_MARKS, linger_seconds=MARK_LINGER_SECONDS
        )
        self._marking: set[asyncio.Task[None]] = set()
        self._last_put = float("-inf")
        self._awake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._mark = _marking(tables)
        self._left_behind = _left_behind(tables)

    def wake(self, committed: Sequence[tuple[str, Envelope]]) -> None:
        """Take over rows that have just been committed by this process."""
        if len(self._fresh) < MAX_FRESH_ROWS:
            self._fresh.extend(committed)
        self._awake.set()

    async def run(self) -> None:
        """Publish until `stop`; what is in memory by then still goes out."""
        publishers = [self._publish_fresh() for _ in range(self._concurrency)]
        await asyncio.gather(self._sweep_forever(), *publishers)
        await self._marks.drain()
        if self._marking:
            await asyncio.wait(self._marking)

    def stop(self) -> None:
        """Let `run` return once the rows in memory are out."""
        self._stopping.set()
        self._awake.set()

    async def _publish_fresh(self) -> None:
        while True:
            if not self._fresh:
                if self._stopping.is_set():
                    return
                self._awake.clear()
                await self._awake.wait()
                continue
            if len(self._fresh) < MAX_ENTRIES and self._is_busy():
                await interruptible_sleep(BUSY_LINGER_SECONDS, self._stopping)
            rows = [self._fresh.popleft() for _ in range(min(MAX_ENTRIES, len(self._fresh)))]
            try:
                self._last_put = asyncio.get_running_loop().time()
                taken, _ = await self._put([(m.id, m.source, m.type, d) for d, m in rows])
                if taken:
                    self._mark_soon(taken)
            except Exception:
                # Nothing is lost: the rows are in the table, and the sweep goes on from there.
                log.warning("the relay could not publish; the sweep will", exc_info=True)
                if self._stopping.is_set():
                    return
                await interruptible_sleep(random.uniform(0.2, 1.0), self._stopping)

    def _is_busy(self) -> bool:
        """Whether the last request is so young that this one is worth filling."""
        now = asyncio.get_running_loop().time()
        return now - self._last_put < BUSY_SECONDS

    def _mark_soon(self, ids: list[str]) -> None:
        task = asyncio.get_running_loop().create_task(self._marks(ids))
        self._marking.add(task)
        task.add_done_callback(self._marking.discard)
        task.add_done_callback(_log_lost_marks)

    async def _mark_all(self, lots: list[list[str]]) -> list[None]:
        async with self._autocommit.connect() as connection:
            await self._mark(connection, {"ids": [i for lot in lots for i in lot]})
        return [None] * len(lots)

    async def _sweep_forever(self) -> None:
        while not self._stopping.is_set():
            try:
                while await self.sweep() and not self._stopping.is_set():
                    pass
            except Exception:
                log.warning("the outbox sweep failed and will be repeated", exc_info=True)
            pause = self._sweep_seconds * random.uniform(0.75, 1.25)
            await interruptible_sleep(pause, self._stopping)

    async def sweep(self) -> int:
        """Publish one lot of rows that were left behind; how many it took."""
        outage: Exception | None = None
        async with self._engine.begin() as connection:
            found = await connection.execute(self._left_behind, {"grace": self._grace})
            rows = [tuple(row) for row in found.all()]
            if rows:
                await connection.execute(_BEAR_WITH_THE_BUS)
            for start in range(0, len(rows), MAX_ENTRIES):
                try:
                    taken, refused = await self._put_each(rows[start : start + MAX_ENTRIES])
                except Exception as error:
                    outage = error  # What has gone out by now is marked all the same.
                    break
                if taken:
                    await self._mark(connection, {"ids": taken})
                for message_id, code in refused:
                    await connection.execute(self._defer(message_id, code))
        if outage is not None:
            raise outage
        return len(rows)

    async def _put_each(
        self, rows: Sequence[tuple[str, str, str, str]]
    ) -> tuple[list[str], list[tuple[str, str]]]:
        """As `_put`, but a row for which the bus refuses its whole request is found out alone."""
        try:
            return await self._put(rows)
        except ClientError as error:
            if not _is_refusal(error):
                raise
            if len(rows) == 1:
                return [], [(rows[0][0], str(error.response["Error"]["Code"]))]
        taken: list[str] = []
        refused: list[tuple[str, str]] = []
        for row in rows:
            one_taken, one_refused = await self._put_each([row])
            taken += one_taken
            refused += one_refused
        return taken, refused

    def _defer(self, message_id: str, code: str) -> Any:
        """Count a refusal; park the row once it is clear that it will never go out."""
        unsent = self._unsent
        attempts = unsent.c.attempts + 1
        park = attempts >= (MAX_ATTEMPTS if code in _TRANSIENT else 3)
        return (
            update(unsent)
            .where(unsent.c.message_id == message_id)
            .values(
                attempts=attempts,
                next_attempt_at=func.now()
                + timedelta(seconds=1) * func.least(func.power(2, unsent.c.attempts), 300),
                parked_reason=case((park, code), else_=None),
            )
        )

    async def _put(
        self, rows: Sequence[tuple[str, str, str, str]]
    ) -> tuple[list[str], list[tuple[str, str]]]:
        """Publish (id, source, type, detail) rows: the ids taken, and (id, code) of the refused."""
        taken: list[str] = []
        refused: list[tuple[str, str]] = []
        for chunk in _chunks(rows):
            answer = await self._events.put_events(
                Entries=[
                    {
                        "EventBusName": self._bus,
                        "Source": source,
                        "DetailType": message_type,
                        "Detail": detail,
                    }
                    for _, source, message_type, detail in chunk
                ]
            )
            # HTTP 200 says nothing about the entries: each has an answer of its own.
            for (message_id, _, message_type, _), entry in zip(
                chunk, answer["Entries"], strict=True
            ):
                if entry.get("EventId"):
                    taken.append(message_id)
                    metrics.labelled(metrics.PUBLISHED, message_type).inc()
                else:
                    code = entry.get("ErrorCode", "Unknown")
                    log.warning("the bus refused %s %s: %s", message_type, message_id, entry)
                    refused.append((message_id, code))
        return taken, refused


# The server ends a session that stands idle within a transaction. A sweep stands by while the bus
# is asked, up to three times for 30 s each (`chassis.aws`): it must not lose its marks for that.
SWEEP_IDLE_MILLISECONDS = 120_000
_BEAR_WITH_THE_BUS = select(
    func.set_config("idle_in_transaction_session_timeout", str(SWEEP_IDLE_MILLISECONDS), True)
)


@cache
def _marking(tables: MessagingTables) -> Prepared:
    """Rows that a sweep holds are left to it: it would keep this process's marks for as long as its
    request to the bus takes.
    """
    unsent = tables.unsent
    ids = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
    free = (
        select(unsent.c.message_id)
        .where(unsent.c.message_id == func.any(ids))
        .with_for_update(skip_locked=True)
    )
    return Prepared(delete(unsent).where(unsent.c.message_id.in_(free)))


@cache
def _left_behind(tables: MessagingTables) -> Select[Any]:
    """In no order, which the bus would not keep: so a long backlog need not be sorted."""
    outbox, unsent = tables.outbox, tables.unsent
    return (
        select(outbox.c.id, outbox.c.source, outbox.c.type, outbox.c.detail)
        .join_from(unsent, outbox, outbox.c.id == unsent.c.message_id)
        .where(
            unsent.c.parked_reason.is_(None),
            unsent.c.written_at < func.now() - bindparam("grace", type_=Interval),
            or_(unsent.c.next_attempt_at.is_(None), unsent.c.next_attempt_at <= func.now()),
        )
        .limit(100)
        .with_for_update(of=unsent, skip_locked=True)
    )


def _is_refusal(error: ClientError) -> bool:
    """Whether the bus refuses what it was given, rather than being down or too busy."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    return 400 <= status < 500 and code not in AWS_OUTAGE_CODES


def _log_lost_marks(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        log.warning("published rows were not marked and will go out again: %s", task.exception())


def _chunks(
    rows: Sequence[tuple[str, str, str, str]],
) -> list[list[tuple[str, str, str, str]]]:
    """Split so that no request exceeds the size that PutEvents takes in total."""
    chunks: list[list[tuple[str, str, str, str]]] = [[]]
    size = 0
    for row in rows:
        row_size = len(row[3].encode()) + 200
        if chunks[-1] and size + row_size > MAX_ENTRY_BYTES:
            chunks.append([])
            size = 0
        chunks[-1].append(row)
        size += row_size
    return chunks if chunks[0] else []
