"""Several servers on one database: who holds which debate, what it gave off so far, and rates counted together."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add what servers tell each other. Where there is one server only, it stays empty."""
    op.add_column("debates", sa.Column("server", sa.String(32)))
    op.add_column("debates", sa.Column("wish", sa.Text))
    op.add_column("debates", sa.Column("watched", sa.DateTime(timezone=True)))
    running = sa.text("status = 'running'")
    op.create_index("debates_running", "debates", ["server"], sqlite_where=running, postgresql_where=running)
    op.create_table(
        "servers",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "aired",
        sa.Column("debate", sa.Integer, sa.ForeignKey("debates.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("first", sa.Integer, primary_key=True),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("events", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "rates",
        sa.Column("key", sa.String(32), sa.ForeignKey("keys.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("full", sa.DateTime(timezone=True), nullable=False),
    )
