"""Reading a request's body within its limits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from afterbay.core.errors import ClientMistake
from afterbay.http.reply import Receive
from afterbay.ports import ClientGone


def check_head(headers: Mapping[str, str], limit_bytes: int) -> None:
    """Refuses a body by its headers, before any of it is read.

    Raises:
        ClientMistake: 413 too large; 415 compressed.
    """
    check_length(headers, limit_bytes)
    encoding = headers.get("content-encoding", "identity")
    if encoding not in ("", "identity"):
        raise ClientMistake(
            f"The request body is compressed ({encoding[:40]}).",
            status=415,
            code="unsupported_encoding",
            param="content-encoding",
            remedy="Send it uncompressed.",
        )


def check_length(headers: Mapping[str, str], limit_bytes: int) -> None:
    """Refuses a body by the length that its client announces.

    Raises:
        ClientMistake: 413 too large.
    """
    length = headers.get("content-length")
    if length is not None and length.isascii() and length.isdigit() and int(length[:20]) > limit_bytes:
        raise too_large(limit_bytes)


def too_large(limit_bytes: int) -> ClientMistake:
    """The 413."""
    return ClientMistake(
        f"The request body is larger than {limit_bytes} bytes.",
        status=413,
        kind="too_large",
        code="body_too_large",
        remedy="Send less, or raise limits.body_bytes.",
    )


async def read_body(receive: Receive, limit_bytes: int, within_s: float) -> bytes:
    """The whole body.

    Raises:
        ClientMistake: 413 too large; 408 too slow.
        ClientGone: the client hung up.
    """
    first = await _next(receive, within_s)
    if not first["more_body"] and len(first["body"]) <= limit_bytes:
        whole: bytes = first["body"]
        return whole
    pieces, size, message = [first["body"]], len(first["body"]), first
    loop = asyncio.get_running_loop()
    end_s = loop.time() + within_s
    while True:
        if size > limit_bytes:
            raise too_large(limit_bytes)
        if not message["more_body"]:
            return b"".join(pieces)
        message = await _next(receive, end_s - loop.time())
        pieces.append(message["body"])
        size += len(message["body"])


class StreamedBody:
    """Implements `ports.RequestBody`: a body that is read as fast as somebody takes it.

    Only the time spent waiting for the client counts against `within_s`. `over` is called once all of it was read.
    """

    def __init__(self, receive: Receive, limit_bytes: int, within_s: float, over: Callable[[], None]) -> None:
        self.is_over = False
        self._receive, self._limit_bytes, self._left_s, self._over = receive, limit_bytes, within_s, over
        self._size = 0

    async def read(self) -> bytes:
        """The next bytes; empty at the end."""
        loop = asyncio.get_running_loop()
        while not self.is_over:
            began_s = loop.time()
            message = await _next(self._receive, self._left_s)
            self._left_s -= loop.time() - began_s
            piece = message["body"]
            self._size += len(piece)
            if self._size > self._limit_bytes:
                raise too_large(self._limit_bytes)
            if not message["more_body"]:
                self.is_over = True
                self._over()
            if piece:
                return piece
        return b""


async def _next(receive: Receive, within_s: float) -> dict[str, bytes]:
    try:
        async with asyncio.timeout(max(within_s, 0.0)):
            message = await receive()
    except TimeoutError:
        raise ClientMistake(
            "The request body did not arrive in time.",
            status=408,
            kind="timeout",
            code="body_timeout",
            remedy="Send it faster, or raise limits.body_timeout.",
        ) from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    return {"body": message.get("body", b""), "more_body": message.get("more_body", False)}
