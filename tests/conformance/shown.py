"""What a client sees of a provider's answer: it is run through the engine, and read by the client's protocol."""

from __future__ import annotations

import json
from collections import Counter
from functools import cache
from typing import Any, NamedTuple

from afterbay.config.snapshot import Provider
from afterbay.config.targets import at_host
from afterbay.core.event import fold
from afterbay.core.usage import Usage
from afterbay.testing.answers import JSON, stream
from afterbay.testing.fakes import Cut, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS

from . import chat, gemini, messages, responses
from .cells import Atom, Cell, Change, difference, encode, judge, leaves, part_atoms
from .probe import CHAT, GEMINI, MESSAGES, RESPONSES, Column, Probe

ASKED: dict[str, dict[str, Any]] = {
    CHAT: chat.TOOLS,
    RESPONSES: responses.TOOLS,
    MESSAGES: messages.TOOLS,
    GEMINI: gemini.TOOLS,
}


class Told(NamedTuple):
    """What a client got."""

    status: int
    body: bytes
    losses: tuple[str, ...]


def tell(client: str, column: Column, script: Script, streams: bool = False, retries: int = 8) -> Told:
    """Asks the column, which answers by the script."""
    made = target(f"p/{column.model}", column.dialect, maker=column.maker)
    host = Provider("p", "openai", "http://test", column.dialect, None, vendor=column.vendor)
    upstream = ScriptedUpstream(*[script] * retries)
    gateway = MemoryGateway(snapshot(alias("m", at_host(made, host))), p=upstream)
    method = "streamGenerateContent" if streams else "generateContent"
    path = f"/v1beta/models/m:{method}" if client == GEMINI else ""
    body = ASKED[client] | ({"stream": True} if streams and client != GEMINI else {})
    query = "alt=sse" if streams and client == GEMINI else ""
    operation = "responses" if client == RESPONSES else "chat"
    reply = run(gateway.chat(encode(body), client, path=path, query=query, operation=operation))
    losses = tuple(one for one in gateway.record.warnings if one.startswith("not translated: "))
    return Told(reply.status, reply.body, losses)


def answer_cell(client: str, probe: Probe, column: Column) -> Cell:
    """What becomes of a feature of an answer."""
    told, plain = (tell(client, column, whole(one)) for one in (probe.body, probe.base))
    given, before = reading(column.dialect, encode(probe.body)), reading(column.dialect, encode(probe.base))
    if told.status != 200:
        return Cell("refused", f"error {told.status}", error_words(client, told.body))
    if told.body == encode(probe.body):
        return Cell("relayed", "relayed")
    asked: Change = difference(given, before)
    came = difference(reading(client, told.body), reading(client, plain.body))
    new = tuple(one for one in told.losses if one not in plain.losses)
    if not any(asked) and not new:
        reason = UNREAD.get(probe.name) or UNREAD.get(f"{column.dialect} {probe.name}")
        return Cell("held", reason) if reason else Cell("silent", "silent: not read")
    return judge(asked, came, new, Counter())


UNREAD = {
    "service_tier": "not passed on",
    "system_fingerprint": "not passed on",
    "performanceConfig": "not passed on",
    "openai.chat usage: audio": "in the whole",
    "container": "not passed on",
    "message phase: final_answer": "default",
    "context_management": "not passed on",
    "usage: server tools": "not passed on",
}
"""What says nothing of the answer itself: how a provider ran it. (Anything else that nobody reads is a silent loss.)"""


def whole(body: dict[str, Any]) -> Script:
    return _script(200, encode(body))


def _script(status: int, body: bytes) -> Script:
    return Script(steps=(body,), status=status, headers=JSON)


def error_cell(client: str, column: Column, status: int, body: dict[str, Any]) -> Cell:
    """What a client sees of a provider's error."""
    told = tell(client, column, _script(status, encode(body)))
    if told.status == 200:
        return Cell("silent", "silent: 200")
    words = error_words(client, told.body)
    return Cell("translated" if client != column.dialect else "relayed", f"{told.status} {words}")


def error_words(client: str, body: bytes) -> str:
    error = json.loads(body)["error"]
    found = [error.get("status")] if client == GEMINI else [error.get("type"), error.get("code")]
    return ", ".join(f"`{one}`" for one in dict.fromkeys(found) if one and not isinstance(one, int))


@cache
def reading(dialect: str, body: bytes) -> Counter[Atom]:
    """The leaves of a whole answer, as its protocol reads it."""
    reply = fold(DIALECTS[dialect].parse_answer(body, "seed"))
    found: list[Atom] = []
    for index, choice in enumerate(reply.choices):
        where = "answer" if index == 0 else f"answer[{index}]"
        for part in choice.message.parts:
            found += part_atoms(part, where)
        found.append(("finish", f"{where}.finish", choice.finish or ""))
        if choice.stop_sequence is not None:
            found.append(("messages", f"{where}.stop_sequence", choice.stop_sequence))
    if reply.usage is not None:
        counted = Usage(*reply.usage.buckets, estimated=reply.usage.estimated)  # the rest is for the price alone
        found += [("usage", f"usage.{name}", value) for name, value in leaves(counted)]
    if reply.error is not None:
        found.append(("finish", "error", reply.error.kind))
    found += [("foreign", "extra", name) for name in reply.extras]
    return Counter(found)


def cut_cell(client: str, column: Column) -> Cell:
    """A stream whose connection breaks after its first words."""
    pieces = stream(column.dialect, "one", "two")
    headers = {"content-type": DIALECTS[column.dialect].stream_type}
    script = Script(steps=(*pieces[: len(pieces) // 2], Cut()), headers=headers)
    return ended(client, tell(client, column, script, streams=True))


def ended(client: str, told: Told) -> Cell:
    """A stream must not end as if it were whole."""
    signs = {
        CHAT: b"data: [DONE]",
        RESPONSES: b"response.completed",
        MESSAGES: b"message_stop",
        GEMINI: b'"finishReason":"STOP"',
    }
    if signs[client] in told.body:
        return Cell("silent", "silent: ends as if it were whole")
    last = [line[6:] for line in told.body.split(b"\n") if line.startswith(b"data: ")][-1]
    event = json.loads(last)
    error = event.get("error") or event.get("response", {}).get("error") or {}
    if not error and event.get("type") == "error":
        error = event
    if not error:
        return Cell("silent", "silent: no error")
    word = error.get("status") or error.get("type") or error.get("code")
    return Cell("translated", f"error event, `{word}`")
