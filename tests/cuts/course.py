"""Recorded streams, cut at a byte, with a second provider that goes on exactly: what does the client get?

The second provider reads the request that it gets, as a real one would: a prefill is gone on with at its last
character, an instruction is obeyed (`obeys`) or only understood (it goes on without repeating anything), any other
request is answered with the whole recording.
"""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from afterbay.core.event import (
    Event,
    Finished,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.message import Message, Text, ToolUse
from afterbay.core.request import ChatRequest
from afterbay.core.usage import Usage
from afterbay.policy.plan import Limits, Route
from afterbay.policy.resume import Mode
from afterbay.testing.fakes import Cut, MemoryReply, Script, ScriptedResponse, ScriptedUpstream
from afterbay.testing.grammar import grammar_of
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.dialect import Head
from afterbay.wire.framing import splitter_for
from afterbay.wire.registry import DIALECTS

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2].parent / "shared") / "data" / "wire"
APIS = {
    "chat": "openai.chat",
    "messages": "anthropic.messages",
    "responses": "openai.responses",
    "streamGenerateContent": "gemini",
}
KIND = {"content-type": "text/event-stream"}
PATH = {"gemini": "/v1beta/models/m:streamGenerateContent"}
Way = Literal["prefill", "obeys", "understands"]


class Recorded(msgspec.Struct):
    """One stream, and what it says in the end."""

    id: str
    provider: str
    dialect: str
    body: bytes
    events: list[Event]

    @property
    def text(self) -> str:
        """All its text."""
        return "".join(event.text for event in self.events if isinstance(event, TextDelta) and event.choice == 0)

    @property
    def calls(self) -> list[ToolUse]:
        """Its tool calls."""
        return calls_of(self.events)


def calls_of(events: list[Event]) -> list[ToolUse]:
    """The tool calls among events."""
    return [part for part in fold(events).choices[0].message.parts if isinstance(part, ToolUse)]


def read(dialect: str, body: bytes) -> tuple[list[Event], bool]:
    """The events of a stream, and whether it is complete."""
    parser, out = DIALECTS[dialect].stream_parser("seed"), list[Event]()
    splitter = splitter_for("text/event-stream", 1 << 24)
    _, sse = splitter.feed(body)
    rest = splitter.rest()[1]
    for name, data in [*sse, *rest]:
        parser.push(name, data, out)
    return out, parser.is_complete


def recorded() -> Iterator[Recorded]:
    """Every recorded stream in SSE of the four protocols that ended well and says something that can be compared."""
    for path in sorted(SHARED.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            dialect = APIS.get(row["api"].partition(".")[2])
            response = row["response"]
            if dialect is None or response["status"] != 200 or response.get("body_encoding") == "base64":
                continue
            body = response["body"].encode()
            if not body.lstrip().startswith((b"data:", b"event:", b":")):
                continue
            try:
                events, complete = read(dialect, body)
            except (ValueError, msgspec.DecodeError):
                continue
            failed = any(type(event).__name__ == "Failed" for event in events)
            several = any(getattr(event, "choice", 0) for event in events)
            if several or failed or not complete:
                continue
            if _says(events) and all(_is_object(call) for call in calls_of(events)):
                yield Recorded(row["id"], path.stem, dialect, body, events)


def _is_object(call: ToolUse) -> bool:
    try:
        return isinstance(msgspec.json.decode(call.arguments or "{}"), dict)
    except msgspec.DecodeError:
        return False


def _says(events: list[Event]) -> bool:
    return any(isinstance(event, TextDelta | ToolCallStarted) for event in events)


class Continuing(ScriptedUpstream):
    """A second provider: answers each request with what it asks for."""

    def __init__(self, stream: Recorded, way: Way) -> None:
        super().__init__()
        self._stream, self._way = stream, way
        self.asked: list[str] = []

    async def post(self, path: str, body: bytes, headers: Any, connect_s: float) -> ScriptedResponse:
        """Answers."""
        dialect = DIALECTS[self._stream.dialect]
        model = "m" if self._stream.dialect == "gemini" else None
        request = dialect.parse_request(body, model, True)
        self._scripts.append(Script(steps=(self._answer(request),), headers=KIND))
        return await super().post(path, body, headers, connect_s)

    def _answer(self, request: ChatRequest) -> bytes:
        messages, whole = request.messages, self._stream.text
        if messages[-1].role == "assistant":
            self.asked.append("prefill")
            begun = messages[-1].text()
            assert whole.startswith(begun), "the prefill is not what was said"
            return self._going_on(whole[len(begun) :])
        said = re.search(r"<end>(.*)</end>", messages[-1].text(), re.DOTALL)
        if said is not None and len(messages) > 1 and messages[-2].role == "assistant":
            self.asked.append("instruct")
            begun = messages[-2].text()
            assert whole.startswith(begun), "the partial text is not what was said"
            stem = len(begun.rstrip())
            return self._going_on(said[1] + whole[stem:] if self._way == "obeys" else whole[len(begun) :])
        self.asked.append("again")
        return self._stream.body

    def _going_on(self, text: str) -> bytes:
        head = Head("second", "second-model", 1_770_000_000, include_usage=True)
        pieces: list[Event] = [TextDelta(text[at : at + 9]) for at in range(0, len(text), 9)]
        calls = [event for event in self._stream.events if isinstance(event, ToolCallStarted | ToolCallDelta)]
        ends = [event for event in self._stream.events if isinstance(event, Finished) and event.choice == 0]
        counted = UsageSeen(Usage(input_tokens=20, output_tokens=5))
        renderer = DIALECTS[self._stream.dialect].renderer(head)
        events = [Started("second", "second-model"), *pieces, *calls, counted, *ends]
        return renderer.render(events) + renderer.finish()


class Outcome(msgspec.Struct, frozen=True):
    """What became of one cut. `kind`: `whole` (nothing was missing), `before` (nothing had been shown), `resumed`,
    `error` (an error event), or `wrong` with what is."""

    kind: Literal["whole", "before", "resumed", "error", "wrong"]
    why: str = ""


def body_for(client: str, stream: Recorded) -> bytes:
    """A client's request in its protocol."""
    request = ChatRequest("m", (Message("user", (Text("Go."),)),), stream=True)
    return DIALECTS[client].build_request(request, "m").body


def play(stream: Recorded, cut: int, client: str, way: Way, mode: Mode = "safe") -> Outcome:
    """Cuts a stream and tells what the client got. Grammars are checked by the gateway of the test itself."""
    primary = ScriptedUpstream(Script(steps=(stream.body[:cut], Cut()), headers=KIND))
    second = Continuing(stream, way)
    prefill = way == "prefill"
    targets = [target(f"{name}/up", stream.dialect, priority=at, prefill=prefill) for at, name in enumerate(("a", "b"))]
    route = Route("defaults", resume=mode)
    one = MemoryGateway(snapshot(alias("m", *targets), defaults=route, limits=Limits()), a=primary, b=second)
    options: dict[str, Any] = {"query": "alt=sse", "path": PATH[client]} if client in PATH else {}
    if client == "openai.responses":
        options["operation"] = "responses"
    reply = MemoryReply()
    try:
        run(one.chat(body_for(client, stream), client, reply=reply, **options))
    except AssertionError as error:
        if len(one.record.attempts) == 1:  # a relay of what the provider itself did wrong, or of half its counts
            return Outcome("whole")
        own = grammar_of(client)
        own.feed(stream.body if client == stream.dialect else b"")
        accents = {*own.broken, *(("usage-once",) if "usage-chunk" in own.broken else ())}  # not our mistakes
        if not set(re.findall(r"\[([a-z-]+)\]", str(error))) <= accents:
            return Outcome("wrong", str(error)[:400])
    return _judge(stream, client, one, reply.status, reply.body)


def _judge(stream: Recorded, client: str, one: MemoryGateway, status: int, body: bytes) -> Outcome:
    attempts = one.record.attempts
    events, complete = read(client, body)
    text = "".join(event.text for event in events if isinstance(event, TextDelta) and event.choice == 0)
    failed = any(type(event).__name__ == "Failed" for event in events)
    if failed or status != 200:
        return (
            Outcome("error", "; ".join([*one.record.warnings, one.record.error or ""]))
            if stream.text.startswith(text)
            else Outcome("wrong", "text")
        )
    if not complete:
        return Outcome("wrong", "it ends without an end and without an error")
    if text != stream.text:
        return Outcome("wrong", f"text: {difference(text, stream.text)}")
    wanted, got = stream.calls, calls_of(events)
    if [(call.name, _value(call)) for call in wanted] != [(call.name, _value(call)) for call in got]:
        return Outcome("wrong", f"calls: {got} for {wanted}"[:300])
    if len(attempts) == 1:
        return Outcome("whole")
    return Outcome("resumed" if attempts[-1].why == "resume" else "before")


def _value(call: ToolUse) -> object:
    try:
        return msgspec.json.decode(call.arguments or "{}")
    except msgspec.DecodeError:
        return call.arguments


def difference(got: str, wanted: str) -> str:
    """Where two texts part."""
    at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted)))
    return f"at {at}: {got[max(0, at - 20) : at + 20]!r} for {wanted[max(0, at - 20) : at + 20]!r}"


def cuts_of(stream: Recorded, every_byte_to: int) -> list[int]:
    """Where to cut. Inside of an event all cuts are alike, since half an event is never passed on; so a long stream is
    cut inside of each event, before the blank line that ends it, and behind it. A short one is cut at every byte."""
    size = len(stream.body)
    if size <= every_byte_to:
        return list(range(1, size))
    found: set[int] = set()
    for blank in re.finditer(rb"\r?\n\r?\n", stream.body):
        found |= {blank.start() - 5, blank.start() + 1, blank.start() + 2, blank.end()}
    return sorted(at for at in found if 0 < at < size)


def is_declared(outcome: Outcome) -> bool:
    """Whether it is said of such answers that nobody goes on with them: what a provider's own tools gave, citations,
    log probabilities."""
    return outcome.kind == "error" and "not resumed: it " in outcome.why


def share(counts: Counter[str]) -> float:
    """The share of broken answers that were brought to their end."""
    broken = counts["resumed"] + counts["error"] + counts["wrong"]
    return counts["resumed"] / broken if broken else 1.0
