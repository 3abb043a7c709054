"""Orders, sagas, outbox and inbox."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
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
        "orders",
        sa.Column("order_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("payment_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("payment_method", sa.Text(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("total_minor", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=True),
        sa.Column("reconciled_at", sa.DateTime(timezone=True), nullable=True),
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
            "status IN ('pending', 'confirmed', 'rejected', 'cancelling', 'cancelled')",
            name="orders_status_known",
        ),
        sa.CheckConstraint("total_minor > 0", name="orders_total_positive"),
        sa.PrimaryKeyConstraint("order_id"),
        sa.UniqueConstraint("payment_id"),
    )
    op.create_index("orders_by_age", "orders", ["created_at", "order_id"], unique=False)
    op.create_index(
        "orders_of_customer", "orders", ["customer_id", "created_at", "order_id"], unique=False
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
        "sagas",
        sa.Column("id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("saga", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("deadline_seconds", sa.Float(), nullable=True),
        sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True),
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
        sa.PrimaryKeyConstraint("id", "saga"),
    )
    op.create_index(
        "sagas_deadline_at",
        "sagas",
        ["deadline_at"],
        unique=False,
        postgresql_where=sa.text("deadline_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index(
        "sagas_deadline_at", table_name="sagas", postgresql_where=sa.text("deadline_at IS NOT NULL")
    )
    op.drop_table("sagas")
    op.drop_table("outbox_unsent")
    op.drop_index("outbox_created_at", table_name="outbox", postgresql_using="brin")
    op.drop_table("outbox")
    op.drop_index("orders_of_customer", table_name="orders")
    op.drop_index("orders_by_age", table_name="orders")
    op.drop_table("orders")
    op.drop_index("inbox_handled_at", table_name="inbox", postgresql_using="brin")
    op.drop_table("inbox")
