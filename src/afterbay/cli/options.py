"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def examples(*lines: str) -> str:
    """An epilogue. The lone \\b keeps click from flowing the lines into one paragraph."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


Config = Annotated[
    Path | None,
    typer.Option(
        "-c",
        "--config",
        metavar="FILE",
        help="The configuration; default ./afterbay.yaml, then afterbay/afterbay.yaml in the XDG config folder.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
