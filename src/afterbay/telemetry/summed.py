"""The metrics of several processes as those of one: what `/metrics` answers where workers share an address.

Works on the text that each of them gives, which one library wrote the same way: the same series has the same name and
labels, letter by letter. Pure.

Counters must never fall, or every rate that is computed from them shows a leap. So what a process has counted stays in
the sum after its end (`bury`), and for one that does not answer in time its last word holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, Literal, TypeAlias

import msgspec
from prometheus_client.utils import floatToGoString

Way: TypeAlias = Literal["sum", "most", "least"]

NOW: Final = frozenset(
    {
        "afterbay_open_streams",
        "afterbay_detached_streams",
        "afterbay_kept_stream_bytes",
        "afterbay_retries_in_flight",
        "afterbay_queue_depth",
        "afterbay_log_queue_depth",
        "process_virtual_memory_bytes",
        "process_resident_memory_bytes",
        "process_open_fds",
    }
)
"""What is so now, and added up; it ends with its process."""
MOST: Final = frozenset(
    {
        "afterbay_target_state",
        "afterbay_target_days_left",
        "afterbay_refused_keys",
        "afterbay_loop_lateness_seconds",
        "afterbay_memory_share",
        "afterbay_certified",
        "afterbay_certified_floor",
        "afterbay_certified_share",
        "afterbay_certificate_pairs",
        "afterbay_build_info",
        "process_max_fds",
    }
)
"""What is so now, and of which the highest says most: a target is ejected where any process says so."""
SINCE: Final = frozenset(
    {
        "afterbay_retries_denied",
        "afterbay_hedges_denied",
        "afterbay_shed_requests",
        "afterbay_alerts",
        "afterbay_log_spilled",
        "afterbay_log_dropped",
        "afterbay_log_unjournaled",
    }
)
"""Gauges that count since the start: they are added up, and stay, as counters do."""


def way_of(family: str) -> Way:
    """How the values of a family are joined."""
    if family in MOST:
        return "most"
    return "least" if family == "process_start_time_seconds" or family.endswith("_created") else "sum"


class _Family(msgspec.Struct):
    """One family of series: its name, its `# HELP` and `# TYPE` lines, and its values by name and labels."""

    name: str
    head: list[str] = []
    values: dict[str, float] = {}

    @property
    def lasts(self) -> bool:
        """Whether it counts since the start, so that it stays after the end of its process."""
        is_gauge = self.head[-1].endswith(" gauge")
        return not is_gauge or self.name in SINCE or self.name.endswith("_created")

    def add(self, other: _Family) -> None:
        """Joins the values of another process."""
        way, values = way_of(self.name), self.values
        for series, value in other.values.items():
            before = values.get(series)
            if before is None:
                values[series] = value
            elif way == "sum":
                values[series] = before + value
            else:
                values[series] = max(before, value) if way == "most" else min(before, value)


_Page: TypeAlias = dict[str, _Family]


class Summed:
    """The metrics of all processes. `tell` it what each says, `bury` those that ended."""

    def __init__(self) -> None:
        self._said: dict[int, bytes] = {}
        self._gone: _Page = {}

    def tell(self, process: int, text: bytes) -> None:
        """What a process says now."""
        self._said[process] = text

    def bury(self, process: int) -> None:
        """A process has ended: what it counted stays, what was so is not so any more."""
        text = self._said.pop(process, None)
        if text is not None:
            _add(self._gone, (family for family in _read(text) if family.lasts))

    def render(self) -> bytes:
        """The text for all of them."""
        page: _Page = {}
        _add(page, self._gone.values())
        for text in list(self._said.values()):
            _add(page, _read(text))
        return "".join(map(_written, page.values())).encode()


def _add(page: _Page, families: Iterable[_Family]) -> None:
    for family in families:
        page.setdefault(family.name, _Family(family.name, family.head)).add(family)


def _read(text: bytes) -> Iterator[_Family]:
    """The families of a text, which has a `# HELP` and a `# TYPE` line before the series of each."""
    family: _Family | None = None
    for line in text.decode().split("\n"):
        if line.startswith("# HELP "):
            if family is not None:
                yield family
            family = _Family(line.split(" ", 3)[2], [line])
        elif family is not None and line.startswith("#"):
            family.head.append(line)
        elif family is not None and line:
            series, _, value = line.rpartition(" ")
            family.values[series] = float(value)
    if family is not None:
        yield family


def _number(value: float) -> str:
    text: str = floatToGoString(value)  # type: ignore[no-untyped-call]
    return text


def _written(family: _Family) -> str:
    lines = [*family.head, *(f"{series} {_number(value)}" for series, value in family.values.items())]
    return "\n".join(lines) + "\n"
