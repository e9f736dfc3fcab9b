"""How far a long computation is: a bar on a terminal, a line every tenth part elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import IO, Any


class Progress:
    """Counts `what`, on stderr or the like. Nothing is said of a single step."""

    def __init__(self, what: str, out: IO[str]) -> None:
        self._what, self._out = what, out
        self._bar: Any = None
        self._task: Any = None
        self._tenth = 0

    def __call__(self, done: int, total: int) -> None:
        """Notes that `done` of `total` are done."""
        if total <= 1:
            return
        if self._out.isatty():
            self._draw(done, total)
        elif done * 10 // total > self._tenth:
            self._tenth = done * 10 // total
            print(f"afterbay: {done} of {total} {self._what}", file=self._out, flush=True)

    def _draw(self, done: int, total: int) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import Progress as Bar

            self._bar = Bar(console=Console(file=self._out), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=total)
        self._bar.update(self._task, completed=done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
