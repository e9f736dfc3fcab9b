"""What the engine needs from the world, one small protocol per need. Stores, providers and telemetry implement them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from afterbay.core.decision import Record


class Clock(Protocol):
    """Time, passed in so that a simulation can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back; for durations and deadlines."""

    def utc(self) -> float:
        """UTC seconds since 1970; for storage."""


class Entropy(Protocol):
    """Randomness that must not be guessable (ids). Policy draws use `core.chance` instead."""

    def bits(self, count: int) -> int:
        """An integer of `count` random bits."""


class UpstreamResponse(Protocol):
    """An answer whose body has not been read yet. Whoever opened it closes it, whatever happens."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end.

        Raises:
            TransportError: the connection broke.
        """

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            TransportError: the connection broke, or the body is larger than the limit.
        """

    def close(self) -> None:
        """Ends it: an unread body closes the connection, so that the provider stops working."""


class TransportError(Exception):
    """No answer, or a broken one. `connected` says whether the provider may have seen the request.

    `retry_after_s` is set by a target that is on its way (a local model that loads) and knows about how long it takes.
    """

    def __init__(self, message: str, *, connected: bool, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.connected = connected
        self.retry_after_s = retry_after_s


class Upstream(Protocol):
    """One provider, spoken to over HTTP. Adds the address and the credentials; the caller brings path and body."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """Sends a request and waits for the response's headers, as long as the caller lets it.

        Raises:
            TransportError: no connection within `connect_s` seconds, or it broke before the headers.
        """

    async def close(self) -> None:
        """Ends all connections."""


class Reply(Protocol):
    """The way back to one client."""

    started: bool
    """Whether the status line went out: after that only bytes and an end are legal."""
    gone: bool
    """Whether the client hung up. A request that is cancelled without it ends because the gateway does."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends status and headers; names in lower case."""

    async def write(self, data: bytes) -> None:
        """Sends bytes of the body, and waits while the client reads too slowly.

        A client that hangs up cancels the task of its request; an implementation without tasks raises ClientGone.
        """

    async def end(self, data: bytes = b"") -> None:
        """Ends the body properly, after the last bytes of it."""


class ClientGone(Exception):
    """The client hung up: nobody will read the rest."""


class RequestLog(Protocol):
    """Where records go."""

    def put(self, record: Record) -> None:
        """Takes a record without waiting; a full buffer drops nothing but blocks nobody (see the store's notes)."""


class KeptResponse(msgspec.Struct, frozen=True):
    """A response that a client asked to keep.

    `input` is a JSON array of the items that were new in its request, `answer` the response object, `previous_id` the
    response that it continued. `provider` is set, and both are empty, where that provider keeps it itself.
    `created_at` is UTC seconds; `key_id` whose it is (None: an open gateway's).
    """

    id: str
    key_id: str | None
    created_at: float
    provider: str
    model: str
    previous_id: str | None = None
    input: bytes = b""
    answer: bytes = b""


class Responses(Protocol):
    """Where responses are kept, for as long as the retention says."""

    async def get(self, response_id: str) -> KeptResponse | None:
        """The response, whoever it belongs to; None: unknown, deleted, or too old."""

    async def put(self, response: KeptResponse) -> None:
        """Keeps it; on return it is found. An id that is there already stays as it is."""

    async def delete(self, response_id: str) -> bool:
        """Forgets it; whether there was one."""


class Key(msgspec.Struct, frozen=True):
    """A virtual key as the data plane sees it. `models` empty: every model. `admin`: it may use the admin API too."""

    id: str
    name: str
    models: frozenset[str] = frozenset()
    admin: bool = False


class Keys(Protocol):
    """Who may ask."""

    def find(self, secret: str) -> Key | None:
        """The key that this secret belongs to, or None. Constant time in the secret."""

    def any_exist(self) -> bool:
        """Whether any virtual key was ever created: while none was, a loopback gateway is open."""
