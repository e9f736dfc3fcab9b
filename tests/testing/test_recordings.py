"""Recording and replaying providers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.config.snapshot import Provider
from afterbay.core.secret import Secret
from afterbay.emulate.delay import Delay
from afterbay.emulate.profile import Profile
from afterbay.emulate.run import EmulatorProcess
from afterbay.ports import Credential, TransportError
from afterbay.providers.upstream import HttpUpstream
from afterbay.testing import recordings, tape
from afterbay.testing.recorded import fingerprint, load, scrub, without_key
from afterbay.testing.recordings import RecordingUpstream, ReplayUpstream
from afterbay.wire.registry import DIALECTS

PATH = "/chat/completions"
BODY = b'{"model": "m", "messages": [{"role": "user", "content": "Hi"}]}'
HEADERS = {"content-type": "text/event-stream", "x-request-id": "req_1", "set-cookie": "session=1", "x-other": "no"}
KEY = "sk-proj-" + "Abcdefghij0123456789"


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    async def sleep(self, wait_s: float) -> None:
        self.slept.append(round(wait_s, 6))
        self.now_s += wait_s


class Script:
    """An upstream that plays `steps`: waits (float), bytes, errors, None for ever silent."""

    credential: Credential | None = None

    def __init__(self, time: Time, *steps: float | bytes | Exception | None, status: int = 200) -> None:
        self.time, self.steps, self.status = time, list(steps), status
        self.headers: Mapping[str, str] = HEADERS
        self.closed = False

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> Script:
        await self.time.sleep(0.5)
        if self.steps and isinstance(self.steps[0], TransportError):
            raise self.steps[0]
        return self

    async def read(self) -> bytes:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, bytes):
                return step
            if isinstance(step, Exception):
                raise step
            if step is None:
                await asyncio.Event().wait()
            else:
                await self.time.sleep(step)
        return b""

    async def read_all(self, limit_bytes: int) -> bytes:
        raise AssertionError("the recorder reads piece by piece")

    def close(self) -> None:
        self.closed = True


class Silent(Script):
    """Never gives headers."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> Script:
        await asyncio.Event().wait()
        return self


async def record(folder: Path, script: Script, body: bytes = BODY, path: str = PATH) -> list[bytes]:
    """Reads a script to its end by a recorder; its chunks."""
    upstream = RecordingUpstream(script, folder, "openai", now=script.time)
    return await drain(upstream, body, path)


async def drain(upstream: RecordingUpstream | ReplayUpstream, body: bytes = BODY, path: str = PATH) -> list[bytes]:
    response = await upstream.post(path, body, {"authorization": f"Bearer {KEY}", "accept": "*/*"}, 5.0)
    got: list[bytes] = []
    try:
        while data := await response.read():
            got.append(data)
    finally:
        response.close()
    return got


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir())


def only(folder: Path) -> dict[str, Any]:
    (path,) = files(folder)
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


async def test_a_replay_is_byte_equal_and_keeps_its_time(tmp_path: Path) -> None:
    chunks = [b"data: one\n\n", b"data: \xc3", b"\xa9\n\n", b"data: [DONE]\n\n"]
    recorded = await record(tmp_path, Script(Time(), 0.25, chunks[0], 1.0, chunks[1], chunks[2], 0.125, chunks[3]))
    assert recorded == chunks
    time = Time()
    assert await drain(ReplayUpstream(tmp_path, "openai", now=time, sleep=time.sleep)) == chunks
    assert time.slept == [0.5, 0.25, 1.0, 0.125]


async def test_a_replay_at_once_does_not_wait(tmp_path: Path) -> None:
    await record(tmp_path, Script(Time(), 3.0, b"a", 3.0, b"b"))
    time = Time()
    assert await drain(ReplayUpstream(tmp_path, "openai", at_once=True, now=time, sleep=time.sleep)) == [b"a", b"b"]
    assert time.slept == []


async def test_a_slow_reader_gets_what_is_due_at_once(tmp_path: Path) -> None:
    await record(tmp_path, Script(Time(), 1.0, b"a", 1.0, b"b", 1.0, b"c"))
    time = Time()
    response = await ReplayUpstream(tmp_path, "openai", now=time, sleep=time.sleep).post(PATH, BODY, {}, 5.0)
    assert await response.read() == b"a"
    time.now_s += 1.5
    assert await response.read() == b"b"
    assert await response.read() == b"c"
    assert time.slept == [0.5, 1.0, 0.5]


async def test_status_and_listed_headers_come_back_and_no_others(tmp_path: Path) -> None:
    script = Script(Time(), b"{}", status=429)
    script.headers = HEADERS | {"Retry-After": "2", "x-ratelimit-remaining-requests": "0"}
    await record(tmp_path, script)
    response = await ReplayUpstream(tmp_path, "openai", at_once=True).post(PATH, BODY, {}, 5.0)
    assert response.status == 429
    assert dict(response.headers) == {
        "content-type": "text/event-stream",
        "x-request-id": "req_1",
        "retry-after": "2",
        "x-ratelimit-remaining-requests": "0",
    }
    assert await response.read_all(100) == b"{}"
    assert script.closed


async def test_no_credential_is_in_a_file(tmp_path: Path) -> None:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"my key is {KEY}, hide it"}]}).encode()
    half = len(KEY) // 2
    script = Script(Time(), f"it is {KEY[:half]}".encode(), f"{KEY[half:]}, yes".encode())
    got = await record(tmp_path, script, body, "/models/m:generateContent?alt=sse&key=AIzaSecretSecretSecretSecret")
    assert b"".join(got) == f"it is {KEY}, yes".encode(), "the client's own bytes are not touched"
    (path,) = files(tmp_path)
    text = path.read_text()
    for part in (KEY, KEY[:half], KEY[half:], "AIza", "authorization", "session=1"):
        assert part not in text, part
    assert [one["text"] for one in only(tmp_path)["chunks"]] == [
        "it is sk-xxxx-Xxxxxx"[:6] + "sk-xxxx-xxxxxx",
        "xxxx1111111111, yes",
    ]
    assert path.stat().st_mode & 0o077 == 0
    replayed = await drain(ReplayUpstream(tmp_path, "openai", at_once=True), body, "/models/m:generateContent?alt=sse")
    assert [len(one) for one in replayed] == [len(one) for one in got]


@given(st.text(alphabet='abcKEY019-_"\\ \n:,é', max_size=60))
def test_masking_keeps_json_and_length(middle: str) -> None:
    for value in (
        f"sk-abcdefghijkl{middle}",
        f"password: {middle}",
        f"Bearer\t{middle}",
        {"api_key": middle},
        {"secret": 123456},
    ):
        data = json.dumps({"a": value}).encode()
        clean = scrub(data)
        assert len(clean) == len(data)
        assert json.loads(clean).keys() == {"a"}
        assert scrub(clean) == clean, "the same request has the same fingerprint when it is masked already"


def test_the_fingerprint_does_not_see_key_order_and_white_space() -> None:
    assert fingerprint("p", PATH, b'{"a":1,"b":[1,2]}') == fingerprint("p", PATH, b'{ "b": [1, 2], "a": 1 }')
    different = {
        fingerprint("p", PATH, b'{"a":1}'),
        fingerprint("p", PATH, b'{"a":2}'),
        fingerprint("q", PATH, b'{"a":1}'),
        fingerprint("p", "/embeddings", b'{"a":1}'),
        fingerprint("p", PATH, b"not json"),
        fingerprint("p", PATH, b"\xff"),
    }
    assert len(different) == 6


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/a?key=x&alt=sse", "/a?alt=sse"),
        ("/a?alt=sse&key=x", "/a?alt=sse"),
        ("/a?key=x", "/a"),
        ("/a?monkey=x", "/a?monkey=x"),
    ],
)
def test_the_key_goes_from_the_path(path: str, clean: str) -> None:
    assert without_key(path) == clean


async def test_the_nth_request_gets_the_nth_recording_and_then_the_last(tmp_path: Path) -> None:
    for text in (b"first", b"second"):
        await record(tmp_path, Script(Time(), text))
    replay = ReplayUpstream(tmp_path, "openai", at_once=True)
    assert [await drain(replay) for _ in range(4)] == [[b"first"], [b"second"], [b"second"], [b"second"]]


async def test_one_recorder_counts_on(tmp_path: Path) -> None:
    time = Time()
    script = Script(time)
    upstream = RecordingUpstream(script, tmp_path, "open/ai", now=time)
    for number in range(3):
        script.steps = [f"{number}".encode()]
        await drain(upstream)
    assert upstream.recorded == 3
    assert sorted(path.name[-9:] for path in files(tmp_path)) == ["0000.json", "0001.json", "0002.json"]
    replay = ReplayUpstream(tmp_path, "open/ai", at_once=True)
    assert [await drain(replay) for _ in range(3)] == [[b"0"], [b"1"], [b"2"]]


async def test_no_connection_is_replayed_as_such(tmp_path: Path) -> None:
    with pytest.raises(TransportError):
        await record(tmp_path, Script(Time(), TransportError("no connection: refused", connected=False)))
    time = Time()
    with pytest.raises(TransportError, match="no connection: refused") as caught:
        await drain(ReplayUpstream(tmp_path, "openai", now=time, sleep=time.sleep))
    assert not caught.value.connected
    assert time.slept == [0.5]


async def test_a_broken_stream_is_replayed_as_such(tmp_path: Path) -> None:
    error = TransportError("the connection broke while reading", connected=True)
    with pytest.raises(TransportError):
        await record(tmp_path, Script(Time(), 1.0, b"half", 2.0, error))
    time = Time()
    response = await ReplayUpstream(tmp_path, "openai", now=time, sleep=time.sleep).post(PATH, BODY, {}, 5.0)
    assert await response.read() == b"half"
    with pytest.raises(TransportError, match="broke while reading") as caught:
        await response.read()
    assert caught.value.connected
    assert time.slept == [0.5, 1.0, 2.0]


async def test_headers_that_never_came_are_replayed_as_silence(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(record(tmp_path, Silent(Time())), 0.01)
    assert only(tmp_path)["end"] == "silent"
    time = Time()
    with pytest.raises(TransportError, match="silent"):
        await drain(ReplayUpstream(tmp_path, "openai", now=time, sleep=time.sleep))
    assert sum(time.slept) == recordings.SILENCE_S
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(drain(ReplayUpstream(tmp_path, "openai")), 0.01)


async def test_a_stall_that_the_reader_gave_up_is_replayed_as_silence(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(record(tmp_path, Script(Time(), b"half", None)), 0.01)
    response = await ReplayUpstream(tmp_path, "openai", at_once=True).post(PATH, BODY, {}, 5.0)
    assert await response.read() == b"half"
    with pytest.raises(TransportError, match="silent"):
        await response.read()


async def test_a_read_that_was_cut_short_loses_nothing(tmp_path: Path) -> None:
    await record(tmp_path, Script(Time(), 0.05, b"a", b"b"))
    response = await ReplayUpstream(tmp_path, "openai").post(PATH, BODY, {}, 5.0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(response.read(), 0.001)
    assert [await response.read() for _ in range(3)] == [b"a", b"b", b""]


async def test_a_reader_that_leaves_early_is_recorded(tmp_path: Path) -> None:
    time = Time()
    upstream = RecordingUpstream(Script(time, b"a", b"b"), tmp_path, "openai", now=time)
    response = await upstream.post(PATH, BODY, {}, 5.0)
    await response.read()
    response.close()
    response.close()
    assert upstream.recorded == 1
    assert only(tmp_path)["end"] == "closed"
    with pytest.raises(TransportError, match="its reader closed it"):
        await drain(ReplayUpstream(tmp_path, "openai", at_once=True))


@pytest.mark.parametrize(
    ("dialect", "path"),
    [("openai.chat", PATH), ("anthropic.messages", "/v1/messages"), ("gemini", "/v1beta/models/m:generateContent")],
)
async def test_a_request_without_a_recording_says_what_is_near(tmp_path: Path, dialect: str, path: str) -> None:
    near = b'{"model":"m","messages":[],"temperature":1}'
    for body in (near, b'{"model":"n","messages":[],"temperature":0}', b'{"model":"n","messages":[1],"top_p":1}'):
        await record(tmp_path, Script(Time(), b"{}"), body, path)
    await record(tmp_path, Script(Time(), b"{}"), near, "/elsewhere")
    replay = ReplayUpstream(tmp_path, "openai")
    response = await replay.post(path, b'{"model":"m","messages":[],"temperature":0.5}', {}, 5.0)
    error = DIALECTS[dialect].parse_error(response.status, response.headers, await response.read_all(10_000))
    assert (error.kind, error.status) == ("invalid_request", 400)
    assert f"fits POST {path}" in error.message
    first, second = error.message.split("The nearest: ")[1].split("; ")[:2]
    assert first == f"openai-{fingerprint('openai', path, near)}-0000.json (other temperature)"
    assert second.endswith("(other model, temperature)")
    assert response.headers["x-should-retry"] == "false"


async def test_another_provider_has_no_recordings(tmp_path: Path) -> None:
    await record(tmp_path, Script(Time(), b"{}"))
    response = await ReplayUpstream(tmp_path, "anthropic").post("/v1/messages", BODY, {}, 5.0)
    assert b"There is none for this provider" in await response.read_all(10_000)


def test_a_missing_folder_says_how_to_record(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="serve --record"):
        ReplayUpstream(tmp_path / "absent", "openai")


@pytest.mark.parametrize("spoil", ["{}", "not json", '{"format": 99}'])
async def test_a_spoilt_file_is_named(tmp_path: Path, spoil: str) -> None:
    await record(tmp_path, Script(Time(), b"{}"))
    (path,) = files(tmp_path)
    if "99" in spoil:
        spoil = json.dumps(only(tmp_path) | {"format": 99})
    path.write_text(spoil)
    with pytest.raises(ValueError, match=path.name):
        load(path)
    with pytest.raises(TransportError, match=path.name):
        await drain(ReplayUpstream(tmp_path, "openai"))


async def test_a_long_answer_is_passed_on_and_recorded_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "BODY_BYTES", 10)
    chunks = [b"12345", b"67890", b"abcde", b"f"]
    assert await record(tmp_path, Script(Time(), *chunks)) == chunks
    response = await ReplayUpstream(tmp_path, "openai", at_once=True).post(PATH, BODY, {}, 5.0)
    assert [await response.read(), await response.read()] == chunks[:2]
    with pytest.raises(TransportError, match="too large to record"):
        await response.read()


async def test_open_answers_share_a_bound_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tape, "OPEN_BYTES", 10)
    time = Time()
    script = Script(time)
    upstream = RecordingUpstream(script, tmp_path, "openai", now=time)
    first = await upstream.post(PATH, b"1", {}, 5.0)
    second = await upstream.post(PATH, b"2", {}, 5.0)
    script.steps = [b"12345678", b"abcd", b""]
    assert [await first.read(), await second.read()] == [b"12345678", b"abcd"]
    first.close()
    second.close()
    script.steps = [b"1234567890"]
    await drain(upstream, b"3")
    ends = {json.loads(path.read_text())["request"]["text"]: load(path).end for path in files(tmp_path)}
    assert ends == {"1": "closed", "2": "too_large", "3": "complete"}


async def test_a_full_recorder_passes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "EXCHANGES", 1)
    time = Time()
    script = Script(time)
    upstream = RecordingUpstream(script, tmp_path, "openai", now=time)
    for _ in range(2):
        script.steps = [b"x"]
        assert await drain(upstream) == [b"x"]
    assert upstream.recorded == len(files(tmp_path)) == 1


async def test_a_disk_that_fails_does_not_fail_the_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("in the way")
    time = Time()
    upstream = RecordingUpstream(Script(time, b"x"), tmp_path / "file" / "folder", "openai", now=time)
    assert await drain(upstream) == [b"x"]
    assert (upstream.recorded, upstream.failed) == (0, 1)
    assert "was not recorded" in caplog.text


async def test_a_limit_of_read_all_is_kept(tmp_path: Path) -> None:
    time = Time()
    upstream = RecordingUpstream(Script(time, b"12345", b"67890"), tmp_path, "openai", now=time)
    response = await upstream.post(PATH, BODY, {}, 5.0)
    with pytest.raises(TransportError, match="over 8 bytes"):
        await response.read_all(8)
    response.close()


async def test_both_are_the_same_behind_a_real_provider_and_its_connections(tmp_path: Path) -> None:
    async with EmulatorProcess(Profile("paced", between_tokens=Delay(0.02))) as emulator:
        provider = Provider("openai", "openai", emulator.base_url("openai"), "openai.chat", None, keys=(Secret(KEY),))
        upstream = RecordingUpstream(HttpUpstream(provider), tmp_path, "openai")
        body = b'{"model":"m","messages":[{"role":"user","content":"[[say a b c d]] Hi"}],"stream":true}'
        live = await drain(upstream, body)
        await upstream.close()
    times = [one["at_s"] for one in only(tmp_path)["chunks"]]
    assert times == sorted(times)
    assert times[-1] - times[0] >= 0.055
    time = Time()
    replay = ReplayUpstream(tmp_path, "openai", now=time, sleep=time.sleep)
    assert await drain(replay, body) == live
    await replay.close()
    assert sum(time.slept) == pytest.approx(only(tmp_path)["end_at_s"], abs=1e-4)
    assert b"".join(live).endswith(b"data: [DONE]\n\n")
