"""The SQL of roll-ups, as text for the same reason as `statements.py`: a gateway's log is summed while it serves.

Values are bound; what is put together here are names of columns from this file.
"""

# ruff: noqa: S608

from __future__ import annotations

from typing import Final

DIMENSIONS: Final = (
    *("hour", "operation", "organisation", "team", "user_name", "key_id", "key_name", "agent", "task"),
    *("route", "model", "provider", "upstream_model", "tags"),
)
"""What the requests of one row of `rollups` have in common. Empty: there was none."""

REQUEST_SUMS: Final = ("requests", "failed", "retried", "unpriced_requests")
TOKENS: Final = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
ATTEMPT_SUMS: Final = (
    "attempts",
    "failed_attempts",
    "unpriced_attempts",
    "estimated_attempts",
    "uncounted_attempts",
    *TOKENS,
    "estimated_tokens",
    "cost_picousd",
    "estimated_picousd",
    "answers",
    *(f"answer_{name}" for name in TOKENS),
    "answer_picousd",
)

FOLDED_NAME: Final = "*"
FOLDED: Final = '{"*":"*"}'

MARK = "SELECT value FROM counters WHERE name = 'rollup'"
SET_MARK = (
    "INSERT INTO counters (name, value) VALUES ('rollup', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
LOWER_MARK = (
    "UPDATE counters SET value = min(value, (SELECT coalesce(max(seq), 0) FROM requests)) WHERE name = 'rollup'"
)
"""After rows were removed: SQLite gives the number of a removed last row to the next one."""
LAST = "SELECT coalesce(max(seq), 0) FROM requests"
END = "SELECT max(seq) FROM (SELECT seq FROM requests WHERE seq > ? ORDER BY seq LIMIT ?)"
DELETE_OLD = "DELETE FROM rollups WHERE id IN (SELECT id FROM rollups WHERE hour < ? ORDER BY hour LIMIT ?)"

IS_PREPARED = "SELECT 1 FROM sqlite_temp_master WHERE name = 'rolling'"
MAKE_BOUNDS = "CREATE TEMP TABLE IF NOT EXISTS bounds (step INTEGER PRIMARY KEY, upto_s REAL NOT NULL UNIQUE)"
INSERT_BOUNDS = "INSERT OR IGNORE INTO temp.bounds (step, upto_s) VALUES "
MAKE_ROLLING = (
    f"CREATE TEMP TABLE rolling (request_id TEXT, {', '.join(f'{name} TEXT' for name in DIMENSIONS)}, outcome TEXT,"
    " status INTEGER, ttft_s REAL, duration_s REAL, unpriced INTEGER, attempts INTEGER, answer INTEGER,"
    " failed_attempts INTEGER, rollup_id INTEGER)"
)
CLEAR = "DELETE FROM temp.rolling"

_WENT_WELL = "coalesce(a.outcome, 'open') IN ('ok', 'client_closed', 'cancelled')"
STAGE = f"""\
INSERT INTO temp.rolling
SELECT id, substr(received_at, 1, 13), operation, coalesce(organisation, ''), coalesce(team, ''),
  coalesce(user_name, ''), coalesce(key_id, ''), coalesce(key_name, ''), coalesce(agent, ''), coalesce(task, ''),
  route, model, provider, upstream_model,
  CASE WHEN tags IS NULL OR NOT json_valid(tags) THEN ''
    ELSE coalesce(nullif(json_remove(tags, '$.messages_up', '$.messages_down'), '{{}}'), '') END,
  outcome, status, ttft_s, duration_s, cost_picousd IS NULL,
  (SELECT count(*) FROM attempts WHERE request_id = id),
  (SELECT number FROM attempts WHERE request_id = id ORDER BY why IN ('repair', 'sample'),
    outcome IS NOT 'ok', number DESC LIMIT 1),
  (SELECT count(*) FROM attempts AS a WHERE a.request_id = id AND NOT {_WENT_WELL}), NULL
FROM requests WHERE seq > ? AND seq <= ?"""
"""The rows at work, with their answer among the attempts. Tags that the gateway itself gives are another on each
request."""

_SAME = " AND ".join(f"r.{name} = w.{name}" for name in DIMENSIONS)

FOLD = f"""\
UPDATE temp.rolling AS w SET tags = CASE tags WHEN '' THEN '' ELSE '{FOLDED}' END,
  agent = CASE agent WHEN '' THEN '' ELSE '{FOLDED_NAME}' END, task = CASE task WHEN '' THEN '' ELSE '{FOLDED_NAME}' END
WHERE tags || agent || task != ''
  AND hour IN (SELECT hour FROM rollups WHERE hour IN (SELECT DISTINCT hour FROM temp.rolling)
    GROUP BY hour HAVING count(*) >= ?)
  AND NOT EXISTS (SELECT 1 FROM rollups AS r WHERE {_SAME})"""


def _upsert(sums: tuple[str, ...], source: str) -> str:
    """Adds sums to the rows of `rollups`, making those that are new; the others' columns start at 0."""
    rest = [name for name in (*REQUEST_SUMS, *ATTEMPT_SUMS) if name not in sums]
    columns = ", ".join((*DIMENSIONS, *sums, *rest))
    added = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    return f"INSERT INTO rollups ({columns}) {source} ON CONFLICT ({', '.join(DIMENSIONS)}) DO UPDATE SET {added}"


_FAILED = "outcome NOT IN ('ok', 'client_closed')"
_BY_ALL = f"GROUP BY {', '.join(str(place) for place in range(1, len(DIMENSIONS) + 1))}"

_REQUESTS = _upsert(
    REQUEST_SUMS,
    f"SELECT {', '.join(DIMENSIONS)}, count(*), sum({_FAILED}), sum(attempts > 1), sum(unpriced AND attempts > 0)"
    f"{', 0' * len(ATTEMPT_SUMS)} FROM temp.rolling WHERE true {_BY_ALL}",
)

_LINK = f"UPDATE temp.rolling AS w SET rollup_id = (SELECT r.id FROM rollups AS r WHERE {_SAME})"
"""Notes the row of `rollups` that each request is in: looked for once, by all its names, and then a number."""

_IS_ANSWER = "a.number = w.answer"
_ASKED = (
    f"CASE WHEN {_IS_ANSWER} AND w.provider != '' THEN w.provider"
    " WHEN instr(a.target, '/') THEN substr(a.target, 1, instr(a.target, '/') - 1) ELSE a.target END"
)
_ASKED_MODEL = (
    f"CASE WHEN {_IS_ANSWER} AND w.provider != '' THEN w.upstream_model"
    " WHEN instr(a.target, '/') THEN substr(a.target, instr(a.target, '/') + 1) ELSE '' END"
)
"""A raw request's answer is of a model that only the answer named: the request's row has it, its attempt has not."""
_ASKED_ALIAS = f"CASE WHEN {_IS_ANSWER} THEN w.model ELSE coalesce(nullif(a.model, ''), w.model) END"
"""Older releases did not keep what an attempt was asked as: of these it is what answered."""
_OF_ATTEMPT: Final = {
    "model": f"{_ASKED_ALIAS} AS model",
    "provider": f"{_ASKED} AS provider",
    "upstream_model": f"{_ASKED_MODEL} AS upstream_model",
}
_ATTEMPT_DIMENSIONS = ", ".join(_OF_ATTEMPT.get(name, f"w.{name}") for name in DIMENSIONS)
_PLACES_ASKED = ", ".join(str(DIMENSIONS.index(name) + 1) for name in _OF_ATTEMPT)
"""All else that attempts have in common is their requests'."""
_ALL_TOKENS = " + ".join(f"coalesce(a.{name}, 0)" for name in TOKENS)
_PRICED_ANSWER = f"({_IS_ANSWER} AND a.cost_picousd IS NOT NULL AND a.input_tokens IS NOT NULL)"


def _sum(value: str, where: str = "") -> str:
    return f"coalesce(sum(CASE WHEN {where} THEN {value} END), 0)" if where else f"coalesce(sum({value}), 0)"


_ATTEMPTS = _upsert(
    ATTEMPT_SUMS,
    "SELECT "
    + ", ".join(
        (
            _ATTEMPT_DIMENSIONS,
            "count(*)",
            f"sum(NOT {_WENT_WELL})",
            "sum(a.cost_picousd IS NULL)",
            _sum("a.estimated"),
            "sum(a.outcome IS 'ok' AND a.input_tokens IS NULL)",
            *(_sum(f"a.{name}") for name in TOKENS),
            _sum(_ALL_TOKENS, "a.estimated"),
            _sum("a.cost_picousd"),
            _sum("a.cost_picousd", "a.estimated"),
            f"sum({_PRICED_ANSWER})",
            *(_sum(f"a.{name}", _PRICED_ANSWER) for name in TOKENS),
            _sum("a.cost_picousd", _PRICED_ANSWER),
            *("0" for _ in REQUEST_SUMS),
        )
    )
    + " FROM temp.rolling AS w JOIN attempts AS a ON a.request_id = w.request_id WHERE true "
    + f"GROUP BY w.rollup_id, {_PLACES_ASKED}",
)


_STEPS_HEAD = "INSERT INTO rollup_steps (rollup_id, measure, step, count) "
_STEPS_TAIL = " ON CONFLICT (rollup_id, measure, step) DO UPDATE SET count = count + excluded.count"


def _steps(measure: str, only: str = "true") -> str:
    """Durations of one kind by the row of `rollups` and the step; longer than the last step is in the last."""
    step = (
        f"coalesce((SELECT step FROM temp.bounds WHERE upto_s >= w.{measure} ORDER BY upto_s LIMIT 1),"
        " (SELECT max(step) FROM temp.bounds))"
    )
    return (
        f"{_STEPS_HEAD}SELECT w.rollup_id, '{measure}', {step}, count(*) FROM temp.rolling AS w"
        f" WHERE w.{measure} IS NOT NULL AND {only} GROUP BY 1, 3{_STEPS_TAIL}"
    )


_FAILURES_HEAD = "INSERT INTO rollup_failures (rollup_id, scope, outcome, status, count) "
_FAILURES_TAIL = " ON CONFLICT (rollup_id, scope, outcome, status) DO UPDATE SET count = count + excluded.count"
_FAILED_REQUESTS = (
    _FAILURES_HEAD
    + "SELECT w.rollup_id, 'request', w.outcome, w.status, count(*) FROM temp.rolling AS w"
    + f" WHERE w.{_FAILED} GROUP BY 1, 3, 4"
    + _FAILURES_TAIL
)
_FAILED_ATTEMPTS = (
    _FAILURES_HEAD
    + "SELECT r.id, 'attempt', coalesce(w.attempt_outcome, 'open'), coalesce(w.attempt_status, 0), count(*) FROM ("
    + f"SELECT {_ATTEMPT_DIMENSIONS}, a.outcome AS attempt_outcome, a.status AS attempt_status"
    + " FROM temp.rolling AS w JOIN attempts AS a ON a.request_id = w.request_id"
    + f" WHERE w.failed_attempts > 0 AND NOT {_WENT_WELL}) AS w"
    + f" JOIN rollups AS r ON {_SAME} GROUP BY 1, 3, 4"
    + _FAILURES_TAIL
)

SUMS = (
    _REQUESTS,
    _LINK,
    _ATTEMPTS,
    _steps("ttft_s"),
    _steps("duration_s", "w.outcome = 'ok'"),
    _FAILED_REQUESTS,
    _FAILED_ATTEMPTS,
)
"""In this order: what follows the first and the third needs the rows of `rollups` that they make. How long it took is
asked of whole answers only: a refusal takes a millisecond, and clients leave when they like."""


NOBODY: Final = "erased"
"""What stands where a name stood."""
_FORGOTTEN: Final = {
    "user_name": f"CASE r.user_name WHEN '' THEN '' ELSE '{NOBODY}' END",
    "key_id": "''",
    "key_name": f"CASE r.key_id WHEN '' THEN r.key_name ELSE '{NOBODY}' END",
    "agent": "''",
    "task": "''",
    "tags": "''",
}
_FORGOTTEN_DIMENSIONS = ", ".join(_FORGOTTEN.get(name, f"r.{name}") for name in DIMENSIONS)
_OF_FORGOTTEN = "FROM temp.forgotten AS f JOIN rollups AS r ON r.id = f.id"
_BECAME = " AND ".join(f"n.{name} = {_FORGOTTEN.get(name, f'r.{name}')}" for name in DIMENSIONS)

MAKE_FORGOTTEN = "CREATE TEMP TABLE IF NOT EXISTS forgotten (id INTEGER PRIMARY KEY)"
FORGET_USER = (
    "INSERT INTO temp.forgotten SELECT id FROM rollups"
    f" WHERE user_name = ?1 AND user_name != '{NOBODY}' AND (?2 IS NULL OR organisation = ?2) LIMIT ?3"
)
FORGET_KEY = "INSERT INTO temp.forgotten SELECT id FROM rollups WHERE key_id = ?1 AND key_id != '' LIMIT ?3"
FORGET = (
    _upsert(
        (*REQUEST_SUMS, *ATTEMPT_SUMS),
        f"SELECT {_FORGOTTEN_DIMENSIONS}, {', '.join(_sum(f'r.{name}') for name in (*REQUEST_SUMS, *ATTEMPT_SUMS))}"
        f" {_OF_FORGOTTEN} WHERE true {_BY_ALL}",
    ),
    _STEPS_HEAD + "SELECT n.id, s.measure, s.step, sum(s.count)"
    f" {_OF_FORGOTTEN} JOIN rollup_steps AS s ON s.rollup_id = r.id JOIN rollups AS n ON {_BECAME} WHERE true"
    " GROUP BY 1, 2, 3" + _STEPS_TAIL,
    _FAILURES_HEAD + "SELECT n.id, s.scope, s.outcome, s.status, sum(s.count)"
    f" {_OF_FORGOTTEN} JOIN rollup_failures AS s ON s.rollup_id = r.id JOIN rollups AS n ON {_BECAME} WHERE true"
    " GROUP BY 1, 2, 3, 4" + _FAILURES_TAIL,
    "DELETE FROM rollups WHERE id IN (SELECT id FROM temp.forgotten)",
    "DELETE FROM temp.forgotten",
)
"""Adds what is somebody's to what is nobody's, with the same hour, organisation, team, model; then removes it."""
