"""Code blocks of the documentation, to be run against a gateway."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

ADDRESS = "http://127.0.0.1:8400"
_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def python_blocks(page: str) -> list[str]:
    """The Python code blocks of a page in `docs/`, in order."""
    return _BLOCK.findall((Path(__file__).parent.parent / "docs" / page).read_text("utf-8"))


def first_import(block: str) -> str:
    """The top package of a block's first import."""
    match = re.match(r"(?:from|import) (\w+)", block)
    assert match is not None, block
    return match[1]


def run_block(block: str, url: str) -> str:
    """Runs a block against the gateway at `url`; what it printed."""
    assert ADDRESS in block
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block.replace(ADDRESS, url), "docs", "exec"), {"__name__": "docs"})  # noqa: S102  # our own pages
    return printed.getvalue()
