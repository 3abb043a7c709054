"""Commands and events about stock, on a real database."""

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from pydantic import BaseModel
from sqlalchemy import event, func, select, text

from catalog_service.tables import RESERVATIONS
from chassis import SqlResources
from contracts.models.catalog import ReconcileStock, ReleaseStock, ReserveStock, RestockItems
from contracts.models.order import OrderConfirmed
from messaging import DeadLetter, Envelope

Send = Callable[..., Awaitable[list[bool | BaseException]]]
Sent = Callable[..., Awaitable[list[dict[str, Any]]]]
ListBook = Callable[..., Awaitable[dict[str, Any]]]
Stock = Callable[[], Awaitable[dict[str, int]]]
Wrap = Callable[[BaseModel], Envelope]


def order_id() -> str:
    return str(uuid.uuid4())


def lines_of(*wanted: tuple[dict[str, Any], int]) -> list[dict[str, Any]]:
    return [
        {"book_id": book["book_id"], "quantity": quantity, "unit_price": book["price"]}
        for book, quantity in wanted
    ]


def reserve(order: str, *wanted: tuple[dict[str, Any], int]) -> ReserveStock:
    return ReserveStock.model_validate({"order_id": order, "lines": lines_of(*wanted)})


def confirmed(order: str, *wanted: tuple[dict[str, Any], int]) -> OrderConfirmed:
    total = sum(book["price"]["amount_minor"] * quantity for book, quantity in wanted)
    return OrderConfirmed.model_validate(
        {
            "order_id": order,
            "customer_id": "ada",
            "lines": lines_of(*wanted),
            "total": {"amount_minor": total, "currency": "EUR"},
        }
    )


def held(stock: dict[str, int]) -> tuple[int, int, int]:
    return stock["on_hand"], stock["reserved"], stock["sold"]


async def test_duplicate_message_reserves_once(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock, envelope: Wrap
) -> None:
    book = await list_book(20)
    message = envelope(reserve(order_id(), (book, 2)))
    assert await send(message, message) == [True, False]
    assert await send(message) == [False]
    assert held(await stock()) == (18, 2, 0)
    assert len(await sent("StockReserved")) == 1


async def test_same_order_in_another_message_gets_the_same_answer(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(20)
    order = order_id()
    for _ in range(2):
        assert await send(reserve(order, (book, 2))) == [True]
    assert held(await stock()) == (18, 2, 0)
    first, second = await sent("StockReserved")
    assert first == second


async def test_refused_order_gets_the_same_answer_even_when_stock_is_back(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(3)
    taker, refused = order_id(), order_id()
    await send(reserve(taker, (book, 3)), reserve(refused, (book, 1)))
    await send(ReleaseStock(order_id=taker))
    await send(reserve(refused, (book, 1)))
    answers = await sent("StockUnavailable")
    assert len(answers) == 2
    assert answers[0] == answers[1]
    assert answers[0]["reason"] == "out_of_stock"
    assert held(await stock()) == (3, 0, 0)


async def test_lines_of_an_order_are_taken_all_or_none(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    plenty, scarce = await list_book(10), await list_book(1)
    await send(reserve(order_id(), (plenty, 2), (scarce, 2)))
    (answer,) = await sent("StockUnavailable")
    assert (answer["reason"], answer["book_id"]) == ("out_of_stock", scarce["book_id"])
    assert held(await stock()) == (11, 0, 0)


async def test_unknown_book_and_old_price_are_refused(
    list_book: ListBook, send: Send, sent: Sent
) -> None:
    book = await list_book(10)
    stranger = {**book, "book_id": str(uuid.uuid4())}
    cheaper = {**book, "price": {"amount_minor": 1, "currency": "EUR"}}
    await send(reserve(order_id(), (stranger, 1)), reserve(order_id(), (cheaper, 1)))
    reasons = {answer["reason"] for answer in await sent("StockUnavailable")}
    assert reasons == {"unknown_book", "price_changed"}


async def test_release_before_reserve_leaves_a_tombstone(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(10)
    order = order_id()
    assert await send(ReleaseStock(order_id=order)) == [True]
    assert await send(reserve(order, (book, 1))) == [True]
    answers = await sent("StockReleased", "StockUnavailable")
    assert [answer["type"] for answer in answers] == ["StockReleased", "StockUnavailable"]
    assert answers[1]["reason"] == "released"
    assert held(await stock()) == (10, 0, 0)


async def test_release_after_reserve_gives_back_once(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(10)
    order = order_id()
    await send(reserve(order, (book, 4)))
    for _ in range(2):
        assert await send(ReleaseStock(order_id=order)) == [True]
    assert held(await stock()) == (10, 0, 0)
    assert len(await sent("StockReleased")) == 2


async def test_confirmed_order_sells_its_copies_once(
    list_book: ListBook, send: Send, stock: Stock
) -> None:
    book = await list_book(10)
    order = order_id()
    await send(reserve(order, (book, 4)))
    for _ in range(2):
        assert await send(confirmed(order, (book, 4))) == [True]
    assert held(await stock()) == (6, 0, 4)


async def test_restock_before_confirm_leaves_nothing_sold(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(10)
    order = order_id()
    await send(reserve(order, (book, 4)))
    assert await send(RestockItems(order_id=order)) == [True]
    assert await send(confirmed(order, (book, 4))) == [True]
    assert held(await stock()) == (10, 0, 0)
    assert len(await sent("ItemsRestocked")) == 1


async def test_whole_life_of_an_order_in_one_batch(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(10)
    order = order_id()
    outcome = await send(
        reserve(order, (book, 4)), confirmed(order, (book, 4)), RestockItems(order_id=order)
    )
    assert outcome == [True, True, True]
    assert held(await stock()) == (10, 0, 0)
    assert [m["type"] for m in await sent("StockReserved", "ItemsRestocked")] == [
        "StockReserved",
        "ItemsRestocked",
    ]


async def test_reconciliation_repairs_each_order_of_its_lot_and_reports_it(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(20)
    unsold, sold, unreleased, unknown = (order_id() for _ in range(4))
    for order in (unsold, sold, unreleased):
        await send(reserve(order, (book, 4)))
    await send(confirmed(sold, (book, 4)))
    wanted = {unsold: "sold", sold: "sold", unreleased: "released", unknown: "sold"}
    command = ReconcileStock.model_validate(
        {
            "batch_id": order_id(),
            "expectations": [
                {"order_id": order, "expected": state} for order, state in wanted.items()
            ],
        }
    )
    assert await send(command) == [True]
    assert held(await stock()) == (12, 0, 8)
    (report,) = await sent("StockReconciled")
    assert report["matched"] == 1
    assert [(r["order_id"], r["found"], r["action"]) for r in report["repaired"]] == [
        (unsold, "held", "sold"),
        (unreleased, "held", "released"),
        (unknown, "missing", "none"),
    ]
    # The confirmation turns up after all, and a second comparison finds nothing to do but tell.
    assert await send(confirmed(unsold, (book, 4)), command) == [True, True]
    assert held(await stock()) == (12, 0, 8)
    _, again = await sent("StockReconciled")
    assert (again["matched"], len(again["repaired"])) == (3, 1)


async def test_impossible_message_is_a_dead_letter_and_takes_no_other_down(
    list_book: ListBook, send: Send, sent: Sent, stock: Stock
) -> None:
    book = await list_book(10)
    sold = order_id()
    await send(reserve(sold, (book, 1)))
    await send(confirmed(sold, (book, 1)))
    before, release, unknown, after = await send(
        reserve(order_id(), (book, 2)),
        ReleaseStock(order_id=sold),
        RestockItems(order_id=order_id()),
        reserve(order_id(), (book, 3)),
    )
    assert (before, after) == (True, True)
    assert isinstance(release, DeadLetter)
    assert sold in str(release)
    assert isinstance(unknown, DeadLetter)
    assert held(await stock()) == (4, 5, 1)
    assert len(await sent("StockReserved")) == 3
    assert not await sent("StockReleased", "ItemsRestocked")


async def test_level_is_told_at_its_boundaries_once_a_batch(
    list_book: ListBook, send: Send, sent: Sent
) -> None:
    book = await list_book(10)
    first, second = order_id(), order_id()
    await send(reserve(first, (book, 3)))
    assert not await sent("StockLevelChanged")  # 7 are plenty, as 10 were.
    await send(*(reserve(order_id(), (book, 1)) for _ in range(3)))
    await send(reserve(second, (book, 4)))
    await send(ReleaseStock(order_id=first), ReleaseStock(order_id=second))
    told = await sent("StockLevelChanged")
    assert [event["available"] for event in told] == [4, 0, 7]
    versions = [event["version"] for event in told]
    assert versions == sorted(set(versions))


async def test_books_listed_scarce_are_told_to_be(list_book: ListBook, sent: Sent) -> None:
    await list_book(0)
    await list_book(5)
    await list_book(6)
    assert [event["available"] for event in await sent("StockLevelChanged")] == [0, 5]


async def test_changed_stock_is_seen_at_once_though_books_are_cached(
    list_book: ListBook, send: Send, client: httpx.AsyncClient
) -> None:
    book = await list_book(10)
    url = f"/books/{book['book_id']}"
    assert (await client.get(url)).json()["available"] == 10
    await send(reserve(order_id(), (book, 3)))
    assert (await client.get(url)).json()["available"] == 7


async def test_batch_of_ten_takes_six_statements_and_one_commit(
    list_book: ListBook, send: Send, resources: SqlResources
) -> None:
    books = [await list_book(100) for _ in range(3)]
    commands = [reserve(order_id(), *((book, 1) for book in books)) for _ in range(10)]
    statements: list[str] = []

    def on_statement(_c: Any, _cursor: Any, text: str, *_: Any) -> None:
        statements.append(text)

    engine = resources.engine.sync_engine
    event.listen(engine, "before_cursor_execute", on_statement)
    try:
        assert await send(*commands) == [True] * 10
    finally:
        event.remove(engine, "before_cursor_execute", on_statement)
    orders = [command.order_id for command in commands]
    transactions = (
        select(func.count(text("DISTINCT xmin::text")))
        .select_from(RESERVATIONS)
        .where(RESERVATIONS.c.order_id.in_(orders))
    )
    async with resources.engine.connect() as connection:
        assert (await connection.execute(transactions)).scalar_one() == 1
    # Inbox, lock reservations, lock books, insert reservations, update stock, outbox.
    assert len(statements) == 6, "\n".join(statements)
    # The planner happens to read few rows in order anyway, so a deadlock would not show it.
    locks = [text for text in statements if "FOR UPDATE" in text]
    assert "ORDER BY reservations.order_id" in locks[0]
    assert "ORDER BY books.book_id" in locks[1]
