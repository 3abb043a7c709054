"""Payments in PostgreSQL.

Guarantee: a row changes only from the revision that was read, so of two who decide at once one
loses and decides again; every attempt is on record before the gateway hears of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    Interval,
    MetaData,
    Table,
    Text,
    bindparam,
    cast,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import ARRAY, UUID
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import Batcher, BulkInsert, BulkUpdate, Prepared, transaction
from messaging import Attempt, Conflict, Envelope, Outbox, Sender, Work, messaging_tables
from payment_service.domain import TAKEN, Payment, Status

METADATA = MetaData()
TABLES = messaging_tables(METADATA)
PAYMENTS = Table(
    "payments",
    METADATA,
    Column("payment_id", UUID(as_uuid=False), primary_key=True),
    Column("order_id", UUID(as_uuid=False), nullable=False),
    Column("customer_id", Text),
    Column("amount_minor", BigInteger),
    Column("currency", Text),
    Column("status", Text, nullable=False),
    Column("intent_id", Text),
    Column("refund_id", Text),
    Column("reason", Text),
    Column("decline_code", Text),
    Column("detail", Text),
    Column("refund_command_id", UUID(as_uuid=False)),
    Column("refund_correlation_id", UUID(as_uuid=False)),
    Column("revision", Integer, nullable=False, server_default="0"),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint(
        "status IN ('authorizing', 'authorized', 'declined', 'voided', 'captured', "
        "'refund_pending', 'refunded', 'refund_failed')",
        name="payments_status_known",
    ),
    CheckConstraint("amount_minor >= 0", name="payments_amount_not_negative"),
    CheckConstraint(
        "(amount_minor IS NULL) = (currency IS NULL)", name="payments_amount_has_currency"
    ),
)
# What the sweep looks for: few rows at any time.
Index(
    "payments_unsettled",
    PAYMENTS.c.status,
    PAYMENTS.c.started_at,
    postgresql_where=PAYMENTS.c.status.in_(["authorizing", "authorized", "refund_pending"]),
)
WEBHOOK_EVENTS = Table(
    "webhook_events",
    METADATA,
    Column("event_id", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("received_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
Index("webhook_events_received_at", WEBHOOK_EVENTS.c.received_at, postgresql_using="brin")
# How far the comparison with the gateway has come; one row.
SWEEPS = Table(
    "gateway_sweeps",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("covered_until", DateTime(timezone=True), nullable=False),
    Column("next_at", DateTime(timezone=True), nullable=False),
)

MAX_GROUP = 50
# Where callers come in numbers, a group waits this long for more.
BUSY_CALLERS = 4
BUSY_LINGER_SECONDS = 0.006
_FIELDS = tuple(column.name for column in PAYMENTS.columns)
_BEGINNING = (
    "payment_id",
    "order_id",
    "customer_id",
    "amount_minor",
    "currency",
    "status",
    "reason",
)
_CHANGING = (
    "status", "intent_id", "refund_id", "reason", "decline_code", "detail", "refund_command_id",
    "refund_correlation_id",
)  # fmt: skip
_insert = BulkInsert(PAYMENTS, _BEGINNING, skip_existing=True, returning="payment_id")
_update = BulkUpdate(
    PAYMENTS,
    key=["payment_id"],
    columns=[*_CHANGING, "revision"],
    guard="revision",
    computed={"updated_at": lambda _: func.now()},
)
_ids = bindparam("ids", type_=ARRAY(UUID(as_uuid=False)))
_read = select(PAYMENTS, func.now().label("read_at"))
_read_ids = Prepared(_read.where(PAYMENTS.c.payment_id == func.any(_ids)))
_unsettled = (
    _read.where(
        PAYMENTS.c.status == bindparam("status", type_=Text),
        PAYMENTS.c.started_at < func.now() - bindparam("older_than", type_=Interval),
    )
    .order_by(PAYMENTS.c.started_at)
    .limit(bindparam("most", type_=Integer))
)
_next_sweep = func.now() + bindparam("interval", type_=Interval)
_claim_sweep = (
    postgresql.insert(SWEEPS)
    .values(
        name=bindparam("sweep", type_=Text),
        covered_until=func.now() - bindparam("lookback", type_=Interval),
        next_at=_next_sweep,
    )
    .on_conflict_do_update(
        index_elements=["name"],
        set_={"next_at": _next_sweep},
        where=SWEEPS.c.next_at <= func.now(),
    )
    .returning(SWEEPS.c.covered_until)
)
_cover = (
    update(SWEEPS)
    .where(SWEEPS.c.name == bindparam("sweep", type_=Text))
    .values(covered_until=func.now() - bindparam("grace", type_=Interval))
)
_forget_events = delete(WEBHOOK_EVENTS).where(
    WEBHOOK_EVENTS.c.received_at < func.now() - bindparam("kept", type_=Interval)
)
_mark = BulkInsert(WEBHOOK_EVENTS, ["event_id", "type"], skip_existing=True, returning="event_id")


@dataclass(frozen=True, slots=True)
class Notice:
    """A webhook's event and the payment that it speaks of."""

    event_id: str
    type: str
    payment_id: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What we know about a notice: its payment, and whether the event was dealt with before."""

    payment: Payment | None
    is_copy: bool


def payment_of(row: Any) -> Payment:
    """The payment that a row (with `read_at`) holds."""
    fields = {name: getattr(row, name) for name in _FIELDS}
    return Payment(**{**fields, "status": Status(row.status)}, read_at=row.read_at)


async def save(connection: AsyncConnection, payments: Sequence[Payment]) -> None:
    """Write changed payments; raises Conflict if one has another revision than when it was read."""
    rows = [
        {
            "payment_id": payment.payment_id,
            **{name: getattr(payment, name) for name in _CHANGING},
            "status": str(payment.status),
            "revision": payment.revision + 1,
            "expected_revision": payment.revision,
        }
        # By id: two batches with the same payments lock them in the same order.
        for payment in sorted(payments, key=lambda p: p.payment_id)
    ]
    written = await _update(connection, rows)
    if len(written) != len(rows):
        lost = {row["payment_id"] for row in rows} - {str(key[0]) for key in written}
        raise Conflict(f"payment {', '.join(sorted(map(str, lost))) or 'changed twice at once'}")


class PaymentWork(Work):
    """One command's view: the payments that it changes and the replies that commit with them."""

    def __init__(self, message: Envelope, sender: Sender) -> None:
        super().__init__(message, sender)
        self.changed: list[Payment] = []

    def save(self, payment: Payment) -> None:
        """Commit the payment's new state together with this command's reply."""
        self.changed.append(payment)


class PaymentUnitOfWork:
    """Collects what a batch of commands changed and writes it in one statement."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._works: list[PaymentWork] = []

    def work(self, message: Envelope) -> PaymentWork:
        """One command's view."""
        return PaymentWork(message, self._sender)

    async def load(
        self, connection: AsyncConnection, attempts: Sequence[Attempt[PaymentWork]]
    ) -> None:
        """Nothing to read: every handler here asks the gateway, so has run already."""
        self._works = [attempt.work for attempt in attempts if attempt.work is not None]

    async def flush(self, connection: AsyncConnection) -> None:
        """Write every change; raises Conflict."""
        changed = [payment for work in self._works for payment in work.changed]
        if changed:
            await save(connection, changed)


class Payments:
    """Reads and beginnings, grouped over concurrent callers: one statement of a kind a group."""

    def __init__(self, engine: AsyncEngine, outbox: Outbox) -> None:
        self._engine = engine
        # The same pool, for single reads: without BEGIN and ROLLBACK around them.
        self._reader = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._outbox = outbox
        self._begins: Batcher[Payment, tuple[Payment, bool]] = Batcher(
            self._begin_all,
            max_items=MAX_GROUP,
            max_in_flight=2,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_CALLERS,
        )
        self._gets: Batcher[str, Payment | None] = Batcher(
            self._get_all,
            max_items=MAX_GROUP,
            max_in_flight=2,
            linger_seconds=BUSY_LINGER_SECONDS,
            linger_after=BUSY_CALLERS,
        )
        self._looks: Batcher[Notice, Found] = Batcher(
            self._look_all, max_items=MAX_GROUP, max_in_flight=2
        )

    async def begin(self, payment: Payment) -> tuple[Payment, bool]:
        """The payment as committed, and whether it is new: on record before anything is asked."""
        return await self._begins(payment)

    async def get(self, payment_id: str) -> Payment | None:
        """The payment, if there is one."""
        return await self._gets(payment_id)

    async def look_up(self, notice: Notice) -> Found:
        """What a webhook's event is about."""
        return await self._looks(notice)

    async def apply(
        self,
        changed: Payment | None,
        *,
        replies: Sequence[Envelope] = (),
        notice: Notice | None = None,
    ) -> None:
        """Commit a change that no command caused; raises Conflict."""
        async with self._outbox.transaction() as transaction:
            if notice is not None:
                row = {"event_id": notice.event_id, "type": notice.type}
                await _mark(transaction.connection, [row])
            if changed is not None:
                await save(transaction.connection, [changed])
            transaction.send(list(replies))

    async def unsettled(self, status: Status, older_than: timedelta, limit: int) -> list[Payment]:
        """Payments that have been in this state for longer than that, oldest first."""
        given = {"status": str(status), "older_than": older_than, "most": limit}
        async with self._reader.connect() as connection:
            return [payment_of(row) for row in await connection.execute(_unsettled, given)]

    async def of_ids(self, payment_ids: Sequence[str]) -> Mapping[str, Payment]:
        """The payments of these ids that exist."""
        async with self._reader.connect() as connection:
            rows = await _read_ids(connection, {"ids": list(payment_ids)})
            return {str(row.payment_id): payment_of(row) for row in rows}

    async def census(self) -> dict[str, Any]:
        """For operators: counts by status, and money by what became of it."""
        table = PAYMENTS.c
        statement = select(
            table.status, table.currency, func.count(), func.sum(table.amount_minor)
        ).group_by(table.status, table.currency)
        by_status: dict[str, int] = dict.fromkeys(map(str, Status), 0)
        money: dict[str, dict[str, int]] = {"authorized": {}, "captured": {}, "refunded": {}}
        async with self._reader.connect() as connection:
            for status, currency, count, total in await connection.execute(statement):
                by_status[status] += count
                for name, statuses in _MONEY.items():
                    if currency and Status(status) in statuses:
                        sums = money[name]
                        sums[currency] = sums.get(currency, 0) + int(total)
        return {"by_status": by_status, **{f"{name}_minor": s for name, s in money.items()}}

    async def claim_sweep(
        self, name: str, interval: timedelta, first_lookback: timedelta
    ) -> datetime | None:
        """Start of what is not covered yet, if a sweep is due and nobody else has taken it."""
        given = {"sweep": name, "interval": interval, "lookback": first_lookback}
        async with self._engine.begin() as connection:
            answer = await connection.execute(_claim_sweep, given)
            covered: datetime | None = answer.scalar_one_or_none()
            return covered

    async def finish_sweep(self, name: str, grace: timedelta, keep_events: timedelta) -> None:
        """Everything up to `grace` ago is covered; old events are forgotten."""
        async with self._engine.begin() as connection:
            await connection.execute(_cover, {"sweep": name, "grace": grace})
            await connection.execute(_forget_events, {"kept": keep_events})

    async def _begin_all(self, payments: list[Payment]) -> Sequence[tuple[Payment, bool]]:
        candidates = {payment.payment_id: payment for payment in payments}
        rows = [
            {name: getattr(candidates[key], name) for name in _BEGINNING}
            for key in sorted(candidates)
        ]
        rows = [{**row, "status": str(row["status"])} for row in rows]
        async with transaction(self._reader) as connection:
            new = {str(key) for key in await _insert(connection, rows)}
            found = await _read_ids(connection, {"ids": list(candidates)})
            stored = {str(row.payment_id): payment_of(row) for row in found}
        answers: list[tuple[Payment, bool]] = []
        for payment in payments:
            # Of two that begin the same payment in one group, the second finds it there.
            answers.append((stored[payment.payment_id], payment.payment_id in new))
            new.discard(payment.payment_id)
        return answers

    async def _get_all(self, ids: list[str]) -> Sequence[Payment | None]:
        stored = await self.of_ids(ids)
        return [stored.get(payment_id) for payment_id in ids]

    async def _look_all(self, notices: list[Notice]) -> Sequence[Found]:
        async with self._reader.connect() as connection:
            rows = await connection.execute(
                _look,
                {
                    "event_ids": [notice.event_id for notice in notices],
                    "payment_ids": [notice.payment_id for notice in notices],
                },
            )
            found = {
                row.notice_id: Found(
                    payment_of(row) if row.payment_id is not None else None,
                    row.seen_id is not None,
                )
                for row in rows
            }
        return [found[notice.event_id] for notice in notices]


_MONEY: Mapping[str, frozenset[Status]] = {
    "authorized": frozenset({Status.AUTHORIZED}),
    "captured": TAKEN,
    "refunded": frozenset({Status.REFUNDED}),
}
_notices = (
    func.unnest(
        cast(bindparam("event_ids", type_=ARRAY(Text)), ARRAY(Text)),
        cast(
            bindparam("payment_ids", type_=ARRAY(UUID(as_uuid=False))), ARRAY(UUID(as_uuid=False))
        ),
    )
    .table_valued("event_id", "payment_id")
    .render_derived("notices")
)
_look = select(
    _notices.c.event_id.label("notice_id"),
    WEBHOOK_EVENTS.c.event_id.label("seen_id"),
    PAYMENTS,
    func.now().label("read_at"),
).select_from(
    _notices.outerjoin(WEBHOOK_EVENTS, WEBHOOK_EVENTS.c.event_id == _notices.c.event_id).outerjoin(
        PAYMENTS, PAYMENTS.c.payment_id == _notices.c.payment_id
    )
)
