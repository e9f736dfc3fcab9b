"""An answer on its way to the terminal: bytes of OpenAI's chat protocol in, text out.

Both ways of asking, in process and over HTTP, end here, so they cannot differ in what they show.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping

import msgspec

from afterbay.core.errors import GatewayError, ProviderError
from afterbay.core.event import Event, Failed, Finished, RefusalDelta, TextDelta
from afterbay.wire.openai_chat import DIALECT
from afterbay.wire.sse import Splitter


class Answer:
    """Prints text through `show` as it comes. `text` is all of it, `error` what ended it, `finish` why it stopped."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self._show = show
        self._splitter = Splitter()
        self._parser = DIALECT.stream_parser("ask")
        self._whole: list[bytes] = []
        self._is_stream = False
        self.status = 0
        self.headers: Mapping[str, str] = {}
        self.text = ""
        self.finish: str | None = None
        self.error: GatewayError | None = None

    @property
    def request_id(self) -> str:
        """The gateway's id of the request; empty if it sent none."""
        return self.headers.get("x-request-id", "")

    def begin(self, status: int, headers: Mapping[str, str]) -> None:
        """Status and headers have come; names in lower case."""
        self.status, self.headers = status, headers
        self._is_stream = status == 200 and headers.get("content-type", "").startswith("text/event-stream")

    def feed(self, data: bytes) -> None:
        """Bytes of the body have come."""
        if not self._is_stream:
            self._whole.append(data)
            return
        self._take(self._parsed(self._splitter.feed(data)[1]))

    def end(self) -> None:
        """The body is complete.

        Raises:
            ValueError, msgspec.DecodeError: this is not the protocol.
        """
        body = b"".join(self._whole)
        if self._is_stream:
            self._take(self._parsed(self._splitter.rest()[1]))
            if self.error is None and not self._parser.is_complete:
                self.error = GatewayError("The answer broke off in the middle.", remedy="Ask again.")
        elif self.status == 200:
            self._take(DIALECT.parse_answer(body, "ask"))
        else:
            self.error = _told(DIALECT.parse_error(self.status, self.headers, body))

    def _parsed(self, sse: Iterable[tuple[bytes | None, bytes]]) -> list[Event]:
        """The events; one that cannot be read is passed over, as the gateway does it when it relays a stream."""
        events: list[Event] = []
        for name, data in sse:
            with contextlib.suppress(ValueError, msgspec.DecodeError):
                self._parser.push(name, data, events)
        return events

    def _take(self, events: Iterable[Event]) -> None:
        said = ""
        for event in events:
            if isinstance(event, TextDelta | RefusalDelta):
                said += event.text
            elif isinstance(event, Finished):
                self.finish = event.reason
            elif isinstance(event, Failed):
                self.error = _told(event.error)
        if said:
            self.text += said
            self._show(said)


def _told(error: ProviderError) -> GatewayError:
    """The gateway's error body as an error; its message has the remedy in it already."""
    return GatewayError(error.message, status=error.status or 502, kind=error.kind, code=error.code, remedy="")
