"""What a simulation is about, as data: who asks, how providers answer, what goes wrong and when.

    scenario = Scenario(
        plan,                                           # any resolved configuration (`config.snapshot.Snapshot`)
        model="m",                                      # what clients ask for
        providers={"a": Provider(failures=0.005), "b": Provider(failures=0.005)},
        traffic=Traffic(per_s=200.0),
        episodes=(outage("a", 600.0, 1200.0),),
    )

Times are simulated seconds from the start. Everything is frozen, and can be read from JSON by msgspec.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from afterbay.config.snapshot import Snapshot
from afterbay.core.checkpoint import Form
from afterbay.sim.faults import PUBLISHED, Fault, FaultKind

Arrivals: TypeAlias = Literal["poisson", "constant"]
Mechanism: TypeAlias = Literal["fallback", "retry", "resume", "ejection", "hedge"]

EVERYTHING: frozenset[Mechanism] = frozenset({"fallback", "retry", "resume", "ejection", "hedge"})

FITS: Mapping[Form, float] = MappingProxyType(
    {"again": 1.0, "prefill": 0.97, "instruct": 0.95, "step_back": 0.9, "replay": 0.05}
)
"""How often a model that is asked to go on in a form does so in a way that passes the seam.

An assumption, not a measurement: `instruct` is the promise of 95 %, the others stand around it. Another model nearly
never gives the same answer twice, which a replay needs.
"""


class Traffic(msgspec.Struct, frozen=True):
    """What clients send.

    per_s       requests a second, on the average (`poisson`) or evenly (`constant`)
    streams     the share that asks for a stream
    tokens      the median length of an answer; lengths are lognormal with `tokens_sigma`, at most `tokens_most`
    input_tokens  of each request, for its cost
    json, tools   the shares that want JSON, and whose answer is a tool call: neither can be gone on with as text
    leaves      the share of clients that hang up, each within `leaves_in_s`
    dialect     the protocol they speak
    """

    per_s: float = 50.0
    arrivals: Arrivals = "poisson"
    streams: float = 1.0
    tokens: float = 200.0
    tokens_sigma: float = 0.7
    tokens_most: int = 2000
    input_tokens: int = 800
    json: float = 0.0
    tools: float = 0.0
    leaves: float = 0.0
    leaves_in_s: float = 5.0
    dialect: str = "openai.chat"


class Provider(msgspec.Struct, frozen=True):
    """How one provider answers.

    first_s     the median time to the first output; lognormal with `first_sigma`
    gap_s       the median time from one token to the next of an answer; the same throughout one answer
    slow        the share of answers whose first output comes `slow_factor` times as late: the tail a hedge is for
    rtt_s       until a refusal, or a broken connection, is seen
    error_s     until an answer with an error status comes
    failures    the share of attempts that fail by themselves, as `mix` says
    mix         what such a failure is; the shares count in proportion
    fits        how often an answer that goes on with another one passes the seam, by form
    keys        how many keys the gateway has here
    """

    first_s: float = 0.6
    first_sigma: float = 0.4
    gap_s: float = 0.012
    gap_sigma: float = 0.3
    slow: float = 0.0
    slow_factor: float = 10.0
    rtt_s: float = 0.03
    error_s: float = 0.15
    failures: float = 0.0
    mix: tuple[Fault, ...] = PUBLISHED
    fits: Mapping[Form, float] = msgspec.field(default_factory=lambda: FITS)
    keys: int = 1


class Episode(msgspec.Struct, frozen=True):
    """Something that lasts, at some providers; `providers` empty: at all of them. Attempts that begin in it meet it.

    fault         what becomes of them; None: they are only slow
    share         of the attempts that meet it
    slower_first  the time to the first output is so many times as long
    slower_gap    and the time between tokens
    cuts          the share of the streams running when it begins that break at that moment
    key           only requests with this key meet it, counted from 1
    """

    from_s: float
    to_s: float
    providers: tuple[str, ...] = ()
    fault: Fault | None = None
    share: float = 1.0
    slower_first: float = 1.0
    slower_gap: float = 1.0
    cuts: float = 0.0
    key: int | None = None

    def hits(self, provider: str) -> bool:
        """Whether it is at this provider."""
        return not self.providers or provider in self.providers


class Scenario(msgspec.Struct, frozen=True):
    """One thing to simulate.

    plan       the configuration: aliases, routes, limits, health, as production has it
    model      what every client asks for
    providers  how each provider of the plan answers, by name; one that is missing answers as `Provider()`
    shared     the share of requests that fail wherever they go: causes that all providers have in common
    mechanisms what is switched on; the rest is off, whatever the plan says
    """

    plan: Snapshot
    model: str
    providers: Mapping[str, Provider] = {}
    traffic: Traffic = Traffic()
    episodes: tuple[Episode, ...] = ()
    shared: float = 0.0
    mechanisms: frozenset[Mechanism] = EVERYTHING
    name: str = ""


def outage(
    providers: str | tuple[str, ...], from_s: float, to_s: float, kind: FaultKind = "refused", *, cuts: float = 1.0
) -> Episode:
    """Nothing works there, and the streams that run break with it."""
    return Episode(from_s, to_s, _named(providers), Fault(kind), cuts=cuts)


def brown_out(providers: str | tuple[str, ...], from_s: float, to_s: float, slower: float = 8.0) -> Episode:
    """Everything is slower."""
    return Episode(from_s, to_s, _named(providers), slower_first=slower, slower_gap=slower)


def rate_limit_storm(
    providers: str | tuple[str, ...],
    from_s: float,
    to_s: float,
    share: float = 0.8,
    retry_after_s: float | None = 2.0,
) -> Episode:
    """Most requests are answered with 429."""
    return Episode(from_s, to_s, _named(providers), Fault("rate_limit", retry_after_s=retry_after_s), share)


def slow_drip(providers: str | tuple[str, ...], from_s: float, to_s: float, slower: float = 200.0) -> Episode:
    """Answers begin as ever and then come drop by drop."""
    return Episode(from_s, to_s, _named(providers), slower_gap=slower)


def key_revoked(provider: str, from_s: float, to_s: float, key: int = 1) -> Episode:
    """The provider no longer takes a key."""
    return Episode(from_s, to_s, (provider,), Fault("unauthorized"), key=key)


def _named(providers: str | tuple[str, ...]) -> tuple[str, ...]:
    return (providers,) if isinstance(providers, str) else providers
