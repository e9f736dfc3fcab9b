-- What the newest migration leaves behind, for a new database: opening one needs no SQLAlchemy and no Alembic.
-- Compiled from schema.py; tests compare it with schema.py and with a database that went through every migration.

CREATE TABLE audit (
    number INTEGER NOT NULL,
    at TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    path TEXT NOT NULL,
    details TEXT NOT NULL,
    hash TEXT NOT NULL,
    salt TEXT,
    digest TEXT,
    PRIMARY KEY (number)
);

CREATE TABLE configurations (
    hash TEXT NOT NULL,
    seen_at TEXT NOT NULL,
    snapshot BLOB NOT NULL,
    PRIMARY KEY (hash)
);

CREATE TABLE counters (
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE imprints (
    request_id TEXT NOT NULL,
    route TEXT NOT NULL,
    at TEXT NOT NULL,
    imprint BLOB NOT NULL,
    PRIMARY KEY (request_id)
);

CREATE INDEX ix_imprints_at ON imprints (at);

CREATE TABLE keys (
    id TEXT NOT NULL,
    name TEXT NOT NULL,
    digest BLOB NOT NULL,
    hint TEXT NOT NULL,
    created_at TEXT NOT NULL,
    revoked_at TEXT,
    owner TEXT DEFAULT '' NOT NULL,
    role TEXT,
    rights TEXT,
    preference TEXT,
    charged TEXT,
    old_digest BLOB,
    old_until TEXT,
    throwaway SMALLINT DEFAULT '0' NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (digest)
);

CREATE UNIQUE INDEX keys_live_name ON keys (owner, name) WHERE revoked_at IS NULL;

CREATE TABLE labels (
    request_id TEXT NOT NULL,
    judge TEXT NOT NULL,
    route TEXT NOT NULL,
    at TEXT NOT NULL,
    alias TEXT NOT NULL,
    score REAL NOT NULL,
    kind TEXT NOT NULL,
    comment TEXT,
    PRIMARY KEY (request_id, judge)
) WITHOUT ROWID;

CREATE INDEX ix_labels_at ON labels (at);

CREATE TABLE leases (
    account TEXT NOT NULL,
    unit TEXT NOT NULL,
    period TEXT NOT NULL,
    begin_day TEXT NOT NULL,
    holder TEXT NOT NULL,
    amount INTEGER NOT NULL,
    wanted INTEGER NOT NULL,
    called INTEGER NOT NULL,
    answered INTEGER NOT NULL,
    until_s REAL,
    PRIMARY KEY (account, unit, period, begin_day, holder)
) WITHOUT ROWID;

CREATE INDEX leases_wanted ON leases (wanted) WHERE wanted > 0;

CREATE TABLE originals (
    name BLOB NOT NULL,
    content BLOB NOT NULL,
    owner TEXT NOT NULL,
    user_name TEXT,
    request_id TEXT NOT NULL,
    created_at TEXT NOT NULL,
    holder TEXT NOT NULL,
    state TEXT NOT NULL,
    status SMALLINT,
    headers TEXT,
    body BLOB,
    PRIMARY KEY (name),
    UNIQUE (request_id)
);

CREATE INDEX ix_originals_created_at ON originals (created_at);

CREATE TABLE pairs (
    request_id TEXT NOT NULL,
    route TEXT NOT NULL,
    at TEXT NOT NULL,
    cheap TEXT NOT NULL,
    strong TEXT NOT NULL,
    gain REAL NOT NULL,
    predictor TEXT NOT NULL,
    cheap_quality REAL NOT NULL,
    strong_quality REAL NOT NULL,
    judged TEXT NOT NULL,
    propensity REAL NOT NULL,
    cheap_picousd INTEGER,
    strong_picousd INTEGER,
    cost_picousd INTEGER,
    digest TEXT NOT NULL,
    PRIMARY KEY (request_id)
) WITHOUT ROWID;

CREATE INDEX ix_pairs_at ON pairs (at);

CREATE TABLE requests (
    seq INTEGER NOT NULL,
    id TEXT NOT NULL,
    received_at TEXT NOT NULL,
    operation TEXT NOT NULL,
    protocol TEXT NOT NULL,
    requested_model TEXT NOT NULL,
    route TEXT NOT NULL,
    rule TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    key_id TEXT,
    key_name TEXT,
    stream SMALLINT NOT NULL,
    status SMALLINT NOT NULL,
    outcome TEXT NOT NULL,
    error TEXT,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    estimated SMALLINT,
    cost_picousd INTEGER,
    ttft_s REAL,
    duration_s REAL NOT NULL,
    stages_s TEXT,
    finish TEXT,
    request_bytes INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL,
    tags TEXT,
    traceparent TEXT,
    config_hash TEXT NOT NULL,
    rejected TEXT,
    warnings TEXT,
    seed INTEGER,
    circumstances TEXT,
    organisation TEXT,
    team TEXT,
    user_name TEXT,
    agent TEXT,
    task TEXT,
    compliance TEXT,
    decision TEXT,
    PRIMARY KEY (seq),
    UNIQUE (id)
);

CREATE INDEX ix_requests_received_at ON requests (received_at);

CREATE TABLE responses (
    id TEXT NOT NULL,
    key_id TEXT,
    created_at TEXT NOT NULL,
    provider TEXT NOT NULL,
    model TEXT NOT NULL,
    previous_id TEXT,
    input BLOB NOT NULL,
    answer BLOB NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX ix_responses_created_at ON responses (created_at);

CREATE TABLE rollups (
    id INTEGER NOT NULL,
    hour TEXT NOT NULL,
    operation TEXT NOT NULL,
    organisation TEXT NOT NULL,
    team TEXT NOT NULL,
    user_name TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key_name TEXT NOT NULL,
    agent TEXT NOT NULL,
    task TEXT NOT NULL,
    route TEXT NOT NULL,
    model TEXT NOT NULL,
    provider TEXT NOT NULL,
    upstream_model TEXT NOT NULL,
    tags TEXT NOT NULL,
    requests INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    unpriced_requests INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    failed_attempts INTEGER NOT NULL,
    unpriced_attempts INTEGER NOT NULL,
    estimated_attempts INTEGER NOT NULL,
    uncounted_attempts INTEGER NOT NULL,
    input_tokens INTEGER NOT NULL,
    cached_input_tokens INTEGER NOT NULL,
    cache_write_tokens INTEGER NOT NULL,
    output_tokens INTEGER NOT NULL,
    reasoning_tokens INTEGER NOT NULL,
    estimated_tokens INTEGER NOT NULL,
    cost_picousd INTEGER NOT NULL,
    estimated_picousd INTEGER NOT NULL,
    answers INTEGER NOT NULL,
    answer_input_tokens INTEGER NOT NULL,
    answer_cached_input_tokens INTEGER NOT NULL,
    answer_cache_write_tokens INTEGER NOT NULL,
    answer_output_tokens INTEGER NOT NULL,
    answer_reasoning_tokens INTEGER NOT NULL,
    answer_picousd INTEGER NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (hour, operation, organisation, team, user_name, key_id, key_name, agent, task, route, model, provider, upstream_model, tags)
);

CREATE TABLE routers (
    route TEXT NOT NULL,
    kind TEXT NOT NULL,
    made_at TEXT NOT NULL,
    blob BLOB NOT NULL,
    labels INTEGER NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (route, kind, made_at)
);

CREATE TABLE secrets (
    name TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE spending (
    account TEXT NOT NULL,
    day TEXT NOT NULL,
    picousd INTEGER NOT NULL,
    requests INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    PRIMARY KEY (account, day)
) WITHOUT ROWID;

CREATE TABLE tenants (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    parent TEXT NOT NULL,
    rights TEXT,
    preference TEXT,
    created_at TEXT NOT NULL,
    ended_at TEXT,
    PRIMARY KEY (id)
);

CREATE UNIQUE INDEX tenants_live_name ON tenants (parent, kind, name) WHERE ended_at IS NULL;

CREATE TABLE attempts (
    request_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    target TEXT NOT NULL,
    why TEXT NOT NULL,
    started_s REAL NOT NULL,
    headers_s REAL,
    first_token_s REAL,
    ended_s REAL,
    outcome TEXT,
    status SMALLINT,
    error TEXT,
    input_tokens INTEGER,
    cached_input_tokens INTEGER,
    cache_write_tokens INTEGER,
    output_tokens INTEGER,
    reasoning_tokens INTEGER,
    estimated SMALLINT,
    cost_picousd INTEGER,
    key_place SMALLINT,
    code TEXT,
    asked_s REAL,
    model TEXT,
    PRIMARY KEY (request_id, number),
    FOREIGN KEY(request_id) REFERENCES requests (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE rollup_failures (
    rollup_id INTEGER NOT NULL,
    scope TEXT NOT NULL,
    outcome TEXT NOT NULL,
    status SMALLINT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (rollup_id, scope, outcome, status),
    FOREIGN KEY(rollup_id) REFERENCES rollups (id) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE rollup_steps (
    rollup_id INTEGER NOT NULL,
    measure TEXT NOT NULL,
    step INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (rollup_id, measure, step),
    FOREIGN KEY(rollup_id) REFERENCES rollups (id) ON DELETE CASCADE
) WITHOUT ROWID;
