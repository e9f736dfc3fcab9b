"""The first tables: requests, attempts, keys, secrets, counters. A frozen copy: migrations don't follow `schema.py`."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def _token_columns() -> list[sa.Column[int]]:
    names = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    return [sa.Column(name, _Big) for name in names] + [sa.Column("estimated", sa.SmallInteger)]


def upgrade() -> None:
    """Creates them."""
    _create_requests()
    _create_attempts()
    _create_keys()
    op.create_table(
        "secrets",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "counters",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("value", _Big, nullable=False),
    )


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("seq", _Big, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("received_at", sa.Text, nullable=False),
        sa.Column("operation", sa.Text, nullable=False),
        sa.Column("protocol", sa.Text, nullable=False),
        sa.Column("requested_model", sa.Text, nullable=False),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("model", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("upstream_model", sa.Text, nullable=False),
        sa.Column("key_id", sa.Text),
        sa.Column("key_name", sa.Text),
        sa.Column("stream", sa.SmallInteger, nullable=False),
        sa.Column("status", sa.SmallInteger, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("error", sa.Text),
        *_token_columns(),
        sa.Column("cost_picousd", _Big),
        sa.Column("ttft_s", sa.REAL),
        sa.Column("duration_s", sa.REAL, nullable=False),
        sa.Column("stages_s", sa.Text),
        sa.Column("finish", sa.Text),
        sa.Column("request_bytes", _Big, nullable=False),
        sa.Column("response_bytes", _Big, nullable=False),
        sa.Column("tags", sa.Text),
        sa.Column("traceparent", sa.Text),
        sa.Column("config_hash", sa.Text, nullable=False),
        sa.Column("rejected", sa.Text),
        sa.Column("warnings", sa.Text),
        sa.UniqueConstraint("id"),
    )
    op.create_index("ix_requests_received_at", "requests", ["received_at"])


def _create_attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("request_id", sa.Text, sa.ForeignKey("requests.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("started_s", sa.REAL, nullable=False),
        sa.Column("headers_s", sa.REAL),
        sa.Column("first_token_s", sa.REAL),
        sa.Column("ended_s", sa.REAL),
        sa.Column("outcome", sa.Text),
        sa.Column("status", sa.SmallInteger),
        sa.Column("error", sa.Text),
        *_token_columns(),
        sa.Column("cost_picousd", _Big),
        sqlite_with_rowid=False,
    )


def _create_keys() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("models", sa.Text),
        sa.Column("admin", sa.SmallInteger, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("revoked_at", sa.Text),
        sa.UniqueConstraint("digest"),
    )
    live = sa.text("revoked_at IS NULL")
    op.create_index("keys_live_name", "keys", ["name"], unique=True, sqlite_where=live, postgresql_where=live)
