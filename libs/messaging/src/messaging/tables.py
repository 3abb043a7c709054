"""The outbox and inbox tables, which each service keeps in its own database.

Guarantee: none of its own; outbox.py, relay.py and transactions.py hold theirs on these columns.
"""

from dataclasses import dataclass

from sqlalchemy import BigInteger, Column, DateTime, Identity, Index, Integer, MetaData, Table, Text
from sqlalchemy import func as sql
from sqlalchemy.dialects.postgresql import UUID


@dataclass(frozen=True, slots=True)
class MessagingTables:
    """The two tables of one service's metadata."""

    outbox: Table
    inbox: Table


def messaging_tables(metadata: MetaData) -> MessagingTables:
    """Declare outbox and inbox on a service's metadata, for its migrations and its stores."""
    outbox = Table(
        "outbox",
        metadata,
        Column("position", BigInteger, Identity(), primary_key=True),
        Column("id", UUID(as_uuid=False), nullable=False, unique=True),
        Column("source", Text, nullable=False),
        Column("type", Text, nullable=False),
        Column("subject", Text, nullable=False),
        Column("detail", Text, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, server_default=sql.now()),
        Column("published_at", DateTime(timezone=True)),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("next_attempt_at", DateTime(timezone=True)),
        Column("parked_reason", Text),
    )
    Index(
        "outbox_unpublished",
        outbox.c.position,
        postgresql_where=outbox.c.published_at.is_(None) & outbox.c.parked_reason.is_(None),
    )
    inbox = Table(
        "inbox",
        metadata,
        Column("message_id", UUID(as_uuid=False), primary_key=True),
        Column("type", Text, nullable=False),
        Column("handled_at", DateTime(timezone=True), nullable=False, server_default=sql.now()),
    )
    Index("inbox_handled_at", inbox.c.handled_at, postgresql_using="brin")
    return MessagingTables(outbox=outbox, inbox=inbox)
