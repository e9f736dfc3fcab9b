"""Days and months of the calendar, in UTC, and all time as one period: which one a time lies in, and when the next one
begins. Pure."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

Calendar: TypeAlias = Literal["day", "month", "total"]
"""`total` never begins anew."""
DAY_S = 86_400
CALENDARS: tuple[Calendar, ...] = ("day", "month", "total")
"""`total` is the last."""
OLDEST_DAY = "0000-00-00"
"""No day, and before all days: what was charged so long ago that nobody asks on which day."""
_AFTER_ALL = "9999-99-99"


class Span(msgspec.Struct, frozen=True):
    """One day or month, or all time. Its days are text (`2026-01-31`), in which order is time order; `end_day` is not
    in it. All time begins and ends at no second (infinite)."""

    begin_day: str
    end_day: str
    begin_s: float
    end_s: float


ALL_TIME = Span(OLDEST_DAY, _AFTER_ALL, -math.inf, math.inf)


def day_of(utc_s: float) -> str:
    """The day that a time lies in."""
    return datetime.fromtimestamp(utc_s, UTC).date().isoformat()


def begin_of(period: Calendar, day: str) -> str:
    """The first day of the period that a day lies in."""
    if period == "total":
        return OLDEST_DAY
    return day if period == "day" else f"{day[:7]}-01"


def last_day_of(period: Calendar, begin_day: str) -> str:
    """A day that no day of the period is after; it need not be one of the calendar's."""
    if period == "total":
        return _AFTER_ALL
    return begin_day if period == "day" else f"{begin_day[:8]}31"


def span_of(period: Calendar, utc_s: float) -> Span:
    """The day or month that a time lies in."""
    if period == "total":
        return ALL_TIME
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
