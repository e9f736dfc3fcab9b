"""A provider's answer that goes to the client as it is, but for the gateway's own secrets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import aiohttp

from afterbay.ports import Credential, TransportError
from afterbay.providers.broken import broken

_MASK = b"[redacted]"


def mask(secret: bytes) -> bytes:
    """As long as the secret: lengths that were announced, and ranges of files, stay right."""
    return _MASK.ljust(len(secret), b"*")[: len(secret)]


def cut(data: bytes, secrets: Sequence[bytes]) -> bytes:
    """Data without the secrets."""
    for secret in secrets:
        if secret in data:
            data = data.replace(secret, mask(secret))
    return data


def cut_text(text: str, secrets: Sequence[bytes]) -> str:
    """Text without the secrets."""
    if any(secret.decode("utf-8", "replace") in text for secret in secrets):
        return cut(text.encode(), secrets).decode("utf-8", "replace")
    return text


def clean_headers(headers: Mapping[str, str], secrets: Sequence[bytes]) -> dict[str, str]:
    """Headers without the secrets; names in lower case, a character a byte, those that came several times joined."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        # aiohttp reads them as UTF-8 where it can; ASGI wants a character for each byte
        name, value = name.lower(), cut(value.encode("utf-8", "surrogateescape"), secrets).decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


class Cutter:
    """Cuts secrets out of a stream, also those that lie across two reads.

    Bytes are held back only while they could be the beginning of a secret; an event of a stream never ends so.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        self._secrets = secrets
        prefixes = {secret[:size] for secret in secrets for size in range(1, len(secret))}
        self._prefixes = tuple(sorted(prefixes, key=len, reverse=True))
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What may go on of this and of what was held."""
        if self._held:
            data, self._held = self._held + data, b""
        data = cut(data, self._secrets)
        if data.endswith(self._prefixes):
            size = next(len(prefix) for prefix in self._prefixes if data.endswith(prefix))
            data, self._held = data[:-size], data[-size:]
        return data

    def rest(self) -> bytes:
        """What is still held, at the end."""
        held, self._held = self._held, b""
        return held


class RawResponse:
    """See `afterbay.ports.UpstreamResponse`."""

    __slots__ = ("_cutter", "_response", "credential", "headers", "status")

    def __init__(
        self, response: aiohttp.ClientResponse, secrets: Sequence[bytes], credential: Credential | None = None
    ) -> None:
        self.credential = credential
        self._response = response
        self._cutter = Cutter(secrets)
        self.status: int = response.status
        self.headers: Mapping[str, str] = clean_headers(response.headers, secrets)

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end."""
        while True:
            try:
                data = await self._response.content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise broken(error) from error
            clean = self._cutter.feed(data) if data else self._cutter.rest()
            if clean or not data:
                return clean

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body, at most `limit_bytes`."""
        pieces, size = list[bytes](), 0
        while data := await self.read():
            pieces.append(data)
            size += len(data)
            if size > limit_bytes:
                text = f"an answer of over {limit_bytes} bytes"
                raise TransportError(text, connected=True, code="answer_too_large")
        return b"".join(pieces)

    def close(self) -> None:
        """Closes the connection unless the body was read to its end; then it goes back to the pool by itself."""
        self._response.close()
