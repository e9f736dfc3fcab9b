"""Pydantic AI's model classes for OpenAI (chat completions and Responses), Anthropic and Google."""

from __future__ import annotations

import pytest
from pydantic_ai import Agent, BinaryContent, ModelHTTPError
from pydantic_ai.models import Model
from pydantic_ai.models.anthropic import AnthropicModel
from pydantic_ai.models.google import GoogleModel
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.output import NativeOutput, ToolOutput
from pydantic_ai.providers.anthropic import AnthropicProvider
from pydantic_ai.providers.google import GoogleProvider
from pydantic_ai.providers.openai import OpenAIProvider

from conftest import MODELS, Place

PNG = b"\x89PNG\r\n\x1a\n" + bytes(16)
WRAPPED = 'The tool get_weather says: {"return_value": "rain in Paris"}'
"""Its class for Google puts what is no object into one."""
CLIENTS = ["openai", "responses", "anthropic", "google"]


def model_of(url: str, client: str, model: str) -> Model:
    """A model of Pydantic AI's on the gateway."""
    match client:
        case "openai":
            return OpenAIChatModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key="any"))
        case "responses":
            return OpenAIResponsesModel(model, provider=OpenAIProvider(base_url=f"{url}/v1", api_key="any"))
        case "anthropic":
            return AnthropicModel(model, provider=AnthropicProvider(base_url=url, api_key="any"))
        case _:
            return GoogleModel(model, provider=GoogleProvider(base_url=url, api_key="any"))


@pytest.fixture(params=CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("model", MODELS)
async def test_whole_and_stream_say_the_same(url: str, client: str, model: str) -> None:
    agent = Agent(model_of(url, client, model), instructions="Be brief.")
    whole = await agent.run("Where does the Rhine rise?")
    assert "Rhine" in whole.output
    async with agent.run_stream("Where does the Rhine rise?") as stream:
        assert await stream.get_output() == whole.output
    assert whole.usage.output_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", MODELS)
async def test_tools_there_and_back(url: str, client: str, model: str, stream: bool) -> None:
    agent = Agent(model_of(url, client, model))

    @agent.tool_plain
    def get_weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    if stream:
        async with agent.run_stream("Please get_weather in Paris") as streamed:
            said = await streamed.get_output()
    else:
        said = (await agent.run("Please get_weather in Paris")).output
    assert said in ("The tool get_weather says: rain in Paris", WRAPPED)


@pytest.mark.parametrize("output", [ToolOutput(Place), NativeOutput(Place)], ids=["tool", "native"])
@pytest.mark.parametrize("model", MODELS)
async def test_an_answer_in_a_given_form(
    url: str, client: str, model: str, output: ToolOutput[Place] | NativeOutput[Place]
) -> None:
    if client == "anthropic" and isinstance(output, NativeOutput):
        pytest.skip("Pydantic AI asks Anthropic for a schema only under names of Claude that it knows")
    answer = await Agent(model_of(url, client, model), output_type=output).run("Tell me about Oslo")
    assert isinstance(answer.output, Place)


@pytest.mark.parametrize("model", MODELS)
async def test_an_image(url: str, client: str, model: str) -> None:
    answer = await Agent(model_of(url, client, model)).run(["Look", BinaryContent(PNG, media_type="image/png")])
    assert "You sent 1 file" in answer.output


async def test_an_unknown_model(url: str, client: str) -> None:
    with pytest.raises(ModelHTTPError, match="no model called 'gptx'") as caught:
        await Agent(model_of(url, client, "gptx")).run("Hi")
    assert caught.value.status_code == 404
