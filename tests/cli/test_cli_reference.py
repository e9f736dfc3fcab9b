"""The command line describes itself, and quickly."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from typer.main import get_command

from afterbay.cli.main import app
from afterbay.cli.reference import commands, is_argument, page, parameters

from .conftest import SOURCES

DOCS = SOURCES.parent / "docs"
HEAVY = ("rich", "sqlalchemy", "aiohttp", "uvicorn", "alembic", "yaml", "asyncio", "numpy")


def all_commands() -> list[tuple[str, Any]]:
    return list(commands(get_command(app), "afterbay"))


def test_the_page_in_the_documentation_is_what_the_commands_say() -> None:
    text = (DOCS / "cli.md").read_text("utf-8")
    assert text == page(), "docs/cli.md is stale: run `python -m afterbay.cli.reference > docs/cli.md`"


def test_every_command_and_every_option_says_what_it_is() -> None:
    for path, command in all_commands():
        assert command.help, path
        for one in parameters(command):
            assert one.help, f"{path} {one.name}"


def test_every_command_shows_examples_of_itself() -> None:
    for path, command in all_commands():
        examples = (command.epilog or "").splitlines()[2:]
        assert examples, path
        assert any(path in line for line in examples), path


def test_every_table_can_be_had_as_json() -> None:
    tables = {"afterbay check", "afterbay models", "afterbay tail", "afterbay keys list", "afterbay drill"}
    tables |= {f"afterbay report {name}" for name in ("cost", "usage", "latency", "errors", "savings", "explain")}
    for path, command in all_commands():
        if path in tables:
            assert any("--json" in one.opts for one in parameters(command) if not is_argument(one)), path


def test_help_and_version_load_nothing_heavy() -> None:
    code = (
        "import sys; from afterbay.cli.main import run; sys.argv = ['afterbay', '--help']\n"
        "try: run()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SOURCES)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stderr == "[]\n"


def test_the_interface_names_no_verb_that_the_page_lacks() -> None:
    text = Path(DOCS / "cli.md").read_text("utf-8")
    for verb in ("serve", "ask", "check", "models", "tail", "emulate", "keys create", "keys list", "keys rotate"):
        assert f"## `afterbay {verb}" in text
