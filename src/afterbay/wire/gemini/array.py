"""A stream as one JSON array: what a client gets that did not ask for `alt=sse`, as Google does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from afterbay.core.errors import GatewayError
from afterbay.core.event import Event
from afterbay.wire.dialect import Head
from afterbay.wire.gemini.renderer import StreamRenderer

_FRAME = b"data: "
_END = b"\r\n\r\n"


class ArrayRenderer:
    """Writes what `StreamRenderer` writes, in brackets and commas. An array of nothing but an error is one, too."""

    def __init__(self, head: Head) -> None:
        self._inner = StreamRenderer(head)
        self._begun = head.begun

    @property
    def losses(self) -> set[str]:
        """See `afterbay.wire.dialect.Renderer`."""
        return self._inner.losses

    def render(self, events: Sequence[Event]) -> bytes:
        """See `afterbay.wire.dialect.Renderer`."""
        return self._items(self._inner.render(events))

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """See `afterbay.wire.dialect.Renderer`."""
        return self._items(self._inner.finish(note)) + b"]"

    def fail(self, error: GatewayError) -> bytes:
        """The error as the last item. The array is closed: its reader could not tell the error from a torn one else."""
        return self._items(self._inner.fail(error)) + b"]"

    def ping(self) -> bytes:
        """White space, which JSON allows anywhere between two items."""
        return b"\r\n"

    def _items(self, frames: bytes) -> bytes:
        out: list[bytes] = []
        for frame in frames.split(_END):
            if frame:
                out += (b",\r\n" if self._begun else b"[", frame.removeprefix(_FRAME))
                self._begun = True
        return b"".join(out)
