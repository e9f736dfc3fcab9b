"""What becomes of a probe at a provider: it is run through the engine, and what was sent is read back."""

from __future__ import annotations

import json
import re
from base64 import b64decode, b64encode
from collections import Counter
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import msgspec

from afterbay.config.snapshot import Provider
from afterbay.config.targets import at_host
from afterbay.core.errors import ClientMistake
from afterbay.core.message import Document, Message, Part, ToolResult
from afterbay.core.request import FEATURES, ChatRequest
from afterbay.policy.plan import Route
from afterbay.testing.answers import answered, streamed
from afterbay.testing.fakes import ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from afterbay.wire.proofs import MARK, unwrap
from afterbay.wire.registry import DIALECTS

from .probe import GEMINI, Column, Probe

Atom = tuple[str, str, str]
"""A leaf of a canonical request or answer: its group, its place within, its value."""


class Cell(NamedTuple):
    """What happened, by kind: relayed, translated, as, set, lost, refused, nothing, silent."""

    kind: str
    text: str
    reason: str = ""


class Outcome(NamedTuple):
    """What one request led to."""

    status: int
    error: dict[str, Any]
    sent: bytes
    path: str
    warnings: tuple[str, ...]


def encode(body: dict[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()


@cache
def ask(client: str, body: bytes, column: Column, drops: bool = False) -> Outcome:
    """Sends a body to a gateway whose only target is the column."""
    made = target(f"p/{column.model}", column.dialect, maker=column.maker)
    host = Provider("p", "openai", "http://test", column.dialect, None, vendor=column.vendor)
    route = Route("defaults", drop_unsupported=drops)
    streams = json.loads(body).get("stream") is True
    script = (streamed if streams else answered)(column.dialect, "ok")
    upstream = ScriptedUpstream(script)
    gateway = MemoryGateway(snapshot(alias("m", at_host(made, host)), defaults=route), p=upstream)
    path = "/v1beta/models/m:generateContent" if client == GEMINI else ""
    reply = run(
        gateway.chat(body, client, path=path, operation="responses" if client == "openai.responses" else "chat")
    )
    error = json.loads(reply.body)["error"] if reply.status != 200 else {}
    record = gateway.record
    sent = upstream.sent[0] if upstream.sent else None
    return Outcome(
        reply.status,
        error | {"told": record.error or ""},
        sent.body if sent else b"",
        sent.path if sent else "",
        tuple(one for one in record.warnings if one.startswith(("dropped: ", "set: "))),
    )


def cell(client: str, probe: Probe, column: Column) -> Cell:
    """What becomes of the probe."""
    body, base = encode(probe.body), encode(probe.base)
    out, plain = ask(client, body, column), ask(client, base, column)
    if out.status != 200:
        return refused(out, column)
    if column.dialect == client:
        wanted = body if client == GEMINI else body.replace(b'"model":"m"', f'"model":"{column.model}"'.encode())
        if out.sent == wanted:
            return Cell("relayed", "relayed")
    before = plain if plain.status == 200 else Outcome(200, {}, b"", "", ())
    new = tuple(one for one in out.warnings if one not in before.warnings)
    asked = difference(read(client, body), read(client, base))
    built = difference(read_back(column, out), read_back(column, before))
    own = raw(out.sent) - raw(before.sent) if column.vendor else Counter[Atom]()
    if not any(asked) and not new:
        reason = UNREAD.get((client, probe.name))
        return Cell("held", reason) if reason else Cell("silent", "silent: not read")
    return judge(asked, built, new, own, column.title)


def refused(out: Outcome, column: Column) -> Cell:
    """A request that no target can honour: which field is named, by which code, and why."""
    fields = unsupported(out) or NAMED.findall(str(out.error["told"]))[:1]
    cannot = DIALECTS[column.dialect].cannot
    reasons = list(dict.fromkeys(cannot[name] for name in fields if name in cannot))
    if any(name in FEATURES and name not in cannot for name in fields):
        reasons.append("this provider has no form for it, or answers it with an error")
    if not reasons and unsupported(out):
        reasons = ["only the client's own protocol has this field"]
    shown_ = f"{out.status} `{', '.join(fields)}`" if fields else str(out.status)
    return Cell("refused", shown_, "; ".join(reasons) or short_line(str(out.error["told"])))


NAMED = re.compile("'([^']+)'")
"""How an error names a field."""


def unsupported(out: Outcome) -> list[str]:
    """The fields that no target has, where that is what an error says."""
    said, found, _ = str(out.error["told"]).partition(" not supported by any model")
    return NAMED.findall(said) if found else []


def short_line(told: str) -> str:
    return " ".join(told.split())[:160]


Change = tuple["Counter[Atom]", "Counter[Atom]"]


def difference(now: Counter[Atom], before: Counter[Atom]) -> Change:
    """What is there now and was not, and the other way round."""
    return now - before, before - now


def judge(asked: Change, came: Change, new: tuple[str, ...], own: Counter[Atom], title: str = "") -> Cell:
    """Compares what the client asked for more with what came out more. Nothing may be missing without a word.

    `own`: the leaves of the body itself, where a host may have words of its own that its protocol's reader knows not.
    """
    wanted, unwanted = asked
    got, gone = came
    lost = [one.partition(": ")[2] for one in new if not one.startswith("set: ")]
    was_set = [one.removeprefix("set: ") for one in new if one.startswith("set: ")]
    named = Counter({one: count for one, count in wanted.items() if one[0] in ("foreign", "hints")})
    plain_wanted = wanted - named
    unnamed = [value for _, _, value in named if not any(value in one for one in new) and not _found(value, got)]
    if unnamed:
        return Cell("silent", "silent: " + names(unnamed))
    missing, extra = plain_wanted - got, got - wanted
    if lost or was_set:
        how = (
            "as " + shown(extra)
            if missing and extra
            else "yes"
            if plain_wanted and len(missing) < len(plain_wanted)
            else ""
        )
        told = [how, "set: " + names(was_set) if was_set else "", "lost: " + names(lost) if lost else ""]
        return Cell("lost" if lost else "set", "; ".join(one for one in told if one))
    held = [reason for _, key, value in missing if (reason := held_by(key, value, title))]
    for group, key, value in missing:
        alike = [other for other in extra if other[0] == group and (group != "messages" or other[1] == key)]
        replaced = bool(alike) and (group != "messages" or key.endswith(".id"))
        if not replaced and not _found(value, extra) and not held_by(key, value, title):
            if (
                not _found(value, own)
                and not _found(b64encode(value.encode()).decode(), own)
                and not (own and group in ("reasoning", "sampling"))
            ):
                return Cell("silent", f"silent: {key}={short(value)}")
            extra = extra + own
    if unwanted - gone and not extra and not held:
        return Cell("silent", "silent: still " + shown(unwanted - gone))
    if missing and extra:
        return Cell("as", "as " + shown(extra))
    if held:
        return Cell("held", held[0])
    return Cell("translated", "yes")


DEFAULT, ALWAYS = "default", "always so"
HELD: dict[tuple[str, ...], str] = {
    ("tool_choice.mode", "auto"): DEFAULT,
    ("parallel_tool_calls", "true"): DEFAULT,
    ("parallel_tool_calls", "false"): "seen to here",
    ("tools.strict", "false"): DEFAULT,
    ("response_format.kind", "text"): DEFAULT,
    ("response_format.strict", "true"): ALWAYS,
    ("response_format.strict", "false", "deepseek"): DEFAULT,
    ("user.audio.format", "wav", "mistral"): "the data says it",
    ("reasoning.show", "true"): DEFAULT,
    ("reasoning.show", "false"): "nothing to show",
}
"""What needs no word to a provider: it is what happens unasked, or the gateway sees to it itself."""


def held_by(key: str, value: str, title: str) -> str | None:
    for one in ((key, value), (key, value, title)):
        if one in HELD:
            NEEDED.add(one)
            return HELD[one]
    return None


NEEDED: set[tuple[str, ...]] = set()
"""Keys of `HELD` that some cell needed."""

_IDS = "an id or a state of the provider's own store"
_CALL_SAYS = "its call says it"
UNREAD: dict[tuple[str, str], str] = {
    ("openai.chat", "stream_options.include_usage"): "seen to here",
    ("openai.chat", "stream_options.include_obfuscation=false"): DEFAULT,
    ("openai.chat", "modalities [text]"): DEFAULT,
    ("openai.responses", "include=reasoning.encrypted_content"): ALWAYS,
    ("openai.responses", "reasoning.context=auto"): DEFAULT,
    ("openai.responses", "text.verbosity=medium"): DEFAULT,
    ("openai.responses", "stream_options.include_obfuscation=false"): DEFAULT,
    ("openai.responses", "store=false"): "seen to here",
    ("openai.responses", "background=false"): DEFAULT,
    ("openai.responses", "truncation=disabled"): DEFAULT,
    ("openai.responses", "tools[function].allowed_callers=direct"): DEFAULT,
    ("openai.responses", "input[message].status"): _IDS,
    ("openai.responses", "input[reasoning].status"): _IDS,
    ("openai.responses", "input[function_call].id"): _IDS,
    ("openai.responses", "input[function_call].status"): _IDS,
    ("openai.responses", "input[function_call].caller=direct"): DEFAULT,
    ("openai.responses", "input[function_call_output].id"): _IDS,
    ("openai.responses", "input[function_call_output].status"): _IDS,
    ("openai.responses", "input[function_call_output].name"): _CALL_SAYS,
    ("openai.chat", "messages[tool].name"): _CALL_SAYS,
    ("anthropic.messages", "tools[custom].type"): DEFAULT,
    ("anthropic.messages", "tools[custom].defer_loading=false"): DEFAULT,
    ("anthropic.messages", "tools[custom].allowed_callers=direct"): DEFAULT,
    ("anthropic.messages", "messages[user].content[document].citations (off)"): DEFAULT,
    ("anthropic.messages", "messages[].content[tool_use].caller=direct"): DEFAULT,
    ("gemini", "generationConfig.responseModalities [TEXT]"): DEFAULT,
    ("gemini", "generationConfig.thinkingConfig.includeThoughts=false"): DEFAULT,
}
"""What a client may say and no provider need hear. Every other probe that no dialect reads is a silent loss."""


def _found(value: str, among: Iterable[Atom]) -> bool:
    return any(value in other for _, _, other in among)


def names(found: Iterable[str]) -> str:
    return ", ".join(f"`{one}`" for one in dict.fromkeys(found))


def shown(atoms: Iterable[Atom]) -> str:
    return ", ".join(f"`{key}={short(value)}`" for _, key, value in sorted(set(atoms))) or "nothing"


def short(value: str) -> str:
    flat = " ".join(value.split())
    return flat if len(flat) <= 40 else flat[:37] + "..."


@cache
def read(client: str, body: bytes) -> Counter[Atom]:
    """What a client's body says, in canonical form."""
    return atoms(DIALECTS[client].parse_request(body, "m", False if client == GEMINI else None), body)


def read_back(column: Column, out: Outcome) -> Counter[Atom]:
    """What a provider is asked, read by its own dialect."""
    if not out.sent:
        return Counter()
    model, stream = None, None
    if column.dialect in (GEMINI, "bedrock.converse"):
        model, stream = column.model, "stream" in out.path.lower()
    try:
        request = DIALECTS[column.dialect].parse_request(out.sent, model, stream)
    except ClientMistake:  # a host's own form of a field: the body itself must show it
        return Counter()
    return atoms(request, out.sent, shows_fields=True)


@cache
def raw(body: bytes) -> Counter[Atom]:
    """The leaves of a body as they stand there."""
    found: list[Atom] = []

    def walk(node: Any, at: str) -> None:
        if isinstance(node, dict):
            for name, value in node.items():
                walk(value, f"{at}.{name}" if at else name)
        elif isinstance(node, list):
            for value in node:
                walk(value, at + "[]")
        else:
            found.append(("raw", at, str(node).lower() if isinstance(node, bool) else plain(node)))

    walk(json.loads(body or b"{}"), "")
    return Counter(found)


def atoms(request: ChatRequest, body: bytes, *, shows_fields: bool = False) -> Counter[Atom]:
    """The leaves of a request. The model's name and whether usage is wanted are no business of the probes."""
    found: list[Atom] = []
    for message in request.messages:
        found += message_atoms(message)
    for tool in request.tools:
        found += [("tools", f"tools.{name}", value) for name, value in leaves(tool)]
    for group in ("tool_choice", "response_format", "reasoning", "sampling"):
        part = getattr(request, group)
        found += [(group, f"{group}.{name}".removeprefix("sampling."), value) for name, value in leaves(part)]
    if request.parallel_tool_calls is not None:
        found.append(("parallel_tool_calls", "parallel_tool_calls", str(request.parallel_tool_calls).lower()))
    if request.stream:
        found.append(("stream", "stream", "true"))
    found += [("hints", "hint", name) for name in request.hints]
    tree = json.loads(body) if shows_fields else {}
    for name in request.foreign:
        value = f"{name}={json.dumps(tree[name], separators=(',', ':'))}" if name in tree else name
        found.append(("foreign", "field", value))
    return Counter(found)


def message_atoms(message: Message) -> list[Atom]:
    role = message.role
    found: list[Atom] = [("messages", f"{role}.name", message.name)] if message.name is not None else []
    for part in message.parts:
        found += part_atoms(part, role)
    return found


def part_atoms(part: Part, where: str) -> list[Atom]:
    kind = f"{where}.{type(part).__name__.lower()}"
    if isinstance(part, ToolResult):
        inner = [one for item in part.parts for one in part_atoms(item, kind)]
        inner.append(("messages", f"{kind}.id", part.id))
        return inner + ([("messages", f"{kind}.is_error", "true")] if part.is_error else [])
    if isinstance(part, Document) and part.data is not None and (part.media_type or "").startswith("text/"):
        part = Document(text=b64decode(part.data).decode(), name=part.name)  # the same file in other letters
    found = dict(leaves(part))
    if "url" in found:  # what is fetched says itself what it is
        found.pop("media_type", None)
    return [("messages", f"{kind}.{name}", value) for name, value in found.items()]


def leaves(node: Any) -> list[tuple[str, str]]:
    """Fields of a struct that say something, as text. JSON text is compared by what it means."""
    if node is None:
        return []
    found = []
    for field in msgspec.structs.fields(node):
        value = getattr(node, field.encode_name)
        if value is None or value == () or (value is False and field.encode_name == "is_error"):
            continue
        found.append((field.encode_name, plain(value)))
    return found


def plain(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        if value.startswith(MARK):
            return unwrap(value, "").data
        try:
            tree = json.loads(value)
        except ValueError:
            return value
        if isinstance(tree, dict):  # a proof that is carried within a detail
            tree = {name: plain(one) if isinstance(one, str) and MARK in one else one for name, one in tree.items()}
        return json.dumps(tree, separators=(",", ":"), ensure_ascii=False)
    return json.dumps(value)
