"""What attempts at a provider cost, by day and model: the log's side of a comparison with its invoice.

It reads rows of the log, since an invoice is per attempt and per deployment, and asks for a few days at a time.
"""

from __future__ import annotations

from datetime import date, timedelta

import sqlalchemy as sa

from afterbay.policy.invoice import DAY_CHARS, Logged, Tokens
from afterbay.store.database import Database
from afterbay.store.reading import engine
from afterbay.store.schema import attempts, requests


def day_sums(database: Database, provider: str, first: str, last: str) -> list[Logged]:
    """The sums of the attempts at a provider (its name in the configuration), from a day to a day, both included.

    Days are those of UTC on which requests came in. Attempts that used nothing and cost nothing are in no sum.
    """
    after = (date.fromisoformat(last) + timedelta(days=1)).isoformat()
    with engine(database).connect() as connection:
        rows = connection.execute(_sums(provider, first, after)).mappings().all()
    return [
        Logged(
            row["day"],
            row["target"].partition("/")[2],
            row["picousd"],
            Tokens(row["input"], row["cached"], row["written"], row["output"]),
            row["attempts"],
            row["unpriced"],
            row["estimated"],
        )
        for row in rows
    ]


def _sums(provider: str, first: str, after: str) -> sa.Select[tuple[str, str, int, int, int, int, int, int, int, int]]:
    column, day = attempts.c, sa.func.substr(requests.c.received_at, 1, DAY_CHARS).label("day")
    counted = column.input_tokens.is_not(None)

    def total(value: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
        return sa.func.coalesce(sa.func.sum(value), 0)

    def how_many(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
        return total(sa.case((condition, 1), else_=0))

    return (
        sa.select(
            day,
            column.target,
            total(column.cost_picousd).label("picousd"),
            total(column.input_tokens).label("input"),
            total(column.cached_input_tokens).label("cached"),
            total(column.cache_write_tokens).label("written"),
            total(column.output_tokens + column.reasoning_tokens).label("output"),
            sa.func.count().label("attempts"),
            how_many(sa.and_(column.cost_picousd.is_(None), counted)).label("unpriced"),
            how_many(sa.and_(counted, column.estimated == 1)).label("estimated"),
        )
        .join(requests, requests.c.id == column.request_id)
        .where(requests.c.received_at >= first, requests.c.received_at < after)
        .where(column.target.startswith(f"{provider}/", autoescape=True))
        .where(sa.or_(counted, column.cost_picousd > 0))
        .group_by(day, column.target)
        .order_by(day, column.target)
    )
