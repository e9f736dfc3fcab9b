"""Embeddings: the same stages and the same attempt machine as chat, with another exchange inside."""

from __future__ import annotations

from afterbay.core.decision import Target
from afterbay.core.errors import ProviderError
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.credential import place_of
from afterbay.engine.delivery import Delivery, whole_headers
from afterbay.engine.exchange import read_failure
from afterbay.engine.outbound import addressed, query_of, relayed_body
from afterbay.engine.pipeline import serve
from afterbay.engine.stream import ProviderFailure
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.attempts import Attempts
from afterbay.policy.condition import Trial
from afterbay.policy.quantity import estimate_text
from afterbay.ports import Credential, Reply
from afterbay.wire.dialect import Built
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS, EMBEDS_AS


async def serve_embeddings(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for vectors, in its client's protocol. See `afterbay.engine.pipeline.serve`."""
    await serve(Turn(context, call, "embeddings"), reply, EmbedExchange)


ERRORS_AS = {embeds: chats for chats, embeds in EMBEDS_AS.items()}
"""A dialect of vectors -> the one whose errors it has."""


class EmbedExchange:
    """One attempt to have texts embedded by one target."""

    def __init__(self, turn: Turn, target: Target, machine: Attempts, dog: Watchdog) -> None:
        self.turn = turn
        self.target = target
        self.trial: Trial | None = None
        self.is_reading = False
        self.credential: Credential | None = None
        self.last_output_s: float | None = None
        self._machine = machine
        self._dog = dog
        self._usage: Usage | None = None

    async def run(self, connect_s: float, delivery: Delivery) -> None:
        """Makes the attempt.

        Raises:
            ClientMistake: the request is not right.
            ProviderFailure: the target answered with an error, or with something else than vectors.
            TransportError: no connection, or it broke.
        """
        turn, target, call = self.turn, self.target, self.turn.call
        asked = EMBEDS_AS[call.dialect.name]
        client, dialect = EMBED_DIALECTS[asked], EMBED_DIALECTS[target.dialect]
        request = turn.embed_request
        relays = target.dialect == asked
        built = dialect.build_request(request, target.name)
        if relays:
            path = client.relay_path(call.path, target.name) + query_of(call.query)
            built = Built(path, relayed_body(turn, target))
        else:
            turn.warnings += [f"dropped: {name}" for name in built.losses]
        path, body = addressed(turn, target, built.path, built.body)
        upstream = turn.fleet.upstream(target)
        response = await upstream.post(path, body, built.headers, connect_s)
        try:
            self.credential = response.credential
            self._machine.headers(turn.context.clock.monotonic(), response.status, place_of(self.credential))
            self.is_reading = True
            if response.status != 200:
                raise await read_failure(response, DIALECTS[ERRORS_AS[target.dialect]], relays)
            answer = await response.read_all(turn.snapshot.limits.answer_bytes)
        finally:
            response.close()
        try:
            vectors, self._usage = dialect.parse_answer(answer)
        except (ValueError, RecursionError) as error:
            raise ProviderFailure(ProviderError("server", f"its answer holds no vectors: {error}"[:300])) from None
        if len(vectors) != len(request.inputs):
            text = f"it gave {len(vectors)} vectors for {len(request.inputs)} inputs"
            raise ProviderFailure(ProviderError("server", text, code="bad_answer"))
        if self._usage is None or not self._usage.is_plausible:
            self._usage = _estimate(request)
        if not relays:
            answer = client.render_answer(vectors, self._usage, target.name, request)
        now = turn.context.clock.monotonic()
        if self.trial is not None:
            self.trial.answered(now, whole=True)
        self._machine.first_output(now)
        self._dog.due_s = turn.deadline_s  # a client that reads slowly is not the target's delay
        headers = whole_headers(turn, target, len(self._machine.attempts), self.cost_picousd())
        await delivery.send_whole(200, headers, answer)

    async def deliver_spare(self, delivery: Delivery) -> None:
        """Vectors are never a spare: they are right or an error."""
        raise AssertionError("an embedding has no spare answer")

    async def complete_late(self, delivery: Delivery) -> bool:
        """Vectors come whole or not at all."""
        return False

    async def say_last(self, delivery: Delivery) -> bool:
        """Vectors have no last words."""
        return False

    def usage(self) -> Usage | None:
        """What the attempt used; None: it gave no answer."""
        return self._usage

    def cost_picousd(self) -> int | None:
        """What it cost; None: the price is not known, or there was no answer."""
        return self.target.cost_picousd(self._usage)

    def is_whole(self) -> bool:
        """An answer is sent at once, or not at all."""
        return False

    def finish(self) -> str | None:
        """Embeddings have no finish reason."""
        return None


def _estimate(request: EmbedRequest) -> Usage:
    tokens = sum(estimate_text(one) if isinstance(one, str) else len(one) for one in request.inputs)
    return Usage(input_tokens=tokens, estimated=True)
