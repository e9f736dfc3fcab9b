"""The ledger: what was charged to each account, and what processes hold of their allowances."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Adds the tables. What requests cost before is not in them: their records had no accounts."""
    op.create_table(
        "spending",
        sa.Column("account", sa.Text, primary_key=True),
        sa.Column("day", sa.Text, primary_key=True),
        sa.Column("picousd", _Big, nullable=False),
        sa.Column("requests", _Big, nullable=False),
        sa.Column("tokens", _Big, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "leases",
        *(sa.Column(name, sa.Text, primary_key=True) for name in ("account", "unit", "period", "begin_day", "holder")),
        *(sa.Column(name, _Big, nullable=False) for name in ("amount", "wanted", "called", "answered")),
        sa.Column("until_s", sa.REAL),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "leases_wanted",
        "leases",
        ["wanted"],
        sqlite_where=sa.text("wanted > 0"),
        postgresql_where=sa.text("wanted > 0"),
    )
