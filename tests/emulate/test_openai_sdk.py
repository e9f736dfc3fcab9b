"""The emulator through OpenAI's own SDK."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import openai
import pytest

from emulate.support import Running

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
]
PNG = "data:image/png;base64," + base64.b64encode(b"\x89PNG").decode()


@pytest.fixture
async def client(emulator: Running) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=emulator.base_url("openai"), api_key="any", max_retries=0) as one:
        yield one


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


async def test_whole_and_streamed_answers_are_the_same(client: openai.AsyncOpenAI) -> None:
    whole = await client.chat.completions.create(model="emu-text", messages=user("Hello there"))
    stream = await client.chat.completions.create(
        model="emu-text", messages=user("Hello there"), stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason == "stop"
    assert whole.usage is not None
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == len(chunks) - 2


@pytest.mark.parametrize("stream", [False, True])
async def test_tools_are_called_and_their_results_used(client: openai.AsyncOpenAI, stream: bool) -> None:
    asked = user("Please get_weather in Paris")
    async with client.chat.completions.stream(model="m", messages=asked, tools=TOOLS) as events:
        streamed = await events.get_final_completion()
    whole = await client.chat.completions.create(model="m", messages=asked, tools=TOOLS)
    choice = streamed.choices[0] if stream else whole.choices[0]
    assert choice.finish_reason == "tool_calls"
    call = (choice.message.tool_calls or [])[0]
    assert call.type == "function"
    assert json.loads(call.function.arguments) == {"city": "Paris"}
    turn: Any = {"role": "assistant", "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments"}})]}
    result: Any = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    after = await client.chat.completions.create(model="m", messages=[*asked, turn, result], tools=TOOLS)
    assert after.choices[0].message.content == "The tool get_weather says: 18 degrees"


async def test_images_schemas_stops_and_choices_are_honoured(client: openai.AsyncOpenAI) -> None:
    content = [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": {"url": PNG}}]
    seen = await client.chat.completions.create(model="m", messages=user(content))
    assert "You sent 1 file" in (seen.choices[0].message.content or "")
    schema = {
        "type": "object",
        "properties": {"n": {"type": "integer"}},
        "required": ["n"],
        "additionalProperties": False,
    }
    shaped = await client.chat.completions.create(
        model="m",
        messages=user("Count"),
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}},
    )
    assert json.loads(shaped.choices[0].message.content or "") == {"n": 1}
    many = await client.chat.completions.create(model="emu-echo", messages=user("a b STOP c"), stop=["STOP"], n=2)
    assert [choice.message.content for choice in many.choices] == ["a b ", "a b "]
    short = await client.chat.completions.create(model="m", messages=user("Hi"), max_tokens=3)
    assert short.choices[0].finish_reason == "length"
    assert short.usage is not None
    assert short.usage.completion_tokens == 3


async def test_reasoning_is_counted_and_shown_as_compatible_hosts_do(client: openai.AsyncOpenAI) -> None:
    answer = await client.chat.completions.create(model="m", messages=user("Hi"), reasoning_effort="low")
    assert answer.usage is not None
    assert answer.usage.completion_tokens_details is not None
    assert answer.usage.completion_tokens_details.reasoning_tokens == 10
    assert (answer.choices[0].message.model_extra or {})["reasoning_content"].startswith("The prompt is about")


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
async def test_errors_are_the_sdks_own(
    client: openai.AsyncOpenAI, status: int, kind: type[openai.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        await client.chat.completions.create(model="m", messages=user(f"[[status {status} retry-after 2]]"))
    assert caught.value.status_code == status
    assert caught.value.request_id
    assert caught.value.response.headers["retry-after"] == "2"


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("[[refuse]]", openai.APIConnectionError),
        ("[[cut 2]]", openai.APIConnectionError),
        ("[[cut 2 close]]", openai.APIConnectionError),
        ("[[error 2]]", openai.APIError),
        ("[[malformed 1]]", ValueError),
    ],
)
async def test_broken_streams_raise(client: openai.AsyncOpenAI, order: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        async for _ in await client.chat.completions.create(model="m", messages=user(order), stream=True):
            pass


async def test_a_bad_key_is_an_authentication_error(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.AuthenticationError) as caught:
        await client.with_options(api_key="bad-key").models.list()
    assert caught.value.code == "invalid_api_key"


async def test_the_sdks_own_retries_pass_a_limit(emulator: Running, client: openai.AsyncOpenAI) -> None:
    patient = client.with_options(max_retries=1)
    with pytest.raises(openai.RateLimitError):
        await patient.chat.completions.create(model="m", messages=user("[[status 429 retry-after 0.01]]"))
    assert (await emulator.stats())["requests"] == 2


async def test_embeddings_come_as_floats_and_as_base64(client: openai.AsyncOpenAI) -> None:
    texts = ["the river flows", "the river rests", "42"]
    packed = await client.embeddings.create(model="emu-embed", input=texts, dimensions=64)
    plain = await client.embeddings.create(model="emu-embed", input=texts, dimensions=64, encoding_format="float")
    a, b, c = (one.embedding for one in plain.data)
    assert packed.data[0].embedding == pytest.approx(a, abs=1e-6)
    assert len(a) == 64
    assert sum(x * x for x in a) == pytest.approx(1)
    near, far = (sum(x * y for x, y in zip(a, other, strict=True)) for other in (b, c))
    assert near > 0.5 > abs(far)
    assert plain.usage.prompt_tokens == 7
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        await client.embeddings.create(model="emu-embed", input="x", dimensions=100_000)


async def test_models_are_listed_and_described(client: openai.AsyncOpenAI) -> None:
    names = [model.id for model in (await client.models.list()).data]
    assert "emu-echo" in names
    assert (await client.models.retrieve(names[0])).id == names[0]


async def test_responses_say_what_chat_completions_say(client: openai.AsyncOpenAI) -> None:
    chat = await client.chat.completions.create(model="emu-text", messages=user("Hello there"))
    whole = await client.responses.create(model="emu-text", input="Hello there")
    async with client.responses.stream(model="emu-text", input="Hello there") as events:
        final = await events.get_final_response()
    assert final.output_text == whole.output_text == chat.choices[0].message.content
    with pytest.raises(openai.BadRequestError, match="holds no conversations"):
        await client.responses.create(model="emu-text", input="And?", previous_response_id=whole.id)
