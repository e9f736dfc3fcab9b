"""What a report is asked, as people type it: dimensions, a period, and what it is only about.

Times are UTC and whole hours, as roll-ups are. The command line and the admin API read the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.store.rollup_reading import DIMENSIONS, Dimension, Hours, Only, dimension

TIMES: Final = frozenset({"hour", "day", "month"})
"""Dimensions in whose order lines are shown."""
NOW: Final = "now"

_BACK = re.compile(r"(\d{1,6})([hdw])")
_UNIT_H: Final = {"h": 1, "d": 24, "w": 168}
_FORMS: Final = ("%Y-%m", "%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%d %H", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M")
_HOUR: Final = timedelta(hours=1)
_HOUR_FORM: Final = "%Y-%m-%dT%H"


class Question(msgspec.Struct, frozen=True):
    """`by`: the dimensions that lines are told apart by, with their names as they were asked for."""

    by: tuple[str, ...]
    hours: Hours
    only: tuple[Only, ...] = ()

    @property
    def dimensions(self) -> tuple[Dimension, ...]:
        """Those of `by`."""
        return tuple(named(name) for name in self.by)

    @property
    def is_by_time(self) -> bool:
        """Whether lines follow each other in time."""
        return bool(self.by) and self.by[0] in TIMES


def named(name: str, option: str = "by") -> Dimension:
    """The dimension of a name. `option`: where it was said.

    Raises:
        ClientMistake: there is none.
    """
    found = dimension(name)
    if found is None:
        raise _wrong(
            option, f"Reports have no dimension {name[:60]!r}.", f"There are: {', '.join(DIMENSIONS)}, tag:NAME."
        )
    return found


def read_by(text: str) -> tuple[str, ...]:
    """`team,user`, each once.

    Raises:
        ClientMistake: one is no dimension.
    """
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        named(name)
    return names


def read_only(wanted: Iterable[str]) -> tuple[Only, ...]:
    """`team=search`, `tag:project=ranking`. An empty value: requests that had none.

    Raises:
        ClientMistake: no dimension, or none that one can ask for a value of.
    """
    found = []
    for text in wanted:
        name, equals, value = text.partition("=")
        if not equals:
            raise _wrong("only", f"{text[:60]!r} says no value.", "Write NAME=VALUE, such as team=search.")
        if name == "tag":
            raise _wrong("only", "A tag has a name and a value.", "Write tag:NAME=VALUE, such as tag:project=ranking.")
        found.append(Only(named(name, "only"), value))
    return tuple(found)


def read_hours(since: str, until: str, now: datetime, *, whole: bool = False) -> Hours:
    """The hours from a time to another: `7d` ago (h, d, w), `2026-11`, `2026-11-01`, `2026-11-01T13`, or `now`.

    What is counted back from now has exactly so many hours, the one that runs now among them; with `whole` only those
    that are over. A time within an hour stands for its beginning.

    Raises:
        ClientMistake: no time, or the period has no hour.
    """
    running = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    edge = running if whole else running + _HOUR
    begin, end = _moment("since", since, edge), _moment("until", until, edge)
    if begin >= end:
        raise _wrong(
            "since", f"There is no hour between {since[:40]} and {until[:40]}.", "Give --since before --until."
        )
    return Hours(begin.strftime(_HOUR_FORM), end.strftime(_HOUR_FORM))


def before(hours: Hours, begin: str, now: datetime) -> Hours:
    """As many hours from another time on; without one, those just before.

    Raises:
        ClientMistake: no time.
    """
    first, end = (datetime.strptime(one, _HOUR_FORM).replace(tzinfo=UTC) for one in (hours.begin, hours.end))
    start = _moment("against", begin, now.astimezone(UTC)) if begin else first - (end - first)
    return Hours(start.strftime(_HOUR_FORM), (start + (end - first)).strftime(_HOUR_FORM))


def check_no_time(asked: Question) -> None:
    """For what compares two periods.

    Raises:
        ClientMistake: it is asked by time.
    """
    for name in asked.by:
        if name in TIMES:
            raise _wrong(
                "by", f"Two periods cannot be compared by {name}.", "Leave it out, or ask `report cost` by it."
            )


def _moment(field: str, text: str, edge: datetime) -> datetime:
    if text == NOW:
        return edge
    back = _BACK.fullmatch(text)
    if back is not None:
        hours = int(back[1]) * _UNIT_H[back[2]]
        return edge - min(timedelta(hours=hours), edge - datetime(1970, 1, 1, tzinfo=UTC))
    for form in _FORMS:
        try:
            return datetime.strptime(text.removesuffix("Z"), form).replace(minute=0, tzinfo=UTC)
        except ValueError:
            continue
    raise _wrong(field, f"{text[:40]!r} is no time.", "Write 12h, 7d, 4w, 2026-11, 2026-11-01 or 2026-11-01T13 (UTC).")


def _wrong(field: str, message: str, remedy: str) -> ClientMistake:
    return ClientMistake(message, code="invalid_value", param=field, remedy=remedy)
