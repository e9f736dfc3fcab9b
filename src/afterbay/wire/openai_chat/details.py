"""`reasoning_details`: where OpenRouter's chat completions carry proofs of reasoning, and so do ours.

An answer has them only where there is a proof to carry. Then they say all of the reasoning, block by block, with its
texts: clients send back these alone, and a maker takes a proof only with the text that it belongs to. The text stands
in `reasoning_content` too, as it stands in OpenRouter's `reasoning`. A proof stays as `afterbay.wire.proofs` has
wrapped it; `format` names its maker for who reads along.

    {"type": "reasoning.text", "text": ..., "signature": ..., "format": ..., "index": 0}
    {"type": "reasoning.encrypted", "data": ..., "format": ..., "index": 1}        reasoning that nobody may read

Sources, November 2026: openrouter.ai/docs/use-cases/reasoning-tokens ("Preserving reasoning blocks"), the types
`ReasoningDetail…` of OpenRouter's SDK, and recordings.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from afterbay.core.event import ReasoningSignature
from afterbay.core.message import Part, Thinking
from afterbay.wire.proofs import MARK, Proof, unwrap, wrap

_FORMATS = {"anthropic": "anthropic-claude-v1", "google": "google-gemini-v1", "openai": "openai-responses-v1"}
_PORTABLE = {"anthropic-claude-v1": "anthropic"}
"""Formats of OpenRouter's own whose proofs their maker takes from anybody: Claude's are the same on all platforms. What
OpenAI encrypts for OpenRouter only OpenRouter can send back."""
_OPENROUTER = "openrouter"

TEXT, ENCRYPTED, SUMMARY = "reasoning.text", "reasoning.encrypted", "reasoning.summary"


class Detail(msgspec.Struct):
    """One of `reasoning_details`."""

    type: str = ""
    text: str | None = None
    summary: str | None = None
    signature: str | None = None
    data: str | None = None
    format: str | None = None


class Details:
    """The details of one choice, while its reasoning streams by."""

    def __init__(self) -> None:
        self._pieces: list[str] = []  # of the block that is being thought
        self._waiting: list[str] = []  # blocks that have ended and have no proof
        self._count = 0

    def add(self, text: str) -> None:
        """A piece of visible reasoning."""
        self._pieces.append(text)

    def close(self) -> None:
        """The block ends: what is thought next is another one."""
        if self._pieces:
            self._waiting.append("".join(self._pieces))
            self._pieces = []

    def sign(self, event: ReasoningSignature) -> list[dict[str, Any]]:
        """The details up to a proof: blocks that wait, and the one that it belongs to."""
        if event.redacted:
            self.close()
            return [*self._rest(), self._numbered({"type": ENCRYPTED, "data": event.data}, event.data)]
        text, self._pieces = "".join(self._pieces), []
        return [*self._rest(), self._numbered({"type": TEXT, "text": text, "signature": event.data}, event.data)]

    def end(self) -> list[dict[str, Any]]:
        """Blocks behind the last proof; none where there was no proof at all."""
        self.close()
        return self._rest() if self._count else []

    def _rest(self) -> list[dict[str, Any]]:
        waiting, self._waiting = self._waiting, []
        return [self._numbered({"type": TEXT, "text": text}, "") for text in waiting]

    def _numbered(self, detail: dict[str, Any], proof: str) -> dict[str, Any]:
        named = _FORMATS.get(unwrap(proof, "").maker, "unknown")
        self._count += 1
        return {**detail, "format": named, "index": self._count - 1}


def details_of(parts: Iterable[Part]) -> list[dict[str, Any]]:
    """The details of a whole answer; none where nothing is proved."""
    details, built = Details(), list[dict[str, Any]]()
    for part in parts:
        if not isinstance(part, Thinking):
            continue
        details.close()
        if part.text:
            details.add(part.text)
        if part.signature:
            built += details.sign(ReasoningSignature(part.signature))
        elif part.redacted:
            built += details.sign(ReasoningSignature(part.redacted, redacted=True))
    return built + details.end()


def read_details(details: Iterable[Detail], text: str) -> tuple[list[Part], list[Part]]:
    """The reasoning of an assistant message: its details, and `text` where they hold none. The second list goes behind
    what was said: Google signs its texts with proofs that hold no reasoning."""
    parts, behind = list[Part](), list[Part]()
    for detail in details:
        said = detail.text or detail.summary or ""
        if detail.type == ENCRYPTED:
            if detail.data:
                parts.append(Thinking(redacted=_owned(detail.data, detail)))
        elif detail.signature:
            proof = _owned(detail.signature, detail)
            signs_text = not said and unwrap(proof, "").maker == "google"
            (behind if signs_text else parts).append(Thinking(said, proof))
        elif said:
            parts.append(Thinking(said))
    if text and not any(isinstance(part, Thinking) and part.text for part in parts):
        parts.insert(0, Thinking(text))
    return parts, behind


def _owned(proof: str, detail: Detail) -> str:
    """The proof with its maker's name: one that is not wrapped came from OpenRouter itself."""
    if proof.startswith(MARK):
        return proof
    return wrap(Proof(_PORTABLE.get(detail.format or "", _OPENROUTER), "", "", proof))
