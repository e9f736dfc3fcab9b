"""The line between the control process and a worker: a pair of sockets, messages with their length before them.

It is also how each learns that the other has ended, however it ended: the line is at its end then. Nobody else can
get at it, so configurations and the tokens of local models may go over it.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, TypeAlias

import msgspec

from afterbay.config.watch import Source
from afterbay.core.errors import GatewayError

MOST_BYTES: Final = 1 << 28
"""Longest message: a configuration of 16 MiB, metrics of some thousand series, and much room."""


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """To a worker, first: what it is. `listen`: the descriptor of the socket that all share; `folder`: private to the
    gateway; `place`: which share of what is divided it has, of `workers`; `state`: the section of that name as it was
    when the gateway started, as JSON. It holds whatever `source` says."""

    number: int
    place: int
    workers: int
    listen: int
    folder: str
    source: Source
    state: bytes
    record: str | None = None
    replay: str | None = None


class Prepare(msgspec.Struct, frozen=True, tag="prepare"):
    """To a worker: this configuration comes. It answers `Prepared`."""

    source: Source


class Decide(msgspec.Struct, frozen=True, tag="decide"):
    """To a worker: the prepared configuration is in force from now on, or it is not. It answers `Decided` if it is."""

    adopt: bool


class End(msgspec.Struct, frozen=True, tag="end"):
    """To a worker: end, as by this signal; the second time, at once."""

    signal: int


class LocalModel(msgspec.Struct, frozen=True):
    """How a local model does, and where it listens while it is ready."""

    state: str
    base_url: str = ""
    token: str = ""

    def __repr__(self) -> str:
        """Without the token."""
        return f"LocalModel(state={self.state!r}, base_url={self.base_url!r})"


class LocalModelsAre(msgspec.Struct, frozen=True, tag="local_models"):
    """To a worker: how all local models do."""

    models: dict[str, LocalModel]


class AskFigures(msgspec.Struct, frozen=True, tag="ask_figures"):
    """To a worker: its own metrics are wanted. To the control process: those of all are. `Figures` is the answer."""

    number: int


class Figures(msgspec.Struct, frozen=True, tag="figures"):
    """Metrics, as text."""

    number: int
    text: bytes


class ReadKeys(msgspec.Struct, frozen=True, tag="read_keys"):
    """From a worker: it changed keys. To the others: they are to read them again. `KeysRead` is the answer."""

    number: int


class KeysRead(msgspec.Struct, frozen=True, tag="keys_read"):
    """From a worker: it has read the keys. To the one that changed them: all have."""

    number: int


class Serving(msgspec.Struct, frozen=True, tag="serving"):
    """From a worker: it takes connections."""


class Ready(msgspec.Struct, frozen=True, tag="ready"):
    """From a worker: one target can be asked."""


class Prepared(msgspec.Struct, frozen=True, tag="prepared"):
    """From a worker: the configuration can come into force; else `trouble` says why it cannot."""

    trouble: str | None = None


class Decided(msgspec.Struct, frozen=True, tag="decided"):
    """From a worker: the new configuration is in force."""


class Leaving(msgspec.Struct, frozen=True, tag="leaving"):
    """From a worker: it ends, and has so many requests in flight."""

    in_flight: int


class WantModel(msgspec.Struct, frozen=True, tag="want_model"):
    """From a worker: somebody asks for a local model that was not begun."""

    provider: str
    model: str


ToWorker: TypeAlias = Begin | Prepare | Decide | End | LocalModelsAre | AskFigures | Figures | ReadKeys | KeysRead
FromWorker: TypeAlias = (
    Serving | Ready | Prepared | Decided | Leaving | WantModel | AskFigures | Figures | ReadKeys | KeysRead
)
Message: TypeAlias = ToWorker | FromWorker

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Message).decode


class LineBroken(GatewayError):
    """What came over the line is no message: the processes run different releases."""


class Line:
    """One end of a line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, sock: socket.socket) -> Line:
        """The end that has this socket."""
        sock.setblocking(False)
        return cls(*await asyncio.open_connection(sock=sock))

    def send(self, message: Message) -> None:
        """Sends a message, if the other end is there. What it does not read waits in memory: there is not much."""
        if self._writer.is_closing():
            return
        body = _encode(message)
        self._writer.write(len(body).to_bytes(4, "big") + body)

    async def receive(self) -> Message | None:
        """The next message; None: the other end has ended.

        Raises:
            LineBroken: it is none.
        """
        try:
            size = int.from_bytes(await self._reader.readexactly(4), "big")
            if size > MOST_BYTES:
                raise LineBroken("A message between the gateway's processes is too long.")
            message: Message = _decode(await self._reader.readexactly(size))
            return message
        except (asyncio.IncompleteReadError, OSError):
            return None
        except msgspec.MsgspecError as error:
            raise LineBroken(
                f"A message between the gateway's processes cannot be read: {error}.",
                remedy="Was the program replaced while it ran? Restart the gateway.",
            ) from error

    async def close(self) -> None:
        """Sends what waits, and ends it."""
        self._writer.close()
        try:
            async with asyncio.timeout(1):
                await self._writer.wait_closed()
        except (OSError, TimeoutError):
            pass
