"""The reference page of the command line, made from the commands themselves.

`python -m afterbay.cli.reference` prints the page; `docs/cli.md` is its output, and a test compares them.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from typer.main import get_command

from afterbay.cli.main import app

_EXIT_CODES = """Data goes to standard output, everything else to standard error; into a pipe tables are tab-separated.
Exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 130 interrupted. Every command has `-h`, `--help`."""


def page() -> str:
    """The page in Markdown."""
    root: Any = get_command(app)
    lines = [
        "# Command line",
        "",
        "<!-- Made by `python -m afterbay.cli.reference`. Change the commands, not this page. -->",
        "",
        _EXIT_CODES,
        "",
    ]
    for path, command in commands(root, "afterbay"):
        lines += _section(path, command)
    return "\n".join(lines).rstrip() + "\n"


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """(full name, command) of a command and all below it, outer before inner."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, f"{path} {name}")


def parameters(command: Any) -> list[Any]:
    """Arguments and options, without `--help`."""
    return list(command.params)


def is_argument(parameter: Any) -> bool:
    """Whether it is given by position."""
    return str(parameter.param_type_name) == "argument"


def _section(path: str, command: Any) -> list[str]:
    parts = [part for part in parameters(command) if is_argument(part)]
    usage = " ".join([path, *(str(part.name).upper() for part in parts)])
    lines = [f"## `{usage}`", "", *_paragraphs(command.help or ""), ""]
    if parameters(command):
        lines += ["| | default | |", "|---|---|---|"]
        lines += [f"| {_names(one)} | {_default(one)} | {one.help} |" for one in parameters(command)]
        lines.append("")
    examples = [line.strip() for line in (command.epilog or "").splitlines()[2:]]
    return [*lines, "```sh", *examples, "```", ""] if examples else lines


def _paragraphs(text: str) -> list[str]:
    return [" ".join(part.split()) if part.strip() else "" for part in text.split("\n\n")]


def _names(parameter: Any) -> str:
    if is_argument(parameter):
        return f"`{str(parameter.name).upper()}`"
    metavar = f" {parameter.metavar}" if parameter.metavar else ""
    names = [f"`{name}{metavar}`" for name in (*parameter.opts, *parameter.secondary_opts)]
    return ", ".join(name.replace("|", "\\|") for name in names)


def _default(parameter: Any) -> str:
    if is_argument(parameter):
        return "required" if parameter.required else ""
    if parameter.default in (None, False, ()) or callable(parameter.default):
        return ""
    return f"`{parameter.default}`" if not isinstance(parameter.default, bool) else "yes"


if __name__ == "__main__":
    sys.stdout.write(page())
