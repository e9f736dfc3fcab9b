"""Asking a running gateway."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from urllib.parse import urlsplit

import aiohttp
import msgspec

from afterbay.cli.answer import Answer
from afterbay.cli.speech import Misuse
from afterbay.core.decision import Record
from afterbay.core.errors import GatewayError

CONNECT_S = 5.0
SILENCE_S = 900.0
"""Longest wait for the next bytes: above the gateway's own limits, so that its error is seen, not ours."""
RECORD_TRIES = 15
RECORD_PAUSE_S = 0.1


class RemoteGateway:
    """A gateway by its address, with or without `/v1` at the end."""

    def __init__(self, url: str, key: str | None) -> None:
        self.url = address(url)
        self._headers = {"content-type": "application/json"}
        if key:
            self._headers["authorization"] = f"Bearer {key}"

    async def ask(self, body: bytes, answer: Answer, *, explain: bool) -> Record | None:
        """Sends one request; its record if it is wanted.

        Raises:
            GatewayError: no gateway answers there.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S, sock_read=SILENCE_S)
        async with aiohttp.ClientSession(timeout=timeout, headers=self._headers) as session:
            try:
                async with session.post(f"{self.url}/v1/chat/completions", data=body) as response:
                    answer.begin(response.status, {name.lower(): text for name, text in response.headers.items()})
                    async for data in response.content.iter_any():
                        answer.feed(data)
                    answer.end()
            except aiohttp.ClientConnectorError as error:
                raise self._nobody(error) from None
            except (aiohttp.ClientError, TimeoutError) as error:
                raise GatewayError(
                    f"The connection to {self.url} broke ({type(error).__name__}).", remedy="Ask again."
                ) from None
            except (ValueError, msgspec.DecodeError):
                raise self._stranger(answer.status) from None
            if not answer.request_id:
                raise self._stranger(answer.status)
            return await self._record(session, answer.request_id) if explain else None

    async def _record(self, session: aiohttp.ClientSession, request_id: str) -> Record | None:
        """The record; it appears a moment after the last byte. None: it did not, or may not be seen."""
        for _ in range(RECORD_TRIES):
            try:
                async with session.get(f"{self.url}/v1/requests/{request_id}") as response:
                    if response.status == 200:
                        return msgspec.json.decode(await response.read(), type=Record)
                    if response.status != 404:
                        return None
            except (aiohttp.ClientError, TimeoutError, msgspec.DecodeError):
                return None
            await asyncio.sleep(RECORD_PAUSE_S)
        return None

    def _nobody(self, error: aiohttp.ClientConnectorError) -> GatewayError:
        number = error.os_error.errno
        reason = os.strerror(number) if number is not None and number > 0 else "there is no such host"
        return GatewayError(
            f"No gateway answers at {self.url} ({reason}).",
            remedy="Start one with `afterbay serve`, correct AFTERBAY_URL, or unset it to ask in process.",
        )

    def _stranger(self, status: int) -> GatewayError:
        return GatewayError(
            f"What answers at {self.url} (status {status}) is no afterbay.",
            remedy="Set AFTERBAY_URL to the gateway's address, such as http://127.0.0.1:8400.",
        )


def address(url: str) -> str:
    """The address alone.

    Raises:
        Misuse: this is not one.
    """
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.netloc or "@" in parts.netloc:
        raise Misuse(
            "AFTERBAY_URL is not the address of a gateway.",
            remedy="Write it like http://127.0.0.1:8400, without a key.",
        )
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/').removesuffix('/v1')}"


def settings(environ: Mapping[str, str]) -> RemoteGateway | None:
    """The gateway that the environment names, or None."""
    url = environ.get("AFTERBAY_URL")
    return RemoteGateway(url, environ.get("AFTERBAY_KEY")) if url else None
