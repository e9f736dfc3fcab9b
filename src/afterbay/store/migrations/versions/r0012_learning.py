"""What routes learn from: labels, pairs of answers, imprints of prompts, and what came of them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Adds the tables, and the columns of what a decision went by and of the alias that an attempt was for."""
    op.add_column("requests", sa.Column("decision", sa.Text))
    op.add_column("attempts", sa.Column("model", sa.Text))
    op.create_table(
        "labels",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("judge", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("alias", sa.Text, nullable=False),
        sa.Column("score", sa.REAL, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("comment", sa.Text),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_labels_at", "labels", ["at"])
    whole = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "pairs",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("cheap", sa.Text, nullable=False),
        sa.Column("strong", sa.Text, nullable=False),
        sa.Column("gain", sa.REAL, nullable=False),
        sa.Column("predictor", sa.Text, nullable=False),
        sa.Column("cheap_quality", sa.REAL, nullable=False),
        sa.Column("strong_quality", sa.REAL, nullable=False),
        sa.Column("judged", sa.Text, nullable=False),
        sa.Column("propensity", sa.REAL, nullable=False),
        sa.Column("cheap_picousd", whole),
        sa.Column("strong_picousd", whole),
        sa.Column("cost_picousd", whole),
        sa.Column("digest", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_pairs_at", "pairs", ["at"])
    op.create_table(
        "imprints",
        sa.Column("request_id", sa.Text, primary_key=True),
        sa.Column("route", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("imprint", sa.LargeBinary, nullable=False),
    )
    op.create_index("ix_imprints_at", "imprints", ["at"])
    op.create_table(
        "routers",
        sa.Column("route", sa.Text, primary_key=True),
        sa.Column("kind", sa.Text, primary_key=True),
        sa.Column("made_at", sa.Text, primary_key=True),
        sa.Column("blob", sa.LargeBinary, nullable=False),
        sa.Column("labels", whole, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
