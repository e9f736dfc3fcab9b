"""OpenAI's SDK, unmodified, on `/v1/responses`: `auto` and each emulated provider; OpenAI's own answers by relay."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest
from pydantic import BaseModel

MODELS = ["auto", "gpt", "claude", "gem"]
TRANSLATED = ["claude", "gem"]
"""Models whose providers speak another protocol: the gateway keeps their responses. The emulated OpenAI keeps none."""
ASKED = "Where does the Rhine rise? Grüße, 你好"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOLS: list[Any] = [{"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}]


class Place(BaseModel):
    """A shape to be answered in."""

    name: str
    people: int


@pytest.mark.parametrize("model", MODELS)
def test_whole_stream_and_helper_say_the_same(gpt: openai.OpenAI, model: str) -> None:
    whole = gpt.responses.create(model=model, input=ASKED)
    events = list(gpt.responses.create(model=model, input=ASKED, stream=True))
    with gpt.responses.stream(model=model, input=ASKED) as stream:
        kinds = {event.type for event in stream}
        helped = stream.get_final_response()
    assert whole.output_text
    assert helped.output_text == whole.output_text
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == whole.output_text
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert "response.output_text.done" in kinds
    assert whole.status == helped.status == "completed"
    assert whole.usage is not None
    assert helped.usage is not None
    assert whole.usage.total_tokens == helped.usage.total_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", TRANSLATED)
def test_tools_there_and_back_by_the_id_alone(gpt: openai.OpenAI, model: str, stream: bool) -> None:
    asked = "Please get_weather in Paris"
    if stream:
        with gpt.responses.stream(model=model, input=asked, tools=TOOLS) as events:
            first: Any = events.get_final_response()
    else:
        first = gpt.responses.create(model=model, input=asked, tools=TOOLS)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
    result: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "rain"}]
    last = gpt.responses.create(model=model, previous_response_id=first.id, input=result, tools=TOOLS)
    assert "rain" in last.output_text
    assert last.previous_response_id == first.id


@pytest.mark.parametrize("model", ["gpt", "claude", "gem"])
def test_an_answer_in_a_given_form(gpt: openai.OpenAI, model: str) -> None:
    answer = gpt.responses.parse(model=model, input="Name a place.", text_format=Place)
    assert isinstance(answer.output_parsed, Place)


@pytest.mark.parametrize("model", TRANSLATED)
def test_a_kept_response_is_read_listed_and_deleted(gpt: openai.OpenAI, model: str) -> None:
    made = gpt.responses.create(model=model, input=ASKED, instructions="Be brief.", metadata={"a": "b"})
    again = gpt.responses.retrieve(made.id)
    assert (again.output_text, again.instructions, again.metadata) == (made.output_text, "Be brief.", {"a": "b"})
    (item,) = gpt.responses.input_items.list(made.id).data
    assert ASKED in item.to_json()
    with pytest.raises(openai.BadRequestError, match="synchronous"):
        gpt.responses.cancel(made.id)
    gpt.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        gpt.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError, match="not found"):
        gpt.responses.create(model=model, input="And?", previous_response_id=made.id)


@pytest.mark.parametrize("model", MODELS)
def test_input_tokens_are_counted(gpt: openai.OpenAI, model: str) -> None:
    assert gpt.responses.input_tokens.count(model=model, input=ASKED).input_tokens > 5


@pytest.mark.parametrize("model", TRANSLATED)
def test_built_in_tools_are_refused_by_name_where_nobody_has_them(gpt: openai.OpenAI, model: str) -> None:
    with pytest.raises(openai.BadRequestError, match="web_search"):
        gpt.responses.create(model=model, input="News?", tools=[{"type": "web_search"}])


def test_errors_are_the_protocols(gpt: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="gptx"):
        gpt.responses.create(model="gptx", input="Hi")
    with pytest.raises(openai.BadRequestError, match="input"):
        gpt.responses.create(model="gpt")
