"""Publishes again what a bus that has lost its memory may have lost with it.

Guarantee: what a service wrote in the last hour before the bus was made is published to it, though
it had been published to an older one, which is gone with all that was in its queues. Receivers
recognise what they have handled already.

How a service knows: it notes in a tag on the bus how far it has come. A bus without the tag is new:
that of an emulator which was restarted, or one that was deleted and made again. Then what the
outbox holds of that hour counts as unsent once more, and the relay sends it: the newest first, for
that is what was lost, and a lot at a time, so that new messages need not queue behind old ones.

On AWS the tag is written once in a bus's life. It takes the permissions events:DescribeEventBus,
events:ListTagsForResource and events:TagResource.
"""

import asyncio
import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Self

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from messaging.outbox import interruptible_sleep
from messaging.tables import MessagingTables

log = logging.getLogger(__name__)

# Older messages than this have been handled, or their saga's deadlines have dealt with their loss.
WINDOW = timedelta(hours=1)
# Messages at a time: an emulator's bus passes on some 60 a second, for all services together.
LOT = 200
# What the relay has not sent by then is a backlog.
BACKLOG_SECONDS = 5.0
BACKLOG_POLL_SECONDS = 0.5
# On a bus once all of its rules stand (`messaging.topology`).
APPLIED_TAG = "topology-applied"


@dataclass(frozen=True, slots=True)
class Remainder:
    """What is still to be published again to one bus: what was written from `start` to `end`.

    The value of a tag. It names the bus, so that no process that stood still in between tells a
    newer one how far it had come with its predecessor.
    """

    bus: str
    start: datetime
    end: datetime

    @property
    def is_nothing(self) -> bool:
        return self.end <= self.start

    def __str__(self) -> str:
        return f"{self.bus} {self.start.isoformat()}/{self.end.isoformat()}"

    @classmethod
    def read(cls, value: str | None) -> Self | None:
        """From a tag's value; None if there is no tag, or none that can be read."""
        bus, _, stretch = (value or "").partition(" ")
        start, _, end = stretch.partition("/")
        try:
            return cls(bus, datetime.fromisoformat(start), datetime.fromisoformat(end))
        except ValueError:
            return None


def tag_of(service: str) -> str:
    """The key of the tag in which a service notes how far it has come."""
    return f"outbox-of-{service}"


class RepublishSweeper:
    """Looks every `interval_seconds` whether the bus still has this service's tag."""

    def __init__(
        self,
        engine: AsyncEngine,
        tables: MessagingTables,
        events: Any,
        *,
        service: str,
        bus: str,
        interval_seconds: float = 10.0,
        settle_seconds: float = 2.0,
        lot: int = LOT,
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._events = events
        self._bus = bus
        self._tag = tag_of(service)
        self._interval_seconds = interval_seconds
        self._settle_seconds = settle_seconds
        self._lot = lot
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep until `stop`."""
        while not self._stopping.is_set():
            pause = self._interval_seconds * random.uniform(0.75, 1.25)
            try:
                if await self.sweep():
                    # As long as the lot took, the bus is then free for other messages.
                    pause = min(pause, await self._seconds_until_sent())
            except (ClientError, BotoCoreError, OSError) as error:
                # It is down, or has not got its topology yet; it may be a new one when it is back.
                log.info("the bus cannot be asked for its tags: %s", error)
            except Exception:
                log.warning("looking for a new bus failed and will be repeated", exc_info=True)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """Let `run` return after the sweep under way."""
        self._stopping.set()

    async def sweep(self) -> int:
        """If the bus is a new one, let the relay publish the next lot again; how many messages."""
        bus = await self._events.describe_event_bus(Name=self._bus)
        answer = await self._events.list_tags_for_resource(ResourceARN=bus["Arn"])
        tags = {tag["Key"]: tag["Value"] for tag in answer["Tags"]}
        # A bus without its rules would take everything, and pass on nothing.
        if APPLIED_TAG not in tags:
            return 0
        rest = Remainder.read(tags.get(self._tag))
        if rest is not None and rest.bus != _identity(bus):
            rest = None  # From a process that stood still meanwhile.
        if rest is None:
            # Marks of what the old bus took are still being written: not of the new rows, please.
            await interruptible_sleep(self._settle_seconds, self._stopping)
        elif rest.is_nothing:
            return 0
        async with self._engine.begin() as connection:
            rest = rest or await self._whole(connection, bus)
            count, rest = await self._unsend_lot(connection, rest)
        # Last, so that a crash before it repeats the lot; two at once do the same work twice.
        await self._events.tag_resource(
            ResourceARN=bus["Arn"], Tags=[{"Key": self._tag, "Value": str(rest)}]
        )
        if rest.is_nothing:
            log.info("nothing more is to be published again to bus %s", self._bus)
        return count

    async def _whole(self, connection: AsyncConnection, bus: Mapping[str, Any]) -> Remainder:
        """The hour back from the last message to the old bus; since then all may have stood still.
        What is newer may have gone to this bus before it had its rules.
        """
        written = self._tables.outbox.c.created_at
        now: datetime = (await connection.execute(select(func.now()))).scalar_one()
        before = select(func.max(written)).where(written <= bus.get("CreationTime", now))
        last: datetime | None = (await connection.execute(before)).scalar_one()
        if last is None:
            return Remainder(_identity(bus), now, now)
        log.warning("bus %s is a new one: the last hour is published again", self._bus)
        return Remainder(_identity(bus), last - WINDOW, now)

    async def _unsend_lot(
        self, connection: AsyncConnection, rest: Remainder
    ) -> tuple[int, Remainder]:
        """The newest of it, with all that was written at the same moment as the last of them."""
        oldest = await connection.execute(
            _oldest_of_lot(self._tables),
            {"start": rest.start, "end": rest.end, "others": self._lot - 1},
        )
        start = oldest.scalar_one_or_none() or rest.start
        answer = await connection.execute(
            _unsending(self._tables), {"start": start, "end": rest.end}
        )
        return int(answer.rowcount), replace(rest, end=start)

    async def _seconds_until_sent(self) -> float:
        """Until the relay has tried all that is not quite new; how long that took."""
        clock = asyncio.get_running_loop().time
        began = clock()
        while not self._stopping.is_set() and await self._has_backlog():
            await interruptible_sleep(BACKLOG_POLL_SECONDS, self._stopping)
        return clock() - began

    async def _has_backlog(self) -> bool:
        unsent = self._tables.unsent
        untried = select(unsent.c.message_id).where(
            unsent.c.parked_reason.is_(None),
            unsent.c.attempts == 0,
            unsent.c.written_at < func.now() - timedelta(seconds=BACKLOG_SECONDS),
        )
        async with self._engine.connect() as connection:
            return (await connection.execute(untried.limit(1))).first() is not None


def _identity(bus: Mapping[str, Any]) -> str:
    """When it was made, which tells it from one of the same name before it."""
    born: datetime | None = bus.get("CreationTime")
    return born.astimezone(UTC).isoformat() if born else "-"


@cache
def _oldest_of_lot(tables: MessagingTables) -> Select[Any]:
    written = tables.outbox.c.created_at
    return (
        select(written)
        .where(written >= bindparam("start"), written < bindparam("end"))
        .order_by(written.desc())
        .offset(bindparam("others"))
        .limit(1)
    )


@cache
def _unsending(tables: MessagingTables) -> Insert:
    outbox, unsent = tables.outbox, tables.unsent
    written = outbox.c.created_at
    # By their true age, the relay takes them for left behind at once.
    lot = select(outbox.c.id, written).where(
        written >= bindparam("start"), written < bindparam("end")
    )
    return insert(unsent).from_select(["message_id", "written_at"], lot).on_conflict_do_nothing()
