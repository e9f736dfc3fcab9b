"""What the checks of an answer are told, and what they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

State: TypeAlias = Literal["passed", "failed", "silent"]


class Asked(msgspec.Struct, frozen=True):
    """What a request asks, as far as checks need it.

    `question`: the last user turn. `wants_json`, `schema`: the form of the answer. `tools`: name -> JSON schema of its
    arguments; `must_call`: an answer without a call is none. `most_tokens`: as long may the answer be at most.
    """

    question: str = ""
    wants_json: bool = False
    schema: bytes | None = None
    tools: Mapping[str, bytes] = {}
    must_call: bool = False
    most_tokens: int | None = None


class Given(msgspec.Struct, frozen=True):
    """An answer. `calls`: (name, arguments); `finish`: why the model stopped, in canonical words; `logprob`: the mean
    over its tokens, where the provider told it; `others`: further answers of the same model to the same request."""

    text: str = ""
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = None
    logprob: float | None = None
    others: tuple[str, ...] = ()


class Check(msgspec.Struct, frozen=True):
    """What one check says. `score`: 1 good, 0 bad, where it is a matter of degree something between."""

    name: str
    state: State
    score: float = 1.0
    why: str = ""


class Acceptor(Protocol):
    """Something learned from labels: how likely a cheap answer with such features is good."""

    def accepts(self, features: Mapping[str, float]) -> float:
        """P(good), 0 to 1."""


class Checked(msgspec.Struct, frozen=True):
    """The sum of the checks. `why` names the checks that failed, with what each has to say; empty if it is accepted.
    `features` are there if an acceptor was asked."""

    checks: tuple[Check, ...]
    accept: bool
    why: str = ""
    features: Mapping[str, float] = {}

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the checks that failed."""
        return tuple(check.name for check in self.checks if check.state == "failed")
