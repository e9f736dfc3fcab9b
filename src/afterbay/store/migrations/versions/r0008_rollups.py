"""The log summed by the hour. A frozen copy: migrations don't follow `schema.py`. Old rows are summed later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_DIMENSIONS = (
    *("hour", "operation", "organisation", "team", "user_name", "key_id", "key_name", "agent", "task"),
    *("route", "model", "provider", "upstream_model", "tags"),
)
_TOKENS = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
_SUMS = (
    *("requests", "failed", "retried", "unpriced_requests"),
    *("attempts", "failed_attempts", "unpriced_attempts", "estimated_attempts", "uncounted_attempts"),
    *_TOKENS,
    *("estimated_tokens", "cost_picousd", "estimated_picousd", "answers"),
    *(f"answer_{name}" for name in _TOKENS),
    "answer_picousd",
)


def upgrade() -> None:
    """Creates the tables."""
    op.create_table(
        "rollups",
        sa.Column("id", _Big, primary_key=True, autoincrement=True),
        *(sa.Column(name, sa.Text, nullable=False) for name in _DIMENSIONS),
        *(sa.Column(name, _Big, nullable=False) for name in _SUMS),
        sa.UniqueConstraint(*_DIMENSIONS),
    )
    op.create_table(
        "rollup_steps",
        sa.Column("rollup_id", _Big, sa.ForeignKey("rollups.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("measure", sa.Text, primary_key=True),
        sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("count", _Big, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "rollup_failures",
        sa.Column("rollup_id", _Big, sa.ForeignKey("rollups.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("scope", sa.Text, primary_key=True),
        sa.Column("outcome", sa.Text, primary_key=True),
        sa.Column("status", sa.SmallInteger, primary_key=True, autoincrement=False),
        sa.Column("count", _Big, nullable=False),
        sqlite_with_rowid=False,
    )
