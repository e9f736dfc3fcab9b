"""Token counting: `POST /v1beta/models/{model}:countTokens`, both directions.

The body is either `contents` alone or, to count system prompt and tools as well, a whole request under
`generateContentRequest`. Source: ai.google.dev/api/tokens (November 2026) and recordings.
"""

from __future__ import annotations

import msgspec

from afterbay.core.request import ChatRequest
from afterbay.wire.dialect import Built
from afterbay.wire.gemini.fields import fields
from afterbay.wire.gemini.paths import model_path
from afterbay.wire.gemini.reader import parse_request
from afterbay.wire.gemini.writer import build_request


class _Count(msgspec.Struct, rename="camel"):
    total_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


def parse_count_request(body: bytes, model: str | None = None) -> ChatRequest:
    """A client's body; `model` is from the path.

    Raises:
        ClientMistake: the body is not such a request; `param` names the field.
    """
    inner = fields(body).get("generateContentRequest")
    return parse_request(body if inner is None else bytes(inner), model, False)


def build_count_request(request: ChatRequest, model: str) -> Built:
    """The request that asks how many tokens `request` has."""
    built = build_request(request, model)
    name = msgspec.json.encode(f"models/{model.removeprefix('models/')}")
    body = b'{"generateContentRequest":{"model":' + name + b"," + built.body[1:] + b"}"
    return Built(model_path(model, "countTokens"), body, losses=built.losses)


def parse_count_answer(body: bytes) -> int:
    """The number of input tokens.

    Raises:
        ValueError: the body does not say it.
    """
    return _COUNT.decode(body).total_tokens


def render_count_answer(input_tokens: int) -> bytes:
    """The answer to a client."""
    return msgspec.json.encode(_Count(input_tokens))
