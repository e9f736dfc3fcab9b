"""Keys that were made for one run of a program."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Adds the mark of such keys."""
    op.add_column("keys", sa.Column("throwaway", sa.SmallInteger, nullable=False, server_default="0"))
