"""Publishes again what a bus that has lost its memory may have lost with it.

Guarantee: what a service wrote in the last hour before the bus was made is published to it, though
it had been published to an older one, which is gone with all that was in its queues. Receivers
recognise what they have handled already.

How a service knows: it leaves a tag on the bus once it has done so. A bus without the tag is new:
that of an emulator which was restarted, or one that was deleted and made again. Then what the
outbox holds of that hour counts as unsent once more, and the relay sends it.

On AWS the tag is written once in a bus's life. It takes the permissions events:DescribeEventBus,
events:ListTagsForResource and events:TagResource.
"""

import asyncio
import logging
import random
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from sqlalchemy import bindparam, func, literal, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from messaging.envelope import utc_now
from messaging.outbox import interruptible_sleep
from messaging.tables import MessagingTables

log = logging.getLogger(__name__)

# Older messages than this have been handled, or their saga's deadlines have dealt with their loss.
WINDOW = timedelta(hours=1)
# On a bus once all of its rules stand (`messaging.topology`).
APPLIED_TAG = "topology-applied"


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
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._events = events
        self._bus = bus
        self._tag = f"outbox-of-{service}"
        self._interval_seconds = interval_seconds
        self._settle_seconds = settle_seconds
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Sweep until `stop`."""
        while not self._stopping.is_set():
            try:
                await self.sweep()
            except (ClientError, BotoCoreError, OSError) as error:
                # It is down, or has not got its topology yet; it may be a new one when it is back.
                log.info("the bus cannot be asked for its tags: %s", error)
            except Exception:
                log.warning("looking for a new bus failed and will be repeated", exc_info=True)
            pause = self._interval_seconds * random.uniform(0.75, 1.25)
            await interruptible_sleep(pause, self._stopping)

    def stop(self) -> None:
        """Let `run` return after the sweep under way."""
        self._stopping.set()

    async def sweep(self) -> int:
        """If the bus is a new one, let the relay publish the last hour again; how many messages."""
        bus = await self._events.describe_event_bus(Name=self._bus)
        arn = bus["Arn"]
        answer = await self._events.list_tags_for_resource(ResourceARN=arn)
        tags = {tag["Key"] for tag in answer["Tags"]}
        # A bus without its rules would take everything, and pass on nothing.
        if self._tag in tags or APPLIED_TAG not in tags:
            return 0
        # Marks of what the old bus took are still being written: they must not hit the new rows.
        await interruptible_sleep(self._settle_seconds, self._stopping)
        count = await self._unsend(bus.get("CreationTime") or utc_now())
        # Last, so that a crash before it repeats the whole; two at once do the same work twice.
        now = utc_now().isoformat(timespec="seconds")
        await self._events.tag_resource(
            ResourceARN=arn, Tags=[{"Key": self._tag, "Value": now.replace("+00:00", "Z")}]
        )
        if count:
            log.warning("bus %s is a new one: %d messages are published again", self._bus, count)
        return count

    async def _unsend(self, born: datetime) -> int:
        async with self._engine.begin() as connection:
            answer = await connection.execute(_unsending(self._tables), {"born": born})
            return int(answer.rowcount)


@cache
def _unsending(tables: MessagingTables) -> Insert:
    outbox, unsent = tables.outbox, tables.unsent
    written = outbox.c.created_at
    # Back from the last message to the old bus; since then the stack may have stood still.
    last = select(func.max(written)).where(written <= bindparam("born")).scalar_subquery()
    recent = select(outbox.c.id).where(written >= last - literal(WINDOW))
    return insert(unsent).from_select(["message_id"], recent).on_conflict_do_nothing()
