"""Cohere's embeddings, version 2, both ways.

Every request must say what its vectors are for (`input_type`), and no other provider's protocol says it. Vectors for
documents and for queries differ: `search_document` is sent, which is what most vectors are made for; a client that
searches with them loses some of the ranking that `search_query` would give. The choice is ours.

Source: docs.cohere.com/reference/embed, the `cohere` SDK 7.3.1 (November 2026); recordings (`embeddings.float`, usage
under `meta.billed_units`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.wire.decoding import convert, decode_object
from afterbay.wire.dialect import Built

PATH = "/v2/embed"
INPUT_TYPE = "search_document"
HINTS = frozenset({"priority"})
"""Fields that do not change the vectors."""


class _Vectors(msgspec.Struct):
    floats: list[list[float]] | None = msgspec.field(default=None, name="float")


class _Counts(msgspec.Struct):
    input_tokens: float | None = None


class _Meta(msgspec.Struct):
    tokens: _Counts | None = None
    billed_units: _Counts | None = None


class _Answer(msgspec.Struct):
    embeddings: _Vectors
    meta: _Meta | None = None


class _Body(msgspec.Struct):
    model: str
    texts: list[str]
    output_dimension: int | None = None
    embedding_types: list[str] | None = None
    input_type: str | None = None


_KNOWN = frozenset(field.encode_name for field in msgspec.structs.fields(_Body))
_decode = msgspec.json.Decoder(_Answer).decode


def build_request(request: EmbedRequest, model: str) -> Built:
    """The request for all inputs; the API takes 96 at most, and says so.

    Raises:
        ClientMistake: an input is given as token ids, which only their own tokenizer's model can read.
    """
    for index, item in enumerate(request.inputs):
        if not isinstance(item, str):
            where = f"input[{index}]"
            raise ClientMistake(f"{where}: Cohere takes text, not token ids.", param="input", remedy="Send the text.")
    body: dict[str, Any] = {
        "model": model,
        "input_type": INPUT_TYPE,
        "embedding_types": ["float"],
        "texts": list(request.inputs),
    }
    if request.dimensions is not None:
        body["output_dimension"] = request.dimensions
    return Built(PATH, msgspec.json.encode(body), losses=(*request.hints, *request.foreign))


def parse_answer(body: bytes) -> tuple[list[list[float]], Usage | None]:
    """Vectors in the order of the inputs, and usage where the provider counted.

    Raises:
        ValueError, msgspec.DecodeError: it holds none.
    """
    answer = _decode(body)
    if answer.embeddings.floats is None:
        raise ValueError("no vectors of floats: not what was asked for")
    meta = answer.meta or _Meta()
    counts = meta.tokens or meta.billed_units or _Counts()
    return answer.embeddings.floats, Usage(int(counts.input_tokens)) if counts.input_tokens is not None else None


def parse_request(body: bytes, model: str | None = None) -> EmbedRequest:
    """Reads a client's body. What its vectors are for, other forms of numbers, images and truncation are `foreign`.

    Raises:
        ClientMistake: a field is missing or of the wrong type.
    """
    data = decode_object(body)
    read = convert(data, _Body)
    foreign = [name for name, value in data.items() if name not in _KNOWN and name not in HINTS and value is not None]
    if read.input_type not in (None, INPUT_TYPE):
        foreign.append("input_type")
    if read.embedding_types not in (None, ["float"]):
        foreign.append("embedding_types")
    hints = tuple(name for name in data if name in HINTS and data[name] is not None)
    return EmbedRequest(model or read.model, tuple(read.texts), read.output_dimension, "float", hints, tuple(foreign))


def render_answer(vectors: list[list[float]], usage: Usage | None, model: str, request: EmbedRequest) -> bytes:
    """The answer as the provider gives it."""
    said: dict[str, Any] = {"id": "", "embeddings": {"float": vectors}, "response_type": "embeddings_by_type"}
    if usage is not None:
        said["meta"] = {"billed_units": {"input_tokens": usage.total_input}}
    return msgspec.json.encode(said)
