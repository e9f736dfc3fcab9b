"""What attempts at a provider cost by day and model, as the log has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterbay.core.decision import Attempt
from afterbay.core.usage import Usage
from afterbay.policy.invoice import Logged, Tokens
from afterbay.store.database import Database, open_database
from afterbay.store.day_sums import day_sums
from afterbay.store.request_log import SqliteRequestLog
from afterbay.testing.stores import a_record

MIDNIGHT = 1_798_761_600.0
"""1 January 2027, UTC."""


def an_attempt(number: int, target: str, usage: Usage | None, cost: int | None) -> Attempt:
    return Attempt(number, target, "primary", 0.0, outcome="ok", usage=usage, cost_picousd=cost)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = open_database(f"sqlite:///{tmp_path}/state.db")
    log = SqliteRequestLog(database, retention_s=1e10)
    log.start()
    days = (
        (MIDNIGHT - 0.001, [an_attempt(0, "openai/gpt", Usage(10, 4, 2, 3, 1), 700)]),
        (
            MIDNIGHT,
            [
                an_attempt(0, "openai/gpt", Usage(1), 100),
                an_attempt(1, "openai/gpt", Usage(2, estimated=True), None),
                an_attempt(2, "openai/org/odd%name", Usage(3), 5),
                an_attempt(3, "openai2/gpt", Usage(4), 6),
                an_attempt(4, "openai/gpt", None, 0),
            ],
        ),
        (MIDNIGHT + 86_400, [an_attempt(0, "openai/gpt", Usage(7), 8)]),
    )
    for number, (at, attempts) in enumerate(days):
        log.put(a_record(number, received_at=at, attempts=attempts))
    log.close()
    return database


def test_each_day_of_utc_and_each_model_has_its_sum_of_all_attempts_of_that_provider(database: Database) -> None:
    assert day_sums(database, "openai", "2026-12-31", "2027-01-01") == [
        Logged("2026-12-31", "gpt", 700, Tokens(10, 4, 2, 4), 1),
        Logged("2027-01-01", "gpt", 100, Tokens(3), 2, unpriced=1, estimated=1),
        Logged("2027-01-01", "org/odd%name", 5, Tokens(3), 1),
    ]


def test_a_provider_without_attempts_has_none(database: Database) -> None:
    assert day_sums(database, "openai_", "2026-12-31", "2027-01-02") == []
    assert day_sums(database, "openai", "2020-01-01", "2020-01-02") == []
