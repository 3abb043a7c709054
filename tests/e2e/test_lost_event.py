"""An event that the bus has lost is made good by reconciliation, and harmless when it turns up."""

import asyncio
import json
import uuid
from typing import Any

from aiobotocore.session import AioSession
from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from contracts import load_topology
from messaging import Outbox, Sender
from messaging.topology import apply
from order_service.reconciler import Reconciler
from order_service.store import TABLES

REGION = "us-east-1"


async def copies(platform: Any, state: str) -> int:
    answer = await platform.http.get(f"{platform.endpoints['catalog']}/ops/stock")
    return int(answer.json()[state])


async def copies_until(platform: Any, state: str, wanted: int) -> None:
    async with asyncio.timeout(30):
        while await copies(platform, state) != wanted:
            await asyncio.sleep(0.05)


async def handled_until(platform: Any, wanted: int) -> None:
    """Until the catalog has handled so many confirmations."""
    async with asyncio.timeout(30):
        while await handled(platform) < wanted:
            await asyncio.sleep(0.05)


async def handled(platform: Any) -> int:
    answer = await platform.http.get(f"{platform.endpoints['catalog']}/ops/messages")
    return int(answer.json()["handled"].get("OrderConfirmed", 0))


async def test_copies_of_an_order_whose_confirmation_was_lost_are_sold(platform: Any) -> None:
    """While the order is confirmed, no rule leads OrderConfirmed to the catalog."""
    endpoint_url, database_url = platform.needs("aws"), platform.needs("ORDER_DATABASE_URL")
    book = await platform.list_book(f"Lost {uuid.uuid4()}", stock=10)
    await copies_until(platform, "reserved", 0)
    sold_before, handled_before = await copies(platform, "sold"), await handled(platform)
    topology = load_topology()
    (rule,) = (
        rule for rule in topology.services["catalog"].rules if "OrderConfirmed" in str(rule.pattern)
    )
    deaf = {
        **rule.pattern,
        "detail-type": [name for name in rule.pattern["detail-type"] if name != "OrderConfirmed"],
    }
    session = AioSession()
    session.set_credentials("test", "test")
    async with platform.aws("events") as events:
        await events.put_rule(
            Name=rule.name, EventBusName=topology.bus, EventPattern=json.dumps(deaf)
        )
        placed = await platform.order(book, quantity=3, wait=20)
        assert placed.status_code == 201, placed.text
        order_id = placed.json()["order_id"]
        engine = create_async_engine(database_url)
        outbox = TABLES.outbox
        lost = (outbox.c.subject == order_id) & (outbox.c.type == "OrderConfirmed")
        try:
            async with asyncio.timeout(30):
                while not await is_published(engine, lost):
                    await asyncio.sleep(0.05)
            await apply(topology, session, endpoint_url=endpoint_url, region=REGION)
            assert await copies(platform, "reserved") == 3

            # Written by this process, sent by the order service's own relay.
            reconciler = Reconciler(
                Outbox(engine, TABLES, on_commit=lambda _: None),
                Sender("order"),
                interval_seconds=60,
                grace_seconds=0,
            )
            while await reconciler.sweep():
                pass  # Other tests' orders go first; this one is the youngest.
            await copies_until(platform, "reserved", 0)
            assert await copies(platform, "sold") == sold_before + 3

            # Found again, as after a redrive: it changes nothing any more.
            async with engine.begin() as connection:
                again = insert(TABLES.unsent).from_select(
                    ["message_id"], select(outbox.c.id).where(lost)
                )
                await connection.execute(again)
            await handled_until(platform, handled_before + 1)
            assert await copies(platform, "sold") == sold_before + 3
        finally:
            await engine.dispose()


async def is_published(engine: Any, row: Any) -> bool:
    unsent = select(TABLES.unsent).where(
        TABLES.unsent.c.message_id.in_(select(TABLES.outbox.c.id).where(row))
    )
    async with engine.connect() as connection:
        written = (await connection.execute(select(TABLES.outbox.c.id).where(row))).first()
        return written is not None and (await connection.execute(unsent)).first() is None
