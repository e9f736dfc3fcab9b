"""What of a raw request may go through to a provider, and what of its answer may come back.

Paths are looked at as they came, still percent-encoded, and go upstream as they came: whoever decodes twice, or
resolves `..` after decoding, must not find a way out of the provider's address.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.policy.filters import provider_gap
from afterbay.policy.rights import Preference, Rights

PREFIX = "/passthrough/"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
"""All but TRACE, whose answer repeats the provider's key, and CONNECT, which is for proxies."""

_DECODINGS = 5
_REST = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)*")
"""RFC 3986, `path-abempty`."""
_QUERY = re.compile(r"[!-\"$-~]*")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f]")
_DOTS = re.compile(r"\.\.?(?:;.*)?")
"""A dot segment, also one with a parameter: some servers cut `;...` off before they resolve dots."""

_HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection"}
)
"""RFC 9110 7.6.1; what `connection` names comes on top."""
_CREDENTIALS = frozenset(
    {"authorization", "x-api-key", "x-goog-api-key", "api-key", "cookie", "cookie2", "x-auth-token"}
    | {"x-amz-security-token", "x-amz-date", "x-amz-content-sha256"}
)
_OF_THIS_HOP = frozenset(
    {"host", "content-length", "expect", "accept-encoding", "origin", "referer", "forwarded", "via", "x-real-ip"}
)
"""Set anew, or about the way from the client to here, which is no business of a provider's."""
_UP_PREFIXES = ("proxy-", "x-afterbay-", "x-forwarded-", "sec-")

_NOT_DOWN = frozenset(
    {"set-cookie", "set-cookie2", "alt-svc", "strict-transport-security", "www-authenticate", "server", "via"}
    | {"clear-site-data", "nel", "report-to", "reporting-endpoints", "refresh", "content-location", "link", "date"}
    | {"content-security-policy", "x-content-type-options", "x-request-id", "location", "x-goog-upload-url"}
    | {"openai-organization", "openai-project", "anthropic-organization-id"}
)
"""What speaks for another host than this one, tells whose account it is, or is set anew."""
_DOWN_PREFIXES = ("proxy-", "x-afterbay-", "access-control-", "sec-")

_KEYS_IN_QUERY = frozenset({"key", "api_key", "api-key", "access_token"})


def split(raw_path: str) -> tuple[str, str]:
    """The provider's name and the rest, as it came, of a path below `/passthrough/`."""
    name, slash, rest = raw_path[len(PREFIX) :].partition("/")
    return unquote(name), slash + rest


def check_rest(rest: str) -> None:
    """Refuses a path that could lead out of the address that it is put behind.

    Raises:
        ClientMistake: 400; it is no path, or has dot segments, empty segments, backslashes or control characters in it,
            however they are encoded.
    """
    decoded = rest
    for _ in range(_DECODINGS):
        before, decoded = decoded, unquote(decoded)
        if decoded == before:
            break
    segments = decoded.replace("\\", "/").split("/")
    is_bad = (
        _REST.fullmatch(rest) is None
        or "//" in rest
        or "\\" in decoded
        or unquote(decoded) != decoded
        or _UNPRINTABLE.search(decoded) is not None
        or any(_DOTS.fullmatch(segment) for segment in segments)
    )
    if is_bad:
        raise ClientMistake(
            "The path below /passthrough is not plain.",
            code="invalid_path",
            remedy="Leave out `..`, `.`, `//` and backslashes, encoded ones too, and percent-encode what is no path.",
        )


def below(base_path: str, rest: str) -> str:
    """What follows the provider's address: SDKs write its last segments (`/v1`) once more, and they count once."""
    base, wanted = base_path.strip("/").split("/") if base_path.strip("/") else [], rest.split("/")[1:]
    for shared in range(min(len(base), len(wanted)), 0, -1):
        if base[-shared:] == wanted[:shared]:
            return "".join(f"/{segment}" for segment in wanted[shared:])
    return rest


def query_up(query: str, secret: str | None) -> str:
    """The query, with its `?`, without the client's own credentials; the rest as it came.

    Raises:
        ClientMistake: 400, it has characters in it that no query has.
    """
    if _QUERY.fullmatch(query) is None:
        raise ClientMistake("The query is not plain.", code="invalid_path", remedy="Percent-encode it.")
    kept = [pair for pair in query.split("&") if pair and not _shows_key(pair, secret)]
    return f"?{'&'.join(kept)}" if kept else ""


def _shows_key(pair: str, secret: str | None) -> bool:
    name, _, value = pair.partition("=")
    return unquote_plus(name).lower() in _KEYS_IN_QUERY or (secret is not None and secret in unquote_plus(value))


def headers_up(headers: Mapping[str, str], secret: str | None) -> dict[str, str]:
    """The client's headers that go upstream; names in lower case. None of them holds `secret`, the client's own key."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    left_out = _HOP_BY_HOP | _CREDENTIALS | _OF_THIS_HOP | named
    return {
        name: value
        for name, value in headers.items()
        if name not in left_out and not name.startswith(_UP_PREFIXES) and not (secret and secret in value)
    }


def headers_down(headers: Mapping[str, str], status: int) -> dict[str, str]:
    """The provider's headers that the client gets; names in lower case. `back` is for those that hold addresses."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    left_out = _HOP_BY_HOP | _NOT_DOWN | named
    if status in (204, 304):
        left_out |= {"content-length"}  # what a body would have had
    kept = {
        name: value
        for name, value in headers.items()
        if name not in left_out and not name.startswith(_DOWN_PREFIXES) and not _UNPRINTABLE.search(value)
    }
    # A provider's file is not a page of this gateway's, whatever it claims to be.
    return {**kept, "x-content-type-options": "nosniff", "content-security-policy": "sandbox"}


def back(address: str, base_url: str, provider: str) -> str | None:
    """The path here that an address at a provider is reached by; None: it leads elsewhere, and is not told.

    A client that followed to another host would show its key there.
    """
    try:
        found, base = urlsplit(address), urlsplit(base_url)
        if found.scheme or found.netloc:
            same = (found.scheme, found.hostname, _port(found)) == (base.scheme, base.hostname, _port(base))
            if not same or found.username is not None:
                return None
        query = query_up(found.query, None)
        if not found.path.startswith("/"):
            return None
        check_rest(found.path)
    except (ValueError, ClientMistake):
        return None
    root = base.path.rstrip("/")
    if found.path != root and not found.path.startswith(root + "/"):
        return None
    return f"{PREFIX}{quote(provider, safe='')}{found.path}{query}"


def _port(parts: object) -> int | None:
    port, scheme = getattr(parts, "port", None), getattr(parts, "scheme", "")
    return port if port is not None else {"http": 80, "https": 443}.get(scheme)


def check_key(rights: Rights, wish: Preference, provider: str, names: Collection[str]) -> None:
    """A key that is limited to some models may pass only where a whole provider was given to it.

    Nothing here looks at what a raw request asks for. `names`: aliases and routes; one that is called like the provider
    is what such a key's list means.

    Raises:
        PolicyRefusal: 403.
    """
    gap = provider_gap(rights, wish, provider)
    if gap is not None:
        raise PolicyRefusal(f"/passthrough/{provider} is not for this key ({gap}).", code="passthrough_not_allowed")
    models = rights.models
    is_given = models is None or f"{provider}/*" in models or (provider in models and provider not in names)
    if is_given and wish.bound_model is None:
        return
    limit = "limited to some models" if not is_given else f"bound to '{wish.bound_model}'"
    raise PolicyRefusal(
        f"This key is {limit}, and /passthrough/{provider} would not keep to that.",
        code="passthrough_not_allowed",
        remedy=f"Use /v1, or ask the operator for a key whose models hold '{provider}/*'.",
    )
