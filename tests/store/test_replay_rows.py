"""What the store keeps for replays: configurations in force, and requests found by a part of their id."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterbay.core.decision import Attempt, Circumstances, Record, Sight
from afterbay.store.configurations import MOST, keep_configuration, kept_configuration
from afterbay.store.database import Database, open_database
from afterbay.store.lookup import find_request, one_request
from afterbay.store.writer import Writer

IDS = ("req_01m88aaaaaaaaaaaaaaaaaa111", "req_01m88aaaaaaaaaaaaaaaaab222", "req_01m99ccccccccccccccccccc33")


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/a.db")


def write(database: Database, *records: Record) -> None:
    writer = Writer(database, 1.0)
    assert writer.insert(records, 64, lambda: None) == 0
    writer.close()


def test_a_record_comes_back_with_what_it_is_replayed_from(database: Database) -> None:
    sights = (Sight("a/m", 2.5, "open", usable=False, illness="slow", for_s=7.0), Sight("b/m", idle_s=3.5))
    record = Record(
        "req_1",
        1.0,
        "chat",
        "openai.chat",
        attempts=[Attempt(0, "a/m", "primary", 0.0, outcome="rate_limit", code="slow_down", asked_s=1.5)],
        seed=(1 << 63) - 1,
        circumstances=Circumstances({"x-afterbay-priority": "low"}, ("a/m", "b/m"), sights, b"\x00\xff", ("prompt",)),
        organisation="acme",
        team="search",
        user="ada",
        agent="planner",
        task="code",
        compliance=["held: eu_only", "a/m: soc2, region eu"],
    )
    write(database, record)
    assert one_request(database, "req_1") == record


def test_a_configuration_is_kept_once_and_found_by_its_hash(database: Database) -> None:
    for at in (1.0, 2.0):
        keep_configuration(database, "abc", b'{"a": 1}', at)
    assert kept_configuration(database, "abc") == b'{"a": 1}'
    assert kept_configuration(database, "abd") is None


def test_the_newest_configurations_stay_and_one_that_came_back_is_new(database: Database) -> None:
    for number in range(MOST):
        keep_configuration(database, f"c{number}", b"{}", float(number))
    keep_configuration(database, "c0", b"{}", 1000.0)
    keep_configuration(database, "another", b"{}", 1001.0)
    assert kept_configuration(database, "c0") is not None
    assert kept_configuration(database, "c1") is None


@pytest.mark.parametrize(
    "part",
    [IDS[2], "req_01m99", "01m99", "01M99", "req_01m99ccccc", "ccc33", IDS[2][-8:], "…" + IDS[2][-8:], f" {IDS[2]} "],
)
def test_a_part_that_is_unique_is_enough(database: Database, part: str) -> None:
    write(database, *(Record(one, 1.0, "chat", "openai.chat") for one in IDS))
    found = find_request(database, part)
    assert (found.one == IDS[2]) is (part != "ccc33"), "an end that short is not looked for"


def test_a_part_that_means_several_names_them(database: Database) -> None:
    write(database, *(Record(one, 1.0, "chat", "openai.chat") for one in IDS))
    found = find_request(database, "req_01m88")
    assert found.one is None
    assert set(found.near) == set(IDS[:2])


@pytest.mark.parametrize("part", ["req_01m88aaax", "", "nothing", "%", "_", "req_"])
def test_a_part_that_means_none_names_the_nearest(database: Database, part: str) -> None:
    write(database, *(Record(one, 1.0, "chat", "openai.chat") for one in IDS))
    found = find_request(database, part)
    assert found.one is None
    assert found.near
    if part == "req_01m88aaax":
        assert set(found.near[:2]) == set(IDS[:2])


def test_an_empty_log_has_nothing_near(database: Database) -> None:
    assert find_request(database, "req_1").near == ()
