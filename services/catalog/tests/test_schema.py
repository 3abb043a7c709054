"""Migrations and what the database itself refuses."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError

from catalog_service.tables import BOOKS, METADATA, RESERVATIONS
from chassis import SqlResources
from chassis.migrations import drift
from stack import EmbeddedServers

ListBook = Callable[..., Awaitable[dict[str, Any]]]


async def test_migrations_and_tables_agree(servers: EmbeddedServers) -> None:
    assert await drift(servers.postgres_url("catalog"), METADATA) == []


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ({"on_hand": -1, "reserved": 11}, "books_stock_not_negative"),
        ({"reserved": -1, "on_hand": 11}, "books_stock_not_negative"),
        ({"on_hand": 9}, "books_stock_adds_up"),
        ({"received": 11}, "books_stock_adds_up"),
        ({"price_minor": -1}, "books_price_not_negative"),
    ],
)
async def test_database_refuses_stock_that_cannot_be(
    resources: SqlResources, list_book: ListBook, change: dict[str, int], constraint: str
) -> None:
    await list_book(10)
    with pytest.raises(IntegrityError, match=constraint):
        async with resources.engine.begin() as connection:
            await connection.execute(update(BOOKS).values(**change))


async def test_database_refuses_a_hold_that_never_expires(resources: SqlResources) -> None:
    hold = {"order_id": "00000000-0000-4000-8000-000000000001", "status": "held", "copies": {}}
    with pytest.raises(IntegrityError, match="reservations_only_holds_expire"):
        async with resources.engine.begin() as connection:
            await connection.execute(insert(RESERVATIONS).values(**hold))
