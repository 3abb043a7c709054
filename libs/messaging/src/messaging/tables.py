"""The outbox and inbox tables, which each service keeps in its own database.

Guarantee: none of its own; outbox.py, relay.py and transactions.py hold theirs on these columns.

A message is written once and never changed: that it is still to be sent is a narrow row of its
own, which goes when the bus has taken the message. Marking the message would write all of it anew.
"""

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, MetaData, Table, Text
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import UUID


@dataclass(frozen=True, slots=True)
class MessagingTables:
    """The tables of one service's metadata: what it says, what of that is unsent, what it heard."""

    outbox: Table
    unsent: Table
    inbox: Table


def messaging_tables(metadata: MetaData) -> MessagingTables:
    """Declare outbox and inbox on a service's metadata, for its migrations and its stores."""
    outbox = Table(
        "outbox",
        metadata,
        Column("id", UUID(as_uuid=False), primary_key=True),
        Column("position", BigInteger, Identity(), nullable=False),
        Column("source", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=sql.now()),
    )
    Index("outbox_created_at", outbox.c.created_at, postgresql_using="brin")
    unsent = Table(
        "outbox_unsent",
        metadata,
        Column("message_id", UUID(as_uuid=False), primary_key=True),
        Column("written_at", DateTime(timezone=True), nullable=False, server_default=sql.now()),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("next_attempt_at", DateTime(timezone=True)),
        Column("parked_reason", Text),
    )
    inbox = Table(
        "inbox",
        metadata,
        Column("message_id", UUID(as_uuid=False), primary_key=True),
        Column("type", Text, nullable=False),
        Column("handled_at", DateTime(timezone=True), nullable=False, server_default=sql.now()),
    )
    Index("inbox_handled_at", inbox.c.handled_at, postgresql_using="brin")
    return MessagingTables(outbox=outbox, unsent=unsent, inbox=inbox)
