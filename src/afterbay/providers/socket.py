"""One WebSocket to a provider, over aiohttp: messages as they are, no compression, no pings of our own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

import aiohttp
from aiohttp import WSMsgType

from afterbay.ports import Closed, Message, SocketRefused, TransportError
from afterbay.providers.broken import broken
from afterbay.providers.raw import cut, cut_text

CLOSE_S = 5.0
"""As long a provider may take to answer a goodbye."""
REFUSAL_BYTES = 1 << 16
"""As much is read of an answer that refuses a WebSocket."""

_NO_CODE, _ABNORMAL = 1005, 1006


async def refuse(response: aiohttp.ClientResponse) -> None:
    """For aiohttp's `raise_for_status`: an answer other than 101 is kept, where aiohttp would throw its body away.

    Raises:
        SocketRefused: it is one.
    """
    if response.status == 101:
        return
    body = b""
    with contextlib.suppress(aiohttp.ClientError, OSError):
        while len(body) < REFUSAL_BYTES and (data := await response.content.read(REFUSAL_BYTES - len(body))):
            body += data
    response.close()
    raise SocketRefused(response.status, response.headers, body)


class HttpSocket:
    """See `afterbay.ports.UpstreamSocket`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, secrets: Sequence[bytes]) -> None:
        self._socket = socket
        self._secrets = secrets
        self.subprotocol: str | None = socket.protocol

    async def receive(self) -> Message | Closed:
        """The next message, or the end."""
        message = await self._socket.receive()
        match message.type:
            case WSMsgType.TEXT:
                return cut_text(message.data, self._secrets)
            case WSMsgType.BINARY:
                return cut(message.data, self._secrets)
            case WSMsgType.CLOSE:
                return Closed(message.data or _NO_CODE, cut_text(message.extra or "", self._secrets))
            case WSMsgType.ERROR:  # what came breaks the protocol, or is too large: aiohttp has said so
                code = getattr(message.data, "code", None)
                return Closed(
                    code if isinstance(code, int) else _ABNORMAL, "the provider's message cannot be passed on"
                )
            case _:
                return Closed(_ABNORMAL, "the connection to the provider broke")

    async def send(self, message: Message) -> None:
        """Sends a message."""
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (aiohttp.ClientError, OSError) as error:
            raise broken(error) from error

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye, and ends the connection whether it is answered or not."""
        with contextlib.suppress(TimeoutError, TransportError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(CLOSE_S):
                await self._socket.close(code=code, message=reason.encode())
