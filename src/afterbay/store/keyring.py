"""What every store of keys is: found by secret in memory, changed by operations of the register, one at a time."""

from __future__ import annotations

import hmac
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from afterbay.policy.authority import OPERATOR, Actor, Role, check_acts
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights
from afterbay.ports import Key
from afterbay.store.audit import Anchor, Broken, Entry
from afterbay.store.keyform import KeyInfo, NewKey
from afterbay.store.owners import Kind, Tenant, path_of
from afterbay.store.register import AS_IT_IS, Change, Register, Wish, new_key
from afterbay.store.rows import utc_seconds

_LONGEST_SECRET: Final = 512
BY_OPERATOR: Final = OPERATOR.id


class _Found:
    """A live key by one of its digests. `until`: UTC seconds to which that one is good; None: as long as the key."""

    __slots__ = ("digest", "key", "until")

    def __init__(self, digest: bytes, key: Key, until: float | None = None) -> None:
        self.digest, self.key, self.until = digest, key, until


class Keyring(ABC):
    """Implements `ports.Keys`, and what operators do with keys and tenants.

    `by` is who asks: the id of a key, or `operator`. Errors of an operation are those of `Register`'s, and
    `PolicyRefusal` where its actor may not. Subclasses keep the rows: `_do` and the three that read the audit log.
    """

    def __init__(self, pepper: bytes, now: Callable[[], float]) -> None:
        self._keyed, self._now = hmac.new(pepper, digestmod="sha256"), now
        self._lock = threading.RLock()
        self._register = Register(self._digest)
        self._by_digest: dict[bytes, _Found] = {}

    @abstractmethod
    def _do(self, by: str, act: Callable[[Actor], Change]) -> Change:
        """Works out a change, writes its rows and its entry of the audit log together, and makes it so."""

    @abstractmethod
    def refresh_if_changed(self) -> bool:
        """Reads the keys again if somebody else changed them; whether they did."""

    @abstractmethod
    def _entries(self, before: int, tenant: str, limit: int) -> Sequence[Entry]:
        """At most `limit` entries of the audit log, newest first, older than `before`; of one tenant, if given."""

    @abstractmethod
    def verify_audit(self, anchor: Anchor | None = None) -> Anchor | Broken:
        """Whether the audit log is whole. See `afterbay.store.audit.check_chain`."""

    # The data plane

    def find(self, secret: str) -> Key | None:
        """The live key of a secret, or None.

        The secret is hashed whole before anything is looked up, so how long that takes says nothing about how much of
        it is right; the digests are then compared in constant time.
        """
        if len(secret) > _LONGEST_SECRET:
            return None
        digest = self._digest(secret)
        found = self._by_digest.get(digest)
        if found is None or not hmac.compare_digest(found.digest, digest):
            return None
        return found.key if found.until is None or self._now() < found.until else None

    def any_exist(self) -> bool:
        """Whether any virtual key was ever created, revoked ones included, throwaway ones not."""
        return self._register.has_lasting

    # Reading

    def list(self, *, revoked: bool = False, owner: str = "", by: str = BY_OPERATOR) -> tuple[KeyInfo, ...]:
        """Live keys in the order of their making; the revoked ones too if asked. `owner`: only a tenant's."""
        with self._lock:
            return tuple(self._register.list_keys(self._actor(by), owner, revoked=revoked))

    def key(self, id_or_name: str, *, revoked: bool = False, by: str = BY_OPERATOR) -> KeyInfo:
        """One key."""
        with self._lock:
            return self._register.key(self._actor(by), id_or_name, revoked=revoked).info

    def effective(self, info: KeyInfo) -> Key | None:
        """What a key is for the data plane; None: it has ended."""
        with self._lock:
            return self._register.effective(info)

    def tenants(self, kind: Kind | None = None, *, ended: bool = False, by: str = BY_OPERATOR) -> tuple[Tenant, ...]:
        """Live tenants in the order of their making; those of one kind, or all."""
        with self._lock:
            return tuple(self._register.list_tenants(self._actor(by), kind, ended=ended))

    def tenant(self, kind: Kind, id_or_place: str, *, by: str = BY_OPERATOR) -> Tenant:
        """One tenant, by its id or by the names on the way to it."""
        with self._lock:
            return self._register.tenant(self._actor(by), kind, id_or_place)

    def place(self, owner: str) -> str:
        """The place of a tenant, for people: `team:acme/search`."""
        with self._lock:
            return self._register.place(owner)

    def reach(self, by: str) -> tuple[tuple[Tenant, ...], tuple[tuple[Tenant, ...], ...]]:
        """What who asks may see: the tenants down to where their role holds (none: everything), and, as paths of the
        same form, all tenants that have ended.

        Raises:
            PolicyRefusal: they have no role.
        """
        with self._lock:
            actor = self._actor(by)
            check_acts(actor, "viewer")
            tenants = self._register.tenants
            ended = (path_of(tenants, one.id) for one in tenants.values() if one.ended_at is not None)
            return path_of(tenants, actor.reach), tuple(ended)

    def audit(self, *, before: int = 1 << 62, limit: int = 100, by: str = BY_OPERATOR) -> tuple[Entry, ...]:
        """Entries of the audit log of what the asker may see, newest first."""
        with self._lock:
            actor = self._actor(by)
        check_acts(actor, "viewer")
        return tuple(self._entries(before, actor.reach, limit))

    # Changes

    def create(
        self,
        name: str,
        rights: Rights = EVERYTHING,
        *,
        owner: str = "",
        role: Role | None = None,
        preference: Preference = NO_WISH,
        throwaway: bool = False,
        by: str = BY_OPERATOR,
    ) -> NewKey:
        """Makes a key, and shows its secret once. `throwaway`: as in `KeyInfo`."""
        wish, now = Wish(rights, preference, role), self._now()
        made = self._do(by, lambda actor: self._register.create_key(actor, name, owner, wish, now, throwaway=throwaway))
        return new_key(made)

    def update(self, id_or_name: str, wish: Wish, *, by: str = BY_OPERATOR) -> KeyInfo:
        """Gives a key other rights, another preference or role."""
        return self._do(by, lambda actor: self._register.update_key(actor, id_or_name, wish)).keys[0].info

    def rotate(self, id_or_name: str, *, overlap_s: float = 0.0, by: str = BY_OPERATOR) -> NewKey:
        """Gives a key a new secret; the old one ends after `overlap_s`. Everything else stays."""
        now = self._now()
        return new_key(self._do(by, lambda actor: self._register.rotate_key(actor, id_or_name, overlap_s, now)))

    def revoke(self, id_or_name: str, *, by: str = BY_OPERATOR) -> KeyInfo:
        """Ends a key: here at once, in other processes when they next refresh. It cannot be brought back."""
        return self._do(by, lambda actor: self._register.revoke_key(actor, id_or_name, self._now())).keys[0].info

    def create_tenant(
        self, kind: Kind, name: str, parent: str = "", wish: Wish = AS_IT_IS, *, by: str = BY_OPERATOR
    ) -> Tenant:
        """Makes an organisation, a team or a user."""
        now = self._now()
        made = self._do(by, lambda actor: self._register.create_tenant(actor, kind, name, parent, wish, now))
        return made.tenants[0]

    def update_tenant(self, kind: Kind, id_or_place: str, wish: Wish, *, by: str = BY_OPERATOR) -> Tenant:
        """Gives a tenant other rights or another preference."""
        return self._do(by, lambda actor: self._register.update_tenant(actor, kind, id_or_place, wish)).tenants[0]

    def end_tenant(self, kind: Kind, id_or_place: str, *, by: str = BY_OPERATOR) -> Change:
        """Ends a tenant and everything below it. What the change holds has ended."""
        return self._do(by, lambda actor: self._register.end_tenant(actor, kind, id_or_place, self._now()))

    # What stores share

    def _digest(self, secret: str) -> bytes:
        keyed = self._keyed.copy()  # made once: OpenSSL takes longer to find SHA-256 than to hash a secret with it
        keyed.update(secret.encode("utf-8", "replace"))
        return keyed.digest()

    def _actor(self, by: str) -> Actor:
        return self._register.actor(by, self._now())

    def _accept(self, change: Change) -> None:
        """Makes a change so, and what `find` looks in. That is swapped in one step: `find` runs without the lock."""
        self._register.apply(change)
        touched = self._register.touched(change)
        self._by_digest = {
            **{digest: one for digest, one in self._by_digest.items() if one.key.id not in touched},
            **{one.digest: one for key_id in touched for one in self._found(key_id)},
        }

    def _index(self) -> None:
        """Builds what `find` looks in anew."""
        self._by_digest = {one.digest: one for key_id in self._register.keys for one in self._found(key_id)}

    def _found(self, key_id: str) -> Iterator[_Found]:
        row = self._register.keys[key_id]
        key = self._register.effective(row.info)
        if key is None:
            return
        yield _Found(row.digest, key)
        if row.old_digest is not None and row.info.old_until is not None:
            yield _Found(row.old_digest, key, utc_seconds(row.info.old_until))
