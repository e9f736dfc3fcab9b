"""What the watch over a gateway's streams sees, and what it excuses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from afterbay.ports import Passage
from afterbay.testing.answers import ask, stream, streamed
from afterbay.testing.fakes import Cut, Script, ScriptedUpstream
from afterbay.testing.live import LiveGateway
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.stream_watch import Exchange, StreamWatch, dialect_of
from afterbay.testing.virtual_loop import run
from afterbay.wire.openai_chat import render

CHAT, MESSAGES = "openai.chat", "anthropic.messages"
SSE = "text/event-stream; charset=utf-8"
GOOD = b"".join(stream(CHAT, "a", "b"))


def gateway(script: Script, spoken: str = CHAT) -> MemoryGateway:
    return MemoryGateway(snapshot(alias("m", target("a/up", spoken))), a=ScriptedUpstream(script))


def exchange(client: bytes, provider: bytes | None = None, path: str = "/chat/completions") -> Exchange:
    one = Exchange(CHAT)
    one.open(200, SSE)
    grammar = one.provider(path, 200, SSE) if provider is not None else None
    if grammar is not None and provider is not None:
        grammar.feed(provider)
    one.feed(client)
    return one


def test_a_stream_of_the_gateway_s_own_has_no_excuse() -> None:
    odd = GOOD.replace(b'"role":"assistant"', b'"role":"user"')
    assert exchange(GOOD).verdict(ended=True) == []
    assert len(exchange(odd).verdict(ended=True)) == 1
    assert len(exchange(odd, odd, "/v1/messages").verdict(ended=True)) == 1


def test_relayed_bytes_need_be_no_better_than_they_came() -> None:
    odd = GOOD.replace(b'"role":"assistant"', b'"role":"user"')
    assert exchange(odd, odd).verdict(ended=True) == []
    assert len(exchange(odd, GOOD).verdict(ended=True)) == 1, "the provider's were right"


def test_a_relayed_stream_may_lack_its_mark_and_not_its_end() -> None:
    no_mark, no_end = GOOD.removesuffix(b"data: [DONE]\n\n"), stream(CHAT, "a")[0]
    assert exchange(no_mark, no_mark).verdict(ended=True) == []
    assert len(exchange(no_mark).verdict(ended=True)) == 1
    assert any("finish-once" in said for said in exchange(no_end, no_end).verdict(ended=True))


def test_a_stream_that_was_broken_off_is_checked_up_to_there() -> None:
    begun = exchange(GOOD[: len(GOOD) // 2])
    assert begun.verdict(ended=False) == []
    assert begun.verdict(ended=True) != []


def test_what_is_no_stream_is_not_looked_at() -> None:
    for status, kind in ((200, "application/json"), (503, SSE)):
        one = Exchange(CHAT)
        one.open(status, kind)
        one.feed(b"{}")
        assert not one.has_stream
        assert one.verdict(ended=True) == []


def test_gemini_s_count_is_asked_for_where_the_provider_gave_one() -> None:
    raw = b"".join(stream("gemini", "a", usage=None))
    for seen, wrong in (([], 0), ([b'{"prompt_tok', b'ens": 5}'], 1), ([b'{"prompt_tokens": null}'], 0)):
        one = Exchange("gemini")
        one.open(200, SSE)
        for data in seen:
            one.see(data)
        one.feed(raw)
        assert len(one.verdict(ended=True)) == wrong


@pytest.mark.parametrize(
    ("path", "dialect"),
    [
        ("/v1/messages", MESSAGES),
        ("/responses", "openai.responses"),
        ("/models/m:streamGenerateContent?alt=sse", "gemini"),
        ("/openai/deployments/m/chat/completions?api-version=1", CHAT),
    ],
)
def test_a_path_tells_the_language(path: str, dialect: str) -> None:
    assert dialect_of(path) == dialect


def test_a_gateway_in_memory_watches_all_its_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    good = gateway(streamed(MESSAGES, "a"), MESSAGES)
    run(good.chat(ask("m", stream=True)))
    assert (good.watch.streams, good.watch.broken) == (1, [])

    def twice(self: render.ChunkRenderer, note: Mapping[str, object] | None = None) -> bytes:
        return b"data: [DONE]\n\n" * 2

    monkeypatch.setattr(render.ChunkRenderer, "finish", twice)
    bad = gateway(streamed(MESSAGES, "a"), MESSAGES)
    with pytest.raises(AssertionError, match=r"follows \[DONE\] \[done\]"):
        run(bad.chat(ask("m", stream=True)))


def test_a_cut_provider_ends_in_an_error_event_that_the_watch_takes() -> None:
    steps = (*stream(CHAT, "a", "b")[:2], Cut())
    for client in (CHAT, MESSAGES):
        one = gateway(Script(steps=steps))
        reply = run(one.chat(ask("m", stream=True), client))
        assert b'"error"' in reply.body
        assert (one.watch.streams, one.watch.broken) == (1, [])


async def test_an_application_is_watched_by_path_and_content_type() -> None:
    sent: list[Any] = []

    def application(body: bytes, kind: bytes = b"text/event-stream", *, ends: bool = True) -> Any:
        async def inner(scope: Any, receive: Any, send: Any) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", kind)]})
            for place, byte in enumerate(body):
                more = not ends or place + 1 < len(body)
                await send({"type": "http.response.body", "body": bytes([byte]), "more_body": more})

        return inner

    async def send(message: Any) -> None:
        sent.append(message)

    async def seen(path: str, inner: Any) -> StreamWatch:
        watch = StreamWatch()
        await watch.application(inner)({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
        return watch

    assert (await seen("/v1/chat/completions", application(GOOD))).broken == []
    assert (await seen("/v1/chat/completions", application(GOOD[:-14], ends=False))).broken == []
    assert len((await seen("/v1/chat/completions", application(GOOD[:-14]))).broken) == 1
    assert (await seen("/v1/messages", application(GOOD))).broken[0].startswith("a stream of anthropic.messages, event")
    assert (await seen("/v1/models", application(GOOD))).streams == 0
    said = (await seen("/v1/responses", application(GOOD))).broken
    assert said[0].startswith("a stream of openai.responses, event")
    array = b'[{"candidates":[{"content":{"role":"model","parts":[]},"finishReason":"STOP"}]}]'
    path = "/v1beta/models/m:streamGenerateContent"
    assert (await seen(path, application(array, b"application/json"))).streams == 1
    assert len((await seen(path, application(array[:-1], b"application/json"))).broken) == 1
    assert (await seen("/v1beta/models/m:generateContent", application(array, b"application/json"))).streams == 0


def test_a_live_gateway_fails_at_its_end_with_what_was_wrong() -> None:
    config = {"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}
    with pytest.raises(AssertionError, match="event 3: odd"), LiveGateway(config) as running:
        running.watch.broken.append("event 3: odd [role]")


async def test_an_upstream_that_takes_any_request_stays_one() -> None:
    class Anything(ScriptedUpstream):
        async def send(self, method: str, path: str, headers: Any, body: Any, connect_s: float) -> Any:
            return await self.post(path, body, headers, connect_s)

        async def connect(self, *asked: Any) -> Any:
            return asked

    watch = StreamWatch()
    assert not isinstance(watch(ScriptedUpstream(), "a"), Passage)
    watched = watch(Anything(Script(steps=(b"data: odd\n\n",)), Script()), "a")
    assert isinstance(watched, Passage)
    exchange = watch.begin(CHAT)
    response = await watched.send("GET", "/chat/completions", {}, b"", 1.0)
    await response.read()
    exchange.open(200, SSE)
    exchange.feed(b"data: odd\n\n")
    assert exchange.verdict(ended=False) == [], "it came so"
    assert await watched.connect("/realtime", {}, (), 5, 1.0) == ("/realtime", {}, (), 5, 1.0)  # type: ignore[comparison-overlap]
