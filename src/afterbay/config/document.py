"""A configuration file as a tree of YAML nodes: found, read, composed, its `${NAME}` replaced. Nothing is interpreted.

YAML is composed by libyaml where it is there (a file of 1,500 models takes tens of milliseconds, ten times less than in
pure Python), and never constructed: tags that would make objects mean nothing here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from afterbay.config.problem import ConfigError, Problem

FILE_LIMIT_BYTES = 16 * 1024 * 1024
_VARIABLE = re.compile(r"\$(\$?)\{([^{}]*)\}")
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
_SURROGATES = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_ADVICE = {
    "found character that cannot start any token": "Quote the value if it begins with @, ` or %.",
    "mapping values are not allowed in this context": "Quote a value that has `: ` in it, and check the indentation.",
    "found undefined alias": "Quote a value that begins with `*`.",
}


def find_config(environ: Mapping[str, str], folder: Path) -> Path | None:
    """The file used when none is named: `afterbay.yaml` in `folder`, else in the XDG configuration folder."""
    home = environ.get("XDG_CONFIG_HOME") or (f"{environ['HOME']}/.config" if environ.get("HOME") else "")
    places = [folder / "afterbay.yaml", *([Path(home) / "afterbay" / "afterbay.yaml"] if home else [])]
    return next((place for place in places if place.exists()), None)


def read_text(path: Path) -> str:
    """The text of a file.

    Raises:
        ConfigError: it is missing, a folder, too large, unreadable, or not UTF-8.
    """
    name = str(path)
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_LIMIT_BYTES + 1)
    except FileNotFoundError:
        raise _one(name, "there is no such file", remedy="Check the path given with -c, or create the file.") from None
    except IsADirectoryError:
        raise _one(name, "this is a folder, not a file", remedy=f"Name the file in it: {name}/afterbay.yaml.") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise _one(name, f"the file cannot be read: {reason}", remedy="Check its permissions.") from None
    if len(raw) > FILE_LIMIT_BYTES:
        raise _one(name, f"the file is larger than {FILE_LIMIT_BYTES} bytes", remedy="Is this the right file?")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line, column = before.count(b"\n") + 1, error.start - (before.rfind(b"\n") + 1) + 1
        what = f"byte 0x{raw[error.start]:02x} is not UTF-8"
        raise ConfigError([Problem(name, what, "UTF-8 text", "Save the file as UTF-8.", "", line, column)]) from None


def compose(text: str, file: str) -> yaml.MappingNode:
    """The tree of the one YAML (or JSON) document in `text`.

    Raises:
        ConfigError: bad syntax, an empty file, or something else than a mapping at the top.
    """
    if text.lstrip().startswith("{"):  # JSON writes characters beyond U+FFFF as two escapes, YAML has no such thing
        text = _SURROGATES.sub(lambda match: str(json.loads(f'"{match[0]}"')), text)
    try:
        loader = _LOADER(text)
        try:
            node = loader.get_single_node()
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise ConfigError([_syntax(error, text, file)]) from None
    except RecursionError:
        raise _one(file, "brackets or lists are nested too deep", remedy="Is this the right file?") from None
    if node is None or (isinstance(node, yaml.ScalarNode) and not node.value.strip()):
        remedy = "Write providers and models, or remove the file: without one, keys found in the environment are used."
        raise _one(file, "the file is empty", wanted="a configuration", remedy=remedy)
    if not isinstance(node, yaml.MappingNode):
        line, column = node.start_mark.line + 1, node.start_mark.column + 1
        what = f"the file is {describe_node(node)}"
        raise ConfigError([Problem(file, what, "keys such as providers, models, routes", "", "", line, column)])
    return node


def _one(file: str, what: str, wanted: str = "", remedy: str = "") -> ConfigError:
    return ConfigError([Problem(file, what, wanted, remedy)])


def _syntax(error: yaml.YAMLError, text: str, file: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is None:
        position = getattr(error, "position", None)
        if not isinstance(position, int):
            return Problem(file, "this is not YAML", "YAML or JSON")
        bad = next((i for i, char in enumerate(text) if _is_control(char)), 0)
        line, column = text.count("\n", 0, bad) + 1, bad - (text.rfind("\n", 0, bad) + 1) + 1
        remedy = "Remove it, or write it as an escape in double quotes."
        return Problem(file, f"character U+{ord(text[bad]):04X} is not allowed", "text", remedy, "", line, column)
    line, column = mark.line + 1, mark.column + 1
    lines = text.splitlines()
    here = lines[mark.line] if mark.line < len(lines) else ""
    if "\t" in here[: mark.column + 1] and not here[: mark.column].strip():
        return Problem(file, "a tab stands where YAML wants spaces", "spaces", "Indent with spaces.", "", line, column)
    problem = getattr(error, "problem", None) or "something is not as it should be"
    context = getattr(error, "context", None)
    opened = getattr(error, "context_mark", None)
    what = f"bad YAML: {problem}"
    if context:
        what += f" {context}" + (f" (begun in line {opened.line + 1})" if opened is not None else "")
    return Problem(file, what, "", _ADVICE.get(problem, ""), "", line, column)


def _is_control(char: str) -> bool:
    return (char < " " and char not in "\t\n\r") or "\x7f" <= char <= "\x9f" or char in "\ufffe\uffff"


def describe_node(node: yaml.Node) -> str:
    """What a node is, in words, without its value: it may be a secret."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    kinds = {"int": "a whole number", "float": "a number", "bool": "true or false", "null": "nothing"}
    return kinds.get(node.tag.rsplit(":", 1)[-1], "a text")


class Missing(Exception):
    """A `${NAME}` that cannot be replaced."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what, self.remedy = what, remedy


def expand(text: str, environ: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """`text` with each `${NAME}` replaced, and the names used. `${NAME:-text}` has a default, `$${` means `${`.

    Raises:
        Missing: a variable is not set, or empty, or what stands in the braces is no name.
    """
    if "${" not in text:
        return text, ()
    names: list[str] = []

    def replace(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        parts = _NAME.fullmatch(match[2])
        if parts is None:
            raise Missing("`${...}` does not hold the name of a variable", "Write ${NAME}, or $${ for a plain `${`.")
        name, default = parts[1], parts[2]
        names.append(name)
        value = environ.get(name) or default
        if value is None:
            state = "set but empty" if name in environ else "not set"
            raise Missing(f"the environment variable {name} is {state}", f"Set it: export {name}=...")
        return value

    return _VARIABLE.sub(replace, text), tuple(names)
