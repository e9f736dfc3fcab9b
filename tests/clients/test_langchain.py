"""LangChain's chat models for OpenAI (chat completions and Responses), Anthropic and Google."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from conftest import MODELS, Place

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
CLIENTS = ["openai", "responses", "anthropic", "google"]


@tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def chat(url: str, client: str, model: str) -> BaseChatModel:
    """A chat model of LangChain's on the gateway."""
    given: dict[str, Any] = {"model": model, "max_retries": 0}
    match client:
        case "openai":
            return ChatOpenAI(base_url=f"{url}/v1", api_key="any", use_responses_api=False, **given)
        case "responses":
            return ChatOpenAI(base_url=f"{url}/v1", api_key="any", use_responses_api=True, **given)
        case "anthropic":
            return ChatAnthropic(base_url=url, api_key="any", max_tokens=500, **given)
        case _:
            return ChatGoogleGenerativeAI(base_url=url, api_key="any", **given)


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("model", MODELS)
def test_whole_and_stream_say_the_same(url: str, client: str, model: str) -> None:
    talker = chat(url, client, model)
    whole = talker.invoke("Where does the Rhine rise?")
    assert "Rhine" in whole.text
    assert "".join(chunk.text for chunk in talker.stream("Where does the Rhine rise?")) == whole.text
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["total_tokens"] > 0


@pytest.mark.parametrize("model", MODELS)
async def test_the_asynchronous_methods(url: str, client: str, model: str) -> None:
    talker = chat(url, client, model)
    whole = await talker.ainvoke("Hello there")
    assert "".join([chunk.text async for chunk in talker.astream("Hello there")]) == whole.text


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
def test_tools_there_and_back(url: str, client: str, model: str, stream: bool) -> None:
    talker = chat(url, client, model).bind_tools([get_weather])
    asked = HumanMessage("Please get_weather in Paris")
    if stream:
        called: Any = None
        for chunk in talker.stream([asked]):
            called = chunk if called is None else called + chunk
    else:
        called = talker.invoke([asked])
    (call,) = called.tool_calls
    assert (call["name"], call["args"]) == ("get_weather", {"city": "Paris"})
    result: ToolMessage = get_weather.invoke(call)
    assert talker.invoke([asked, called, result]).text == "The tool get_weather says: rain in Paris"


@pytest.mark.parametrize("model", MODELS)
def test_an_answer_in_a_given_form(url: str, client: str, model: str) -> None:
    assert isinstance(chat(url, client, model).with_structured_output(Place).invoke("Tell me about Oslo"), Place)


@pytest.mark.parametrize("model", MODELS)
def test_an_image(url: str, client: str, model: str) -> None:
    block = {"type": "image", "base64": PNG, "mime_type": "image/png"}
    asked = HumanMessage(content=[{"type": "text", "text": "Look"}, block])  # type: ignore[list-item]
    assert "You sent 1 file" in chat(url, client, model).invoke([asked]).text


def test_an_unknown_model(url: str, client: str) -> None:
    with pytest.raises(Exception, match="no model called 'gptx'"):
        chat(url, client, "gptx").invoke("Hi")


def test_vectors(url: str) -> None:
    embedder = OpenAIEmbeddings(model="vectors", base_url=f"{url}/v1", api_key="any", check_embedding_ctx_length=False)
    assert len(embedder.embed_documents(["a", "b"])) == 2
