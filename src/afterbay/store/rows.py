"""Records to rows and back. The order of a row is the order of the columns in `schema.py`.

What a client can make long is cut here, so that no request can bloat the log: see `Bounds`. Everything else is read
back as it was put, times of day to the microsecond.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, Protocol, TypeAlias

import msgspec

from afterbay.core.decision import Attempt, Circumstances, Record, Rejected
from afterbay.core.usage import Usage

Row: TypeAlias = tuple[object, ...]


class Named(Protocol):
    """A row whose values go by the names of their columns: sqlite3's, SQLAlchemy's."""

    def __getitem__(self, name: str, /) -> Any:
        """The value of a column."""


ERROR_CHARS: Final = 1000
"""Longest error text kept. Providers answer with whole HTML pages at times."""
NAME_CHARS: Final = 256
"""Longest text kept of what a client sends as a name: a model, a traceparent, a tag's key or value."""
TAGS: Final = 32
"""Most tags kept of one request."""

_INT64: Final = (1 << 63) - 1
_NO_USAGE: Final[Row] = (None,) * 6
_encode = msgspec.json.Encoder().encode


def rfc3339(utc_s: float) -> str:
    """UTC seconds as RFC 3339 text with microseconds and `Z`: always 27 characters, so that text order is time order.

    Raises:
        ValueError, OverflowError: outside the years 1 to 9999.
    """
    return datetime.fromtimestamp(utc_s, UTC).isoformat(timespec="microseconds")[:26] + "Z"


def utc_seconds(text: str) -> float:
    """The inverse of `rfc3339`."""
    return datetime.fromisoformat(text).timestamp()


def request_row(record: Record) -> Row:
    """The row of `requests`, without `seq`."""
    error, traceparent = record.error, record.traceparent
    return (
        record.id,
        rfc3339(record.received_at),
        record.operation,
        record.protocol,
        record.requested_model[:NAME_CHARS],
        record.route,
        record.rule,
        record.model,
        record.provider,
        record.upstream_model,
        record.key_id,
        record.key_name,
        record.stream,
        record.status,
        record.outcome,
        error[:ERROR_CHARS] if error else error,
        *(_usage_row(record.usage) if record.usage is not None else _NO_USAGE),
        record.cost_picousd,
        record.ttft_s,
        record.duration_s,
        _json(record.stages_s) if record.stages_s else None,
        record.finish,
        record.request_bytes,
        record.response_bytes,
        _json(_bounded(record.tags)) if record.tags else None,
        traceparent[:NAME_CHARS] if traceparent else traceparent,
        record.config_hash,
        _json(record.rejected) if record.rejected else None,
        _json(record.warnings) if record.warnings else None,
        record.seed,
        _json(record.circumstances) if record.circumstances is not None else None,
        record.organisation,
        record.team,
        record.user,
        record.agent[:NAME_CHARS] if record.agent else record.agent,
        record.task[:NAME_CHARS] if record.task else record.task,
        _json(record.compliance) if record.compliance else None,
        _json(record.reasons) if record.reasons else None,
    )


def attempt_rows(record: Record) -> list[Row]:
    """The rows of `attempts` of one record."""
    return [
        (
            record.id,
            attempt.number,
            attempt.target,
            attempt.why,
            attempt.started_s,
            attempt.headers_s,
            attempt.first_token_s,
            attempt.ended_s,
            attempt.outcome,
            attempt.status,
            attempt.error[:ERROR_CHARS] if attempt.error else attempt.error,
            *(_usage_row(attempt.usage) if attempt.usage is not None else _NO_USAGE),
            attempt.cost_picousd,
            attempt.key,
            attempt.code[:NAME_CHARS] if attempt.code else attempt.code,
            attempt.asked_s,
            attempt.model,
        )
        for attempt in record.attempts
    ]


def storable(row: Row) -> Row:
    """The same row with what SQLite cannot hold made holdable: lone surrogates become `?`, integers are clamped.

    Only used after a row was refused: nothing that a client sends may make its own request unstorable.
    """
    return tuple(_storable(value) for value in row)


def record_of(row: Named, attempts: Iterable[Named]) -> Record:
    """A record from its row and the rows of its attempts, in their order."""
    return Record(
        id=row["id"],
        received_at=utc_seconds(row["received_at"]),
        operation=row["operation"],
        protocol=row["protocol"],
        requested_model=row["requested_model"],
        route=row["route"],
        rule=row["rule"],
        model=row["model"],
        provider=row["provider"],
        upstream_model=row["upstream_model"],
        key_id=row["key_id"],
        key_name=row["key_name"],
        stream=bool(row["stream"]),
        status=row["status"],
        outcome=row["outcome"],
        error=row["error"],
        attempts=[_attempt_of(attempt) for attempt in attempts],
        rejected=_from_json(row["rejected"], list[Rejected], []),
        warnings=_from_json(row["warnings"], list[str], []),
        usage=_usage_of(row),
        cost_picousd=row["cost_picousd"],
        ttft_s=row["ttft_s"],
        duration_s=row["duration_s"],
        stages_s=_from_json(row["stages_s"], dict[str, float], {}),
        finish=row["finish"],
        request_bytes=row["request_bytes"],
        response_bytes=row["response_bytes"],
        tags=_from_json(row["tags"], dict[str, str], {}),
        traceparent=row["traceparent"],
        config_hash=row["config_hash"],
        seed=row["seed"],
        circumstances=_from_json(row["circumstances"], Circumstances, None),
        organisation=row["organisation"],
        team=row["team"],
        user=row["user_name"],
        agent=row["agent"],
        task=row["task"],
        compliance=_from_json(row["compliance"], list[str], []),
        reasons=_from_json(row["decision"], dict[str, Any], None),
    )


def _attempt_of(row: Named) -> Attempt:
    return Attempt(
        number=row["number"],
        target=row["target"],
        why=row["why"],
        started_s=row["started_s"],
        headers_s=row["headers_s"],
        first_token_s=row["first_token_s"],
        ended_s=row["ended_s"],
        outcome=row["outcome"],
        status=row["status"],
        error=row["error"],
        usage=_usage_of(row),
        cost_picousd=row["cost_picousd"],
        key=row["key_place"],
        code=row["code"],
        asked_s=row["asked_s"],
        model=row["model"],
    )


def _usage_row(usage: Usage) -> Row:
    return (
        usage.input_tokens,
        usage.cached_input_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.estimated,
    )


def _usage_of(row: Named) -> Usage | None:
    if row["input_tokens"] is None:
        return None
    return Usage(
        input_tokens=row["input_tokens"],
        cached_input_tokens=row["cached_input_tokens"],
        cache_write_tokens=row["cache_write_tokens"],
        output_tokens=row["output_tokens"],
        reasoning_tokens=row["reasoning_tokens"],
        estimated=bool(row["estimated"]),
    )


def _bounded(tags: dict[str, str]) -> dict[str, str]:
    return {name[:NAME_CHARS]: value[:NAME_CHARS] for name, value in list(tags.items())[:TAGS]}


def _json(value: object) -> str:
    return _encode(value).decode()


def _from_json(text: str | None, kind: Any, empty: Any) -> Any:
    return empty if text is None else msgspec.json.decode(text, type=kind)


def _storable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, int):
        return max(-_INT64 - 1, min(_INT64, value))
    return value
