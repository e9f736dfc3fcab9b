"""Going on with a relayed stream of Messages: the blocks that follow are counted on, and one that is open is gone on
with."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.event import BlockBreak, Event, ReasoningSignature
from afterbay.wire.anthropic_messages.render import Renderer
from afterbay.wire.dialect import Head
from afterbay.wire.proofs import Proof, wrap

_KINDS = {"text": "text", "thinking": "thinking", "tool_use": "tool", "redacted_thinking": "redacted"}
_HOT = b"content_block_delta"

NOBODY = "nobody"
"""The maker in the proof that closes thinking which broke off. Anthropic refuses a block whose signature is empty when
it comes back; one with a wrapped proof of another maker is left out on the way (`afterbay.wire.proofs`)."""


class _Block(msgspec.Struct):
    type: str = ""


class _Event(msgspec.Struct):
    type: str
    index: int = 0
    content_block: _Block | None = None


_event = msgspec.json.Decoder(_Event).decode


class Trail:
    """See `afterbay.wire.dialect.Trail`."""

    answer_id = stuck = ""

    def __init__(self) -> None:
        self._index = -1
        self._open = ""
        self._is_signed = False
        self._has_reason = False
        self._is_over = False

    @property
    def closing(self) -> Sequence[Event]:
        """A thinking block of the provider's that is still open gets a proof of nobody."""
        is_unsigned = self._open == "thinking" and not self._is_signed
        return (ReasoningSignature(wrap(Proof(NOBODY, "", "", "broken off"))) if is_unsigned else BlockBreak(),)

    @property
    def ending(self) -> bytes:
        """`message_stop`, where all but it was relayed."""
        is_missing = self._has_reason and not self._is_over
        return b'event: message_stop\ndata: {"type":"message_stop"}\n\n' if is_missing else b""

    def see(self, name: bytes | None, data: bytes, events: Sequence[Event]) -> None:
        """Takes an event."""
        if name == _HOT:
            if self._open == "thinking" and b'"signature_delta"' in data:
                self._is_signed = True
            return
        try:
            event = _event(data)
        except (msgspec.DecodeError, UnicodeDecodeError):  # of a shape that the client is left to judge
            return
        match event.type:
            case "content_block_start":
                kind = event.content_block.type if event.content_block is not None else ""
                self._index, self._open, self._is_signed = event.index, _KINDS.get(kind, "text"), False
            case "content_block_stop":
                self._open = ""
            case "message_delta":
                self._has_reason = True
            case "message_stop":
                self._is_over = True
            case _:
                pass

    def take_over(self, head: Head, sent: Checkpoint) -> Renderer:
        """See `afterbay.wire.dialect.Trail`."""
        renderer = Renderer(head)
        renderer.go_on(self._index, self._open, sent)
        return renderer
