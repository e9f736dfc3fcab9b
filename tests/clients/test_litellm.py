"""LiteLLM as a client, in the protocols of OpenAI (both), Anthropic and Google."""

from __future__ import annotations

import json
from typing import Any

import litellm
import pytest

from conftest import MODELS, Place

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "Weather", "parameters": SCHEMA}}]


def given(url: str, client: str, model: str) -> dict[str, Any]:
    """What LiteLLM is told to ask the gateway."""
    base = {"openai": f"{url}/v1", "anthropic": url, "gemini": f"{url}/v1beta"}[client]
    return {"model": f"{client}/{model}", "api_base": base, "api_key": "any", "num_retries": 0, "max_tokens": 500}


@pytest.fixture(params=["openai", "anthropic", "gemini"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def user(content: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("model", MODELS)
def test_whole_and_stream_say_the_same(url: str, client: str, model: str) -> None:
    asked = user("Where does the Rhine rise?")
    whole: Any = litellm.completion(messages=asked, **given(url, client, model))
    chunks: Any = litellm.completion(messages=asked, stream=True, **given(url, client, model))
    said = whole.choices[0].message.content
    assert "Rhine" in said
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == said
    assert whole.usage.total_tokens > 0


@pytest.mark.parametrize("model", MODELS)
def test_tools_there_and_back(url: str, client: str, model: str) -> None:
    asked = user("Please get_weather in Paris")
    called: Any = litellm.completion(messages=asked, tools=TOOLS, **given(url, client, model))
    (call,) = called.choices[0].message.tool_calls
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "Paris"})
    history = [
        *asked,
        called.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "name": "get_weather", "content": "rain"},
    ]
    last: Any = litellm.completion(messages=history, tools=TOOLS, **given(url, client, model))
    assert "rain" in last.choices[0].message.content


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_in_a_given_form(url: str, client: str, model: str) -> None:
    if client == "gemini":
        pytest.skip("LiteLLM sends a schema to Google only under names of Gemini that it knows, else it asks for JSON")
    answer: Any = litellm.completion(messages=user("About Oslo"), response_format=Place, **given(url, client, model))
    assert Place.model_validate_json(answer.choices[0].message.content)


@pytest.mark.parametrize("model", MODELS)
def test_an_image(url: str, client: str, model: str) -> None:
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}}
    answer: Any = litellm.completion(
        messages=user([{"type": "text", "text": "Look"}, image]), **given(url, client, model)
    )
    assert "You sent 1 file" in answer.choices[0].message.content


def test_an_unknown_model(url: str, client: str) -> None:
    with pytest.raises(litellm.NotFoundError, match="no model called 'gptx'"):
        litellm.completion(messages=user("Hi"), **given(url, client, "gptx"))


@pytest.mark.parametrize("model", MODELS)
def test_responses(url: str, model: str) -> None:
    answer: Any = litellm.responses(model=f"openai/{model}", input="Hello", api_base=f"{url}/v1", api_key="any")
    assert "Hello" in answer.output_text


def test_vectors(url: str) -> None:
    answer: Any = litellm.embedding(model="openai/vectors", input=["a", "b"], api_base=f"{url}/v1", api_key="any")
    assert len(answer.data) == 2
