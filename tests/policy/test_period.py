"""Days and months: where a time lies, and when the next one begins."""

from __future__ import annotations

from datetime import UTC, datetime

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.policy.period import ALL_TIME, CALENDARS, OLDEST_DAY, Calendar, begin_of, day_of, last_day_of, span_of


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "at", "begin", "end"),
    [
        ("day", "2026-11-25T23:59:59.999", "2026-11-25", "2026-11-26"),
        ("day", "2026-12-31T00:00:00", "2026-12-31", "2027-01-01"),
        ("month", "2026-11-30T12:00:00", "2026-11-01", "2026-12-01"),
        ("month", "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
        ("month", "2028-02-29T01:00:00", "2028-02-01", "2028-03-01"),
    ],
)
def test_a_time_lies_in_its_period(period: Calendar, at: str, begin: str, end: str) -> None:
    span = span_of(period, utc(at))
    assert (span.begin_day, span.end_day) == (begin, end)
    assert (span.begin_s, span.end_s) == (utc(begin), utc(end))


@given(st.floats(0, 4e9), st.sampled_from(("day", "month")))
def test_periods_follow_each_other_without_a_gap(at_s: float, period: Calendar) -> None:
    span = span_of(period, at_s)
    assert span.begin_s <= at_s < span.end_s
    assert span_of(period, span.end_s).begin_s == span.end_s
    assert span.begin_day <= day_of(at_s) < span.end_day
    assert begin_of(period, day_of(at_s)) == span.begin_day


@given(st.floats(0, 4e9), st.sampled_from(CALENDARS))
def test_a_period_holds_the_days_from_its_first_to_its_last(at_s: float, period: Calendar) -> None:
    begin, day = begin_of(period, day_of(at_s)), day_of(at_s)
    assert begin <= day <= last_day_of(period, begin) < "9999-99-99~"
    assert (last_day_of(period, begin) < span_of(period, at_s).end_day) or period == "total"


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_all_time_is_one_period(one_s: float, other_s: float) -> None:
    assert span_of("total", one_s) is span_of("total", other_s) is ALL_TIME
    assert begin_of("total", day_of(one_s)) == OLDEST_DAY < day_of(other_s)
