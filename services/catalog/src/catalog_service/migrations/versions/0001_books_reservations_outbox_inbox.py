"""Books, reservations, outbox and inbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "books",
        sa.Column("book_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("isbn", sa.Text(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("authors", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("subjects", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("price_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("on_hand", sa.Integer(), nullable=False),
        sa.Column("reserved", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.Column("received", sa.Integer(), nullable=False),
        sa.Column("stock_version", sa.Integer(), nullable=False),
        sa.Column(
            "listed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False
        ),
        sa.Column(
            "revised_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint("on_hand + reserved + sold = received", name="books_stock_adds_up"),
        sa.CheckConstraint(
            "on_hand >= 0 AND reserved >= 0 AND sold >= 0 AND received >= 0",
            name="books_stock_not_negative",
        ),
        sa.CheckConstraint("price_minor >= 0", name="books_price_not_negative"),
        sa.PrimaryKeyConstraint("book_id"),
        sa.UniqueConstraint("isbn"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column(
            "handled_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_index(
        "inbox_handled_at", "inbox", ["handled_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("position", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "outbox_created_at", "outbox", ["created_at"], unique=False, postgresql_using="brin"
    )
    op.create_table(
        "outbox_unsent",
        sa.Column("message_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column(
            "written_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("next_attempt_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("parked_reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("message_id"),
    )
    op.create_table(
        "reservations",
        sa.Column("order_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("copies", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("refusal", postgresql.JSONB(astext_type=sa.Text()), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.Column(
            "updated_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("now()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "(status = 'held') = (expires_at IS NOT NULL)", name="reservations_only_holds_expire"
        ),
        sa.CheckConstraint(
            "status IN ('held', 'sold', 'released', 'expired', 'restocked', 'refused')",
            name="reservations_status",
        ),
        sa.PrimaryKeyConstraint("order_id"),
        postgresql_with={"fillfactor": 80},
    )
    op.create_index(
        "reservations_expires_at",
        "reservations",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "reservations_expires_at",
        table_name="reservations",
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.drop_table("reservations")
    op.drop_table("outbox_unsent")
    op.drop_index("outbox_created_at", table_name="outbox", postgresql_using="brin")
    op.drop_table("outbox")
    op.drop_index("inbox_handled_at", table_name="inbox", postgresql_using="brin")
    op.drop_table("inbox")
    op.drop_table("books")
