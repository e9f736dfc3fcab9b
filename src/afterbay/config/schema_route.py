"""What may stand in a route of `afterbay.yaml`, and under `defaults`; its documentation is in the fields.

Keys that a later release will honour are listed in `NOT_BUILT`, and loading one says so.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta as Doc

from afterbay.config.fields import (
    AtMostOnce,
    Confidence,
    Count,
    Dollars,
    Factor,
    OneOrTwo,
    Ratio,
    Seconds,
    Section,
    Several,
    Share,
    SomeShare,
    Speed,
)
from afterbay.policy.plan import FallbackOn

Stage: TypeAlias = Literal[
    "normalize", "classify", "guard_input", "retrieve", "cache", "validate", "guard_output", "rank"
]
Task: TypeAlias = Literal["summarize", "code", "translate", "extract", "chat", "reasoning", "creative", "qa"]


class Timeouts(Section, frozen=True):
    """One deadline covers all attempts (`total`); the others cover one attempt."""

    connect: Annotated[Seconds | None, Doc(description="Until the upstream's connection stands. Default 5s.")] = None
    first_token: Annotated[
        Seconds | None, Doc(description="Until the first output, reasoning included; pings never count. Default 60s.")
    ] = None
    between_tokens: Annotated[Seconds | None, Doc(description="Between two outputs of a stream. Default 60s.")] = None
    min_tokens_per_s: Annotated[
        Speed | None,
        Doc(
            description="A stream that comes slower than this for 10 s counts as stalled; 0: none does. Default: "
            "learned from each target's streams, a quarter of its slowest ones, over 20 s, and only where another "
            "target can go on with the answer."
        ),
    ] = None
    total: Annotated[
        Seconds | None, Doc(description="The whole request, a stream's last byte included. Default 600s.")
    ] = None


class Rules(Section, frozen=True):
    """Thresholds and words of the simple rules that `auto` routes by. Chinese is counted as characters / 2."""

    short_words: Annotated[
        int, Doc(description="Below this, a prompt with a word of `extract` goes to the extract task.")
    ] = 100
    long_words: Annotated[int, Doc(description="Above this, a prompt goes to the reasoning task.")] = 1000
    cjk_chars_per_word: Annotated[Factor, Doc(description="How many Chinese characters count as one word.")] = 2.0
    extract: Annotated[tuple[str, ...], Doc(description="Words that mean extraction.")] = ("extract", "提取")
    reasoning: Annotated[tuple[str, ...], Doc(description="Words that mean reasoning.")] = ("reasoning", "推理")
    code: Annotated[tuple[str, ...], Doc(description="Words that mean code.")] = ("code", "代码")
    summarize: Annotated[tuple[str, ...], Doc(description="Words that mean a summary.")] = (
        "summarize",
        "summarise",
        "summary",
        "总结",
        "摘要",
    )
    translate: Annotated[tuple[str, ...], Doc(description="Words that mean a translation.")] = (
        "translate",
        "translation",
        "翻译",
    )


class HedgeConfig(Section, frozen=True):
    """A second attempt on another target while the first is silent. Within caps over the route's last hour."""

    after: Annotated[
        str,
        Doc(description="A percentile of the target's own times to first output, such as `p95`, or a duration."),
    ]
    width: Annotated[Several, Doc(description="Attempts at once, at most.")] = 2
    max_extra_cost: Annotated[
        Ratio, Doc(description="What attempts that lost may cost, as a share of the route's spend. 0: no hedges.")
    ] = 0.05
    max_share: Annotated[Ratio, Doc(description="Hedges, as a share of the route's requests. 0: no hedges.")] = 0.05


class SloConfig(Section, frozen=True):
    """A service level that a route should hold."""

    ttft_p95: Annotated[Seconds, Doc(description="95 % of the times to the first output stay under this.")]


class ShadowConfig(Section, frozen=True):
    """Requests that a second model is asked, too, after the client has its answer: labels for a certificate."""

    share: Annotated[Share, Doc(description="Share of the route's requests.")] = 0.02
    judge: Annotated[
        str | None, Doc(description="The alias that compares the two answers where no check can; null: none does.")
    ] = None
    max_cost_usd: Annotated[Dollars, Doc(description="What shadows and judgements may cost a day (UTC).")] = 1.0


class ExploreConfig(Section, frozen=True):
    """Requests that another candidate answers than the one which would, so that something is learned of it."""

    share: Annotated[Share, Doc(description="Share of the route's requests; 0.02 to 0.05 is usual.")] = 0.0
    max_cost_usd: Annotated[Dollars, Doc(description="What that may cost more a day (UTC).")] = 1.0


class CascadeConfig(Section, frozen=True):
    """The cheapest candidate is asked first, and its answer is checked before it is given."""

    samples: Annotated[
        OneOrTwo,
        Doc(
            description="Answers of the cheapest candidate that must agree; the second one is asked for if the first "
            "passes every check."
        ),
    ] = 1
    acceptor: Annotated[
        str | None,
        Doc(
            description="A file of `afterbay router train FILE --cascade -o OUT`: what was learned of the cheapest "
            "candidate's answers has the last word. Relative to this file."
        ),
    ] = None
    accept: Annotated[
        Share,
        Doc(
            description="How likely the `acceptor` must find an answer to be as good as the dearer model's, for it to "
            "be given."
        ),
    ] = 0.8


class RouteConfig(Section, frozen=True):
    """How requests by this name are served. `defaults` takes the same keys and holds for all routes and aliases."""

    tasks: Annotated[dict[Task, str], Doc(description="Which alias serves a task.")] = {}
    complexity: Annotated[
        dict[Literal["low", "medium", "high"], str],
        Doc(description="Which alias serves a level; a missing level uses the next higher."),
    ] = {}
    rules: Annotated[Rules | None, Doc(description="Thresholds and words of the simple rules.")] = None
    fallback: Annotated[tuple[str, ...] | None, Doc(description="Aliases to try, in order, after the pick.")] = None
    fallback_on: Annotated[
        tuple[FallbackOn, ...] | None,
        Doc(
            description="What sends a request to the next target. Default: error, timeout, rate_limit, invalid, empty."
        ),
    ] = None
    timeouts: Annotated[Timeouts, Doc(description="Time limits.")] = Timeouts()
    hold: Annotated[Seconds | None, Doc(description="How long response headers are held back. Default 10s.")] = None
    stages: Annotated[
        tuple[Stage, ...] | None, Doc(description="Which stages run; the order is fixed. Default: validate.")
    ] = None
    unsupported: Annotated[
        Literal["reject", "drop"] | None,
        Doc(description="A field that no target can honour: 400, or dropped with a warning. Default: reject."),
    ] = None
    usage: Annotated[
        Literal["estimate", "ask"] | None,
        Doc(description="Relayed streams without usage: count, or ask the provider. Default: estimate."),
    ] = None
    compliance: Annotated[str | None, Doc(description="A set under `policies.compliance` that targets must meet.")] = (
        None
    )
    tool_repair: Annotated[
        Literal["off", "translated", "all"] | None,
        Doc(description="Which answers' tool calls are checked and repaired. Default: translated."),
    ] = None
    tool_reask: Annotated[
        AtMostOnce | None,
        Doc(description="How often (0 or 1) the model is asked again for a call that stays invalid. Default: 0."),
    ] = None
    tool_order: Annotated[
        dict[str, tuple[str, ...]],
        Doc(description="Tools that need another's result, such as `book: [search]`: never called beside it."),
    ] = {}
    max_attempts: Annotated[
        Count | None, Doc(description="Attempts a request may make, all targets together. Default 5.")
    ] = None
    keep: Annotated[
        SomeShare | None,
        Doc(
            description="Share of the strongest model's quality that must be kept. A cheaper model is taken only as "
            "far as labels of this route's own traffic certify that; with too few, the strongest is."
        ),
    ] = None
    confidence: Annotated[Confidence | None, Doc(description="Confidence of that certificate. Default 0.9.")] = None
    shadow: Annotated[
        ShadowConfig | None,
        Doc(description="How labels for `keep` are come by: a second model is asked, too."),
    ] = None
    explore: Annotated[
        ExploreConfig | None, Doc(description="A share of requests that goes to another candidate, to learn of it.")
    ] = None
    optimize: Annotated[
        Literal["cost", "latency", "quality"] | None,
        Doc(description="Which of the candidates is picked where no rule names one."),
    ] = None
    predictor: Annotated[
        str | None,
        Doc(
            description="A file of `afterbay router train FILE -o OUT`: what was learned of the quality of models, "
            "which are called as under `models`, for `optimize: quality` and `pin`. Relative to this file."
        ),
    ] = None
    slo: Annotated[
        SloConfig | None, Doc(description="Service level that the pick should meet; the cheapest that does is taken.")
    ] = None
    min_score: Annotated[
        dict[str, Share],
        Doc(description="Scores on benchmarks that a candidate must have in the catalogue: `{humaneval: 0.9}`."),
    ] = {}
    pin: Annotated[
        bool | None,
        Doc(
            description="Whether a conversation stays with its model while that one's warm prompt cache is worth more "
            "than a change. Default: true."
        ),
    ] = None
    escalate: Annotated[
        bool | None,
        Doc(description="Whether an agent that goes round in circles gets the strongest candidate. Default: true."),
    ] = None
    hedge: Annotated[
        HedgeConfig | None,
        Doc(description="When to race a second attempt. `max_share: 0` switches an inherited one off."),
    ] = None
    resume: Annotated[
        Literal["off", "safe", "on"] | None, Doc(description="Whether a cut stream is continued. Default: safe.")
    ] = None
    reconnect: Annotated[
        Seconds | None,
        Doc(
            description="How long a client that lost its connection may be away from its stream, which goes on "
            "meanwhile. Default 0s: a client that leaves has cancelled its request."
        ),
    ] = None
    cascade: Annotated[
        bool | CascadeConfig | None,
        Doc(
            description="Whether the cheapest candidate is asked first and its answer checked before it is given. "
            "`{samples: 2}`: two of its answers must agree. Default: false."
        ),
    ] = None
    overflow: Annotated[
        Literal["reject", "trim_oldest", "middle_out", "larger_model"] | None,
        Doc(description="What is done with a conversation that does not fit a model's window. Default: reject."),
    ] = None
    cache: Annotated[dict[str, object] | None, Doc(description="Answer caches: `exact`, `semantic`, `invalidate`.")] = (
        None
    )
    prompt_cache: Annotated[Literal["off", "insert"] | None, Doc(description="Insert cache marks.")] = None
    max_cost_usd: Annotated[
        Dollars | None,
        Doc(
            description="Money one request may cost, all attempts together: targets that are too dear are passed over, "
            "answers are limited in length."
        ),
    ] = None


NOT_BUILT: tuple[str, ...] = (
    "cache",
    "prompt_cache",
)
"""Keys of a route that load and are not honoured yet: loading one is a warning."""
