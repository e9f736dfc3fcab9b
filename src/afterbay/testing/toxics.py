"""What can go wrong on the wire, as data. A connection may have several of these at once.

The names and meanings are Toxiproxy's where it has one (github.com/Shopify/toxiproxy, README), so that people who know
it know these. `after_bytes` counts what went to the client, HTTP headers included. Who makes them come true:
`afterbay.testing.chaos` on real sockets, `afterbay.testing.emulated_upstream` in simulated time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from afterbay.core.chance import draw

Seconds: TypeAlias = Annotated[float, Meta(ge=0, le=3600)]
Bytes: TypeAlias = Annotated[int, Meta(ge=0, le=1 << 40)]
Some: TypeAlias = Annotated[int, Meta(ge=1, le=1 << 40)]
Direction: TypeAlias = Literal["down", "up"]
"""`down`: from the provider to its client; `up`: the other way."""

FramingFault: TypeAlias = Literal[
    "half_headers",
    "bad_status",
    "endless_headers",
    "bad_chunk_size",
    "no_last_chunk",
    "short_length",
    "long_length",
    "two_lengths",
    "http10_close",
]
TlsFault: TypeAlias = Literal["none", "expired", "wrong_host", "self_signed", "plain"]


class Toxic(msgspec.Struct, frozen=True, tag_field="toxic", tag=str.lower, forbid_unknown_fields=True):
    """Something that goes wrong with a connection."""


class Latency(Toxic, frozen=True):
    """Each piece that is read waits, for `seconds` and up to `jitter_s` more. What comes meanwhile comes together."""

    seconds: Seconds = 0.1
    jitter_s: Seconds = 0.0
    direction: Direction = "down"


class Bandwidth(Toxic, frozen=True):
    """No more bytes a second than this."""

    bytes_per_s: Some
    direction: Direction = "down"


class SlowClose(Toxic, frozen=True, tag="slow_close"):
    """The connection's end comes so much later."""

    seconds: Seconds = 1.0


class Timeout(Toxic, frozen=True):
    """After `after_bytes` nothing passes any more; the connection closes after `seconds`, or with 0 never."""

    seconds: Seconds = 0.0
    after_bytes: Bytes = 0


class ResetPeer(Toxic, frozen=True, tag="reset_peer"):
    """A TCP reset after so many bytes; 0: before the first one, when the request has come."""

    after_bytes: Bytes = 0


class ResetReused(Toxic, frozen=True, tag="reset_reused"):
    """A connection that is used for a second request breaks: the server had closed it while it lay idle."""


class Slicer(Toxic, frozen=True):
    """Bytes come in pieces of this size, `delay_s` apart."""

    size: Some = 1
    delay_s: Seconds = 0.0
    direction: Direction = "down"


class LimitData(Toxic, frozen=True, tag="limit_data"):
    """The connection closes after so many bytes."""

    after_bytes: Bytes


class Down(Toxic, frozen=True):
    """Connections are refused."""


class BlackHole(Toxic, frozen=True, tag="black_hole"):
    """Connections are neither accepted nor refused."""


class Tls(Toxic, frozen=True):
    """The proxy speaks TLS to its client, with something wrong about it; `plain`: it does not, where it should."""

    fault: TlsFault = "none"


class BadFraming(Toxic, frozen=True, tag="bad_framing"):
    """The first answer of a connection is framed against the rules of HTTP; then the connection closes.

    half_headers     the connection closes in the middle of the headers
    bad_status       a status line that is none
    endless_headers  headers that do not end for a quarter of a mebibyte
    bad_chunk_size   a chunk's size is no number, after `after_bytes` of the body
    no_last_chunk    the body is whole, but its last chunk is missing
    short_length     `content-length` is `after_bytes`, and more comes
    long_length      `content-length` is more than comes
    two_lengths      `content-length` twice, or beside chunks
    http10_close     HTTP/1.0, the end of the body is the end of the connection: old, but right
    """

    fault: FramingFault
    after_bytes: Bytes = 400


AnyToxic: TypeAlias = (
    Latency
    | Bandwidth
    | SlowClose
    | Timeout
    | ResetPeer
    | ResetReused
    | Slicer
    | LimitData
    | Down
    | BlackHole
    | Tls
    | BadFraming
)


def name_of(toxic: Toxic) -> str:
    """A toxic's name in plain data."""
    return str(toxic.__struct_config__.tag)


def read_toxics(value: Iterable[Mapping[str, Any]]) -> tuple[AnyToxic, ...]:
    """Toxics from plain data, such as `{"toxic": "reset_peer", "after_bytes": 100}`.

    Raises:
        msgspec.ValidationError: names the field and what is wrong.
    """
    return msgspec.convert(list(value), tuple[AnyToxic, ...], strict=False)


class Gate:
    """How much may pass before a connection ends. Pure: the same for sockets and for simulated time."""

    def __init__(self, toxics: Iterable[AnyToxic]) -> None:
        ends = [one for one in toxics if isinstance(one, Timeout | ResetPeer | LimitData)]
        self._end = min(ends, key=lambda one: one.after_bytes, default=None)
        self._passed = 0

    def take(self, data: bytes) -> tuple[bytes, Timeout | ResetPeer | LimitData | None]:
        """What of `data` passes, and the toxic that ends it there; None: it goes on."""
        end = self._end
        room = len(data) if end is None else end.after_bytes - self._passed
        self._passed += min(room, len(data))
        if end is None or room > len(data):
            return data, None
        return data[:room], end


class Pace:
    """The waits of one direction of a connection: pure but for its count of draws."""

    def __init__(self, toxics: Iterable[AnyToxic], direction: Direction, seed: int, connection: int) -> None:
        own = [one for one in toxics if isinstance(one, Latency | Bandwidth | Slicer) and one.direction == direction]
        self._latencies = [one for one in own if isinstance(one, Latency)]
        self._slicers = [one for one in own if isinstance(one, Slicer)]
        self._bytes_per_s = min((one.bytes_per_s for one in own if isinstance(one, Bandwidth)), default=None)
        self._seed, self._purpose, self._connection = seed, f"chaos/{direction}", str(connection)
        self._draws = 0

    def delay_s(self) -> float:
        """How long the next piece waits after it was read."""
        self._draws += 1
        chance = draw(self._seed, self._purpose, self._connection, self._draws)
        return sum(one.seconds + one.jitter_s * chance for one in self._latencies)

    def slices(self, data: bytes) -> list[bytes]:
        """The pieces in which `data` goes on; a slow line has small ones."""
        sizes = [one.size for one in self._slicers]
        if self._bytes_per_s is not None:
            sizes.append(max(self._bytes_per_s // 20, 1))
        size = min(sizes, default=max(len(data), 1))
        return [data[at : at + size] for at in range(0, len(data), size)]

    def after_s(self, size: int) -> float:
        """How long the line is busy with a piece of this size."""
        busy_s = size / self._bytes_per_s if self._bytes_per_s is not None else 0.0
        return busy_s + sum(one.delay_s for one in self._slicers)
