"""The proof of a request's policies: which held, and by which facts whoever was asked met them. And what the hash of an
entry of the audit log is made of, so that its details can be erased."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Adds the columns."""
    op.add_column("requests", sa.Column("compliance", sa.Text))
    op.add_column("audit", sa.Column("salt", sa.Text))
    op.add_column("audit", sa.Column("digest", sa.Text))
