"""Organisations, teams and users; keys that belong to one and have rights; the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Adds tables and columns, and turns what keys had into rights and roles."""
    op.drop_index("keys_live_name", "keys")
    op.add_column("keys", sa.Column("owner", sa.Text, nullable=False, server_default=""))
    for name, kind in (
        ("role", sa.Text()),
        ("rights", sa.Text()),
        ("preference", sa.Text()),
        ("charged", sa.Text()),
        ("old_digest", sa.LargeBinary()),
        ("old_until", sa.Text()),
    ):
        op.add_column("keys", sa.Column(name, kind))
    op.execute("UPDATE keys SET rights = '{\"models\":' || models || '}' WHERE models IS NOT NULL")
    op.execute("UPDATE keys SET role = 'admin' WHERE admin != 0")
    op.drop_column("keys", "models")
    op.drop_column("keys", "admin")
    live = sa.text("revoked_at IS NULL")
    op.create_index("keys_live_name", "keys", ["owner", "name"], unique=True, sqlite_where=live, postgresql_where=live)
    op.create_table(
        "tenants",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("parent", sa.Text, nullable=False),
        sa.Column("rights", sa.Text),
        sa.Column("preference", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("ended_at", sa.Text),
    )
    living = sa.text("ended_at IS NULL")
    op.create_index(
        "tenants_live_name",
        "tenants",
        ["parent", "kind", "name"],
        unique=True,
        sqlite_where=living,
        postgresql_where=living,
    )
    op.create_table(
        "audit",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=False
        ),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
    )
