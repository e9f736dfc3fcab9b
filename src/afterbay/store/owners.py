"""Tenants: organisations, teams and users, as a tree, and what holds for whoever belongs to one of them.

A team stands in an organisation or alone, a user in a team, in an organisation or alone. A place is a way to name one:
`team:acme/search` is the team `search` of the organisation `acme`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from afterbay.policy.allowance import Allowance
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights, allowances, meet_all, preferred

Kind: TypeAlias = Literal["organisation", "team", "user"]
KINDS: Final[tuple[Kind, ...]] = ("organisation", "team", "user")
"""From the widest to the narrowest: each may stand in any before it."""

ID_PREFIXES: Final[Mapping[Kind, str]] = {"organisation": "org", "team": "team", "user": "user"}


class Tenant(msgspec.Struct, frozen=True):
    """An organisation, a team or a user. `parent`: the id of the one that it stands in; empty: none.

    Times are UTC RFC 3339.
    """

    id: str
    kind: Kind
    name: str
    parent: str = ""
    rights: Rights = EVERYTHING
    preference: Preference = NO_WISH
    created_at: str = ""
    ended_at: str | None = None


class Standing(msgspec.Struct, frozen=True):
    """What holds for all that belong to one tenant. `path`: the tenants from the organisation down to it."""

    path: tuple[Tenant, ...] = ()
    rights: Rights = EVERYTHING
    preference: Preference = NO_WISH
    accounts: tuple[str, ...] = ()
    allowances: tuple[Allowance, ...] = ()

    def owner(self, kind: Kind) -> Tenant | None:
        """The tenant of this kind on the way."""
        return next((one for one in self.path if one.kind == kind), None)


NOBODY: Final = Standing()
"""What holds for a key that belongs to no tenant."""


def path_of(tenants: Mapping[str, Tenant], owner: str) -> tuple[Tenant, ...]:
    """The tenants from the top down to `owner`, as far up as they are known, ended ones too."""
    found: list[Tenant] = []
    while owner and owner in tenants and len(found) < len(KINDS):
        found.insert(0, tenants[owner])
        owner = tenants[owner].parent
    return tuple(found)


def standing_of(tenants: Mapping[str, Tenant], owner: str) -> Standing | None:
    """What holds for whoever belongs to `owner`; None: one on the way up has ended, or is not known."""
    if not owner:
        return NOBODY
    path = path_of(tenants, owner)
    if not path or path[0].parent or any(one.ended_at is not None for one in path):
        return None
    wish = NO_WISH
    for one in path:
        wish = preferred(one.preference, wish)
    return Standing(
        path,
        meet_all(one.rights for one in path),
        wish,
        tuple(account_of(one) for one in path),
        tuple(each for one in path for each in allowances(account_of(one), one.rights, f"{one.kind} {one.name}")),
    )


def account_of(tenant: Tenant) -> str:
    """The account that a tenant's use is charged to."""
    return f"{tenant.kind}:{tenant.id}"


def place_of(path: tuple[Tenant, ...]) -> str:
    """The place of the last of a path of tenants; empty: none."""
    return f"{path[-1].kind}:{'/'.join(one.name for one in path)}" if path else ""
