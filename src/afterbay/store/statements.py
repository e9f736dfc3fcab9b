"""The data plane's SQL, as text, so that a running gateway does not import SQLAlchemy (see `schema.py`).

Values are always bound. The inserts are what SQLAlchemy Core compiles from `schema.py`, character for character; a test
says so. They ignore rows that are there already: writing is at-least-once (a retry, a journal read back after a crash),
and this makes the table exactly-once. The order of the parameters is the order of the columns, as in `rows.py`.
"""

from __future__ import annotations

INSERT_REQUESTS = (
    "INSERT INTO requests (id, received_at, operation, protocol, requested_model, route, rule, model, provider,"
    " upstream_model, key_id, key_name, stream, status, outcome, error, input_tokens, cached_input_tokens,"
    " cache_write_tokens, output_tokens, reasoning_tokens, estimated, cost_picousd, ttft_s, duration_s, stages_s,"
    " finish, request_bytes, response_bytes, tags, traceparent, config_hash, rejected, warnings, seed,"
    " circumstances, organisation, team, user_name, agent, task, compliance, decision) VALUES "
)
INSERT_ATTEMPTS = (
    "INSERT INTO attempts (request_id, number, target, why, started_s, headers_s, first_token_s, ended_s, outcome,"
    " status, error, input_tokens, cached_input_tokens, cache_write_tokens, output_tokens, reasoning_tokens, estimated,"
    " cost_picousd, key_place, code, asked_s, model) VALUES "
)
UNLESS_THERE = " ON CONFLICT DO NOTHING"


def insert(head: str, columns: int, rows: int) -> str:
    """An insert of several rows at once: `head`, that many groups of placeholders, and `UNLESS_THERE`."""
    group = "(" + ", ".join("?" * columns) + ")"
    return head + ", ".join([group] * rows) + UNLESS_THERE


SELECT_REQUEST = "SELECT * FROM requests WHERE id = ?"
IDS_FROM = "SELECT id FROM requests WHERE id >= ? ORDER BY id LIMIT ?"
IDS_BEFORE = "SELECT id FROM requests WHERE id < ? ORDER BY id DESC LIMIT ?"
IDS_ENDING = "SELECT id FROM requests WHERE substr(id, ?) = ? ORDER BY seq DESC LIMIT ?"
SELECT_ATTEMPTS = "SELECT * FROM attempts WHERE request_id = ? ORDER BY number"
DELETE_OLD = (
    "DELETE FROM requests WHERE seq IN (SELECT seq FROM requests WHERE received_at < ?"
    " AND seq <= (SELECT value FROM counters WHERE name = 'rollup') ORDER BY received_at LIMIT ?)"
)
"""Only what is summed already (`rollup_statements.py`)."""

KEEP_CONFIGURATION = (
    "INSERT INTO configurations (hash, seen_at, snapshot) VALUES (?, ?, ?)"
    " ON CONFLICT (hash) DO UPDATE SET seen_at = excluded.seen_at"
)
SELECT_CONFIGURATION = "SELECT snapshot FROM configurations WHERE hash = ?"
DELETE_OLD_CONFIGURATIONS = (
    "DELETE FROM configurations WHERE hash NOT IN (SELECT hash FROM configurations ORDER BY seen_at DESC LIMIT ?)"
)
SELECT_REVISION = "SELECT version_num FROM alembic_version"
SELECT_SECRET = "SELECT value FROM secrets WHERE name = ?"  # noqa: S105 - a statement, not a secret
INSERT_SECRET = "INSERT INTO secrets (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING"  # noqa: S105

UPSERT_KEY = (
    "INSERT INTO keys (id, name, digest, hint, created_at, revoked_at, owner, role, rights, preference, charged,"
    " old_digest, old_until, throwaway) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id) DO UPDATE SET"
    " name = excluded.name, digest = excluded.digest, hint = excluded.hint, revoked_at = excluded.revoked_at,"
    " role = excluded.role, rights = excluded.rights, preference = excluded.preference,"
    " old_digest = excluded.old_digest, old_until = excluded.old_until"
)
SELECT_KEYS = (
    "SELECT id, name, digest, hint, created_at, revoked_at, owner, role, rights, preference, charged, old_digest,"
    " old_until, throwaway FROM keys ORDER BY created_at, id"
)
UPSERT_TENANT = (
    "INSERT INTO tenants (id, kind, name, parent, rights, preference, created_at, ended_at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name, rights = excluded.rights,"
    " preference = excluded.preference, ended_at = excluded.ended_at"
)
SELECT_TENANTS = (
    "SELECT id, kind, name, parent, rights, preference, created_at, ended_at FROM tenants ORDER BY created_at, id"
)
INSERT_AUDIT = (
    "INSERT INTO audit (number, at, actor, action, subject, path, details, hash, salt, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
LAST_AUDIT = "SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1"
SELECT_AUDIT = (
    "SELECT number, at, actor, action, subject, path, details, hash, salt, digest FROM audit"
    " WHERE number < ? AND instr(path, ?) > 0 ORDER BY number DESC LIMIT ?"
)
NEXT_AUDIT = (
    "SELECT number, at, actor, action, subject, path, details, hash, salt, digest FROM audit"
    " WHERE number > ? ORDER BY number LIMIT ?"
)
KEYS_VERSION = "SELECT value FROM counters WHERE name = 'keys'"
BUMP_KEYS_VERSION = (
    "INSERT INTO counters (name, value) VALUES ('keys', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1"
)
SELECT_RESPONSE = (
    "SELECT id, key_id, created_at, provider, model, previous_id, input, answer FROM responses WHERE id = ?"
)
INSERT_RESPONSE = (
    "INSERT INTO responses (id, key_id, created_at, provider, model, previous_id, input, answer)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
DELETE_RESPONSE = "DELETE FROM responses WHERE id = ?"
DELETE_OLD_RESPONSES = (
    "DELETE FROM responses WHERE id IN (SELECT id FROM responses WHERE created_at < ? ORDER BY created_at LIMIT ?)"
)
SUM_RESPONSES = "SELECT COALESCE(SUM(LENGTH(input) + LENGTH(answer)), 0) FROM responses"
OLDEST_RESPONSES = "SELECT id, LENGTH(input) + LENGTH(answer) FROM responses WHERE id != ? ORDER BY created_at LIMIT ?"
OLDEST_RESPONSES_OF_KEY = (
    "SELECT id, LENGTH(input) + LENGTH(answer) FROM responses WHERE key_id IS ? AND id != ? ORDER BY created_at LIMIT ?"
)
SELECT_ORIGINAL = (
    "SELECT content, request_id, holder, state, status, headers, body FROM originals WHERE name = ? AND created_at >= ?"
)
INSERT_ORIGINAL = (
    "INSERT INTO originals (name, content, owner, user_name, request_id, created_at, holder, state)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
SETTLE_ORIGINAL = "UPDATE originals SET state = ?, status = ?, headers = ?, body = ? WHERE request_id = ?"
RELEASE_ORIGINAL = "DELETE FROM originals WHERE request_id = ?"
DELETE_ORIGINAL = "DELETE FROM originals WHERE name = ?"
DELETE_OLD_ORIGINALS = (
    "DELETE FROM originals WHERE name IN (SELECT name FROM originals WHERE created_at < ? ORDER BY created_at LIMIT ?)"
)
CROWDED_ORIGINALS = "SELECT owner, COUNT(*) - ?1 FROM originals GROUP BY owner HAVING COUNT(*) > ?1"
DELETE_OLDEST_ORIGINALS = (
    "DELETE FROM originals WHERE name IN"
    " (SELECT name FROM originals WHERE owner = ? AND state != 'running' ORDER BY created_at LIMIT ?)"
)
SUM_ORIGINALS = "SELECT COALESCE(SUM(LENGTH(body)), 0) FROM originals"
OLDEST_ORIGINALS = (
    "SELECT request_id, LENGTH(body) FROM originals WHERE body IS NOT NULL AND request_id != ?"
    " ORDER BY created_at LIMIT ?"
)
OLDEST_ORIGINALS_OF_OWNER = (
    "SELECT request_id, LENGTH(body) FROM originals WHERE owner = ? AND body IS NOT NULL AND request_id != ?"
    " ORDER BY created_at LIMIT ?"
)
THOSE_THERE = "SELECT id FROM requests WHERE id IN ({})"
"""Takes as many placeholders as there are ids."""
CHARGE = "INSERT INTO spending (account, day, picousd, requests, tokens) VALUES "
ADD_TO_SPENDING = (
    " ON CONFLICT (account, day) DO UPDATE SET picousd = picousd + excluded.picousd,"
    " requests = requests + excluded.requests, tokens = tokens + excluded.tokens"
)
"""Follows the rows of `CHARGE`."""
LOWER_LEASES = (
    "WITH used (account, unit, period, begin_day, holder, amount) AS (VALUES {})"
    " UPDATE leases SET amount = amount - (SELECT used.amount FROM used WHERE used.account = leases.account"
    " AND used.unit = leases.unit AND used.period = leases.period AND used.begin_day = leases.begin_day"
    " AND used.holder = leases.holder)"
    " WHERE (account, unit, period, begin_day, holder) IN"
    " (SELECT account, unit, period, begin_day, holder FROM used)"
)
"""Takes groups of placeholders, a row each; no two of the same lease."""
SPENT = "SELECT COALESCE(SUM({}), 0) FROM spending WHERE account = ? AND day BETWEEN ? AND ?"
"""Takes the column of the unit."""
SPENDING = "SELECT account, day, picousd, requests, tokens FROM spending ORDER BY account, day"
SELECT_LEASES = (
    "SELECT holder, amount, wanted, called, answered, until_s FROM leases"
    " WHERE account = ? AND unit = ? AND period = ? AND begin_day = ? AND (until_s IS NULL OR until_s > ?)"
)
WRITE_LEASE = (
    "INSERT INTO leases (account, unit, period, begin_day, holder, amount, wanted, called, answered)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (account, unit, period, begin_day, holder) DO UPDATE SET"
    " amount = excluded.amount, wanted = excluded.wanted, called = excluded.called, answered = excluded.answered,"
    " until_s = NULL"
)
SELECT_CALLS = (
    "SELECT theirs.account, theirs.unit, theirs.period, theirs.begin_day, SUM(theirs.wanted)"
    " FROM leases AS theirs INDEXED BY leases_wanted"
    " JOIN leases AS mine ON mine.account = theirs.account AND mine.unit = theirs.unit"
    " AND mine.period = theirs.period AND mine.begin_day = theirs.begin_day AND mine.holder = ?1"
    " WHERE theirs.wanted > 0 AND theirs.holder != ?1 AND theirs.called > mine.answered AND mine.amount > 0"
    " GROUP BY theirs.account, theirs.unit, theirs.period, theirs.begin_day"
)
SELECT_HOLDERS = "SELECT DISTINCT holder FROM leases WHERE until_s IS NULL ORDER BY holder"
LEAVE_MINUTES = "UPDATE leases SET until_s = ?, wanted = 0 WHERE holder = ? AND period = 'minute' AND until_s IS NULL"
LEAVE_RETURNED = "DELETE FROM leases WHERE holder = ? AND amount <= 0"
RETIRE_HOLDER = "DELETE FROM leases WHERE holder = ? AND period != 'minute'"
DELETE_OLD_LEASES = (
    "DELETE FROM leases WHERE (period = 'day' AND begin_day < ?) OR (period = 'month' AND begin_day < ?)"
    " OR (period = 'total' AND amount = 0 AND wanted = 0) OR until_s <= ?"
)
FOLD_OLD_SPENDING = (
    "INSERT INTO spending (account, day, picousd, requests, tokens)"
    " SELECT account, ?, SUM(picousd), SUM(requests), SUM(tokens) FROM spending"
    " WHERE day > ? AND day < ? AND substr(account, 1, instr(account, ':') - 1)"
    " IN ('organisation', 'team', 'user', 'key') GROUP BY account ON CONFLICT (account, day) DO UPDATE SET"
    " picousd = picousd + excluded.picousd, requests = requests + excluded.requests, tokens = tokens + excluded.tokens"
)
DELETE_OLD_SPENDING = "DELETE FROM spending WHERE day > ? AND day < ?"
PUT_LABEL = (
    "INSERT INTO labels (request_id, judge, route, at, alias, score, kind, comment) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (request_id, judge) DO UPDATE SET at = excluded.at, score = excluded.score, kind = excluded.kind,"
    " comment = excluded.comment"
)
SELECT_LABELS = (
    "SELECT request_id, judge, route, at, alias, score, kind, comment FROM labels WHERE route = ? AND at >= ?"
    " ORDER BY at DESC, request_id DESC, judge LIMIT ?"
)
PUT_PAIR = (
    "INSERT INTO pairs (request_id, route, at, cheap, strong, gain, predictor, cheap_quality, strong_quality, judged,"
    " propensity, cheap_picousd, strong_picousd, cost_picousd, digest)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
SELECT_PAIRS = (
    "SELECT request_id, route, at, cheap, strong, gain, predictor, cheap_quality, strong_quality, judged, propensity,"
    " cheap_picousd, strong_picousd, cost_picousd, digest FROM pairs WHERE route = ? AND at >= ?"
    " ORDER BY at DESC, request_id DESC LIMIT ?"
)
PUT_IMPRINT = "INSERT INTO imprints (request_id, route, at, imprint) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
SELECT_IMPRINTS = (
    "SELECT request_id, imprint FROM imprints WHERE route = ? AND at >= ? ORDER BY at DESC, request_id DESC LIMIT ?"
)
DELETE_OLD_LABELS = (
    "DELETE FROM labels WHERE (request_id, judge) IN"
    " (SELECT request_id, judge FROM labels WHERE at < ? ORDER BY at LIMIT ?)"
)
DELETE_OLD_PAIRS = (
    "DELETE FROM pairs WHERE request_id IN (SELECT request_id FROM pairs WHERE at < ? ORDER BY at LIMIT ?)"
)
DELETE_OLD_IMPRINTS = (
    "DELETE FROM imprints WHERE request_id IN (SELECT request_id FROM imprints WHERE at < ? ORDER BY at LIMIT ?)"
)
COUNT_IMPRINTS = "SELECT COUNT(*) FROM imprints"
DELETE_OLDEST_IMPRINTS = (
    "DELETE FROM imprints WHERE request_id IN (SELECT request_id FROM imprints ORDER BY at LIMIT ?)"
)
PUT_ROUTER = (
    "INSERT INTO routers (route, kind, made_at, blob, labels, reason) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
SELECT_ROUTER = (
    "SELECT route, kind, made_at, blob, labels, reason FROM routers WHERE route = ? AND kind = ?"
    " ORDER BY made_at DESC LIMIT 1"
)
DELETE_OLD_ROUTERS = (
    "DELETE FROM routers WHERE route = ?1 AND kind = ?2 AND made_at NOT IN"
    " (SELECT made_at FROM routers WHERE route = ?1 AND kind = ?2 ORDER BY made_at DESC LIMIT ?3)"
)
EXPLORED = (
    "SELECT COALESCE(SUM(json_extract(decision, '$.extra_picousd')), 0) FROM requests"
    " WHERE received_at >= ? AND route = ? AND decision IS NOT NULL"
)
"""What exploring cost more than the picks would have, since a moment."""
DATA_VERSION = "PRAGMA data_version"
