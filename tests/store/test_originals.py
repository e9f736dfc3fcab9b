"""Requests with idempotency keys on disk: one owner of each key, whatever happens to processes; bounded; no prompts."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from afterbay.ports import Claim, Originals, OriginalsUnavailable, Repeatable, StoredAnswer
from afterbay.store import originals as module
from afterbay.store.database import Database, open_database
from afterbay.store.memory import MemoryOriginals
from afterbay.store.originals import SqliteOriginals

NOON_S = 1_770_000_000.0
ANSWER = StoredAnswer(200, {"content-type": "application/json"}, b'{"said":"Moin"}')


class Clock:
    def __init__(self) -> None:
        self.now_s = NOON_S

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/state.db")


Open = Callable[..., SqliteOriginals]


@pytest.fixture
def opened(database: Database, clock: Clock) -> Iterator[Open]:
    made: list[SqliteOriginals] = []

    def make(holder: str = "1-here", alive: tuple[str, ...] = (), **options: Any) -> SqliteOriginals:
        options = {"lasts_s": 86400.0, "now": clock} | options
        made.append(SqliteOriginals(database, holder=holder, runs=alive.__contains__, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(params=["sqlite", "memory"])
def either(request: pytest.FixtureRequest, opened: Open, clock: Clock) -> Originals:
    return opened() if request.param == "sqlite" else MemoryOriginals(now=clock)


def asked(number: int = 1, *, key: str = "k", body: bytes = b"{}", owner: str = "key_1") -> Repeatable:
    return Repeatable(owner, key, (b"/v1/chat/completions", b"", body), f"req_{number}", "ada")


def claim(store: Originals, request: Repeatable) -> Claim:
    return asyncio.run(store.claim(request))  # type: ignore[arg-type]


def keep(store: Originals, request: Repeatable, answer: StoredAnswer | None = ANSWER) -> None:
    asyncio.run(store.keep(request, answer))  # type: ignore[arg-type]


def test_the_first_owns_the_key_until_it_is_settled(either: Originals) -> None:
    assert claim(either, asked(1)) == Claim("new", "req_1")
    assert claim(either, asked(2)) == Claim("running", "req_1")
    keep(either, asked(1))
    assert claim(either, asked(3)) == Claim("answered", "req_1", ANSWER)


def test_another_request_with_its_key_is_told_apart(either: Originals) -> None:
    claim(either, asked(1))
    for other in (asked(2, body=b"{ }"), Repeatable("key_1", "k", (b"/v1/chat/completions{", b"", b"}"), "req_2")):
        assert claim(either, other) == Claim("different", "req_1")


def test_owners_and_keys_are_apart(either: Originals) -> None:
    for number, other in enumerate((asked(), asked(owner="key_2"), asked(owner=""), asked(key="K"))):
        assert claim(either, Repeatable(other.owner, other.key, other.content, f"req_{number}")).state == "new"


def test_what_failed_frees_its_key(either: Originals) -> None:
    claim(either, asked(1))
    asyncio.run(either.release(asked(1)))  # type: ignore[arg-type]
    assert asyncio.run(either.find(asked(2))) is None  # type: ignore[arg-type]
    assert claim(either, asked(2)) == Claim("new", "req_2")
    asyncio.run(either.release(asked(1)))  # type: ignore[arg-type]
    assert claim(either, asked(3)) == Claim("running", "req_2"), "a release that comes late frees nobody else's"


def test_what_is_too_large_is_known_to_be_answered(either: Originals) -> None:
    claim(either, asked(1))
    keep(either, asked(1), None)
    assert claim(either, asked(2)) == Claim("gone", "req_1")


@pytest.mark.parametrize("is_kept", [True, False])
def test_a_key_is_new_again_after_its_time(either: Originals, clock: Clock, is_kept: bool) -> None:
    claim(either, asked(1))
    if is_kept:
        keep(either, asked(1))
    clock.now_s += 86390.0
    assert claim(either, asked(2)).request_id == "req_1"
    clock.now_s += 20.0
    assert claim(either, asked(3)) == Claim("new", "req_3")


def test_another_process_sees_it(opened: Open) -> None:
    here, there = opened("1-here"), opened("2-there", ("1-here",))
    claim(here, asked(1))
    assert claim(there, asked(2)) == Claim("running", "req_1")
    keep(here, asked(1))
    assert claim(there, asked(2)) == Claim("answered", "req_1", ANSWER)


def test_what_a_dead_process_served_is_unknown(opened: Open) -> None:
    claim(opened("1-dead"), asked(1))
    alive = opened("2-alive", ("2-alive",))
    assert claim(alive, asked(2)) == Claim("unknown", "req_1")
    assert asyncio.run(alive.find(asked(2))) == Claim("unknown", "req_1")


def test_of_many_that_claim_at_once_one_gets_it(opened: Open) -> None:
    stores = [opened(f"{number}-x", tuple(f"{n}-x" for n in range(8))) for number in range(8)]

    def race(number: int) -> str:
        return claim(stores[number % 8], asked(number)).state

    with ThreadPoolExecutor(16) as pool:
        states = list(pool.map(race, range(64)))
    assert sorted(states) == ["new"] + ["running"] * 63


CLAIMER = """
import asyncio, sys
from pathlib import Path
from afterbay.ports import Repeatable
from afterbay.store.database import Database
from afterbay.store.originals import SqliteOriginals
store = SqliteOriginals(Database(Path(sys.argv[1])), lasts_s=86400.0, holder=sys.argv[2], runs=lambda _: True)
async def all():
    for number in range(200):
        claim = await store.claim(Repeatable("", f"k{number}", (b"x",), f"req_{sys.argv[2]}_{number}"))
        print(claim.state, flush=True)
asyncio.run(all())
"""


def test_processes_that_claim_the_same_keys_get_each_once(database: Database) -> None:
    command = [sys.executable, "-c", CLAIMER, str(database.path)]
    running = [subprocess.Popen([*command, str(n)], stdout=subprocess.PIPE, text=True) for n in range(3)]
    told = [one.communicate(timeout=60)[0].split() for one in running]
    assert [one.returncode for one in running] == [0, 0, 0]
    for number in range(200):
        assert sorted(states[number] for states in told) == ["new", "running", "running"]


def test_nothing_of_a_request_is_in_the_file(opened: Open, database: Database) -> None:
    store = opened()
    secret = asked(1, key="key-of-a-client", body=b"the prompt that nobody may find")
    claim(store, secret)
    keep(store, secret)
    store.close()
    files = b"".join(path.read_bytes() for path in database.path.parent.iterdir())
    assert b"req_1" in files
    assert b"key-of-a-client" not in files
    assert b"nobody may find" not in files


def test_digests_cannot_be_compared_between_gateways(tmp_path: Path) -> None:
    def names(place: str) -> object:
        database = open_database(f"sqlite:///{tmp_path}/{place}.db")
        store = SqliteOriginals(database, lasts_s=9.0, holder="h", runs=lambda _: True)
        claim(store, asked())
        store.close()
        with closing(database.connect()) as connection:
            return connection.execute("SELECT name, content FROM originals").fetchone()

    assert names("one") != names("two")


def big(number: int) -> StoredAnswer:
    return StoredAnswer(200, {}, os.urandom(10_000))


def test_who_fills_the_room_loses_its_own_oldest_answers_and_never_a_key(opened: Open, clock: Clock) -> None:
    store = opened(most_bytes=100_000)
    other = asked(99, owner="key_2")
    claim(store, other)
    keep(store, other, big(99))
    for number in range(30):
        clock.now_s += 1.0
        claim(store, asked(number, key=f"k{number}"))
        keep(store, asked(number, key=f"k{number}"), big(number))
    assert claim(store, other).state == "answered", "the oldest of all, but another's"
    states = [claim(store, asked(1000, key=f"k{number}")).state for number in range(30)]
    assert states == ["gone"] * (30 - states.count("answered")) + ["answered"] * states.count("answered")
    assert 7 <= states.count("answered") <= 9


def test_the_newest_answer_is_kept_though_others_fill_the_room(opened: Open, clock: Clock) -> None:
    store = opened(most_bytes=100_000)
    for number in range(11):
        clock.now_s += 1.0
        request = asked(number, owner=f"key_{number}")
        claim(store, request)
        keep(store, request, big(number))
    assert claim(store, asked(1000, owner="key_10")).state == "answered"
    assert claim(store, asked(1000, owner="key_0")).state == "gone"


def test_an_owner_has_so_many_keys_and_loses_its_oldest(
    opened: Open, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEEP_S", 0.0)
    store = opened(most_rows=5)
    for number in range(20):
        clock.now_s += 1.0
        claim(store, asked(number, key=f"k{number}"))
        keep(store, asked(number, key=f"k{number}"))
    known = [n for n in range(20) if asyncio.run(store.find(asked(0, key=f"k{n}"))) is not None]
    assert known == [15, 16, 17, 18, 19]


def test_what_is_too_old_leaves_the_file(
    opened: Open, database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SWEEP_S", 0.0)
    store = opened()
    for number in range(10):
        claim(store, asked(number, key=f"k{number}"))
        keep(store, asked(number, key=f"k{number}"))
    clock.now_s += 90_000.0
    claim(store, asked(100, key="new"))
    with closing(database.connect()) as connection:
        assert connection.execute("SELECT COUNT(*) FROM originals").fetchone() == (1,)


def test_a_locked_database_is_told_and_what_it_could_not_take_is_unknown(
    opened: Open, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_S", 0.05)
    store = opened("1-here", ("1-here",))
    claim(store, asked(1))
    with closing(sqlite3.connect(database.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(OriginalsUnavailable):
            claim(store, asked(2, key="other"))
        with pytest.raises(OriginalsUnavailable):
            keep(store, asked(1))
        other.execute("ROLLBACK")
    assert claim(store, asked(2, key="other")) == Claim("new", "req_2"), "nothing was claimed"
    assert claim(store, asked(3)) == Claim("unknown", "req_1")
