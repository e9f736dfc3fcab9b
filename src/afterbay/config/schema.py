"""What may stand in `afterbay.yaml`: one struct per section, one field per key.

The description in a field is its documentation: the reference page and `afterbay check --schema` are made from it.
What a route may say is in `schema_route`.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta as Doc

from afterbay.config.fields import Count, Dollars, Factor, Seconds, Section, Share, TokenCount
from afterbay.config.schema_route import RouteConfig

Protocol: TypeAlias = Literal["openai", "anthropic", "gemini", "llamacpp", "azure", "vertex", "bedrock", "cohere"]
"""How a provider is spoken to; what a resolved provider's `kind` is."""

ProviderKind: TypeAlias = Literal[
    "openai",
    "anthropic",
    "gemini",
    "llamacpp",
    "groq",
    "xai",
    "mistral",
    "deepseek",
    "together",
    "openrouter",
    "perplexity",
    "huggingface",
    "cerebras",
    "ollama",
    "vllm",
    "sglang",
    "azure",
    "bedrock",
    "vertex",
    "cohere",
]
"""What a user may write. The catalogue maps it to a protocol and a default base URL."""


class FactConfig(Section, frozen=True):
    """A certificate or a promise, with what vouches for it."""

    fact: Annotated[str, Doc(description="Its name: soc2, hipaa_baa, gdpr, zdr, no_training, or one of your own.")]
    source: Annotated[str | None, Doc(description="Where it can be looked up: a URL, the number of a contract.")] = None
    until: Annotated[
        date | None, Doc(description="The last day (UTC) on which it holds. From the next on it counts as absent.")
    ] = None


Facts: TypeAlias = tuple[str | FactConfig, ...]


class RateConfig(Section, frozen=True):
    """USD per million tokens. What is missing costs as what it is part of: caches and media read as `input`, media
    written as `output`; a search or a request nothing, or as in the price around these rates."""

    input: Annotated[Dollars, Doc(description="USD per million input tokens.")]
    output: Annotated[Dollars, Doc(description="USD per million output tokens, reasoning included.")]
    cached_input: Annotated[Dollars | None, Doc(description="USD per million input tokens read from a cache.")] = None
    cache_write: Annotated[Dollars | None, Doc(description="USD per million input tokens written to a cache.")] = None
    cache_write_1h: Annotated[
        Dollars | None, Doc(description="The same, for an hour instead of minutes. Default: as `cache_write`.")
    ] = None
    audio_input: Annotated[Dollars | None, Doc(description="USD per million input tokens of audio.")] = None
    image_input: Annotated[Dollars | None, Doc(description="USD per million input tokens of images.")] = None
    audio_output: Annotated[Dollars | None, Doc(description="USD per million output tokens of audio.")] = None
    image_output: Annotated[Dollars | None, Doc(description="USD per million output tokens of images.")] = None
    search: Annotated[Dollars | None, Doc(description="USD per thousand searches of the web.")] = None
    request: Annotated[Dollars | None, Doc(description="USD per thousand answers, besides the tokens.")] = None


class PriceConfig(RateConfig, frozen=True):
    """A price of the operator's own: USD per million tokens. What is missing costs as what it is part of."""

    above: Annotated[
        dict[TokenCount, RateConfig],
        Doc(description="Other rates of answers whose whole input is above so many tokens: `{200000: {input: 6, …}}`."),
    ] = {}
    services: Annotated[
        dict[str, RateConfig],
        Doc(description="Other rates of tiers of service, as answers name them: `batch`, `flex`, `priority`, `fast`."),
    ] = {}


class ProviderLimits(Section, frozen=True):
    """What the provider allows this account."""

    rpm: Annotated[Count | None, Doc(description="Requests a minute.")] = None
    tpm: Annotated[Count | None, Doc(description="Tokens a minute.")] = None
    concurrent: Annotated[Count | None, Doc(description="Requests in flight at once.")] = None


class ProviderConfig(Section, frozen=True):
    """An upstream: a public provider, a server of one's own, or the embedded engine."""

    kind: Annotated[
        ProviderKind,
        Doc(description="Who it is. `openai`: any OpenAI-compatible host; `llamacpp`: the embedded engine."),
    ]
    base_url: Annotated[
        str | None,
        Doc(
            description="As its own SDK takes it: with `/v1` for OpenAI-compatible hosts, else without a version; "
            "azure: the resource's endpoint."
        ),
    ] = None
    api: Annotated[
        Literal["chat", "responses", "responses_only"],
        Doc(
            description="Which OpenAI endpoint to use where the client's protocol doesn't decide. "
            "`responses_only`: for clients of chat completions, too."
        ),
    ] = "chat"
    api_key: Annotated[str | None, Doc(description='The key, best as "${VARIABLE}".')] = None
    api_keys: Annotated[tuple[str, ...], Doc(description="Several keys, used in turn.")] = ()
    headers: Annotated[dict[str, str], Doc(description="Headers added to every request.")] = {}
    proxy: Annotated[str | None, Doc(description="An HTTP proxy's URL.")] = None
    ca_file: Annotated[str | None, Doc(description="A PEM file with the certificate authority to trust.")] = None
    limits: Annotated[ProviderLimits, Doc(description="The account's limits.")] = ProviderLimits()
    region: Annotated[
        str | None,
        Doc(description="Where it computes; `residency` filters by it. bedrock: the AWS region; default AWS_REGION."),
    ] = None
    compliance: Annotated[
        Facts,
        Doc(
            description="What it is certified for, or promised to: soc2, hipaa_baa, gdpr, zdr, no_training. A name, or "
            "`{fact, source, until}`. What is not stated counts as absent."
        ),
    ] = ()
    price: Annotated[PriceConfig | None, Doc(description="Overrides the price list for all its models.")] = None
    threads: Annotated[Count | None, Doc(description="llamacpp: threads per model; default cores - 1.")] = None
    slots: Annotated[Count, Doc(description="llamacpp: requests that a model works on at once.")] = 4
    api_version: Annotated[
        str | None,
        Doc(
            description="azure: the dated version of the deployment API; without it the v1 API is asked. "
            "vertex: `v1` or `v1beta1`, the default."
        ),
    ] = None
    project: Annotated[
        str | None,
        Doc(description="vertex: the project; default `GOOGLE_CLOUD_PROJECT`, without one an api_key is needed."),
    ] = None
    location: Annotated[
        str | None,
        Doc(description="vertex: the location; default `GOOGLE_CLOUD_LOCATION`, else `global`."),
    ] = None
    profile: Annotated[
        str | None,
        Doc(description="bedrock: the profile of the shared AWS configuration, where no `api_key` is given."),
    ] = None

    def __repr__(self) -> str:
        """Without keys, headers and proxy: they may hold secrets."""
        return f"ProviderConfig(kind={self.kind!r}, region={self.region!r}, ...)"


class Capabilities(Section, frozen=True):
    """What a model can do; None: as the catalogue says, else yes."""

    tools: Annotated[bool | None, Doc(description="Calls tools.")] = None
    vision: Annotated[bool | None, Doc(description="Reads images.")] = None
    audio: Annotated[bool | None, Doc(description="Hears audio.")] = None
    documents: Annotated[bool | None, Doc(description="Reads documents (PDF).")] = None
    json_schema: Annotated[bool | None, Doc(description="Answers in a given JSON Schema.")] = None
    prefill: Annotated[bool | None, Doc(description="Goes on with an assistant message that is the last one.")] = None
    reasoning: Annotated[bool | None, Doc(description="Takes a reasoning effort or budget.")] = None
    embeddings: Annotated[
        bool | None, Doc(description="Makes embeddings and does not chat; null: if its name has `embed` in it.")
    ] = None


class DeploymentConfig(Section, frozen=True):
    """One place where a model runs."""

    provider: Annotated[str, Doc(description="A name under `providers`.")]
    name: Annotated[str, Doc(description="The model's name there.")]
    weight: Annotated[Factor, Doc(description="Share of the traffic, relative to its siblings.")] = 1.0
    priority: Annotated[int | None, Doc(description="Lower is tried first, where nothing else decides.")] = None
    region: Annotated[str | None, Doc(description="Where it computes, if not where its provider does.")] = None
    compliance: Annotated[
        Facts, Doc(description="Facts beside its provider's; one that the provider states too is taken from here.")
    ] = ()
    lacks: Annotated[tuple[str, ...], Doc(description="Facts of its provider that do not hold for it.")] = ()


class ModelConfig(Section, frozen=True):
    """An alias: a name that clients may ask for. Either `provider` and `name`, or `deployments`."""

    provider: Annotated[str | None, Doc(description="A name under `providers`.")] = None
    name: Annotated[str | None, Doc(description="The model's name there; default: the alias itself.")] = None
    deployments: Annotated[tuple[DeploymentConfig, ...], Doc(description="Several places that run this model.")] = ()
    tags: Annotated[tuple[str, ...], Doc(description="Words that routes and reports may use.")] = ()
    fallback: Annotated[tuple[str, ...], Doc(description="Aliases to try when all its deployments failed.")] = ()
    capabilities: Annotated[Capabilities, Doc(description="Overrides what the catalogue says.")] = Capabilities()
    context: Annotated[Count | None, Doc(description="Context window in tokens.")] = None
    weight: Annotated[Factor, Doc(description="As in a deployment.")] = 1.0
    priority: Annotated[int | None, Doc(description="As in a deployment.")] = None
    region: Annotated[str | None, Doc(description="As in a deployment; those that say nothing have it.")] = None
    compliance: Annotated[Facts, Doc(description="As in a deployment, and for all of them.")] = ()
    lacks: Annotated[tuple[str, ...], Doc(description="As in a deployment, and for all of them.")] = ()
    price: Annotated[PriceConfig | None, Doc(description="Overrides the price list.")] = None
    scores: Annotated[
        dict[str, Share],
        Doc(description="Benchmark -> what the model reached, as a share of 1. Goes before the catalogue's figure."),
    ] = {}


class ComplianceConfig(Section, frozen=True):
    """What a target must be certified for, and where it must compute. A target that says nothing meets none."""

    require: Annotated[tuple[str, ...], Doc(description="All of these.")] = ()
    residency: Annotated[str | None, Doc(description="The region it must compute in.")] = None
    sourced: Annotated[bool, Doc(description="Whether only facts with a `source` count.")] = False


class HealthConfig(Section, frozen=True):
    """When a target counts as ill. Holds with these defaults where it is not set."""

    interval: Annotated[
        Seconds, Doc(description="Between probes of targets that are ejected, or that nobody asks. 0s: no probes.")
    ] = Seconds(60)
    latency_p95: Annotated[
        Seconds,
        Doc(
            description="A 95th percentile of the time to first output above this is slow, and so is one above three "
            "times the target's own habit, if that is more. Above it a probe is slow."
        ),
    ] = Seconds(0.5)
    error_rate: Annotated[
        Share, Doc(description="Above this share of failures it is ejected; from 10 requests and 3 failures on.")
    ] = 0.05
    window: Annotated[Seconds, Doc(description="What is looked at.")] = Seconds(60)
    eject: Annotated[
        Seconds, Doc(description="How long it is left out, times the number of ejections; at most 300s.")
    ] = Seconds(30)


class BudgetConfig(Section, frozen=True):
    """How much each account of a scope may use: money, requests, tokens, or several of them."""

    usd: Annotated[Dollars | None, Doc(description="US dollars.")] = None
    requests: Annotated[Count | None, Doc(description="Requests.")] = None
    tokens: Annotated[Count | None, Doc(description="Tokens, of input and output together.")] = None
    per: Annotated[
        Literal["minute", "day", "month", "total"],
        Doc(
            description="The period: any 60 seconds, a day or month of the calendar in UTC, or all time "
            "(`total`, of keys and their owners)."
        ),
    ] = "month"
    scope: Annotated[
        str,
        Doc(description="Each organisation, team, user, key, model or route, or tag:NAME: each value of that tag."),
    ] = "key"
    on_exceeded: Annotated[
        Literal["refuse", "downgrade", "cache", "defer"],
        Doc(description="What happens to a request when the money is used up: see docs/budgets.md."),
    ] = "refuse"


class PreferenceConfig(Section, frozen=True):
    """What is wanted of routing for somebody, within the rights of the key that asks."""

    preferred_provider: Annotated[str | None, Doc(description="A provider that is tried first.")] = None
    allowed_providers: Annotated[tuple[str, ...] | None, Doc(description="The only providers that are asked.")] = None
    bound_model: Annotated[
        str | None, Doc(description="An alias, a route or provider/model that answers, whatever is asked for.")
    ] = None


class PreferencesConfig(Section, frozen=True):
    """Preferences of those whom a request names. Those of its key go first, then the user's, then the agent's."""

    users: Annotated[
        dict[str, PreferenceConfig], Doc(description="By the `user` of a request, or `metadata.user_id`.")
    ] = {}
    agents: Annotated[
        dict[str, PreferenceConfig], Doc(description="By the agent of a request, such as x-afterbay-agent.")
    ] = {}


class PoliciesConfig(Section, frozen=True):
    """Rules that hold across routes."""

    health: Annotated[HealthConfig, Doc(description="When a target is ill, and what follows.")] = HealthConfig()
    compliance: Annotated[
        dict[str, ComplianceConfig], Doc(description="Named sets; one called `default` holds for every request.")
    ] = {}
    budgets: Annotated[dict[str, BudgetConfig], Doc(description="Named budgets.")] = {}
    preferences: Annotated[
        PreferencesConfig, Doc(description="What is wanted for users and agents that clients name.")
    ] = PreferencesConfig()


class StateConfig(Section, frozen=True):
    """Where state lives."""

    database: Annotated[str, Doc(description="An SQLAlchemy URL; `sqlite:///afterbay.db` by default.")] = (
        "sqlite:///afterbay.db"
    )
    shared: Annotated[str, Doc(description="`memory`, or a Redis URL for a fleet.")] = "memory"
    retention: Annotated[Seconds, Doc(description="How long records are kept.")] = Seconds(30 * 86400)
    idempotency: Annotated[
        Seconds,
        Doc(
            description="How long an answer is kept for repeats with the same `idempotency-key`, and no longer than "
            "`retention`; `0s`: not at all, the header then means nothing."
        ),
    ] = Seconds(86400)
    report_retention: Annotated[
        Seconds, Doc(description="How long their sums by the hour are kept, which reports read. They have names.")
    ] = Seconds(400 * 86400)
    durable: Annotated[
        Literal["process", "machine", "off"],
        Doc(
            description="What the record of a request survives from the moment that its client has the last byte: the "
            "end of the process, `kill -9` included; also that of the machine, for a wait for the disk; neither."
        ),
    ] = "process"
    journal_bytes: Annotated[
        Count, Doc(description="Most bytes of a process's journal; it is small while the database takes records.")
    ] = 1024 * 1024 * 1024
    journal_full: Annotated[
        Literal["serve", "refuse"],
        Doc(description="What becomes of requests that the journal does not take: it, or the disk, is full."),
    ] = "serve"

    def __repr__(self) -> str:
        """Without the addresses: they may hold passwords."""
        return f"StateConfig(retention={self.retention!r}, ...)"


class TelemetryConfig(Section, frozen=True):
    """What is told to other systems."""

    otlp: Annotated[str | None, Doc(description="An OpenTelemetry collector's URL for traces.")] = None
    capture_content: Annotated[bool, Doc(description="Whether prompts and answers go into traces.")] = False
    metrics_public: Annotated[bool, Doc(description="Whether /metrics needs no admin key off loopback.")] = False

    def __repr__(self) -> str:
        """Without the collector's address: it may hold a password."""
        return f"TelemetryConfig(capture_content={self.capture_content}, metrics_public={self.metrics_public}, ...)"


class LimitsConfig(Section, frozen=True):
    """Bounds of the gateway itself."""

    body_bytes: Annotated[Count, Doc(description="Largest request body.")] = 32 * 1024 * 1024
    answer_bytes: Annotated[Count, Doc(description="Largest whole answer of a provider.")] = 64 * 1024 * 1024
    event_bytes: Annotated[Count, Doc(description="Largest single event of a stream.")] = 16 * 1024 * 1024
    body_timeout: Annotated[Seconds, Doc(description="Until a request's body has arrived.")] = Seconds(60)
    linger: Annotated[
        Seconds,
        Doc(
            description="How long new requests are still served after SIGTERM, while `/health/ready` says 503 and "
            "whoever sends requests here notices."
        ),
    ] = Seconds(2)
    drain: Annotated[
        Seconds, Doc(description="How long requests in flight may go on after that; then they are ended with an error.")
    ] = Seconds(600)
    socket_idle: Annotated[
        Seconds, Doc(description="How long a WebSocket may stay open on which nothing moves, either way.")
    ] = Seconds(600)
    socket_total: Annotated[Seconds, Doc(description="How long a WebSocket may stay open at all.")] = Seconds(7200)
    retry_after: Annotated[Seconds, Doc(description="The longest Retry-After of a provider that is believed.")] = (
        Seconds(300)
    )


class Config(Section, frozen=True):
    """The whole file."""

    providers: Annotated[dict[str, ProviderConfig], Doc(description="Upstreams.")] = {}
    models: Annotated[dict[str, ModelConfig], Doc(description="Aliases: what clients may ask for.")] = {}
    defaults: Annotated[RouteConfig, Doc(description="Every key of a route; a route overrides it.")] = RouteConfig()
    routes: Annotated[dict[str, RouteConfig], Doc(description="Named ways to serve; `auto` always exists.")] = {}
    policies: Annotated[PoliciesConfig, Doc(description="Rules that hold across routes.")] = PoliciesConfig()
    state: Annotated[StateConfig, Doc(description="Where state lives.")] = StateConfig()
    telemetry: Annotated[TelemetryConfig, Doc(description="What is told to other systems.")] = TelemetryConfig()
    limits: Annotated[LimitsConfig, Doc(description="Bounds of the gateway itself.")] = LimitsConfig()
    region: Annotated[
        str | None,
        Doc(
            description="Where the gateway itself runs, such as `eu-west-1`, `europe-west4` or `eu`. Deployments of "
            "equal priority are then asked nearest first: the same region, the same area, the others."
        ),
    ] = None
    unknown_model: Annotated[
        str, Doc(description="What an unknown model name means: `error`, or the model or route to use instead.")
    ] = "error"
