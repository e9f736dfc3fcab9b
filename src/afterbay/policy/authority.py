"""Who may do what to keys and tenants: roles, their reach, and the rules that keep rights from growing. Pure.

A role belongs to a key. A viewer reads; a manager makes, changes, rotates and revokes keys; an admin does so with
tenants too. Each holds for the tenant that its key belongs to and everything below it; a key that belongs to nobody
reaches everything. Four rules keep rights from growing on the way:

- nobody grants rights that their own do not cover (`granted`), and what is left unsaid is no more than their own;
- nobody grants, changes or revokes a role above their own (`check_role`);
- nobody changes or ends the tenant that they stand in, only those below it (`check_above`);
- nobody sees a new secret of a key that may do more than they, or whose use is not charged to what limits them
  (`check_secret`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

import msgspec

from afterbay.core.errors import PolicyRefusal
from afterbay.policy.rights import EVERYTHING, Rights, excess, filled

Role: TypeAlias = Literal["viewer", "manager", "admin"]
ROLES: Final[tuple[Role, ...]] = ("viewer", "manager", "admin")
"""From the least to the most."""

RoleWish: TypeAlias = Role | Literal["none"]
"""What a change may want of a role: another one, or none any more."""


class Actor(msgspec.Struct, frozen=True):
    """Who asks for a change. `reach`: the tenant that the role holds for, with all below; empty: everything.

    `own`: the rights of the key itself, `rights`: those that it has together with its tenants'. `charged`: accounts
    that limit it and that its tenants do not stand for: its own, and those of who made it.
    """

    id: str
    role: Role | None
    reach: str = ""
    own: Rights = EVERYTHING
    rights: Rights = EVERYTHING
    charged: tuple[str, ...] = ()


OPERATOR: Final = Actor("operator", "admin")
"""Who has the machine, or AFTERBAY_ADMIN_KEY."""


def granted(actor: Actor, wanted: Rights) -> Rights:
    """The rights that a key or tenant gets which this actor makes or changes.

    Raises:
        PolicyRefusal: 403 `exceeds_rights`: more is wanted than the actor may.
    """
    beyond = excess(actor.rights, filled(wanted, actor.rights))
    if beyond is not None:
        raise _exceeds(f"More is asked for in `{beyond}` than the key that asks may use.", beyond)
    return filled(wanted, actor.own)


def is_within(actor: Actor, path: Sequence[str]) -> bool:
    """Whether the actor's role holds at a place. `path`: the tenants from the organisation down to it."""
    return not actor.reach or actor.reach in path


def check_acts(actor: Actor, least: Role) -> None:
    """Whether the actor has at least this role.

    Raises:
        PolicyRefusal: 403 `role_required`.
    """
    if actor.role is None or ROLES.index(actor.role) < ROLES.index(least):
        raise PolicyRefusal(
            f"This needs the role '{least}', and the key that asks has {actor.role or 'none'}.",
            code="role_required",
            remedy="Ask with a key of that role: `afterbay keys create NAME --role ...` makes one.",
        )


def check_role(actor: Actor, role: Role | None) -> None:
    """Whether the actor may have to do with a key of this role: grant it, or change, rotate or revoke one.

    Raises:
        PolicyRefusal: 403: the actor's own role is lower.
    """
    if role is not None and (actor.role is None or ROLES.index(role) > ROLES.index(actor.role)):
        raise _exceeds(f"A key of role '{role}' is beyond what role '{actor.role}' may grant or change.", "role")


def check_above(actor: Actor, parents: Sequence[str]) -> None:
    """Whether the actor stands above a tenant. `parents`: the tenants from the organisation down to its parent.

    Raises:
        PolicyRefusal: 403.
    """
    if not is_within(actor, parents):
        raise _exceeds(
            "The key that asks stands in this owner itself, and may change only what stands below it.", "parent"
        )


def check_secret(actor: Actor, rights: Rights, charged: Sequence[str]) -> None:
    """Whether the actor may be shown a new secret of a key that has these rights and is charged to these accounts.

    Raises:
        PolicyRefusal: 403 `exceeds_rights`.
    """
    beyond = excess(actor.rights, rights)
    if beyond is not None:
        raise _exceeds(f"That key may do more in `{beyond}` than the key that asks.", beyond)
    if not set(actor.charged) <= set(charged):
        raise _exceeds("What that key uses is not charged to the limits of the key that asks.", "limits")


def _exceeds(message: str, param: str) -> PolicyRefusal:
    return PolicyRefusal(
        message, code="exceeds_rights", param=param, remedy="Ask for less, or ask with a key that may do more."
    )
