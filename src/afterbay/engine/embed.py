"""Embeddings: the same stages and the same attempt machine as chat, with another exchange inside."""

from __future__ import annotations

import msgspec

from afterbay.core.errors import ProviderError
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.engine.context import Call, Context, Turn
from afterbay.engine.delivery import Delivery
from afterbay.engine.outbound import addressed, query_of, relayed_body
from afterbay.engine.pipeline import serve
from afterbay.engine.stream import ProviderFailure
from afterbay.engine.whole import WholeTry
from afterbay.policy.quantity import estimate_text
from afterbay.ports import Reply
from afterbay.wire.dialect import Built
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS, EMBEDS_AS


async def serve_embeddings(context: Context, call: Call, reply: Reply) -> None:
    """Serves one request for vectors, in its client's protocol. See `afterbay.engine.pipeline.serve`."""
    await serve(Turn(context, call, "embeddings"), reply, EmbedExchange)


ERRORS_AS = {embeds: chats for chats, embeds in EMBEDS_AS.items()} | {"cohere.embeddings": "cohere.chat"}
"""A dialect of vectors -> the one whose errors it has."""


class EmbedExchange(WholeTry):
    """One attempt to have texts embedded by one target."""

    async def run(self, delivery: Delivery) -> None:
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
        if relays:
            path = client.relay_path(call.path, target.name) + query_of(call.query)
            built = Built(path, relayed_body(turn, target))
        else:
            built = dialect.build_request(request, target.name)
            turn.warnings += [f"dropped: {name}" for name in built.losses]
        path, body = addressed(turn, target, built.path, built.body)
        built = msgspec.structs.replace(built, path=path, body=body)
        answer = await self._ask(built, DIALECTS[ERRORS_AS[target.dialect]], relays=relays)
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
        await self._deliver(delivery, answer)


def _estimate(request: EmbedRequest) -> Usage:
    tokens = sum(estimate_text(one) if isinstance(one, str) else len(one) for one in request.inputs)
    return Usage(input_tokens=tokens, estimated=True)
