"""OpenAI's moderations: relayed to a provider that has them. There is nothing to translate: no two judge alike."""

from __future__ import annotations

import msgspec

from afterbay.core.decision import Target
from afterbay.core.errors import ClientMistake, ProviderError
from afterbay.core.usage import Usage
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery, whole_headers
from afterbay.engine.exchange import read_failure
from afterbay.engine.outbound import relayed_body
from afterbay.engine.pipeline import check_name, serve
from afterbay.engine.stream import ProviderFailure
from afterbay.engine.watchdog import Watchdog
from afterbay.policy.attempts import Attempts
from afterbay.ports import Reply
from afterbay.wire.decoding import decode_object, mistake
from afterbay.wire.registry import DIALECTS

DIALECT = "openai.chat"
"""Whose errors it has; only providers of this dialect are asked."""

MODERATORS = ("openai", "mistral")
"""Vendors with `/v1/moderations`, in the order of preference where the request names no configured model.
Sources: OpenAI API reference, docs.mistral.ai/api (November 2026); recordings of OpenAI's."""

DEFAULT_MODELS = {"openai": "omni-moderation-latest", "mistral": "mistral-moderation-latest"}
"""The models that their makers take where none is named."""


class _Peek(msgspec.Struct):
    model: str | None = None


class _Answer(msgspec.Struct):
    results: list[msgspec.Raw]


_peek = msgspec.json.Decoder(_Peek).decode
_answer = msgspec.json.Decoder(_Answer).decode


async def serve_moderations(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for a judgement. See `afterbay.engine.pipeline.serve`."""
    await serve(Turn(context, call, "moderations"), reply, ModerateExchange, prepare)


async def prepare(turn: Turn) -> None:
    """Finds out who is to judge: the model that is named and configured, else the moderation model of a provider.

    Raises:
        ClientMistake: the body is no JSON object, or no provider here moderates.
    """
    body = turn.call.body
    try:
        named = _peek(body).model
    except msgspec.ValidationError as error:
        raise mistake(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        decode_object(body)
        raise
    plan = turn.snapshot
    known = named is not None and (named in plan.aliases or named in plan.by_upstream_name or "/" in named)
    if not known:
        provider = _moderator(turn)
        named = f"{provider}/{named or DEFAULT_MODELS[plan.providers[provider].vendor]}"
    turn.model = named or ""
    check_name(turn)


def _moderator(turn: Turn) -> str:
    providers = turn.snapshot.providers
    for vendor in MODERATORS:
        for name, provider in providers.items():
            if provider.vendor == vendor:
                return name
    raise ClientMistake(
        "No provider of this gateway moderates.",
        status=404,
        kind="not_found",
        code="model_not_found",
        param="model",
        remedy=f"Configure a provider of one of the kinds {', '.join(MODERATORS)}.",
    )


class ModerateExchange:
    """One attempt to have something judged by one target."""

    def __init__(self, turn: Turn, target: Target, machine: Attempts, dog: Watchdog) -> None:
        self.turn = turn
        self.target = target
        self.is_reading = False
        self.last_output_s: float | None = None
        self._machine = machine
        self._dog = dog

    async def run(self, connect_s: float, delivery: Delivery) -> None:
        """Makes the attempt.

        Raises:
            ProviderFailure: the target answered with an error, or with something else than a judgement.
            TransportError: no connection, or it broke.
        """
        turn, target = self.turn, self.target
        has_model = _peek(turn.call.body).model is not None
        body = relayed_body(turn, target) if has_model else turn.call.body
        response = await turn.fleet.upstream(target).post("/moderations", body, {}, connect_s)
        try:
            self._machine.headers(turn.context.clock.monotonic(), response.status)
            self.is_reading = True
            if response.status != 200:
                raise await read_failure(response, DIALECTS[DIALECT], relays=True)
            answer = await response.read_all(turn.snapshot.limits.answer_bytes)
        finally:
            response.close()
        try:
            _answer(answer)
        except (ValueError, RecursionError) as error:
            text = f"its answer is no judgement: {error}"[:300]
            raise ProviderFailure(ProviderError("server", text, code="bad_answer")) from None
        self._machine.first_output(turn.context.clock.monotonic())
        self._dog.due_s = turn.deadline_s  # a client that reads slowly is not the target's delay
        headers = whole_headers(turn, target, len(self._machine.attempts), self.cost_picousd())
        await delivery.send_whole(200, headers, answer)

    async def deliver_spare(self, delivery: Delivery) -> None:
        """A judgement is never a spare: it is one, or an error."""
        raise AssertionError("a judgement has no spare")

    async def complete_late(self, delivery: Delivery) -> bool:
        """Judgements come whole or not at all."""
        return False

    def usage(self) -> Usage | None:
        """No provider counts tokens here."""
        return None

    def cost_picousd(self) -> int | None:
        """Not known: no list has a price for it (OpenAI asks none)."""
        return None

    def is_whole(self) -> bool:
        """An answer is sent at once, or not at all."""
        return False

    def finish(self) -> str | None:
        """Judgements have no finish reason."""
        return None
