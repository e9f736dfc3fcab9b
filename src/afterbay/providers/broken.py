"""What went wrong between here and a provider, in words for clients: without addresses."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from types import MappingProxyType

import aiohttp

from afterbay.ports import TransportError

_NAMES: Mapping[type[BaseException], str] = MappingProxyType(
    {
        aiohttp.ClientConnectorDNSError: "the host name was not found",
        aiohttp.ClientPayloadError: "the body ended before its end",
        aiohttp.ServerDisconnectedError: "the server hung up",
        aiohttp.ServerTimeoutError: "the server was silent for too long",
    }
)


def unsent(error: BaseException, connect_s: float) -> TransportError:
    """Why there is no answer."""
    late = isinstance(error, aiohttp.ConnectionTimeoutError)
    if not late and not isinstance(error, aiohttp.ClientConnectorError):
        return TransportError(f"the connection broke: {_name(error)}", connected=True)
    what = "no connection" + (" to its proxy" if isinstance(error, aiohttp.ClientProxyConnectionError) else "")
    why = f"{what} within connect = {connect_s:g} s" if late else f"{what}: {_name(error)}"
    return TransportError(why, connected=False)


def broken(error: BaseException) -> TransportError:
    """What ended an answer too early."""
    return TransportError(f"the connection broke while reading: {_name(error)}", connected=True)


def _name(error: BaseException) -> str:
    """What happened, without addresses: they are the operator's business, not the client's."""
    for kind, text in _NAMES.items():
        if isinstance(error, kind):
            return text
    inner = error.__cause__ or error
    if isinstance(inner, ssl.SSLError):
        return f"TLS: {inner.reason or 'failed'}"
    number = getattr(inner, "errno", None)  # asyncio's own text has the address in it
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(error).__name__
