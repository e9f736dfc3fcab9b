"""Reads `afterbay.yaml` into `schema.Config`, and knows for every value where it stands.

The tree of YAML nodes is walked side by side with the types of the schema: so a key that nobody knows, a duration that
is none, a missing variable are all found in one pass, each with file, line, column and key path, and `resume: off` is
the word that was written, whatever YAML 1.1 thinks of it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import inspect

from afterbay.config.document import Missing, compose, describe_node, expand, read_text
from afterbay.config.fields import Seconds
from afterbay.config.problem import ConfigError, Origin, Problem, child, did_you_mean, is_secret, masked_url
from afterbay.config.schema import Config

NODE_LIMIT = 500_000
DEPTH_LIMIT = 40
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SECONDS = re.compile(r"[0-9]+(?:\.[0-9]+)?")
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|[smhd])")
_NUMBER = re.compile(r"[+-]?(?:[0-9][0-9_]*(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_INTEGER = re.compile(r"[+-]?[0-9][0-9_]*")
_DAY = re.compile(r"2[0-9]{3}-[0-9]{2}-[0-9]{2}")
_LONGEST = 40
_TRUE, _FALSE = frozenset({"true", "yes", "on"}), frozenset({"false", "no", "off"})
_BAD = msgspec.UNSET


class Document(msgspec.Struct, frozen=True):
    """A configuration as it was read. `origins` maps key paths to where they stand; what is not in it is a default."""

    config: Config
    origins: Mapping[str, Origin]
    file: str

    def problem(self, path: str, what: str, wanted: str = "", remedy: str = "") -> Problem:
        """A problem with the value at `path`, which may be a default: then its nearest parent is pointed at."""
        at = path
        while at and at not in self.origins:
            at = at[: max(at.rfind("."), at.rfind("["), 0)]
        origin = self.origins.get(at)
        line, column = (origin.line, origin.column) if origin is not None else (None, None)
        return Problem(self.file, what, wanted, remedy, path, line, column)


def load(path: Path, environ: Mapping[str, str]) -> Document:
    """Reads a file.

    Raises:
        ConfigError: with all problems of the file.
    """
    return parse(read_text(path), str(path), environ)


def parse(text: str, file: str, environ: Mapping[str, str]) -> Document:
    """Reads a configuration from text; `file` is only its name in messages.

    Raises:
        ConfigError: with all problems of the text.
    """
    node = compose(text, file)
    walk = _Walk(file, environ)
    with contextlib.suppress(_Enough):
        config = walk.read(node, inspect.type_info(Config), "")
    if walk.problems:
        raise ConfigError(walk.problems)
    return Document(config, walk.origins, file)


def seconds(text: str) -> Seconds | None:
    """A duration in seconds: `250ms`, `1h30m`, `2.5`; None if it is none."""
    text = text.strip().replace(" ", "")
    if len(text) > _LONGEST:
        return None
    if _SECONDS.fullmatch(text):
        return Seconds(text)
    if not _DURATION.fullmatch(text):
        return None
    return Seconds(sum(float(number) * _UNITS[unit] for number, unit in _DURATION_PART.findall(text)))


class _Enough(Exception):
    """The tree is too large to go on."""


class _Walk:
    """One pass over one tree; collects problems and origins."""

    def __init__(self, file: str, environ: Mapping[str, str]) -> None:
        self.file, self.environ = file, environ
        self.problems: list[Problem] = []
        self.origins: dict[str, Origin] = {}
        self._nodes = 0
        self._depth = 0

    def complain(self, node: yaml.Node, path: str, what: str, wanted: str = "", remedy: str = "") -> Any:
        """Notes a problem at `node`; what it returns stands for a value that could not be read."""
        mark = node.start_mark
        self.problems.append(Problem(self.file, what, wanted, remedy, path, mark.line + 1, mark.column + 1))
        return _BAD

    def read(self, node: yaml.Node, kind: inspect.Type, path: str) -> Any:
        """The value of `node` as `kind`, or `_BAD` after a complaint."""
        self._nodes += 1
        if self._nodes > NODE_LIMIT or self._depth > DEPTH_LIMIT:  # aliases (`*name`) can make a small file endless
            self.complain(node, path, "the file holds too much, or contains itself", "", "Is this the right file?")
            raise _Enough
        self._depth += 1
        try:
            if isinstance(kind, inspect.Metadata):
                kind = kind.type
            if isinstance(kind, inspect.UnionType):
                return self._union(node, kind, path)
            if isinstance(kind, inspect.StructType):
                return self._struct(node, kind, path)
            if isinstance(kind, inspect.DictType):
                return self._dict(node, kind, path)
            if isinstance(kind, inspect.VarTupleType):
                return self._tuple(node, kind, path)
            if isinstance(kind, inspect.CustomType) and kind.cls is object:
                return self._anything(node, path)
            return self._scalar(node, kind, path)
        finally:
            self._depth -= 1

    def _note(self, node: yaml.Node, path: str, variables: tuple[str, ...] = ()) -> None:
        mark = node.start_mark
        kind = "environment" if variables else "file"
        self.origins[path] = Origin(kind, self.file, mark.line + 1, mark.column + 1, variables)  # type: ignore[arg-type]

    def _union(self, node: yaml.Node, kind: inspect.UnionType, path: str) -> Any:
        members = [member for member in kind.types if not isinstance(member, inspect.NoneType)]
        if _is_null(node):
            if len(members) < len(kind.types):
                self._note(node, path)
                return None
        elif isinstance(node, yaml.MappingNode):
            members = sorted(members, key=lambda member: not isinstance(member, inspect.StructType))
        elif len(members) > 1:  # scalars: text or numbers
            numeric = _tag(node) in ("int", "float")
            wanted = (inspect.FloatType, inspect.IntType) if numeric else (inspect.StrType,)
            members = sorted(members, key=lambda member: not isinstance(member, wanted))
            if numeric and _tag(node) == "int":
                members = sorted(members, key=lambda member: not isinstance(member, inspect.IntType))
        return self.read(node, members[0], path)

    def _pairs(self, node: yaml.Node, path: str, wanted: str) -> Iterator[tuple[str, yaml.Node, yaml.Node]]:
        """The entries of a mapping in which each key stands once; `<<` brings in what is not there itself."""
        if not isinstance(node, yaml.MappingNode):
            self.complain(node, path, f"this is {describe_node(node)}", wanted)
            return
        seen: dict[str, int] = {}
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        for key, value in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                merged += self._merged(value, path)
            elif not isinstance(key, yaml.ScalarNode):
                self.complain(key, path, f"a key is {describe_node(key)}", "a name", "Quote it if it is meant as text.")
            elif key.value in seen:
                first = f"The first stands in line {seen[key.value]}; keep one of them."
                self.complain(key, child(path, key.value), "this key stands here twice", "", first)
            else:
                seen[key.value] = key.start_mark.line + 1
                yield key.value, key, value
        for key, value in merged:
            if key.value not in seen:
                seen[key.value] = 0
                yield key.value, key, value

    def _merged(self, node: yaml.Node, path: str) -> list[tuple[yaml.Node, yaml.Node]]:
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found: list[tuple[yaml.Node, yaml.Node]] = []
        for source in sources:
            if not isinstance(source, yaml.MappingNode):
                self.complain(source, child(path, "<<"), f"this is {describe_node(source)}", "a mapping to merge in")
                continue
            found += [pair for pair in source.value if isinstance(pair[0], yaml.ScalarNode)]
        return found

    def _struct(self, node: yaml.Node, kind: inspect.StructType, path: str) -> Any:
        if _is_null(node) and path and not any(field.required for field in kind.fields):
            self._note(node, path)  # `routes: {auto:}` is a section with nothing in it
            return kind.cls()
        fields = {field.encode_name: field for field in kind.fields}
        self._note(node, path)
        known, values, good = list(fields), {}, isinstance(node, yaml.MappingNode)
        for key, key_node, value_node in self._pairs(node, path, f"keys such as {', '.join(known[:4])}"):
            here, field = child(path, key), fields.get(key)
            if field is None:
                remedy = did_you_mean(key, known) or f"Known here: {', '.join(known)}."
                self.complain(key_node, here, "there is no such key", "", remedy)
                good = False
            elif field.required or not _is_null(value_node) or _takes_null(field.type):
                values[field.name] = self.read(value_node, field.type, here)
            else:
                self._note(value_node, here)  # `tags:` with nothing after it means the default
        missing = [field for field in kind.fields if field.required and field.name not in values]
        if missing and isinstance(node, yaml.MappingNode):
            for field in missing:
                remedy = f"Add `{field.encode_name}:` to {path}."
                self.complain(node, child(path, field.encode_name), "this key is missing", _wanted(field.type), remedy)
        if not good or missing or any(value is _BAD for value in values.values()):
            return _BAD
        return kind.cls(**values)

    def _dict(self, node: yaml.Node, kind: inspect.DictType, path: str) -> Any:
        self._note(node, path)
        found: dict[str, Any] = {}
        if _is_null(node):
            return found
        good = isinstance(node, yaml.MappingNode)
        for key, key_node, value_node in self._pairs(node, path, "a mapping of names"):
            here = child(path, key)
            if isinstance(kind.key_type, inspect.LiteralType) and key not in kind.key_type.values:
                known = [str(value) for value in kind.key_type.values]
                remedy = did_you_mean(key, known) or f"Known here: {', '.join(known)}."
                self.complain(key_node, here, "there is no such key", "", remedy)
                good = False
                continue
            found[key] = self.read(value_node, kind.value_type, here)
        return found if good and all(value is not _BAD for value in found.values()) else _BAD

    def _tuple(self, node: yaml.Node, kind: inspect.VarTupleType, path: str) -> Any:
        self._note(node, path)
        if _is_null(node):
            return ()
        if not isinstance(node, yaml.SequenceNode):
            hint = "Put it in brackets: [...]." if isinstance(node, yaml.ScalarNode) else ""
            return self.complain(node, path, f"this is {describe_node(node)}", "a list", hint)
        found = tuple(self.read(item, kind.item_type, f"{path}[{i}]") for i, item in enumerate(node.value))
        return _BAD if any(value is _BAD for value in found) else found

    def _anything(self, node: yaml.Node, path: str) -> Any:
        anything = inspect.CustomType(object)
        if isinstance(node, yaml.MappingNode):
            return self._dict(node, inspect.DictType(inspect.StrType(), anything), path)
        if isinstance(node, yaml.SequenceNode):
            return self._tuple(node, inspect.VarTupleType(anything), path)
        kinds: dict[str, inspect.Type] = {
            "int": inspect.IntType(),
            "float": inspect.FloatType(),
            "bool": inspect.BoolType(),
        }
        if _is_null(node):
            self._note(node, path)
            return None
        return self._scalar(node, kinds.get(_tag(node), inspect.StrType()), path)

    def _scalar(self, node: yaml.Node, kind: inspect.Type, path: str) -> Any:
        wanted = _wanted(kind)
        if not isinstance(node, yaml.ScalarNode):
            return self.complain(node, path, f"this is {describe_node(node)}", wanted)
        try:
            text, variables = expand(node.value, self.environ)
        except Missing as missing:
            return self.complain(node, path, missing.what, "", missing.remedy)
        self._note(node, path, variables)
        if _is_null(node):
            return self.complain(node, path, "there is no value", wanted)
        value = _reader(kind)(text.strip() if not isinstance(kind, inspect.StrType) else text, kind)
        if value is not _BAD:
            return value
        seen = self._seen(node, text, path, variables)
        remedy = ""
        if isinstance(kind, inspect.LiteralType):
            remedy = _meant(text, [str(value) for value in kind.values]) if not variables else ""
        return self.complain(node, path, seen, wanted, remedy)

    def _seen(self, node: yaml.Node, text: str, path: str, variables: tuple[str, ...]) -> str:
        if variables:
            return f"the value of {', '.join(variables)} does not fit"
        if is_secret(path) or len(text) > 80:
            return f"this is {describe_node(node)}"
        return f"`{masked_url(text)}` does not fit"


_ALSO_KNOWN_AS = {
    "google": "gemini",
    "claude": "anthropic",
    "aws": "bedrock",
    "grok": "xai",
    "llama.cpp": "llamacpp",
    "azure_openai": "azure",
    "azure-openai": "azure",
}
"""What people call a kind."""


def _meant(text: str, choices: list[str]) -> str:
    """What one of these words was probably meant. `on` is not almost `off`."""
    also = _ALSO_KNOWN_AS.get(text.lower())
    if also in choices:
        return f"Did you mean `{also}`?"
    return did_you_mean(text, choices) if text.lower() != "on" else ""


def _tag(node: yaml.Node) -> str:
    return str(node.tag).rsplit(":", 1)[-1]


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and _tag(node) == "null"


def _takes_null(kind: inspect.Type) -> bool:
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    return isinstance(kind, inspect.UnionType) and kind.includes_none


def _reader(kind: inspect.Type) -> Callable[[str, Any], Any]:
    readers: dict[type, Callable[[str, Any], Any]] = {
        inspect.StrType: lambda text, kind: text,
        inspect.LiteralType: lambda text, kind: text if text in kind.values else _BAD,
        inspect.IntType: _integer,
        inspect.FloatType: _number,
        inspect.BoolType: lambda text, kind: _truth(text),
        inspect.DateType: lambda text, kind: _day(text),
        inspect.CustomType: lambda text, kind: _BAD if (found := seconds(text)) is None else found,
    }
    return readers[type(kind)]


def _integer(text: str, kind: inspect.IntType) -> Any:
    """Whole numbers, in quotes too: a variable of the environment is always text. Too long is not a number."""
    if len(text) > 20 or not _INTEGER.fullmatch(text):
        return _BAD
    return _bounded(int(text.replace("_", "")), kind)


def _number(text: str, kind: inspect.FloatType) -> Any:
    if len(text) > _LONGEST or not _NUMBER.fullmatch(text):
        return _BAD
    value = float(text.replace("_", ""))
    return _bounded(value, kind) if abs(value) < 1e300 else _BAD


def _truth(text: str) -> Any:
    word = text.lower()
    return True if word in _TRUE else False if word in _FALSE else _BAD


def _day(text: str) -> Any:
    try:
        return date.fromisoformat(text) if _DAY.fullmatch(text) else _BAD
    except ValueError:
        return _BAD


def _bounded(value: Any, kind: inspect.IntType | inspect.FloatType) -> Any:
    fits = (
        (kind.gt is None or value > kind.gt)
        and (kind.ge is None or value >= kind.ge)
        and (kind.lt is None or value < kind.lt)
        and (kind.le is None or value <= kind.le)
    )
    return value if fits else _BAD


def _wanted(kind: inspect.Type) -> str:
    """What a type takes, in words."""
    if isinstance(kind, inspect.Metadata):
        return _wanted(kind.type)
    if isinstance(kind, inspect.UnionType):
        return " or ".join(_wanted(member) for member in kind.types if not isinstance(member, inspect.NoneType))
    if isinstance(kind, inspect.LiteralType):
        return f"one of {', '.join(str(value) for value in kind.values)}"
    if isinstance(kind, inspect.IntType | inspect.FloatType):
        word = "a whole number" if isinstance(kind, inspect.IntType) else "a number"
        bounds = {"above": kind.gt, "at least": kind.ge, "below": kind.lt, "at most": kind.le}
        limits = " and ".join(f"{name} {bound:g}" for name, bound in bounds.items() if bound is not None)
        return f"{word} {limits}".strip()
    if isinstance(kind, inspect.CustomType):
        return "a duration such as 250ms, 5s, 2m or 1h" if kind.cls is Seconds else "a value"
    words: dict[type, str] = {inspect.BoolType: "true or false", inspect.StrType: "a text"}
    words |= {inspect.DateType: "a day such as 2027-06-30"}
    words |= {inspect.VarTupleType: "a list", inspect.DictType: "a mapping", inspect.StructType: "a mapping"}
    return words.get(type(kind), "a value")
