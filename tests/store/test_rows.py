"""Records to rows and back."""

from __future__ import annotations

import itertools
import sqlite3
from contextlib import closing
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterbay.core.decision import Attempt, Record, Rejected
from afterbay.core.usage import Usage
from afterbay.store.database import open_database
from afterbay.store.lookup import one_request
from afterbay.store.rows import (
    ERROR_CHARS,
    NAME_CHARS,
    TAGS,
    attempt_rows,
    request_row,
    rfc3339,
    storable,
    utc_seconds,
)
from afterbay.store.writer import Writer
from afterbay.testing.stores import a_record

numbers = itertools.count()
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
seconds = st.floats(0, 1e6, allow_nan=False)
counts = st.integers(0, 2**62)
moments = st.integers(0, 4_000_000_000_000_000).map(lambda micro: micro / 1e6)
usages = st.none() | st.builds(Usage, counts, counts, counts, counts, counts, st.booleans())
attempts = st.builds(
    Attempt,
    number=st.just(0),
    target=texts,
    why=st.sampled_from(["primary", "retry", "fallback", "hedge", "resume"]),
    started_s=seconds,
    headers_s=st.none() | seconds,
    first_token_s=st.none() | seconds,
    ended_s=st.none() | seconds,
    outcome=st.sampled_from([None, "ok", "error", "cut"]),
    status=st.none() | st.integers(100, 599),
    error=st.none() | texts,
    usage=usages,
    cost_picousd=st.none() | counts,
)
records = st.builds(
    Record,
    id=st.just(""),
    received_at=moments,
    operation=texts,
    protocol=texts,
    requested_model=texts,
    route=texts,
    rule=texts,
    model=texts,
    provider=texts,
    upstream_model=texts,
    key_id=st.none() | texts,
    key_name=st.none() | texts,
    stream=st.booleans(),
    status=st.integers(0, 599),
    outcome=texts,
    error=st.none() | texts,
    attempts=st.lists(attempts, max_size=4),
    rejected=st.lists(st.builds(Rejected, texts, texts), max_size=3),
    warnings=st.lists(texts, max_size=3),
    usage=usages,
    cost_picousd=st.none() | counts,
    ttft_s=st.none() | seconds,
    duration_s=seconds,
    stages_s=st.dictionaries(texts, seconds, max_size=4),
    finish=st.none() | texts,
    request_bytes=counts,
    response_bytes=counts,
    tags=st.dictionaries(texts, texts, max_size=4),
    traceparent=st.none() | texts,
    config_hash=texts,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=records)
def test_any_record_is_read_back_equal(record: Record, tmp_path: Path) -> None:
    record.id = f"req_{next(numbers)}"
    for number, attempt in enumerate(record.attempts, 1):
        attempt.number = number
    database = open_database(f"sqlite:///{tmp_path}/a.db")
    writer = Writer(database, 1.0)
    assert writer.insert([record], 32, lambda: None) == 0
    writer.close()
    assert one_request(database, record.id) == record


@given(st.floats(0, 250_000_000_000))
def test_times_of_day_sort_as_text_and_keep_their_microseconds(utc_s: float) -> None:
    text = rfc3339(utc_s)
    assert len(text) == 27
    assert abs(utc_seconds(text) - utc_s) < 1e-4
    assert rfc3339(utc_s + 1) > text


def test_what_clients_can_make_long_is_cut() -> None:
    long = "x" * 100_000
    record = a_record(requested_model=long, error=long, traceparent=long, tags={f"{n}{long}": long for n in range(99)})
    record.attempts[0].error = long
    sizes = [len(value) for value in request_row(record) if isinstance(value, str)]
    assert max(sizes) <= TAGS * (2 * NAME_CHARS + 8)
    assert len(str(attempt_rows(record)[0][10])) == ERROR_CHARS


def test_a_cleaned_row_can_always_be_stored() -> None:
    row = storable(("a\ud800", 2**80, -(2**80), None, 1.5, True))
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT ?, ?, ?, ?, ?, ?", row).fetchone() == (
            "a?",
            2**63 - 1,
            -(2**63),
            None,
            1.5,
            1,
        )
