"""The one tree of errors.

    GatewayError            what a client may see
    ├── ClientMistake       the request is wrong; sending it again will not help (4xx)
    ├── PolicyRefusal       the request is right, a policy says no (403, 429 quota, 400 guard)
    ├── Capacity            not now: limits, a full queue (429, 503)
    ├── Upstream            every target failed (502, 503, 504) or the one error that is worth showing
    ├── NotBuilt            promised, not there yet (501)
    └── Internal            our own mistake (500)

Each says what happened, where (`param`), and what to do next (`remedy`). `ProviderError` is data, not an exception:
what an upstream answered, read from its own dialect.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

ErrorKind: TypeAlias = Literal[
    "invalid_request",
    "authentication",
    "permission",
    "not_found",
    "too_large",
    "timeout",
    "rate_limit",
    "quota",
    "content_filter",
    "overloaded",
    "server",
    "connection",
    "cut",
]
"""What went wrong, in words that no provider owns. `connection`: no answer at all; `cut`: a stream ended too early."""


class ProviderError(msgspec.Struct, frozen=True):
    """What an upstream answered. `retry_after_s` is its own wish, in seconds, not yet clamped."""

    kind: ErrorKind
    message: str
    status: int | None = None
    code: str | None = None
    param: str | None = None
    retry_after_s: float | None = None


STATUS_KIND: dict[int, ErrorKind] = {
    400: "invalid_request",
    401: "authentication",
    402: "quota",
    403: "permission",
    404: "not_found",
    408: "timeout",
    409: "server",
    413: "too_large",
    425: "server",
    429: "rate_limit",
    503: "overloaded",
    504: "timeout",
    524: "timeout",
    529: "overloaded",
}
"""409 is a lock that could not be had in time, and the makers' own SDKs try it again (openai 3.57, anthropic 2.13,
`_should_retry`); 425 asks for the same; 524 is a proxy's (Cloudflare) that waited in vain."""


def kind_of_status(status: int) -> ErrorKind:
    """The kind that an HTTP status alone stands for."""
    return STATUS_KIND.get(status) or ("invalid_request" if 400 <= status < 500 else "server")


class GatewayError(Exception):
    """An error that a client sees, in its own protocol."""

    status = 500
    kind: ErrorKind = "server"
    retryable = False
    remedy = ""

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        status: int | None = None,
        kind: ErrorKind | None = None,
        remedy: str | None = None,
        retry_after_s: float | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code, self.param, self.retry_after_s = code, param, retry_after_s
        self.status = status if status is not None else self.status
        self.kind = kind if kind is not None else self.kind
        self.remedy = remedy if remedy is not None else self.remedy
        self.retryable = retryable if retryable is not None else self.retryable

    def text(self) -> str:
        """Message and remedy as one paragraph."""
        message = self.message if self.message.endswith((".", "!", "?", ":")) or not self.remedy else f"{self.message}."
        return f"{message} {self.remedy}".strip()


class ClientMistake(GatewayError):
    """The request cannot be served as it is."""

    status, kind = 400, "invalid_request"
    remedy = "Correct the request and send it again."


class PolicyRefusal(GatewayError):
    """A policy of the operator says no."""

    status, kind = 403, "permission"
    remedy = "Ask the operator of this gateway, or use another model or key."


class Capacity(GatewayError):
    """Not now."""

    status, kind, retryable = 503, "overloaded", True
    remedy = "Wait as long as retry-after says, then try again."


class Upstream(GatewayError):
    """No target gave an answer."""

    status, kind = 502, "server"
    remedy = "No other target is left that may be tried now; see the request log, and try again later."


class NotBuilt(GatewayError):
    """Promised by the interface, not there yet."""

    status, kind = 501, "invalid_request"
    remedy = "Use another endpoint, or a later release."


class Internal(GatewayError):
    """A mistake of the gateway itself."""

    remedy = "This is a fault of the gateway: look for the request id in its log and report it."
