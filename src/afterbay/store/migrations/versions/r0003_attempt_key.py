"""Which of a provider's keys an attempt went out with."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Adds the place of the key."""
    op.add_column("attempts", sa.Column("key_place", sa.SmallInteger))
