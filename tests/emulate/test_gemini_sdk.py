"""The emulator through Google's own SDK."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from google import genai
from google.genai import errors, types

from emulate.support import Running

WEATHER: Any = {
    "function_declarations": [
        {
            "name": "get_weather",
            "parameters_json_schema": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        }
    ]
}


def connect(emulator: Running, key: str = "any", version: str | None = None) -> genai.Client:
    return genai.Client(
        api_key=key,
        http_options=types.HttpOptions(
            base_url=emulator.base_url("gemini"),
            api_version=version,
            retry_options=types.HttpRetryOptions(attempts=1),  # else it waits up to ten seconds after a reset
        ),
    )


@pytest.fixture
async def client(emulator: Running) -> AsyncIterator[Any]:
    one = connect(emulator)
    yield one.aio
    await one.aio.aclose()


async def test_whole_and_streamed_answers_are_the_same(client: Any) -> None:
    whole = await client.models.generate_content(model="m", contents="Hello there")
    chunks = [chunk async for chunk in await client.models.generate_content_stream(model="m", contents="Hello there")]
    assert "".join(chunk.text or "" for chunk in chunks) == whole.text
    assert whole.candidates[0].finish_reason == chunks[-1].candidates[0].finish_reason == types.FinishReason.STOP
    assert chunks[-1].usage_metadata == whole.usage_metadata
    assert whole.usage_metadata.candidates_token_count == len(chunks) - 1


@pytest.mark.parametrize("version", ["v1", "v1beta"])
async def test_both_versions_are_spoken(emulator: Running, version: str) -> None:
    one = connect(emulator, version=version).aio
    assert (await one.models.generate_content(model="emu-echo", contents="Hi")).text == "Hi"
    await one.aclose()


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called_and_their_results_used(client: Any, stream: bool) -> None:
    asked = types.Content(role="user", parts=[types.Part(text="Please get_weather in Paris")])
    config: Any = {"tools": [WEATHER]}
    if stream:
        stream_of = await client.models.generate_content_stream(model="m", contents=[asked], config=config)
        calls = [call async for chunk in stream_of for call in chunk.function_calls or []]
    else:
        calls = (await client.models.generate_content(model="m", contents=[asked], config=config)).function_calls
    (call,) = calls
    assert (call.name, call.args) == ("get_weather", {"city": "Paris"})
    turn = types.Content(role="model", parts=[types.Part(function_call=call)])
    response = types.FunctionResponse(id=call.id, name=call.name, response={"result": "18 degrees"})
    result = types.Content(role="user", parts=[types.Part(function_response=response)])
    after = await client.models.generate_content(model="m", contents=[asked, turn, result], config=config)
    assert "The tool get_weather says" in after.text
    assert "18 degrees" in after.text


async def test_images_schemas_stops_limits_and_thoughts_are_honoured(client: Any) -> None:
    seen = await client.models.generate_content(
        model="m", contents=[types.Part.from_bytes(data=b"hi", mime_type="image/png"), "Look"]
    )
    assert "You sent 1 file" in seen.text
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 3}}, "required": ["n"]}
    shaped = await client.models.generate_content(
        model="m", contents="Count", config={"response_mime_type": "application/json", "response_json_schema": schema}
    )
    assert json.loads(shaped.text) == {"n": 3}
    stopped = await client.models.generate_content(
        model="emu-echo", contents="a STOP b", config={"stop_sequences": ["STOP"]}
    )
    assert stopped.text == "a "
    short = await client.models.generate_content(model="m", contents="Hi", config={"max_output_tokens": 2})
    assert short.candidates[0].finish_reason == types.FinishReason.MAX_TOKENS
    thought = await client.models.generate_content(
        model="m", contents="Hi", config={"thinking_config": {"include_thoughts": True, "thinking_budget": 512}}
    )
    assert thought.candidates[0].content.parts[0].thought
    assert thought.usage_metadata.thoughts_token_count == 10


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, errors.ClientError), (429, errors.ClientError), (500, errors.ServerError), (503, errors.ServerError)],
)
async def test_errors_are_the_sdks_own(client: Any, status: int, kind: type[errors.APIError]) -> None:
    with pytest.raises(kind) as caught:
        await client.models.generate_content(model="m", contents=f"[[status {status}]]")
    assert caught.value.code == status


async def test_a_bad_key_is_said_as_google_says_it(emulator: Running) -> None:
    one = connect(emulator, "bad-key").aio
    with pytest.raises(errors.ClientError, match="API key not valid") as caught:
        await one.models.generate_content(model="m", contents="Hi")
    assert (caught.value.code, caught.value.status) == (400, "INVALID_ARGUMENT")
    await one.aclose()


@pytest.mark.parametrize("order", ["[[refuse]]", "[[error 2]]", "[[cut 2 close]]", "[[malformed 1]]"])
async def test_broken_streams_raise(client: Any, order: str) -> None:
    with pytest.raises(Exception) as caught:
        async for _ in await client.models.generate_content_stream(model="m", contents=order):
            pass
    if order == "[[error 2]]":
        assert isinstance(caught.value, errors.ServerError)


async def test_embeddings_and_counts(client: Any) -> None:
    many = await client.models.embed_content(model="m", contents=["a b", "c"], config={"output_dimensionality": 8})
    assert [len(one.values) for one in many.embeddings] == [8, 8]
    assert (await client.models.count_tokens(model="m", contents="one two three")).total_tokens == 3


async def test_models_are_listed_and_described(client: Any) -> None:
    names = [model.name async for model in await client.models.list()]
    assert "models/emu-echo" in names
    assert (await client.models.get(model=names[0])).name == names[0]
