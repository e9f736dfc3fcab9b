"""What is wrong with a configuration, where every value came from, and how secrets are kept out of both."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from afterbay.core.redaction import redact
from afterbay.core.words import nearest

STARS = "***"
_PLAIN_KEY = re.compile(r"[A-Za-z0-9_/@+-]+")
_URL_PASSWORD = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://[^/?#\s:@]*:)[^/?#\s]*(?=@)")
_URL_USER = re.compile(r"(?P<head>[A-Za-z][A-Za-z0-9+.-]*://)[^/?#\s:@]+(?=@)")
_URL_PARAMETER = re.compile(
    r"(?P<head>[?&][^=&#\s]*(?:key|token|sig|secret|pass|auth|cred)[^=&#\s]*=)[^&#\s\"'`]+", re.IGNORECASE
)
_SECRET_PATH = re.compile(r"\.(api_key|api_keys\[\d+\])$|\.headers(\.|\[)")


class Problem(msgspec.Struct, frozen=True):
    """One mistake. `line` and `column` count from 1; None: the file as a whole, or no file."""

    file: str
    what: str
    wanted: str = ""
    remedy: str = ""
    path: str = ""
    line: int | None = None
    column: int | None = None

    def text(self) -> str:
        """File, position, key path, what is wrong, what was wanted and what to do, in one line."""
        place = self.file if self.line is None else f"{self.file}:{self.line}:{self.column or 1}"
        parts = [f"{place}: {self.path}: {self.what}" if self.path else f"{place}: {self.what}"]
        if self.wanted:
            parts.append(f"Wanted: {self.wanted}.")
        if self.remedy:
            parts.append(self.remedy)
        return " ".join(part if part.endswith((".", "?", "!")) else part + "." for part in parts)


class ConfigError(Exception):
    """A configuration that cannot be used, with every problem that was found, in the order of the file.

    A key that stands where a duration or a name belongs is what is wrong, and may be told to a terminal, a log or a
    pipeline's output: everything of a key's shape is made unreadable.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(
            _harmless(one)
            for one in sorted(dict.fromkeys(problems), key=lambda found: (found.line or 0, found.column or 0))
        )
        super().__init__("\n".join(found.text() for found in self.problems))


def _harmless(problem: Problem) -> Problem:
    what, wanted, remedy, path = (redact(one) for one in (problem.what, problem.wanted, problem.remedy, problem.path))
    return msgspec.structs.replace(problem, what=what, wanted=wanted, remedy=remedy, path=path)


class Origin(msgspec.Struct, frozen=True):
    """Where a value came from. `variables` are the environment variables that went into it."""

    kind: Literal["file", "environment", "default"]
    file: str = ""
    line: int | None = None
    column: int | None = None
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        if self.kind == "environment":
            names = f"environment {', '.join(self.variables)}"
            return f"{names} ({place})" if place else names
        return place if self.kind == "file" else "default"


DEFAULT = Origin("default")


def child(path: str, key: str) -> str:
    """The path of `key` below `path`: `routes.auto`, or `models["gpt-4.1"]` where a dot would mislead."""
    if _PLAIN_KEY.fullmatch(key):
        return f"{path}.{key}" if path else key
    quoted = key.replace("\\", "\\\\").replace('"', '\\"')
    return f'{path}["{quoted}"]'


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`Did you mean ...?`, or nothing."""
    near = nearest(word, known)
    return f"Did you mean {' or '.join(f'`{name}`' for name in near)}?" if near else ""


def masked_url(text: str) -> str:
    """`text` without what may be secret of URLs in it: passwords, a name without one (then it is a token), and values
    of parameters that are called as keys are."""
    for pattern in (_URL_PASSWORD, _URL_USER, _URL_PARAMETER):
        text = pattern.sub(rf"\g<head>{STARS}", text)
    return text


def is_secret(path: str) -> bool:
    """Whether a value at this path is secret wherever it came from: keys, and headers (they carry keys)."""
    return path.startswith("providers") and _SECRET_PATH.search(path) is not None


def shown(path: str, value: object, origins: Mapping[str, Origin]) -> str:
    """A value as it may be printed: secrets become stars, passwords in URLs too."""
    if isinstance(value, str):
        if is_secret(path):
            return STARS
        origin = origins.get(path)
        masked = masked_url(value)
        if origin is not None and origin.kind == "environment" and _may_hide(masked, value, path):
            return STARS
        return masked
    return str(value)


def _may_hide(masked: str, value: str, path: str) -> bool:
    """A value from the environment at a path that holds URLs is shown only if it looks like one."""
    return masked == value and path.rsplit(".", 1)[-1] in ("proxy", "database", "shared") and "://" not in value
