"""Unmodified SDKs of OpenAI and Anthropic on `auto` and on each emulated provider: what their users do with them."""

from __future__ import annotations

import json
import math
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest
from google import genai
from pydantic import BaseModel

from afterbay.testing.live import LiveGateway

MODELS = ["auto", "gpt", "claude", "gem"]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
OPENAI_TOOLS: list[Any] = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
ANTHROPIC_TOOLS: list[Any] = [{"name": "get_weather", "input_schema": SCHEMA}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


class Place(BaseModel):
    """A shape to be answered in."""

    name: str
    people: int


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


@pytest.mark.parametrize("model", MODELS)
def test_openai_whole_stream_and_helper_say_the_same(gpt: openai.OpenAI, model: str) -> None:
    asked = user("Where does the Rhine rise? Grüße, 你好")
    whole = gpt.chat.completions.create(model=model, messages=asked)
    chunks = list(
        gpt.chat.completions.create(model=model, messages=asked, stream=True, stream_options={"include_usage": True})
    )
    with gpt.chat.completions.stream(model=model, messages=asked, stream_options={"include_usage": True}) as events:
        kinds = {event.type for event in events}
        helped = events.get_final_completion()
    said = whole.choices[0].message.content
    assert said
    assert "你好" in said or "Rhine" in said
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == said
    assert helped.choices[0].message.content == said
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert whole.usage is not None
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 0
    assert helped.usage is not None
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == helped.usage.total_tokens == whole.usage.total_tokens
    assert whole.choices[0].finish_reason == helped.choices[0].finish_reason == "stop"
    assert whole.object == "chat.completion"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}


@pytest.mark.parametrize("model", MODELS)
def test_a_stream_without_include_usage_has_none(gpt: openai.OpenAI, model: str) -> None:
    chunks = list(gpt.chat.completions.create(model=model, messages=user("Hello"), stream=True))
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("model", MODELS)
def test_anthropic_whole_stream_and_helper_say_the_same(claude: anthropic.Anthropic, model: str) -> None:
    asked = user("Where does the Rhine rise? Grüße, 你好")
    whole = claude.messages.create(model=model, max_tokens=500, messages=asked)
    raw = list(claude.messages.create(model=model, max_tokens=500, messages=asked, stream=True))
    with claude.messages.stream(model=model, max_tokens=500, messages=asked) as events:
        pieces = list(events.text_stream)
        helped = events.get_final_message()
    assert text_of(whole)
    assert "".join(pieces) == text_of(helped) == text_of(whole)
    assert [raw[0].type, raw[-2].type, raw[-1].type] == ["message_start", "message_delta", "message_stop"]
    assert whole.usage.input_tokens == helped.usage.input_tokens > 0
    assert whole.usage.output_tokens == helped.usage.output_tokens > 0
    assert whole.stop_reason == helped.stop_reason == "end_turn"
    assert whole.role == "assistant"


@pytest.mark.parametrize("model", MODELS)
async def test_the_asynchronous_clients(gateway: LiveGateway, model: str) -> None:
    asked = user("Hello there")
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as gpt:
        answer = await gpt.chat.completions.create(model=model, messages=asked)
        async with gpt.chat.completions.stream(model=model, messages=asked) as events:
            streamed = await events.get_final_completion()
    async with anthropic.AsyncAnthropic(base_url=gateway.url, api_key="any", max_retries=0) as claude:
        message = await claude.messages.create(model=model, max_tokens=500, messages=asked)
        async with claude.messages.stream(model=model, max_tokens=500, messages=asked) as parts:
            last = await parts.get_final_message()
    said = answer.choices[0].message.content
    assert said
    assert streamed.choices[0].message.content == said == text_of(message) == text_of(last)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_openai_tools_there_and_back(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    asked = user("Please get_weather in Paris")
    if stream:
        with gpt.chat.completions.stream(model=model, messages=asked, tools=OPENAI_TOOLS) as events:
            choice: Any = events.get_final_completion().choices[0]
    else:
        choice = gpt.chat.completions.create(model=model, messages=asked, tools=OPENAI_TOOLS).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert call.id
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    turn = {
        "role": "assistant",
        "tool_calls": [call.model_dump(exclude={"function": {"parsed_arguments"}, "index": True})],
    }
    result = {"role": "tool", "tool_call_id": call.id, "content": "18 degrees"}
    after = gpt.chat.completions.create(model=model, messages=[*asked, turn, result], tools=OPENAI_TOOLS)
    assert after.choices[0].message.content == "The tool get_weather says: 18 degrees"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_anthropic_tools_there_and_back(claude: anthropic.Anthropic, model: str, stream: bool) -> None:
    asked = user("Please get_weather in Paris")
    given: dict[str, Any] = {"model": model, "max_tokens": 500, "tools": ANTHROPIC_TOOLS}
    if stream:
        with claude.messages.stream(**given, messages=asked) as events:
            called = events.get_final_message()
    else:
        called = claude.messages.create(**given, messages=asked)
    assert called.stop_reason == "tool_use"
    use: Any = called.content[-1]
    assert (use.type, use.name, use.input) == ("tool_use", "get_weather", {"city": "Paris"})
    assert use.id
    turns = [*asked, {"role": "assistant", "content": [block.model_dump() for block in called.content]}]
    turns += user([{"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees"}])
    assert text_of(claude.messages.create(**given, messages=turns)) == "The tool get_weather says: 18 degrees"


@pytest.mark.parametrize("model", MODELS)
def test_forced_and_parallel_tools(gpt: openai.OpenAI, claude: anthropic.Anthropic, model: str) -> None:
    tools = [*OPENAI_TOOLS, {"type": "function", "function": {"name": "get_time", "parameters": SCHEMA}}]
    both = gpt.chat.completions.create(
        model=model, messages=user("get_time and get_weather, for Oslo"), tools=tools
    ).choices[0]
    calls: Any = both.message.tool_calls
    assert sorted(call.function.name for call in calls) == ["get_time", "get_weather"]
    assert len({call.id for call in calls}) == 2
    forced: Any = claude.messages.create(
        model=model, max_tokens=500, messages=user("Hi"), tools=ANTHROPIC_TOOLS, tool_choice={"type": "any"}
    ).content[-1]
    assert (forced.type, forced.name) == ("tool_use", "get_weather")


@pytest.mark.parametrize("model", MODELS)
def test_images_arrive(gpt: openai.OpenAI, claude: anthropic.Anthropic, model: str) -> None:
    url = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    seen = gpt.chat.completions.create(model=model, messages=user([{"type": "text", "text": "Look"}, url]))
    assert "You sent 1 file" in (seen.choices[0].message.content or "")
    block = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
    other = claude.messages.create(
        model=model, max_tokens=500, messages=user([block, block, {"type": "text", "text": "Look"}])
    )
    assert "You sent 2 files" in text_of(other)


@pytest.mark.parametrize("model", MODELS)
def test_openai_structured_outputs(gpt: openai.OpenAI, model: str) -> None:
    answer = gpt.chat.completions.parse(model=model, messages=user("Tell me about Oslo"), response_format=Place)
    parsed = answer.choices[0].message.parsed
    assert parsed is not None
    assert parsed.name
    with gpt.chat.completions.stream(model=model, messages=user("About Oslo"), response_format=Place) as events:
        streamed = events.get_final_completion().choices[0].message.parsed
    assert isinstance(streamed, Place)


@pytest.mark.parametrize("model", MODELS)
def test_anthropic_structured_outputs(claude: anthropic.Anthropic, model: str) -> None:
    answer = claude.messages.parse(
        model=model, max_tokens=500, messages=user("Tell me about Oslo"), output_format=Place
    )
    assert isinstance(answer.parsed_output, Place)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_system_prompts_stops_and_limits(gpt: openai.OpenAI, claude: anthropic.Anthropic, provider: str) -> None:
    echo = f"{provider}/emu-echo"
    system: Any = [{"role": "system", "content": "one two three four five"}]
    long = gpt.chat.completions.create(model=echo, messages=system + user("a b STOP c"), stop=["STOP"])
    short = gpt.chat.completions.create(model=echo, messages=user("a b STOP c"), stop=["STOP"])
    assert long.choices[0].message.content == "a b "
    assert long.usage is not None
    assert short.usage is not None
    assert long.usage.prompt_tokens == short.usage.prompt_tokens + 5
    message = claude.messages.create(
        model=echo, max_tokens=500, messages=user("a b STOP c"), stop_sequences=["STOP"], system="one two three"
    )
    assert text_of(message) == "a b "
    assert message.usage.input_tokens == short.usage.prompt_tokens + 3
    cut = gpt.chat.completions.create(model=echo, messages=user("a b c d e"), max_tokens=2)
    assert (cut.choices[0].message.content, cut.choices[0].finish_reason) == ("a b", "length")
    capped = claude.messages.create(model=echo, max_tokens=2, messages=user("a b c d e"))
    assert (text_of(capped), capped.stop_reason) == ("a b", "max_tokens")


@pytest.mark.parametrize("provider", ["openai", "anthropic", "google"])
def test_reasoning_is_shown_in_both_protocols(gpt: openai.OpenAI, claude: anthropic.Anthropic, provider: str) -> None:
    answer = gpt.chat.completions.create(model=f"{provider}/emu-think", messages=user("Hi"))
    thought = (answer.choices[0].message.model_extra or {}).get("reasoning_content", "")
    assert thought.startswith("The prompt is about")
    with claude.messages.stream(model=f"{provider}/emu-think", max_tokens=2000, messages=user("Hi")) as events:
        message = events.get_final_message()
    assert message.content[0].type == "thinking"
    assert message.content[0].thinking == thought


def test_count_tokens(claude: anthropic.Anthropic) -> None:
    exact = claude.messages.count_tokens(model="claude", messages=user("one two three"))
    assert exact.input_tokens == 3
    guess = claude.messages.with_raw_response.count_tokens(model="gpt", messages=user("one two three"))
    assert "estimated" in guess.headers["x-afterbay-warnings"]
    assert 0 < guess.parse().input_tokens < 20


def test_embeddings_in_both_encodings(gpt: openai.OpenAI) -> None:
    texts = ["a river", "a dam"]
    floats = gpt.embeddings.create(model="vectors", input=texts, encoding_format="float")
    packed = gpt.embeddings.create(model="vectors", input=texts)  # the SDK asks for base64 and unpacks it
    assert len(floats.data) == len(packed.data) == 2
    for one, other in zip(floats.data, packed.data, strict=True):
        assert one.index == other.index
        assert one.embedding == pytest.approx(other.embedding, abs=1e-6)
        assert math.hypot(*one.embedding) == pytest.approx(1, abs=1e-3)
    raw = gpt.embeddings.with_raw_response.create(model="vectors", input="a river", encoding_format="base64")
    assert isinstance(json.loads(raw.text)["data"][0]["embedding"], str)
    assert floats.usage.prompt_tokens == 4


def test_models_in_three_shapes(gateway: LiveGateway, gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    names = {"auto", "gpt", "claude", "gem", "vectors"}
    assert {model.id for model in gpt.models.list()} == names
    assert gpt.models.retrieve("gem").owned_by == "google"
    assert {model.id for model in claude.models.list()} == names
    assert claude.models.retrieve("claude").display_name == "claude"
    google = genai.Client(api_key="any", http_options={"base_url": gateway.url})
    assert {model.name for model in google.models.list()} == {f"models/{name}" for name in names}
    assert google.models.get(model="gpt").name == "models/gpt"
    with pytest.raises(openai.NotFoundError, match="nearest names"):
        gpt.models.retrieve("gtp")


def test_the_headers_tell_who_answered(gpt: openai.OpenAI, gateway: LiveGateway) -> None:
    raw = gpt.chat.completions.with_raw_response.create(model="gem", messages=user("Hello"))
    assert raw.headers["x-afterbay-provider"] == "google"
    assert raw.headers["x-afterbay-model"] == "emu-gem"
    assert raw.headers["x-afterbay-attempts"] == "1"
    gateway.records()
    record = httpx.get(f"{gateway.url}/v1/requests/{raw.headers['x-request-id']}").json()
    assert (record["provider"], record["outcome"], record["status"]) == ("google", "ok", 200)
    usage = raw.parse().usage
    assert usage is not None
    assert record["usage"]["input_tokens"] == usage.prompt_tokens


def test_endpoints_that_are_not_built_say_so(gpt: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    for ask in (gpt.files.list, gpt.batches.list):
        with pytest.raises(openai.InternalServerError, match="not built yet") as caught:
            ask()
        assert (caught.value.status_code, caught.value.code) == (501, "not_built")
    with pytest.raises(anthropic.InternalServerError, match="not built yet") as refused:
        claude.messages.batches.list()
    assert refused.value.status_code == 501


def test_moderations_without_a_provider_that_has_them(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):  # OpenAI's default model is no alias here
        gpt.moderations.create(input="something")
    with pytest.raises(openai.BadRequestError, match="cannot moderate"):
        gpt.moderations.create(model="claude", input="something")


@pytest.mark.parametrize("model", MODELS)
def test_anthropic_beta_client_and_tool_runner(claude: anthropic.Anthropic, model: str) -> None:
    @anthropic.beta_tool
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    runner = claude.beta.messages.tool_runner(
        model=model, max_tokens=500, tools=[get_weather], messages=user("Please get_weather in Paris")
    )
    assert text_of(runner.until_done()) == "The tool get_weather says: rain in Paris"


@pytest.mark.parametrize("model", MODELS)
def test_anthropic_stream_helper_builds_the_call(claude: anthropic.Anthropic, model: str) -> None:
    with claude.messages.stream(
        model=model, max_tokens=500, tools=ANTHROPIC_TOOLS, messages=user("Please get_weather in Paris")
    ) as events:
        pieces = [event.partial_json for event in events if event.type == "input_json"]
        final: Any = events.get_final_message().content[-1]
    assert json.loads("".join(pieces)) == final.input == {"city": "Paris"}
