"""OpenAI's Agents SDK, on Responses (its default) and on chat completions."""

from __future__ import annotations

import openai
import pytest
from agents import Agent, Model, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool
from openai.types.responses import ResponseTextDeltaEvent

from conftest import MODELS, Place

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@function_tool
def get_weather(city: str) -> str:
    """The weather of a city."""
    return f"rain in {city}"


def model_of(url: str, client: str, model: str) -> Model:
    """A model of the Agents SDK's on the gateway."""
    asking = openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", max_retries=0)
    if client == "chat":
        return OpenAIChatCompletionsModel(model, asking)
    return OpenAIResponsesModel(model, asking)


@pytest.fixture(params=["chat", "responses"])
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("model", MODELS)
async def test_whole_and_stream_say_the_same(url: str, client: str, model: str) -> None:
    agent = Agent("guide", instructions="Be brief.", model=model_of(url, client, model))
    whole = await Runner.run(agent, "Where does the Rhine rise?")
    assert "Rhine" in whole.final_output
    running = Runner.run_streamed(agent, "Where does the Rhine rise?")
    pieces = [
        event.data.delta
        async for event in running.stream_events()
        if event.type == "raw_response_event" and isinstance(event.data, ResponseTextDeltaEvent)
    ]
    assert "".join(pieces) == running.final_output == whole.final_output


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_tools_there_and_back(url: str, client: str, model: str, stream: bool) -> None:
    agent = Agent("guide", model=model_of(url, client, model), tools=[get_weather])
    if stream:
        running = Runner.run_streamed(agent, "Please get_weather in Paris")
        async for _ in running.stream_events():
            pass
        said = running.final_output
    else:
        said = (await Runner.run(agent, "Please get_weather in Paris")).final_output
    assert said == "The tool get_weather says: rain in Paris"


@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_in_a_given_form(url: str, client: str, model: str) -> None:
    agent = Agent("guide", model=model_of(url, client, model), output_type=Place)
    assert isinstance((await Runner.run(agent, "Tell me about Oslo")).final_output, Place)


@pytest.mark.parametrize("model", MODELS)
async def test_an_image(url: str, client: str, model: str) -> None:
    parts = [
        {"type": "input_text", "text": "Look"},
        {"type": "input_image", "image_url": f"data:image/png;base64,{PNG}", "detail": "auto"},
    ]
    agent = Agent("guide", model=model_of(url, client, model))
    answer = await Runner.run(agent, [{"role": "user", "content": parts}])  # type: ignore[list-item,misc]
    assert "You sent 1 file" in answer.final_output


async def test_an_unknown_model(url: str, client: str) -> None:
    with pytest.raises(openai.NotFoundError, match="no model called 'gptx'"):
        await Runner.run(Agent("guide", model=model_of(url, client, "gptx")), "Hi")
