"""Gemini embeddings, both ways: batchEmbedContents, and embedContent for one text.

Source: ai.google.dev/api/embeddings; recordings (gemini-embedding-001 and -2: `embeddings[].values`, usage only from
the second on).
"""

from __future__ import annotations

from typing import Any

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Built
from afterbay.wire.gemini.fields import camel, fields, integer, items, text
from afterbay.wire.gemini.paths import model_path
from afterbay.wire.gemini.reader import parse_part_texts


class _Values(msgspec.Struct):
    values: list[float]


class _Answer(msgspec.Struct):
    embeddings: list[_Values] | None = None
    embedding: _Values | None = None
    usageMetadata: dict[str, Any] | None = None  # noqa: N815
    usage_metadata: dict[str, Any] | None = None


def build_request(request: EmbedRequest, model: str) -> Built:
    """The batch request of all inputs.

    Raises:
        ClientMistake: an input is given as token ids, which only their own tokenizer's model can read.
    """
    name = model.removeprefix("models/")
    entries: list[dict[str, Any]] = []
    for index, item in enumerate(request.inputs):
        if not isinstance(item, str):
            where = f"input[{index}]"
            raise ClientMistake(f"{where}: Gemini takes text, not token ids.", param="input", remedy="Send the text.")
        entry: dict[str, Any] = {"model": f"models/{name}", "content": {"parts": [{"text": item}]}}
        if request.dimensions is not None:
            entry["outputDimensionality"] = request.dimensions
        entries.append(entry)
    body = msgspec.json.encode({"requests": entries})
    return Built(model_path(name, "batchEmbedContents"), body, losses=(*request.hints, *request.foreign))


def parse_answer(body: bytes) -> tuple[list[list[float]], Usage | None]:
    """Vectors in the order of the inputs, and usage where the provider counted, of an answer to either request.

    Raises:
        ValueError: it holds none.
    """
    answer = msgspec.json.decode(body, type=_Answer)
    found = answer.embeddings if answer.embeddings is not None else [answer.embedding] if answer.embedding else None
    if found is None:
        raise ValueError("neither embeddings nor embedding: not an answer of Gemini's")
    counts = {camel(name): value for name, value in (answer.usageMetadata or answer.usage_metadata or {}).items()}
    tokens = counts.get("promptTokenCount")
    return [item.values for item in found], Usage(tokens) if isinstance(tokens, int) else None


def parse_request(body: bytes, model: str | None = None) -> EmbedRequest:
    """A client's embedContent or batchEmbedContents body.

    taskType and title steer the vectors and have no canonical form; they are `foreign`.

    Raises:
        ClientMistake: a field of the wrong type, or entries that want different dimensions.
    """
    left = fields(body)
    batch = "requests" in left
    entries = items(left["requests"], "requests") if batch else [msgspec.Raw(body)]
    inputs: list[str] = []
    dimensions: set[int | None] = set()
    foreign: dict[str, None] = {}
    for index, entry in enumerate(entries):
        where = f"requests[{index}]" if batch else ""
        one = fields(entry, where)
        model = model or text(one.get("model"), f"{where}.model")
        content = one.get("content")
        if content is None:
            raise ClientMistake("content: there is nothing to embed.", param=f"{where}.content".lstrip("."))
        inputs.append(parse_part_texts(content, f"{where}.content".lstrip(".")))
        config = fields(one["embedContentConfig"], where) if "embedContentConfig" in one else {}
        dimensions.add(integer((one | config).get("outputDimensionality"), f"{where}.outputDimensionality"))
        known = {"model", "content", "embedContentConfig", "outputDimensionality"}
        foreign |= {name: None for name in (one | config) if name not in known}
    if len(dimensions) > 1:
        raise ClientMistake("requests: all must ask for the same outputDimensionality.", param="requests")
    name = (model or "").removeprefix("models/")
    size = dimensions.pop() if dimensions else None
    return EmbedRequest(name, tuple(inputs), size, foreign=tuple(foreign), is_batch=batch)


def render_answer(vectors: list[list[float]], usage: Usage | None, model: str, request: EmbedRequest) -> bytes:
    """The answer to batchEmbedContents, or to embedContent."""
    entries = [{"values": vector} for vector in vectors]
    said: dict[str, Any] = {"embeddings": entries} if request.is_batch else {"embedding": entries[0]}
    if usage is not None:
        said["usageMetadata"] = {"promptTokenCount": usage.total_input}
    return msgspec.json.encode(said)
