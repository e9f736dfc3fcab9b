"""`/admin/v1/reports/…`: what `afterbay report` prints, as JSON, of what lies within the reach of who asks.

Records name their owners, and a name may be given again once its owner has ended. So whoever is not the operator sees
from the first whole hour after the end of the last one that had the same name in the same place.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

import msgspec

from afterbay.config.snapshot import Snapshot
from afterbay.core.errors import ClientMistake
from afterbay.store.database import Database
from afterbay.store.errors import StoreUnavailable
from afterbay.store.owners import KINDS, Tenant
from afterbay.store.question import NOW, Question, before, read_by, read_hours, read_only
from afterbay.store.report_form import as_json
from afterbay.store.report_prices import best_of, weights_of
from afterbay.store.reports import (
    Report,
    cost_report,
    errors_report,
    explain_report,
    latency_report,
    satisfaction_report,
    savings_report,
    usage_report,
)
from afterbay.store.rollup import catch_up
from afterbay.store.rollup_reading import DIMENSIONS, Hours, Only, RollupReading, told_reading

LINES: Final = 1000
LINES_MOST: Final = 10_000
SUM_ROWS: Final = 32_768
"""Most rows of the log that one request sums before it answers; what is left is told."""
SINCE: Final = "7d"

_PLAIN: Final[Mapping[str, Callable[[RollupReading, Question], Report]]] = MappingProxyType(
    {
        "cost": cost_report,
        "usage": usage_report,
        "latency": latency_report,
        "errors": errors_report,
        "satisfaction": satisfaction_report,
    }
)
_BY: Final[Mapping[str, str]] = MappingProxyType({"errors": "provider", "explain": ""})
"""What lines are told apart by where the query does not say; else by model."""
_OWN: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {"savings": frozenset({"best"}), "explain": frozenset({"against"})}
)
"""Parameters that one report has beside those of all."""
NAMES: Final = (*_PLAIN, "savings", "explain")
PARAMETERS: Final = frozenset({"by", "since", "until", "only", "limit"})


class Reach(msgspec.Struct, frozen=True):
    """The part of the log that may be seen. `path`: the names on the way to a tenant, none for all of it; `from_hour`:
    the first hour, where a tenant that has ended had the same name."""

    path: tuple[tuple[str, str], ...] = ()
    from_hour: str = ""


def reach_of(path: Sequence[Tenant], ended: Sequence[Sequence[Tenant]]) -> Reach:
    """What a role at a place reaches. `path`: the tenants down to it; `ended`: the paths of all that have ended."""
    if not path:
        return Reach()
    names = {one.kind: one.name for one in path}
    kinds = KINDS[: KINDS.index(path[-1].kind) + 1]
    places = {_place(path[: depth + 1]) for depth in range(len(path))}
    ends = [other[-1].ended_at or "" for other in ended if other and _place(other) in places]
    return Reach(tuple((kind, names.get(kind, "")) for kind in kinds), _hour_after(max(ends)) if ends else "")


def _place(path: Sequence[Tenant]) -> tuple[tuple[str, str], ...]:
    return tuple((one.kind, one.name) for one in path)


class Reports:
    """Answers questions for reports. Blocks: ask it in a thread."""

    def __init__(self, database: Database, snapshot: Callable[[], Snapshot], now: Callable[[], datetime]) -> None:
        self._database, self._snapshot, self._now = database, snapshot, now

    def answer(self, name: str, query: Mapping[str, str], reach: Reach) -> dict[str, object]:
        """One report. `query` has the parameters of `parameters(name)` only.

        Raises:
            ClientMistake: a parameter is not right.
            StoreUnavailable
        """
        now = self._now()
        hours = read_hours(query.get("since", SINCE), query.get("until", NOW), now, whole=name == "explain")
        asked = Question(read_by(query.get("by", _BY.get(name, "model"))), _within(hours, reach.from_hour))
        compared = before(hours, query.get("against", ""), now) if name == "explain" else hours
        make = self._maker(name, asked, query.get("best", ""), _within(compared, reach.from_hour))
        lines = _lines(query.get("limit", str(LINES)))
        wanted = [one for one in query.get("only", "").split(",") if one]
        only = [*(Only(DIMENSIONS[kind], value) for kind, value in reach.path), *read_only(wanted)]
        try:
            is_whole = catch_up(self._database, SUM_ROWS)
        except sqlite3.Error as broken:
            raise StoreUnavailable(f"The log cannot be summed now: {broken}.", "Try again.") from broken
        with told_reading(self._database, only) as reading:
            report = make(reading).first(lines)
        if not is_whole:
            left = "the log is still being summed; its last requests are missing here"
            report = msgspec.structs.replace(report, notes=(*report.notes, left))
        return as_json(report)

    def _maker(self, name: str, asked: Question, best: str, compared: Hours) -> Callable[[RollupReading], Report]:
        if name == "savings":
            model, price = best_of(self._snapshot(), best)
            return lambda reading: savings_report(reading, asked, model, price)
        if name == "explain":
            weights = weights_of(self._snapshot())
            return lambda reading: explain_report(reading, asked, compared, weights)
        return lambda reading: _PLAIN[name](reading, asked)


def parameters(name: str) -> set[str]:
    """The parameters of a report."""
    return {*PARAMETERS, *_OWN.get(name, ())}


def _within(hours: Hours, first: str) -> Hours:
    """The hours from the first one on that may be seen; none, where all are before it."""
    return Hours(max(hours.begin, first), max(hours.end, first))


def _hour_after(moment: str) -> str:
    """The first whole hour after an RFC 3339 time in UTC."""
    begin = datetime.strptime(moment[:13], "%Y-%m-%dT%H") + timedelta(hours=1)
    return begin.strftime("%Y-%m-%dT%H")


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= LINES_MOST):
        raise ClientMistake(
            "The parameter `limit` cannot be used.",
            code="invalid_value",
            param="limit",
            remedy=f"Give 1 to {LINES_MOST}.",
        )
    return int(text)
