"""The proof of a request's policies: which held, and by which facts whoever was asked met them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Adds the column."""
    op.add_column("requests", sa.Column("compliance", sa.Text))
