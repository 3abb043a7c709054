"""Holds whose time is up, on a real database."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from sqlalchemy import func, select, update

from catalog_service.cache import BookCache
from catalog_service.expiry import LOT, ExpirySweeper
from catalog_service.tables import RESERVATIONS
from chassis import SqlResources
from contracts.models.catalog import ReleaseStock, ReserveStock, RestockItems
from contracts.models.order import OrderConfirmed
from messaging import DeadLetter, Sender

Send = Callable[..., Awaitable[list[bool | BaseException]]]
Sent = Callable[..., Awaitable[list[dict[str, Any]]]]
ListBook = Callable[..., Awaitable[dict[str, Any]]]
Stock = Callable[[], Awaitable[dict[str, int]]]


def lines_of(book: dict[str, Any], quantity: int) -> list[dict[str, Any]]:
    return [{"book_id": book["book_id"], "quantity": quantity, "unit_price": book["price"]}]


def reserve(book: dict[str, Any], quantity: int) -> ReserveStock:
    return ReserveStock.model_validate(
        {"order_id": str(uuid.uuid4()), "lines": lines_of(book, quantity)}
    )


def confirmed(command: ReserveStock) -> OrderConfirmed:
    return OrderConfirmed.model_validate(
        {
            "order_id": command.order_id,
            "customer_id": "ada",
            "lines": [line.model_dump() for line in command.lines],
            "total": {"amount_minor": 1, "currency": "EUR"},
        }
    )


def sweeper(resources: SqlResources) -> ExpirySweeper:
    cache = BookCache(None, ttl_seconds=5)
    return ExpirySweeper(resources.outbox, Sender("catalog"), cache, interval_seconds=30)


async def let_time_pass(resources: SqlResources) -> None:
    """A day passes for every hold."""
    past = func.now() - timedelta(seconds=1)
    async with resources.engine.begin() as connection:
        await connection.execute(
            update(RESERVATIONS)
            .where(RESERVATIONS.c.expires_at.is_not(None))
            .values(expires_at=past)
        )


async def test_only_holds_whose_time_is_up_expire(
    resources: SqlResources, list_book: ListBook, send: Send, stock: Stock
) -> None:
    book = await list_book(10)
    await send(reserve(book, 2))
    await let_time_pass(resources)
    await send(reserve(book, 3))
    assert await sweeper(resources).sweep() == 1
    assert (await stock())["reserved"] == 3
    assert await sweeper(resources).sweep() == 0


async def test_expiry_tells_the_level(
    resources: SqlResources, list_book: ListBook, send: Send, sent: Sent
) -> None:
    book = await list_book(10)
    await send(reserve(book, 10))
    await let_time_pass(resources)
    await sweeper(resources).sweep()
    assert [e["available"] for e in await sent("StockLevelChanged")] == [0, 10]


async def test_several_sweepers_share_the_work(
    resources: SqlResources, list_book: ListBook, send: Send, stock: Stock
) -> None:
    book = await list_book(1000)
    await send(*(reserve(book, 1) for _ in range(LOT + 50)))
    await let_time_pass(resources)
    done = await asyncio.gather(*(sweeper(resources).sweep() for _ in range(3)))
    assert sum(done) == LOT + 50
    assert (await stock())["on_hand"] == 1000


async def test_order_confirmed_after_its_hold_expired_takes_the_copies_again(
    resources: SqlResources, list_book: ListBook, send: Send, stock: Stock
) -> None:
    book = await list_book(10)
    command = reserve(book, 4)
    await send(command)
    await let_time_pass(resources)
    await sweeper(resources).sweep()
    assert await send(confirmed(command)) == [True]
    census = await stock()
    assert (census["on_hand"], census["reserved"], census["sold"]) == (6, 0, 4)


async def test_order_confirmed_after_its_copies_went_to_another_is_a_dead_letter(
    resources: SqlResources, list_book: ListBook, send: Send, stock: Stock
) -> None:
    book = await list_book(4)
    late = reserve(book, 4)
    await send(late)
    await let_time_pass(resources)
    await sweeper(resources).sweep()
    await send(reserve(book, 1))
    (outcome,) = await send(confirmed(late))
    assert isinstance(outcome, DeadLetter)
    assert "Only 3 of 4 copies" in str(outcome)
    census = await stock()
    assert (census["on_hand"], census["reserved"], census["sold"]) == (3, 1, 0)


async def test_expired_order_is_released_and_restocked_without_effect(
    resources: SqlResources, list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(10)
    released, cancelled = reserve(book, 1), reserve(book, 1)
    await send(released, cancelled)
    await let_time_pass(resources)
    await sweeper(resources).sweep()
    outcome = await send(
        ReleaseStock(order_id=released.order_id),
        RestockItems(order_id=cancelled.order_id),
        confirmed(cancelled),
    )
    assert outcome == [True, True, True]
    assert len(await sent("StockReleased", "ItemsRestocked")) == 2
    assert (await stock())["on_hand"] == 10


async def test_expiring_hold_that_is_being_confirmed_is_left_alone(
    resources: SqlResources, list_book: ListBook, send: Send
) -> None:
    book = await list_book(10)
    command = reserve(book, 1)
    await send(command)
    await let_time_pass(resources)
    async with resources.engine.begin() as connection:
        await connection.execute(
            select(RESERVATIONS)
            .where(RESERVATIONS.c.order_id == command.order_id)
            .with_for_update()
        )
        async with asyncio.timeout(5):  # It must not wait for the lock either.
            assert await sweeper(resources).sweep() == 0
    assert await sweeper(resources).sweep() == 1
