"""The number of each customer's latest contact."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "contacts",
        sa.Column("customer_id", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("customer_id"),
    )
    op.create_index(
        "outbox_contacts",
        "outbox",
        ["subject"],
        unique=False,
        postgresql_where=sa.text("type = 'ContactProvided'"),
    )


def downgrade() -> None:
    op.drop_index("outbox_contacts", table_name="outbox")
    op.drop_table("contacts")
