"""Small words for the engine's tests: gateways of one or two providers, and what every finished request must show."""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.decision import Record
from afterbay.policy.plan import Limits, Route
from afterbay.testing.answers import ask
from afterbay.testing.fakes import EVENT_STREAM, MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS

OPENAI, ANTHROPIC, GEMINI, BEDROCK = "openai.chat", "anthropic.messages", "gemini", "bedrock.converse"
CLIENTS = (OPENAI, ANTHROPIC)
TARGETS = (OPENAI, ANTHROPIC, GEMINI, BEDROCK)
PAIRS = [(client, spoken) for client in CLIENTS for spoken in TARGETS]
LIMITS = Limits(connect_s=5.0, first_token_s=20.0, between_tokens_s=8.0, total_s=100.0, hold_s=10.0, max_attempts=5)


def gateway(
    *scripts: list[Script],
    spoken: str | tuple[str, ...] = OPENAI,
    limits: Limits | None = None,
    route: Route | None = None,
    **fields: Any,
) -> MemoryGateway:
    """Targets `a/up`, `b/up`, ... of the alias `m`, each with its scripts; `spoken`: dialects; `fields`: theirs.

    Without `limits` there are as many attempts as scripts: who fails with its last one is not tried again.
    """
    if limits is None:
        limits = msgspec.structs.replace(LIMITS, max_attempts=max(1, min(LIMITS.max_attempts, sum(map(len, scripts)))))
    names = "abcd"[: len(scripts)]
    dialects = spoken if isinstance(spoken, tuple) else (spoken,) * len(scripts)
    targets = [
        target(f"{n}/up", d, priority=at, **fields) for at, (n, d) in enumerate(zip(names, dialects, strict=True))
    ]
    plan = snapshot(alias("m", *targets), defaults=route, limits=limits)
    ups: dict[str, Any] = {
        name: ScriptedUpstream(*(typed(script, spoken) for script in of))
        for name, of, spoken in zip(names, scripts, dialects, strict=True)
    }
    return MemoryGateway(plan, **ups)


def typed(script: Script, spoken: str) -> Script:
    """A script that says nothing of its content type streams in that of the dialect."""
    if script.headers is not EVENT_STREAM or spoken not in DIALECTS:
        return script
    return msgspec.structs.replace(script, headers={"content-type": DIALECTS[spoken].stream_type})


def serve(one: MemoryGateway, client: str = OPENAI, **fields: Any) -> MemoryReply:
    """Asks `m` for a stream, and checks what must hold for every request; `reply`, `headers`: as in `chat`."""
    options = {name: fields.pop(name) for name in ("reply", "headers", "key", "query", "operation") if name in fields}
    body = fields.pop("body", None) or ask("m", **({"stream": True} | fields))
    reply = run(one.chat(body, client, **options))
    check(one)
    return reply


def check(one: MemoryGateway) -> Record:
    """Every request: one record, all attempts closed, no upstream left open."""
    record = one.record
    assert record.outcome
    for attempt in record.attempts:
        assert attempt.outcome is not None, "an attempt was left without an outcome"
        assert attempt.ended_s is not None
    assert one.context.open_streams == 0, "a stream was left counted as open"
    for upstream in one.upstreams.values():
        assert upstream.open == 0, "an upstream was left open"
    return record


def events(body: bytes) -> list[dict[str, Any]]:
    """The JSON events of a stream, `[DONE]` and comments left out."""
    lines = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]


def text(body: bytes, client: str) -> str:
    """The text of a streamed answer."""
    if client == OPENAI:
        return "".join(c["delta"].get("content") or "" for e in events(body) for c in e.get("choices", ()))
    return "".join(e["delta"].get("text", "") for e in events(body) if e["type"] == "content_block_delta")


def error(body: bytes) -> dict[str, Any]:
    """The error event that ends a stream; an assertion if it does not end in one."""
    last = events(body)[-1]
    assert "error" in last, f"the stream does not end in an error: {last}"
    found: dict[str, Any] = last["error"]
    return found


def is_clean(body: bytes, client: str) -> bool:
    """Whether a stream has its protocol's proper end."""
    return b"data: [DONE]" in body if client == OPENAI else b"message_stop" in body
