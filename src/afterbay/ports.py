"""What the engine needs from the world, one small protocol per need. Stores, providers and telemetry implement them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import msgspec

from afterbay.core.decision import Record
from afterbay.core.errors import ProviderError
from afterbay.policy.allowance import Allowance, per
from afterbay.policy.authority import Role
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights


class Clock(Protocol):
    """Time, passed in so that a simulation can own it."""

    def monotonic(self) -> float:
        """Seconds that never go back; for durations and deadlines."""

    def utc(self) -> float:
        """UTC seconds since 1970; for storage."""


class Entropy(Protocol):
    """Randomness that must not be guessable (ids). Policy draws use `core.chance` instead."""

    def bits(self, count: int) -> int:
        """An integer of `count` random bits."""


class Credential(Protocol):
    """The key that one request went out with, and with it those that its provider has beside it.

    `number` is its place in the configuration, from 1, `of` how many there are. The key itself never shows.
    """

    number: int
    of: int

    def failed(self, error: ProviderError, rest_s: float | None) -> float:
        """The provider limited it (then it rests for `rest_s`) or refused it (then for a growing pause).

        Returns how many seconds from now one of the provider's keys is free; 0: there is one.
        """


class UpstreamResponse(Protocol):
    """An answer whose body has not been read yet. Whoever opened it closes it, whatever happens."""

    status: int
    credential: Credential | None
    """What the request went out with; None: nothing that is known here."""
    headers: Mapping[str, str]
    """Names in lower case."""

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end.

        Raises:
            TransportError: the connection broke.
        """

    async def read_all(self, limit_bytes: int) -> bytes:
        """The whole body.

        Raises:
            TransportError: the connection broke, or the body is larger than the limit.
        """

    def close(self) -> None:
        """Ends it: an unread body closes the connection, so that the provider stops working."""


class TransportError(Exception):
    """No answer, or a broken one. `connected` says whether the provider may have seen the request.

    `retry_after_s` is set by a target that is on its way (a local model that loads) and knows about how long it takes.
    `code` names what failed, where that is known: `dns_not_found`, `tls_failed`, `connect_refused`, ...
    """

    def __init__(
        self, message: str, *, connected: bool, retry_after_s: float | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.connected = connected
        self.code = code
        self.retry_after_s = retry_after_s


class Upstream(Protocol):
    """One provider, spoken to over HTTP. Adds the address and the credentials; the caller brings path and body."""

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> UpstreamResponse:
        """Sends a request and waits for the response's headers, as long as the caller lets it.

        Raises:
            TransportError: no connection within `connect_s` seconds, or it broke before the headers.
        """

    async def close(self) -> None:
        """Ends all connections."""


class Closed(msgspec.Struct, frozen=True):
    """A WebSocket's end as its other side told it. `code` 1005: it gave none; 1006: the connection broke."""

    code: int
    reason: str = ""


Message: TypeAlias = str | bytes
"""One whole message of a WebSocket: text or binary."""


class Socket(Protocol):
    """One WebSocket, seen from either of its ends. One task receives, one sends."""

    async def receive(self) -> Message | Closed:
        """The next message, or the end; nothing follows the end. Nothing more is read before the next call."""

    async def send(self, message: Message) -> None:
        """Sends a message, and waits while the other side reads too slowly.

        Raises:
            TransportError: the connection is gone; `receive` tells how it ended.
        """

    async def close(self, code: int, reason: str) -> None:
        """Says goodbye, if there is still somebody to say it to. Call it last, whatever happened; once is enough."""


class UpstreamSocket(Socket, Protocol):
    """A WebSocket to a provider. `subprotocol` is what the provider chose of those offered."""

    subprotocol: str | None


class ClientSocket(Socket, Protocol):
    """A WebSocket that a client asks for. It is accepted or refused once."""

    async def accept(self, subprotocol: str | None, headers: Mapping[str, str]) -> None:
        """Opens it.

        Raises:
            ClientGone: the client hung up before.
        """

    async def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Answers the request for it like any other HTTP request, if anybody still waits for that."""


class SocketRefused(Exception):
    """A provider answered a request for a WebSocket with something else. `body` is the beginning of its answer."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        super().__init__(f"it answered with status {status}")
        self.status, self.headers, self.body = status, headers, body


@runtime_checkable
class Passage(Protocol):
    """A provider that takes any request below its address. An `Upstream` may be one; the engine inside is none.

    `path` follows the address and may have a query. The credentials are added and win over `headers`.
    """

    async def send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | AsyncIterator[bytes],
        connect_s: float,
    ) -> UpstreamResponse:
        """Sends a request and waits for the response's headers. A body that comes in pieces is read as it is sent.

        The gateway's own secrets are made unreadable in the answer, with their length kept.

        Raises:
            TransportError: no connection within `connect_s` seconds, or it broke before the headers.
        """

    async def connect(
        self, path: str, headers: Mapping[str, str], subprotocols: Sequence[str], message_bytes: int, connect_s: float
    ) -> UpstreamSocket:
        """Opens a WebSocket whose messages have at most `message_bytes`.

        Raises:
            SocketRefused: the provider answered, and does not want to.
            TransportError: no connection within `connect_s` seconds, or it broke before the answer.
        """


class RequestBody(Protocol):
    """A client's body that is still coming."""

    is_over: bool
    """Whether all of it was read."""

    async def read(self) -> bytes:
        """The next bytes as they come; empty at the end. Nothing more is read before the next call.

        Raises:
            ClientMistake: it is too large, or too slow.
            ClientGone: the client hung up.
        """


class Reply(Protocol):
    """The way back to one client."""

    @property
    def started(self) -> bool:
        """Whether the status line went out: after that only bytes and an end are legal."""

    @property
    def gone(self) -> bool:
        """Whether the client hung up. A request that is cancelled without it ends because the gateway does."""

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Sends status and headers; names in lower case."""

    async def write(self, data: bytes) -> None:
        """Sends bytes of the body, and waits while the client reads too slowly.

        A client that hangs up cancels the task of its request; an implementation without tasks raises ClientGone.
        """

    async def end(self, data: bytes = b"") -> None:
        """Ends the body properly, after the last bytes of it."""

    def survive(self, left: Callable[[], None]) -> bool:
        """From now on a client that hangs up cancels nothing: `left` is called. False: nobody could come back here."""


class ClientGone(Exception):
    """The client hung up: nobody will read the rest."""


class RequestLog(Protocol):
    """Where records go. A request `begin`s before it costs anything, `settle`s before its last bytes go out, and is
    `put` once, at its end, whatever came before. All three take the record to themselves: give them one that nobody
    changes any more."""

    def begin(self, record: Record) -> None:
        """Takes the record that the request is to have if the process ends while it runs, without waiting.

        Raises:
            Capacity: it cannot be noted, and such requests are not to be served.
        """

    def settle(self, record: Record) -> Awaitable[None] | None:
        """Takes the record as it stands when the answer is whole, without waiting. It may come again.

        None: the last bytes may go out. Else they may when that is awaited.
        """

    def put(self, record: Record) -> None:
        """Takes a record without waiting; a full buffer drops nothing but blocks nobody (see the store's notes)."""


class Exceeded(Exception):
    """An allowance has less left than is wanted.

    `left` can still be had, in the allowance's unit and never below 0. `back_s` is when to come again, in seconds: when
    enough leaves the minute, or when the next day or month begins. Infinite: more was wanted than there ever is.
    """

    def __init__(self, allowance: Allowance, left: int, back_s: float) -> None:
        super().__init__(
            f"{allowance.account}: {left} {allowance.unit} left of {allowance.limit} {per(allowance.period)}"
        )
        self.allowance, self.left, self.back_s = allowance, left, back_s


class LedgerUnavailable(Exception):
    """Nobody can tell now whether an allowance has enough left: what was leased of it is used up, and the database does
    not answer. `retry_s`: when it is asked again."""

    def __init__(self, allowance: Allowance, why: str, retry_s: float) -> None:
        super().__init__(f"{allowance.account}: {why}")
        self.allowance, self.why, self.retry_s = allowance, why, retry_s


class Hold(Protocol):
    """What one request has set aside. It is settled or released once; `is_open` until then."""

    is_open: bool


class Ledger(Protocol):
    """What accounts may still use. Amounts are integers of at least 0, in the unit of their allowance.

    At the end of a request comes `settle`, then `RequestLog.put`. The log charges the accounts of the record for good,
    with what `afterbay.policy.charge.charge_of` says; the same amounts have to be settled.
    """

    def left(self, allowance: Allowance) -> int | None:
        """About what is left of it, what others have leased included; below 0: more was used than was allowed.

        No I/O. None: nothing is known here yet; it is being asked for.
        """

    def at_once(self, wants: Sequence[tuple[Allowance, int]], at_s: float) -> Hold | None:
        """Sets aside so much of each where there is plenty of all of them (`afterbay.policy.lease`), for `at_s`.

        No I/O. None: of one there is less, or nobody knows here; nothing is set aside.
        """

    async def reserve(self, wants: Sequence[tuple[Allowance, int]], wait_s: float, at_s: float | None = None) -> Hold:
        """Sets aside so much of each, all or nothing. Without I/O where what this process leased is enough.

        All allowances of all accounts that the record will be charged to have to be wanted. 0 of one is never refused:
        that is how it is overdrawn, where its operator lets that happen, or nothing is expected to be used.

        `at_s` is when the request was received (UTC seconds; None: now): it says which day and month are meant, and
        has to be the `received_at` of its record.

        Raises:
            Exceeded: one has less left.
            LedgerUnavailable: of one of them nobody can tell, or not within `wait_s` seconds.
        """

    def settle(self, hold: Hold, amounts: Sequence[int]) -> None:
        """Ends what was set aside: these amounts were used, in the order of `wants`. The rest is free at once.

        More may have been used than was set aside. A hold that is not open any more is left alone.
        """

    def release(self, hold: Hold) -> None:
        """Ends what was set aside: nothing was used."""


class KeptResponse(msgspec.Struct, frozen=True):
    """A response that a client asked to keep.

    `input` is a JSON array of the items that were new in its request, `answer` the response object, `previous_id` the
    response that it continued. `provider` is set, and both are empty, where that provider keeps it itself.
    `created_at` is UTC seconds; `key_id` whose it is (None: an open gateway's).
    """

    id: str
    key_id: str | None
    created_at: float
    provider: str
    model: str
    previous_id: str | None = None
    input: bytes = b""
    answer: bytes = b""


class Responses(Protocol):
    """Where responses are kept, for as long as the retention says."""

    async def get(self, response_id: str) -> KeptResponse | None:
        """The response, whoever it belongs to; None: unknown, deleted, or too old."""

    async def put(self, response: KeptResponse) -> None:
        """Keeps it; on return it is found. An id that is there already stays as it is."""

    async def delete(self, response_id: str) -> bool:
        """Forgets it; whether there was one."""


class Repeatable(msgspec.Struct, frozen=True):
    """A request with an idempotency key.

    `owner` is the id of the virtual key that asks (empty: an open gateway's), `key` the idempotency key, `content` what
    has to be the same in a repeat, byte for byte. `user` is whose virtual key it is, for erasing.
    """

    owner: str
    key: str
    content: tuple[bytes, ...]
    request_id: str
    user: str | None = None


class StoredAnswer(msgspec.Struct, frozen=True):
    """A whole answer as a client got it. `headers`: those that are its own, not its connection's."""

    status: int
    headers: dict[str, str]
    body: bytes


ClaimState: TypeAlias = Literal["new", "running", "answered", "gone", "different", "unknown"]


class Claim(msgspec.Struct, frozen=True):
    """What is known of an idempotency key. `request_id` is the original's, the first request that came with it.

    new         nothing was: the request that asks is the original from now on, and has to be served
    running     the original is being served
    answered    it was answered: `answer`
    gone        it was answered, and the answer is not kept
    different   the original was another request
    unknown     the process that served it is gone: nobody knows how far it came
    """

    state: ClaimState
    request_id: str
    answer: StoredAnswer | None = None


class OriginalsUnavailable(Exception):
    """Nobody can tell now whether a request is a repeat."""


class Originals(Protocol):
    """Where requests with idempotency keys are kept, and their answers: of one owner, for a day or so.

    Of all processes that claim the same key at once, one gets `new`. It calls `keep` or `release` in the end.
    """

    async def claim(self, request: Repeatable) -> Claim:
        """Makes a request the original of its key, unless there is one.

        Raises:
            OriginalsUnavailable: see there; nothing was claimed.
        """

    async def find(self, request: Repeatable) -> Claim | None:
        """As `claim`, but without claiming: None: there is no original (any more).

        Raises:
            OriginalsUnavailable: see there.
        """

    async def keep(self, request: Repeatable, answer: StoredAnswer | None) -> None:
        """The original was answered. None: it was, with more than is kept.

        Raises:
            OriginalsUnavailable: it could not be noted; for a repeat the outcome is unknown.
        """

    async def release(self, request: Repeatable) -> None:
        """The original failed: the next request with its key is a new one.

        Raises:
            OriginalsUnavailable: it could not be noted; for a repeat the outcome is unknown.
        """


class Verdict(msgspec.Struct, frozen=True):
    """What a guard says. `reason` is for people, and for the client: it must not quote what it forbids."""

    allows: bool
    reason: str = ""


Side: TypeAlias = Literal["request", "answer"]


class Guard(Protocol):
    """Looks at what people and models say. `name` is what the log knows it by."""

    name: str

    async def look(self, side: Side, text: str) -> Verdict:
        """Whether this may pass. `text` is all of one side: a whole answer, with the arguments of its calls.

        The owner gives it the time that the attempt has. One that raises ends the request: nothing passes unseen.
        """


class Owner(msgspec.Struct, frozen=True):
    """An organisation, a team or a user, by id and name."""

    id: str
    name: str


class Key(msgspec.Struct, frozen=True):
    """A virtual key as the data plane sees it.

    `rights`: what it may use, its owners' rights counted in. `preference`: what it and they want of routing; those of
    its agents hold by themselves. `organisation`, `team`, `user`: whom it belongs to. `role`: what it may do to keys.
    `admin`: it may see and change everything. `accounts`: whom its use is charged to, from the organisation down to the
    key (`organisation:ID`, `team:ID`, `user:ID`, `key:ID`), with the keys whose limits hold for it because they made
    it. `allowances`: the limits of those accounts.
    """

    id: str
    name: str
    rights: Rights = EVERYTHING
    preference: Preference = NO_WISH
    role: Role | None = None
    admin: bool = False
    organisation: Owner | None = None
    team: Owner | None = None
    user: Owner | None = None
    accounts: tuple[str, ...] = ()
    allowances: tuple[Allowance, ...] = ()


class Keys(Protocol):
    """Who may ask."""

    def find(self, secret: str) -> Key | None:
        """The key that this secret belongs to, or None. Constant time in the secret.

        One whose rights have expired is found too: who asks is told so.
        """

    def any_exist(self) -> bool:
        """Whether any virtual key was ever created: while none was, a loopback gateway is open."""
