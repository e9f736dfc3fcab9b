"""What breaks while a request is on its way: the provider, the client, the configuration, the gateway itself."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import anthropic
import httpx2 as httpx
import openai
import pytest

from acceptance.streams import BEGIN, END, MORE, SILENT, TEXT, dialect_of, providers
from afterbay.config.problem import ConfigError
from afterbay.testing.grammar import violations
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, Received, ReplayProcess, ReplayServer

OPENAI, ANTHROPIC = "/v1/chat/completions", "/v1/messages"
PROTOCOLS = [OPENAI, ANTHROPIC]
PROVIDERS = ["openai", "anthropic", "google"]
HELLO: Any = [{"role": "user", "content": "Hello"}]
SSE = {"content-type": "text/event-stream"}
GONE_S = 0.05
TRIES = 5
DEADLINE_S = 10.0
OTHERS_STREAM = 80


def test_the_handwritten_streams_are_good_ones() -> None:
    accents = {"google": ("no usage",)}
    languages = {"openai": "openai.chat", "anthropic": "anthropic.messages", "google": "gemini"}
    for name, language in languages.items():
        for whole in (BEGIN[name] + END[name], BEGIN[name] + MORE[name] * 3 + END[name]):
            assert violations(language, whole, *accents.get(name, ())) == []
        assert violations(language, BEGIN[name] + MORE[name], ended=False) == []
        assert violations(language, BEGIN[name] + MORE[name]) != []


def until(holds: Callable[[], Any], what: str) -> Any:
    """What `holds` gives once it is true."""
    end_s = time.monotonic() + DEADLINE_S
    while not (found := holds()):
        assert time.monotonic() < end_s, f"not within {DEADLINE_S:g} s: {what}"
        time.sleep(0.002)
    return found


def texts(gateway: LiveGateway, path: str, model: str) -> Iterator[str]:
    """The pieces of text of a streamed answer, by the SDK whose path it is."""
    if path == OPENAI:
        with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as gpt:
            for chunk in gpt.chat.completions.create(model=model, messages=HELLO, stream=True):
                if chunk.choices and chunk.choices[0].delta.content:
                    yield chunk.choices[0].delta.content
        return
    with anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0) as claude:
        for event in claude.messages.create(model=model, max_tokens=99, messages=HELLO, stream=True):
            if event.type == "content_block_delta" and event.delta.type == "text_delta":
                yield event.delta.text


def body(model: str, *, stream: bool = True) -> dict[str, Any]:
    return {"model": model, "max_tokens": 99, "messages": HELLO, "stream": stream}


def ends_in_an_error(path: str, raw: str) -> bool:
    """Whether a stream's bytes end with an error event of the protocol, and hold no sign of a proper end."""
    last = raw.rstrip("\n").rpartition("\n\n")[2]
    if path == OPENAI:
        return last.startswith('data: {"error"') and "[DONE]" not in raw and '"finish_reason":"' not in raw
    return last.startswith("event: error\n") and "message_stop" not in raw and '"stop_reason":"' not in raw


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_killed_provider_is_an_error_never_an_end(provider: str, path: str) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(ReplayProcess(Answer(headers=SSE, body=BEGIN[provider], then="hang")))
        gateway = stack.enter_context(LiveGateway({"providers": providers(upstream.url)}))
        stream = texts(gateway, path, f"{provider}/m")
        assert next(stream) == TEXT
        with httpx.stream("POST", gateway.url + path, json=body(f"{provider}/m"), timeout=DEADLINE_S) as other:
            lines = other.iter_text()
            raw = next(lines)
            upstream.kill()
            raw += "".join(lines)
        with pytest.raises(openai.APIError if path == OPENAI else anthropic.APIStatusError):
            list(stream)
        assert ends_in_an_error(path, raw), raw
        assert {record.outcome for record in gateway.records(at_least=2)} == {"cut"}


@pytest.fixture(scope="module")
def breaking() -> Iterator[ReplayServer]:
    """A provider that breaks off by the model's name: `begun-close`, `silent-reset`, `none-reset`, `whole-end`."""

    def answer(request: Received) -> Answer:
        provider = dialect_of(request)
        name = request.path if provider == "google" else json.loads(request.body)["model"]
        bodies = {"begun": BEGIN, "silent": SILENT, "half": {key: BEGIN[key][:-30] for key in BEGIN}}
        for how in ("end", "close", "reset"):
            if f"none-{how}" in name:
                return Answer(then=how, headed=False)  # type: ignore[arg-type]  # one of the three words
            for start, begun in bodies.items():
                if f"{start}-{how}" in name:
                    return Answer(headers=SSE, body=begun[provider], seed=3, then=how)  # type: ignore[arg-type]
        return Answer(headers=SSE, body=BEGIN[provider] + END[provider], seed=5)

    with ReplayServer(answer) as server:
        yield server


@pytest.fixture(scope="module")
def fragile(breaking: ReplayServer) -> Iterator[LiveGateway]:
    models: dict[str, Any] = {}
    for provider in PROVIDERS:
        for other in PROVIDERS:
            models[f"good-{other}"] = {"provider": other, "name": "good"}
            for start in ("none-reset", "none-close", "silent-end", "silent-close", "silent-reset"):
                one = {"provider": f"{provider}-b", "name": start, "fallback": [f"good-{other}"]}
                models[f"{provider}-{start}-{other}"] = one
    config = {"providers": providers(breaking.url) | providers(breaking.url, "-b"), "models": models}
    with LiveGateway(config) as gateway:
        yield gateway


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("how", ["begun-end", "begun-close", "begun-reset"])
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_stream_cut_after_its_beginning_is_an_error(fragile: LiveGateway, provider: str, how: str, path: str) -> None:
    """`end`: even where HTTP ended properly, the protocol's own sign of an end is missing."""
    before = len(fragile.records())
    raw = httpx.post(fragile.url + path, json=body(f"{provider}/{how}")).text
    assert ends_in_an_error(path, raw), raw
    assert "Gr" in raw
    stream, got = texts(fragile, path, f"{provider}/{how}"), list[str]()
    with pytest.raises(openai.APIError if path == OPENAI else anthropic.APIStatusError):
        got.extend(stream)
    for record in fragile.records(at_least=before + 2)[before:]:
        assert (record.outcome, record.status, record.finish) == ("cut", 200, None)


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_half_an_event_is_never_sent(fragile: LiveGateway, provider: str, path: str) -> None:
    answer = httpx.post(fragile.url + path, json=body(f"{provider}/half-end"))
    if answer.status_code != 200:  # nothing was said before the half: a status of its own was still possible
        assert answer.status_code == 502
        assert answer.json()["error"]["message"]
        return
    assert ends_in_an_error(path, answer.text), answer.text
    for line in answer.text.splitlines():
        if line.startswith("data: "):
            json.loads(line[6:])


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("how", ["none-reset", "none-close", "silent-end", "silent-close", "silent-reset"])
@pytest.mark.parametrize(("first", "second"), [("openai", "anthropic"), ("anthropic", "openai"), ("google", "google")])
def test_what_breaks_before_its_first_output_falls_back(
    fragile: LiveGateway, first: str, second: str, how: str, path: str
) -> None:
    before = len(fragile.records())
    model = f"{first}-{how}-{second}"
    assert "".join(texts(fragile, path, model)) == TEXT
    record = fragile.records(at_least=before + 1)[-1]
    assert [attempt.outcome for attempt in record.attempts] == ["cut" if "silent" in how else "connection", "ok"]
    assert [attempt.why for attempt in record.attempts] == ["primary", "fallback"]
    assert (record.outcome, record.provider) == ("ok", second)


@pytest.mark.parametrize("path", PROTOCOLS)
def test_without_a_fallback_a_reset_is_a_502(fragile: LiveGateway, path: str) -> None:
    with pytest.raises((openai.InternalServerError, anthropic.InternalServerError)) as caught:
        list(texts(fragile, path, "openai/none-reset"))
    assert caught.value.status_code == 502
    assert "127.0.0.1" not in str(caught.value)


class Hanging:
    """A raw client that hangs up."""

    def __init__(self, gateway: LiveGateway, path: str, model: str, *, stream: bool) -> None:
        address = urlsplit(gateway.url)
        self._socket = socket.create_connection((address.hostname or "", address.port or 0), timeout=DEADLINE_S)
        sent = json.dumps(body(model, stream=stream)).encode()
        self._socket.sendall(
            f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(sent)}\r\n\r\n".encode() + sent
        )

    def read_until(self, text: bytes) -> None:
        got = b""
        while text not in got:
            data = self._socket.recv(65536)
            assert data, f"the stream ended without {text!r}: {got!r}"
            got += data

    def hang_up(self) -> float:
        self._socket.close()
        return time.monotonic()


@pytest.fixture(scope="module")
def endless() -> Iterator[ReplayServer]:
    """A provider that never comes to an end: `mute` says nothing, `quiet` begins, `busy` goes on and on."""

    def answer(request: Received) -> Answer:
        provider = dialect_of(request)
        name = request.path if provider == "google" else json.loads(request.body)["model"]
        if "mute" in name:
            return Answer(headed=False, then="hang")
        if "lingers" in name:
            return Answer(headers=SSE, body=BEGIN[provider] + END[provider], then="hang")
        if "quiet" in name:
            return Answer(headers=SSE, body=BEGIN[provider], then="hang")
        return Answer(headers=SSE, body=BEGIN[provider] + MORE[provider] * 5000, seed=1, pause_s=0.002, then="hang")

    with ReplayServer(answer) as server:
        yield server


@pytest.mark.parametrize("path", PROTOCOLS)
@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("state", ["mute", "mute-whole", "quiet", "busy"])
def test_a_client_that_leaves_ends_the_providers_work(
    endless: ReplayServer, leaving: LiveGateway, state: str, provider: str, path: str
) -> None:
    """Within 50 ms. The best of a few tries counts: on a busy machine the measuring threads themselves are late."""
    before, delays = len(leaving.records()), list[float]()
    for _ in range(TRIES):
        seen = len(endless.received)
        client = Hanging(leaving, path, f"{provider}/{state}", stream=state != "mute-whole")
        request = until(lambda seen=seen: endless.received[seen:], "the request upstream")[0]
        if "mute" not in state:
            client.read_until(b"Gr")
        left_s = client.hang_up()
        assert request.ended.wait(DEADLINE_S), "the provider went on working"
        assert request.gone_s is not None
        delays.append(request.gone_s - left_s)
        if delays[-1] < GONE_S:
            break
    assert min(delays) < GONE_S, delays
    record = leaving.records(at_least=before + len(delays))[-1]
    assert record.outcome == "client_closed"
    assert record.attempts[0].outcome == "client_closed"


@pytest.mark.parametrize(
    ("path", "provider", "end"), [(OPENAI, "openai", b"[DONE]"), (ANTHROPIC, "anthropic", b"message_stop")]
)
def test_a_client_that_leaves_with_its_whole_answer_was_served(
    endless: ReplayServer, leaving: LiveGateway, path: str, provider: str, end: bytes
) -> None:
    """OpenAI's SDK hangs up at `[DONE]`, while the provider's connection is still open."""
    before = len(leaving.records())
    client = Hanging(leaving, path, f"{provider}/lingers", stream=True)
    client.read_until(end + b'"}\n\n' if provider == "anthropic" else end + b"\n\n")
    client.hang_up()
    record = leaving.records(at_least=before + 1)[-1]
    assert (record.outcome, record.finish, record.attempts[0].outcome) == ("ok", "stop", "ok")
    assert endless.received[-1].ended.wait(DEADLINE_S)


@pytest.fixture(scope="module")
def leaving(endless: ReplayServer) -> Iterator[LiveGateway]:
    with LiveGateway({"providers": providers(endless.url)}) as gateway:
        yield gateway


def slow(request: Received) -> Answer:
    """A stream that takes about half a second."""
    provider = dialect_of(request)
    whole = BEGIN[provider] + MORE[provider] * OTHERS_STREAM + END[provider]
    return Answer(headers=SSE, body=whole, seed=2, pause_s=0.0005)


def config(url: str, name: str) -> dict[str, Any]:
    models = {provider: {"provider": provider, "name": f"m-{name}"} for provider in ("openai", "anthropic")}
    return {"providers": providers(url), "models": models}


@pytest.fixture
def slow_upstream() -> Iterator[ReplayServer]:
    with ReplayServer(slow) as server:
        yield server


WHOLE = TEXT + "." * OTHERS_STREAM
STREAMS = [(path, provider) for path in PROTOCOLS for provider in ("openai", "anthropic")]


def begin(gateway: LiveGateway) -> list[tuple[str, Iterator[str]]]:
    """Streams that have begun: each protocol, relayed and translated."""
    streams = [texts(gateway, path, provider) for path, provider in STREAMS]
    return [(next(stream), stream) for stream in streams]


def test_a_reload_leaves_open_streams_alone(slow_upstream: ReplayServer) -> None:
    with LiveGateway(config(slow_upstream.url, "old")) as gateway:
        open_streams = begin(gateway)
        assert "in force" in gateway.reload(config(slow_upstream.url, "new"))
        assert "".join(texts(gateway, OPENAI, "openai")) == WHOLE
        assert json.loads(slow_upstream.received[-1].body)["model"] == "m-new"
        for first, stream in open_streams:
            assert first + "".join(stream) == WHOLE
        models = [json.loads(request.body)["model"] for request in slow_upstream.received]
        assert models == ["m-old"] * len(STREAMS) + ["m-new"]
        records = gateway.records(at_least=len(STREAMS) + 1)
        assert {record.outcome for record in records} == {"ok"}
        assert len({record.config_hash for record in records}) == 2


def test_the_metrics_count_the_streams_that_are_open(slow_upstream: ReplayServer) -> None:
    with LiveGateway(config(slow_upstream.url, "old")) as gateway:
        open_streams = begin(gateway)
        shown = httpx.get(f"{gateway.url}/metrics").text
        assert f"afterbay_open_streams {len(STREAMS)}.0" in shown
        for _, stream in open_streams:
            list(stream)
        gateway.records(at_least=len(STREAMS))
        assert "afterbay_open_streams 0.0" in httpx.get(f"{gateway.url}/metrics").text


@pytest.mark.parametrize("wrong", ["models: [", "modles: {}", "models: {a: {provider: nobody, name: x}}", ""])
def test_a_wrong_file_is_refused_and_the_old_one_stays(slow_upstream: ReplayServer, wrong: str) -> None:
    with LiveGateway(config(slow_upstream.url, "old")) as gateway:
        ((first, stream),) = [(next(one), one) for one in [texts(gateway, OPENAI, "openai")]]
        old = gateway.gateway.snapshot.hash
        if wrong:
            with pytest.raises(ConfigError):
                gateway.reload(wrong)
        else:
            assert "did not change" in gateway.reload()
        assert gateway.gateway.snapshot.hash == old
        assert first + "".join(stream) == WHOLE
        assert "".join(texts(gateway, ANTHROPIC, "anthropic")) == WHOLE
        assert json.loads(slow_upstream.received[-1].body)["model"] == "m-old"
        metrics = httpx.get(f"{gateway.url}/metrics").text
        assert ('afterbay_config_reloads_total{result="refused"} 1.0' in metrics) == bool(wrong), metrics


def test_a_graceful_stop_lets_streams_finish(slow_upstream: ReplayServer) -> None:
    with ExitStack() as stack:
        gateway = stack.enter_context(LiveGateway(config(slow_upstream.url, "m")))
        open_streams = begin(gateway)
        gateway.stop()
        until(lambda: refuses(gateway), "new connections are refused")
        for first, stream in open_streams:
            assert first + "".join(stream) == WHOLE
        began_s = time.monotonic()
        gateway.close()
        assert time.monotonic() - began_s < DEADLINE_S


def refuses(gateway: LiveGateway) -> bool:
    try:
        httpx.get(f"{gateway.url}/health/live", timeout=DEADLINE_S)
    except httpx.TransportError:
        return True
    return False
