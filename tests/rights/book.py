"""What the judge knows, and its own rules. Nothing here is the gateway's: sets are counted out, name by name.

The book holds what the admin API answered. Whatever the gateway then does is compared with what follows from that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from rights.world import DEPLOYED, FACTS, FALLBACKS, ROUTE_SETS, ROUTES, SETS

DAY_S = 86400
ROLES = ("viewer", "manager", "admin")
KINDS = ("organisation", "team", "user")
DIRECT = ("pa/one", "pc/other")
NAMES = (*DEPLOYED, *ROUTES, *DIRECT, "pa/*", "pb")
"""Everything that a list of models may name."""
PEERS = ("10.1.2.3", "10.1.9.9", "10.9.9.9", "192.0.2.7", "::ffff:10.1.2.3", "2001:db8::5", "2001:db9::5", None)
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "192.0.2.0/24", "2001:db8::/32", "0.0.0.0/0")
LIMITS = ("requests/day", "requests/month", "usd/day", "tokens/month")


class Tenant(msgspec.Struct):
    """An owner as the API told of it."""

    id: str
    kind: str
    name: str
    parent: str
    rights: dict[str, Any]
    preference: dict[str, Any]
    is_over: bool = False


class Key(msgspec.Struct):
    """A key as the API told of it. `secrets`: each with the second in which it ends; None: with the key."""

    id: str
    name: str
    owner: str
    role: str | None
    rights: dict[str, Any]
    preference: dict[str, Any]
    charged: tuple[str, ...]
    secrets: dict[str, float | None] = {}
    is_over: bool = False


class Book:
    """All owners and keys, and what was used."""

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[str, Key] = {}
        self.by_secret: dict[str, Key] = {}
        self.used: dict[tuple[str, int], int] = {}
        """Requests that somebody was asked for, by account and day."""

    # Who stands where

    def path(self, owner: str) -> list[str]:
        """The owners from the widest to this one."""
        found: list[str] = []
        while owner:
            found.insert(0, owner)
            owner = self.tenants[owner].parent
        return found

    def is_within(self, reach: str, owner: str) -> bool:
        return not reach or reach in self.path(owner)

    def is_foreign(self, reach: str, some_id: str) -> bool:
        """Whether somebody with this reach must not read of an id: it stands neither below nor above them."""
        key = self.keys.get(some_id)
        owner = key.owner if key is not None else some_id
        if owner and owner not in self.tenants:
            return True
        return not (self.is_within(reach, owner) or owner == "" or owner in self.path(reach))

    def below(self, tenant: str) -> tuple[set[str], set[str]]:
        """The owners and the keys that end with one."""
        owners = {one.id for one in self.tenants.values() if not one.is_over and tenant in self.path(one.id)}
        return owners, {key.id for key in self.keys.values() if not key.is_over and tenant in self.path(key.owner)}

    # What may be used

    def levels(self, key: Key) -> list[Mapping[str, Any]]:
        """The rights that all have to allow something."""
        return [*(self.tenants[one].rights for one in self.path(key.owner)), key.rights]

    def wishes(self, key: Key, agent: str | None) -> list[Mapping[str, Any]]:
        """The preferences that hold, the nearest first."""
        plain = [key.preference, *(self.tenants[one].preference for one in reversed(self.path(key.owner)))]
        agents = [one["agents"][agent] for one in plain if agent is not None and agent in one.get("agents", {})]
        return [*agents, *plain]

    def is_good(self, secret: str, peer: str | None, now: float) -> bool:
        """Whether a secret opens anything now, from there."""
        key = self.by_secret.get(secret)
        if key is None or key.is_over or any(self.tenants[one].is_over for one in self.path(key.owner)):
            return False
        until = key.secrets[secret]
        if until is not None and now >= until:
            return False
        levels = self.levels(key)
        return all(now < expiry(one) and comes_from(one.get("addresses"), peer) for one in levels)

    def bound(self, key: Key, agent: str | None) -> str | None:
        """The model that answers whatever is asked for."""
        return next((one["bound_model"] for one in self.wishes(key, agent) if one.get("bound_model")), None)

    def may_ask(self, key: Key, agent: str | None, provider: str) -> bool:
        """Whether a provider may be asked at all: rights, wishes, and the compliance sets that rights name."""
        lists = [one.get("providers") for one in self.levels(key)]
        lists += [one.get("allowed_providers") for one in self.wishes(key, agent)]
        if any(names is not None and provider not in names for names in lists):
            return False
        demanded = {name for one in self.levels(key) for name in one.get("compliance", ())}
        return all(name in SETS and SETS[name] <= FACTS[provider][1] for name in demanded)

    def may_attempt(
        self, key: Key, agent: str | None, asked: str, target: str, residency: str | None, *, strictly: bool = False
    ) -> bool:
        """Whether a target may be asked for a model. `strictly`: one name must be common to all that stand above."""
        provider = target.partition("/")[0]
        route_sets = ROUTE_SETS.get(asked, ())
        is_at_odds = residency is not None and FACTS[provider][0] != residency
        if is_at_odds or not self.may_ask(key, agent, provider):
            return False
        if not all(SETS[name] <= FACTS[provider][1] for name in route_sets):
            return False
        levels = self.levels(key)
        if asked in ROUTES and any(one.get("routes") is not None and asked not in one["routes"] for one in levels):
            return False
        names = {asked, target} | {name for name, targets in DEPLOYED.items() if target in targets and asked in KNOWN}
        return is_named(names, [one.get("models") for one in levels], strictly=strictly)

    def may_pass(self, key: Key, agent: str | None, provider: str, residency: str | None) -> bool:
        """Whether a raw request may go to a provider."""
        is_at_odds = residency is not None and FACTS[provider][0] != residency
        if is_at_odds or self.bound(key, agent) is not None or not self.may_ask(key, agent, provider):
            return False
        return is_named({f"{provider}/*", provider}, [one.get("models") for one in self.levels(key)], strictly=True)

    def models(self, key: Key) -> set[str]:
        """What a list of models shows."""
        found = {*DEPLOYED, *ROUTES}
        for one in self.levels(key):
            if one.get("models") is not None:
                found &= set(one["models"])
            if one.get("routes") is not None:
                found -= ROUTES.keys() - set(one["routes"])
        bounds = [set(one["providers"]) for one in self.levels(key) if one.get("providers") is not None]
        return {name for name in found if not bounds or behind(name) & set.intersection(*bounds)}

    # Limits

    def accounts(self, key: Key) -> list[str]:
        return [*self.path(key.owner), *key.charged, key.id]

    def limits(self, account: str) -> Mapping[str, float]:
        one = self.tenants.get(account) or self.keys[account]
        limits: Mapping[str, float] = one.rights.get("limits", {})
        return limits

    def is_used_up(self, key: Key, now: float) -> bool:
        """Whether no request may be admitted any more today."""
        day = int(now // DAY_S)
        for account in self.accounts(key):
            most = self.limits(account).get("requests/day")
            if most is not None and self.used.get((account, day), 0) >= most:
                return True
        return False

    def may_be_used_up(self, key: Key) -> bool:
        """Whether any other limit than that may refuse."""
        return any(self.limits(account).keys() - {"requests/day"} for account in self.accounts(key))

    def count(self, key: Key, now: float) -> None:
        """One request was admitted. The ledger in memory counts where there is a limit; the real one has the log."""
        for account in {one for one in self.accounts(key) if "requests/day" in self.limits(one)}:
            at = (account, int(now // DAY_S))
            self.used[at] = self.used.get(at, 0) + 1

    # What is more than what

    def exceeds(self, key: Key, maker: Key) -> str | None:
        """Something that a key may do and its maker may not; None: there is nothing."""
        return beyond(self.levels(key), self.levels(maker))

    def escapes(self, key: Key, maker: Key) -> set[str]:
        """Accounts whose limits hold for the maker, and not for the key."""
        limited = {one for one in self.accounts(maker) if self.limits(one)}
        return limited - set(self.accounts(key))


def behind(name: str) -> set[str]:
    """The providers that a name may lead to."""
    names = ROUTES.get(name, (name, *FALLBACKS.get(name, ())))
    return {target.partition("/")[0] for each in names for target in DEPLOYED[each]}


KNOWN = {*DEPLOYED, *ROUTES}


def reach_of(asked: str) -> set[str]:
    """Targets of which one has to pass for a model to be answered."""
    names = ROUTES.get(asked, (asked, *FALLBACKS.get(asked, ())))
    found = {target for name in names for target in DEPLOYED.get(name, ())}
    return found if asked in KNOWN else {asked}


def is_named(names: set[str], lists: Iterable[list[str] | None], *, strictly: bool) -> bool:
    bounds: list[set[str]] = [set(one) for one in lists if one is not None]
    if strictly:
        return not bounds or bool(names & set.intersection(*bounds))
    return all(names & one for one in bounds)


def comes_from(networks: list[str] | None, peer: str | None) -> bool:
    if networks is None:
        return True
    if peer is None:
        return False
    address = ipaddress.ip_address(peer.removeprefix("::ffff:"))
    return any(address in ipaddress.ip_network(one) for one in networks)


def expiry(rights: Mapping[str, Any]) -> float:
    at = rights.get("expires_at")
    return datetime.fromisoformat(at).timestamp() if at is not None else float("inf")


def beyond(narrow: Sequence[Mapping[str, Any]], wide: Sequence[Mapping[str, Any]]) -> str | None:
    """The first thing that is allowed by the one and not by the other, tried out one by one."""
    for field, universe in (("models", NAMES), ("routes", tuple(ROUTES)), ("providers", tuple(FACTS))):
        for name in (*universe, "anything-else"):
            allowed = [all(one.get(field) is None or name in one[field] for one in levels) for levels in (narrow, wide)]
            if allowed == [True, False]:
                return f"{field}: {name}"
    for peer in PEERS:
        allowed = [all(comes_from(one.get("addresses"), peer) for one in levels) for levels in (narrow, wide)]
        if allowed == [True, False]:
            return f"addresses: {peer}"
    demanded = [{name for one in levels for name in one.get("compliance", ())} for levels in (narrow, wide)]
    if not demanded[1] <= demanded[0]:
        return f"compliance: without {demanded[1] - demanded[0]}"
    for name in LIMITS:
        most = [min(one.get("limits", {}).get(name, float("inf")) for one in levels) for levels in (narrow, wide)]
        if most[0] > most[1]:
            return f"limits: {name}"
    if min(map(expiry, narrow)) > min(map(expiry, wide)):
        return "expires_at"
    return None
