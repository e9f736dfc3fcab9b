"""How the program talks to people: chatter on stderr, tables and data on stdout, bars where it takes long."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import IO, Any

import msgspec

from afterbay.cli.figures import printable
from afterbay.core.errors import ClientMistake


class Misuse(ClientMistake):
    """The command line is wrong: exit code 2."""


class Speech:
    """Sentences on stderr."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out

    def say(self, text: str) -> None:
        """One line for people."""
        print(f"afterbay: {text}", file=self._out, flush=True)

    def error(self, text: str) -> None:
        """What went wrong and what to do."""
        print(f"afterbay: error: {text}", file=self._out, flush=True)


class Bars:
    """Progress bars of files being fetched: real ones on a terminal, else a line every tenth part.

    Called from several threads; drawn only once something really moves.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()
        self._progress: Any = None
        self._tasks: dict[str, Any] = {}
        self._tenths: dict[str, int] = {}

    def __call__(self, name: str, done: int, total: int) -> None:
        """Notes how far `name` is."""
        with self._lock:
            if name not in self._tenths and done >= total:
                return  # it was there already
            if self._out.isatty():
                self._draw(name, done, total)
            else:
                self._write(name, done, total)

    def _draw(self, name: str, done: int, total: int) -> None:
        self._tenths.setdefault(name, 0)
        if self._progress is None:
            self._progress = _make_progress()
            self._progress.start()
        if name not in self._tasks:
            self._tasks[name] = self._progress.add_task(f"fetching {name}", total=total)
        self._progress.update(self._tasks[name], completed=done)
        if done >= total and self._progress.finished:
            self._progress.stop()
            self._progress, self._tasks = None, {}

    def _write(self, name: str, done: int, total: int) -> None:
        tenth = done * 10 // max(total, 1)
        if tenth > self._tenths.get(name, -1):
            self._tenths[name] = tenth
            print(f"afterbay: fetching {name}: {done / 1e6:.0f} of {total / 1e6:.0f} MB", file=self._out, flush=True)

    def __enter__(self) -> Bars:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()


def _make_progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]], out: IO[str] | None = None) -> None:
    """A table on stdout, or `out`: drawn on a terminal, tab-separated where a program reads it.

    Cells are plain text: `[soc2]` is not rich's markup, and no cell can send the terminal a command.
    """
    cells = [[printable(str(cell)) for cell in row] for row in rows]
    out = sys.stdout if out is None else out
    if not out.isatty():
        for line in [list(headings), *cells]:
            print("\t".join(line), file=out)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")  # cut in two lines, never with an ellipsis: it is data
    for row in cells:
        table.add_row(*row)
    Console(file=out, markup=False, emoji=False, highlight=False).print(table)


def print_json(value: object) -> None:
    """One JSON document on stdout."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")
