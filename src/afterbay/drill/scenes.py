"""The failures that are drilled: who is hit, from when to when, and how. One form for simulated and for real time.

What happens is told by `afterbay.sim.scenario.Episode`. The run is quiet for a quarter of its time, then it happens for
a quarter, then there is time for coming back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.words import nearest
from afterbay.drill.reach import Reach
from afterbay.sim.faults import Fault
from afterbay.sim.scenario import Episode, key_revoked, outage, rate_limit_storm, slow_drip

FROM, TO = 0.25, 0.5
"""The part of a run in which it happens."""

ROTATION_FROM, ROTATION_TO = 0.1, 0.9
OUT = 0.6
"""Of its turn in a rotation, a provider is out for this part."""

DRIP = 50.0
"""A dripping stream is so many times as slow from word to word."""

SCENES: Mapping[str, str] = MappingProxyType(
    {
        "outage": "every request gets a 503, and the streams that run break",
        "brown-out": "three of ten requests get a 503, the others begin 8 times as late and go on 4 times as slowly",
        "rate-limit-storm": "four of five requests get a 429 that asks to come back after 2 s",
        "region-loss": "every provider of the region takes no connection any more, and the streams that run break",
        "key-revoked": "the first of its keys is refused with a 401",
        "provider-rotation": "each provider in turn gives a 503 to every request, and its streams break",
        "slow-drip": f"streams begin as ever and then go on {DRIP:g} times as slowly",
    }
)
"""The names of all scenes, and what happens in them."""

_KEYLESS = frozenset({"openai", "llamacpp"})
"""Kinds that may be a server which asks for no key."""


class Scene(msgspec.Struct, frozen=True):
    """A failure that is about to be drilled. `hit`: the providers that are, `says`: what happens to them."""

    name: str
    says: str
    hit: tuple[str, ...]
    episodes: tuple[Episode, ...]

    def is_hit(self, from_s: float, to_s: float) -> bool:
        """Whether it happens at some moment between these two."""
        return any(one.from_s < to_s and from_s < one.to_s for one in self.episodes)


def scene(name: str, reach: Reach, provider: str | None, seconds: float) -> Scene:
    """The scene of this name, in a run of `seconds`. `provider` None: the one that most requests are sent to first.

    Raises:
        ClientMistake: there is no such scene or provider, or the provider has not what is to be lost.
    """
    make = _MAKERS.get(name)
    if make is None:
        near = nearest(name, SCENES)
        hint = f"Did you mean {near[0]}?" if near else f"There are {', '.join(SCENES)}."
        raise _mistake(f"There is no scenario '{name}'.", hint)
    if provider is not None and provider not in reach.providers:
        raise _unreached(provider, reach)
    hit, episodes = make(reach, provider, FROM * seconds, TO * seconds)
    return Scene(name, SCENES[name], hit, episodes)


_Made = tuple[tuple[str, ...], tuple[Episode, ...]]
_Make = Callable[[Reach, str | None, float, float], _Made]


def _one(make: Callable[[str, float, float], Episode]) -> _Make:
    """A scene that hits one provider."""

    def scene_of(reach: Reach, provider: str | None, from_s: float, to_s: float) -> _Made:
        hit = provider or reach.providers[0]
        return (hit,), (make(hit, from_s, to_s),)

    return scene_of


def _outage(provider: str, from_s: float, to_s: float) -> Episode:
    return outage(provider, from_s, to_s, "unavailable")


def _brown_out(provider: str, from_s: float, to_s: float) -> Episode:
    fault = Fault("unavailable")
    return Episode(from_s, to_s, (provider,), fault, share=0.3, slower_first=8.0, slower_gap=4.0)


def _region_loss(reach: Reach, provider: str | None, from_s: float, to_s: float) -> _Made:
    known = reach.plan.providers
    if provider is None:
        provider = next((name for name in reach.providers if known[name].region is not None), None)
    region = known[provider].region if provider is not None else None
    if region is None:
        what = f"'{provider}' has no region" if provider else f"No provider of '{reach.model}' has a region"
        raise _mistake(f"{what}, so none can be lost.", "Write `region: NAME` for providers of one place.")
    hit = tuple(name for name in reach.providers if known[name].region == region)
    return hit, (outage(hit, from_s, to_s, "black_hole"),)


def _key_revoked(reach: Reach, provider: str | None, from_s: float, to_s: float) -> _Made:
    keyed = [name for name in reach.providers if has_key(reach, name)]
    if not keyed or (provider is not None and provider not in keyed):
        what = f"'{provider}' has" if provider is not None else f"The providers of '{reach.model}' have"
        remedy = f"Name one that has: --provider {keyed[0]}." if keyed else "Drill an outage instead."
        raise _mistake(f"{what} no key in the configuration, so none can be revoked.", remedy)
    hit = provider or keyed[0]
    return (hit,), (key_revoked(hit, from_s, to_s),)


def has_key(reach: Reach, provider: str) -> bool:
    """Whether a provider is asked with a key, or with a cloud's credentials in the place of one."""
    known = reach.plan.providers[provider]
    return bool(known.keys) or known.kind not in _KEYLESS


def _rotation(reach: Reach, provider: str | None, from_s: float, to_s: float) -> _Made:
    if provider is not None:
        raise _mistake("Every provider has its turn in a rotation.", "Leave --provider out, or drill an outage.")
    seconds = from_s / FROM
    turn_s = (ROTATION_TO - ROTATION_FROM) * seconds / len(reach.providers)
    begins = [ROTATION_FROM * seconds + turn_s * place for place in range(len(reach.providers))]
    turns = zip(reach.providers, begins, strict=True)
    return reach.providers, tuple(_outage(name, begin_s, begin_s + OUT * turn_s) for name, begin_s in turns)


_MAKERS: Mapping[str, _Make] = MappingProxyType(
    {
        "outage": _one(_outage),
        "brown-out": _one(_brown_out),
        "rate-limit-storm": _one(rate_limit_storm),
        "region-loss": _region_loss,
        "key-revoked": _key_revoked,
        "provider-rotation": _rotation,
        "slow-drip": _one(lambda provider, from_s, to_s: slow_drip(provider, from_s, to_s, DRIP)),
    }
)


def _unreached(provider: str, reach: Reach) -> ClientMistake:
    near = nearest(provider, reach.providers)
    served = f"'{reach.model}' may be served by {', '.join(reach.providers)}."
    if provider in reach.plan.providers:
        return _mistake(f"No request for '{reach.model}' ever goes to '{provider}'.", served)
    return _mistake(f"There is no provider '{provider}'.", f"Did you mean {near[0]}?" if near else served)


def _mistake(message: str, remedy: str) -> ClientMistake:
    return ClientMistake(message, code="bad_drill", remedy=remedy)
