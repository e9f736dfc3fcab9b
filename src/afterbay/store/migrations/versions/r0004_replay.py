"""What a request is replayed from: its seed and circumstances, codes of errors, the configuration in force."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Adds the columns and the table."""
    op.add_column("requests", sa.Column("seed", sa.Integer))
    op.add_column("requests", sa.Column("circumstances", sa.Text))
    op.add_column("attempts", sa.Column("code", sa.Text))
    op.add_column("attempts", sa.Column("asked_s", sa.REAL))
    op.create_table(
        "configurations",
        sa.Column("hash", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.Text, nullable=False),
        sa.Column("snapshot", sa.LargeBinary, nullable=False),
    )
