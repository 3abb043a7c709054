"""The outbox: messages that commit together with the state that they speak of.

Guarantee: a message leaves if and only if the transaction that wrote it has committed.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import cache

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from batching import BulkInsert
from batching import transaction as begin
from messaging.envelope import Envelope
from messaging.tables import MessagingTables


class Transaction:
    """An open SQL transaction and the messages that will leave once it has committed."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.connection = connection
        self.outgoing: list[Envelope] = []

    def send(self, messages: Sequence[Envelope]) -> None:
        """Add messages to the outbox; they are written just before the commit."""
        self.outgoing.extend(messages)


class Outbox:
    """Opens the transactions of a service that writes messages.

    `on_commit` is told what has been committed (the relay's wake-up); it must not block.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        tables: MessagingTables,
        on_commit: Callable[[Sequence[tuple[str, Envelope]]], None],
    ) -> None:
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._tables = tables
        self._on_commit = on_commit
        self._insert = _insertion(tables)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Commit state and messages together, then wake the relay; roll both back on any error."""
        async with begin(self._autocommit) as connection:
            transaction = Transaction(connection)
            yield transaction
            encoded = [(m.encode().decode(), m) for m in transaction.outgoing]
            await self._insert(
                connection,
                [
                    {
                        "id": message.id,
                        "source": message.source,
                        "type": message.type,
                        "subject": message.subject,
                        "detail": detail,
                    }
                    for detail, message in encoded
                ],
            )
        if encoded:
            self._on_commit(encoded)

    async def census(self) -> dict[str, dict[str, int]]:
        """Counts for operators: `sent` by message type, and the outbox's `pending` and `parked`."""
        outbox, unsent = self._tables.outbox, self._tables.unsent
        by_type = select(outbox.c.type, func.count()).group_by(outbox.c.type)
        left = select(func.count(), func.count(unsent.c.parked_reason)).select_from(unsent)
        async with self._engine.connect() as connection:
            sent = {row[0]: row[1] for row in await connection.execute(by_type)}
            unsent_count, parked = (await connection.execute(left)).one()
        return {"sent": sent, "outbox": {"pending": unsent_count - parked, "parked": parked}}


@cache
def _insertion(tables: MessagingTables) -> BulkInsert:
    # The same id again is the same message: a repeated handling writes it once.
    return BulkInsert(
        tables.outbox,
        ["id", "source", "type", "subject", "detail"],
        skip_existing=True,
        returning="id",
        and_into=tables.unsent.c.message_id,
    )


async def interruptible_sleep(seconds: float, stopping: asyncio.Event) -> None:
    """Sleep, but no longer than until `stopping` is set."""
    try:
        await asyncio.wait_for(stopping.wait(), timeout=seconds)
    except TimeoutError:
        return
