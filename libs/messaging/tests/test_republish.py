"""A bus that has lost its memory gets the last hour again, once; any other gets nothing."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import MetaData, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from messaging import messaging_tables
from messaging.republish import APPLIED_TAG, WINDOW, RepublishSweeper

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
A_MINUTE = timedelta(minutes=1)


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


def sweeper(engine: AsyncEngine, bus: Bus, service: str = "order") -> RepublishSweeper:
    return RepublishSweeper(
        engine, TABLES, bus.events, service=service, bus=bus.name, settle_seconds=0
    )


async def written(engine: AsyncEngine, count: int, *, ago: timedelta = A_MINUTE) -> None:
    """Messages that were written and published that long ago."""
    async with engine.begin() as connection:
        for _ in range(count):
            await connection.execute(
                insert(TABLES.outbox).values(
                    id=str(uuid.uuid4()),
                    source="bookstore.order",
                    type="ReserveStock",
                    subject="order-1",
                    detail="{}",
                    created_at=func.now() - ago,
                )
            )


async def unsent(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        count = await connection.execute(select(func.count()).select_from(TABLES.unsent))
        return int(count.scalar_one())


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
    assert await unsent(engine) == 3


async def test_the_last_hour_is_that_before_the_stack_stood_still(
    engine: AsyncEngine, bus: Bus
) -> None:
    """It was stopped over night, and was quicker to take an order than to look at the bus."""
    night = timedelta(hours=9)
    await written(engine, 3, ago=night)
    await written(engine, 2, ago=night + 2 * WINDOW)
    await written(engine, 1, ago=-A_MINUTE)
    assert await sweeper(engine, bus).sweep() == 3 + 1


async def test_what_was_written_since_the_bus_is_there_is_not_published_again(
    engine: AsyncEngine, bus: Bus
) -> None:
    await written(engine, 3, ago=-A_MINUTE)
    assert await sweeper(engine, bus).sweep() == 0


async def test_bus_that_remembers_gets_nothing(engine: AsyncEngine, bus: Bus) -> None:
    await written(engine, 3)
    await sweeper(engine, bus).sweep()
    await all_sent(engine)
    # Another process of the service, and one that has just been started.
    assert await sweeper(engine, bus).sweep() == 0
    assert await unsent(engine) == 0


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
    assert await unsent(engine) == 0
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
