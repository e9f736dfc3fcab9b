"""The emulator through Anthropic's own SDK."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import anthropic
import pytest

from emulate.support import Running

TOOLS: list[Any] = [
    {
        "name": "get_weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]


@pytest.fixture
async def client(emulator: Running) -> AsyncIterator[anthropic.AsyncAnthropic]:
    async with anthropic.AsyncAnthropic(base_url=emulator.base_url("anthropic"), api_key="any", max_retries=0) as one:
        yield one


def user(content: Any) -> Any:
    return [{"role": "user", "content": content}]


def text_of(message: Any) -> str:
    return "".join(block.text for block in message.content if block.type == "text")


async def test_whole_and_streamed_answers_are_the_same(client: anthropic.AsyncAnthropic) -> None:
    whole = await client.messages.create(model="m", max_tokens=500, messages=user("Hello there"))
    async with client.messages.stream(model="m", max_tokens=500, messages=user("Hello there")) as stream:
        kinds = [event.type async for event in stream]
        streamed = await stream.get_final_message()
    assert text_of(streamed) == text_of(whole)
    assert [block.type for block in streamed.content] == ["text"]
    assert streamed.usage == whole.usage
    assert streamed.stop_reason == whole.stop_reason == "end_turn"
    assert whole.usage.input_tokens == 2
    assert kinds.count("text") == whole.usage.output_tokens


async def test_tools_are_called_and_their_results_used(client: anthropic.AsyncAnthropic) -> None:
    asked = user("Please get_weather in Paris")
    async with client.messages.stream(model="m", max_tokens=500, messages=asked, tools=TOOLS) as stream:
        called = await stream.get_final_message()
    (use,) = called.content
    assert use.type == "tool_use"
    assert use.id.startswith("toolu_")
    assert (use.name, use.input, called.stop_reason) == ("get_weather", {"city": "Paris"}, "tool_use")
    result = {"type": "tool_result", "tool_use_id": use.id, "content": "18 degrees"}
    turns = [*asked, {"role": "assistant", "content": [use.model_dump()]}, *user([result])]
    after = await client.messages.create(model="m", max_tokens=500, messages=turns, tools=TOOLS)
    assert text_of(after) == "The tool get_weather says: 18 degrees"


async def test_images_stops_limits_and_beginnings_are_honoured(client: anthropic.AsyncAnthropic) -> None:
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}
    seen = await client.messages.create(
        model="m", max_tokens=500, messages=user([image, {"type": "text", "text": "Look"}])
    )
    assert "You sent 1 file" in text_of(seen)
    stopped = await client.messages.create(
        model="emu-echo", max_tokens=500, messages=user("a STOP b"), stop_sequences=["STOP"]
    )
    assert (text_of(stopped), stopped.stop_reason, stopped.stop_sequence) == ("a ", "stop_sequence", "STOP")
    short = await client.messages.create(model="m", max_tokens=2, messages=user("Hi"))
    assert (short.stop_reason, short.usage.output_tokens) == ("max_tokens", 2)
    begun: Any = [*user("one two three"), {"role": "assistant", "content": "one two"}]
    rest = await client.messages.create(model="emu-echo", max_tokens=500, messages=begun)
    assert text_of(rest) == " three"


async def test_thinking_has_a_signature_and_can_be_sent_back(client: anthropic.AsyncAnthropic) -> None:
    thinking: Any = {"type": "enabled", "budget_tokens": 1024}
    asked = user("Hi")
    async with client.messages.stream(model="m", max_tokens=2000, messages=asked, thinking=thinking) as stream:
        message = await stream.get_final_message()
    first = message.content[0]
    assert first.type == "thinking"
    assert first.thinking.startswith("The prompt is about")
    assert first.signature
    turns = [*asked, {"role": "assistant", "content": [block.model_dump() for block in message.content]}, *user("And?")]
    again = await client.messages.create(model="m", max_tokens=2000, messages=turns, thinking=thinking)
    assert again.content[0].type == "thinking"


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, anthropic.BadRequestError),
        (401, anthropic.AuthenticationError),
        (403, anthropic.PermissionDeniedError),
        (404, anthropic.NotFoundError),
        (413, anthropic.RequestTooLargeError),
        (429, anthropic.RateLimitError),
        (500, anthropic.InternalServerError),
        (529, anthropic.OverloadedError),
    ],
)
async def test_errors_are_the_sdks_own(
    client: anthropic.AsyncAnthropic, status: int, kind: type[anthropic.APIStatusError]
) -> None:
    with pytest.raises(kind) as caught:
        await client.messages.create(model="m", max_tokens=9, messages=user(f"[[status {status}]]"))
    assert caught.value.status_code == status
    assert caught.value.request_id


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("[[refuse]]", anthropic.APIConnectionError),
        ("[[error 2]]", anthropic.APIStatusError),
        ("[[cut 2 close]]", Exception),
        ("[[malformed 1]]", ValueError),
    ],
)
async def test_broken_streams_raise(client: anthropic.AsyncAnthropic, order: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        async with client.messages.stream(model="m", max_tokens=99, messages=user(order)) as stream:
            await stream.get_final_message()


async def test_a_stream_that_ends_early_lacks_a_stop_reason(client: anthropic.AsyncAnthropic) -> None:
    got = []
    async for event in await client.messages.create(
        model="m", max_tokens=99, messages=user("[[cut 2 eof]]"), stream=True
    ):
        got.append(event.type)
    assert got == ["message_start", "content_block_start", "content_block_delta", "content_block_delta"]


async def test_tokens_are_counted_as_they_are_charged(client: anthropic.AsyncAnthropic) -> None:
    asked: Any = {"model": "m", "messages": user("one two three"), "system": "four five", "tools": TOOLS}
    counted = await client.messages.count_tokens(**asked)
    charged = await client.messages.create(max_tokens=9, **asked)
    assert counted.input_tokens == charged.usage.input_tokens > 5


async def test_models_are_listed_and_described(client: anthropic.AsyncAnthropic) -> None:
    names = [model.id async for model in client.models.list()]
    assert "emu-echo" in names
    assert (await client.models.retrieve(names[0])).id == names[0]


async def test_a_bad_key_is_an_authentication_error(client: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.AuthenticationError):
        await client.with_options(api_key="bad-key").messages.create(model="m", max_tokens=9, messages=user("Hi"))
