"""Days and months of the calendar, in UTC: which one a time lies in, and when the next one begins. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

Calendar: TypeAlias = Literal["day", "month"]
DAY_S = 86_400
CALENDARS: tuple[Calendar, ...] = ("day", "month")


class Span(msgspec.Struct, frozen=True):
    """One day or month. Its days are text (`2026-01-31`), in which order is time order; `end_day` is not in it."""

    begin_day: str
    end_day: str
    begin_s: float
    end_s: float


def day_of(utc_s: float) -> str:
    """The day that a time lies in."""
    return datetime.fromtimestamp(utc_s, UTC).date().isoformat()


def begin_of(period: Calendar, day: str) -> str:
    """The first day of the period that a day lies in."""
    return day if period == "day" else f"{day[:7]}-01"


def span_of(period: Calendar, utc_s: float) -> Span:
    """The day or month that a time lies in."""
    return _span(period, int(utc_s // DAY_S))


@lru_cache(maxsize=64)
def _span(period: Calendar, days: int) -> Span:
    """Cached, since every request asks for the same few: by days since 1970."""
    begin = datetime.fromtimestamp(days * DAY_S, UTC)
    if period == "month":
        begin = begin.replace(day=1)
        end = (begin + timedelta(days=32)).replace(day=1)
    else:
        end = begin + timedelta(days=1)
    return Span(begin.date().isoformat(), end.date().isoformat(), begin.timestamp(), end.timestamp())
