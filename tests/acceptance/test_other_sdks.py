"""SDKs of Mistral and Groq, unmodified, through their base URL alone, on `auto` and on each emulated provider.

Both speak chat completions. Mistral's adds `/v1` to its server URL, Groq's `/openai/v1` to its base URL, so both get
the gateway's address alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import groq
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import ResponseValidationError, SDKError
from pydantic import BaseModel

from afterbay.testing.live import LiveGateway

MODELS = ["auto", "gpt", "claude", "gem"]
ASKED: list[Any] = [{"role": "user", "content": "Where does the Rhine rise? Grüße, 你好"}]
CALLS: list[Any] = [{"role": "user", "content": "Please get_weather in Paris"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
PNG_DATA = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PNG = f"data:image/png;base64,{PNG_DATA}"
LOOK: list[Any] = [
    {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PNG}}]}
]


class Place(BaseModel):
    """A shape to be answered in."""

    name: str
    people: int


@pytest.fixture(scope="module")
def mistral(gateway: LiveGateway) -> Iterator[Mistral]:
    with Mistral(server_url=gateway.url, api_key="any") as client:
        yield client


@pytest.fixture(scope="module")
def groq_client(gateway: LiveGateway) -> Iterator[groq.Groq]:
    with groq.Groq(base_url=gateway.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("model", MODELS)
def test_mistral_whole_and_stream_say_the_same(mistral: Mistral, model: str) -> None:
    whole = mistral.chat.complete(model=model, messages=ASKED)
    chunks = [event.data for event in mistral.chat.stream(model=model, messages=ASKED)]
    said = whole.choices[0].message.content if whole.choices[0].message else None
    assert said
    assert "".join(str(chunk.choices[0].delta.content or "") for chunk in chunks if chunk.choices) == said
    assert whole.choices[0].finish_reason == "stop"
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert (whole.usage.total_tokens or 0) > 3


@pytest.mark.parametrize("model", MODELS)
def test_mistral_tools_there_and_back(mistral: Mistral, model: str) -> None:
    called: Any = mistral.chat.complete(model=model, messages=CALLS, tools=TOOLS, tool_choice="any").choices[0]
    assert called.finish_reason == "tool_calls"
    (call,) = called.message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    result = {"role": "tool", "name": "get_weather", "tool_call_id": call.id, "content": "rain"}
    last: Any = mistral.chat.complete(model=model, messages=[*CALLS, called.message, result], tools=TOOLS)
    assert last.choices[0].message.content == "The tool get_weather says: rain"


@pytest.mark.xfail(
    raises=ResponseValidationError,
    strict=True,
    reason="Mistral's servers stream a call in one piece, and its SDK takes none in several, as OpenAI sends them",
)
def test_mistral_streamed_tools(mistral: Mistral) -> None:
    list(mistral.chat.stream(model="gpt", messages=CALLS, tools=TOOLS))


@pytest.mark.parametrize("model", MODELS)
def test_mistral_structured_output_images_and_a_seed(mistral: Mistral, model: str) -> None:
    parsed: Any = mistral.chat.parse(response_format=Place, model=model, messages=ASKED).choices
    assert isinstance(parsed[0].message.parsed, Place)
    seen: Any = mistral.chat.complete(model=model, messages=LOOK).choices
    assert "You sent 1 file" in seen[0].message.content
    if model in ("gpt", "gem"):
        assert mistral.chat.complete(model=model, messages=ASKED, random_seed=3).choices


def test_mistral_errors(mistral: Mistral) -> None:
    with pytest.raises(SDKError, match="nearest names") as unknown:
        mistral.chat.complete(model="gptx", messages=ASKED)
    assert unknown.value.status_code == 404
    with pytest.raises(SDKError, match="messages") as empty:
        mistral.chat.complete(model="gpt", messages=[])
    assert empty.value.status_code == 400
    with pytest.raises(SDKError, match="safe_prompt") as foreign:
        mistral.chat.complete(model="claude", messages=ASKED, safe_prompt=True)
    assert foreign.value.status_code == 400


@pytest.mark.parametrize("model", MODELS)
def test_groq_whole_and_stream_say_the_same(groq_client: groq.Groq, model: str) -> None:
    whole = groq_client.chat.completions.create(model=model, messages=ASKED)
    chunks = list(groq_client.chat.completions.create(model=model, messages=ASKED, stream=True))
    said = whole.choices[0].message.content
    assert said
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == said
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert whole.usage.total_tokens > 3


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_groq_tools_there_and_back(groq_client: groq.Groq, model: str, stream: bool) -> None:
    create: Any = groq_client.chat.completions.create
    if stream:
        pieces = [
            piece
            for chunk in create(model=model, messages=CALLS, tools=TOOLS, stream=True)
            for piece in (chunk.choices[0].delta.tool_calls or () if chunk.choices else ())
        ]
        id_, name = pieces[0].id, pieces[0].function.name
        arguments = "".join(piece.function.arguments or "" for piece in pieces)
    else:
        (call,) = create(model=model, messages=CALLS, tools=TOOLS).choices[0].message.tool_calls
        id_, name, arguments = call.id, call.function.name, call.function.arguments
    assert (name, json.loads(arguments)) == ("get_weather", {"city": "Paris"})
    turn = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    history = [
        *CALLS,
        {"role": "assistant", "tool_calls": [turn]},
        {"role": "tool", "tool_call_id": id_, "content": "rain"},
    ]
    last = create(model=model, messages=history, tools=TOOLS)
    assert last.choices[0].message.content == "The tool get_weather says: rain"


@pytest.mark.parametrize("model", MODELS)
def test_groq_structured_output_and_images(groq_client: groq.Groq, model: str) -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "place", "schema": Place.model_json_schema()}}
    answer = groq_client.chat.completions.create(model=model, messages=ASKED, response_format=form)
    assert Place.model_validate_json(answer.choices[0].message.content or "")
    seen = groq_client.chat.completions.create(model=model, messages=LOOK)
    assert "You sent 1 file" in (seen.choices[0].message.content or "")


def test_groq_models_and_vectors(groq_client: groq.Groq) -> None:
    assert {"auto", "gpt", "claude", "gem"} <= {model.id for model in groq_client.models.list().data}
    assert groq_client.models.retrieve("gem").owned_by == "google"
    vectors = groq_client.embeddings.create(model="vectors", input=["a", "b"])
    assert len(vectors.data) == 2


def test_groq_errors(groq_client: groq.Groq) -> None:
    with pytest.raises(groq.NotFoundError, match="nearest names"):
        groq_client.chat.completions.create(model="gptx", messages=ASKED)
    with pytest.raises(groq.BadRequestError, match="messages"):
        groq_client.chat.completions.create(model="gpt", messages=[])


@pytest.mark.parametrize(
    "path", ["/openai", "/openai/v1", "/openai/v2/chat/completions", "/openai/v1/openai/v1/models"]
)
def test_only_what_is_under_openai_v1_is_there_twice(gateway: LiveGateway, groq_client: groq.Groq, path: str) -> None:
    with pytest.raises(groq.NotFoundError, match="no endpoint"):
        groq_client.get(path, cast_to=object)
