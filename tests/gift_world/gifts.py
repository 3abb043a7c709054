"""The gifts service: begins send_gift and moves it by its participants' replies.

Guarantee: a gift's saga and the saga's messages change in one transaction; asking twice for the
same gift sends it once.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import MetaData
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chassis import Parts, QueueWorker, SqlResources, SqlService, SqlSettings
from gift_world.send_gift_saga import SEND_GIFT, Gift
from messaging import Attempt, Envelope, Outbox, Route, Sender, Transactions, Work, dispatcher
from messaging import messaging_tables as declare_messaging
from sagas import DeadlineSweeper, Instance, Orchestrator, SagaStore, saga_table

METADATA = MetaData()
TABLES = declare_messaging(METADATA)
SAGAS = saga_table(METADATA)


class Gifts:
    """What the service offers to its callers."""

    def __init__(self, outbox: Outbox, orchestrator: Orchestrator) -> None:
        self._outbox = outbox
        self._orchestrator = orchestrator

    async def send(self, gift: Gift) -> None:
        """Begin the saga, unless this gift has one."""
        instance, messages = self._orchestrator.begin(SEND_GIFT, gift.gift_id, gift)
        try:
            async with self._outbox.transaction() as transaction:
                await self._orchestrator.store.insert(transaction.connection, [instance])
                transaction.send(messages)
        except IntegrityError:
            return  # It was begun by an earlier request, whose answer was lost.


class ReplyWork(Work):
    """One reply's view of the sagas."""

    def __init__(self, message: Envelope, sender: Sender, batch: "Replies") -> None:
        super().__init__(message, sender)
        self.batch = batch


class Replies:
    """The instances that a batch of replies moves."""

    def __init__(self, orchestrator: Orchestrator, sender: Sender) -> None:
        self.orchestrator = orchestrator
        self.instances: dict[tuple[str, str], Instance] = {}
        self.moved: dict[tuple[str, str], Instance] = {}
        self._sender = sender

    def work(self, message: Envelope) -> ReplyWork:
        return ReplyWork(message, self._sender, self)

    async def load(
        self, connection: AsyncConnection, attempts: Sequence[Attempt[ReplyWork]]
    ) -> None:
        ids = {attempt.message.subject for attempt in attempts}
        self.instances = await self.orchestrator.store.lock(connection, ids)

    async def flush(self, connection: AsyncConnection) -> None:
        await self.orchestrator.store.save(connection, list(self.moved.values()))


def move_saga(reply: Any, work: ReplyWork) -> None:
    """Advance the gift's saga."""
    batch = work.batch
    key = (batch.orchestrator.saga_of(reply), work.message.subject)
    moved = batch.orchestrator.on_reply(batch.instances[key], work.message, reply)
    if moved.instance is not batch.instances[key]:
        batch.instances[key] = batch.moved[key] = moved.instance
    work.outgoing.extend(batch.orchestrator.envelopes(moved, causation_id=work.message.id))


async def nothing_more(connection: AsyncConnection, moved: Sequence[Instance]) -> None:
    """A gift has no row besides its saga's."""


async def compose(resources: SqlResources) -> Parts:
    """Wire the service onto open resources."""
    sender = Sender(SERVICE.name)
    orchestrator = Orchestrator([SEND_GIFT], SagaStore(SAGAS), sender)
    transactions = Transactions(
        outbox=resources.outbox,
        tables=TABLES,
        unit_of_work=lambda: Replies(orchestrator, sender),
    )
    routes = [Route(reply, move_saga) for reply in SEND_GIFT.replies]
    return Parts(
        application=Gifts(resources.outbox, orchestrator),
        workers=[
            QueueWorker(resources, dispatcher(routes, transactions)),
            DeadlineSweeper(orchestrator, resources.outbox, nothing_more, interval_seconds=20),
        ],
    )


SERVICE = SqlService(
    name="gifts",
    title="Gifts",
    package="gift_world",
    settings=SqlSettings,
    metadata=METADATA,
    tables=TABLES,
    compose=compose,
    aws=("events", "sqs"),
)
