"""The parcels service: wraps gifts as long as there is paper, and ships them.

Guarantee: a gift uses one sheet, whatever is sent twice; what is unwrapped is never wrapped again,
nor is it shipped.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Column, Integer, MetaData, Table, Text, select, update
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import Parts, QueueWorker, SqlResources, SqlService, SqlSettings
from gift_world.messages import (
    GiftShipped,
    GiftUnwrapped,
    GiftWrapped,
    PaperUsedUp,
    ShipGift,
    UnwrapGift,
    WrapGift,
)
from messaging import Attempt, Envelope, Route, Sender, Transactions, Work, dispatcher
from messaging import messaging_tables as declare_messaging

METADATA = MetaData()
TABLES = declare_messaging(METADATA)
PAPER = Table(
    "paper",
    METADATA,
    Column("colour", Text, primary_key=True),
    Column("sheets", Integer, nullable=False),
)
PARCELS = Table(
    "parcels",
    METADATA,
    Column("gift_id", UUID(as_uuid=False), primary_key=True),
    Column("status", Text, nullable=False),  # wrapped -> shipped | unwrapped; or refused
)
FOR_EVER = datetime(2100, 1, 1, tzinfo=UTC)


class ParcelWork(Work):
    """One message's view of the shelf."""

    def __init__(self, message: Envelope, sender: Sender, shelf: "Shelf") -> None:
        super().__init__(message, sender)
        self.shelf = shelf


class Shelf:
    """The paper and the parcels of a batch."""

    def __init__(self, sender: Sender) -> None:
        self.sheets = 0
        self.statuses: dict[str, str] = {}
        self._sender = sender

    def work(self, message: Envelope) -> ParcelWork:
        return ParcelWork(message, self._sender, self)

    async def load(
        self, connection: AsyncConnection, attempts: Sequence[Attempt[ParcelWork]]
    ) -> None:
        paper = await connection.execute(select(PAPER).with_for_update())
        self.sheets = paper.one().sheets
        parcels = await connection.execute(select(PARCELS))
        self.statuses = {row.gift_id: row.status for row in parcels}

    async def flush(self, connection: AsyncConnection) -> None:
        await connection.execute(update(PAPER).values(sheets=self.sheets))
        for gift_id, status in self.statuses.items():
            row = upsert(PARCELS).values(gift_id=gift_id, status=status)
            await connection.execute(
                row.on_conflict_do_update(
                    index_elements=["gift_id"], set_={"status": row.excluded.status}
                )
            )


def wrap_gift(command: WrapGift, work: ParcelWork) -> None:
    """Use a sheet for the gift, if there is one."""
    shelf, gift_id = work.shelf, command.order_id
    if gift_id not in shelf.statuses:
        shelf.statuses[gift_id] = "wrapped" if shelf.sheets else "refused"
        shelf.sheets = max(0, shelf.sheets - 1)
    if shelf.statuses[gift_id] in ("wrapped", "shipped"):
        work.reply(GiftWrapped(order_id=gift_id, reserved_until=FOR_EVER))
    else:
        work.reply(PaperUsedUp(order_id=gift_id, reason="out_of_stock"))


def unwrap_gift(command: UnwrapGift, work: ParcelWork) -> None:
    """Put the sheet back; a gift that comes to be wrapped later will be refused."""
    shelf, gift_id = work.shelf, command.order_id
    shelf.sheets += shelf.statuses.get(gift_id) == "wrapped"
    shelf.statuses[gift_id] = "unwrapped"
    work.reply(GiftUnwrapped(order_id=gift_id))


def ship_gift(command: ShipGift, work: ParcelWork) -> None:
    """Hand the parcel over; it is wrapped, or it would not have come to this."""
    work.shelf.statuses[command.order_id] = "shipped"
    work.reply(GiftShipped(order_id=command.order_id))


ROUTES = [
    Route(WrapGift, wrap_gift),
    Route(UnwrapGift, unwrap_gift),
    Route(ShipGift, ship_gift),
]


async def compose(resources: SqlResources) -> Parts:
    """Wire the service onto open resources."""
    sender = Sender(SERVICE.name)
    transactions = Transactions(
        outbox=resources.outbox, tables=TABLES, unit_of_work=lambda: Shelf(sender)
    )
    return Parts(workers=[QueueWorker(resources, dispatcher(ROUTES, transactions))])


SERVICE = SqlService(
    name="parcels",
    title="Parcels",
    package="gift_world",
    settings=SqlSettings,
    metadata=METADATA,
    tables=TABLES,
    compose=compose,
    aws=("events", "sqs"),
)
