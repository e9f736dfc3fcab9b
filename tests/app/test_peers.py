"""Requests about another worker's stream, when that worker is not there any more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from afterbay.app.peers import Peers, socket_of
from afterbay.core.ids import request_id
from afterbay.http.reply import Message, Receive, Send


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    return Path()


async def test_who_comes_back_to_a_stream_of_a_worker_that_was_just_killed_is_answered_here(folder: Path) -> None:
    holder = 3
    name = request_id(1, 2, holder)
    with socket.socket(socket.AF_UNIX) as dead:  # its file outlives it until the control process has noticed
        dead.bind(str(socket_of(folder, holder)))
    sent: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Message:
        if sent:
            return sent.pop()
        await asyncio.Event().wait()  # as long as the client is there
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    heard: list[Message] = []

    async def application(scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        heard.append(await receive())

    path = f"/v1/requests/{name}/stream"
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    peers = Peers(application, cast(Any, None), folder, holder + 1)
    await asyncio.wait_for(peers(scope, receive, send), 5)
    assert [message["type"] for message in heard] == ["http.request"]
