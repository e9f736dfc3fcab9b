"""The part of the configuration that policies see: aliases, routes, limits. Pure data, resolved, immutable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from afterbay.core.decision import Target
from afterbay.policy.cascade import Cascading
from afterbay.policy.hedge import Hedging
from afterbay.policy.resume import Mode

ToolRepair: TypeAlias = Literal["off", "translated", "all"]
FallbackOn: TypeAlias = Literal["error", "timeout", "rate_limit", "invalid", "empty", "refusal"]


Optimize: TypeAlias = Literal["cost", "latency", "quality"]
Overflow: TypeAlias = Literal["reject", "trim_oldest", "middle_out", "larger_model"]


class Rules(msgspec.Struct, frozen=True):
    """Thresholds and words of the simple rules that `auto` routes by; all words in lower case."""

    short_words: int = 100
    long_words: int = 1000
    cjk_chars_per_word: float = 2.0
    extract: tuple[str, ...] = ("extract", "提取")
    reasoning: tuple[str, ...] = ("reasoning", "推理")
    code: tuple[str, ...] = ("code", "代码")
    summarize: tuple[str, ...] = ("summarize", "summarise", "summary", "总结", "摘要")
    translate: tuple[str, ...] = ("translate", "translation", "翻译")


class Alias(msgspec.Struct, frozen=True):
    """A name that clients may ask for, with its deployments in order of priority, and the aliases to fall back to."""

    name: str
    targets: tuple[Target, ...]
    fallback: tuple[str, ...] = ()
    tags: frozenset[str] = frozenset()


class Former(msgspec.Struct, frozen=True):
    """An older name of a model. `told`: what became of it, a clause whose subject is the name. `instead`: the model
    that took its place, as its provider calls it. `alias`: what answers for it by itself; None: nothing does."""

    told: str
    instead: str
    alias: str | None = None


class Limits(msgspec.Struct, frozen=True):
    """Time limits of one request, in seconds. `min_tokens_per_s`: see `afterbay.policy.speed`; None: learned."""

    connect_s: float = 5.0
    first_token_s: float = 60.0
    between_tokens_s: float = 60.0
    total_s: float = 600.0
    hold_s: float = 10.0
    max_attempts: int = 5
    min_tokens_per_s: float | None = None


class HealthRules(msgspec.Struct, frozen=True):
    """When a target counts as ill, and for how long it is left out. See `afterbay.policy.outlier` and `.breaker`."""

    interval_s: float = 60.0
    latency_p95_s: float = 0.5
    error_rate: float = 0.05
    window_s: float = 60.0
    eject_s: float = 30.0


class Compliance(msgspec.Struct, frozen=True):
    """A policy: what a target must meet. See `afterbay.policy.compliance`.

    `sourced`: facts that nothing vouches for do not count. `is_unknown`: a key names it, and nothing else does.
    """

    require: frozenset[str] = frozenset()
    residency: str | None = None
    name: str = ""
    sourced: bool = False
    is_unknown: bool = False


class Shadowing(msgspec.Struct, frozen=True):
    """How labels for a certificate are come by. `judge`: the alias that compares answers; empty: only checks do."""

    share: float = 0.02
    judge: str = ""
    max_cost_picousd: int = 10**12


class Exploring(msgspec.Struct, frozen=True):
    """The share of requests that another candidate answers, and what that may cost more in a day."""

    share: float = 0.0
    max_cost_picousd: int = 10**12


class Route(msgspec.Struct, frozen=True):
    """How a request is served: a named route, or the defaults for a request by alias.

    `fallback` None: the alias's own list holds. `tool_order`: tool -> tools whose result it needs.
    `max_cost_picousd`: what one request may cost, all its attempts together (1e-12 USD); None: no limit.
    `resume`: whether a stream that breaks is gone on with; a configuration that says nothing has `safe`.
    `reconnect_s`: how long a client may be away from its stream; 0: a client that leaves has cancelled its request.
    `keep`: the share of the strongest candidate's quality that must be certified at `confidence` before a cheaper one
    is taken; None: no certificate is asked for. `min_score`: benchmark -> the least a candidate must have.
    """

    name: str
    limits: Limits = Limits()
    fallback: tuple[str, ...] | None = None
    fallback_on: frozenset[FallbackOn] = frozenset({"error", "timeout", "rate_limit", "invalid", "empty"})
    stages: frozenset[str] = frozenset({"validate"})
    tasks: Mapping[str, str] = {}
    complexity: Mapping[str, str] = {}
    rules: Rules = Rules()
    candidates: tuple[str, ...] = ()
    drop_unsupported: bool = False
    ask_usage: bool = False
    compliance: tuple[Compliance, ...] = ()
    tool_repair: ToolRepair = "translated"
    tool_reask: bool = False
    tool_order: Mapping[str, frozenset[str]] = {}
    max_cost_picousd: int | None = None
    resume: Mode = "off"
    hedge: Hedging | None = None
    reconnect_s: float = 0.0
    keep: float | None = None
    confidence: float = 0.9
    shadow: Shadowing | None = None
    explore: Exploring | None = None
    optimize: Optimize | None = None
    slo_ttft_p95_s: float | None = None
    min_score: Mapping[str, float] = {}
    pins: bool = True
    escalates: bool = True
    cascade: Cascading | None = None
    predictor: str = ""
    """The digest of what was learned of the quality of models, from a file; empty: nothing was."""
    overflow: Overflow = "reject"

    @property
    def at_once(self) -> int:
        """How many attempts one request may have at the same time."""
        return self.hedge.width if self.hedge is not None else 1


class Plan(Protocol):
    """What a look-up of names needs to see of a configuration."""

    @property
    def aliases(self) -> Mapping[str, Alias]:
        """Names that clients may ask for."""

    @property
    def routes(self) -> Mapping[str, Route]:
        """Named ways to serve."""

    @property
    def by_upstream_name(self) -> Mapping[str, str]:
        """Upstream names of deployments, with and without their date, to aliases."""

    @property
    def former(self) -> Mapping[str, Former]:
        """Older names of models, and what became of them."""

    @property
    def unknown_model(self) -> str:
        """`error`, or the alias or route that an unknown name means."""
