"""Who asks: one extractor for every way in which the protocols carry a key."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec

from afterbay.core.errors import GatewayError
from afterbay.core.secret import Secret
from afterbay.policy.rights import is_from
from afterbay.ports import Key, Keys
from afterbay.store.keyform import is_well_formed


def secret_of(headers: Mapping[str, str], query: str) -> str | None:
    """The key that a request shows: `authorization: Bearer`, `x-api-key`, `x-goog-api-key` or Gemini's `?key=`."""
    bearer = headers.get("authorization", "")
    if bearer[:7].lower() == "bearer ":
        return bearer[7:].strip() or None
    found = headers.get("x-api-key") or headers.get("x-goog-api-key")
    if found:
        return found
    if "key=" in query:
        return parse_qs(query).get("key", [None])[0]
    return None


class Client(msgspec.Struct, frozen=True):
    """Who is at the other end of a connection, and when. `peer`: their address, as the connection has it, or the path
    of a socket; headers of proxies are not believed. `at`: UTC seconds."""

    peer: str | None
    at: float

    @classmethod
    def of(cls, scope: Mapping[str, Any], at: float) -> Client:
        """The client of an ASGI connection."""
        client = scope.get("client")
        return cls(client[0] if client else None, at)


def identify(keys: Keys, client: Client, headers: Mapping[str, str], query: str) -> Key | None:
    """The key that asks; None while the gateway is open, and none is shown.

    Raises:
        GatewayError: 401, no key, an unknown or an expired one; 403, an open gateway is asked as if from elsewhere, or
            a key is used from where it may not be.
    """
    if not keys.any_exist():
        require_local(headers)
        return _throwaway_key(keys, client, headers, query)
    secret = secret_of(headers, query)
    key = keys.find(secret) if secret is not None else None
    if key is not None:
        check_usable(key, client)
        return key
    raise _not_known(headers, secret)


def _throwaway_key(keys: Keys, client: Client, headers: Mapping[str, str], query: str) -> Key | None:
    """The key that is shown to an open gateway. There any text does for one, but not what was a key of ours: a program
    whose run is over must not go on without its cap.

    Raises:
        GatewayError: 401, it is unknown, revoked or expired; 403, it may not be used from here.
    """
    secret = secret_of(headers, query)
    if secret is None or not is_well_formed(secret):
        return None
    key = keys.find(secret)
    if key is None:
        raise _not_known(headers, secret)
    check_usable(key, client)
    return key


def _not_known(headers: Mapping[str, str], secret: str | None) -> GatewayError:
    return GatewayError(
        _no_key(headers) if secret is None else "The key is not known to this gateway, or was revoked.",
        status=401,
        kind="authentication",
        code="invalid_api_key",
        remedy="Send a virtual key as `authorization: Bearer ...`, `x-api-key` or `x-goog-api-key`; "
        "`afterbay keys create` makes one.",
    )


def check_usable(key: Key, client: Client) -> None:
    """Whether a key may be used by this client now.

    Raises:
        GatewayError: 401 `key_expired`; 403 `address_not_allowed`.
    """
    expires_at = key.rights.expires_at
    if expires_at is not None and expires_at <= client.at:
        when = datetime.fromtimestamp(expires_at, UTC).isoformat(timespec="seconds")[:19]
        raise GatewayError(
            f"The key '{key.name}' expired at {when}Z.",
            status=401,
            kind="authentication",
            code="key_expired",
            remedy="Ask the operator of this gateway for another one, or for more time.",
        )
    if not is_from(key.rights.addresses, client.peer):
        raise GatewayError(
            f"The key '{key.name}' may not be used from {client.peer or 'a client without an address'}.",
            status=403,
            kind="permission",
            code="address_not_allowed",
            remedy="Ask from an address that it is for, or ask the operator of this gateway to add this one.",
        )


def _no_key(headers: Mapping[str, str]) -> str:
    """What is said where no key was found: also where one may be that is not looked for there."""
    if headers.get("authorization"):
        return "This gateway needs a key, and the `authorization` header does not begin with `Bearer `."
    if "api-key" in headers:
        return "This gateway needs a key, and does not look for it in the header `api-key`."
    return "This gateway needs a key."


def require_local(headers: Mapping[str, str]) -> None:
    """While no key exists, only programs of this machine may ask. A web page in its browser is none of them.

    A page can make the browser send requests to loopback (its `origin` tells), and by a name of its own that resolves
    to loopback even read the answers (DNS rebinding; its `host` tells). A proxy that forwards strangers shows the same.

    Raises:
        GatewayError: 403.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if (not host or is_local_name(f"//{host}")) and (origin is None or is_local_name(origin)):
        return
    raise GatewayError(
        "This gateway has no key yet, and answers only programs that call it by a loopback address.",
        status=403,
        kind="permission",
        code="not_local",
        remedy="Call it as http://127.0.0.1 or http://localhost, or create a key: `afterbay keys create NAME`.",
    )


@lru_cache(maxsize=256)
def is_local_name(url: str) -> bool:
    """Whether a URL, or a Host header as one, names this machine."""
    try:
        name = (urlsplit(url).hostname or "").rstrip(".")
    except ValueError:
        return False
    return is_loopback(name) or name.endswith(".localhost")


def require_admin(keys: Keys, admin_key: Secret | None, client: Client, headers: Mapping[str, str], query: str) -> None:
    """Lets through who shows an admin key: the one of AFTERBAY_ADMIN_KEY, or a virtual one made with `--admin`.

    Raises:
        GatewayError: 401, no such key, or an expired one; 403, it may not be used from here.
    """
    secret = secret_of(headers, query)
    if secret is not None:
        if is_admin_key(admin_key, secret):
            return
        key = keys.find(secret)
        if key is not None and key.admin:
            check_usable(key, client)
            return
    raise GatewayError(
        "This page needs an admin key.",
        status=401,
        kind="authentication",
        code="admin_key_required",
        remedy="Send the key of AFTERBAY_ADMIN_KEY, or one made with `afterbay keys create NAME --admin`.",
    )


def is_admin_key(admin_key: Secret | None, secret: str) -> bool:
    """Whether a secret is that of AFTERBAY_ADMIN_KEY. Constant time in what it is."""
    return admin_key is not None and hmac.compare_digest(secret.encode(), admin_key.reveal().encode())


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
