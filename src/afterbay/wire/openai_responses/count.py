"""Token counting: `POST /v1/responses/input_tokens`, both directions. The body is a request's without its limits.

Source: OpenAI API reference, "Get input token counts" (November 2026), and recordings.
"""

from __future__ import annotations

import msgspec

from afterbay.core.request import ChatRequest
from afterbay.wire.dialect import Built
from afterbay.wire.openai_responses.build import build_request
from afterbay.wire.openai_responses.request import parse_request

PATH = "/responses/input_tokens"

_TAKEN = frozenset(
    {"model", "input", "instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text"}
)
"""Fields of a built request that this endpoint takes, too."""


class _Count(msgspec.Struct):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def parse_count_request(body: bytes, model: str | None = None) -> ChatRequest:
    """A client's body.

    Raises:
        ClientMistake: the body is not such a request; `param` names the field.
    """
    return parse_request(body, model, False)


def build_count_request(request: ChatRequest, model: str) -> Built:
    """The request that asks how many tokens `request` has."""
    built = build_request(request, model)
    fields = {name: value for name, value in _FIELDS.decode(built.body).items() if name in _TAKEN}
    return Built(PATH, msgspec.json.encode(fields), losses=built.losses)


def parse_count_answer(body: bytes) -> int:
    """The number of input tokens.

    Raises:
        ValueError: the body does not say it.
    """
    return _COUNT.decode(body).input_tokens


def render_count_answer(input_tokens: int) -> bytes:
    """The answer to a client."""
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": input_tokens})
