"""What a report is asked: dimensions and periods as people type them, and what is said to what cannot be meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake
from afterbay.store.question import Question, before, check_no_time, read_by, read_hours, read_only
from afterbay.store.rollup_reading import DIMENSIONS, Hours

NOW = datetime(2026, 11, 25, 13, 37, 11, tzinfo=UTC)


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        ("1h", "now", Hours("2026-11-25T13", "2026-11-25T14")),
        ("24h", "now", Hours("2026-11-24T14", "2026-11-25T14")),
        ("7d", "now", Hours("2026-11-18T14", "2026-11-25T14")),
        ("2w", "1w", Hours("2026-11-11T14", "2026-11-18T14")),
        ("2026-10", "2026-11", Hours("2026-10-01T00", "2026-11-01T00")),
        ("2026-11-01", "2026-11-02", Hours("2026-11-01T00", "2026-11-02T00")),
        ("2026-11-01T13", "2026-11-01T15:59Z", Hours("2026-11-01T13", "2026-11-01T15")),
        ("2026-11-01 13:30", "now", Hours("2026-11-01T13", "2026-11-25T14")),
        ("999999w", "now", Hours("1970-01-01T00", "2026-11-25T14")),
    ],
)
def test_a_period_is_whole_hours(since: str, until: str, hours: Hours) -> None:
    assert read_hours(since, until, NOW) == hours


def test_what_is_compared_is_over() -> None:
    assert read_hours("2h", "now", NOW, whole=True) == Hours("2026-11-25T11", "2026-11-25T13")


def test_the_clock_of_the_machine_may_be_of_another_zone() -> None:
    there = NOW.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert read_hours("1h", "now", there) == read_hours("1h", "now", NOW)


@pytest.mark.parametrize("text", ["", "yesterday", "7", "d7", "-7d", "7 d", "2026-13", "2026-11-31", "1.5h", "٣d" * 9])
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ClientMistake, match="is no time") as refused:
        read_hours(text, "now", NOW)
    assert refused.value.param == "since"
    assert "2026-11-01" in refused.value.remedy


@pytest.mark.parametrize(("since", "until"), [("1d", "1d"), ("now", "now"), ("1d", "2d"), ("2027-01", "now")])
def test_a_period_without_an_hour_is_refused(since: str, until: str) -> None:
    with pytest.raises(ClientMistake, match="no hour"):
        read_hours(since, until, NOW)


@settings(deadline=None)
@given(st.text(max_size=12))
def test_whatever_is_typed_is_a_period_or_a_mistake(text: str) -> None:
    try:
        hours = read_hours(text, "now", NOW)
    except ClientMistake:
        return
    assert hours.begin < hours.end


def test_the_period_before_is_as_long_and_ends_where_the_other_begins() -> None:
    hours = Hours("2026-11-18T13", "2026-11-25T13")
    assert before(hours, "", NOW) == Hours("2026-11-11T13", "2026-11-18T13")
    assert before(hours, "2026-10-01", NOW) == Hours("2026-10-01T00", "2026-10-08T00")
    with pytest.raises(ClientMistake) as refused:
        before(hours, "then", NOW)
    assert refused.value.param == "against"


def test_dimensions_are_each_once_in_their_order() -> None:
    assert read_by(" team, user,team,tag:project ") == ("team", "user", "tag:project")
    assert read_by("") == ()


@pytest.mark.parametrize("text", ["teams", "tag:", "team:x", "team,wheather"])
def test_an_unknown_dimension_is_refused_with_those_there_are(text: str) -> None:
    with pytest.raises(ClientMistake) as refused:
        read_by(text)
    assert all(name in refused.value.remedy for name in DIMENSIONS)


@pytest.mark.parametrize("text", ["team", "tag=x", "teams=x"])
def test_what_it_is_only_about_names_a_dimension_and_a_value(text: str) -> None:
    with pytest.raises(ClientMistake):
        read_only([text])


def test_a_value_may_hold_what_separates_it() -> None:
    [only] = read_only(["tag:k=a=b"])
    assert (only.dimension.values, only.value) == (("k",), "a=b")


def test_lines_by_time_are_for_one_period() -> None:
    hours = Hours("2026-11-18T13", "2026-11-25T13")
    check_no_time(Question(("team",), hours))
    with pytest.raises(ClientMistake, match="by day"):
        check_no_time(Question(("team", "day"), hours))
