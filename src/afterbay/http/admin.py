"""`/admin/v1`: keys, organisations, teams and users, the log of what was done to them, and reports. JSON in and out.

Who asks is the key that is shown, and everything is done as that key (`afterbay.policy.authority`): what lies outside
of its reach is a 404, what is beyond its role or its rights a 403. The store blocks, so it is asked in a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs

import msgspec

from afterbay.core.errors import Capacity, ClientMistake, GatewayError, PolicyRefusal
from afterbay.core.secret import Secret
from afterbay.http import reports
from afterbay.http.identity import Client, check_usable, is_admin_key, require_local, secret_of
from afterbay.http.paths import ADMIN_PREFIX
from afterbay.http.reports import Reports
from afterbay.policy.authority import Role, RoleWish
from afterbay.policy.rights import NO_WISH, Preference
from afterbay.policy.rights_form import RightsForm, read, shown
from afterbay.store.audit import Anchor, Broken, Entry, is_hash
from afterbay.store.errors import (
    AmbiguousKey,
    InvalidKey,
    NameTaken,
    StoreError,
    StoreUnavailable,
    UnknownKey,
    UnknownTenant,
)
from afterbay.store.keyform import KeyInfo, NewKey
from afterbay.store.keyring import BY_OPERATOR, Keyring
from afterbay.store.owners import Kind, Tenant
from afterbay.store.register import Wish

BODY_BYTES: Final = 1 << 20
PAGE: Final = 50
PAGE_MOST: Final = 500
ANSWER_S: Final = 15.0
"""How long one answer may take; the store gives up waiting for its database after a third of it."""
AT_ONCE: Final = 8
"""So many requests are worked on at once; the others wait, within the same time."""
RESOURCES: Final = ("keys", "organisations", "teams", "users", "audit", "reports")
"""What `/admin/v1/` is followed by."""
_PLURALS: Final[Mapping[str, Kind]] = {"organisations": "organisation", "teams": "team", "users": "user"}

_encode = msgspec.json.Encoder().encode
_S = TypeVar("_S")
_I = TypeVar("_I", KeyInfo, Tenant)


class _NewKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    owner: str = ""
    role: Role | None = None
    rights: RightsForm = RightsForm()
    preference: Preference = NO_WISH


class _NewTenant(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    parent: str = ""
    rights: RightsForm = RightsForm()
    preference: Preference = NO_WISH


class _KeyChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: RoleWish | None = None
    rights: RightsForm | None = None
    preference: Preference | None = None


class _TenantChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rights: RightsForm | None = None
    preference: Preference | None = None


class _Rotation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    overlap_s: float = 0.0


class Asked(msgspec.Struct, frozen=True):
    """A request for the admin API. `path` follows `/admin/v1/`; `by` is who asks, as `Keyring` wants it."""

    method: str
    path: str
    query: str
    body: bytes
    by: str


def who_asks(keys: Keyring, admin_key: Secret | None, client: Client, headers: Mapping[str, str], query: str) -> str:
    """Who asks: the id of a key with a role, or the operator, who has AFTERBAY_ADMIN_KEY or a gateway without any key.

    Raises:
        GatewayError: 401, no such key, or an expired one; 403, it has no role, or may not be used from here.
    """
    secret = secret_of(headers, query)
    if admin_key is None and not keys.any_exist() and (secret is None or keys.find(secret) is None):
        require_local(headers)
        return BY_OPERATOR
    if secret is not None and is_admin_key(admin_key, secret):
        return BY_OPERATOR
    key = keys.find(secret) if secret is not None else None
    if key is None:
        raise GatewayError(
            "The admin API needs a key with a role.",
            status=401,
            kind="authentication",
            code="admin_key_required",
            remedy="Send the key of AFTERBAY_ADMIN_KEY, or one made with `afterbay keys create NAME --role ...`.",
        )
    check_usable(key, client)
    if key.role is None:
        raise PolicyRefusal(
            f"The key '{key.name}' has no role.", code="role_required", remedy="Ask with a key that has one."
        )
    return key.id


class Admin:
    """Answers the admin API."""

    def __init__(self, keys: Keyring, reports: Reports | None = None) -> None:
        """`reports`: None where there is no log in a database to report on."""
        self._keys, self._reports = keys, reports
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def answer(self, asked: Asked) -> tuple[int, bytes]:
        """Status and body.

        Raises:
            GatewayError: 400, 403, 404, 405, 409, 503.
        """
        try:
            async with asyncio.timeout(ANSWER_S), self._slots:
                status, told = await asyncio.to_thread(self._answer, asked)
        except StoreError as error:
            raise _as_gateway_error(error) from error
        except TimeoutError:
            raise Capacity(
                f"There was no answer within {ANSWER_S:g} s; a change may have been made all the same.",
                code="state_unavailable",
                remedy="Look whether it was, and try again.",
            ) from None
        return status, _encode(told)

    def _answer(self, asked: Asked) -> tuple[int, object]:
        what, _, rest = asked.path.partition("/")
        one, _, act = rest.partition("/")
        routes: Mapping[tuple[str, bool, str], Callable[[Asked, str], tuple[int, object]]] = {}
        if what == "keys":
            routes = {
                ("GET", False, ""): self._list_keys,
                ("POST", False, ""): self._create_key,
                ("GET", True, ""): self._show_key,
                ("PATCH", True, ""): self._change_key,
                ("DELETE", True, ""): self._revoke_key,
                ("POST", True, "rotate"): self._rotate_key,
            }
        elif what in _PLURALS:
            kind = _PLURALS[what]
            routes = {
                ("GET", False, ""): partial(self._list_tenants, kind),
                ("POST", False, ""): partial(self._create_tenant, kind),
                ("GET", True, ""): partial(self._show_tenant, kind),
                ("PATCH", True, ""): partial(self._change_tenant, kind),
                ("DELETE", True, ""): partial(self._end_tenant, kind),
            }
        elif what == "audit":
            routes = {("GET", False, ""): self._list_audit, ("GET", True, ""): self._verify_audit}
        elif what == "reports" and self._reports is not None and one in reports.NAMES:
            routes = {("GET", True, ""): partial(self._report, self._reports)}
        found = routes.get((asked.method, bool(one), act))
        if found is None:
            raise _no_such(asked, bool(one), act, routes)
        return found(asked, one)

    # Keys

    def _list_keys(self, asked: Asked, _: str) -> tuple[int, object]:
        query = _query(asked, {"limit", "after", "owner", "revoked"})
        infos = self._keys.list(revoked=True, owner=query.get("owner", ""), by=asked.by)
        wants_all = _is_set(query, "revoked")
        return 200, _page(infos, query, lambda one: wants_all or one.revoked_at is None, self._key_view)

    def _create_key(self, asked: Asked, _: str) -> tuple[int, object]:
        wanted = _body(asked, _NewKey)
        made = self._keys.create(
            wanted.name,
            read(wanted.rights),
            owner=wanted.owner,
            role=wanted.role,
            preference=wanted.preference,
            by=asked.by,
        )
        return 201, self._new_view(made)

    def _show_key(self, asked: Asked, one: str) -> tuple[int, object]:
        info = self._keys.key(one, revoked=True, by=asked.by)
        key = self._keys.effective(info)
        told = self._key_view(info)
        if key is not None:
            told |= {"effective": shown(key.rights), "effective_preference": key.preference, "accounts": key.accounts}
        return 200, told

    def _change_key(self, asked: Asked, one: str) -> tuple[int, object]:
        change = _body(asked, _KeyChange)
        rights = read(change.rights) if change.rights is not None else None
        info = self._keys.update(one, Wish(rights, change.preference, change.role), by=asked.by)
        return 200, self._key_view(info)

    def _revoke_key(self, asked: Asked, one: str) -> tuple[int, object]:
        return 200, self._key_view(self._keys.revoke(one, by=asked.by))

    def _rotate_key(self, asked: Asked, one: str) -> tuple[int, object]:
        wanted = _body(asked, _Rotation) if asked.body else _Rotation()
        return 200, self._new_view(self._keys.rotate(one, overlap_s=wanted.overlap_s, by=asked.by))

    # Tenants

    def _list_tenants(self, kind: Kind, asked: Asked, _: str) -> tuple[int, object]:
        query = _query(asked, {"limit", "after", "parent", "ended"})
        wants_all, parent = _is_set(query, "ended"), query.get("parent")

        def is_wanted(one: Tenant) -> bool:
            return (wants_all or one.ended_at is None) and parent in (None, one.parent)

        return 200, _page(self._keys.tenants(kind, ended=True, by=asked.by), query, is_wanted, self._tenant_view)

    def _create_tenant(self, kind: Kind, asked: Asked, _: str) -> tuple[int, object]:
        wanted = _body(asked, _NewTenant)
        wish = Wish(read(wanted.rights), wanted.preference)
        return 201, self._tenant_view(self._keys.create_tenant(kind, wanted.name, wanted.parent, wish, by=asked.by))

    def _show_tenant(self, kind: Kind, asked: Asked, one: str) -> tuple[int, object]:
        return 200, self._tenant_view(self._keys.tenant(kind, one, by=asked.by))

    def _change_tenant(self, kind: Kind, asked: Asked, one: str) -> tuple[int, object]:
        change = _body(asked, _TenantChange)
        rights = read(change.rights) if change.rights is not None else None
        changed = self._keys.update_tenant(kind, one, Wish(rights, change.preference), by=asked.by)
        return 200, self._tenant_view(changed)

    def _end_tenant(self, kind: Kind, asked: Asked, one: str) -> tuple[int, object]:
        change = self._keys.end_tenant(kind, one, by=asked.by)
        keys, tenants = [row.info.id for row in change.keys], [each.id for each in change.tenants]
        return 200, {"id": change.subject, "object": kind, "ended": tenants, "revoked_keys": keys}

    # The audit log

    def _list_audit(self, asked: Asked, _: str) -> tuple[int, object]:
        query = _query(asked, {"limit", "after"})
        limit, after = _limit(query), query.get("after", str(1 << 62))
        if not after.isascii() or not after.isdigit() or len(after) > 19:
            raise _invalid("after", "the `next` of the page before")
        found = self._keys.audit(before=int(after), limit=limit + 1, by=asked.by)
        last = str(found[limit - 1].number) if len(found) > limit else None
        return 200, _listed(map(_entry_view, found[:limit]), last)

    def _verify_audit(self, asked: Asked, one: str) -> tuple[int, object]:
        if one != "verify":
            raise _no_such(asked, True, "", {})
        self._keys.tenants(by=asked.by)  # whoever may read may know that the log is whole; its entries are not shown
        query = _query(asked, {"anchor"})
        number, colon, known = query.get("anchor", "").partition(":")
        is_number = number.isascii() and number.isdigit() and len(number) < 19
        if "anchor" in query and not (colon and is_number and is_hash(known)):
            raise _invalid("anchor", "all that a verification said before: NUMBER:HASH, the hash with its 64 digits")
        found = self._keys.verify_audit(Anchor(int(number), known) if "anchor" in query else None)
        if isinstance(found, Broken):
            return 200, {"object": "audit.verification", "whole": False, "broken": found}
        return 200, {"object": "audit.verification", "whole": True, "anchor": f"{found.number}:{found.hash}"}

    def _report(self, answering: Reports, asked: Asked, one: str) -> tuple[int, object]:
        path, others = self._keys.reach(asked.by)
        return 200, answering.answer(one, _query(asked, reports.parameters(one)), reports.reach_of(path, others))

    # Views

    def _key_view(self, info: KeyInfo) -> dict[str, object]:
        return {
            "object": "key",
            "id": info.id,
            "name": info.name,
            "hint": info.hint,
            "owner": info.owner or None,
            "place": self._keys.place(info.owner) or None,
            "role": info.role,
            "rights": shown(info.rights),
            "preference": info.preference,
            "charged_to_keys": info.charged,
            "created_at": info.created_at,
            "revoked_at": info.revoked_at,
            "old_secret_until": info.old_until,
        }

    def _new_view(self, made: NewKey) -> dict[str, object]:
        return {**self._key_view(made.info), "secret": made.secret.reveal()}

    def _tenant_view(self, one: Tenant) -> dict[str, object]:
        return {
            "object": one.kind,
            "id": one.id,
            "name": one.name,
            "parent": one.parent or None,
            "place": self._keys.place(one.id),
            "rights": shown(one.rights),
            "preference": one.preference,
            "created_at": one.created_at,
            "ended_at": one.ended_at,
        }


def _page(
    found: Sequence[_I], query: Mapping[str, str], is_wanted: Callable[[_I], bool], view: Callable[[_I], object]
) -> object:
    """The part of a list that the query asks for. It goes on after `after`, whatever came to it or ended meanwhile."""
    start, limit, after = 0, _limit(query), query.get("after")
    if after is not None:
        start = next((at for at, one in enumerate(found, 1) if one.id == after), 0)
        if not start:
            raise _invalid("after", "the `next` of the page before")
    page = list(islice((one for one in found[start:] if is_wanted(one)), limit + 1))
    return _listed(map(view, page[:limit]), page[limit - 1].id if len(page) > limit else None)


def _listed(data: Iterable[object], last: str | None) -> dict[str, object]:
    return {"object": "list", "data": list(data), "has_more": last is not None, "next": last}


def _entry_view(entry: Entry) -> dict[str, object]:
    return {
        "object": "audit.entry",
        "number": entry.number,
        "at": entry.at,
        "actor": entry.actor,
        "action": entry.action,
        "subject": entry.subject,
        "path": entry.path,
        "details": msgspec.Raw(entry.details.encode() or b"null"),
        "hash": entry.hash,
    }


def _query(asked: Asked, known: set[str]) -> dict[str, str]:
    """The parameters of a query but for `key`, where a client may show its own.

    Raises:
        ClientMistake: one is not known here: it would be taken for a filter that holds.
    """
    found = {name: values[-1] for name, values in parse_qs(asked.query, keep_blank_values=True).items()}
    found.pop("key", None)
    unknown = sorted(found.keys() - known)
    if unknown:
        raise _invalid(unknown[0][:40], f"only: {', '.join(sorted(known))}")
    return found


def _is_set(query: Mapping[str, str], name: str) -> bool:
    said = query.get(name, "false")
    if said not in ("true", "false"):
        raise _invalid(name, "true or false")
    return said == "true"


def _limit(query: Mapping[str, str]) -> int:
    text = query.get("limit", str(PAGE))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= PAGE_MOST):
        raise _invalid("limit", f"1 to {PAGE_MOST}")
    return int(text)


def _body(asked: Asked, kind: type[_S]) -> _S:
    try:
        return msgspec.json.decode(asked.body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        raise ClientMistake(f"The body is not right: {error}.", code="invalid_type") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ClientMistake("The body is no JSON object.", code="invalid_json") from None


def _invalid(field: str, wanted: str) -> ClientMistake:
    text = f"The parameter `{field}` cannot be used."
    return ClientMistake(text, code="invalid_value", param=field, remedy=f"Give {wanted}.")


def _no_such(asked: Asked, is_one: bool, act: str, routes: Mapping[tuple[str, bool, str], Any]) -> ClientMistake:
    methods = [method for method, of_one, what in routes if (of_one, what) == (is_one, act)]
    if methods:
        text = f"This takes {' or '.join(methods)}, not {asked.method[:20]}."
        return ClientMistake(text, status=405, code="method_not_allowed")
    return ClientMistake(
        f"There is no endpoint {ADMIN_PREFIX}{asked.path[:200]}.",
        status=404,
        kind="not_found",
        code="unknown_endpoint",
        remedy=f"There are: {', '.join(RESOURCES)}; docs/keys.md has them all.",
    )


def _as_gateway_error(error: StoreError) -> GatewayError:
    text, remedy = error.message, error.remedy
    match error:
        case UnknownKey() | UnknownTenant():
            code = "unknown_key" if isinstance(error, UnknownKey) else "unknown_tenant"
            return ClientMistake(text, status=404, kind="not_found", code=code, remedy=remedy)
        case NameTaken():
            return ClientMistake(text, status=409, code="name_taken", param="name", remedy=remedy)
        case AmbiguousKey() | InvalidKey():
            return ClientMistake(text, code="invalid_value", remedy=remedy)
        case StoreUnavailable():
            return Capacity(text, code="state_unavailable", remedy=remedy)
    raise error
