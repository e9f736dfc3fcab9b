"""The resolved configuration: immutable, hashed, everything looked up that can be looked up before a request comes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import msgspec

from afterbay.config.addresses import azure_path, check_straight, is_claude, vertex_path
from afterbay.config.schema import LimitsConfig, Protocol, StateConfig, TelemetryConfig
from afterbay.core.decision import Fact, Target
from afterbay.core.secret import Secret
from afterbay.policy.allowance import Rule
from afterbay.policy.compliance import common
from afterbay.policy.plan import Alias, Compliance, Former, HealthRules, Route
from afterbay.policy.statement import Preferences

_MAKERS: Mapping[str, str] = MappingProxyType(
    {"anthropic": "anthropic", "bedrock": "anthropic", "gemini": "google", "vertex": "google"}
)
"""Makers of what is not spoken by many. Their proofs hold on every cloud that serves their models: the extended
thinking page of Anthropic's documentation says so of its own; of Google's it is taken."""


class Provider(msgspec.Struct, frozen=True):
    """An upstream, ready to be spoken to. `chat_dialect` is a name of `afterbay.wire`; None: it cannot chat.

    `kind` llamacpp with an empty `base_url` is the embedded engine: whoever starts it fills in where it listens.
    `api_version`, `project` and `location` are parts of the address, at Azure and Vertex AI only.
    `vendor` is the catalogue's name of who runs it (`groq`, `mistral`, ...), empty for a server of one's own.
    `compliance` and `facts`: as of a target; a deployment may differ.
    `also_speaks`: dialects beside `chat_dialect` that it takes from clients of theirs.
    """

    name: str
    kind: Protocol
    base_url: str
    chat_dialect: str | None
    embed_dialect: str | None
    keys: tuple[Secret, ...] = ()
    headers: Mapping[str, str] = {}
    proxy: str | None = None
    ca_file: str | None = None
    region: str | None = None
    profile: str | None = None
    compliance: frozenset[str] = frozenset()
    facts: tuple[Fact, ...] = ()
    concurrent: int | None = None
    threads: int | None = None
    slots: int = 4
    vendor: str = ""
    also_speaks: tuple[str, ...] = ()
    api_version: str | None = None
    project: str | None = None
    location: str = "global"

    def maker_of(self, model: str) -> str:
        """Whose proofs of reasoning (`afterbay.wire.proofs`) a model here takes."""
        if self.kind == "vertex" and is_claude(model):
            return "anthropic"
        return _MAKERS.get(self.kind) or self.vendor or self.name

    @property
    def is_embedded(self) -> bool:
        """Whether this is the engine inside, not a server somewhere."""
        return self.kind == "llamacpp" and not self.base_url

    def path_of(self, path: str, model: str, *, stream: bool = False) -> str:
        """Where this provider wants what a dialect sends to `path`.

        Raises:
            ClientMistake: the model's name cannot stand in its address.
        """
        if self.kind == "azure":
            check_straight(f"/{model}", model)
            return azure_path(self.base_url, path, model, self.api_version)
        if self.kind == "vertex":
            return vertex_path(path, model, self.project, self.location, self.api_version, stream=stream)
        check_straight(path, model)
        return path

    def dialect_of(self, model: str, embeds: bool) -> str:
        """What a model here is asked in; empty: nothing that this gateway speaks."""
        if embeds and self.embed_dialect is not None:
            return self.embed_dialect
        if self.kind == "vertex" and is_claude(model):
            return "anthropic.messages"
        return self.chat_dialect or ""

    def __repr__(self) -> str:
        """Without headers and proxy: they may hold secrets."""
        return f"Provider(name={self.name!r}, kind={self.kind!r}, vendor={self.vendor!r}, ...)"


class Snapshot(msgspec.Struct, frozen=True):
    """One configuration, whole. A reload makes a new one; requests in flight keep theirs.

    `by_upstream_name` maps the upstream names of deployments, with and without their date, to aliases. `compliance` has
    the named sets, for keys that ask for one; those of routes are in the routes. `budgets`: what each account may
    use. `region`: where the gateway itself is. `preferences`: of users and agents that clients state; None: nobody's.
    `former`: older names of models, and what became of them.
    """

    hash: str
    providers: Mapping[str, Provider]
    aliases: Mapping[str, Alias]
    routes: Mapping[str, Route]
    defaults: Route
    by_upstream_name: Mapping[str, str]
    unknown_model: str
    limits: LimitsConfig
    state: StateConfig
    telemetry: TelemetryConfig
    compliance: Mapping[str, Compliance] = {}
    budgets: tuple[Rule, ...] = ()
    health: HealthRules = HealthRules()
    warnings: tuple[str, ...] = ()
    source: str | None = None
    region: str | None = None
    preferences: Preferences | None = None
    former: Mapping[str, Former] = {}


class About(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of a name that clients may ask for. What is not known is absent; `price` is USD per million tokens.

    A route has `candidates`, the names that it chooses from. `model` is what the provider calls it, if otherwise.
    `ends`: the day on which the last of its deployments is turned off; `successor`: what takes its place.
    """

    kind: Literal["alias", "route"]
    chat: bool
    candidates: tuple[str, ...] = ()
    provider: str | None = None
    model: str | None = None
    context: int | None = None
    max_output: int | None = None
    can: tuple[str, ...] = ()
    cannot: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    price: Mapping[str, float] = {}
    scores: Mapping[str, float] = {}
    ends: str | None = None
    successor: str | None = None


def anywhere_at(snapshot: Snapshot, provider: Provider) -> Target:
    """A target that has what holds of a provider whatever it is asked for: none of its deployments has less."""
    whole = Target(
        provider.name,
        "",
        provider.name,
        "",
        "",
        region=provider.region,
        compliance=provider.compliance,
        facts=provider.facts,
    )
    every = (one for alias in snapshot.aliases.values() for one in alias.targets if one.provider == provider.name)
    return common(every, whole)
