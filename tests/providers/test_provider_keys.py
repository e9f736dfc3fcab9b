"""Several keys of one provider over real sockets: which goes out, which rests, and what the log and the metrics say."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from afterbay.config.snapshot import Provider
from afterbay.core.errors import ProviderError
from afterbay.core.secret import Secret
from afterbay.ports import SocketRefused
from afterbay.providers.keys import ProviderKeys
from afterbay.providers.upstream import HttpUpstream

KEYS = ("canary-key-one", "canary-key-two", "canary-key-three")
REFUSED = ProviderError("authentication", "no", 401)


class Answers:
    """What the provider answers to each key: a status, and headers. `seen` has the keys of the requests, from 1."""

    def __init__(self) -> None:
        self.status: dict[int, int] = {}
        self.headers: Mapping[str, str] = {}
        self.seen: list[int] = []


@asynccontextmanager
async def provider(keys: int = 3) -> AsyncIterator[tuple[HttpUpstream, Answers, list[tuple[str, int]]]]:
    """A provider that takes these keys, an upstream in front of it, and what that told of refused ones."""
    answers, told = Answers(), list[tuple[str, int]]()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        place = next(place for place, key in enumerate(KEYS, 1) if f"Bearer {key}\r\n" in head)
        answers.seen.append(place)
        lines = "".join(f"{name}: {value}\r\n" for name, value in answers.headers.items())
        status = answers.status.get(place, 200)
        writer.write(f"HTTP/1.1 {status} X\r\nconnection: close\r\n{lines}content-length: 2\r\n\r\n{{}}".encode())
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    secrets = tuple(Secret(key) for key in KEYS[:keys])
    one = Provider("up", "openai", url, "openai.chat", None, keys=secrets)
    upstream = HttpUpstream(one, told=lambda name, count: told.append((name, count)))
    try:
        yield upstream, answers, told
    finally:
        await upstream.close()
        server.close()


async def post(upstream: HttpUpstream, error: ProviderError | None = None, rest_s: float | None = None) -> float:
    """One request; `error` is what the engine makes of its answer."""
    response = await upstream.post("/chat/completions", b"{}", {}, 5.0)
    try:
        await response.read_all(1000)
    finally:
        response.close()
    assert response.credential is not None
    return 0.0 if error is None else response.credential.failed(error, rest_s)


async def send(upstream: HttpUpstream) -> None:
    response = await upstream.send("GET", "/v1/files", {}, b"", 5.0)
    try:
        await response.read_all(1000)
    finally:
        response.close()


async def test_keys_go_out_in_turn() -> None:
    async with provider() as (upstream, answers, _):
        for _ in range(4):
            await post(upstream)
        await send(upstream)
    assert answers.seen == [1, 2, 3, 1, 2]


async def test_a_lease_says_which_key_it_is_and_not_what() -> None:
    async with provider() as (upstream, _, _):
        response = await upstream.post("/x", b"{}", {}, 5.0)
        response.close()
    assert response.credential is not None
    assert (response.credential.number, response.credential.of) == (1, 3)
    assert "canary" not in repr(response.credential) + str(vars(upstream)["_keys"])


async def test_a_limited_key_rests_and_the_others_go_on() -> None:
    async with provider() as (upstream, answers, told):
        assert await post(upstream, ProviderError("rate_limit", "no", 429), 60.0) == 0.0
        for _ in range(4):
            await post(upstream)
    assert answers.seen == [1, 2, 3, 2, 3]
    assert told == [], "a limit alarms nobody"


async def test_a_refused_key_is_told_of_once_and_once_more_when_it_is_mended(caplog: pytest.LogCaptureFixture) -> None:
    async with provider(keys=2) as (upstream, answers, told):
        answers.status = {1: 401}
        with caplog.at_level(logging.WARNING, "afterbay.providers"):
            assert await post(upstream, REFUSED) == 0.0
            await post(upstream)
            await post(upstream)
            answers.status = {2: 401}
            assert 59 < await post(upstream, REFUSED) <= 60, "all rest now, and the first is free in a minute"
            answers.status = {}
            await post(upstream)
    assert answers.seen == [1, 2, 2, 2, 1]
    assert told == [("up", 1), ("up", 2), ("up", 1)]
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("provider up: key 1 of 2 was refused (status 401, authentication)")
    assert lines[2] == "provider up: key 1 of 2 is accepted again"
    assert "canary" not in caplog.text


async def test_a_single_key_is_used_though_it_was_refused(caplog: pytest.LogCaptureFixture) -> None:
    async with provider(keys=1) as (upstream, answers, told):
        answers.status = {1: 403}
        free_s = await post(upstream, ProviderError("permission", "no", 403))
        answers.status = {}
        await post(upstream)
    assert 59 < free_s <= 60
    assert answers.seen == [1, 1]
    assert told == [("up", 1), ("up", 0)]
    assert "the gateway's credential was refused" in caplog.text


@pytest.mark.parametrize(
    ("status", "headers", "rests"),
    [
        (429, {"retry-after": "60"}, True), (429, {}, True), (401, {}, True),
        (429, {"x-ratelimit-reset-requests": "1m0s", "x-ratelimit-remaining-requests": "0"}, True),
        (403, {}, False), (500, {}, False), (400, {}, False), (200, {"retry-after": "60"}, False),
    ],
)  # fmt: skip
async def test_raw_requests_are_judged_by_their_status(status: int, headers: dict[str, str], rests: bool) -> None:
    async with provider(keys=2) as (upstream, answers, _):
        answers.status, answers.headers = {1: status}, headers
        for _ in range(3):
            await send(upstream)
    assert answers.seen == ([1, 2, 2] if rests else [1, 2, 1])


async def test_a_refused_tunnel_lets_its_key_rest() -> None:
    async with provider(keys=2) as (upstream, answers, told):
        answers.status = {1: 401, 2: 500}
        for _ in range(3):
            with pytest.raises(SocketRefused):
                await upstream.connect("/v1/realtime", {}, (), 1000, 5.0)
    assert answers.seen == [1, 2, 2]
    assert told == [("up", 1)]


async def test_requests_under_way_when_a_key_is_refused_alarm_once(caplog: pytest.LogCaptureFixture) -> None:
    keys = ProviderKeys("up", 2)
    for _ in range(50):
        keys.failed(0, REFUSED, None)
    assert len(caplog.records) == 1


async def test_credentials_that_are_renewed_alarm_nobody_at_once(caplog: pytest.LogCaptureFixture) -> None:
    told = list[tuple[str, int]]()
    keys = ProviderKeys("up", 1, lambda name, count: told.append((name, count)), renews=True)
    assert keys.failed(0, REFUSED, None) == 0.0, "the next request may go out with others"
    assert 59 < keys.failed(0, REFUSED, None) <= 60, "what was found anew is refused too"
    keys.served(0)
    assert (caplog.records, told) == ([], [])


async def test_credentials_that_are_renewed_in_vain_alarm(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("afterbay.providers.keys._now", lambda: now)
    keys = ProviderKeys("up", 1, renews=True)
    keys.failed(0, REFUSED, None)
    now += 61
    assert keys.failed(0, REFUSED, None) == 300.0
    assert len(caplog.records) == 1
