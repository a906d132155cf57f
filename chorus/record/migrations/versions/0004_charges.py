"""Which charges were made, while whoever made them does not know it yet."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the charges."""
    op.create_table("charges", sa.Column("id", sa.String(300), primary_key=True))
