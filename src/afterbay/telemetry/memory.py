"""How much of the memory that this process and its siblings may use is in use: what the kernel would kill it for.

Only where there is a limit for it alone (a control group, as containers have one). On a machine without, others' memory
is no reason to turn clients away. Source: the Linux kernel's `cgroup-v2.rst`; `memory.current` less the file pages that
can be dropped at once is what container runtimes call the working set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

_CHARS = 1 << 16


def memory_reader(root: Path = Path("/")) -> Callable[[], float | None]:
    """A function that gives the share in use, in [0, 1]; None: there is no limit, or it cannot be read."""
    folder = _folder(root)
    if folder is None:
        return lambda: None

    def share() -> float | None:
        limit, used = _number(folder / "memory.max"), _number(folder / "memory.current")
        if not limit or used is None:
            return None
        return max(used - _droppable(folder / "memory.stat"), 0) / limit

    return share


def _folder(root: Path) -> Path | None:
    """The control group's own folder; inside of a container it is the root of the tree."""
    named = next((line[3:].strip() for line in _lines(root / "proc/self/cgroup") if line.startswith("0::")), "")
    tree = root / "sys/fs/cgroup"
    for folder in (tree / named.lstrip("/"), tree):
        if _number(folder / "memory.max") is not None:
            return folder
    return None


def _lines(path: Path) -> list[str]:
    try:
        with path.open() as file:
            return file.read(_CHARS).splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """None also for `max`: no limit."""
    lines = _lines(path)
    return int(lines[0]) if lines and lines[0].isdigit() else None


def _droppable(stat: Path) -> int:
    found = next((line.split() for line in _lines(stat) if line.startswith("inactive_file ")), [])
    return int(found[1]) if len(found) == 2 and found[1].isdigit() else 0
