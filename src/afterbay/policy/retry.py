"""When to try again, and when not.

Retrying multiplies load when a provider is ill, so it is done in one place and rarely: another target first; the same
target only when the provider itself said when to come back. Source for the classes: the providers' error pages and
`docs/errors.md`; gRPC proposal A6 for the commit rule.
"""

from __future__ import annotations

from afterbay.core.decision import Outcome
from afterbay.core.errors import ErrorKind
from afterbay.policy.plan import FallbackOn

_FALLBACK_ON: dict[ErrorKind, FallbackOn] = {
    "rate_limit": "rate_limit",
    "quota": "rate_limit",
    "timeout": "timeout",
    "authentication": "error",
    "permission": "error",
    "not_found": "error",
    "overloaded": "error",
    "server": "error",
    "connection": "error",
    "cut": "error",
}
"""Which entry of `fallback_on` an error falls under. Missing: the request is wrong, every target would say so."""


def fallback_class(kind: ErrorKind) -> FallbackOn | None:
    """Under which name of `fallback_on` an error sends the request on; None: it is the client's to mend."""
    return _FALLBACK_ON.get(kind)


def outcome_of(kind: ErrorKind) -> Outcome:
    """The outcome that an attempt which ended in this error is logged with."""
    if kind == "timeout":
        return "timeout"
    if kind in ("rate_limit", "quota"):
        return "rate_limit"
    if kind == "connection":
        return "connection"
    return "cut" if kind == "cut" else "error"


def clamp_wait(wait_s: float | None, longest_s: float) -> float | None:
    """A provider's Retry-After within reason: [0, `longest_s`]; None stays None, nonsense becomes the longest."""
    if wait_s is None:
        return None
    if not wait_s >= 0:  # negative, or not a number
        return 0.0
    return min(wait_s, longest_s)


def cooling_s(kind: ErrorKind, wait_s: float | None, longest_s: float) -> float | None:
    """How long a target is tried last after this error; None: not at all.

    A rate limit without a hint cools for 5 s, an overload for 2 s: short, since the next request will tell.
    """
    if kind in ("rate_limit", "quota"):
        return clamp_wait(wait_s, longest_s) if wait_s is not None else 5.0
    if kind == "overloaded":
        return clamp_wait(wait_s, longest_s) if wait_s is not None else 2.0
    return None
