"""The services' own stores in memory, and on PostgreSQL or AWS's emulator: the same claims."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from batching import transaction
from catalog_service import domain as stock_domain
from catalog_service.books import Books
from catalog_service.domain import Line, Reservation
from catalog_service.expiry import ExpirySweeper
from catalog_service.listing import Book, Listing
from catalog_service.store import StockRoom, stock_census
from catalog_service.tables import BOOKS, MESSAGING, RESERVATIONS
from catalog_service.tables import METADATA as CATALOG
from contracts import load_topology
from contracts.models.common import Contact, Money, OrderLine
from faults.gate import OpenGate
from faults.memory.aws import MemoryAws
from messaging import Conflict, Outbox, Sender
from notification_service.domain import Kind, MailKey, Profile, Reason
from notification_service.profiles import Profiles
from notification_service.store import Mails
from notification_service.table import Table
from order_service import domain as order_domain
from order_service import store as order_store
from order_service.cancel_order_saga import CANCEL_ORDER
from order_service.domain import OrderStatus
from order_service.place_order_saga import PLACE_ORDER
from order_service.reconciler import Reconciler
from order_service.store import ORDERS, SAGAS_TABLE, Placements
from payment_service.domain import Payment, Status
from payment_service.store import METADATA as PAYMENT
from payment_service.store import PAYMENTS, Notice, Payments
from payment_service.store import TABLES as PAYMENT_TABLES
from sagas import DeadlineSweeper, Orchestrator, SagaStore
from sagas import Status as SagaStatus

PRICE_MINOR = 1500


def new_id() -> str:
    return str(uuid.uuid4())


def nobody_listens(committed: Sequence[Any]) -> None:
    """There is no relay here."""


class Cache:
    """Stands for the catalog's cache."""

    def __init__(self) -> None:
        self.forgotten: list[str] = []

    async def forget(self, book_ids: Sequence[str]) -> None:
        self.forgotten.extend(book_ids)


# ---- catalog


@pytest.fixture
async def catalog(either_database: Any) -> AsyncEngine:
    made: AsyncEngine = await either_database(CATALOG)
    return made


async def shelve(engine: AsyncEngine, copies: int) -> str:
    book_id = new_id()
    books = Books(engine, Outbox(engine, MESSAGING, nobody_listens), Sender("catalog"))
    book = Book(book_id, None, "Emma", ["J. Austen"], [], "en", 1815, PRICE_MINOR, "EUR")
    await books.put([Listing(book, copies)])
    return book_id


async def reserve(engine: AsyncEngine, book_id: str, copies: int, order_id: str) -> Reservation:
    room = StockRoom()
    async with transaction(engine.execution_options(isolation_level="AUTOCOMMIT")) as connection:
        await room.lock(connection, [order_id], [book_id])
        if room.reservation(order_id) is not None:
            raise AssertionError("reserved before")
        now = room.now
        assert now is not None
        line = Line(book_id, copies, PRICE_MINOR, "EUR")
        made = stock_domain.reserve(order_id, [line], room, lambda: now + timedelta(hours=1))
        room.open(made)
        await room.write(connection)
    return made


async def stock(engine: AsyncEngine, book_id: str) -> tuple[int, ...]:
    columns = (BOOKS.c.on_hand, BOOKS.c.reserved, BOOKS.c.sold, BOOKS.c.stock_version)
    async with engine.connect() as connection:
        found = await connection.execute(select(*columns).where(BOOKS.c.book_id == book_id))
        return tuple(found.one())


async def test_a_listed_book_reads_back_and_is_revised(catalog: AsyncEngine) -> None:
    books = Books(catalog, Outbox(catalog, MESSAGING, nobody_listens), Sender("catalog"))
    book = Book(new_id(), "9780141439587", "Emma", ["J. Austen"], ["novel"], "en", None, 5, "EUR")
    await books.put([Listing(book, 3)])
    await books.put([Listing(replace(book, title="Emma, revised"), 9)])
    found = await books.find(book.book_id)
    assert found is not None
    assert (found.book.title, found.book.authors, found.version, found.available) == (
        "Emma, revised", ["J. Austen"], 2, 3,
    )  # fmt: skip
    other = replace(book, book_id=new_id())
    assert (await books.put([Listing(other, 1)])).entries[0].error is not None
    assert [each.book.book_id for each in await books.page(5, None)] == [book.book_id]
    assert await books.page(5, book.book_id) == []
    assert await books.find(new_id()) is None


async def test_of_many_who_want_the_last_copies_none_gets_too_many(catalog: AsyncEngine) -> None:
    book_id = await shelve(catalog, 3)
    made = await asyncio.gather(*(reserve(catalog, book_id, 1, new_id()) for _ in range(6)))
    assert sorted(str(each.status) for each in made) == ["held"] * 3 + ["refused"] * 3
    assert await stock(catalog, book_id) == (0, 3, 0, 4)
    assert await stock_census(catalog) == {
        "books": 1, "on_hand": 0, "reserved": 3, "sold": 0, "received": 3, "unbalanced": 0,
    }  # fmt: skip


async def test_an_order_that_is_opened_twice_at_once_is_a_conflict(catalog: AsyncEngine) -> None:
    book_id, order_id = await shelve(catalog, 5), new_id()
    async with transaction(catalog.execution_options(isolation_level="AUTOCOMMIT")) as connection:
        room = StockRoom()
        await room.lock(connection, [order_id], [])  # Not the book, for which the other would wait.
        other = asyncio.create_task(reserve(catalog, book_id, 1, order_id))
        await other
        room.open(Reservation(order_id, stock_domain.Status.RELEASED, {}))
        with pytest.raises(Conflict):
            await room.write(connection)
    assert await stock(catalog, book_id) == (4, 1, 0, 2)


async def test_the_database_itself_refuses_to_oversell(catalog: AsyncEngine) -> None:
    book_id = await shelve(catalog, 1)
    async with catalog.begin() as connection:
        with pytest.raises(Exception, match="books_stock_not_negative"):
            await connection.execute(
                update(BOOKS).values(on_hand=BOOKS.c.on_hand - 2, reserved=BOOKS.c.reserved + 2)
            )
    assert await stock(catalog, book_id) == (1, 0, 0, 1)


async def test_a_hold_whose_time_is_up_expires_once(catalog: AsyncEngine) -> None:
    book_id, late = await shelve(catalog, 5), new_id()
    await reserve(catalog, book_id, 2, late)
    await reserve(catalog, book_id, 1, new_id())
    async with catalog.begin() as connection:
        await connection.execute(
            update(RESERVATIONS)
            .where(RESERVATIONS.c.order_id == late)
            .values(expires_at=func.now() - timedelta(seconds=1))
        )
    outbox, cache = Outbox(catalog, MESSAGING, nobody_listens), Cache()
    sweepers: list[ExpirySweeper] = [
        ExpirySweeper(outbox, Sender("catalog"), cache, interval_seconds=1)  # type: ignore[arg-type]
        for _ in range(2)
    ]
    assert sorted(await asyncio.gather(*(each.sweep() for each in sweepers))) == [0, 1]
    assert cache.forgotten == [book_id]
    assert await stock(catalog, book_id) == (4, 1, 0, 4)
    async with catalog.connect() as connection:
        found = await connection.execute(
            select(RESERVATIONS.c.status, RESERVATIONS.c.expires_at, RESERVATIONS.c.copies).where(
                RESERVATIONS.c.order_id == late
            )
        )
        assert tuple(found.one()) == ("expired", None, {book_id: 2})
        messages = await connection.execute(select(MESSAGING.outbox.c.type))
        assert [row.type for row in messages].count("StockLevelChanged") <= 2


# ---- order


@pytest.fixture
async def orders(either_database: Any) -> AsyncEngine:
    made: AsyncEngine = await either_database(order_store.METADATA)
    return made


def orchestrator() -> Orchestrator:
    return Orchestrator([PLACE_ORDER, CANCEL_ORDER], SagaStore(SAGAS_TABLE), Sender("order"))


def placement(key: str | None = None, quantity: int = 1) -> Any:
    line = OrderLine(
        book_id=new_id(),
        quantity=quantity,
        unit_price=Money(amount_minor=PRICE_MINOR, currency="EUR"),
    )
    order, data = order_domain.place(
        customer_id="c-1", lines=[line], payment_method="pm_card_visa", idempotency_key=key
    )
    instance, messages = orchestrator().begin(PLACE_ORDER, order.order_id, data)
    return order, instance, messages


async def place(engine: AsyncEngine, *placements: Any) -> list[bool]:
    outbox = Outbox(engine, order_store.TABLES, nobody_listens)
    return await Placements(outbox, orchestrator()).write(list(placements))


async def row_of(engine: AsyncEngine, order_id: str) -> Any:
    async with engine.connect() as connection:
        return await order_store.find_order(connection, order_id)


async def test_a_placed_order_reads_back_with_its_saga_and_its_message(
    orders: AsyncEngine,
) -> None:
    order, instance, (message,) = one = placement()
    assert await place(orders, one) == [True]
    assert order_store.order_of(await row_of(orders, order.order_id)) == order
    async with orders.connect() as connection:
        assert await orchestrator().store.find(connection, order.order_id) == [instance]
    outbox = Outbox(orders, order_store.TABLES, nobody_listens)
    assert await outbox.census() == {
        "sent": {message.type: 1}, "outbox": {"pending": 1, "parked": 0},
    }  # fmt: skip
    census = await orchestrator().store.census(orders, ["place_order", "cancel_order"])
    assert (census["place_order"]["running"], census["cancel_order"]["running"]) == (1, 0)


async def test_the_same_key_at_once_is_one_order(orders: AsyncEngine) -> None:
    made = await asyncio.gather(*(place(orders, placement("k"), placement()) for _ in range(4)))
    assert sorted(first for first, _ in made) == [False, False, False, True]
    assert all(second for _, second in made)
    async with orders.connect() as connection:
        count = await connection.execute(select(func.count()).select_from(ORDERS))
        assert count.scalar_one() == 5


async def test_a_saga_that_ended_settles_its_order(orders: AsyncEngine) -> None:
    order, instance, _ = one = placement()
    await place(orders, one)
    ended = replace(
        instance,
        status=SagaStatus.COMPENSATED,
        refusal={"reason": "out_of_stock", "detail": "None is left."},
        deadline_seconds=None,
    )
    async with transaction(orders.execution_options(isolation_level="AUTOCOMMIT")) as connection:
        (locked,) = (await orchestrator().store.lock(connection, [order.order_id])).values()
        assert locked == instance
        await orchestrator().store.save(connection, [ended])
        await order_store.settle_orders(connection, [ended])
    (row,) = await order_store.settled_orders(orders, [order.order_id, new_id()])
    assert (row.status, row.reason, row.detail) == ("rejected", "out_of_stock", "None is left.")
    with pytest.raises(Conflict):
        async with orders.begin() as connection:
            await orchestrator().store.save(connection, [ended])


async def test_a_cancellation_waits_for_whoever_has_locked_the_order(orders: AsyncEngine) -> None:
    order, _, _ = one = placement()
    await place(orders, one)
    autocommit = orders.execution_options(isolation_level="AUTOCOMMIT")

    async def lock_again() -> str:
        async with transaction(autocommit) as connection:
            row = await order_store.find_order(connection, order.order_id, lock=True)
            return str(row.status)

    async with transaction(autocommit) as connection:
        row = await order_store.find_order(connection, order.order_id, lock=True)
        assert row.status == "pending"
        other = asyncio.create_task(lock_again())
        await asyncio.sleep(0.1)
        assert not other.done()
        await order_store.set_status(connection, order.order_id, OrderStatus.CANCELLING)
    assert await other == "cancelling"


async def test_orders_are_listed_by_the_page_newest_first(orders: AsyncEngine) -> None:
    placed = [placement() for _ in range(3)]
    for each in placed:
        await place(orders, each)
    newest_first = [order.order_id for order, _, _ in reversed(placed)]

    async def page(before: Any) -> list[Any]:
        return await order_store.list_orders(
            orders, customer_id="c-1", status=OrderStatus.PENDING, before=before, limit=2
        )

    first = await page(None)
    assert [row.order_id for row in first] == newest_first[:2]
    second = await page((first[-1].created_at, first[-1].order_id))
    assert [row.order_id for row in second] == newest_first[2:]


async def test_settled_orders_are_reconciled_once(orders: AsyncEngine) -> None:
    placed = [placement() for _ in range(3)]
    await place(orders, *placed)
    settled = [order.order_id for order, _, _ in placed[:2]]
    async with orders.begin() as connection:
        await connection.execute(
            update(ORDERS)
            .where(ORDERS.c.order_id.in_(settled))
            .values(status="confirmed", updated_at=func.now() - timedelta(minutes=5))
        )
    outbox = Outbox(orders, order_store.TABLES, nobody_listens)
    sweepers = [
        Reconciler(outbox, Sender("order"), interval_seconds=1, grace_seconds=60) for _ in range(2)
    ]
    assert sorted(await asyncio.gather(*(each.sweep() for each in sweepers))) in ([0, 2], [1, 1])
    assert await sweepers[0].sweep() == 0
    async with orders.connect() as connection:
        done = await connection.execute(
            select(ORDERS.c.order_id).where(ORDERS.c.reconciled_at.is_not(None))
        )
        assert sorted(row.order_id for row in done) == sorted(settled)


async def test_a_deadline_moves_its_saga_once(orders: AsyncEngine) -> None:
    placed = [placement() for _ in range(3)]
    await place(orders, *placed)
    late = [order.order_id for order, _, _ in placed[:2]]
    async with orders.begin() as connection:
        await connection.execute(
            update(SAGAS_TABLE)
            .where(SAGAS_TABLE.c.id.in_(late))
            .values(deadline_at=func.now() - timedelta(seconds=1))
        )
    outbox = Outbox(orders, order_store.TABLES, nobody_listens)
    sweepers = [
        DeadlineSweeper(orchestrator(), outbox, order_store.settle_orders) for _ in range(2)
    ]
    moved = await asyncio.gather(*(each.sweep() for each in sweepers))
    assert sum(moved) == 2
    census = await orchestrator().store.census(orders, ["place_order"])
    assert (census["place_order"]["running"], census["place_order"]["compensating"]) == (1, 2)


# ---- payment


@pytest.fixture
async def payments(either_database: Any) -> AsyncEngine:
    made: AsyncEngine = await either_database(PAYMENT)
    return made


def store_on(engine: AsyncEngine) -> Payments:
    return Payments(engine, Outbox(engine, PAYMENT_TABLES, nobody_listens))


def payment() -> Payment:
    return Payment(
        new_id(), new_id(), Status.AUTHORIZING, "c-1", amount_minor=PRICE_MINOR, currency="EUR"
    )


async def test_a_payment_is_begun_once_whoever_else_begins_it(payments: AsyncEngine) -> None:
    one = payment()
    begun = await asyncio.gather(*(store_on(payments).begin(one) for _ in range(4)))
    assert [is_new for _, is_new in begun].count(True) == 1
    stored = begun[0][0]
    assert (stored.payment_id, stored.money, stored.revision) == (one.payment_id, one.money, 0)
    assert abs(stored.age) < timedelta(seconds=10)
    assert await store_on(payments).get(new_id()) is None


async def test_of_two_who_decide_at_once_one_loses(payments: AsyncEngine) -> None:
    read, _ = await store_on(payments).begin(payment())
    outcomes = await asyncio.gather(
        store_on(payments).apply(read.to(Status.AUTHORIZED, intent_id="pi_1")),
        store_on(payments).apply(read.to(Status.VOIDED, reason="voided")),
        return_exceptions=True,
    )
    assert sorted(type(each).__name__ for each in outcomes) == ["Conflict", "NoneType"]
    after = await store_on(payments).get(read.payment_id)
    assert after is not None
    assert after.revision == 1
    with pytest.raises(Conflict, match=read.payment_id):
        await store_on(payments).apply(read.to(Status.VOIDED))


async def test_a_notice_finds_its_payment_and_is_known_afterwards(payments: AsyncEngine) -> None:
    store = store_on(payments)
    known, _ = await store.begin(payment())
    first = Notice("evt_1", "refund.updated", known.payment_id)
    other = Notice("evt_2", "refund.updated", None)
    found = await store.look_up(first)
    assert (found.payment is not None, found.is_copy) == (True, False)
    assert found.payment == replace(known, read_at=found.payment.read_at)  # type: ignore[union-attr]
    await store.apply(known.to(Status.AUTHORIZED, intent_id="pi_1"), notice=first)
    again, unknown = await asyncio.gather(store.look_up(first), store.look_up(other))
    assert (again.payment is not None, again.is_copy) == (True, True)
    assert (unknown.payment, unknown.is_copy) == (None, False)


async def test_a_sweep_is_claimed_by_one_and_covers_what_it_did(payments: AsyncEngine) -> None:
    async def claim(interval: timedelta = timedelta(minutes=1)) -> Any:
        return await store_on(payments).claim_sweep("gateway", interval, timedelta(hours=1))

    claims = await asyncio.gather(*(claim() for _ in range(3)))
    (covered,) = [each for each in claims if each is not None]
    await store_on(payments).apply(None, notice=Notice("evt_old", "refund.updated", None))
    await store_on(payments).finish_sweep("gateway", timedelta(0), timedelta(0))
    assert await claim() is None
    async with payments.begin() as connection:
        sweeps = PAYMENT.tables["gateway_sweeps"]
        await connection.execute(update(sweeps).values(next_at=func.now()))
    later = await claim()
    assert later - covered >= timedelta(hours=1)
    assert not (await store_on(payments).look_up(Notice("evt_old", "x", None))).is_copy


async def test_the_unsettled_are_found_by_age_and_counted_by_state(payments: AsyncEngine) -> None:
    store = store_on(payments)
    old, young, declined = [(await store.begin(payment()))[0] for _ in range(3)]
    async with payments.begin() as connection:
        await connection.execute(
            update(PAYMENTS)
            .where(PAYMENTS.c.payment_id == old.payment_id)
            .values(started_at=func.now() - timedelta(hours=1))
        )
        await connection.execute(
            insert(PAYMENTS).values(payment_id=new_id(), order_id=new_id(), status="voided")
        )
    await store.apply(young.to(Status.CAPTURED, intent_id="pi_1"))
    await store.apply(declined.to(Status.DECLINED, reason="card_declined"))
    stuck = await store.unsettled(Status.AUTHORIZING, timedelta(minutes=1), 10)
    assert [each.payment_id for each in stuck] == [old.payment_id]
    assert set(await store.of_ids([old.payment_id, new_id()])) == {old.payment_id}
    census = await store.census()
    assert {k: v for k, v in census["by_status"].items() if v} == {
        "authorizing": 1, "captured": 1, "declined": 1, "voided": 1,
    }  # fmt: skip
    assert census["captured_minor"] == {"EUR": PRICE_MINOR}


# ---- notification


@pytest.fixture(params=["memory", "emulator"])
def mails(request: pytest.FixtureRequest) -> tuple[Mails, Profiles]:
    if request.param == "memory":
        dynamodb: Any = MemoryAws(load_topology()).dynamodb(OpenGate())
    else:
        dynamodb = request.getfixturevalue("aws").dynamodb
    table = Table(dynamodb, "bookstore-mails")
    return Mails(table), Profiles(table)


async def known(profiles: Profiles, customer_id: str) -> Profile:
    await profiles.provide(customer_id, 1, Contact(email=f"{customer_id}@example.com"))
    return await profiles.get(customer_id)


async def test_a_mail_is_recorded_once_and_begun_by_one(mails: tuple[Mails, Profiles]) -> None:
    store, profiles = mails
    key = MailKey(new_id(), new_id(), Kind.CONFIRMED)
    recorded = await asyncio.gather(*(store.record(key, {"a": 1}) for _ in range(3)))
    assert sorted(recorded) == [False, False, True]
    profile = await known(profiles, key.customer_id)
    found = (await store.situation(key)).mail
    assert found is not None
    begun = await asyncio.gather(
        *(store.begin(found, profile, owner=new_id(), lease_ms=60_000) for _ in range(3))
    )
    (taken,) = [mail for mail in begun if mail is not None]
    assert await store.sent(taken, "ses-1")
    assert not await store.unknown(taken)
    settled = await store.situation(key)
    assert settled.mail is not None
    assert (settled.mail.state, settled.mail.facts, settled.mail.owner) == ("sent", {}, None)
    assert (settled.mark.stage, settled.mark.hold_owner) == (1, None)


async def test_an_order_is_held_by_one_mail_and_marked_by_the_latest(
    mails: tuple[Mails, Profiles],
) -> None:
    store, profiles = mails
    customer_id, order_id = new_id(), new_id()
    profile = await known(profiles, customer_id)
    found = []
    for kind in (Kind.CANCELLED, Kind.CONFIRMED):
        await store.record(MailKey(customer_id, order_id, kind), {})
        mail = (await store.situation(MailKey(customer_id, order_id, kind))).mail
        assert mail is not None
        found.append(mail)
    late, early = found
    assert [each.key.kind for each in await store.unsettled_of(customer_id)] == [
        "confirmed", "cancelled",
    ]  # fmt: skip
    begun = await store.begin(late, profile, owner="me", lease_ms=60_000)
    assert begun is not None
    assert await store.begin(early, profile, owner="you", lease_ms=60_000) is None
    assert await store.put_back(begun)
    assert await store.begin(early, profile, owner="you", lease_ms=60_000) is None
    assert await store.withhold(early, Reason.SUPERSEDED)
    assert [each.key.kind for each in await store.unsettled_of(customer_id)] == ["cancelled"]


async def test_a_contact_is_replaced_by_a_newer_one_alone(mails: tuple[Mails, Profiles]) -> None:
    _, profiles = mails
    customer_id = new_id()
    await profiles.provide(customer_id, 2, Contact(email="new@example.com", name="Ada"))
    assert not await profiles.provide(customer_id, 1, Contact(email="old@example.com"))
    assert await profiles.erase(customer_id, 3)
    assert not await profiles.erase(customer_id, 3)
    erased = await profiles.get(customer_id)
    assert (erased.email, erased.name, erased.erased, erased.version) == (None, None, True, 3)
    assert erased.revision == 2
