"""What people do over the admin API, and what the judge makes of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rights.book import KINDS, ROLES, Key, Tenant, beyond
from rights.office import Fault, Office
from rights.world import ADMIN_KEY, Answered

_PLURAL = {"organisation": "organisations", "team": "teams", "user": "users"}
_UNSEEN = {"unknown_key", "unknown_tenant"}
_TURNED_AWAY = {"admin_key_required", "key_expired", "address_not_allowed"}


class Deeds:
    """Operations on keys and owners. Each draws who does it, from where, and to whom."""

    def __init__(self, office: Office) -> None:
        self._office, self._book, self._chance = office, office.book, office.chance
        self.choices: list[tuple[Callable[[], Any], int]] = [
            (self.create_key, 12),
            (self.update_key, 8),
            (self.rotate_key, 6),
            (self.revoke_key, 5),
            (self.create_tenant, 4),
            (self.update_tenant, 4),
            (self.end_tenant, 1),
            (self.read_one, 8),
            (self.read_many, 4),
            (self.wait, 4),
        ]

    async def begin(self) -> None:
        """Two organisations with a team and a user each, and a key of every role in every place."""
        for _ in range(2):
            parent = ""
            for kind in KINDS:
                parent = await self._make_tenant(kind, parent, {})
                for role in (None, *ROLES):
                    await self._make_key(parent, role)
        for role in (None, *ROLES):
            await self._make_key("", role)

    async def look_back(self) -> None:
        """The log has every change once, by whom it was, and is whole."""
        told: list[tuple[str, str, str]] = []
        after = ""
        while True:
            got = await self._ask("audit", "GET", f"audit?limit=500{after}", None, ADMIN_KEY, None)
            told += [(one["actor"], one["action"], one["subject"]) for one in got.json["data"]]
            if not got.json["has_more"]:
                break
            after = f"&after={got.json['next']}"
        if told[::-1] != self._office.changes:
            raise Fault("the audit log is not what was done")
        if not (await self._ask("verify", "GET", "audit/verify", None, ADMIN_KEY, None)).json["whole"]:
            raise Fault("the audit log is broken")

    async def wait(self) -> None:
        """Time passes: secrets end, keys expire, a day begins."""
        self._office.world.clock.at += self._chance.choice((1.0, 60.0, 900.0, 3600.0, 7200.0))
        self._office.seen["wait"] += 1

    # Keys

    async def create_key(self) -> None:
        secret, peer, owner = self._office.someone(), self._office.peer(), self._owner()
        body: dict[str, Any] = {"name": self._office.name(), "rights": self._office.rights(), "owner": owner}
        body |= {"preference": self._office.preference(), "role": self._office.role()}
        got = await self._ask("create key", "POST", "keys", body, secret, peer)
        actor = self._actor(got, secret, peer, "manager", owner)
        if got.status != 201:
            return
        told = got.json
        key = self._key(told)
        self._book.keys[key.id] = key
        self._show(key, told["secret"], None)
        self._note(actor, "key.create", key.id)
        if key.owner != (owner or (actor.owner if actor is not None else "")):
            raise Fault(f"{key.id} was made for another owner than asked")
        if body["rights"].keys() - told["rights"].keys() - {"compliance"} or key.role != body["role"]:
            raise Fault(f"{key.id} is not what was asked for")
        self._check_grant(actor, key)

    async def update_key(self) -> None:
        secret, peer, key = self._office.someone(), self._office.peer(), self._some_key()
        body: dict[str, Any] = {}
        if self._chance.random() < 0.6:
            body["rights"] = self._office.rights(0.4)
        if self._chance.random() < 0.4:
            body["preference"] = self._office.preference()
        if self._chance.random() < 0.3:
            body["role"] = self._chance.choice((*ROLES, "none"))
        got = await self._ask("update key", "PATCH", f"keys/{key.id}", body, secret, peer)
        actor = self._actor(got, secret, peer, "manager", key.owner, key)
        if got.status != 200:
            return
        before, after = key.rights, self._key(got.json)
        wide = self._book.levels(actor) if actor is not None else None
        if "rights" not in body and before != after.rights:
            raise Fault(f"the rights of {key.id} changed unasked")
        key.rights, key.preference, key.role = after.rights, after.preference, after.role
        if key.role != (body.get("role", key.role) if body.get("role") != "none" else None):
            raise Fault(f"{key.id} has another role than asked")
        self._note(actor, "key.update", key.id)
        self._check_role(actor, key.role)
        more = beyond(self._book.levels(key), wide) if wide is not None and "rights" in body else None
        if more is not None:
            raise Fault(f"{actor and actor.id} gave {key.id} more than its own: {more}")

    async def rotate_key(self) -> None:
        secret, peer, key = self._office.someone(), self._office.peer(), self._some_key()
        overlap = self._chance.choice((0, 60, 3600))
        got = await self._ask("rotate key", "POST", f"keys/{key.id}/rotate", {"overlap_s": overlap}, secret, peer)
        actor = self._actor(got, secret, peer, "manager", key.owner, key)
        if got.status != 200:
            return
        now = self._office.now
        for old, until in key.secrets.items():
            key.secrets[old] = now + overlap if until is None else min(until, now)
        self._show(key, got.json["secret"], None)
        self._note(actor, "key.rotate", key.id)
        self._check_grant(actor, key)

    async def revoke_key(self) -> None:
        secret, peer, key = self._office.someone(), self._office.peer(), self._some_key()
        got = await self._ask("revoke key", "DELETE", f"keys/{key.id}", None, secret, peer)
        actor = self._actor(got, secret, peer, "manager", key.owner, key)
        if got.status == 200:
            key.is_over = True
            self._note(actor, "key.revoke", key.id)

    # Owners

    async def create_tenant(self) -> None:
        secret, peer, parent = self._office.someone(), self._office.peer(), self._owner()
        kind, name = self._chance.choice(KINDS), self._office.name()
        body = {"name": name, "parent": parent, "rights": self._office.rights(0.15)}
        body["preference"] = self._office.preference() if self._chance.random() < 0.5 else {}
        got = await self._ask("create tenant", "POST", _PLURAL[kind], body, secret, peer)
        actor = self._actor(got, secret, peer, "admin", parent)
        if got.status != 201:
            return
        tenant = self._tenant(got.json)
        self._book.tenants[tenant.id] = tenant
        self._note(actor, f"{kind}.create", tenant.id)
        if tenant.parent and KINDS.index(self._book.tenants[tenant.parent].kind) >= KINDS.index(kind):
            raise Fault(f"a {kind} stands in {tenant.parent}")
        if actor is not None and not self._book.is_within(actor.owner, tenant.parent):
            raise Fault(f"{actor.id} made {tenant.id} elsewhere")

    async def update_tenant(self) -> None:
        secret, peer, tenant = self._office.someone(), self._office.peer(), self._some_tenant()
        body: dict[str, Any] = {"rights": self._office.rights(0.15)}
        if self._chance.random() < 0.5:
            body["preference"] = self._office.preference()
        got = await self._ask("update tenant", "PATCH", f"{_PLURAL[tenant.kind]}/{tenant.id}", body, secret, peer)
        actor = self._actor(got, secret, peer, "admin", tenant.id)
        if got.status != 200:
            return
        self._check_above(actor, tenant)
        wide = self._book.levels(actor) if actor is not None else None
        after = self._tenant(got.json)
        tenant.rights, tenant.preference = after.rights, after.preference
        self._note(actor, f"{tenant.kind}.update", tenant.id)
        path = [self._book.tenants[one].rights for one in self._book.path(tenant.id)]
        more = beyond(path, wide) if wide is not None else None
        if more is not None:
            raise Fault(f"{actor and actor.id} gave {tenant.id} more than its own: {more}")

    async def end_tenant(self) -> None:
        secret, peer, tenant = self._office.someone(), self._office.peer(), self._some_tenant()
        got = await self._ask("end tenant", "DELETE", f"{_PLURAL[tenant.kind]}/{tenant.id}", None, secret, peer)
        actor = self._actor(got, secret, peer, "admin", tenant.id)
        if got.status != 200:
            return
        self._check_above(actor, tenant)
        owners, keys = self._book.below(tenant.id)
        if (set(got.json["ended"]), set(got.json["revoked_keys"])) != (owners, keys):
            raise Fault(f"with {tenant.id} something else ended than stood below it")
        for owner in owners:
            self._book.tenants[owner].is_over = True
        for key in keys:
            self._book.keys[key].is_over = True
        self._note(actor, f"{tenant.kind}.end", tenant.id)

    # Reading

    async def read_one(self) -> None:
        secret, peer = self._office.someone(), self._office.peer()
        one: Key | Tenant = self._some_key(over=True) if self._chance.random() < 0.7 else self._some_tenant()
        where = f"keys/{one.id}" if isinstance(one, Key) else f"{_PLURAL[one.kind]}/{one.id}"
        got = await self._ask("read one", "GET", where, None, secret, peer)
        self._actor(got, secret, peer, "viewer", one.owner if isinstance(one, Key) else one.id)
        if got.status == 200 and (got.json["rights"], got.json["preference"]) != (one.rights, one.preference):
            raise Fault(f"{one.id} is shown as it is not")

    async def read_many(self) -> None:
        secret, peer = self._office.someone(), self._office.peer()
        what = self._chance.choice(("keys", "keys?revoked=true", "teams", "users", "organisations", "audit"))
        got = await self._ask(f"read {what}", "GET", what, None, secret, peer)
        self._actor(got, secret, peer, "viewer", "", is_list=True)

    # The judge

    def _actor(
        self,
        got: Answered,
        secret: str,
        peer: str | None,
        least: str,
        place: str,
        changed: Key | None = None,
        *,
        is_list: bool = False,
    ) -> Key | None:
        """Who asked, once it is clear that they may. None: the operator, or they were refused, and that was right.

        Raises:
            Fault: they may not, and were not refused; or a refusal tells more than it should.
        """
        if secret == ADMIN_KEY:
            return None
        key = self._book.by_secret.get(secret)
        is_good = self._book.is_good(secret, peer, self._office.now)
        may_act = is_good and key is not None and key.role is not None
        may_act = may_act and ROLES.index(key.role or "") >= ROLES.index(least) if key is not None else False
        is_there = key is not None and (is_list or not place or self._book.is_within(key.owner, place))
        if got.status >= 300:
            if not is_good and got.code not in _TURNED_AWAY:
                raise Fault(f"a secret that opens nothing is told {got.code}")
            if is_good and not may_act and got.code != "role_required":
                raise Fault(f"{key and key.id}, {key and key.role}, is told {got.code}")
            if may_act and not is_there and got.code not in _UNSEEN:
                raise Fault(f"{key and key.id} is told {got.code} of what is elsewhere")
            return None
        if not (may_act and is_there and key is not None):
            raise Fault(f"{key and key.id} ({key and key.role}, good: {is_good}) did what it may not, at {place}")
        if changed is not None:
            if not self._book.is_within(key.owner, changed.owner):
                raise Fault(f"{key.id} changed {changed.id}, which is elsewhere")
            self._check_role(key, changed.role)
        return key

    def _check_role(self, actor: Key | None, role: str | None) -> None:
        if actor is not None and role is not None and ROLES.index(role) > ROLES.index(actor.role or ""):
            raise Fault(f"{actor.id}, {actor.role}, had to do with a key of role {role}")

    def _check_above(self, actor: Key | None, tenant: Tenant) -> None:
        if actor is not None and actor.owner and actor.owner not in self._book.path(tenant.parent):
            raise Fault(f"{actor.id} changed the owner that it stands in: {tenant.id}")

    def _check_grant(self, actor: Key | None, key: Key) -> None:
        """Whoever sees a secret gets nothing by it that they had not."""
        if actor is None:
            return
        if not self._book.is_within(actor.owner, key.owner):
            raise Fault(f"{actor.id} has a secret of {key.id}, which is elsewhere")
        self._check_role(actor, key.role)
        more = self._book.exceeds(key, actor)
        if more is not None:
            raise Fault(f"{actor.id} has a secret of {key.id}, which may do more: {more}")
        free = self._book.escapes(key, actor)
        if free:
            raise Fault(f"{actor.id} has a secret of {key.id}, which is not charged to {free}")

    # The book

    async def _ask(self, what: str, method: str, path: str, body: Any, secret: str, peer: str | None) -> Answered:
        return await self._office.ask(what, method, f"/admin/v1/{path}", body, secret, peer)

    async def _make_tenant(self, kind: str, parent: str, rights: dict[str, Any]) -> str:
        body = {"name": self._office.name(), "parent": parent, "rights": rights}
        got = await self._ask("begin", "POST", _PLURAL[kind], body, ADMIN_KEY, None)
        tenant = self._tenant(got.json)
        self._book.tenants[tenant.id] = tenant
        self._note(None, f"{kind}.create", tenant.id)
        return tenant.id

    async def _make_key(self, owner: str, role: str | None) -> None:
        body = {"name": self._office.name(), "owner": owner, "role": role}
        got = await self._ask("begin", "POST", "keys", body, ADMIN_KEY, None)
        key = self._key(got.json)
        self._book.keys[key.id] = key
        self._show(key, got.json["secret"], None)
        self._note(None, "key.create", key.id)

    def _show(self, key: Key, secret: str, until: float | None) -> None:
        key.secrets[secret] = until
        self._book.by_secret[secret] = key

    def _note(self, actor: Key | None, action: str, subject: str) -> None:
        self._office.changes.append((actor.id if actor is not None else "operator", action, subject))
        if actor is not None:
            self._office.seen[f"{action} by a key"] += 1

    def _key(self, told: Any) -> Key:
        charged = tuple(told["charged_to_keys"])
        place = told["owner"] or ""
        return Key(told["id"], told["name"], place, told["role"], told["rights"], told["preference"], charged)

    def _tenant(self, told: Any) -> Tenant:
        parent = told["parent"] or ""
        return Tenant(told["id"], told["object"], told["name"], parent, told["rights"], told["preference"])

    def _owner(self) -> str:
        """A place for something new: often the asker's own."""
        return "" if self._chance.random() < 0.3 else self._some_tenant().id

    def _some_key(self, *, over: bool = False) -> Key:
        keys = [key for key in self._book.keys.values() if over or not key.is_over]
        return self._chance.choice(keys or list(self._book.keys.values()))

    def _some_tenant(self) -> Tenant:
        tenants = [one for one in self._book.tenants.values() if not one.is_over]
        return self._chance.choice(tenants or list(self._book.tenants.values()))
