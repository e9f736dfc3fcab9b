"""What the client is told when no target answered: one error, with the nearest meaning, and no upstream secret."""

from __future__ import annotations

import msgspec

from afterbay.core.decision import Attempt
from afterbay.core.errors import ClientMistake, ErrorKind, GatewayError, ProviderError, Upstream
from afterbay.engine.attempt import GaveUp
from afterbay.policy.retry import clamp_wait

_STATUS: dict[ErrorKind, int] = {
    "invalid_request": 400,
    "not_found": 404,
    "too_large": 413,
    "content_filter": 400,
    "rate_limit": 429,
    "quota": 429,
    "overloaded": 503,
    "server": 502,
    "connection": 502,
    "cut": 502,
    "timeout": 504,
}
_CLIENTS_TO_MEND: frozenset[ErrorKind] = frozenset({"invalid_request", "not_found", "too_large", "content_filter"})


class Failure(msgspec.Struct, frozen=True):
    """The error for the client, and the upstream's own body where it may pass as it is."""

    error: GatewayError
    body: bytes | None = None


def explain(gave_up: GaveUp, attempts: list[Attempt], longest_wait_s: float) -> Failure:
    """The error that the client sees. A provider's Retry-After is passed on up to `longest_wait_s`."""
    last, attempts = gave_up.last, [one for one in attempts if one.outcome != "cancelled"]  # who lost a race is no news
    if gave_up.deadline or last is None:
        text = f"The request's time is over after {len(attempts)} attempt(s)"
        text += f"; the last one: {last.message}." if last is not None else "."
        remedy = "Ask for less, stream, or raise timeouts.total."
        return Failure(Upstream(text, status=504, kind="timeout", code="deadline_exceeded", remedy=remedy))
    if last.kind in ("authentication", "permission"):
        return Failure(_refused_credentials(attempts))
    if len({one.target for one in attempts}) > 1 and last.kind not in _CLIENTS_TO_MEND:
        return Failure(_all_failed(attempts, last, longest_wait_s))
    error = Upstream(
        f"{attempts[-1].target if attempts else 'The target'}: {last.message}",
        status=_status(last),
        kind=last.kind,
        code=last.code,
        param=last.param,
        remedy=_remedy(last),
        retry_after_s=clamp_wait(last.retry_after_s, longest_wait_s),
        retryable=last.kind == "rate_limit" or (last.retry_after_s is not None and last.kind != "quota"),
    )
    return Failure(error, gave_up.body)


def _status(last: ProviderError) -> int:
    """The upstream's own status where a client understands it, else the one of the error's kind."""
    if last.status is not None and 400 <= last.status < 600:
        return last.status
    return _STATUS.get(last.kind, 502)


_REMEDIES: dict[str | None, str] = {
    "connect_refused": "The operator must see whether the provider listens there, and check its base_url.",
    "connect_timeout": "The operator must check the network and the provider's base_url, or raise timeouts.connect.",
    "host_unreachable": "The operator must check the network between here and the provider, and its base_url.",
    "no_sockets": "The gateway has no sockets left: the operator must raise its limit (ulimit -n) or its share.",
    "no_credentials": "The operator must give the provider credentials: a key, or what the message names.",
    "dns_not_found": "The operator must check the provider's base_url and this machine's name servers.",
    "tls_failed": "The operator must check the provider's certificate, base_url and ca_file; it is never skipped.",
    "timeout_min_tokens_per_s": "The provider was too slow; configure a fallback or lower timeouts.min_tokens_per_s.",
    "policy_no_candidate": "A policy keeps the request from there, since a fact ended meanwhile; ask again.",
    "proxy_failed": "The operator must check the provider's `proxy` and whether that runs.",
}
"""What to do about failures on this side of the provider, by their code (`afterbay.providers.broken`)."""


def _remedy(last: ProviderError) -> str:
    if last.code in _REMEDIES:
        return _REMEDIES[last.code]
    match last.kind:
        case "rate_limit" | "overloaded":
            return "The provider asks to slow down; wait, or configure a fallback."
        case "quota":
            return "The provider's account has no credit left; the operator must see to it."
        case "timeout":
            return "The provider did not answer in time; configure a fallback or raise the time limit."
        case "connection" | "cut" | "server":
            return "The provider failed; try again, or configure a fallback."
        case _:
            return ""


def _refused_credentials(attempts: list[Attempt]) -> Upstream:
    """An upstream's 401 or 403 is ours, not the client's: its text may quote the key, so it is not passed on."""
    target = attempts[-1].target if attempts else "The provider"
    return Upstream(
        f"{target}: the provider refused this gateway's credentials.",
        status=502,
        code="upstream_authentication",
        remedy="The operator must check the provider's api_key.",
    )


def _all_failed(attempts: list[Attempt], last: ProviderError, longest_wait_s: float) -> Upstream:
    told = "; ".join(f"{one.target}: {one.outcome}" for one in attempts)
    full = all(one.outcome == "rate_limit" for one in attempts) or last.kind == "overloaded"
    return Upstream(
        f"All {len(attempts)} attempts failed ({told}).",
        status=503 if full else 502,
        kind="overloaded" if full else "server",
        code="all_targets_failed",
        retry_after_s=clamp_wait(last.retry_after_s, longest_wait_s) if full else None,
    )


def not_found(response_id: str) -> ClientMistake:
    """The error that OpenAI's API gives for a response that it does not have."""
    return ClientMistake(
        f"Previous response with id '{response_id[:80]}' not found.",
        code="previous_response_not_found",
        param="previous_response_id",
        remedy="Send the turns so far as `input`; a response that was asked for with `store: false` is not kept.",
    )
