"""Going on with a relayed stream of Gemini's: the chunks that follow bear its id and model."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.event import BlockBreak, Event, Started
from afterbay.wire.dialect import Head
from afterbay.wire.gemini.array import ArrayRenderer
from afterbay.wire.gemini.renderer import StreamRenderer


class Trail:
    """See `afterbay.wire.dialect.Trail`."""

    ending = b""
    closing: Sequence[Event] = (BlockBreak(),)
    answer_id = stuck = ""

    def __init__(self) -> None:
        self._id = self._model = ""

    def see(self, name: bytes | None, data: bytes, events: Sequence[Event]) -> None:
        """Takes a chunk."""
        if not self._id:
            for event in events:
                if isinstance(event, Started):
                    self._id, self._model = event.id, event.model

    def take_over(self, head: Head, sent: Checkpoint) -> StreamRenderer:
        """See `afterbay.wire.dialect.Trail`."""
        return StreamRenderer(self._head(head))

    def _head(self, head: Head) -> Head:
        return msgspec.structs.replace(head, seed=self._id or head.seed, model=self._model or head.model, begun=True)


class ArrayTrail(Trail):
    """The same for a stream that is one JSON array."""

    def take_over(self, head: Head, sent: Checkpoint) -> ArrayRenderer:  # type: ignore[override]  # both are renderers
        """See `afterbay.wire.dialect.Trail`."""
        return ArrayRenderer(self._head(head))
