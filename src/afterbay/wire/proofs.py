"""Whose proof is it? Signatures of reasoning and of tool calls, on their way between makers.

Anthropic signs its thinking, Google its thoughts and calls, OpenAI encrypts its reasoning: opaque strings that must
come back unchanged, and that only their maker takes. A conversation may change its provider between two turns. So a
proof that travels in a protocol of another maker is wrapped with its maker's name; when it comes back it is unwrapped
for its maker and left out for all others. A proof without a wrapping belongs to the maker of its protocol.

The wrapped form is base64 of `afterbay`, a byte 1, and maker, call, kind and proof with a byte 0 between them: base64,
since Google's clients take nothing else. `call` is the id of the tool call that it belongs to, where the protocol has
no place for the proof of a call (Anthropic's, OpenAI's Responses): there it travels as a proof of reasoning before the
call. `kind` is `redacted` where it stands for reasoning that nobody may read, which not every protocol has a place
for. The state is in the conversation, so any replica can go on with it.
"""

from __future__ import annotations

import binascii
from base64 import b64decode, b64encode
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from afterbay.core.event import Event, ReasoningSignature, ToolCallStarted
from afterbay.core.message import Message, Part, Thinking, ToolUse
from afterbay.core.request import ChatRequest

NATIVE: Mapping[str, str] = MappingProxyType(
    {
        "anthropic.messages": "anthropic",
        "bedrock.converse": "anthropic",
        "gemini": "google",
        "openai.chat": "google",
        "openai.responses": "openai",
    }
)
"""Whose proofs a client's protocol carries without a wrapping. In chat completions it is the proofs of Google's calls;
those of reasoning have a place there that belongs to no maker, so all are wrapped."""

_SHARED_PLACE = frozenset({"openai.chat"})
"""Protocols whose place for proofs of reasoning is OpenRouter's, where every maker's may stand."""

_CARRIES_CALLS = frozenset({"gemini", "openai.chat"})
"""Protocols with a place for the proof of a call."""

_CARRIES_REDACTED = frozenset({"anthropic.messages", "bedrock.converse", "openai.chat"})
"""Protocols with a place for reasoning that is all proof."""

_REDACTED = "redacted"

_HEAD = b"afterbay\x01"
MARK = b64encode(_HEAD).decode()
"""How every wrapped proof begins: the head has nine bytes, so no letter after it depends on what follows."""

_SEALED = b'"encrypted_content"'

SKIP = "skip_thought_signature_validator"
"""What Google tells to send for a call that another model made.
Source: ai.google.dev/gemini-api/docs/thought-signatures, FAQ (November 2026)."""


class Proof(NamedTuple):
    """An opaque string, its maker (empty: unknown), the call that it belongs to (empty: none), and its kind."""

    maker: str
    call: str
    kind: str
    data: str


def wrap(proof: Proof) -> str:
    """The proof in a form that any protocol carries."""
    return b64encode(_HEAD + "\0".join(proof).encode()).decode()


def unwrap(text: str, native: str) -> Proof:
    """What `wrap` was given; a text without a wrapping is a proof of the maker `native`."""
    if text.startswith(MARK):
        try:
            parts = b64decode(text, validate=True)[len(_HEAD) :].decode().split("\0", 3)
        except (binascii.Error, UnicodeDecodeError):
            parts = []
        return Proof(*parts) if len(parts) == 4 else Proof("", "", "", text)
    return Proof(native, "", "", text)


def outgoing(events: list[Event], maker: str, client: str) -> list[Event]:
    """The events of an answer by `maker` as a client of the protocol `client` may carry them."""
    wraps, moves = maker != NATIVE.get(client), client not in _CARRIES_CALLS
    seals = wraps or client in _SHARED_PLACE
    if not seals and not moves:
        return events
    keeps_redacted = client in _CARRIES_REDACTED
    out: list[Event] = []
    for event in events:
        if type(event) is ReasoningSignature and seals:
            redacted = event.redacted and keeps_redacted
            kind = _REDACTED if event.redacted and not redacted else ""
            event = ReasoningSignature(wrap(Proof(maker, "", kind, event.data)), redacted, event.choice)
        elif type(event) is ToolCallStarted and event.signature is not None:
            proof = Proof(maker, event.id if moves else "", "", event.signature)
            wrapped = wrap(proof) if moves or wraps else event.signature
            if moves:
                out.append(ReasoningSignature(wrapped, choice=event.choice))
            event = msgspec.structs.replace(event, signature=None if moves else wrapped)
        out.append(event)
    return out


def admitted(request: ChatRequest, client: str, maker: str) -> tuple[ChatRequest, tuple[str, ...]]:
    """The request as `maker` may see it, and the names of what was left out: proofs of other makers."""
    if not any(_is_signed(part) for message in request.messages for part in message.parts):
        return request, ()
    native, losses = NATIVE.get(client, ""), dict[str, None]()
    messages = tuple(_admit(message, native, maker, losses) for message in request.messages)
    return msgspec.structs.replace(request, messages=messages), tuple(losses)


def _is_signed(part: Part) -> bool:
    if isinstance(part, Thinking):
        return bool(part.signature or part.redacted)
    return isinstance(part, ToolUse) and part.signature is not None


def _admit(message: Message, native: str, maker: str, losses: dict[str, None]) -> Message:
    parts: list[Part] = []
    calls: dict[str, str] = {}
    for part in message.parts:
        if isinstance(part, Thinking):
            kept = _thinking(part, native, maker, calls, losses)
            if kept is not None:
                parts.append(kept)
        elif isinstance(part, ToolUse):
            parts.append(_call(part, native, maker, calls, losses))
        else:
            parts.append(part)
    return msgspec.structs.replace(message, parts=tuple(parts))


def _thinking(
    part: Thinking, native: str, maker: str, calls: dict[str, str], losses: dict[str, None]
) -> Thinking | None:
    """The part as the maker may see it; `calls` collects proofs that belong to calls behind it."""
    given = part.signature or part.redacted
    if not given:
        return part
    proof = unwrap(given, native)
    if proof.call or proof.maker != maker:
        if proof.maker == maker:
            calls[proof.call] = proof.data
        else:
            losses["thinking.signature of another maker"] = None
        return Thinking(part.text) if part.text else None
    is_redacted = part.signature is None or proof.kind == _REDACTED
    return Thinking(part.text, None if is_redacted else proof.data, proof.data if is_redacted else None)


def _call(use: ToolUse, native: str, maker: str, calls: dict[str, str], losses: dict[str, None]) -> ToolUse:
    if use.signature is None:
        carried = calls.pop(use.id, None)
        return use if carried is None else msgspec.structs.replace(use, signature=carried)
    proof = unwrap(use.signature, native)
    if proof.maker != maker:
        losses["tool_use.signature of another maker"] = None
        return msgspec.structs.replace(use, signature=None)
    return msgspec.structs.replace(use, signature=proof.data)


def without_foreign(body: bytes, maker: str, makers: Makers | None = None) -> tuple[bytes, bool]:
    """A body that is relayed to `maker`, its wrapped proofs unwrapped or taken out; whether any was taken out.

    Only a conversation that another maker took part in holds any: every other body stays what it is, byte for byte, and
    so does one that cannot be read to its end: what is wrong with it is for the provider to say.
    `makers` knows proofs without a wrapping, of providers of one protocol.
    """
    marked = MARK.encode() in body
    if not marked and (makers is None or not makers.are_several or _SEALED not in body):
        return body, False
    cleaner = _Cleaner(maker, makers)
    try:
        cleaned = cleaner.clean(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body, False
    if cleaned is None or not cleaner.changed:
        return body, False
    return msgspec.json.encode(cleaned), cleaner.took


class Makers:
    """Who made the proofs that were relayed of late: providers of one protocol may be several makers, whose proofs have
    no wrapping (OpenAI, Azure and xAI in Responses). Of a proof that is not known here nothing is said."""

    def __init__(self, most: int = 8192) -> None:
        self._most = most
        self._by_digest: OrderedDict[bytes, str] = OrderedDict()
        self._names: set[str] = set()

    @property
    def are_several(self) -> bool:
        """Whether proofs of more than one maker were seen: else there is nothing to tell apart."""
        return len(self._names) > 1

    def note(self, data: str, maker: str) -> None:
        """Remembers whose a proof is; the oldest is forgotten for it."""
        self._names.add(maker)
        self._by_digest[_digest(data)] = maker
        if len(self._by_digest) > self._most:
            self._by_digest.popitem(last=False)

    def of(self, data: str) -> str | None:
        """Whose it is; None: not known."""
        return self._by_digest.get(_digest(data))


def _digest(data: str) -> bytes:
    return blake2b(data.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _holds_proof(node: Mapping[str, Any], key: str) -> bool:
    """Whether a protocol has a proof there: what people write may begin like a wrapped one, and stays."""
    if key in ("signature", "data"):
        return node.get("type") == ("thinking" if key == "signature" else "redacted_thinking")
    return key in ("encrypted_content", "thoughtSignature", "thought_signature")


class _Cleaner:
    """Walks a decoded body. What holds nothing but a proof goes with it: a thinking block, a reasoning item."""

    def __init__(self, maker: str, makers: Makers | None = None) -> None:
        self._maker = maker
        self._makers = makers
        self.took = False
        self.changed = False

    def clean(self, node: Any) -> Any:
        """The node without foreign proofs; None where nothing is left of it."""
        if isinstance(node, list):
            return self._items(node)
        if not isinstance(node, dict):
            return node
        out: dict[str, Any] = {}
        for key, value in node.items():
            if _is_wrapped(value) and _holds_proof(node, key):
                proof = unwrap(value, "")
                self.changed = True
                if proof.maker == self._maker and not proof.call:
                    out[key] = proof.data
                    continue
                self.took = True
                if key not in ("thoughtSignature", "thought_signature"):
                    return None
                if node.keys() & {"functionCall", "function_call"}:
                    out[key] = SKIP
                elif node.get("text") == "":
                    return None
            elif key == "encrypted_content" and isinstance(value, str) and self._is_another_makers(value):
                self.took = self.changed = True
                return None
            elif key == "reasoning_details" and isinstance(value, list):
                kept = self._details(value)
                if kept is not None:
                    out[key] = kept
            else:
                out[key] = self.clean(value)
        return out

    def _is_another_makers(self, sealed: str) -> bool:
        known = self._makers.of(sealed) if self._makers is not None else None
        return known is not None and known != self._maker

    def _details(self, details: list[Any]) -> list[Any] | None:
        """The details of one answer, which had one maker; None for those of another: no host but OpenRouter, whose own
        they are, takes any. A proof that is a detail itself is that detail."""
        found: list[Any] = []
        for detail in details:
            for key, value in list(detail.items()) if isinstance(detail, dict) else ():
                if not _is_wrapped(value) or key not in ("signature", "data"):
                    continue
                proof = unwrap(value, "")
                self.changed = True
                if proof.maker != self._maker:
                    self.took = True
                    return None
                if proof.data[:1] == "{":
                    detail = _detail(proof.data)
                    break  # it is all of the detail, and may be no object
                detail = {**detail, key: proof.data}
            found.append(detail)
        return found

    def _items(self, nodes: Iterable[Any]) -> list[Any]:
        """The items, and what is left of each; an item that was null before stays."""
        return [kept for node in nodes if (kept := self.clean(node)) is not None or node is None]


def _is_wrapped(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(MARK)


def _detail(data: str) -> Any:
    """A detail that was a proof. One that a client made up stays the text it is: its provider refuses it."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        return data
