"""What a wire dialect is: six pure functions, the same for serving it to clients and for speaking it to providers.

    parse_request   a client's body -> ChatRequest          build_request   ChatRequest -> a provider's body
    parse_events    a provider's answer -> events           render_events   events -> a client's answer
    parse_error     a provider's error -> ProviderError     render_error    GatewayError -> a client's error body

`parse_request(build_request(x)) == x` holds except for what a dialect cannot say: `cannot` names it before anything is
sent (such a target is filtered out), `Built.losses` and `Renderer.losses` name what was left out on the way. Nothing
is lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from afterbay.core.checkpoint import Checkpoint
from afterbay.core.errors import GatewayError, ProviderError
from afterbay.core.event import Event, Reply
from afterbay.core.request import ChatRequest


class Built(msgspec.Struct, frozen=True):
    """A request in a provider's dialect. `path` follows the provider's base URL; `losses` names dropped hints."""

    path: str
    body: bytes
    headers: dict[str, str] = {}
    losses: tuple[str, ...] = ()


class Head(msgspec.Struct, frozen=True):
    """What a renderer must know of the answer before its first event.

    `seed` is unique per answer; ids that the provider did not give are derived from it, so that rendering stays pure.
    `created_s` is UTC seconds. `input_tokens` is an estimate for protocols that announce the input first. `begun`:
    bytes of the answer were relayed to the client before, and this renderer only has to end what it did not begin.
    `echo` is the client's body, for protocols whose answers repeat what was asked; empty: defaults stand there.
    """

    seed: str
    model: str
    created_s: int = 0
    include_usage: bool = False
    input_tokens: int = 0
    begun: bool = False
    echo: bytes = b""


class Parser(Protocol):
    """Reads one streamed answer, event by event, as the SSE splitter hands them over."""

    def push(self, name: bytes | None, data: bytes, out: list[Event]) -> None:
        """Reads one SSE event (its `event:` name and joined data) and appends what it means to `out`.

        Raises:
            ValueError, msgspec.DecodeError: the data is not what the dialect sends (not JSON, or of another shape).
        """

    @property
    def is_complete(self) -> bool:
        """Whether a sign of a proper end was seen: if not, the end of input is a cut. More may follow (usage)."""

    @property
    def is_over(self) -> bool:
        """Whether the dialect's very last event was seen: there is no need to read on."""


class Renderer(Protocol):
    """Writes one streamed answer. `losses` grows with what the dialect has no place for."""

    losses: set[str]

    def render(self, events: Sequence[Event]) -> bytes:
        """The SSE bytes of these events; may be empty."""

    def finish(self, note: Mapping[str, object] | None = None) -> bytes:
        """The bytes of a proper end: finish reason, final usage, terminal event.

        `note` goes, as an object called `afterbay`, beside the final usage (cost, target, whether it was resumed).
        """

    def fail(self, error: GatewayError) -> bytes:
        """The bytes of an error inside the stream; nothing may follow them, least of all a proper end."""

    def ping(self) -> bytes:
        """Bytes that keep the connection alive and mean nothing."""


class Trail(Protocol):
    """Follows a stream that is relayed, so that a renderer can go on with it where it breaks off.

    It keeps names, numbers and what is open; what was said is the checkpoint's to keep.
    """

    def see(self, name: bytes | None, data: bytes, events: Sequence[Event]) -> None:
        """An event was relayed; `events` is what the parser made of it."""

    def take_over(self, head: Head, sent: Checkpoint) -> Renderer:
        """A renderer that goes on with the stream. `head` says what the client asked; identities are the stream's."""

    @property
    def answer_id(self) -> str:
        """What the stream calls its answer; empty where nobody needs to know."""

    @property
    def closing(self) -> Sequence[Event]:
        """What ends reasoning that broke off."""

    @property
    def stuck(self) -> str:
        """Why nobody can go on with what was relayed, where no event says so; empty: nothing is known."""

    @property
    def ending(self) -> bytes:
        """The protocol's last bytes where only they are missing; empty: more is missing, or nothing."""


EVENT_STREAM = "text/event-stream; charset=utf-8"


class Host(msgspec.Struct, frozen=True):
    """A provider that speaks a dialect its own way: who it is says `Target.vendor`.

    build_request  as the dialect's own
    cannot         (upstream model) -> features that it answers with an error: a router leaves it out for them
    can            features of the dialect's `cannot` that it has a field for
    unsaid         features that the dialect can say and its form of it cannot
    """

    build_request: Callable[[ChatRequest, str], Built]
    cannot: Callable[[str], frozenset[str]]
    can: frozenset[str] = frozenset()
    unsaid: frozenset[str] = frozenset()


class Dialect(msgspec.Struct, frozen=True):
    """One wire protocol. `name` is `vendor.endpoint`, as in the recordings (`openai.chat`).

    relay_path       (path that the client asked, upstream model) -> path of a relayed request after a base URL
    cannot           names of the canonical features (see `afterbay.wire.features`) that a request of this dialect
                     cannot express, with the reason: targets of this dialect are filtered out for such requests
    parse_request    (body, model from the path or None, stream from the path or None) -> ChatRequest;
                     raises ClientMistake naming the field
    build_request    (request, upstream model) -> Built
    stream_parser    (seed) -> Parser
    parse_answer     (body of a whole answer, seed) -> events; raises ValueError or msgspec.DecodeError when it is none
    renderer         (head) -> Renderer
    render_answer    (reply, head, note) -> (body, losses); `note` as in `Renderer.finish`
    parse_error      (status, headers with lower-case names, body) -> ProviderError
    render_error     (error, request id) -> body
    stream_type      content type of a client's stream
    streams_json     whether a provider's stream may be a JSON array
    tool_name        what the name of a tool must match whole; others are renamed (`afterbay.wire.toolcalls.names`).
                     The default is OpenAI's, and no provider's is narrower
    hosts            providers that speak it their own way, by vendor; all others get what `build_request` writes
    trail            follows a relayed stream, for who must go on with it; None: no client speaks it
    comments         whether a client's stream may hold comments
    """

    name: str
    relay_path: Callable[[str, str], str]
    cannot: Mapping[str, str]
    parse_request: Callable[[bytes, str | None, bool | None], ChatRequest]
    build_request: Callable[[ChatRequest, str], Built]
    stream_parser: Callable[[str], Parser]
    parse_answer: Callable[[bytes, str], list[Event]]
    renderer: Callable[[Head], Renderer]
    render_answer: Callable[[Reply, Head, Mapping[str, object] | None], tuple[bytes, tuple[str, ...]]]
    parse_error: Callable[[int, Mapping[str, str], bytes], ProviderError]
    render_error: Callable[[GatewayError, str], bytes]
    stream_type: str = EVENT_STREAM
    streams_json: bool = False
    tool_name: str = r"[a-zA-Z0-9_-]{1,64}"
    hosts: Mapping[str, Host] = {}
    trail: Callable[[], Trail] | None = None
    comments: bool = True

    def build_for(self, vendor: str, request: ChatRequest, model: str) -> Built:
        """The request as the provider of this vendor wants it."""
        host = self.hosts.get(vendor)
        return (self if host is None else host).build_request(request, model)
