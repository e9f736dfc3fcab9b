"""A real worker with the small model, and one with the embedder, asked over HTTP."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import sys
import time
from array import array
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from afterbay.local import catalog
from afterbay.local.errors import EngineError
from afterbay.local.llama import EngineLimits
from afterbay.local.process import LocalEngine, Patience, State

from .conftest import real_paths, until

pytestmark = [pytest.mark.local, pytest.mark.asyncio(loop_scope="module")]

TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": name,
            "description": f"Current {what} in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    for name, what in (("get_weather", "weather"), ("get_time", "time"))
]


def client(engine: LocalEngine) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=engine.base_url, api_key=engine.token, max_retries=0, timeout=30)


def user(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def ask(engine: LocalEngine, messages: list[Any], **fields: Any) -> Any:
    fields = {"max_tokens": 24, "temperature": 0, **fields}
    return await client(engine).chat.completions.create(model="local-small", messages=messages, **fields)


async def health(engine: LocalEngine) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {engine.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.get(engine.base_url[:-3] + "/health") as reply,
    ):
        return await reply.json()


async def busy(engine: LocalEngine) -> int:
    """Answers being written."""
    return int((await health(engine))["busy"])


async def waiting(engine: LocalEngine) -> int:
    """Requests in the queue."""
    return int((await health(engine))["waiting"])


async def idle(engine: LocalEngine) -> bool:
    """Whether nothing is being written."""
    return not await busy(engine)


async def test_a_question_is_answered_with_counts(small: LocalEngine) -> None:
    reply = await ask(small, user("What is 2+2?"))
    assert "4" in reply.choices[0].message.content
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens > 20


async def test_a_stream_says_the_same_and_counts_only_when_asked(small: LocalEngine) -> None:
    whole = await ask(small, user("What is 2+2?"))
    for options in ({}, {"stream_options": {"include_usage": True}}):
        chunks = [chunk async for chunk in await ask(small, user("What is 2+2?"), stream=True, **options)]
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == whole.choices[0].message.content
        assert len(chunks) > 4
        assert [chunk.usage.completion_tokens for chunk in chunks if chunk.usage] == (
            [whole.usage.completion_tokens] if options else []
        )
        assert chunks[0].choices[0].delta.role == "assistant"
        assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"


async def test_the_same_seed_gives_the_same_answer(small: LocalEngine) -> None:
    texts = [(await ask(small, user("Tell a joke."), temperature=1, seed=5)).choices[0].message.content for _ in "ab"]
    assert texts[0] == texts[1]


async def test_limits_of_the_answer_are_kept(small: LocalEngine) -> None:
    reply = await ask(small, user("Count from one to ten in words."), max_tokens=3)
    assert (reply.choices[0].finish_reason, reply.usage.completion_tokens) == ("length", 3)
    cut = await ask(small, user("Say: apple banana cherry"), stop=["na"])
    assert "na" not in cut.choices[0].message.content


async def test_an_answer_that_was_begun_goes_on(small: LocalEngine) -> None:
    begun = [*user("Count from one to ten in words."), {"role": "assistant", "content": "one, two, three, four,"}]
    assert (await ask(small, begun)).choices[0].message.content.strip().startswith("five, six")


async def test_log_probabilities_are_there_when_asked(small: LocalEngine) -> None:
    reply = await ask(small, user("hi"), logprobs=True, top_logprobs=2, max_tokens=3)
    assert len(reply.choices[0].logprobs.content) == 3
    assert len(reply.choices[0].logprobs.content[0].top_logprobs) == 2


async def test_an_answer_keeps_to_its_schema(small: LocalEngine) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 12}}, "required": ["city"]}
    form = {"type": "json_schema", "json_schema": {"name": "x", "strict": True, "schema": schema}}
    reply = await ask(small, user("Paris is in France."), response_format=form, max_tokens=60)
    assert list(json.loads(reply.choices[0].message.content)) == ["city"]


async def test_a_keyword_that_the_grammar_cannot_express_does_not_free_the_answer(small: LocalEngine) -> None:
    part = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True, "maxItems": 3}
    schema = {"type": "object", "properties": {"a": part}, "required": ["a"], "propertyNames": {"pattern": "^a"}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    reply = await ask(small, user("Hello!"), response_format=form, max_tokens=60)
    assert isinstance(json.loads(reply.choices[0].message.content)["a"], list)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_time"}}])
async def test_a_forced_call_is_a_real_one(small: LocalEngine, choice: Any) -> None:
    reply = await ask(small, user("What time is it in Oslo?"), tools=TOOLS, tool_choice=choice, max_tokens=60)
    call = reply.choices[0].message.tool_calls[0]
    assert reply.choices[0].finish_reason == "tool_calls"
    assert call.id.startswith("call_")
    assert (
        call.function.name in ("get_weather", "get_time") if choice == "required" else call.function.name == "get_time"
    )
    assert isinstance(json.loads(call.function.arguments)["city"], str)


async def test_a_forced_call_streams_its_name_first_then_its_arguments(small: LocalEngine) -> None:
    stream = await ask(small, user("Weather in Oslo?"), tools=TOOLS, tool_choice="required", stream=True, max_tokens=60)
    calls = [call async for chunk in stream for call in chunk.choices[0].delta.tool_calls or ()]
    assert calls[0].id
    assert calls[0].function.name in ("get_weather", "get_time")
    assert len(calls) > 3
    assert json.loads("".join(call.function.arguments for call in calls))["city"]


async def test_the_result_of_a_tool_is_read(small: LocalEngine) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city":"Paris"}'}}
    history = [
        *user("What is the weather in Paris?"),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "rain"}'},
    ]
    reply = await ask(small, history, tools=TOOLS)
    assert "rain" in reply.choices[0].message.content


async def test_an_over_long_prompt_is_refused_by_its_code(small: LocalEngine) -> None:
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as caught:
            await ask(small, user("word " * 900), stream=stream)
        assert caught.value.code == "context_length_exceeded"


async def test_an_image_and_an_unknown_field_are_refused_by_name(small: LocalEngine) -> None:
    image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(small, image)
    assert caught.value.param == "messages[0].content[0]"
    with pytest.raises(openai.BadRequestError) as caught:
        await ask(small, user("hi"), extra_body={"audio": {}})
    assert caught.value.param == "audio"


async def test_without_the_token_nothing_is_served(small: LocalEngine) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}):
        async with aiohttp.ClientSession(headers=headers) as session:
            for path in ("/health", "/v1/models"):
                async with session.get(small.base_url[:-3] + path) as reply:
                    assert reply.status == 401


async def test_the_token_is_in_no_argument_list_and_no_environment(small: LocalEngine) -> None:
    assert small.token.encode() not in arguments_and_environment(small.pid)


async def test_what_is_not_there_is_a_404_in_openais_shape(small: LocalEngine) -> None:
    with pytest.raises(openai.NotFoundError, match="local-small does not serve POST /v1/embeddings"):
        await client(small).embeddings.create(model="x", input="y")
    assert [model.id async for model in client(small).models.list()] == ["local-small"]


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_frees_its_slot_soon(small: LocalEngine, stream: bool) -> None:
    endless = {"max_tokens": 400, "stream": stream, "extra_body": {"min_p": 0}, "temperature": 1.5}
    task = asyncio.create_task(ask(small, user("Tell a very long story."), **endless))
    await until(lambda: busy(small))
    if stream:
        reply = await task
        await anext(reply)
        await reply.close()
    else:
        task.cancel()
        await asyncio.wait({task}, timeout=5)
    assert await until(lambda: idle(small)) < 1.5


async def test_answers_are_written_side_by_side_and_a_full_queue_says_so(small: LocalEngine) -> None:
    streams = [await ask(small, user("Tell a very long story."), max_tokens=200, stream=True) for _ in "ab"]
    assert (await health(small))["busy"] == 2
    third = asyncio.create_task(ask(small, user("What is 2+2?")))
    await until(lambda: waiting(small))
    with pytest.raises(openai.InternalServerError) as caught:
        await ask(small, user("hi"))
    assert caught.value.status_code == 503
    assert int(caught.value.response.headers["retry-after"]) >= 1
    for stream in streams:
        await stream.close()
    assert (await asyncio.wait_for(third, 20)).choices[0].finish_reason == "stop"
    await until(lambda: idle(small))


async def cosine(engine: LocalEngine, texts: list[str]) -> list[float]:
    """Cosines of the first text with the others."""
    reply = await client(engine).embeddings.create(model="local-embed", input=texts, encoding_format="float")
    first, *others = [entry.embedding for entry in reply.data]
    return [sum(a * b for a, b in zip(first, other, strict=True)) for other in others]


@pytest.mark.parametrize(
    "texts",
    [
        ("How do I reset my password?", "I want to change a forgotten password.", "How high is Mount Everest?"),
        ("The cat sat on the mat.", "A kitten lay on the rug.", "Interest rates rose again."),
    ],
)
async def test_a_paraphrase_is_nearer_than_something_else(embed: LocalEngine, texts: tuple[str, ...]) -> None:
    paraphrase, other = await cosine(embed, list(texts))
    assert paraphrase > 0.5 > 0.3 > other


async def test_base64_and_numbers_are_the_same_vector_of_length_one(embed: LocalEngine) -> None:
    ask = client(embed).embeddings.create
    numbers = (await ask(model="m", input="hello", encoding_format="float")).data[0].embedding
    coded: Any = (await ask(model="m", input="hello", encoding_format="base64")).data[0].embedding
    assert array("f", base64.b64decode(coded)).tolist() == numbers
    assert len(numbers) == 384
    assert sum(x * x for x in numbers) == pytest.approx(1, abs=1e-5)


async def test_a_batch_gives_each_text_the_vector_it_has_alone(embed: LocalEngine) -> None:
    texts = [f"text number {n} " * (n % 7 + 1) for n in range(40)]
    batch = await client(embed).embeddings.create(model="m", input=texts, encoding_format="float")
    alone = await client(embed).embeddings.create(model="m", input=texts[39], encoding_format="float")
    assert [entry.index for entry in batch.data] == list(range(40))
    # int8 activations are scaled over the whole batch, so the numbers differ a little
    assert sum(a * b for a, b in zip(batch.data[39].embedding, alone.data[0].embedding, strict=True)) > 0.97
    assert batch.usage.prompt_tokens > 40 * 4


async def test_a_text_beyond_the_window_is_cut_and_reported_or_refused(embed: LocalEngine) -> None:
    reply = await client(embed).embeddings.create(model="m", input=["short", "word " * 400])
    assert reply.model_extra == {"truncated": [1]}
    assert reply.usage.prompt_tokens == 3 + 256
    with pytest.raises(openai.BadRequestError) as caught:
        await client(embed).embeddings.create(model="m", input=["word " * 400], extra_body={"truncate": False})
    assert (caught.value.code, caught.value.param) == ("context_length_exceeded", "input[0]")


def arguments_and_environment(pid: int | None) -> bytes:
    """What others may see of a process."""
    folder = Path(f"/proc/{pid}")
    if not folder.exists():
        pytest.skip("no /proc here")
    return (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()


def gone(pid: int) -> bool:
    """Whether the process has ended (a zombie that nobody collects has)."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return True


async def test_a_killed_worker_breaks_its_answers_and_comes_back() -> None:
    states = list[State]()
    engine = LocalEngine(
        catalog.SMALL, real_paths(catalog.SMALL), EngineLimits(1, 512), Patience(backoff_s=0.01), states.append
    )
    await engine.start()
    first = (engine.base_url, engine.token)
    stream = await ask(engine, user("Tell a very long story."), stream=True, max_tokens=400)
    await anext(stream)
    os.kill(engine.pid or 0, signal.SIGKILL)
    with pytest.raises(openai.APIConnectionError):
        async for _ in stream:
            pass
    await until(lambda: engine.state == "ready" and engine.restarts, 20)
    assert (engine.base_url, engine.token) != first
    assert "ended with -9" in (engine.last_error or "")
    assert (await ask(engine, user("What is 2+2?"))).choices[0].finish_reason == "stop"
    await engine.stop()
    assert states == ["starting", "ready", "restarting", "ready", "stopped"]
    with pytest.raises(EngineError, match="local-small is stopped"):
        _ = engine.base_url


async def test_stopping_ends_the_process_even_while_it_writes() -> None:
    engine = LocalEngine(catalog.SMALL, real_paths(catalog.SMALL), EngineLimits(1, 512))
    await engine.start()
    pid = engine.pid or 0
    stream = await ask(engine, user("Tell a very long story."), stream=True, max_tokens=400)
    await anext(stream)
    started = time.monotonic()
    await engine.stop()
    assert time.monotonic() - started < 5
    assert gone(pid)
    await engine.stop()  # harmless


async def test_a_context_beyond_the_models_window_is_refused() -> None:
    with pytest.raises(EngineError, match="slot_tokens of local-small is 9000, its window 8192"):
        LocalEngine(catalog.SMALL, [], EngineLimits(slot_tokens=9000))


async def test_a_worker_that_always_crashes_is_given_up_and_can_be_started_again() -> None:
    states = list[State]()
    patience = Patience(backoff_s=0.01, crashes=1)
    engine = LocalEngine(catalog.EMBED, real_paths(catalog.EMBED), None, patience, states.append)
    await engine.start()
    for _ in "ab":
        await until(lambda: engine.state == "ready")
        os.kill(engine.pid or 0, signal.SIGKILL)
        await until(lambda: engine.state != "ready")
    await until(lambda: engine.state == "failed")
    with pytest.raises(EngineError, match=r"local-embed is failed\. The worker of local-embed ended with -9"):
        _ = engine.base_url
    await engine.start()
    assert engine.state == "ready"
    await engine.stop()


async def test_a_worker_that_cannot_load_says_why(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    engine = LocalEngine(catalog.SMALL, [broken])
    with pytest.raises(EngineError, match=r"The worker of local-small did not start: it ended at once"):
        await engine.start()
    assert engine.state == "failed"
    assert engine.pid is None


PARENT = """
import asyncio, sys
from afterbay.local import catalog
from afterbay.local.process import LocalEngine

async def main():
    engine = LocalEngine(catalog.EMBED, sys.argv[1:])
    await engine.start()
    print(engine.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


async def test_a_worker_ends_with_its_parent() -> None:
    paths = [str(path) for path in real_paths(catalog.EMBED)]
    pipe = asyncio.subprocess.PIPE
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, *paths, stdout=pipe)
    assert parent.stdout
    pid = int(await asyncio.wait_for(parent.stdout.readline(), 30))
    assert not gone(pid)
    parent.kill()
    await asyncio.wait_for(parent.wait(), 5)
    await until(lambda: gone(pid))
