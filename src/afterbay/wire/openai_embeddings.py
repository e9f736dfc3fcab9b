"""OpenAI's embeddings, both directions. Sources: the OpenAI API reference (November 2026) and recorded traffic."""

from __future__ import annotations

import base64
from array import array
from typing import Any, Literal

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.wire.bill import Bill, told
from afterbay.wire.decoding import convert, decode_object
from afterbay.wire.dialect import Built

HINTS = frozenset({"user", "metadata", "safety_identifier"})
_encode = msgspec.json.Encoder().encode


class _Body(msgspec.Struct):
    model: str
    input: str | list[str | int | list[int]]
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(_Body))


def parse_request(body: bytes, model: str | None = None) -> EmbedRequest:
    """Reads a client's body (`model` is in it): a text, a list of texts, a list of token ids, or a list of these.

    Raises:
        ClientMistake: a field is wrong, missing or unknown.
    """
    data = decode_object(body)
    read = convert(data, _Body)
    for name, value in data.items():
        if name not in _KNOWN and name not in HINTS and value is not None:
            raise ClientMistake(
                f"The field '{name}' is not known to embeddings.",
                param=name,
                code="unsupported_field",
                remedy="Leave it out.",
            )
    return EmbedRequest(
        model=model or read.model,
        inputs=_inputs(read.input),
        dimensions=read.dimensions,
        encoding_format=read.encoding_format or "float",
        hints=tuple(name for name in data if name in HINTS and data[name] is not None),
    )


def _inputs(given: str | list[str | int | list[int]]) -> tuple[str | tuple[int, ...], ...]:
    if isinstance(given, str):
        return (given,)
    if not given:
        raise ClientMistake("The field 'input' is empty.", param="input", code="empty_array")
    if all(isinstance(item, int) for item in given):
        return (tuple(item for item in given if isinstance(item, int)),)
    inputs: list[str | tuple[int, ...]] = []
    for index, item in enumerate(given):
        if isinstance(item, int):
            raise ClientMistake(
                f"The field 'input[{index}]' is a number among texts.", param=f"input[{index}]", code="invalid_type"
            )
        inputs.append(item if isinstance(item, str) else tuple(item))
    return tuple(inputs)


def build_request(request: EmbedRequest, model: str) -> Built:
    """A provider's body. Vectors are asked for as floats; what the client wants is made in `render_answer`."""
    inputs: list[Any] = [list(item) if isinstance(item, tuple) else item for item in request.inputs]
    body: dict[str, Any] = {"model": model, "input": inputs, "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return Built("/embeddings", _encode(body), losses=request.hints)


class _Vector(msgspec.Struct):
    embedding: list[float] | str
    index: int | None = None


class _Usage(Bill):
    prompt_tokens: int | None = None
    total_tokens: int | None = None


class _Answer(msgspec.Struct):
    data: list[_Vector]
    model: str | None = None
    usage: _Usage | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def parse_answer(body: bytes) -> tuple[list[list[float]], Usage | None]:
    """Vectors in the order of the inputs, and usage where the provider sent it.

    Raises:
        ValueError: it is not an answer of an embeddings endpoint.
    """
    answer = _decode(body)
    ordered = sorted(enumerate(answer.data), key=lambda pair: pair[0] if pair[1].index is None else pair[1].index)
    vectors = [_floats(vector.embedding) for _, vector in ordered]
    usage = answer.usage
    read = None if usage is None else usage.total_tokens if usage.prompt_tokens is None else usage.prompt_tokens
    if usage is None or read is None:
        return vectors, None
    stray = 0 if usage.total_tokens is None else usage.total_tokens - read
    return vectors, Usage(read + max(stray, 0), told_picousd=told(usage), stray=stray)


def _floats(embedding: list[float] | str) -> list[float]:
    if isinstance(embedding, str):
        packed = array("f")
        packed.frombytes(base64.b64decode(embedding, validate=True))
        return packed.tolist()
    return embedding


def render_answer(vectors: list[list[float]], usage: Usage | None, model: str, request: EmbedRequest) -> bytes:
    """An answer as OpenAI's SDKs read it; base64 is little-endian float32, as theirs."""
    packs = request.encoding_format == "base64"
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": base64.b64encode(array("f", vector).tobytes()).decode() if packs else vector,
        }
        for index, vector in enumerate(vectors)
    ]
    tokens = usage.input_tokens if usage else 0
    return _encode(
        {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}
    )
