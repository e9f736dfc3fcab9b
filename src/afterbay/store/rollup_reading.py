"""What reports ask of the roll-ups: sums, percentiles and failures, by any of their dimensions, over whole hours.

No question reads a row of the log, but that for labels: those are few, and each leads to its request. Text and not
SQLAlchemy, for the reason that `statements.py` has: pages of a running gateway ask the same.

Requests are counted with the provider and model that answered, attempts with those that were asked (see `rollup.py`),
so a provider that only failed has attempts and no requests.
"""

# ruff: noqa: S608

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Final, Literal, TypeAlias

import msgspec

from afterbay.policy.sketch import Sketch
from afterbay.store.database import Database
from afterbay.store.errors import StoreUnavailable
from afterbay.store.rollup import FOLDED, FOLDED_NAME
from afterbay.store.rollup_statements import ATTEMPT_SUMS, REQUEST_SUMS

Group: TypeAlias = tuple[str, ...]
"""The values of the columns of the dimensions that were asked for; an empty one: there was none."""
Measure: TypeAlias = Literal["ttft_s", "duration_s"]
MEASURES: Final[tuple[Measure, ...]] = ("ttft_s", "duration_s")
Scope: TypeAlias = Literal["request", "attempt"]


class Hours(msgspec.Struct, frozen=True):
    """Whole hours, UTC, as text: `2026-01-31T23`. `end` is the first one that is not among them."""

    begin: str
    end: str


class Dimension(msgspec.Struct, frozen=True):
    """What lines are told apart by: the columns that a report shows, each with its SQL.

    Teams and users come with their organisation, keys with their id: names alone need not be unique.
    """

    columns: tuple[tuple[str, str], ...]
    values: tuple[str, ...] = ()
    """Bound to the placeholders of the columns."""
    each_tag: bool = False
    """A request with several tags is in several lines, so the lines add up to more than the whole."""

    @property
    def own(self) -> str:
        """The SQL of what the dimension is named for: the last of its columns; keys have their name first."""
        return self.columns[0 if self.columns[0][0] == "key" else -1][1]


class Only(msgspec.Struct, frozen=True):
    """Nothing but lines of this value of a dimension."""

    dimension: Dimension
    value: str


_ORGANISATION = ("organisation", "r.organisation")
_TARGET = "r.provider || CASE r.upstream_model WHEN '' THEN '' ELSE '/' || r.upstream_model END"
_EACH_TAG = (
    f"CASE WHEN t.key IS NULL THEN '' WHEN r.tags = '{FOLDED}' THEN '{FOLDED_NAME}' ELSE t.key || '=' || t.value END"
)
_ONE_TAG = (
    "coalesce((SELECT value FROM json_each(nullif(r.tags, '')) WHERE key = ?),"
    f" CASE r.tags WHEN '{FOLDED}' THEN '{FOLDED_NAME}' ELSE '' END)"
)

DIMENSIONS: Final = {
    "organisation": Dimension((_ORGANISATION,)),
    "team": Dimension((_ORGANISATION, ("team", "r.team"))),
    "user": Dimension((_ORGANISATION, ("user", "r.user_name"))),
    "key": Dimension((("key", "r.key_name"), ("key_id", "r.key_id"))),
    "agent": Dimension((("agent", "r.agent"),)),
    "task": Dimension((("task", "r.task"),)),
    "route": Dimension((("route", "r.route"),)),
    "model": Dimension((("model", "r.model"),)),
    "provider": Dimension((("provider", "r.provider"),)),
    "target": Dimension((("target", _TARGET),)),
    "deployment": Dimension((("deployment", _TARGET),)),
    "operation": Dimension((("operation", "r.operation"),)),
    "tag": Dimension((("tag", _EACH_TAG),), each_tag=True),
    "hour": Dimension((("hour", "r.hour"),)),
    "day": Dimension((("day", "substr(r.hour, 1, 10)"),)),
    "month": Dimension((("month", "substr(r.hour, 1, 7)"),)),
}
"""By the names that reports take. `tag:NAME` is beside them: see `dimension`."""


def dimension(name: str) -> Dimension | None:
    """The dimension of a name, or of `tag:NAME` the values of that tag; None: there is none."""
    kind, colon, tag = name.partition(":")
    if colon:
        return Dimension(((name, _ONE_TAG),), (tag,)) if kind == "tag" and tag else None
    return DIMENSIONS.get(name)


class Sums(msgspec.Struct, frozen=True):
    """The sums of a line, by the names of the columns of `rollups`."""

    requests: int = 0
    failed: int = 0
    retried: int = 0
    unpriced_requests: int = 0
    attempts: int = 0
    failed_attempts: int = 0
    unpriced_attempts: int = 0
    estimated_attempts: int = 0
    uncounted_attempts: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    estimated_tokens: int = 0
    cost_picousd: int = 0
    estimated_picousd: int = 0
    answers: int = 0
    answer_input_tokens: int = 0
    answer_cached_input_tokens: int = 0
    answer_cache_write_tokens: int = 0
    answer_output_tokens: int = 0
    answer_reasoning_tokens: int = 0
    answer_picousd: int = 0

    @property
    def known_picousd(self) -> int | None:
        """What the attempts of known price cost; None: nothing, and of others the price is not known."""
        return None if self.unpriced_attempts and not self.cost_picousd else self.cost_picousd

    @property
    def total_tokens(self) -> int:
        """All tokens of all attempts."""
        read = self.input_tokens + self.cached_input_tokens + self.cache_write_tokens
        return read + self.output_tokens + self.reasoning_tokens


class Failures(msgspec.Struct, frozen=True):
    """How many failed in one way: requests as their clients were told, attempts as their providers failed.

    `status` 0: there was none.
    """

    scope: Scope
    outcome: str
    status: int
    count: int


class Ratings(msgspec.Struct, frozen=True):
    """What was said of the answers of a line. `rated`: requests that somebody gave feedback on, `score` their mean,
    `bad` those below a half; `again`: asked again at once; `judged`: compared by a program or a model, `held` the mean.
    """

    rated: int = 0
    score: float | None = None
    bad: int = 0
    comments: int = 0
    again: int = 0
    judged: int = 0
    held: float | None = None


_TEXTS = ("organisation", "team", "user_name", "key_id", "key_name", "agent", "task", "tags")
_OR_EMPTY = ", ".join(f"coalesce({name}, '') AS {name}" for name in _TEXTS)
_RATED = (
    " FROM labels AS l JOIN (SELECT id, substr(received_at, 1, 13) AS hour, operation, route, model, provider,"
    f" upstream_model, {_OR_EMPTY} FROM requests) AS r ON r.id = l.request_id"
)
_RATINGS = (
    "sum(l.judge = 'feedback')",
    "avg(CASE l.judge WHEN 'feedback' THEN l.score END)",
    "sum(l.judge = 'feedback' AND l.score < 0.5)",
    "sum(l.comment IS NOT NULL)",
    "sum(l.judge = 'regenerate')",
    "sum(l.judge IN ('check', 'judge'))",
    "avg(CASE WHEN l.judge IN ('check', 'judge') THEN l.score END)",
)
_SUMS = (*REQUEST_SUMS, *ATTEMPT_SUMS)
_SPAN = "r.hour >= ? AND r.hour < ?"
_EACH = " LEFT JOIN json_each(nullif(r.tags, '')) AS t"


class RollupReading:
    """Questions to the roll-ups, all of the same moment. See `reading_of`."""

    def __init__(self, connection: sqlite3.Connection, only: Sequence[Only] = ()) -> None:
        self._connection = connection
        self._only = "".join(f" AND {one.dimension.own} = ?" for one in only)
        self._only_values = [value for one in only for value in (*one.dimension.values, one.value)]

    def first_hour(self) -> str | None:
        """The earliest hour that is summed; None: nothing is."""
        text = f"SELECT min(r.hour) FROM rollups AS r WHERE true{self._only}"
        found = self._connection.execute(text, self._only_values).fetchone()[0]
        return None if found is None else str(found)

    def sums(self, hours: Hours, by: Sequence[Dimension] = (), operation: str = "") -> dict[Group, Sums]:
        """The sums of each line; without dimensions there is one, under `()`. `operation`: of that one only."""
        width = len(columns_of(by))
        text = f"SELECT {_listed(by, *(f'coalesce(sum(r.{name}), 0)' for name in _SUMS))} FROM rollups AS r{_join(by)}"
        text += f" WHERE {_SPAN}{self._only}" + (" AND r.operation = ?" if operation else "") + _grouping(width)
        values = [*_values(by), *self._span(hours), *([operation] if operation else [])]
        rows = self._connection.execute(text, values)
        return {
            tuple(map(str, row[:width])): Sums(**dict(zip(_SUMS, row[width:], strict=True))) for row in rows.fetchall()
        }

    def sketches(self, hours: Hours, by: Sequence[Dimension], measure: Measure) -> dict[Group, Sketch]:
        """Durations of one kind by line; lines without any are left out.

        One kind at a time: both together take longer, because what SQLite groups it sorts.
        """
        width = len(columns_of(by))
        text = (
            f"SELECT {_listed(by, 's.step', 'sum(s.count)')} FROM rollups AS r"
            f" CROSS JOIN rollup_steps AS s ON s.rollup_id = r.id AND s.measure = ?{_join(by)}"
            f" WHERE {_SPAN}{self._only}{_grouping(width + 1)}"
        )
        found: dict[Group, list[tuple[int, int]]] = {}
        for row in self._connection.execute(text, [*_values(by), measure, *self._span(hours)]):
            found.setdefault(tuple(map(str, row[:width])), []).append((row[width], row[width + 1]))
        return {group: Sketch(counts) for group, counts in found.items()}

    def failures(self, hours: Hours, by: Sequence[Dimension] = ()) -> dict[Group, list[Failures]]:
        """What failed by line, the most frequent first; lines without any are left out."""
        width = len(columns_of(by))
        text = (
            f"SELECT {_listed(by, 'f.scope', 'f.outcome', 'f.status', 'sum(f.count)')} FROM rollups AS r"
            f" CROSS JOIN rollup_failures AS f ON f.rollup_id = r.id{_join(by)}"
            f" WHERE {_SPAN}{self._only}{_grouping(width + 3)}"
        )
        found: dict[Group, list[Failures]] = {}
        for row in self._connection.execute(text, [*_values(by), *self._span(hours)]):
            found.setdefault(tuple(map(str, row[:width])), []).append(Failures(*row[width:]))
        for group in found.values():
            group.sort(key=lambda one: (one.scope != "request", -one.count, one.outcome, one.status))
        return found

    def ratings(self, hours: Hours, by: Sequence[Dimension] = ()) -> dict[Group, Ratings]:
        """What was said of answers by line, of requests received in these hours; lines without any are left out."""
        width = len(columns_of(by))
        text = f"SELECT {_listed(by, *_RATINGS)}{_RATED}{_join(by)} WHERE {_SPAN}{self._only}{_grouping(width)}"
        rows = self._connection.execute(text, [*_values(by), *self._span(hours)]).fetchall()
        return {tuple(map(str, row[:width])): Ratings(*row[width:]) for row in rows if row[width] is not None}

    def _span(self, hours: Hours) -> list[str]:
        """What is bound to the conditions, in their order."""
        return [hours.begin, hours.end, *self._only_values]


@contextmanager
def reading_of(database: Database, only: Sequence[Only] = ()) -> Iterator[RollupReading]:
    """Opens a connection for some questions; while it is open they are all answered as of the first one.

    `only`: nothing outside of this is read.

    Raises:
        sqlite3.Error: the database cannot be read.
    """
    with closing(database.connect()) as connection:
        connection.execute("BEGIN")
        yield RollupReading(connection, only)
        connection.execute("COMMIT")


@contextmanager
def told_reading(database: Database, only: Sequence[Only] = ()) -> Iterator[RollupReading]:
    """`reading_of`, with errors for people.

    Raises:
        StoreUnavailable
    """
    try:
        with reading_of(database, only) as reading:
            yield reading
    except sqlite3.Error as broken:
        raise StoreUnavailable(f"The database {database.path} cannot be read now: {broken}.", "Try again.") from broken


def columns_of(by: Sequence[Dimension]) -> dict[str, str]:
    """The columns that lines are told apart by, in order, each once, with their SQL."""
    return {name: sql for one in by for name, sql in one.columns}


def _values(by: Sequence[Dimension]) -> list[str]:
    """What is bound to the columns, in the order of `columns_of`."""
    found = {name: one.values for one in by for name, _ in one.columns}
    return [value for values in found.values() for value in values]


def _listed(by: Sequence[Dimension], *others: str) -> str:
    return ", ".join((*columns_of(by).values(), *others))


def _join(by: Sequence[Dimension]) -> str:
    return _EACH if any(one.each_tag for one in by) else ""


def _grouping(width: int) -> str:
    return f" GROUP BY {', '.join(str(place + 1) for place in range(width))}" if width else ""
