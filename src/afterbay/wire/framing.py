"""How the events of a stream are told apart, by the content type of the answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from afterbay.wire import aws_stream, json_array, json_lines, sse
from afterbay.wire.sse import SseEvent

JSON_LINES = ("application/x-ndjson", "application/jsonl", "application/x-jsonlines")


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
    return _kind(content_type)(limit_bytes)


def is_framed_alike(one: str, other: str) -> bool:
    """Whether streams of these two content types are cut into events alike."""
    return _kind(one) is _kind(other)


def is_one_json(content_type: str) -> bool:
    """Whether it is the type of one JSON text: a whole answer, or an array of events."""
    return "json" in content_type and not content_type.startswith(JSON_LINES)


def _kind(content_type: str) -> Callable[[int], Splitter]:
    if content_type.startswith(JSON_LINES):
        return json_lines.Splitter
    if content_type.startswith("application/json"):
        return json_array.Splitter
    return aws_stream.FrameSplitter if content_type.startswith(aws_stream.CONTENT_TYPE) else sse.Splitter
