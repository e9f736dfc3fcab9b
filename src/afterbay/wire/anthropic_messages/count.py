"""Token counting: `POST /v1/messages/count_tokens`, both directions. The body is a Messages body without its limits.

Source: platform.claude.com/docs/en/api/messages-count-tokens (November 2026) and the recordings.
"""

from __future__ import annotations

import msgspec

from afterbay.core.request import ChatRequest
from afterbay.wire.anthropic_messages.body import decode
from afterbay.wire.anthropic_messages.build import HEADERS, conversation, shape_output
from afterbay.wire.anthropic_messages.request import to_request
from afterbay.wire.dialect import Built

PATH = "/v1/messages/count_tokens"


class _Count(msgspec.Struct):
    input_tokens: int


_COUNT = msgspec.json.Decoder(_Count)


def parse_count_request(data: bytes, model: str | None = None) -> ChatRequest:
    """Reads a body; `max_tokens` may be absent.

    Raises:
        ClientMistake: the body is not such a request; `param` names the field.
    """
    body, unknown = decode(data)
    return to_request(body, unknown, model, False)


def build_count_request(request: ChatRequest, model: str) -> Built:
    """The body that asks a provider how many tokens `request` has."""
    losses: dict[str, None] = dict.fromkeys((*request.foreign, *request.hints))
    body = conversation(request, model, losses)
    shape_output(request, body, losses)
    body.pop("max_tokens", None)
    return Built(PATH, msgspec.json.encode(body), HEADERS, tuple(losses))


def parse_count_answer(data: bytes) -> int:
    """The number of input tokens.

    Raises:
        ValueError: the body does not say it.
    """
    return _COUNT.decode(data).input_tokens


def render_count_answer(input_tokens: int) -> bytes:
    """The answer to a client."""
    return msgspec.json.encode(_Count(input_tokens))
