"""What went wrong between here and a provider, in words for clients: without addresses.

Each cause has a code of its own, since each is mended elsewhere (`afterbay.engine.failure` says where):

    dns_not_found      the host's name is not known          connect_refused    nobody listens there
    host_unreachable   no way leads there                    connect_timeout    nobody answered in time
    tls_failed         the certificate, or the protocol      proxy_failed       what stands between, by configuration
    no_sockets         this machine has none left            connection_broken  it stood, and broke before an answer
"""

from __future__ import annotations

import errno
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

_CODE_OF_ERRNO: Mapping[int, str] = MappingProxyType(
    {
        errno.ECONNREFUSED: "connect_refused",
        errno.EHOSTUNREACH: "host_unreachable",
        errno.ENETUNREACH: "host_unreachable",
        errno.ETIMEDOUT: "connect_timeout",
        errno.EMFILE: "no_sockets",
        errno.ENFILE: "no_sockets",
        errno.EADDRNOTAVAIL: "no_sockets",
    }
)

_CERTIFICATE: Mapping[int, str] = MappingProxyType(
    {
        9: "the certificate is not valid yet",
        10: "the certificate has expired",
        18: "the certificate is self-signed",
        19: "a self-signed certificate is in the chain",
        20: "the issuer of the certificate is not known here",
        21: "the first certificate of the chain cannot be verified",
        62: "the certificate is for another host",
        64: "the certificate is for another address",
    }
)
"""By OpenSSL's verify codes (x509_vfy.h): its own texts quote the host."""


def unsent(error: BaseException, connect_s: float) -> TransportError:
    """Why there is no answer."""
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return TransportError(
            f"no connection within connect = {connect_s:g} s", connected=False, code="connect_timeout"
        )
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return TransportError(f"no connection to its proxy: {_name(error)}", connected=False, code="proxy_failed")
    if isinstance(error, aiohttp.ClientHttpProxyError):
        text = f"no connection: its proxy answered with status {error.status}"
        return TransportError(text, connected=False, code="proxy_failed")
    if isinstance(error, aiohttp.ClientConnectorError):
        return TransportError(f"no connection: {_name(error)}", connected=False, code=_code(error))
    return TransportError(f"the connection broke: {_name(error)}", connected=True, code="connection_broken")


def broken(error: BaseException) -> TransportError:
    """What ended an answer too early."""
    return TransportError(f"the connection broke while reading: {_name(error)}", connected=True)


def _code(error: aiohttp.ClientConnectorError) -> str:
    """Which of the causes it is."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "dns_not_found"
    inner = _inner(error)
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(inner, ssl.SSLError):
        return "tls_failed"
    return _CODE_OF_ERRNO.get(getattr(inner, "errno", None) or 0, "connect_failed")


def _inner(error: BaseException) -> BaseException:
    return error.__cause__ or error


def _name(error: BaseException) -> str:
    """What happened, without addresses: they are the operator's business, not the client's."""
    for kind, text in _NAMES.items():
        if isinstance(error, kind):
            return text
    inner = _inner(error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"TLS: {_CERTIFICATE.get(getattr(inner, 'verify_code', 0), 'the certificate cannot be verified')}"
    if isinstance(inner, ssl.SSLError):
        return f"TLS: {getattr(inner, 'reason', None) or 'failed'}"
    number = getattr(inner, "errno", None)  # asyncio's own text has the address in it
    return os.strerror(number) if isinstance(number, int) and number > 0 else type(error).__name__
