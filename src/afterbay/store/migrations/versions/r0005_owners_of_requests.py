"""Whom a request is charged to, and what for: what reports group by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Adds the columns."""
    for name in ("organisation", "team", "user_name", "agent", "task"):
        op.add_column("requests", sa.Column(name, sa.Text))
