"""What only a provider of the client's own protocol can do: moderations, the compaction of a conversation.

There is nothing to translate: no two judge alike, and a compacted conversation is its maker's secret. The body goes as
it is, the answer comes back as it is.
"""

from __future__ import annotations

import contextlib

import msgspec

from afterbay.core.errors import ClientMistake, ProviderError
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery
from afterbay.engine.meter import Meter
from afterbay.engine.outbound import addressed, forwarded, relayed_body
from afterbay.engine.pipeline import check_name, prepare, serve
from afterbay.engine.responses import check_continued
from afterbay.engine.stream import ProviderFailure
from afterbay.engine.whole import WholeTry
from afterbay.ports import Reply
from afterbay.wire.decoding import decode_object, mistake
from afterbay.wire.dialect import Built

MODERATORS = ("openai", "mistral")
"""Vendors with `/v1/moderations`, in the order of preference where the request names no configured model.
Sources: OpenAI API reference, docs.mistral.ai/api (November 2026); recordings of OpenAI's."""

DEFAULT_MODELS = {"openai": "omni-moderation-latest", "mistral": "mistral-moderation-latest"}
"""The models that their makers take where none is named."""


class _Peek(msgspec.Struct):
    model: str | None = None


class _Operation(msgspec.Struct, frozen=True):
    """`path` follows a provider's address, `field` is the list that every answer holds."""

    path: str
    field: str


_OPERATIONS = {
    "moderations": _Operation("/moderations", "results"),
    "compaction": _Operation("/responses/compact", "output"),
}

_peek = msgspec.json.Decoder(_Peek).decode
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


async def serve_moderations(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for a judgement. See `afterbay.engine.pipeline.serve`."""
    await serve(Turn(context, call, "moderations"), reply, RelayedExchange, find_moderator)


async def serve_compaction(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request to compact a conversation of OpenAI's Responses. See `afterbay.engine.pipeline.serve`."""
    await serve(Turn(context, call, "compaction"), reply, RelayedExchange, prepare_compaction)


async def prepare_compaction(turn: Turn) -> None:
    """Finds out which model is asked for, and whether what is to be compacted is the client's own.

    Raises:
        ClientMistake: the body is not right, or continues what another key keeps.
    """
    prepare(turn)
    await check_continued(turn.context, turn.call)


async def find_moderator(turn: Turn) -> None:
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
        remedy=f"Configure one of the kinds {', '.join(MODERATORS)} at its maker's own address, or name a model where "
        "another provider moderates: provider/model.",
    )


class RelayedExchange(WholeTry):
    """One attempt at one target, of its client's own protocol."""

    async def run(self, delivery: Delivery) -> None:
        """Makes the attempt.

        Raises:
            ProviderFailure: the target answered with an error, or with something else than was asked for.
            TransportError: no connection, or it broke.
        """
        turn, target = self.turn, self.target
        operation, dialect = _OPERATIONS[turn.record.operation], turn.call.dialect
        has_model = _peek(turn.call.body).model is not None
        body = relayed_body(turn, target) if has_model else turn.call.body
        path, body = addressed(turn, target, operation.path, body)
        built = Built(path, body, forwarded(turn.call, dialect.name))
        answer = await self._ask(built, dialect, relays=True)
        self._read(answer, operation)
        await self._deliver(delivery, answer)

    def _read(self, answer: bytes, operation: _Operation) -> None:
        """Looks whether it is an answer, and what it used, where it says so."""
        try:
            if not bytes(_fields(answer).get(operation.field, b"")).lstrip().startswith(b"["):
                raise ValueError(f"it has no `{operation.field}`")
        except (ValueError, RecursionError) as error:
            text = f"its answer is none to this: {error}"[:300]
            raise ProviderFailure(ProviderError("server", text, code="bad_answer")) from None
        if operation.field == "output":
            meter = Meter()
            with contextlib.suppress(ValueError, RecursionError):
                meter.see(self.turn.call.dialect.parse_answer(answer, ""))
            self._usage = meter.usage
