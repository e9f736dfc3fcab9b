"""Connections that do not come about: what is said of them names no address."""

from __future__ import annotations

import socket
from contextlib import closing
from typing import Any

import pytest

from afterbay.config.snapshot import Provider
from afterbay.ports import TransportError
from afterbay.providers.upstream import HttpUpstream


def closed_address() -> str:
    """A loopback address where nobody listens."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "no connection: Connection refused"),
        ({"proxy": closed_address()}, "no connection to its proxy: Connection refused"),
    ],
)
async def test_a_refused_connection_is_told_without_the_address(fields: dict[str, Any], told: str) -> None:
    upstream = HttpUpstream(Provider("p", "openai", closed_address(), "openai.chat", None, **fields))
    with pytest.raises(TransportError) as caught:
        await upstream.post("/chat/completions", b"{}", {}, 5.0)
    await upstream.close()
    assert str(caught.value) == told
