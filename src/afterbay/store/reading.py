"""Questions to the request log, for `tail`, the admin pages and reports. SQLAlchemy Core, so that another database can
answer them too. Imports SQLAlchemy: the data plane's one question (a request by its id) is in `lookup.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from afterbay.core.decision import Record
from afterbay.store.answers import FINE, Filter, Logged, ModelSummary
from afterbay.store.rows import Named, record_of, rfc3339
from afterbay.store.schema import attempts, requests

if TYPE_CHECKING:
    from afterbay.store.database import Database


def engine(database: Database) -> sa.Engine:
    """SQLAlchemy on connections of ours: their pragmas hold, and transactions are ours to begin (autocommit)."""
    return sa.create_engine("sqlite://", creator=database.connect, poolclass=sa.NullPool)


class SqliteReading:
    """Reads what the request log has written. Opens a connection a question; any thread may ask."""

    def __init__(self, database: Database) -> None:
        self._engine = engine(database)

    def last_cursor(self) -> int:
        """The cursor after which only future rows come; 0 for an empty log."""
        with self._engine.connect() as connection:
            return int(connection.scalar(sa.select(sa.func.coalesce(sa.func.max(requests.c.seq), 0))) or 0)

    def after(self, cursor: int, only: Filter | None = None, limit: int = 100) -> list[Logged]:
        """At most `limit` rows written after a cursor, in the order of writing, with their attempts."""
        rows = sa.select(requests).where(requests.c.seq > cursor, *_conditions(only))
        return self._records(rows.order_by(requests.c.seq).limit(limit))

    def last(self, count: int, only: Filter | None = None) -> list[Logged]:
        """The `count` rows written last, oldest first."""
        rows = sa.select(requests).where(*_conditions(only))
        return self._records(rows.order_by(requests.c.seq.desc()).limit(count))[::-1]

    def one(self, request_id: str) -> Record | None:
        """A request by its id."""
        found = self._records(sa.select(requests).where(requests.c.id == request_id))
        return found[0].record if found else None

    def by_model(self, since_utc_s: float, until_utc_s: float | None = None) -> list[ModelSummary]:
        """Requests, tokens, cost and TTFT by model, most requests first; requests that met no model are under ''."""
        conditions = [requests.c.received_at >= rfc3339(since_utc_s)]
        if until_utc_s is not None:
            conditions.append(requests.c.received_at < rfc3339(until_utc_s))
        with self._engine.connect() as connection:
            rows = connection.execute(_summary(conditions)).mappings().all()
        return [ModelSummary(**row) for row in rows]

    def _records(self, rows: sa.Select[Any]) -> list[Logged]:
        with self._engine.connect() as connection:
            found = connection.execute(rows).mappings().all()
            tried = _attempts(connection, [row["id"] for row in found])
        return [Logged(row["seq"], record_of(row, tried.get(row["id"], ()))) for row in found]


def _attempts(connection: sa.Connection, ids: Sequence[str]) -> dict[str, list[Named]]:
    rows = sa.select(attempts).where(attempts.c.request_id.in_(ids)).order_by(attempts.c.request_id, attempts.c.number)
    found: Sequence[Named] = connection.execute(rows).mappings().all()
    return {key: list(group) for key, group in groupby(found, key=lambda row: str(row["request_id"]))}


def _conditions(only: Filter | None) -> list[sa.ColumnElement[bool]]:
    if only is None:
        return []
    conditions = [requests.c[name] == value for name, value in msgspec.structs.asdict(only.columns).items() if value]
    if only.failed is not None:
        conditions.append(requests.c.outcome.not_in(FINE) if only.failed else requests.c.outcome.in_(FINE))
    return conditions


def _summary(conditions: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
    """Sums by model, joined with the percentiles of TTFT."""
    model, cost = requests.c.model, requests.c.cost_picousd
    tokens_in = requests.c.input_tokens + requests.c.cached_input_tokens + requests.c.cache_write_tokens
    tokens_out = requests.c.output_tokens + requests.c.reasoning_tokens
    unpriced = sa.and_(cost.is_(None), requests.c.input_tokens.is_not(None))
    total, when = sa.func.sum, sa.case
    sums = (
        sa.select(
            model,
            sa.func.count().label("requests"),
            total(when((requests.c.outcome.not_in(FINE), 1), else_=0)).label("failed"),
            sa.func.coalesce(total(tokens_in), 0).label("total_input"),
            sa.func.coalesce(total(tokens_out), 0).label("total_output"),
            sa.func.coalesce(total(cost), 0).label("cost_picousd"),
            total(when((unpriced, 1), else_=0)).label("unpriced"),
        )
        .where(*conditions)
        .group_by(model)
        .subquery()
    )
    ttft = _ttft_percentiles(conditions)
    joined = sums.outerjoin(ttft, ttft.c.model == sums.c.model)
    columns = [*sums.c, ttft.c.ttft_p50_s, ttft.c.ttft_p95_s]
    return sa.select(*columns).select_from(joined).order_by(sums.c.requests.desc(), sums.c.model)


def _ttft_percentiles(conditions: Sequence[sa.ColumnElement[bool]]) -> sa.Subquery:
    """Nearest-rank percentiles by model: the value at rank ceil(p * n)."""
    ttft, model = requests.c.ttft_s, requests.c.model
    ranked = (
        sa.select(
            model,
            ttft,
            sa.func.row_number().over(partition_by=model, order_by=ttft).label("rank"),
            sa.func.count().over(partition_by=model).label("n"),
        )
        .where(ttft.is_not(None), *conditions)
        .subquery()
    )

    def percentile(percent: int) -> sa.ColumnElement[float]:
        rank = (ranked.c.n * percent + 99) // 100
        return sa.func.min(sa.case((ranked.c.rank >= rank, ranked.c.ttft_s)))

    columns = ranked.c.model, percentile(50).label("ttft_p50_s"), percentile(95).label("ttft_p95_s")
    return sa.select(*columns).group_by(ranked.c.model).subquery()
