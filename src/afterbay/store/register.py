"""Keys and tenants as they stand, and every change of them: what may be done, by whom, and what it makes of them.

No I/O: a change is worked out here and given back (`Change`); whoever keeps the rows writes them, the audit log's entry
with them, and only then lets `apply` make it so. Every operation is told who asks (`afterbay.policy.authority`); what
lies outside of their reach is not there for them.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from afterbay.core.errors import PolicyRefusal
from afterbay.core.secret import Secret
from afterbay.policy.authority import (
    OPERATOR,
    Actor,
    Role,
    RoleWish,
    check_above,
    check_acts,
    check_role,
    check_secret,
    granted,
    is_within,
)
from afterbay.policy.rights import (
    EVERYTHING,
    NO_WISH,
    Preference,
    Rights,
    allowances,
    check_preference,
    checked,
    meet,
    preferred,
    settled,
)
from afterbay.ports import Key, Owner
from afterbay.store.errors import AmbiguousKey, InvalidKey, NameTaken, UnknownKey, UnknownTenant
from afterbay.store.keyform import HINT_CHARS, KeyInfo, KeyRow, NewKey, check_name, new_secret
from afterbay.store.owners import (
    ID_PREFIXES,
    KINDS,
    Kind,
    Standing,
    Tenant,
    path_of,
    place_of,
    standing_of,
)
from afterbay.store.rows import rfc3339, utc_seconds

OVERLAP_MOST_S: Final = 90 * 86400.0
"""The longest that an old secret may live on."""


class Change(msgspec.Struct, frozen=True):
    """What becomes of an operation: rows that are new or changed, and what the audit log says of it."""

    action: str
    subject: str
    path: tuple[str, ...]
    details: object
    keys: tuple[KeyRow, ...] = ()
    tenants: tuple[Tenant, ...] = ()
    secret: Secret | None = None


class Wish(msgspec.Struct, frozen=True):
    """What is wanted of a key or tenant that is made or changed. None: as it is, or for a new one nothing special."""

    rights: Rights | None = None
    preference: Preference | None = None
    role: RoleWish | None = None


AS_IT_IS: Final = Wish()


class Register:
    """All keys and tenants. `digest` makes of a secret what is kept of it."""

    def __init__(self, digest: Callable[[str], bytes]) -> None:
        self.keys: dict[str, KeyRow] = {}
        self.tenants: dict[str, Tenant] = {}
        self.has_lasting = False
        """Whether there is, or was, a key that is no throwaway one."""
        self._digest = digest
        self._standings: dict[str, Standing | None] = {}

    # What stands

    def load(self, tenants: Iterable[Tenant], keys: Iterable[KeyRow]) -> None:
        """Takes everything anew, in the order of its making."""
        self.tenants = {one.id: one for one in tenants}
        self.keys = {row.info.id: row for row in keys}
        self.has_lasting = any(not row.info.throwaway for row in self.keys.values())
        self._standings = {}

    def apply(self, change: Change) -> None:
        """Makes a change so."""
        for tenant in change.tenants:
            self.tenants[tenant.id] = tenant
            self._standings = {}
        for row in change.keys:
            self.keys[row.info.id] = row
            self.has_lasting = self.has_lasting or not row.info.throwaway

    def touched(self, change: Change) -> set[str]:
        """The keys of which a change makes others: its own, those that are charged to them, those below its tenants."""
        found = {row.info.id for row in change.keys}
        tenants = {one.id for one in change.tenants}
        is_below = {"": False}
        more: list[str] = []
        for key_id, row in self.keys.items():
            owner = row.info.owner
            if owner not in is_below:
                is_below[owner] = bool(tenants) and not tenants.isdisjoint(self.path(owner))
            if is_below[owner] or not found.isdisjoint(row.info.charged):
                more.append(key_id)
        return found.union(more)

    def path(self, owner: str) -> tuple[str, ...]:
        """The ids of the tenants from the top down to `owner`."""
        return tuple(one.id for one in path_of(self.tenants, owner))

    def place(self, owner: str) -> str:
        """The place of a tenant, for people."""
        return place_of(path_of(self.tenants, owner))

    def effective(self, info: KeyInfo) -> Key | None:
        """What a key is for the data plane; None: it was revoked, or an owner of it has ended."""
        standing = self._standing(info.owner)
        if standing is None or info.revoked_at is not None:
            return None
        team, organisation, user = (standing.owner(kind) for kind in ("team", "organisation", "user"))
        charged = [*(self.keys[one].info for one in info.charged if one in self.keys), info]
        return Key(
            id=info.id,
            name=info.name,
            rights=meet(standing.rights, info.rights),
            preference=settled(preferred(info.preference, standing.preference)),
            role=info.role,
            admin=info.role == "admin" and not info.owner,
            organisation=_owner(organisation),
            team=_owner(team),
            user=_owner(user),
            accounts=(*standing.accounts, *(f"key:{one.id}" for one in charged)),
            allowances=(
                *standing.allowances,
                *(each for one in charged for each in allowances(f"key:{one.id}", one.rights, f"key {one.name}")),
            ),
        )

    def actor(self, by: str, now: float) -> Actor:
        """Who asks, by the id of their key.

        Raises:
            PolicyRefusal: that key may ask for nothing any more.
        """
        if by == OPERATOR.id:
            return OPERATOR
        row = self.keys.get(by)
        key = self.effective(row.info) if row is not None else None
        if row is None or key is None or (key.rights.expires_at is not None and key.rights.expires_at <= now):
            raise PolicyRefusal("The key that asks has ended.", code="role_required", remedy="Ask with another key.")
        info = row.info
        charged = tuple(f"key:{one}" for one in (*info.charged, *([info.id] if info.rights.limits else ())))
        return Actor(info.id, info.role, info.owner, info.rights, key.rights, charged)

    # Reading

    def list_keys(self, actor: Actor, owner: str = "", *, revoked: bool = False) -> Iterator[KeyInfo]:
        """The keys that the actor may see, those of `owner` and below if one is given."""
        check_acts(actor, "viewer")
        for row in self.keys.values():
            if revoked or row.info.revoked_at is None:
                path = self.path(row.info.owner)
                if is_within(actor, path) and (not owner or owner in path):
                    yield row.info

    def key(self, actor: Actor, id_or_name: str, *, revoked: bool = False) -> KeyRow:
        """A live key that the actor may see, by its id or name; by its id also one that was revoked, if asked.

        Raises:
            UnknownKey, AmbiguousKey
        """
        check_acts(actor, "viewer")
        row = self.keys.get(id_or_name)
        if row is not None and is_within(actor, self.path(row.info.owner)) and (revoked or not row.info.revoked_at):
            return row
        found = [info for info in self.list_keys(actor) if info.name == id_or_name]
        if len(found) > 1:
            raise AmbiguousKey(
                f"There are {len(found)} keys named {id_or_name!r}, of different owners.",
                f"Say which by its id: {', '.join(info.id for info in found[:5])}.",
            )
        if not found:
            raise UnknownKey.named(id_or_name)
        return self.keys[found[0].id]

    def list_tenants(self, actor: Actor, kind: Kind | None = None, *, ended: bool = False) -> Iterator[Tenant]:
        """The tenants that the actor may see."""
        check_acts(actor, "viewer")
        for one in self.tenants.values():
            is_meant = (kind is None or one.kind == kind) and (ended or one.ended_at is None)
            if is_meant and is_within(actor, self.path(one.id)):
                yield one

    def tenant(self, actor: Actor, kind: Kind, id_or_place: str) -> Tenant:
        """A live tenant that the actor may see, by its id or by the names on the way to it: `acme/search`.

        Raises:
            UnknownTenant
        """
        check_acts(actor, "viewer")
        one = self.tenants.get(id_or_place)
        if one is None or one.kind != kind:
            wanted = f"{kind}:{id_or_place}"
            one = next((each for each in self.list_tenants(actor, kind) if self.place(each.id) == wanted), None)
        if one is None or one.ended_at is not None or not is_within(actor, self.path(one.id)):
            raise UnknownTenant.named(kind, id_or_place)
        return one

    # Keys

    def create_key(
        self, actor: Actor, name: str, owner: str, wish: Wish, now: float, *, throwaway: bool = False
    ) -> Change:
        """Makes a key for an owner; empty: the actor's own place.

        Raises:
            InvalidKey, NameTaken, UnknownTenant
            ClientMistake, PolicyRefusal: see `policy.rights.checked`, `policy.authority`.
        """
        check_acts(actor, "manager")
        check_name(name)
        owner = owner or actor.reach
        self._check_owner(actor, owner)
        self._check_free(name, owner)
        rights, preference = self._allowed(actor, wish)
        role = _role(wish, None)
        check_role(actor, role)
        secret = new_secret()
        charged = tuple(one.removeprefix("key:") for one in actor.charged)
        info = KeyInfo(
            f"key_{secrets.token_hex(8)}",
            name,
            secret[:HINT_CHARS],
            owner,
            role,
            rights,
            preference,
            charged,
            rfc3339(now),
            throwaway=throwaway,
        )
        row = KeyRow(info, self._digest(secret))
        return self._key_change("key.create", row, _told(info), Secret(secret))

    def update_key(self, actor: Actor, id_or_name: str, wish: Wish) -> Change:
        """Gives a key other rights, another preference or another role."""
        row = self._own_key(actor, id_or_name)
        info = row.info
        rights, preference = self._allowed(actor, wish, info.rights, info.preference)
        role = _role(wish, info.role)
        check_role(actor, role)
        changed = replace(info, rights=rights, preference=preference, role=role)
        told = {"before": _told(info), "after": _told(changed)}
        return self._key_change("key.update", replace(row, info=changed), told)

    def rotate_key(self, actor: Actor, id_or_name: str, overlap_s: float, now: float) -> Change:
        """Gives a key a new secret. The old one is good for `overlap_s` more; one that was older ends at once."""
        if not 0 <= overlap_s <= OVERLAP_MOST_S:
            raise InvalidKey("The overlap is too long.", f"Give 0 to {OVERLAP_MOST_S / 86400:.0f} days.")
        row = self._own_key(actor, id_or_name)
        key = self.effective(row.info)
        if key is None:
            raise UnknownKey.named(id_or_name)
        check_secret(actor, key.rights, key.accounts)
        secret = new_secret()
        until = rfc3339(now + overlap_s) if overlap_s else None
        info = replace(row.info, hint=secret[:HINT_CHARS], old_until=until)
        changed = KeyRow(info, self._digest(secret), row.digest if overlap_s else None)
        return self._key_change("key.rotate", changed, {"name": info.name, "old_until": until}, Secret(secret))

    def revoke_key(self, actor: Actor, id_or_name: str, now: float) -> Change:
        """Ends a key."""
        row = self._own_key(actor, id_or_name)
        return self._key_change("key.revoke", _revoked(row, rfc3339(now)), {"name": row.info.name})

    # Tenants

    def create_tenant(self, actor: Actor, kind: Kind, name: str, parent: str, wish: Wish, now: float) -> Change:
        """Makes an organisation, a team or a user, in a wider tenant; empty: in the actor's own place.

        Raises:
            InvalidKey: it cannot stand there.
        """
        check_acts(actor, "admin")
        check_name(name)
        parent = parent or actor.reach
        self._check_owner(actor, parent)
        if parent and KINDS.index(self.tenants[parent].kind) >= KINDS.index(kind):
            where = self.tenants[parent].kind
            text = f"This {kind} would stand in {where} '{self.tenants[parent].name}'."
            if kind == KINDS[0]:
                raise InvalidKey(text, "It stands in nothing: ask without a parent, with a key that belongs to nobody.")
            raise InvalidKey(text, f"Name a wider owner as its parent: {_wider(kind)}.")
        if any((one.kind, one.name, one.parent) == (kind, name, parent) for one in self._live()):
            raise NameTaken.named(kind, name)
        rights, preference = self._allowed(actor, wish)
        made = Tenant(
            f"{ID_PREFIXES[kind]}_{secrets.token_hex(8)}", kind, name, parent, rights, preference, rfc3339(now)
        )
        path = (*self.path(parent), made.id)
        return Change(f"{kind}.create", made.id, path, _told(made), tenants=(made,))

    def update_tenant(self, actor: Actor, kind: Kind, id_or_place: str, wish: Wish) -> Change:
        """Gives a tenant other rights or another preference; everything below it feels that."""
        one = self._own_tenant(actor, kind, id_or_place)
        rights, preference = self._allowed(actor, wish, one.rights, one.preference)
        changed = replace(one, rights=rights, preference=preference)
        told = {"before": _told(one), "after": _told(changed)}
        return Change(f"{kind}.update", one.id, self.path(one.id), told, tenants=(changed,))

    def end_tenant(self, actor: Actor, kind: Kind, id_or_place: str, now: float) -> Change:
        """Ends a tenant with everything below it: its tenants end, its keys are revoked."""
        one, at = self._own_tenant(actor, kind, id_or_place), rfc3339(now)
        tenants = tuple(replace(each, ended_at=at) for each in self._live() if one.id in self.path(each.id))
        rows = [row for row in self.keys.values() if row.info.revoked_at is None]
        keys = tuple(_revoked(row, at) for row in rows if one.id in self.path(row.info.owner))
        told = {"name": one.name, "keys": [row.info.id for row in keys], "tenants": [each.id for each in tenants]}
        return Change(f"{kind}.end", one.id, self.path(one.id), told, keys, tenants)

    # What these share

    def _standing(self, owner: str) -> Standing | None:
        if owner not in self._standings:
            self._standings[owner] = standing_of(self.tenants, owner)
        return self._standings[owner]

    def _live(self) -> Iterator[Tenant]:
        return (one for one in self.tenants.values() if one.ended_at is None)

    def _own_key(self, actor: Actor, id_or_name: str) -> KeyRow:
        """A live key that the actor may change."""
        check_acts(actor, "manager")
        row = self.key(actor, id_or_name)
        check_role(actor, row.info.role)
        return row

    def _own_tenant(self, actor: Actor, kind: Kind, id_or_place: str) -> Tenant:
        """A live tenant that the actor may change."""
        check_acts(actor, "admin")
        one = self.tenant(actor, kind, id_or_place)
        check_above(actor, self.path(one.parent))
        return one

    def _check_owner(self, actor: Actor, owner: str) -> None:
        if owner and (self._standing(owner) is None or not is_within(actor, self.path(owner))):
            raise UnknownTenant.named("organisation, team or user", owner)

    def _check_free(self, name: str, owner: str) -> None:
        for row in self.keys.values():
            if row.info.name == name and row.info.owner == owner and row.info.revoked_at is None:
                raise NameTaken.named("key", name)

    def _allowed(
        self, actor: Actor, wish: Wish, rights: Rights | None = None, preference: Preference = NO_WISH
    ) -> tuple[Rights, Preference]:
        """The rights and the preference that come of a wish; `rights`, `preference`: what there is.

        Rights that nobody asks to change stay, though they may be beyond the actor's.
        """
        if wish.preference is not None:
            check_preference(wish.preference)
            preference = wish.preference
        if rights is None or wish.rights is not None:
            rights = granted(actor, checked(wish.rights if wish.rights is not None else EVERYTHING))
        return rights, preference

    def _key_change(self, action: str, row: KeyRow, details: object, secret: Secret | None = None) -> Change:
        info = row.info
        return Change(action, info.id, self.path(info.owner), details, keys=(row,), secret=secret)


def new_key(change: Change) -> NewKey:
    """The key that a change made or rotated, with its secret."""
    assert change.secret is not None, "it shows a secret"  # noqa: S101
    return NewKey(change.keys[0].info, change.secret)


def is_good(info: KeyInfo, now: float) -> bool:
    """Whether the secret before the last rotation still counts."""
    return info.old_until is not None and now < utc_seconds(info.old_until)


def _revoked(row: KeyRow, at: str) -> KeyRow:
    return KeyRow(replace(row.info, revoked_at=at, old_until=None), row.digest)


def _role(wish: Wish, role: Role | None) -> Role | None:
    """The role that comes of a wish. `role`: the one there is."""
    if wish.role == "none":
        return None
    return role if wish.role is None else wish.role


def _owner(tenant: Tenant | None) -> Owner | None:
    return Owner(tenant.id, tenant.name) if tenant is not None else None


def _wider(kind: Kind) -> str:
    return ", ".join(KINDS[: KINDS.index(kind)]) or "nothing"


def _told(one: KeyInfo | Tenant) -> Mapping[str, object]:
    """What the audit log says of a key or a tenant."""
    told: dict[str, object] = {"name": one.name, "rights": one.rights, "preference": one.preference}
    if isinstance(one, KeyInfo):
        told |= {"owner": one.owner, "role": one.role, "charged": one.charged}
        if one.throwaway:
            told["throwaway"] = True
    return told
