"""What was decided, what was tried, and the one record of a request that log, metrics and spans derive from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import msgspec

from afterbay.core.usage import Price, Usage


class Fact(msgspec.Struct, frozen=True):
    """What is known of a certificate or a promise beside its name: where that can be looked up, and when it ends.

    `until_s`: the moment (UTC seconds) from which it does not hold any more; None: no end was stated.
    """

    name: str
    source: str = ""
    until_s: float | None = None


class Target(msgspec.Struct, frozen=True):
    """One deployment that can answer: a model at a provider.

    `id` is `provider/name`, unique in a config snapshot. `alias` is the name that led here. `cannot` names features
    (see `afterbay.wire.features`) that the model or its provider lacks, `can` those that this provider has beyond its
    dialect, `unsaid` those that a request translated for it has no form for. `vendor` is who runs it (`groq`, ...),
    empty for a server of one's own. `priority`: lower is tried first. `speaks`: the dialects beside `dialect` that it
    takes from clients of theirs. `maker`: whose proofs of reasoning it accepts. `prefill`: whether it is known to go on
    with an assistant message that is the last one. `max_output`: tokens that its longest answer has, where known.
    `tells_cost`: the provider's answers say what it bills for them.
    `compliance`: the facts that are stated of it, by name; `facts`: more about some of them.
    `scores`: what its model reached on benchmarks, as shares of 1, by their names.
    """

    id: str
    alias: str
    provider: str
    name: str
    dialect: str
    price: Price | None = None
    context_tokens: int | None = None
    cannot: frozenset[str] = frozenset()
    tags: frozenset[str] = frozenset()
    region: str | None = None
    compliance: frozenset[str] = frozenset()
    weight: float = 1.0
    priority: int | None = None
    embeds: bool = False
    speaks: tuple[str, ...] = ()
    maker: str = ""
    vendor: str = ""
    can: frozenset[str] = frozenset()
    unsaid: frozenset[str] = frozenset()
    prefill: bool = False
    max_output: int | None = None
    tells_cost: bool = False
    facts: tuple[Fact, ...] = ()
    scores: Mapping[str, float] = {}

    def dialect_for(self, client: str) -> str:
        """The dialect in which it is asked for a client of the dialect `client`."""
        return client if client in self.speaks else self.dialect

    def cost_picousd(self, usage: Usage | None, asked_at: float | None = None) -> int | None:
        """What an answer costs that used so much, asked for at a moment (UTC seconds; None: on the day that the price
        was looked up); None: the price, or the usage, is not known.

        What the provider itself tells goes before the list if it is known to tell what it bills, and is better than
        nothing where no price is known.
        """
        if usage is None:
            return None
        if usage.told_picousd is not None and (self.tells_cost or self.price is None):
            return usage.told_picousd
        if self.price is None:
            return None
        price = self.price if asked_at is None else self.price.at(asked_at)
        return price.cost_picousd(usage)

    def marked(self, usage: Usage | None) -> Usage | None:
        """The usage, marked `estimated` where its cost is not sure: the counts contradict each other, or it was served
        in a way whose price is not known. What the provider is known to bill needs no mark."""
        if usage is None or usage.estimated or (self.tells_cost and usage.told_picousd is not None):
            return usage
        is_served = self.price is None or self.price.serves(usage.service)
        return usage if is_served and not usage.stray else msgspec.structs.replace(usage, estimated=True)


class Rejected(msgspec.Struct, frozen=True):
    """A candidate that a hard filter removed, and why."""

    target: str
    reason: str


class Scores(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is expected of a candidate for one request. None: not known, which is never taken for nothing.

    `cost_picousd`: with what its provider still has in its cache. `quality`: a share of 1. `ttft_p95_s`: 95 % of its
    first outputs came sooner. `warm_tokens`: of the prompt, in its provider's cache. `preferred`: its provider is the
    one that whoever asks wants first.
    """

    cost_picousd: int | None = None
    quality: float | None = None
    ttft_p95_s: float | None = None
    warm_tokens: int = 0
    preferred: bool = False


class Candidate(msgspec.Struct, frozen=True, omit_defaults=True):
    """One that a decision had to choose from. `removed`: what spoke against it; `rank`: its place in the order, from 1.

    `window` and `output`: tokens that it can read and write, where known.
    """

    target: str
    alias: str
    removed: str | None = None
    scores: Scores = Scores()
    rank: int | None = None
    window: int | None = None
    output: int | None = None


class Decision(msgspec.Struct, frozen=True):
    """Targets in the order in which they may be tried, and how that order came about.

    `route` is the alias or route asked for, `rule` the short reason (`alias`, `task:code`, `complexity:high`, ...).
    `propensity`: how likely this order was, where chance had a say in it.
    `cheap`: the targets whose answers are checked before they are given (`afterbay.policy.cascade`), by their ids;
    `cascade`: what came of that. `because`: what a rule that was learned went by, for the record.
    """

    targets: tuple[Target, ...]
    route: str
    rule: str
    rejected: tuple[Rejected, ...] = ()
    warnings: tuple[str, ...] = ()
    propensity: float = 1.0
    because: Mapping[str, Any] = {}
    cheap: tuple[str, ...] = ()
    cascade: str = ""

    @property
    def reason(self) -> str:
        """The rule, behind what came of a cascade where there was one."""
        return f"{self.cascade}; {self.rule}" if self.cascade else self.rule


Outcome: TypeAlias = Literal[
    "ok",
    "error",
    "timeout",
    "rate_limit",
    "invalid",
    "empty",
    "connection",
    "cut",
    "cancelled",
    "client_closed",
]
Why: TypeAlias = Literal["primary", "retry", "key", "fallback", "hedge", "resume", "repair", "sample"]
"""`retry`: the same target after a wait, or at once with less to read; `key`: the same target at once, with another of
its provider's keys. `sample`: a second answer of the same target, to hold the first one against."""


class Attempt(msgspec.Struct):
    """One try of one target. Times are seconds since the request arrived; None means it did not come to that.

    `key`: the place, from 1, of the key that it went out with, where the provider has several. `code`: the word for its
    error, the provider's or one of ours; `asked_s`: how long the provider asked to wait.
    `model`: the alias that the target was asked as; None: not known, as of attempts of older releases.
    """

    number: int
    target: str
    why: Why
    started_s: float
    headers_s: float | None = None
    first_token_s: float | None = None
    ended_s: float | None = None
    outcome: Outcome | None = None
    status: int | None = None
    error: str | None = None
    usage: Usage | None = None
    cost_picousd: int | None = None
    key: int | None = None
    code: str | None = None
    asked_s: float | None = None
    model: str | None = None


class Sight(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a decision saw of one target that was not as usual: how long it is to be left alone, and its health.

    `state` as in `afterbay.policy.breaker`, for another `for_s` seconds; `usable`: a request may go to it. `idle_s` is
    the time since its last attempt; `sent` and `accepted` are as in `afterbay.policy.condition`.
    """

    target: str
    cooling_s: float = 0.0
    state: Literal["closed", "open", "half_open"] = "closed"
    usable: bool = True
    illness: str | None = None
    for_s: float = 0.0
    idle_s: float | None = None
    sent: int = 0
    accepted: int = 0


class Circumstances(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a request that did not go well can be replayed from, beside its record. Nothing in it was said by anybody.

    `headers` are those of the client's headers that change what is done. `order` has
    the targets in the order that was decided, `sights` what was seen of them where that was anything. `shape` is the
    client's request with every text as a measure (`afterbay.core.shape`), compressed by zlib; empty: too large, not to
    be read, or not needed.
    `left_out` names what of the request has no place in its shape.
    """

    headers: dict[str, str] = {}
    order: tuple[str, ...] = ()
    sights: tuple[Sight, ...] = ()
    shape: bytes = b""
    left_out: tuple[str, ...] = ()


class Record(msgspec.Struct):
    """Everything worth keeping of one request. Written once, after the last byte.

    `outcome` is `ok`, the error code shown to the client, or `client_closed`. `cost_picousd` is the sum over attempts;
    None: the price of an attempt is unknown (never 0). `received_at` is UTC seconds, durations are monotonic seconds.
    `tool_calls` counts the calls that were looked at by what became of them (`wire.toolcalls.filter.Outcome`): it
    feeds a metric; what the log's table keeps are the warnings, a line a call. `seed`: with the id, what every draw of
    this request came from. `circumstances` are kept of requests that did not go well.

    `organisation`, `team` and `user` are the names of whom the key belongs to; `agent` is what the client calls itself
    (see `wire.agent`), `task` what it or the classifier called the request. `accounts` are the ledger's accounts that
    the cost is charged to (`key:ID`, `team:ID`, `tag:NAME=VALUE`, ...), `charged_picousd` what they are charged: the
    cost, or where it is not known the most that it may have been, `charged_by` the holder (one process) whose leases it
    is taken from; empty: nobody's.
    These three are the ledger's, and not in the log's table.

    `compliance` is the proof that the policies held: which ones, then for each target that was let through the facts by
    which it met them. Empty: none asked for anything.

    `reasons` has what a route picked by, where one picked (`afterbay.policy.statement`), so that it can be replayed
    under another policy: facts, candidates, scores, propensity. There is no text of anybody's in it.
    """

    id: str
    received_at: float
    operation: str
    protocol: str
    requested_model: str = ""
    route: str = ""
    rule: str = ""
    model: str = ""
    provider: str = ""
    upstream_model: str = ""
    key_id: str | None = None
    key_name: str | None = None
    stream: bool = False
    status: int = 0
    outcome: str = ""
    error: str | None = None
    attempts: list[Attempt] = []
    rejected: list[Rejected] = []
    warnings: list[str] = []
    usage: Usage | None = None
    cost_picousd: int | None = None
    ttft_s: float | None = None
    duration_s: float = 0.0
    stages_s: dict[str, float] = {}
    finish: str | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    tags: dict[str, str] = {}
    traceparent: str | None = None
    config_hash: str = ""
    tool_calls: dict[str, int] = {}
    seed: int | None = None
    circumstances: Circumstances | None = None
    organisation: str | None = None
    team: str | None = None
    user: str | None = None
    agent: str | None = None
    task: str | None = None
    accounts: tuple[str, ...] = ()
    charged_picousd: int = 0
    charged_by: str = ""
    compliance: list[str] = []
    reasons: dict[str, Any] | None = None
