"""The tables, in SQLAlchemy Core: the one description that migrations, reports and `schema.sql` are checked against.

Conventions. Times of day are UTC RFC 3339 text of fixed width (`2026-01-31T23:59:59.123456Z`), so that text order is
time order and any SQLite tool can read them. Durations are seconds, money is integer picodollars (1e-12 USD; NULL: the
price is unknown, which is not 0), tokens lie in the five disjoint buckets of `core.usage`. JSON columns hold NULL for
"empty". Nothing but `responses` and `originals`, where clients ask for it, ever holds a prompt or an answer, and
nothing a secret in the clear. `labels` has what people said of an answer, `imprints` which buckets the n-grams of a
prompt fall into, where a route learns from its traffic.

`requests.seq` is the order of writing, not of arrival (a record is written after its last byte): it is the cursor of
`tail`. `attempts` is clustered by request, so the attempts of one request lie in one page and go with it.

The data plane does not import this module: SQLAlchemy costs 100 ms and 13 MiB beside what a gateway loads anyway, and
one that inserts rows and finds keys needs none of it. It uses the same statements as text, in `statements.py`; a test
compiles them from here and compares.
"""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData()

_Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits everywhere: an SQLite INTEGER has them anyway, and only by that name can it be the row id."""


def _token_columns() -> list[sa.Column[int]]:
    """The five buckets and whether the gateway counted them itself; all NULL: no usage is known."""
    names = ("input_tokens", "cached_input_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    return [sa.Column(name, _Big) for name in names] + [sa.Column("estimated", sa.SmallInteger)]


requests = sa.Table(
    "requests",
    metadata,
    sa.Column("seq", _Big, primary_key=True, autoincrement=True),
    sa.Column("id", sa.Text, nullable=False, unique=True),
    sa.Column("received_at", sa.Text, nullable=False, index=True),
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
    sa.Column("seed", _Big),
    sa.Column("circumstances", sa.Text),
    sa.Column("organisation", sa.Text),
    sa.Column("team", sa.Text),
    sa.Column("user_name", sa.Text),
    sa.Column("agent", sa.Text),
    sa.Column("task", sa.Text),
    sa.Column("compliance", sa.Text),
    sa.Column("decision", sa.Text),
)
"""One row a request. Key and route names are copied, not referenced: the log must outlive what it names."""

attempts = sa.Table(
    "attempts",
    metadata,
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
    sa.Column("key_place", sa.SmallInteger),
    sa.Column("code", sa.Text),
    sa.Column("asked_s", sa.REAL),
    sa.Column("model", sa.Text),
    sqlite_with_rowid=False,
)
"""One row a try of one target. Times are seconds since the request arrived."""

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("revoked_at", sa.Text),
    sa.Column("owner", sa.Text, nullable=False, server_default=""),
    sa.Column("role", sa.Text),
    sa.Column("rights", sa.Text),
    sa.Column("preference", sa.Text),
    sa.Column("charged", sa.Text),
    sa.Column("old_digest", sa.LargeBinary),
    sa.Column("old_until", sa.Text),
    sa.Column("throwaway", sa.SmallInteger, nullable=False, server_default="0"),
)
"""Virtual keys. Revoked ones stay, so that reports keep their names and `any_exist` remembers. `throwaway`: made for
one run of a program; it does not close an open gateway.

`owner` is a tenant's id, empty for none; `old_digest` is of the secret before the last rotation, good until
`old_until`."""

sa.Index(
    "keys_live_name",
    keys.c.owner,
    keys.c.name,
    unique=True,
    sqlite_where=keys.c.revoked_at.is_(None),
    postgresql_where=keys.c.revoked_at.is_(None),
)

tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("parent", sa.Text, nullable=False),
    sa.Column("rights", sa.Text),
    sa.Column("preference", sa.Text),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("ended_at", sa.Text),
)
"""Organisations, teams and users. `parent`: the id of the one that each stands in, empty for none. Ended ones stay."""

sa.Index(
    "tenants_live_name",
    tenants.c.parent,
    tenants.c.kind,
    tenants.c.name,
    unique=True,
    sqlite_where=tenants.c.ended_at.is_(None),
    postgresql_where=tenants.c.ended_at.is_(None),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", _Big, primary_key=True, autoincrement=False),
    sa.Column("at", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("salt", sa.Text),
    sa.Column("digest", sa.Text),
)
"""Changes of keys and tenants, chained by their hashes (`audit.py`). `path`: ids of tenants, each between slashes.
`digest`: of `salt` and `details`, both of which are taken out when a person is erased."""

secrets = sa.Table(
    "secrets",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
"""The pepper of the key digests (see `database.pepper` for why it lives here)."""

responses = sa.Table(
    "responses",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("key_id", sa.Text),
    sa.Column("created_at", sa.Text, nullable=False, index=True),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("previous_id", sa.Text),
    sa.Column("input", sa.LargeBinary, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
)
"""Responses that clients asked to keep: `input` and `answer` are zlib-compressed JSON. Where a provider keeps one
itself, `provider` says which, and both are empty."""

originals = sa.Table(
    "originals",
    metadata,
    sa.Column("name", sa.LargeBinary, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("user_name", sa.Text),
    sa.Column("request_id", sa.Text, nullable=False, unique=True),
    sa.Column("created_at", sa.Text, nullable=False, index=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("status", sa.SmallInteger),
    sa.Column("headers", sa.Text),
    sa.Column("body", sa.LargeBinary),
)
"""Requests with idempotency keys: `name` and `content` are keyed digests of the key (with its owner, a virtual key's id
or empty) and of the request. `holder` is the process that serves it while `state` is `running`. What it answered
(`answered`: status, headers as JSON, a zlib-compressed body) is the only thing kept of it; `gone`: not even that."""

labels = sa.Table(
    "labels",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("judge", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False, index=True),
    sa.Column("alias", sa.Text, nullable=False),
    sa.Column("score", sa.REAL, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("comment", sa.Text),
    sqlite_with_rowid=False,
)
"""What is known of how good an answer was, once a request and kind of judge (`check`, `judge`, `feedback`,
`regenerate`): the last word counts. `score` is from 0 to 1, `kind` how it was said, `at` when; `comment`: a person's
own words."""

pairs = sa.Table(
    "pairs",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False, index=True),
    sa.Column("cheap", sa.Text, nullable=False),
    sa.Column("strong", sa.Text, nullable=False),
    sa.Column("gain", sa.REAL, nullable=False),
    sa.Column("predictor", sa.Text, nullable=False),
    sa.Column("cheap_quality", sa.REAL, nullable=False),
    sa.Column("strong_quality", sa.REAL, nullable=False),
    sa.Column("judged", sa.Text, nullable=False),
    sa.Column("propensity", sa.REAL, nullable=False),
    sa.Column("cheap_picousd", _Big),
    sa.Column("strong_picousd", _Big),
    sa.Column("cost_picousd", _Big),
    sa.Column("digest", sa.Text, nullable=False),
    sqlite_with_rowid=False,
)
"""Requests that two models answered, and how good either answer was: what certificates are made of. `gain`: what the
`predictor` of that moment expected of the strong one, `propensity`: how likely such a request was drawn, `cost_picousd`
what the second answer and the judgement cost, `digest` which models the names stood for."""

imprints = sa.Table(
    "imprints",
    metadata,
    sa.Column("request_id", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("at", sa.Text, nullable=False, index=True),
    sa.Column("imprint", sa.LargeBinary, nullable=False),
)
"""Which buckets the n-grams of a prompt fall into (`policy.learned.imprint`), compressed: only of requests that were
drawn for a shadow, since without it nothing can be learned from them."""

routers = sa.Table(
    "routers",
    metadata,
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("made_at", sa.Text, primary_key=True),
    sa.Column("blob", sa.LargeBinary, nullable=False),
    sa.Column("labels", _Big, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)
"""What was learned of a route: `predictor` (weights) and `certificate` (JSON), the newest counts. The same row comes
of the same labels, whichever process makes it."""

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", _Big, nullable=False),
)
"""Small numbers that processes watch: `keys` goes up with every change of a key."""

spending = sa.Table(
    "spending",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("picousd", _Big, nullable=False),
    sa.Column("requests", _Big, nullable=False),
    sa.Column("tokens", _Big, nullable=False),
    sqlite_with_rowid=False,
)
"""What was charged to each account of the ledger on each day (UTC): written with the rows of its requests."""

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("account", sa.Text, primary_key=True),
    sa.Column("unit", sa.Text, primary_key=True),
    sa.Column("period", sa.Text, primary_key=True),
    sa.Column("begin_day", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, primary_key=True),
    sa.Column("amount", _Big, nullable=False),
    sa.Column("wanted", _Big, nullable=False),
    sa.Column("called", _Big, nullable=False),
    sa.Column("answered", _Big, nullable=False),
    sa.Column("until_s", sa.REAL),
    sqlite_with_rowid=False,
)
"""What a holder (one process) may use of an allowance without asking: see `policy.lease`. `begin_day` is empty for a
minute. A holder that lacks `wanted` calls the others with a number, `called`; they note it in `answered` when they have
returned what they can. `until_s` (UTC seconds): the holder is gone, and its minute counts until then."""

sa.Index(
    "leases_wanted",
    leases.c.wanted,
    sqlite_where=leases.c.wanted > 0,
    postgresql_where=leases.c.wanted > 0,
)

configurations = sa.Table(
    "configurations",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("seen_at", sa.Text, nullable=False),
    sa.Column("snapshot", sa.LargeBinary, nullable=False),
)
"""What was in force while requests were served, by `requests.config_hash`: zlib-compressed JSON without any secret."""

_DIMENSIONS = (
    *("hour", "operation", "organisation", "team", "user_name", "key_id", "key_name", "agent", "task"),
    *("route", "model", "provider", "upstream_model", "tags"),
)


def _sums(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, _Big, nullable=False) for name in names]


def _token_sums(prefix: str = "") -> list[sa.Column[int]]:
    return _sums(*(f"{prefix}{column.name}" for column in _token_columns()[:-1]))


rollups = sa.Table(
    "rollups",
    metadata,
    sa.Column("id", _Big, primary_key=True, autoincrement=True),
    *(sa.Column(name, sa.Text, nullable=False) for name in _DIMENSIONS),
    *_sums("requests", "failed", "retried", "unpriced_requests"),
    *_sums("attempts", "failed_attempts", "unpriced_attempts", "estimated_attempts", "uncounted_attempts"),
    *_token_sums(),
    *_sums("estimated_tokens", "cost_picousd", "estimated_picousd", "answers"),
    *_token_sums("answer_"),
    *_sums("answer_picousd"),
    sa.UniqueConstraint(*_DIMENSIONS),
)
"""The log summed by the hour (`2026-01-31T23`): see `rollup.py`. Empty text: there was none. `answer_…`: the attempts
that answered, where their tokens and cost are known; `uncounted_attempts`: whole answers whose tokens nobody told."""

rollup_steps = sa.Table(
    "rollup_steps",
    metadata,
    sa.Column("rollup_id", _Big, sa.ForeignKey("rollups.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("measure", sa.Text, primary_key=True),
    sa.Column("step", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("count", _Big, nullable=False),
    sqlite_with_rowid=False,
)
"""Durations of requests (`ttft_s`; of whole answers `duration_s`) by the steps of `policy.sketch`."""

rollup_failures = sa.Table(
    "rollup_failures",
    metadata,
    sa.Column("rollup_id", _Big, sa.ForeignKey("rollups.id", ondelete="CASCADE"), primary_key=True),
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("outcome", sa.Text, primary_key=True),
    sa.Column("status", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("count", _Big, nullable=False),
    sqlite_with_rowid=False,
)
"""How requests (`request`: as the client was told) and attempts (`attempt`) failed. Status 0: there was none."""
