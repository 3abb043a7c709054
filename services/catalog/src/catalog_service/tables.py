"""The catalog's tables.

Guarantee: the database itself refuses a stock that is negative or does not add up.
"""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    func,
)
from sqlalchemy.dialects.postgresql import JSONB, UUID

from messaging import messaging_tables

METADATA = MetaData()
MESSAGING = messaging_tables(METADATA)

BOOKS = Table(
    "books",
    METADATA,
    Column("book_id", UUID(as_uuid=False), primary_key=True),
    Column("isbn", Text, unique=True),
    Column("title", Text, nullable=False),
    Column("authors", JSONB, nullable=False),
    Column("subjects", JSONB, nullable=False),
    Column("language", Text, nullable=False),
    Column("year", Integer),
    Column("price_minor", BigInteger, nullable=False),
    Column("currency", Text, nullable=False),
    # `version` counts changes of the description and price, `stock_version` those of the stock.
    Column("version", Integer, nullable=False),
    Column("on_hand", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
    Column("received", Integer, nullable=False),
    Column("stock_version", Integer, nullable=False),
    Column("listed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("revised_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint("price_minor >= 0", name="books_price_not_negative"),
    CheckConstraint(
        "on_hand >= 0 AND reserved >= 0 AND sold >= 0 AND received >= 0",
        name="books_stock_not_negative",
    ),
    CheckConstraint("on_hand + reserved + sold = received", name="books_stock_adds_up"),
    # Room in each page keeps stock changes off the indexes (heap-only tuples).
    postgresql_with={"fillfactor": 80},
)

RESERVATIONS = Table(
    "reservations",
    METADATA,
    Column("order_id", UUID(as_uuid=False), primary_key=True),
    Column("status", Text, nullable=False),
    Column("copies", JSONB, nullable=False),
    Column("refusal", JSONB),
    Column("expires_at", DateTime(timezone=True)),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("updated_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    CheckConstraint(
        "status IN ('held', 'sold', 'released', 'expired', 'restocked', 'refused')",
        name="reservations_status",
    ),
    CheckConstraint(
        "(status = 'held') = (expires_at IS NOT NULL)", name="reservations_only_holds_expire"
    ),
    postgresql_with={"fillfactor": 80},
)
Index(
    "reservations_expires_at",
    RESERVATIONS.c.expires_at,
    postgresql_where=RESERVATIONS.c.expires_at.is_not(None),
)
