"""A bus that has lost its memory gets the last hour again, once; any other gets nothing."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import MetaData, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from messaging import messaging_tables
from messaging.republish import APPLIED_TAG, WINDOW, RepublishSweeper, tag_of

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
A_MINUTE = timedelta(minutes=1)
NOW = timedelta()


@dataclass
class Bus:
    """A bus of the emulator's that may be lost and made again."""

    events: Any
    name: str

    async def make(self, *, applied: bool = True) -> None:
        made = await self.events.create_event_bus(Name=self.name)
        if applied:
            tags = [{"Key": APPLIED_TAG, "Value": "true"}]
            await self.events.tag_resource(ResourceARN=made["EventBusArn"], Tags=tags)

    async def lose(self) -> None:
        await self.events.delete_event_bus(Name=self.name)


@pytest.fixture
async def bus(aws: Any) -> AsyncIterator[Bus]:
    bus = Bus(aws.events, f"test-{uuid.uuid4().hex}")
    await bus.make()
    yield bus
    await bus.lose()


@pytest.fixture
async def engine(new_database: Any) -> AsyncEngine:
    made: AsyncEngine = await new_database(METADATA)
    return made


def sweeper(
    engine: AsyncEngine, bus: Bus, service: str = "order", lot: int = 100
) -> RepublishSweeper:
    return RepublishSweeper(
        engine, TABLES, bus.events, service=service, bus=bus.name, settle_seconds=0, lot=lot
    )


async def written(engine: AsyncEngine, count: int, *, ago: timedelta = A_MINUTE) -> set[str]:
    """Messages that were written and published that long ago; their ids."""
    ids = {str(uuid.uuid4()) for _ in range(count)}
    async with engine.begin() as connection:
        for message_id in ids:
            await connection.execute(
                insert(TABLES.outbox).values(
                    id=message_id,
                    source="bookstore.order",
                    type="ReserveStock",
                    subject="order-1",
                    detail="{}",
                    created_at=func.now() - ago,
                )
            )
    return ids


async def unsent(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as connection:
        ids = await connection.execute(select(TABLES.unsent.c.message_id))
        return set(ids.scalars())


async def all_sent(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(delete(TABLES.unsent))


async def test_bus_that_forgot_gets_the_last_hour_again(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 3)
    await written(engine, 2, ago=A_MINUTE + 2 * WINDOW)
    await sweeper(engine, bus).sweep()
    await all_sent(engine)
    await bus.lose()
    await bus.make()
    assert await sweeper(engine, bus).sweep() == 3
    assert len(await unsent(engine)) == 3


async def test_the_last_hour_is_that_before_the_stack_stood_still(
    engine: AsyncEngine, bus: Bus
) -> None:
    """It was stopped over night, and was quicker to take an order than to look at the bus."""
    night = timedelta(hours=9)
    await written(engine, 3, ago=night)
    await written(engine, 2, ago=night + 2 * WINDOW)
    await written(engine, 1, ago=NOW)
    assert await sweeper(engine, bus).sweep() == 3 + 1


async def test_what_was_written_since_the_bus_is_there_is_not_published_again(
    engine: AsyncEngine, bus: Bus
) -> None:
    await written(engine, 3, ago=NOW)
    assert await sweeper(engine, bus).sweep() == 0


async def test_bus_that_remembers_gets_nothing(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 3)
    await sweeper(engine, bus).sweep()
    await all_sent(engine)
    # Another process of the service, and one that has just been started.
    assert await sweeper(engine, bus).sweep() == 0
    assert not await unsent(engine)


async def test_each_service_publishes_its_own_again(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 3)
    await sweeper(engine, bus, "catalog").sweep()
    await all_sent(engine)
    assert await sweeper(engine, bus, "order").sweep() == 3


async def test_messages_that_wait_to_be_sent_keep_their_place(
    engine: AsyncEngine, bus: Bus
) -> None:
    await written(engine, 2)
    await sweeper(engine, bus, "another").sweep()
    async with engine.begin() as connection:
        await connection.execute(update(TABLES.unsent).values(parked_reason="MalformedDetail"))
    assert await sweeper(engine, bus).sweep() == 0
    async with engine.connect() as connection:
        reasons = await connection.execute(select(TABLES.unsent.c.parked_reason))
        assert set(reasons.scalars()) == {"MalformedDetail"}


async def test_a_bus_that_is_not_there_is_asked_again(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 1)
    await bus.lose()
    with pytest.raises(Exception, match="ResourceNotFound"):
        await sweeper(engine, bus).sweep()
    assert not await unsent(engine)
    await bus.make()
    assert await sweeper(engine, bus).sweep() == 1


async def test_a_bus_without_its_rules_gets_nothing_yet(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 2)
    await bus.lose()
    await bus.make(applied=False)
    assert await sweeper(engine, bus).sweep() == 0
    await bus.lose()
    await bus.make()
    assert await sweeper(engine, bus).sweep() == 2


async def test_the_newest_come_first_and_a_lot_at_a_time(engine: AsyncEngine, bus: Bus) -> None:
    """What was lost was new; and what is old must not keep other messages from the bus."""
    oldest = await written(engine, 1, ago=3 * A_MINUTE)
    older = await written(engine, 2, ago=2 * A_MINUTE)
    newest = await written(engine, 2)
    for lot in (newest, older, oldest):
        # Each time by another process: how far the last one came is on the bus.
        assert await sweeper(engine, bus, lot=2).sweep() == len(lot)
        assert await unsent(engine) == lot
        await all_sent(engine)
    assert await sweeper(engine, bus, lot=2).sweep() == 0


async def test_messages_of_one_transaction_are_of_one_lot(engine: AsyncEngine, bus: Bus) -> None:
    """They have one time, so the next lot could not tell which of them it has to begin with."""
    await written(engine, 1, ago=2 * A_MINUTE)
    await written(engine, 5)
    assert await sweeper(engine, bus, lot=2).sweep() == 5
    assert await sweeper(engine, bus, lot=2).sweep() == 1


async def test_a_bus_that_is_lost_in_the_midst_gets_all_of_it(
    engine: AsyncEngine, bus: Bus
) -> None:
    await written(engine, 2, ago=2 * A_MINUTE)
    newest = await written(engine, 2)
    await sweeper(engine, bus, lot=2).sweep()
    await all_sent(engine)
    await bus.lose()
    await bus.make()
    assert await sweeper(engine, bus, lot=2).sweep() == 2
    assert await unsent(engine) == newest


async def test_process_that_stood_still_speaks_of_the_bus_that_it_knew(
    engine: AsyncEngine, bus: Bus
) -> None:
    """It goes on where it was, and notes on the new bus how far it came with the old one."""
    await written(engine, 2)

    class LostMeanwhile:
        def __getattr__(self, name: str) -> Any:
            return getattr(bus.events, name)

        async def tag_resource(self, **request: Any) -> None:
            await all_sent(engine)
            await bus.lose()
            await bus.make()
            await bus.events.tag_resource(**request)

    assert await sweeper(engine, Bus(LostMeanwhile(), bus.name)).sweep() == 2
    assert await sweeper(engine, bus).sweep() == 2


async def test_tag_that_cannot_be_read_counts_as_none(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 2)
    arn = (await bus.events.describe_event_bus(Name=bus.name))["Arn"]
    tag = {"Key": tag_of("order"), "Value": "2026-11-25T20:15:00Z"}
    await bus.events.tag_resource(ResourceARN=arn, Tags=[tag])
    assert await sweeper(engine, bus).sweep() == 2
    assert await sweeper(engine, bus).sweep() == 0


async def test_next_lot_waits_until_the_one_before_is_sent(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 2, ago=2 * A_MINUTE)
    await written(engine, 2)
    found: list[set[str]] = []
    through = asyncio.Event()

    class Watched:
        def __getattr__(self, name: str) -> Any:
            return getattr(bus.events, name)

        async def describe_event_bus(self, **request: Any) -> Any:
            found.append(await unsent(engine))
            if len(found) == 3:
                through.set()
            return await bus.events.describe_event_bus(**request)

    async def slow_relay() -> None:
        while not through.is_set():
            if await unsent(engine):
                await asyncio.sleep(0.3)  # What the bus takes for it.
                await all_sent(engine)
            await asyncio.sleep(0.01)

    republish = sweeper(engine, Bus(Watched(), bus.name), lot=2)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        tasks.create_task(republish.run())
        tasks.create_task(slow_relay())
        await through.wait()
        republish.stop()
    # At each look at the bus, nothing of the lot before was left.
    assert found == [set(), set(), set()]
