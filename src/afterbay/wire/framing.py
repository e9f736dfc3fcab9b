"""How the events of a stream are told apart, by the content type of the answer."""

from __future__ import annotations

from typing import Protocol

from afterbay.wire import aws_stream, json_array, sse
from afterbay.wire.sse import SseEvent


class Splitter(Protocol):
    """Cuts a byte stream into whole events; right under any cut of the bytes."""

    def feed(self, data: bytes) -> tuple[bytes, list[SseEvent]]:
        """Takes the next bytes; gives the raw bytes of what is whole by now, and the events in it.

        Raises:
            ValueError: the bytes are no such stream, or an event passed the limit.
        """

    def rest(self) -> tuple[bytes, list[SseEvent]]:
        """What is left at the end of input: raw bytes, and the event that they make.

        Raises:
            ValueError: as `feed`, which had whole events to give back first.
        """

    def ended(self, rest: bytes) -> bytes:
        """`rest` with the end that an event has, where it lacks one."""

    def before(self, whole: bytes, data: bytes) -> bytes:
        """The events of `whole` that came before the one that holds `data`."""


def splitter_for(content_type: str, limit_bytes: int) -> Splitter:
    """The splitter of a streamed answer; `limit_bytes` bounds one event. What does not say what it is, is SSE."""
    if content_type.startswith("application/json"):
        return json_array.Splitter(limit_bytes)
    if content_type.startswith(aws_stream.CONTENT_TYPE):
        return aws_stream.FrameSplitter(limit_bytes)
    return sse.Splitter(limit_bytes)
