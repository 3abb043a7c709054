"""Payments, webhook events, the sweep's progress, outbox and inbox."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _moment(name: str, *, nullable: bool = False, now: bool = False) -> "sa.Column[object]":
    default = sa.text("now()") if now else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=default)


def upgrade() -> None:
    op.create_table(
        "payments",
        sa.Column("payment_id", sa.UUID(as_uuid=False), primary_key=True),
        sa.Column("order_id", sa.UUID(as_uuid=False), nullable=False),
        sa.Column("customer_id", sa.Text()),
        sa.Column("amount_minor", sa.BigInteger()),
        sa.Column("currency", sa.Text()),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("intent_id", sa.Text()),
        sa.Column("refund_id", sa.Text()),
        sa.Column("reason", sa.Text()),
        sa.Column("decline_code", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("refund_command_id", sa.UUID(as_uuid=False)),
        sa.Column("refund_correlation_id", sa.UUID(as_uuid=False)),
        sa.Column("revision", sa.Integer(), nullable=False, server_default="0"),
        _moment("started_at", now=True),
        _moment("updated_at", now=True),
        sa.CheckConstraint(
            "status IN ('authorizing', 'authorized', 'declined', 'voided', 'captured', "
            "'refund_pending', 'refunded', 'refund_failed')",
            name="payments_status_known",
        ),
        sa.CheckConstraint("amount_minor >= 0", name="payments_amount_not_negative"),
        sa.CheckConstraint(
            "(amount_minor IS NULL) = (currency IS NULL)", name="payments_amount_has_currency"
        ),
    )
    op.create_index(
        "payments_unsettled",
        "payments",
        ["status", "started_at"],
        postgresql_where=sa.text("status IN ('authorizing', 'authorized', 'refund_pending')"),
    )
    op.create_table(
        "webhook_events",
        sa.Column("event_id", sa.Text(), primary_key=True),
        sa.Column("type", sa.Text(), nullable=False),
        _moment("received_at", now=True),
    )
    op.create_index(
        "webhook_events_received_at", "webhook_events", ["received_at"], postgresql_using="brin"
    )
    op.create_table(
        "gateway_sweeps",
        sa.Column("name", sa.Text(), primary_key=True),
        _moment("covered_until"),
        _moment("next_at"),
    )
    op.create_table(
        "outbox",
        sa.Column("id", sa.UUID(as_uuid=False), primary_key=True),
        sa.Column("position", sa.BigInteger(), sa.Identity(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        _moment("created_at", now=True),
    )
    op.create_index("outbox_created_at", "outbox", ["created_at"], postgresql_using="brin")
    op.create_table(
        "outbox_unsent",
        sa.Column("message_id", sa.UUID(as_uuid=False), primary_key=True),
        _moment("written_at", now=True),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        _moment("next_attempt_at", nullable=True),
        sa.Column("parked_reason", sa.Text()),
    )
    op.create_table(
        "inbox",
        sa.Column("message_id", sa.UUID(as_uuid=False), primary_key=True),
        sa.Column("type", sa.Text(), nullable=False),
        _moment("handled_at", now=True),
    )
    op.create_index("inbox_handled_at", "inbox", ["handled_at"], postgresql_using="brin")


def downgrade() -> None:
    for table in (
        "inbox",
        "outbox_unsent",
        "outbox",
        "gateway_sweeps",
        "webhook_events",
        "payments",
    ):
        op.drop_table(table)
