"""What can go wrong with one attempt, as data, and the error that the engine makes of it.

The errors are what `afterbay.engine` has in its hands when such a thing happens on a socket: kind, status and code
decide what follows. `tests/sim/test_against_the_engine.py` holds them to that.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.errors import ProviderError

FaultKind: TypeAlias = Literal[
    "refused",
    "black_hole",
    "reset",
    "server_error",
    "bad_gateway",
    "unavailable",
    "overloaded",
    "rate_limit",
    "quota",
    "unauthorized",
    "bad_request",
    "silent",
    "malformed",
    "empty",
    "cut",
    "truncated",
    "stall",
    "error_event",
    "bad_event",
]


class Fault(msgspec.Struct, frozen=True):
    """One kind of failure; `share` counts in proportion to the others of its mix. `retry_after_s`: what it asks for."""

    kind: FaultKind
    share: float = 1.0
    retry_after_s: float | None = None


REFUSALS: Mapping[FaultKind, ProviderError] = MappingProxyType(
    {
        "refused": ProviderError("connection", "no connection: refused", code="connect_refused"),
        "reset": ProviderError("connection", "the connection broke before the answer", code="connection_broken"),
    }
)
"""Seen after a round trip: there was no answer."""

ANSWERS: Mapping[FaultKind, ProviderError] = MappingProxyType(
    {
        "server_error": ProviderError("server", "an internal error", 500),
        "bad_gateway": ProviderError("server", "bad gateway", 502),
        "unavailable": ProviderError("overloaded", "unavailable", 503),
        "overloaded": ProviderError("overloaded", "overloaded", 529),
        "rate_limit": ProviderError("rate_limit", "too many requests", 429),
        "quota": ProviderError("quota", "no credit left", 429, code="insufficient_quota"),
        "unauthorized": ProviderError("authentication", "the key is not valid", 401),
        "bad_request": ProviderError("invalid_request", "a field is wrong", 400),
        "malformed": ProviderError("server", "its answer is not JSON", code="bad_answer"),
    }
)
"""The answer is an error, or is none. `malformed` comes with the status 200."""

BREAKS: Mapping[FaultKind, ProviderError] = MappingProxyType(
    {
        "cut": ProviderError("cut", "the connection broke while reading: reset by peer", code="connection_broken"),
        "truncated": ProviderError("cut", "the stream ended before the answer did"),
        "error_event": ProviderError("server", "the server had an error while processing the request"),
        "bad_event": ProviderError("server", "an event is not JSON", code="bad_answer"),
    }
)
"""A stream breaks after its first output."""

CONNECT_TIMEOUT = ProviderError("connection", "no connection in time", code="connect_timeout")

PUBLISHED: tuple[Fault, ...] = (
    Fault("cut", 0.16),
    Fault("truncated", 0.04),
    Fault("stall", 0.04),
    Fault("error_event", 0.03),
    Fault("bad_event", 0.01),
    Fault("server_error", 0.16),
    Fault("bad_gateway", 0.05),
    Fault("unavailable", 0.09),
    Fault("overloaded", 0.10),
    Fault("rate_limit", 0.07),
    Fault("rate_limit", 0.05, retry_after_s=2.0),
    Fault("silent", 0.08),
    Fault("refused", 0.05),
    Fault("black_hole", 0.02),
    Fault("reset", 0.02),
    Fault("malformed", 0.02),
    Fault("empty", 0.01),
)
"""A mix of published shape. A fifth are cut streams, and 28 % strike after the first output; of the rest most are 5xx
and overload, then rate limits, then silence, then the network. Providers publish incidents, not such a table: the parts
are those that operators report, the figures are chosen, and each run may have others."""
