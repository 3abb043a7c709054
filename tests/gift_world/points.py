"""The points service: takes points from an account, and gives them back.

Guarantee: a balance is never negative. Taking is NOT idempotent: `balance = balance - points` each
time, so that only the inbox stands between a message's copy and the giver's points. Giving back has
to be, since a saga whose deadline passes sends it again as a new message.
"""

from collections.abc import Sequence

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Identity,
    Integer,
    MetaData,
    Table,
    Text,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import UUID
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import Parts, QueueWorker, SqlResources, SqlService, SqlSettings
from gift_world.messages import (
    GivePointsBack,
    PointsGivenBack,
    PointsRefused,
    PointsTaken,
    TakePoints,
)
from messaging import Attempt, Envelope, Route, Sender, Transactions, Work, dispatcher
from messaging import messaging_tables as declare_messaging

METADATA = MetaData()
TABLES = declare_messaging(METADATA)
ACCOUNTS = Table(
    "accounts",
    METADATA,
    Column("owner", Text, primary_key=True),
    Column("balance", Integer, nullable=False),
    CheckConstraint("balance >= 0", name="accounts_balance_not_negative"),
)
TAKINGS = Table(  # Grows only; points below zero are given back, and zero says 'called off'.
    "takings",
    METADATA,
    Column("position", BigInteger, Identity(), primary_key=True),
    Column("gift_id", UUID(as_uuid=False), nullable=False),
    Column("owner", Text),
    Column("points", Integer, nullable=False),
)


class PointsWork(Work):
    """One message's view of the accounts."""

    def __init__(self, message: Envelope, sender: Sender, books: "Books") -> None:
        super().__init__(message, sender)
        self.books = books


class Books:
    """The accounts of a batch: locked, then changed by what its handlers took."""

    def __init__(self, sender: Sender) -> None:
        self.balances: dict[str, int] = {}
        self.takings: list[tuple[str, str | None, int]] = []
        self._kept = 0
        self._sender = sender

    def work(self, message: Envelope) -> PointsWork:
        return PointsWork(message, self._sender, self)

    async def load(
        self, connection: AsyncConnection, attempts: Sequence[Attempt[PointsWork]]
    ) -> None:
        accounts = select(ACCOUNTS).order_by(ACCOUNTS.c.owner).with_for_update()
        self.balances = {row.owner: row.balance for row in await connection.execute(accounts)}
        gifts = {attempt.message.subject for attempt in attempts}
        takings = select(TAKINGS).where(TAKINGS.c.gift_id.in_(sorted(gifts)))
        self.takings = [
            (row.gift_id, row.owner, row.points) for row in await connection.execute(takings)
        ]
        self._kept = len(self.takings)

    async def flush(self, connection: AsyncConnection) -> None:
        for gift_id, owner, points in self.takings[self._kept :]:
            await connection.execute(
                insert(TAKINGS).values(gift_id=gift_id, owner=owner, points=points)
            )
            await connection.execute(
                update(ACCOUNTS)
                .where(ACCOUNTS.c.owner == owner)
                .values(balance=ACCOUNTS.c.balance - points)
            )


def take_points(command: TakePoints, work: PointsWork) -> None:
    """Take the points, unless there are too few or the gift has been called off already."""
    books, gift_id, owner = work.books, command.order_id, command.customer_id
    points = command.amount.amount_minor
    called_off = any(gift == gift_id and taken <= 0 for gift, _, taken in books.takings)
    if called_off or books.balances.get(owner, 0) < points:
        reason = "insufficient_funds"
        work.reply(PointsRefused(order_id=gift_id, payment_id=gift_id, reason=reason))
        return
    books.balances[owner] -= points
    books.takings.append((gift_id, owner, points))
    work.reply(PointsTaken(order_id=gift_id, payment_id=gift_id, amount=command.amount))


def give_points_back(command: GivePointsBack, work: PointsWork) -> None:
    """Give back what was taken; a gift that nothing was taken for will be refused later."""
    gift_id = command.order_id
    taken = [(owner, points) for gift, owner, points in work.books.takings if gift == gift_id]
    owner = taken[0][0] if taken else None
    work.books.takings.append((gift_id, owner, -sum(points for _, points in taken)))
    work.reply(PointsGivenBack(order_id=gift_id, payment_id=gift_id))


ROUTES = [Route(TakePoints, take_points), Route(GivePointsBack, give_points_back)]


async def compose(resources: SqlResources) -> Parts:
    """Wire the service onto open resources."""
    sender = Sender(SERVICE.name)
    transactions = Transactions(
        outbox=resources.outbox, tables=TABLES, unit_of_work=lambda: Books(sender)
    )
    return Parts(workers=[QueueWorker(resources, dispatcher(ROUTES, transactions))])


SERVICE = SqlService(
    name="points",
    title="Points",
    package="gift_world",
    settings=SqlSettings,
    metadata=METADATA,
    tables=TABLES,
    compose=compose,
    aws=("events", "sqs"),
)
