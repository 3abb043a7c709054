"""Contacts on a real database: numbered in the order in which they were given, erased for good."""

import asyncio
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from contracts import validate
from contracts.models.common import Contact
from messaging import Envelope, Outbox, Sender
from order_service.contacts import Contacts
from order_service.store import METADATA, TABLES

ADA = Contact(email="ada@example.com", name="Ada", locale="en-GB")


class Shop:
    """The contacts over one database, and what they told."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.published: list[Envelope] = []
        outbox = Outbox(engine, TABLES, lambda sent: self.published.extend(m for _, m in sent))
        self.contacts = Contacts(outbox, Sender("order"))

    async def stored(self) -> list[str]:
        async with self.engine.connect() as connection:
            return list((await connection.execute(select(TABLES.outbox.c.detail))).scalars())


@pytest.fixture
async def shop(new_database: Any) -> Shop:
    return Shop(await new_database(METADATA))


async def test_contact_is_told_with_its_number(shop: Shop) -> None:
    await shop.contacts.provide("c1", ADA)
    (told,) = shop.published
    assert (told.type, told.subject) == ("ContactProvided", "c1")
    assert told.data == {
        "customer_id": "c1",
        "version": 1,
        "contact": {"email": "ada@example.com", "name": "Ada", "locale": "en-GB"},
    }


async def test_each_change_has_the_next_number_also_after_erasing(shop: Shop) -> None:
    await shop.contacts.provide("c1", ADA)
    await shop.contacts.erase("c1")
    await shop.contacts.provide("c1", ADA)
    await shop.contacts.provide("c2", ADA)
    numbers = [(each.subject, each.data["version"]) for each in shop.published]
    assert numbers == [("c1", 1), ("c1", 2), ("c1", 3), ("c2", 1)]


async def test_concurrent_changes_never_share_a_number(shop: Shop) -> None:
    await asyncio.gather(*(shop.contacts.provide("c1", ADA) for _ in range(7)))
    assert sorted(each.data["version"] for each in shop.published) == list(range(1, 8))


async def test_erased_contact_stands_nowhere(shop: Shop) -> None:
    await shop.contacts.provide("c1", ADA)
    await shop.contacts.provide("c1", Contact(email="lovelace@example.org"))
    await shop.contacts.erase("c1")
    text = "".join(await shop.stored())
    for personal in ("ada@example.com", "Ada", "en-GB", "lovelace"):
        assert personal not in text


async def test_erasing_leaves_other_customers_alone(shop: Shop) -> None:
    await shop.contacts.provide("c2", ADA)
    await shop.contacts.erase("c1")
    assert any("ada@example.com" in detail for detail in await shop.stored())


async def test_what_is_left_of_an_erased_contact_keeps_its_contract(shop: Shop) -> None:
    await shop.contacts.provide("c1", ADA)
    await shop.contacts.erase("c1")
    for detail in await shop.stored():
        document = orjson.loads(detail)
        validate(document["type"], 1, document["data"])


async def test_erasing_an_unknown_customer_is_no_error(shop: Shop) -> None:
    await shop.contacts.erase("nobody")
    assert [each.type for each in shop.published] == ["ContactErased"]
