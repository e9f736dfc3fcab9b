"""What every request shares, and what belongs to one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from afterbay.config.snapshot import Snapshot
from afterbay.core.chance import draw
from afterbay.core.decision import Candidate, Decision, Record, Sight, Target
from afterbay.core.errors import ClientMistake
from afterbay.core.ids import request_id
from afterbay.core.message import Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, EmbedRequest
from afterbay.core.usage import Price
from afterbay.engine.afterwards import Afterwards
from afterbay.engine.alerts import Alerts
from afterbay.engine.drain import Drain
from afterbay.engine.fleet import Fleet
from afterbay.engine.lasting_streams import LastingStreams
from afterbay.engine.learned import Learned
from afterbay.engine.repeats import Repeats
from afterbay.engine.shared import SharedAnswer, SharedAnswers
from afterbay.engine.statement import wish_stated, wishers_stated
from afterbay.engine.tags import read_tags
from afterbay.engine.witness import Witness
from afterbay.policy.facts import Scorer
from afterbay.policy.filters import Ask, Expects
from afterbay.policy.hedge import Hedges
from afterbay.policy.lanes import Priority
from afterbay.policy.pinning import Conversations
from afterbay.policy.plan import Compliance, Route
from afterbay.policy.pressure import Pressure
from afterbay.policy.quantity import estimate_text
from afterbay.policy.retry import RetryBudget
from afterbay.policy.rights import NO_WISH, Preference, Wishers
from afterbay.policy.room import Fitting
from afterbay.policy.spending import Need
from afterbay.policy.statement import Preferences
from afterbay.ports import Clock, Entropy, Guard, Key, Ledger, Originals, RequestLog, Responses
from afterbay.wire.agent import agent_of
from afterbay.wire.decoding import not_json
from afterbay.wire.dialect import Dialect, Head
from afterbay.wire.features import features
from afterbay.wire.proofs import Makers
from afterbay.wire.registry import EMBED_DIALECTS, EMBEDS_AS

if TYPE_CHECKING:
    from afterbay.engine.attempt import Driver
    from afterbay.engine.held import Held
    from afterbay.engine.purse import Purse
    from afterbay.policy.checks.verdict import Acceptor


serving: ContextVar[str] = ContextVar("serving", default="")
"""The id of the request that the running task serves, for what stands before providers and is told nothing of it."""


class Context:
    """The engine's surroundings. `fleet` is swapped whole by a reload; a request keeps the one it began with."""

    def __init__(
        self,
        fleet: Fleet,
        clock: Clock,
        entropy: Entropy,
        log: RequestLog,
        responses: Responses,
        seed: int,
        ledger: Ledger,
        worker: int | None = None,
    ) -> None:
        self.fleet = fleet
        self.clock = clock
        self.entropy = entropy
        self.log = log
        self.responses = responses
        self.ledger = ledger
        self.seed = seed
        self.worker = worker
        """The number of this process, where several share an address."""
        self.makers = Makers()
        """Whose proofs were relayed of late."""
        self.retries = RetryBudget()
        self.hedges = Hedges()
        self.alerts = Alerts()
        self.pressure = Pressure()
        self.scorer: Callable[[], Scorer] | None = None
        """Loads what says which task a prompt is, for routes with the stage `classify`; None: nothing can."""
        self.guards: tuple[Guard, ...] = ()
        """Who must allow an answer before it goes to a client."""
        self.acceptors: Mapping[str, tuple[Acceptor, float]] = {}
        """By route: what was learned of cheap answers, and how likely one must be good at least (`policy.checks`)."""
        self.predictors: Mapping[str, Expects] = {}
        """By route: what was learned from a file of the quality of models, called by their aliases."""
        self.shaped_s = float("-inf")
        """When the shape of a request was last kept."""
        self.drain = Drain()
        self.open_streams = 0
        """Streams that are being sent now."""
        self.streams = LastingStreams()
        """Streams that a client may come back to."""
        self.originals: Originals | None = None
        """Where requests with idempotency keys are kept; None: the header means nothing."""
        self.answers = SharedAnswers()
        """What is being answered to requests with idempotency keys."""
        self.learned: Learned | None = None
        """What routes have learned from their traffic; None: nothing is kept of that."""
        self.afterwards = Afterwards()
        """What is done for requests that are over."""
        self.repeats = Repeats()
        """What was asked of late by routes that learn."""
        self.conversations = Conversations()
        """Where conversations were that a route picked for."""
        self._secret = b""

    @property
    def secret(self) -> bytes:
        """What names that are made of clients' words are keyed with. It ends with the process."""
        if not self._secret:
            self._secret = self.entropy.bits(128).to_bytes(16, "big")
        return self._secret

    def new_id(self, now: float) -> str:
        """The id of a request that comes now (UTC seconds)."""
        return request_id(int(now * 1000), self.entropy.bits(80), self.worker)


class Call(msgspec.Struct, frozen=True):
    """A client's request as HTTP brought it. `path_model` and `path_stream` are from the `path`, where the protocol has
    them there; `headers` have lower-case names; `query` is the raw query string."""

    id: str
    dialect: Dialect
    body: bytes
    headers: Mapping[str, str]
    received_s: float
    received_at: float
    key: Key | None = None
    path_model: str | None = None
    path_stream: bool | None = None
    query: str = ""
    path: str = ""
    method: str = "POST"
    shared: SharedAnswer | None = None
    """What is written in place of its connection, where it has an idempotency key."""


Keep: TypeAlias = Callable[[Target, str, bytes], Awaitable[None]]
"""Keeps an answer: (who gave it, its id, the answer in the client's protocol; empty: its provider keeps it)."""


def _record_of(call: Call, operation: str, config_hash: str, seed: int) -> Record:
    """The record of a request that begins: what it is, and whose."""
    record = Record(
        id=call.id,
        received_at=call.received_at,
        operation=operation,
        protocol=call.dialect.name,
        request_bytes=len(call.body),
        config_hash=config_hash,
        traceparent=call.headers.get("traceparent"),
        seed=seed,
        agent=agent_of(call.headers),
        task=call.headers.get("x-afterbay-task", "").strip() or None,
    )
    key = call.key
    if key is not None:
        record.key_id, record.key_name = key.id, key.name
        record.organisation = key.organisation.name if key.organisation is not None else None
        record.team = key.team.name if key.team is not None else None
        record.user = key.user.name if key.user is not None else None
    return record


def _wish_of(call: Call, agent: str | None, stated: Preferences | None) -> Preference:
    """What its key wants of a request, and what the configuration wants for the user or agent that it names."""
    own = call.key.preference.of(agent) if call.key is not None else NO_WISH
    return own if stated is None else wish_stated(own, stated, call.body, agent)


def _wishers_of(call: Call, agent: str | None, stated: Preferences | None) -> Wishers:
    """Whose wishes those are; nobody's besides the key's where the configuration has none."""
    if stated is None:
        return ()
    own = call.key.preference.of(agent) if call.key is not None else NO_WISH
    return wishers_stated(own, stated, call.body, agent)


class Turn:
    """The state of one chat request on its way through the stages."""

    ask: Ask | None = None
    """What its targets were judged by; None: it did not come to that."""
    considered: tuple[Candidate, ...] | None = None
    """What was said of each candidate, for the record; None: nobody asked yet."""
    conversation = b""
    """The name of the conversation that it belongs to, where that is remembered."""
    shown_id = ""
    """What the client knows the answer by, where that is a provider's name for an answer which broke off."""
    continues_unknown = ""
    """The response that this request continues and that is not known here."""
    fitting: Fitting | None = None
    """What becomes of it where a window is too small; None: nothing is done about that."""
    witness: Witness | None = None
    """Keeps its answer, to be compared with another one; None: it was not drawn for that."""
    is_own = False
    """Whether it is the gateway's own request, about one of a client's: its record may tell nothing of that."""

    def __init__(self, context: Context, call: Call, operation: str) -> None:
        self.context = context
        self.call = call
        self.fleet = context.fleet
        self.snapshot: Snapshot = context.fleet.snapshot
        self.model = ""
        self.stream = False
        self.is_one_answer = False
        """Whether it is known to ask for one answer, not for several to choose from."""
        self.asks_service = False
        """Whether it asks to be served in another way than the usual one, which may cost more."""
        self.asked_output: int | None = None
        """The longest answer that the client wants, in tokens, as far as its body says so at first sight."""
        self.streams = False
        """Whether the headers of a stream went out; `stream` is what was asked for."""
        self.route: Route = self.snapshot.defaults
        self.decision: Decision | None = None
        self.deadline_s = float("inf")
        self.priority: Priority = "normal"
        """What is given up first where there is not room for all."""
        self.lasts_s = 0.0
        """So long its client may be away from its stream; 0: it may not."""
        self.need: Need | None = None
        """What it asks of a model, as far as it costs; None: nobody asked yet."""
        self.held: Held | None = None
        """What is set aside of its allowances; None: none holds for it."""
        self.purse: Purse | None = None
        """What its attempts may cost; None: no limit of money is set."""
        self.driver: Driver | None = None
        """What makes its attempts, from the first one on."""
        self.drops = False
        self.keep: Keep | None = None
        """What is done with a good answer before its end is sent."""
        self.kept_by = ""
        """The provider that keeps what this request continues: no other one can go on."""
        self.asked = call.body
        """The client's own body, where `call` has one that says more."""
        self.warnings: list[str] = []
        self.input_tokens = len(call.body) // 4
        self.response_bytes = 0
        self.sights: tuple[Sight, ...] = ()
        """Targets that were not well, or asked to be left alone, as the decision saw them."""
        self._request: ChatRequest | None = None
        self._embed_request: EmbedRequest | None = None
        self._features: frozenset[str] | None = None
        self.policies: tuple[Compliance, ...] | None = None
        """What whoever is asked must meet (`engine.clearance`); None: nobody may be asked yet."""
        self.cleared: dict[str, str] = {}
        """By target: by which facts it met them when it was asked."""
        self.record = _record_of(call, operation, self.snapshot.hash, context.seed)
        if (tags := call.headers.get("x-afterbay-tags")) is not None:
            self.record.tags, self.warnings = read_tags(tags)
        serving.set(call.id)
        self.fleet.enter()
        self.wish = _wish_of(call, self.record.agent, self.snapshot.preferences)
        """What its key wants of routing, or the user or agent that it names."""
        self.wishers = _wishers_of(call, self.record.agent, self.snapshot.preferences)
        """Whose wish that is; empty: the key's."""

    @property
    def is_picked(self) -> bool:
        """Whether a route had the choice, not a model by its name."""
        return self.ask is not None and self.ask.found.route is not None

    @property
    def request(self) -> ChatRequest:
        """The canonical request, parsed when first asked for: a relay may never need it.

        Raises:
            ClientMistake: the body is not right.
        """
        if self._request is None:
            call = self.call
            try:
                self._request = call.dialect.parse_request(call.body, call.path_model, call.path_stream)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise not_json(error, call.body) from None
        return self._request

    def request_for(self, target: Target) -> ChatRequest:
        """The canonical request as this target gets it: without what its window has no room for.

        Raises:
            ClientMistake: the body is not right.
        """
        shrunk = self.fitting.of(target) if self.fitting is not None else None
        return self.request if shrunk is None else shrunk.request

    @property
    def embed_request(self) -> EmbedRequest:
        """The canonical request for vectors.

        Raises:
            ClientMistake: the body is not right.
        """
        if self._embed_request is None:
            call = self.call
            self._embed_request = EMBED_DIALECTS[EMBEDS_AS[call.dialect.name]].parse_request(call.body, call.path_model)
        return self._embed_request

    @property
    def features(self) -> frozenset[str]:
        """What the request needs of a target. See `afterbay.wire.features`."""
        if self._features is None:
            self._features = features(self.request)
        return self._features

    def price_of(self, target: Target) -> Price | None:
        """The most that a token costs there, for this request and at its moment; None: nobody knows."""
        price = target.price
        if price is None:
            return None
        if price.dates or price.hours:
            price = price.at(self.call.received_at)
        return price.dearest() if self.asks_service else price

    def adopt(self, request: ChatRequest) -> None:
        """Takes a request that was parsed elsewhere."""
        self._request = request
        self.model = request.model

    def measure(self) -> int:
        """Estimated tokens of the prompt, kept as `input_tokens`: text, tools, their calls and results.

        Media are not counted: providers differ.
        """
        self.input_tokens = measured(self.request)
        return self.input_tokens

    def unreadable(self) -> ClientMistake | None:
        """Why the body cannot be translated; None if it can. A relay may still serve it."""
        try:
            self.features  # noqa: B018  # parsing is the point
        except ClientMistake as error:
            return error
        return None

    def lost(self, losses: Iterable[str]) -> None:
        """Notes what of the answer has no place in the client's protocol."""
        self.warnings += [f"not translated: {loss}" for loss in losses]

    def draw(self, purpose: str) -> float:
        """A keyed random number of this request."""
        return draw(self.context.seed, purpose, self.call.id)

    def head(self, model: str, *, begun: bool = False) -> Head:
        """What a renderer needs to know; `begun`: as in `Head`."""
        include = self._request.include_usage if self._request is not None else False
        seed, created_s = self.call.id.removeprefix("req_"), int(self.call.received_at)
        return Head(seed, model, created_s, include, self.input_tokens, begun, self.asked)

    def stage(self, name: str, began_s: float) -> float:
        """Notes how long a stage took; returns the time now."""
        now = self.context.clock.monotonic()
        self.record.stages_s[name] = now - began_s
        return now


def measured(request: ChatRequest) -> int:
    """Estimated tokens of what a request has to read, without media."""
    return sum(estimate_text(text) for text in _texts(request)) + 4 * len(request.messages)


def _texts(request: ChatRequest) -> Iterator[str]:
    """Everything in a request that a model reads as text. Of a coding agent's, most is tools and their results."""
    for tool in request.tools:
        yield tool.name
        yield tool.description or ""
        yield tool.schema.decode("utf-8", "replace")
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, Text):
                yield part.text
            elif isinstance(part, ToolUse):
                yield part.name
                yield part.arguments
            elif isinstance(part, ToolResult):
                yield from (one.text for one in part.parts if isinstance(one, Text))
