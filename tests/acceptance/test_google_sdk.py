"""Google's SDK, unmodified, on `auto` and on each emulated provider."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from afterbay.testing.live import LiveGateway

MODELS = ["auto", "gpt", "claude", "gem"]
ASKED = "Where does the Rhine rise? Grüße, 你好"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
WEATHER = types.FunctionDeclaration(
    name="get_weather",
    description="The weather of a city.",
    parameters_json_schema={"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
)


@pytest.fixture(scope="module", params=[None, "v1", "v1beta"])
def gem(gateway: LiveGateway, request: pytest.FixtureRequest) -> Iterator[genai.Client]:
    """Google's SDK on the gateway, in the version that it asks by itself and in both that there are."""
    options = types.HttpOptions(base_url=gateway.url, api_version=request.param)
    client = genai.Client(api_key="any", http_options=options)
    yield client
    client.close()


@pytest.mark.parametrize("model", MODELS)
def test_whole_and_stream_say_the_same(gem: genai.Client, model: str) -> None:
    whole = gem.models.generate_content(model=model, contents=ASKED)
    chunks = list(gem.models.generate_content_stream(model=model, contents=ASKED))
    assert whole.text
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert whole.candidates is not None
    assert whole.candidates[0].finish_reason == types.FinishReason.STOP
    counted, streamed = whole.usage_metadata, chunks[-1].usage_metadata
    assert counted is not None
    assert streamed is not None
    assert counted.total_token_count == streamed.total_token_count
    assert (counted.prompt_token_count or 0) > 0


@pytest.mark.parametrize("model", MODELS)
async def test_the_asynchronous_client(gateway: LiveGateway, model: str) -> None:
    options = types.HttpOptions(base_url=gateway.url)
    client = genai.Client(api_key="any", http_options=options).aio
    whole = await client.models.generate_content(model=model, contents="Hello there")
    pieces = [
        chunk.text async for chunk in await client.models.generate_content_stream(model=model, contents="Hello there")
    ]
    assert "".join(piece or "" for piece in pieces) == whole.text
    await client.aclose()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_tools_there_and_back(gem: genai.Client, model: str, stream: bool) -> None:
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[WEATHER])],
        automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
    )
    asked: list[Any] = [types.Content(role="user", parts=[types.Part(text="Please get_weather in Paris")])]
    if stream:
        found = [
            c
            for chunk in gem.models.generate_content_stream(model=model, contents=asked, config=config)
            for c in chunk.function_calls or ()
        ]
    else:
        found = gem.models.generate_content(model=model, contents=asked, config=config).function_calls or []
    (call,) = found
    assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
    answer = types.Part.from_function_response(name="get_weather", response={"output": "rain"})
    turn = types.Content(role="model", parts=[types.Part(function_call=call)])
    history = [*asked, turn, types.Content(role="user", parts=[answer])]
    last = gem.models.generate_content(model=model, contents=history, config=config)
    assert "rain" in (last.text or "")


@pytest.mark.parametrize("model", MODELS)
def test_a_system_instruction_an_image_and_a_limit(gem: genai.Client, model: str) -> None:
    config = types.GenerateContentConfig(system_instruction="Be brief.", max_output_tokens=5, temperature=0.2)
    parts: list[Any] = ["What is this?", types.Part.from_bytes(data=PNG, mime_type="image/png")]
    answer = gem.models.generate_content(model=model, contents=parts, config=config)
    assert answer.candidates is not None
    assert answer.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS


@pytest.mark.parametrize("model", ["gpt", "gem"])
def test_an_answer_in_a_given_form(gem: genai.Client, model: str) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    config = types.GenerateContentConfig(response_mime_type="application/json", response_json_schema=schema)
    answer = gem.models.generate_content(model=model, contents="Give me a city.", config=config)
    assert isinstance(answer.parsed, dict)
    assert isinstance(answer.parsed["city"], str)


@pytest.mark.parametrize("model", MODELS)
def test_tokens_are_counted(gem: genai.Client, model: str) -> None:
    assert (gem.models.count_tokens(model=model, contents="How many tokens are these?").total_tokens or 0) > 3


def test_vectors(gem: genai.Client) -> None:
    answer = gem.models.embed_content(model="vectors", contents=["a", "b"])
    assert answer.embeddings is not None
    assert len(answer.embeddings) == 2
    assert len(answer.embeddings[0].values or ()) > 10


def test_models_are_listed_and_described(gem: genai.Client) -> None:
    names = [model.name for model in gem.models.list()]
    assert {"models/auto", "models/gpt", "models/gem"} <= set(names)
    assert gem.models.get(model="gpt").name == "models/gpt"


def test_an_unknown_model_is_google_s_404(gem: genai.Client) -> None:
    with pytest.raises(errors.ClientError) as caught:
        gem.models.generate_content(model="gptx", contents="Hi")
    assert (caught.value.code, caught.value.status) == (404, "NOT_FOUND")
    assert "gpt" in (caught.value.message or "")
