"""Roll-ups: the same sums as the rows, whoever makes them, however often, and whenever they are killed."""

from __future__ import annotations

import sqlite3
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Usage
from afterbay.policy.sketch import step_of
from afterbay.store import rollup_statements
from afterbay.store.database import Database, open_database
from afterbay.store.request_log import LogLimits, SqliteRequestLog
from afterbay.store.rollup import FOLDED, FOLDED_NAME, catch_up, roll_up, rolled
from afterbay.store.writer import Writer

T0 = 1_795_000_000.0 - 1_795_000_000.0 % 3600
QUICK = LogLimits(flush_s=0.001, sweep_s=0.01, rollup_s=0.01)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/state.db")


def write(database: Database, *records: Record) -> None:
    writer = Writer(database, 1.0)
    assert writer.insert(list(records), 64, lambda: None) == 0
    writer.close()


def rows(database: Database, table: str = "rollups") -> list[dict[str, Any]]:
    with closing(database.connect()) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(f"SELECT * FROM {table}")]  # noqa: S608


def total(database: Database, column: str) -> int:
    return sum(row[column] for row in rows(database))


USAGE = Usage(100, 20, 3, 40, 5)


def a_record(number: int, **values: Any) -> Record:
    record = Record(
        id=f"req_{number:026}",
        received_at=T0 + number,
        operation="chat",
        protocol="openai.chat",
        route="auto",
        model="gpt",
        provider="openai",
        upstream_model="gpt-4o",
        key_id="key_1",
        key_name="app",
        status=200,
        outcome="ok",
        attempts=[Attempt(1, "openai/gpt-4o", "primary", 0.0, outcome="ok", usage=USAGE, cost_picousd=1000)],
        usage=USAGE,
        cost_picousd=1000,
        ttft_s=0.3,
        duration_s=1.5,
    )
    return msgspec.structs.replace(record, **values)


USAGES = st.none() | st.builds(Usage, *(st.integers(0, 10**8) for _ in range(5)), st.booleans())
OUTCOMES: st.SearchStrategy[Any] = st.sampled_from(
    ["ok", "error", "timeout", "rate_limit", "cut", "cancelled", "client_closed", None]
)


@st.composite
def records(draw: st.DrawFn) -> list[Record]:
    found = []
    for number in range(draw(st.integers(0, 12))):
        attempts = [
            Attempt(
                place,
                draw(st.sampled_from(["openai/gpt-4o", "claude/opus", "claude/anthropic/haiku"])),
                draw(st.sampled_from(["primary", "fallback", "hedge", "repair"])),
                0.0,
                outcome=draw(OUTCOMES),
                status=draw(st.sampled_from([None, 200, 429, 500])),
                usage=draw(USAGES),
                cost_picousd=draw(st.none() | st.integers(0, 10**15)),
            )
            for place in range(draw(st.integers(0, 3)))
        ]
        found.append(
            a_record(
                number,
                received_at=T0 + draw(st.integers(0, 3 * 3600)),
                outcome=draw(st.sampled_from(["ok", "client_closed", "all_targets_failed"])),
                model=draw(st.sampled_from(["", "gpt", "claude"])),
                provider=draw(st.sampled_from(["", "openai"])),
                key_id=draw(st.sampled_from([None, "key_1", "key_2"])),
                team=draw(st.sampled_from([None, "blue"])),
                task=draw(st.sampled_from([None, "code"])),
                tags=draw(st.dictionaries(st.sampled_from(["team", "user", "o\"d'd"]), st.text(max_size=3))),
                attempts=attempts,
                ttft_s=draw(st.none() | st.floats(0, 1e6)),
                duration_s=draw(st.floats(0, 1e6)),
            )
        )
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records(), st.integers(1, 5))
def test_sums_are_those_of_the_rows_in_any_chunks(
    tmp_path_factory: pytest.TempPathFactory, found: list[Record], chunk: int
) -> None:
    database = open_database(f"sqlite:///{tmp_path_factory.mktemp('a')}/a.db")
    write(database, *found)
    with closing(database.connect()) as connection:
        while roll_up(connection, chunk):
            pass
        assert not roll_up(connection, chunk)
    attempts = [attempt for record in found for attempt in record.attempts]
    used = [attempt.usage for attempt in attempts if attempt.usage is not None]
    costs = [attempt.cost_picousd for attempt in attempts if attempt.cost_picousd is not None]
    expected = {
        "requests": len(found),
        "failed": sum(record.outcome == "all_targets_failed" for record in found),
        "retried": sum(len(record.attempts) > 1 for record in found),
        "attempts": len(attempts),
        "unpriced_attempts": len(attempts) - len(costs),
        "estimated_attempts": sum(usage.estimated for usage in used),
        "uncounted_attempts": sum(attempt.outcome == "ok" and attempt.usage is None for attempt in attempts),
        "input_tokens": sum(usage.input_tokens for usage in used),
        "cached_input_tokens": sum(usage.cached_input_tokens for usage in used),
        "cache_write_tokens": sum(usage.cache_write_tokens for usage in used),
        "output_tokens": sum(usage.output_tokens for usage in used),
        "reasoning_tokens": sum(usage.reasoning_tokens for usage in used),
        "estimated_tokens": sum(usage.total for usage in used if usage.estimated),
        "cost_picousd": sum(costs),
    }
    assert {name: total(database, name) for name in expected} == expected
    counts = Counter({(row["measure"], row["step"]): 0 for row in rows(database, "rollup_steps")})
    for row in rows(database, "rollup_steps"):
        counts[row["measure"], row["step"]] += row["count"]
    durations = [("duration_s", step_of(record.duration_s)) for record in found if record.outcome == "ok"]
    assert counts == Counter(
        durations + [("ttft_s", step_of(record.ttft_s)) for record in found if record.ttft_s is not None]
    )
    failed = [attempt for attempt in attempts if attempt.outcome not in ("ok", "client_closed", "cancelled")]
    assert sum(row["count"] for row in rows(database, "rollup_failures") if row["scope"] == "attempt") == len(failed)
    assert total(database, "failed_attempts") == len(failed)


def test_an_attempt_is_summed_with_the_provider_that_was_asked(database: Database) -> None:
    write(
        database,
        a_record(
            1,
            attempts=[
                Attempt(0, "claude/opus", "primary", 0.0, outcome="error", status=500, usage=USAGE, cost_picousd=7),
                Attempt(1, "openai/gpt-4o", "fallback", 1.0, outcome="ok", usage=USAGE, cost_picousd=1000),
                Attempt(2, "openai/gpt-4o", "repair", 2.0, outcome="ok", usage=USAGE, cost_picousd=30),
            ],
        ),
    )
    catch_up(database)
    claude, openai = sorted(rows(database), key=lambda row: row["provider"])
    assert (claude["provider"], claude["upstream_model"], claude["model"]) == ("claude", "opus", "gpt")
    assert (claude["requests"], claude["attempts"], claude["cost_picousd"], claude["answers"]) == (0, 1, 7, 0)
    assert (openai["requests"], openai["attempts"], openai["cost_picousd"]) == (1, 2, 1030)
    assert (openai["answers"], openai["answer_picousd"], openai["answer_output_tokens"]) == (1, 1000, 40)
    [failure] = rows(database, "rollup_failures")
    assert failure == {
        "rollup_id": claude["id"],
        "scope": "attempt",
        "outcome": "error",
        "status": 500,
        "count": 1,
    }


def test_a_rejected_attempt_is_summed_with_the_model_that_it_was_for(database: Database) -> None:
    cheap = Attempt(0, "groq/llama", "primary", 0.0, outcome="invalid", usage=USAGE, cost_picousd=7, model="cheap")
    asked = Attempt(1, "openai/gpt-4o", "fallback", 1.0, outcome="ok", usage=USAGE, cost_picousd=1000, model="gpt")
    write(database, a_record(1, attempts=[cheap, asked]))
    catch_up(database)
    found = {(row["model"], row["provider"]): (row["requests"], row["cost_picousd"]) for row in rows(database)}
    assert found == {("cheap", "groq"): (0, 7), ("gpt", "openai"): (1, 1000)}
    [failure] = rows(database, "rollup_failures")
    assert failure["outcome"] == "invalid"


def test_a_sample_beside_an_answer_is_not_the_answer(database: Database) -> None:
    first = Attempt(0, "openai/gpt-4o", "primary", 0.0, outcome="ok", usage=USAGE, cost_picousd=1000, model="gpt")
    sample = Attempt(1, "openai/gpt-4o", "sample", 1.0, outcome="ok", usage=USAGE, cost_picousd=30, model="gpt")
    write(database, a_record(1, attempts=[first, sample]))
    catch_up(database)
    assert [(row["cost_picousd"], row["answer_picousd"]) for row in rows(database)] == [(1030, 1000)]


def test_the_answer_of_a_raw_request_is_of_the_model_that_it_named(database: Database) -> None:
    raw = Attempt(1, "openai/passthrough", "primary", 0.0, outcome="ok", usage=USAGE, cost_picousd=5)
    write(database, a_record(1, upstream_model="gpt-image-1", attempts=[raw]))
    catch_up(database)
    assert [(row["provider"], row["upstream_model"]) for row in rows(database)] == [("openai", "gpt-image-1")]


def test_the_gateways_own_tags_of_a_tunnel_make_no_groups(database: Database) -> None:
    for number in range(3):
        write(database, a_record(number, tags={"team": "a", "messages_up": str(number), "messages_down": "9"}))
    write(database, a_record(4, tags={"messages_up": "1"}))
    catch_up(database)
    assert Counter(row["tags"] for row in rows(database)) == {'{"team":"a"}': 1, "": 1}


def test_tags_beyond_the_bound_of_an_hour_are_summed_together(database: Database) -> None:
    for number in range(20):
        write(database, a_record(number, tags={"user": str(number % 10)}))
    with closing(database.connect()) as connection:
        while roll_up(connection, 1, groups=4):
            pass
    found = {row["tags"]: row["requests"] for row in rows(database)}
    assert found == {**{f'{{"user":"{user}"}}': 2 for user in range(4)}, FOLDED: 12}


def test_agents_and_tasks_that_clients_name_are_bounded_too_and_owners_are_kept(database: Database) -> None:
    for number in range(6):
        write(database, a_record(number, agent=f"agent {number}", task="code", team="blue", user="ana"))
    write(database, a_record(7, team="blue", user="ana"))
    with closing(database.connect()) as connection:
        while roll_up(connection, 1, groups=2):
            pass
    found = {(row["agent"], row["task"], row["team"], row["user_name"]): row["requests"] for row in rows(database)}
    owners = ("blue", "ana")
    assert found == {
        ("agent 0", "code", *owners): 1,
        ("agent 1", "code", *owners): 1,
        (FOLDED_NAME, FOLDED_NAME, *owners): 4,
        ("", "", *owners): 1,
    }


def test_tags_that_are_no_json_do_not_stop_it(database: Database) -> None:
    write(database, a_record(1, tags={"a": "b"}))
    with closing(database.connect()) as connection:
        connection.execute("UPDATE requests SET tags = 'no json'")
    catch_up(database)
    assert total(database, "requests") == 1


class Killed(Exception):
    pass


class Fatal:
    """A connection that dies before its n-th statement."""

    def __init__(self, connection: sqlite3.Connection, after: int) -> None:
        self._connection, self._left = connection, after

    def execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        self._left -= 1
        if self._left < 0 and statement != "ROLLBACK":
            raise Killed
        return self._connection.execute(statement, values)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


@pytest.mark.parametrize("after", range(4))
def test_a_connection_whose_preparation_was_stopped_is_prepared_again(database: Database, after: int) -> None:
    write(database, a_record(1))
    with closing(database.connect()) as connection:
        with pytest.raises(Killed):
            roll_up(Fatal(connection, after))  # type: ignore[arg-type]
        roll_up(connection)
    assert len(rows(database, "rollup_steps")) == 2


@pytest.mark.parametrize("after", range(20))
def test_whenever_it_is_stopped_nothing_is_missing_or_double(database: Database, after: int) -> None:
    write(database, *(a_record(number, tags={"n": str(number % 3)}) for number in range(10)))
    with closing(database.connect()) as connection:
        roll_up(connection, 4)
        try:
            roll_up(Fatal(connection, after), 4)  # type: ignore[arg-type]
        except Killed:
            assert rolled(connection) in (4, 8)
    catch_up(database)
    catch_up(database)
    assert total(database, "requests") == total(database, "attempts") == 10
    assert total(database, "cost_picousd") == 10_000
    assert sum(row["count"] for row in rows(database, "rollup_steps")) == 20


def test_rows_of_an_hour_that_was_summed_already_are_added_to_it(database: Database) -> None:
    write(database, a_record(1))
    catch_up(database)
    write(database, a_record(3), a_record(2))
    catch_up(database)
    assert [row["requests"] for row in rows(database)] == [3]


def wait_for(happens: Callable[[], bool]) -> bool:
    pause = threading.Event()
    for _ in range(500):
        if happens():
            return True
        pause.wait(0.01)
    return False


def test_the_log_sums_its_rows_while_it_runs(database: Database) -> None:
    log = SqliteRequestLog(database, retention_s=1e10, limits=msgspec.structs.replace(QUICK, rollup_rows=3))
    log.start()
    for number in range(10):
        log.put(a_record(number))
    assert log.flush()
    assert wait_for(lambda: total(database, "requests") == 10)
    log.close()


def test_what_is_removed_from_the_log_stays_in_its_sums(database: Database) -> None:
    write(database, *(a_record(number) for number in range(10)))
    log = SqliteRequestLog(database, retention_s=10.0, limits=QUICK, now=lambda: T0 + 100)
    log.start()
    assert wait_for(lambda: not rows(database, "requests"))
    # SQLite begins again with 1, and the mark with it.
    for number in range(10, 13):
        log.put(a_record(number))
    assert log.flush()
    assert wait_for(lambda: total(database, "requests") == 13)
    log.close()


def test_roll_ups_go_when_their_own_retention_is_over(database: Database) -> None:
    write(database, *(a_record(number, received_at=T0 + 3600 * number) for number in range(6)))
    catch_up(database)
    limits = msgspec.structs.replace(QUICK, rollup_retention_s=2 * 3600.0, sweep_rows=2)
    log = SqliteRequestLog(database, retention_s=1e10, limits=limits, now=lambda: T0 + 3600 * 5 + 60)
    log.start()
    assert wait_for(lambda: len(rows(database)) == 3)
    log.close()
    assert {row["rollup_id"] for row in rows(database, "rollup_steps")} == {row["id"] for row in rows(database)}


def test_the_dimensions_and_sums_are_the_tables_columns() -> None:
    from afterbay.store.schema import rollups

    names = (*rollup_statements.DIMENSIONS, *rollup_statements.REQUEST_SUMS, *rollup_statements.ATTEMPT_SUMS)
    assert set(names) == {column.name for column in rollups.c} - {"id"}


def test_several_who_sum_while_the_log_grows_count_nothing_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afterbay.store.rollup.STEP_ROWS", 7)
    monkeypatch.setattr("afterbay.store.rollup.PAUSE_S", 0.0)
    written = threading.Event()

    def sum_up() -> None:
        while not written.is_set():
            catch_up(database)

    summing = [threading.Thread(target=sum_up) for _ in range(3)]
    for one in summing:
        one.start()
    for number in range(0, 200, 10):
        write(database, *(a_record(number + more) for more in range(10)))
    written.set()
    for one in summing:
        one.join()
    catch_up(database)
    assert total(database, "requests") == total(database, "attempts") == 200
    assert sum(row["count"] for row in rows(database, "rollup_steps")) == 400
