"""What a client of Responses knows a stream and its place in it by: the response's id, the number of an event.

Source: openai-python 3.57, `responses.retrieve(stream=True, starting_after=...)`: "the sequence number of the event
after which to start streaming".
"""

from __future__ import annotations

import msgspec

from afterbay.wire import sse


class _Named(msgspec.Struct):
    id: str = ""


class _Event(msgspec.Struct):
    sequence_number: int | None = None
    response: _Named | None = None


_decode = msgspec.json.Decoder(_Event).decode


def sequence_number(block: bytes) -> int | None:
    """The number that an event says of itself; None: none, or it is no event."""
    event = _read(block)
    return event.sequence_number if event is not None else None


def response_id(block: bytes) -> str:
    """The id of the response that an event (`response.created`) shows; empty: it shows none."""
    event = _read(block)
    return event.response.id if event is not None and event.response is not None else ""


def _read(block: bytes) -> _Event | None:
    for _, data in sse.decode(block):
        try:
            return _decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):  # a relayed event may be anything
            return None
    return None
