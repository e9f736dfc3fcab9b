"""What may be used, and how rights compare. A right is only ever made smaller on its way down. Pure.

Rights bound each of seven things; a bound that is not there is no bound. They are a lattice: `meet` is what two allow
together, `covers` says that one allows all that another does. What a key may do is the meet of the rights of its
organisation, team and user with its own, so that what is taken from one of those is taken from every key below it.
Who may grant what is in `afterbay.policy.authority`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from functools import lru_cache, reduce
from typing import Annotated, Final, TypeAlias, get_args

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.redaction import is_like_a_secret
from afterbay.policy.allowance import Allowance, Period, Unit

NAMES_MOST: Final = 1000
NETWORKS_MOST: Final = 100
NAME_CHARS: Final = 256
LIMIT_MOST: Final = (1 << 63) - 1
LATEST_S: Final = 253_402_300_799
"""The last second of the year 9999, UTC: what is later, or before 1970, is no date that could be shown."""

LIMITS: Final = tuple(f"{unit}/{period}" for unit in get_args(Unit) for period in get_args(Period))
"""What may be limited: `picousd/month`, `requests/minute`, `tokens/day`, ..."""

_NAMED: Final = ("models", "routes", "providers")
_Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Rights(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What may be used. None: no bound; an empty set: nothing at all.

    `models`: names of models, routes or targets, by one of which a target must be asked or known. `routes`: those that
    may be named. `providers`: those that may be asked. `addresses`: networks (CIDR) that clients may come from.
    `compliance`: names of sets of the configuration, all of which a target must meet. `limits`: the most of a unit in a
    period, by their names in `LIMITS`. `expires_at`: UTC seconds from which on nothing may be used.
    """

    models: frozenset[str] | None = None
    routes: frozenset[str] | None = None
    providers: frozenset[str] | None = None
    addresses: frozenset[str] | None = None
    compliance: frozenset[str] = frozenset()
    limits: Mapping[str, Annotated[int, msgspec.Meta(ge=0, le=LIMIT_MOST)]] = {}
    expires_at: float | None = None


EVERYTHING: Final = Rights()


class Preference(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What somebody wants of routing, within their rights: a provider tried first, the only providers to ask, one model
    whatever is asked for. None: no wish. `agents`: the same for requests of an agent, by its name; it goes first."""

    preferred_provider: str | None = None
    allowed_providers: frozenset[str] | None = None
    bound_model: str | None = None
    agents: Mapping[str, Preference] = {}

    def of(self, agent: str | None) -> Preference:
        """What holds for a request of this agent; None: of nobody in particular."""
        return self.agents.get(agent, self) if agent is not None and self.agents else self


NO_WISH: Final = Preference()

Wishers: TypeAlias = tuple[tuple[str, Preference], ...]
"""Whose wishes a request is under, in words (`this key`, `the user 'ada'`), the nearest first; empty: the key's."""


def who_binds(by: Wishers, model: str) -> str:
    """Who wants this one model, in words."""
    return next((name for name, wish in by if wish.bound_model == model), "this key")


def who_forbids(by: Wishers, provider: str) -> str:
    """Who wants other providers than this one, in words."""
    found = (name for name, wish in by if wish.allowed_providers is not None and provider not in wish.allowed_providers)
    return next(found, "this key")


def limit_told(name: str) -> str:
    """A limit as people write it: `usd/month` is kept as `picousd/month`."""
    return name.removeprefix("pico") if name.startswith("picousd/") else name


def checked(rights: Rights) -> Rights:
    """The rights with their networks in their one form: the fewest that hold the same addresses.

    Raises:
        ClientMistake: 400: a network or a limit is none, a time is out of range, or something is too long or too many.
    """
    for field in (*_NAMED, "compliance"):
        _check_names(field, getattr(rights, field) or ())
    unknown = [name for name in rights.limits if name not in LIMITS]
    if unknown:
        told = ", ".join(limit_told(name) for name in LIMITS)
        raise _invalid("limits", f"limits of {told}; not of {limit_told(unknown[0])[:40]!r}")
    if rights.expires_at is not None and not 0 <= rights.expires_at <= LATEST_S:
        raise _invalid("expires_at", "a time from 1970 to the end of 9999, in UTC")
    if rights.addresses is None:
        return rights
    if len(rights.addresses) > NETWORKS_MOST:
        raise _invalid("addresses", f"at most {NETWORKS_MOST} networks")
    try:
        networks = [ipaddress.ip_network(one) for one in rights.addresses]
    except ValueError as wrong:
        raise _invalid("addresses", f"networks such as 10.0.0.0/8 or 2001:db8::1 ({wrong})") from None
    return msgspec.structs.replace(rights, addresses=_named(networks))


def check_preference(preference: Preference) -> None:
    """Whether a preference can be kept.

    Raises:
        ClientMistake: 400: a name is empty or too long, there are too many, or an agent's has agents again.
    """
    _check_names("preference.agents", preference.agents)
    for one in (preference, *preference.agents.values()):
        names = [name for name in (one.preferred_provider, one.bound_model) if name is not None]
        _check_names("preference", [*names, *(one.allowed_providers or ())])
        if one is not preference and one.agents:
            raise _invalid("preference.agents", "one level of agents")


def meet(one: Rights, other: Rights) -> Rights:
    """What both allow."""
    if other is EVERYTHING or one is EVERYTHING:
        return one if other is EVERYTHING else other
    return Rights(
        models=_both(one.models, other.models),
        routes=_both(one.routes, other.routes),
        providers=_both(one.providers, other.providers),
        addresses=_both_networks(one.addresses, other.addresses),
        compliance=one.compliance | other.compliance,
        limits={name: min(one.limits.get(name, most), most) for name, most in {**one.limits, **other.limits}.items()},
        expires_at=min((at for at in (one.expires_at, other.expires_at) if at is not None), default=None),
    )


def meet_all(rights: Iterable[Rights]) -> Rights:
    """What all allow; of none: everything."""
    return reduce(meet, rights, EVERYTHING)


def covers(wide: Rights, narrow: Rights) -> bool:
    """Whether `wide` allows all that `narrow` does."""
    return excess(wide, narrow) is None


def excess(wide: Rights, narrow: Rights) -> str | None:
    """The first field in which `narrow` allows more than `wide`; None: it does in none."""
    for field in _NAMED:
        bound: frozenset[str] | None = getattr(wide, field)
        names: frozenset[str] | None = getattr(narrow, field)
        if bound is not None and (names is None or not names <= bound):
            return field
    if not _is_inside(narrow.addresses, wide.addresses):
        return "addresses"
    if not wide.compliance <= narrow.compliance:
        return "compliance"
    for name, most in wide.limits.items():
        if narrow.limits.get(name, most + 1) > most:
            return f"limits.{limit_told(name)}"
    if wide.expires_at is not None and (narrow.expires_at is None or narrow.expires_at > wide.expires_at):
        return "expires_at"
    return None


def filled(wanted: Rights, own: Rights) -> Rights:
    """What is wanted, and `own` where nothing is said."""
    return Rights(
        models=own.models if wanted.models is None else wanted.models,
        routes=own.routes if wanted.routes is None else wanted.routes,
        providers=own.providers if wanted.providers is None else wanted.providers,
        addresses=own.addresses if wanted.addresses is None else wanted.addresses,
        compliance=own.compliance | wanted.compliance,
        limits={**own.limits, **wanted.limits},
        expires_at=own.expires_at if wanted.expires_at is None else wanted.expires_at,
    )


@lru_cache(maxsize=4096)
def is_from(addresses: frozenset[str] | None, peer: str | None) -> bool:
    """Whether a client at this address may come. One that is no address, such as a socket's path, may only if all may.

    An IPv4 client of a socket for both families shows as `::ffff:a.b.c.d`; that is the same client.
    """
    if addresses is None:
        return True
    try:
        found = ipaddress.ip_address(peer or "")
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ipaddress.ip_network(one) for one in addresses)


def allowances(account: str, rights: Rights, name: str) -> tuple[Allowance, ...]:
    """The limits of rights as allowances of an account."""
    found = []
    for limited, most in sorted(rights.limits.items()):
        unit, _, period = limited.partition("/")
        found.append(Allowance(account, msgspec.convert(unit, Unit), msgspec.convert(period, Period), most, name=name))
    return tuple(found)


def preferred(own: Preference, above: Preference) -> Preference:
    """What holds of a preference and that of who stands above: each wish from the nearest that has it, but only
    providers that both allow. An agent's goes before all of them."""
    if above is NO_WISH:
        return own
    plain = nearest(own, above)
    names = own.agents.keys() | above.agents.keys()
    agents = {name: nearest(own.agents.get(name, NO_WISH), above.agents.get(name, NO_WISH)) for name in names}
    return msgspec.structs.replace(plain, agents=agents)


def settled(preference: Preference) -> Preference:
    """A preference whose agents' hold by themselves: what they don't say, its own fields do."""
    agents = {name: nearest(one, preference) for name, one in preference.agents.items()}
    return msgspec.structs.replace(preference, agents=agents) if agents else preference


def nearest(own: Preference, above: Preference) -> Preference:
    """Each wish of `own`, or where it has none, of who stands `above`; and only providers that both allow."""
    if above is NO_WISH:
        return own
    return Preference(
        preferred_provider=own.preferred_provider or above.preferred_provider,
        allowed_providers=_both(own.allowed_providers, above.allowed_providers),
        bound_model=own.bound_model or above.bound_model,
    )


def _both(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def _both_networks(one: frozenset[str] | None, other: frozenset[str] | None) -> frozenset[str] | None:
    """Two networks are apart, or one lies in the other: what both have is the smaller ones."""
    if one is None or other is None:
        return other if one is None else one
    ours, theirs = ([ipaddress.ip_network(each) for each in names] for names in (one, other))
    inner = [each for each in ours if any(_lies_in(each, outer) for outer in theirs)]
    inner += [each for each in theirs if any(_lies_in(each, outer) for outer in ours)]
    return _named(inner)


def _is_inside(narrow: frozenset[str] | None, wide: frozenset[str] | None) -> bool:
    if wide is None or narrow is None:
        return wide is None
    outer = [ipaddress.ip_network(one) for one in wide]
    return all(any(_lies_in(ipaddress.ip_network(one), each) for each in outer) for one in narrow)


def _lies_in(inner: _Network, outer: _Network) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def _named(networks: Iterable[_Network]) -> frozenset[str]:
    """The fewest networks that hold the same addresses."""
    found = list(networks)
    fours = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))
    sixes = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))
    return frozenset(map(str, (*fours, *sixes)))


def _check_names(field: str, names: Iterable[str]) -> None:
    found = list(names)
    if len(found) > NAMES_MOST or any(not 0 < len(one) <= NAME_CHARS for one in found):
        raise _invalid(field, f"at most {NAMES_MOST} names of 1 to {NAME_CHARS} characters")
    if any(is_like_a_secret(one) for one in found):
        raise _invalid(field, "names; one of these looks like a key, and they are shown in lists and logs")


def _invalid(field: str, wanted: str) -> ClientMistake:
    return ClientMistake(
        f"The field `{field}` cannot be used.", code="invalid_value", param=field, remedy=f"Give {wanted}."
    )
