"""Going on with a relayed stream of chat completions: the chunks that follow bear its id, time and model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.event import BlockBreak, Event
from afterbay.wire.dialect import Head
from afterbay.wire.openai_chat.render import ChunkRenderer


class _Chunk(msgspec.Struct):
    id: str | None = None
    created: int | float | None = None
    model: str | None = None
    choices: list[msgspec.Raw] | None = None


_chunk = msgspec.json.Decoder(_Chunk).decode
_TRIES = 8


class Trail:
    """See `afterbay.wire.dialect.Trail`. The first chunk with a choice counts: Azure's very first has no identity."""

    answer_id = stuck = ""
    ending = b""
    closing: Sequence[Event] = (BlockBreak(),)

    def __init__(self) -> None:
        self._first = _Chunk()
        self._tries = _TRIES

    def see(self, name: bytes | None, data: bytes, events: Sequence[Event]) -> None:
        """Takes a chunk."""
        if not self._tries:
            return
        self._tries -= 1
        try:
            chunk = _chunk(data)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a chunk of a shape that the client is left to judge
            return
        if chunk.choices:
            self._first, self._tries = chunk, 0

    def take_over(self, head: Head, sent: Checkpoint) -> ChunkRenderer:
        """See `afterbay.wire.dialect.Trail`."""
        first = self._first
        model = first.model or head.model
        created_s = head.created_s if first.created is None else int(first.created)
        renderer = ChunkRenderer(msgspec.structs.replace(head, model=model, created_s=created_s), first.id or "")
        renderer.go_on(sent)
        return renderer
