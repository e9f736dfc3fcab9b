"""Each knob and each order does what it says, seen from outside."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time

import aiohttp
import pytest

from afterbay.emulate.delay import Delay
from afterbay.emulate.profile import Profile
from afterbay.wire.registry import DIALECTS
from afterbay.wire.sse import decode
from emulate.support import KEY, Running, running


def pieces_of(got: bytes) -> int:
    """How many chunks with text came."""
    return sum(1 for _, data in decode(got) if b'"delta":{"content"' in data or b'"role"' in data)


@pytest.mark.parametrize(
    ("profile", "status", "header"),
    [
        (Profile(error_rate=1, error_statuses=(429,), retry_after=Delay(2)), 429, "2"),
        (Profile(error_rate=1, error_statuses=(429,)), 429, None),
        (Profile(error_rate=1, error_statuses=(529,), retry_after=Delay(1.5)), 529, "1.5"),
        (Profile(error_rate=1, error_statuses=(500,), retry_after=Delay(2)), 500, None),
    ],
)
async def test_errors_come_with_and_without_a_wait(profile: Profile, status: int, header: str | None) -> None:
    async with running(profile) as emulator, emulator.chat("Hi") as response:
        assert (response.status, response.headers.get("retry-after")) == (status, header)
        assert "error" in await response.json()


@pytest.mark.parametrize(("wish", "header"), [("-3", "-3"), ("1e9", "1000000000"), ("inf", "inf")])
async def test_absurd_waits_are_sent_as_ordered(emulator: Running, wish: str, header: str) -> None:
    async with emulator.chat(f"[[status 429 retry-after {wish}]]") as response:
        assert response.headers["retry-after"] == header


@pytest.mark.parametrize("order", ["[[refuse]]", "[[cut 0]]"])
async def test_a_reset_leaves_nothing(emulator: Running, order: str) -> None:
    status, got, ended = await emulator.outcome(order, stream=True)
    assert got == b""
    assert ended in ("ServerDisconnectedError", "ClientOSError", "ClientPayloadError", "ClientConnectionResetError")
    assert (await emulator.settled())["aborted"] == 0
    if order == "[[refuse]]":
        assert status == 0


async def test_a_cut_stream_ends_after_so_many_pieces(emulator: Running) -> None:
    _, reset, reset_end = await emulator.outcome("[[cut 4]]", stream=True)
    _, closed, closed_end = await emulator.outcome("[[cut 4 close]]", stream=True)
    status, eof, eof_end = await emulator.outcome("[[cut 4 eof]]", stream=True)
    assert pieces_of(closed) == pieces_of(eof) == 4
    assert pieces_of(reset) <= 4
    assert reset_end in ("ClientOSError", "ClientPayloadError")
    assert closed_end == "ClientPayloadError"
    assert (status, eof_end) == (200, "")
    assert b"[DONE]" not in eof
    assert (await emulator.stats())["faults"] == {"cut": 3}


async def test_a_cut_beyond_the_end_still_cuts(emulator: Running) -> None:
    _, got, _ = await emulator.outcome("[[say one two]] [[cut 99 eof]]", stream=True)
    assert pieces_of(got) == 2
    assert b'finish_reason":"stop' not in got


async def test_a_cut_answer_is_shorter_than_it_says(emulator: Running) -> None:
    status, got, ended = await emulator.outcome("[[cut 3 close]]")
    assert (status, ended) == (200, "ClientPayloadError")
    assert got.startswith(b'{"id":')


async def test_a_stall_is_silent_for_as_long_as_it_says(emulator: Running) -> None:
    times: list[float] = []
    async with emulator.chat("[[stall 2 300ms]] [[say a b c d]]", stream=True) as response:
        async for _ in response.content:
            times.append(time.monotonic())
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gap > 0.25 for gap in gaps) == 1
    assert (await emulator.stats())["faults"] == {"stall": 1}


async def test_a_stall_may_send_pings(emulator: Running) -> None:
    _, got, _ = await emulator.outcome("[[stall 1 1.2s pings]] [[say a b]]", stream=True)
    assert got.count(b": ping\n\n") == 2
    assert got.endswith(b"data: [DONE]\n\n")


async def test_hanging_and_late_headers_take_their_time(emulator: Running) -> None:
    for order in ("[[hang 200ms]]", "[[headers 200ms]]"):
        start = time.monotonic()
        async with emulator.chat(order, stream=True) as response:
            assert response.status == 200
            assert time.monotonic() - start >= 0.2


async def test_pace_is_kept(emulator: Running) -> None:
    start = time.monotonic()
    async with emulator.chat("[[ttft 600ms]] [[slow 30ms]] [[say a b c d e f]]", stream=True) as response:
        assert time.monotonic() - start < 0.55  # headers do not wait for the first token
        await response.read()
    assert time.monotonic() - start >= 0.6 + 5 * 0.03
    start = time.monotonic()
    async with emulator.chat("[[ttft 100ms]] [[slow 20ms]] [[say a b c]]") as response:
        await response.read()
    assert time.monotonic() - start >= 0.14


async def test_a_web_page_and_a_blank_body_have_status_200(emulator: Running) -> None:
    status, page, _ = await emulator.outcome("[[html]]", stream=True)
    assert (status, page[:15]) == (200, b"<!doctype html>")
    assert await emulator.outcome("[[blank]]") == (200, b"", "")


async def test_a_malformed_piece_is_among_good_ones(emulator: Running) -> None:
    _, got, _ = await emulator.outcome("[[malformed 2]] [[say a b c d]]", stream=True)
    bad = []
    for _, data in decode(got):
        try:
            json.loads(data)
        except ValueError:
            bad.append(data)
    broken, done = bad
    assert b'"content":" c"' in broken
    assert done == b"[DONE]"
    _, whole, _ = await emulator.outcome("[[malformed 2]]")
    assert whole.startswith(b'{"id":')
    with pytest.raises(json.JSONDecodeError):
        json.loads(whole)


async def test_an_error_inside_a_stream_is_its_end(emulator: Running) -> None:
    _, got, ended = await emulator.outcome("[[error 3]]", stream=True)
    assert (pieces_of(got), ended) == (3, "")
    assert b'"error"' in decode(got)[-1][1]
    status, whole, _ = await emulator.outcome("[[error 3]]")
    assert status == 200
    assert "error" in json.loads(whole)


@pytest.mark.parametrize("stream", [False, True])
async def test_missing_usage_and_empty_answers(emulator: Running, stream: bool) -> None:
    _, got, _ = await emulator.outcome("[[no-usage]]", stream=stream)
    assert b"prompt_tokens" not in got
    _, got, _ = await emulator.outcome("[[empty]]", stream=stream)
    assert b'"finish_reason":"stop"' in got
    assert pieces_of(got) <= 1


@pytest.mark.parametrize(
    ("profile", "fault"),
    [
        (Profile(cut_rate=1), "cut"),
        (Profile(stall_rate=1, stall_for=Delay(0.01)), "stall"),
        (Profile(hang_rate=1, hang_for=Delay(0.01)), "hang"),
        (Profile(malformed_rate=1), "malformed"),
        (Profile(error_in_stream_rate=1), "error-in-stream"),
        (Profile(html_rate=1), "html"),
        (Profile(blank_rate=1), "blank"),
        (Profile(empty_rate=1), "empty"),
        (Profile(error_rate=1), "status"),
        (Profile(refuse_connections=True), "refuse"),
    ],
)
async def test_every_rate_has_its_fault(profile: Profile, fault: str) -> None:
    async with running(profile) as emulator:
        for stream in (False, True):
            await emulator.outcome("Hi", stream=stream)
        assert (await emulator.settled())["faults"] == {fault: 2}


async def test_orders_can_be_switched_off() -> None:
    async with running(Profile(directives=False)) as emulator:
        status, got, _ = await emulator.outcome("[[status 503]]")
        assert status == 200
        assert b"You asked" in got


async def test_the_same_seed_gives_the_same_run() -> None:
    async def run() -> list[tuple[int, bytes]]:
        async with running(Profile(seed=7, error_rate=0.3, empty_rate=0.3, cut_rate=0.3, cut_how="eof")) as emulator:
            outcomes = [await emulator.outcome("Hello", stream=True) for _ in range(20)]
        return [(status, re.sub(rb'"created":\d+', b"", got)) for status, got, _ in outcomes]

    first = await run()
    assert {status for status, _ in first} > {200}
    assert len({len(got) for _, got in first}) > 3
    assert first == await run()


async def test_the_rate_limit_is_told_and_enforced() -> None:
    async with running(Profile(requests_per_minute=2)) as emulator:
        seen = []
        for _ in range(3):
            async with emulator.chat("Hi") as response:
                seen.append((response.status, response.headers["x-ratelimit-remaining-requests"]))
                waits = response.headers.get("retry-after")
        assert seen == [(200, "1"), (200, "0"), (429, "0")]
        assert 50 <= int(waits or 0) <= 60
        async with emulator.http.post(
            f"{emulator.url}/anthropic/v1/messages",
            json={"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]},
            headers={"x-api-key": "k"},
        ) as response:
            assert response.headers["anthropic-ratelimit-requests-remaining"] == "1"


async def test_a_client_that_leaves_is_noticed(emulator: Running) -> None:
    response = await emulator.chat("[[slow 50ms]] [[tokens 1000]]", stream=True)
    await response.content.readany()
    assert (await emulator.stats())["open_streams"] == 1
    response.close()
    found = await emulator.settled()
    assert (found["aborted"], found["aborted_streams"], found["open_streams"]) == (1, 1, 0)


async def test_a_client_that_leaves_before_the_headers_is_noticed(emulator: Running) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await emulator.chat("[[hang 30s]]")
    assert (await emulator.settled())["aborted"] == 1


async def test_a_client_that_reads_to_the_end_is_not_counted_as_gone(emulator: Running) -> None:
    for stream in (False, True):
        await emulator.outcome("Hi", stream=stream)
    assert (await emulator.settled())["aborted"] == 0


async def test_a_body_too_large_is_refused(emulator: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("afterbay.emulate.line.BODY_BYTES", 1000)
    async with emulator.chat("x" * 2000) as response:
        assert response.status == 413


async def test_one_provider_can_be_broken_while_it_runs() -> None:
    async with running(Profile("instant")) as emulator:
        other = Running(emulator.url, emulator.http, "-b")

        async def change(order: object) -> tuple[int, str]:
            async with emulator.http.post(f"{emulator.url}/emulate/profile", json=order) as response:
                return response.status, await response.text()

        assert (await emulator.outcome("Hi"))[0] == 200
        assert (await change({"provider": "openai", "profile": {"error_rate": 1, "error_statuses": [503]}}))[0] == 200
        assert (await emulator.outcome("Hi"))[0] == 503
        assert (await other.outcome("Hi"))[0] == 200
        assert await change({"provider": "openai", "profile": "instant"}) == (200, '{"changed":["openai"]}')
        assert (await emulator.outcome("Hi"))[0] == 200
        assert await change({"profile": "slow"}) == (200, '{"changed":["openai","openai-b"]}')
        async with emulator.http.get(f"{emulator.url}/emulate/profile") as response:
            assert (await response.json())["providers"]["openai"]["name"] == "slow"


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/v1/chat/completions", "chat.completion"),
        ("/v1/responses", "response"),
        ("/v1/messages", "message"),
        ("/v1beta/models/m:generateContent", "candidates"),
    ],
)
async def test_a_provider_called_any_speaks_every_protocol_and_is_one_provider(
    emulator: Running, path: str, kind: str
) -> None:
    body = {
        "model": "m",
        "max_tokens": 5,
        "messages": [{"role": "user", "content": "Hi"}],
        "input": "Hi",
        "contents": [{"role": "user", "parts": [{"text": "Hi"}]}],
    }
    async with emulator.http.post(f"{emulator.url}/any-c{path}", json=body, headers=KEY) as response:
        assert response.status == 200
        assert kind in await response.text()
    async with emulator.http.get(f"{emulator.url}/emulate/stats") as response:
        assert (await response.json())["any-c"]["requests"] > 0


@pytest.mark.parametrize(("name", "status"), [("openai", 401), ("anthropic", 401), ("gemini", 400)])
async def test_a_revoked_key_is_refused_and_another_one_is_not(name: str, status: int) -> None:
    path = {"openai": "/v1/chat/completions", "anthropic": "/v1/messages", "gemini": "/v1/models/m:generateContent"}
    async with running(Profile(revoked=("gone",))) as emulator:
        for key, expected in (("gone", {status}), ("kept", {200})):
            url, headers = f"{emulator.url}/{name}{path[name]}", {"authorization": f"Bearer {key}"}
            body = {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": "Hi"}]}
            if name == "gemini":
                body = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
            async with emulator.http.post(url, json=body, headers=headers) as response:
                assert {response.status} == expected


@pytest.mark.parametrize(
    ("order", "says"),
    [
        ({"provider": "openai", "profile": {"error_rate": 7}}, "$.error_rate"),
        ({"provider": "openai", "profile": "dwon"}, "no preset 'dwon'"),
        ({"provider": "nobody", "profile": "down"}, "'nobody' is no provider"),
        ({"provider": "openai"}, "send {"),
        (["down"], "send {"),
    ],
)
async def test_a_wrong_change_says_what_is_wrong(emulator: Running, order: object, says: str) -> None:
    async with emulator.http.post(f"{emulator.url}/emulate/profile", json=order) as response:
        assert response.status == 400
        assert says in (await response.json())["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/nothing"), ("GET", "/openai/v1/chat/completions"), ("POST", "/anthropic/v1/chat/completions"),
     ("GET", "/emulate/nothing"), ("POST", "/gemini/v1beta/models/m:unheardOf")],
)  # fmt: skip
async def test_other_paths_are_not_there(emulator: Running, method: str, path: str) -> None:
    async with emulator.http.request(method, emulator.url + path, headers=KEY) as response:
        assert response.status == 404
        assert path in (await response.json())["error"]["message"]


async def test_paths_without_a_prefix_work_too(emulator: Running) -> None:
    messages = [{"role": "user", "content": "Hi"}]
    asked: list[tuple[str, dict[str, object], dict[str, str]]] = [
        ("/v1/chat/completions", {"model": "m", "messages": messages}, KEY),
        ("/v1/messages", {"model": "m", "max_tokens": 9, "messages": messages}, {"x-api-key": "k"}),
        ("/v1beta/models/m:generateContent?key=k", {"contents": [{"parts": [{"text": "Hi"}]}]}, {}),
        ("/v1/models/m:generateContent?key=k", {"contents": [{"parts": [{"text": "Hi"}]}]}, {}),
    ]
    for path, body, headers in asked:
        async with emulator.http.post(emulator.url + path, json=body, headers=headers) as response:
            assert response.status == 200, path
    shapes = []
    for headers in (KEY, {"x-api-key": "k", "anthropic-version": "2023-06-01"}, {"x-goog-api-key": "k"}):
        async with emulator.http.get(f"{emulator.url}/v1/models", headers=headers) as response:
            shapes.append(sorted(await response.json()))
    assert shapes == [["data", "object"], ["data", "first_id", "has_more", "last_id"], ["models"]]


@pytest.mark.parametrize(
    ("path", "headers", "missing", "wrong"),
    [
        ("/openai/v1/chat/completions", "authorization", 401, 401),
        ("/anthropic/v1/messages", "x-api-key", 401, 401),
        ("/gemini/v1beta/models/m:generateContent", "x-goog-api-key", 403, 400),
    ],
)
async def test_a_missing_and_a_bad_key_are_refused_in_the_protocol(
    emulator: Running, path: str, headers: str, missing: int, wrong: int
) -> None:
    name = {"openai": "openai.chat", "anthropic": "anthropic.messages", "gemini": "gemini"}[path.split("/")[1]]
    bad = "Bearer bad-key" if headers == "authorization" else "bad-key"
    for given, status in (({}, missing), ({headers: bad}, wrong)):
        async with emulator.http.post(emulator.url + path, json={}, headers=given) as response:
            assert response.status == status
            error = DIALECTS[name].parse_error(response.status, response.headers, await response.read())
            assert error.kind == ("permission" if status == 403 else "authentication")


async def test_unknown_models_are_a_404_where_models_are_listed() -> None:
    async with running(Profile(models=("only-this",))) as emulator:
        async with emulator.chat("Hi", model="another") as response:
            assert response.status == 404
        async with emulator.chat("Hi", model="only-this") as response:
            assert response.status == 200
        async with emulator.http.get(f"{emulator.url}/openai/v1/models/another", headers=KEY) as response:
            assert response.status == 404


async def test_what_is_ignored_is_said_in_a_header(emulator: Running) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "logprobs": True}
    url = f"{emulator.url}/openai/v1/chat/completions"
    async with emulator.http.post(url, json=body, headers=KEY) as response:
        assert response.headers["x-emulate-ignored"] == "logprobs"


async def test_a_fault_does_not_leak_into_the_next_request_of_a_connection(emulator: Running) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=1)) as http:
        one = Running(emulator.url, http)
        for prompt in ("[[cut 2]]", "Hi", "[[status 500]]", "Hi", "[[refuse]]", "Hi"):
            status, _, ended = await one.outcome(prompt, stream=True)
            assert prompt != "Hi" or (status, ended) == (200, "")
