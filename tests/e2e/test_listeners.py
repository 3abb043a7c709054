"""Search and notification only listen: orders never wait for them, and they miss nothing.

A listener that was away for a whole load catches up; what it is told twice, it does once.
"""

import asyncio
import uuid
from collections import Counter
from typing import Any

import orjson
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from bookstore.balance.mailbox import read_mailbox
from contracts import load_topology
from drive.load import Load
from drive.platform import Platform

ADDRESS = "reader@example.com"


async def give_contact(platform: Platform, customer: str) -> None:
    url = f"{platform.endpoints['order']}/customers/{customer}/contact"
    answer = await platform.http.put(url, json={"email": ADDRESS, "name": "Ada"})
    assert answer.status_code == 204


async def census(platform: Platform, service: str) -> dict[str, int]:
    url = f"{platform.endpoints[service]}/ops/messages"
    answer = await platform.http.get(url)
    answer.raise_for_status()
    found: dict[str, int] = answer.json()["handled"]
    return found


async def mails(platform: Platform) -> Counter[str]:
    """How often each mail is at the mail service, by order and kind."""
    return Counter(await read_mailbox(platform.http, platform.needs("aws")))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("listener", ["search-worker", "notification-worker"])
async def test_listener_that_was_away_for_a_whole_load_catches_up(
    platform: Platform, listener: str
) -> None:
    processes = platform.needs_processes()
    load = Load(platform, listener)
    await give_contact(platform, load.customer)
    await processes.halt(listener)
    try:
        await load.run()
        await load.settled()  # Orders come to their end without the listener.
    finally:
        await processes.resume(listener)
    # Handled as often as sent, a mail for each outcome, none twice.
    await load.check()


async def test_events_replayed_from_the_beginning_change_nothing(platform: Platform) -> None:
    customer = f"customer-{uuid.uuid4()}"
    await give_contact(platform, customer)
    book = await platform.list_book(f"Replayed {uuid.uuid4()}", stock=10)
    placed = await platform.order(book, customer=customer, wait=30)
    assert placed.status_code == 201
    order_id = placed.json()["order_id"]
    async with asyncio.timeout(30):
        while (await mails(platform))[f"{order_id}/confirmed"] == 0:
            await asyncio.sleep(0.1)
    listeners = ("search", "notification")
    await nothing_waits(platform, listeners)
    before = {name: await census(platform, name) for name in listeners}
    shown = await seen(platform, book, customer)
    await replay(platform, listeners)
    await nothing_waits(platform, listeners)
    assert {name: await census(platform, name) for name in listeners} == before
    assert await seen(platform, book, customer) == shown
    assert set((await mails(platform)).values()) == {1}


async def seen(platform: Platform, book: dict[str, Any], customer: str) -> Any:
    """What clients see of what the listeners know, but for what a periodic job adds by itself."""
    search, notification = platform.endpoints["search"], platform.endpoints["notification"]
    found = (await platform.http.get(f"{search}/search", params={"q": book["title"]})).json()
    trending = [
        book["book_id"]
        for book in (await platform.http.get(f"{search}/trending")).json()["books"]
        if book["because"] == "trending"
    ]
    told = (await platform.http.get(f"{notification}/ops/mails")).json()
    return found, trending, told


async def replay(platform: Platform, listeners: tuple[str, ...]) -> None:
    """Put every message that was ever sent into the listeners' queues once more, newest first."""
    topology = load_topology()
    async with platform.aws("sqs") as sqs:
        for service in topology.services:
            if f"{service.upper()}_DATABASE_URL" not in platform.endpoints:
                continue
            engine = create_async_engine(platform.endpoints[f"{service.upper()}_DATABASE_URL"])
            async with engine.connect() as connection:
                rows = await connection.execute(
                    text("SELECT source, type, detail FROM outbox ORDER BY position DESC")
                )
                sent = rows.all()
            await engine.dispose()
            for listener in listeners:
                mine = topology.services[listener]
                url = (await sqs.get_queue_url(QueueName=mine.queue.name))["QueueUrl"]
                events = [
                    orjson.dumps(
                        {"source": source, "detail-type": kind, "detail": orjson.loads(detail)}
                    ).decode()
                    for source, kind, detail in sent
                    if kind in mine.receives
                ]
                for start in range(0, len(events), 10):
                    await sqs.send_message_batch(
                        QueueUrl=url,
                        Entries=[
                            {"Id": str(number), "MessageBody": body}
                            for number, body in enumerate(events[start : start + 10])
                        ],
                    )


async def nothing_waits(platform: Platform, listeners: tuple[str, ...]) -> None:
    """Until the listeners have handled all that they were sent."""
    async with asyncio.timeout(60):
        while await waiting(platform, listeners):
            await asyncio.sleep(0.1)


async def waiting(platform: Platform, listeners: tuple[str, ...]) -> int:
    """Messages that are still in the listeners' queues, at work included."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    total = 0
    async with platform.aws("sqs") as sqs:
        for listener in listeners:
            queue = load_topology().services[listener].queue.name
            url = (await sqs.get_queue_url(QueueName=queue))["QueueUrl"]
            found = await sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)
            total += sum(int(found["Attributes"][name]) for name in names)
    return total


async def test_search_finds_what_the_catalog_has_listed(platform: Platform) -> None:
    word = uuid.uuid4().hex[:12]
    book = await platform.list_book(f"Zanzibar {word}", stock=3)
    url = f"{platform.endpoints['search']}/search"
    async with asyncio.timeout(20):
        while True:
            found = (await platform.http.get(url, params={"q": f"zanzibra {word}"})).json()
            if found["total"]:
                break
            await asyncio.sleep(0.1)
    (hit,) = found["hits"]
    assert hit["book_id"] == book["book_id"]
    assert hit["availability"] == "few_left"
