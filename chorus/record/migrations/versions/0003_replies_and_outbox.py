"""What clients can ask for again, and what is to be sent of debates."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the replies, and the outbox."""
    op.add_column("debates", sa.Column("reply", sa.LargeBinary))
    op.create_table(
        "outbox",
        sa.Column("debate", sa.String(300), sa.ForeignKey("debates.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("due", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_index("outbox_by_due", "outbox", ["due"])
