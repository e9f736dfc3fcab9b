"""Emulated answers, as canonical events."""

from __future__ import annotations

import json

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from afterbay.core.errors import ClientMistake
from afterbay.core.event import Choice, fold
from afterbay.core.message import Image, Message, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.core.usage import Usage
from afterbay.emulate.answer import CHOICES, answer, prompt_of
from afterbay.emulate.directives import Orders, obey
from afterbay.emulate.instance import instance
from afterbay.emulate.plan import Plan
from afterbay.emulate.words import count, pieces

CITY = (
    b'{"type":"object","properties":{"city":{"type":"string"},"days":{"type":"integer","minimum":2}},'
    b'"required":["city"]}'
)
WEATHER, CLOCK = ToolSpec("get_weather", "Says the weather.", CITY), ToolSpec("get_time")


def asking(prompt: str, **fields: object) -> ChatRequest:
    request = ChatRequest("emu-text", (Message("user", (Text(prompt),)),))
    return replace(request, **fields)


def said(request: ChatRequest, plan: Plan | None = None) -> tuple[Choice, Usage]:
    prompt = request.messages[-1].text() if request.messages[-1].role == "user" else ""
    reply = fold(answer(request, obey(prompt, plan or Plan(), ()), "seed").events())
    assert reply.usage is not None
    return reply.choices[0], reply.usage


@given(st.text())
def test_pieces_joined_are_the_text(text: str) -> None:
    assert "".join(pieces(text)) == text


def test_words_of_scripts_without_spaces_count_by_character() -> None:
    assert count("你好世界 two words") == 6


def test_the_answer_quotes_the_prompt_and_counts_itself() -> None:
    choice, usage = said(asking("Where does the river go"))
    assert 'You asked: "Where does the river go".' in choice.message.text()
    assert choice.finish == "stop"
    assert usage == Usage(5, output_tokens=count(choice.message.text()))


def test_the_text_depends_on_the_conversation_alone() -> None:
    one, _ = said(asking("Hello"))
    other, _ = said(asking("Hello", model="another-model", stream=True))
    assert one == other
    assert said(asking("Goodbye"))[0] != one


def test_echo_gives_the_prompt_back_without_its_orders() -> None:
    assert said(asking("just this [[slow 1ms]]", model="emu-echo"))[0].message.text() == "just this"


def test_an_answer_begun_is_continued() -> None:
    whole = said(asking("Tell me of Rome"))[0].message.text()
    begun = ChatRequest("m", (Message("user", (Text("Tell me of Rome"),)), Message("assistant", (Text(whole[:37]),))))
    assert whole[:37] + said(begun)[0].message.text() == whole


def going_on(begun: str, wish: str) -> str:
    asked = asking("Where does the river go [[tokens 30]]")
    turns = (*asked.messages, Message("assistant", (Text(begun),)), Message("user", (Text(wish),)))
    request = replace(asked, messages=turns)
    return fold(answer(request, obey(prompt_of(request), Plan(), ()), "seed").events()).choices[0].message.text()


def test_who_quotes_the_end_of_a_broken_answer_gets_the_quotation_and_the_rest() -> None:
    whole = said(asking("Where does the river go [[tokens 30]]"), Plan(output_tokens=30))[0].message.text()
    for at in (1, 9, 40, len(whole) - 1):
        begun = whole[:at]
        assert begun + going_on(begun, f"Go on behind <end>{begun[-12:]}</end>.").removeprefix(begun[-12:]) == whole
    assert going_on(whole[:40], "And the lake?").startswith('You asked: "And the lake?"')
    assert going_on("Something that it never said", "You never said that").startswith('You asked: "Where')


def test_the_limit_of_tokens_is_kept_and_said() -> None:
    choice, usage = said(asking("Hello", sampling=Sampling(max_output_tokens=4)))
    assert (count(choice.message.text()), usage.output_tokens, choice.finish) == (4, 4, "length")


def test_reasoning_counts_against_the_limit() -> None:
    choice, usage = said(asking("Hi", reasoning=Reasoning(effort="low"), sampling=Sampling(max_output_tokens=12)))
    thinking = choice.message.parts[0]
    assert isinstance(thinking, Thinking)
    assert thinking.signature
    assert (usage.reasoning_tokens, usage.output_tokens) == (10, 2)
    assert choice.finish == "length"


def test_hidden_reasoning_is_counted_and_not_shown() -> None:
    choice, usage = said(asking("Hi", reasoning=Reasoning(effort="low", show=False)))
    assert all(isinstance(part, Text) for part in choice.message.parts)
    assert usage.reasoning_tokens == 10


@pytest.mark.parametrize("reasoning", [None, Reasoning(effort="none"), Reasoning(budget_tokens=0)])
def test_no_reasoning_where_none_is_wanted(reasoning: Reasoning | None) -> None:
    assert said(asking("Hi", reasoning=reasoning))[1].reasoning_tokens == 0


def test_the_first_stop_sequence_ends_the_text() -> None:
    choice, usage = said(asking("a b STOP c END d", model="emu-echo", sampling=Sampling(stop=("END", "STOP"))))
    assert (choice.message.text(), choice.finish, choice.stop_sequence) == ("a b ", "stop_sequence", "STOP")
    assert usage.output_tokens == count("a b ")


def test_a_stop_sequence_at_the_very_start_leaves_nothing() -> None:
    choice, _ = said(asking("END d", model="emu-echo", sampling=Sampling(stop=("END",))))
    assert (choice.message.text(), choice.stop_sequence) == ("", "END")


def test_several_choices_are_indexed_and_all_counted() -> None:
    reply = fold(answer(asking("Hello", sampling=Sampling(n=3)), Orders(Plan()), "seed").events())
    texts = [choice.message.text() for choice in reply.choices]
    assert len(texts) == 3
    assert reply.usage == Usage(1, output_tokens=sum(count(text) for text in texts))
    with pytest.raises(ClientMistake, match="at most"):
        answer(asking("Hello", sampling=Sampling(n=CHOICES + 1)), Orders(Plan()), "seed")


def test_a_tool_that_the_prompt_names_is_called_with_valid_arguments() -> None:
    choice, _ = said(asking("Use get_weather for Paris", tools=(CLOCK, WEATHER)))
    (use,) = choice.message.parts
    assert isinstance(use, ToolUse)
    assert (use.name, choice.finish) == ("get_weather", "tool_calls")
    assert json.loads(use.arguments) == {"city": "Paris", "days": 2}


@pytest.mark.parametrize(
    ("prompt", "choice", "names"),
    [
        ("Hello", None, []),
        ("Hello", ToolChoice("auto"), []),
        ("Hello", ToolChoice("required"), ["get_weather"]),
        ("Hello", ToolChoice("tool", "get_time"), ["get_time"]),
        ("get_weather", ToolChoice("none"), []),
        ("get_weather and get_time", None, ["get_weather", "get_time"]),
        ("[[call get_time]]", None, ["get_time"]),
    ],
)
def test_the_tool_choice_decides(prompt: str, choice: ToolChoice | None, names: list[str]) -> None:
    request = asking(prompt, tools=(WEATHER, CLOCK), tool_choice=choice)
    parts = said(request)[0].message.parts
    assert [part.name for part in parts if isinstance(part, ToolUse)] == names
    ids = [part.id for part in parts if isinstance(part, ToolUse)]
    assert len(set(ids)) == len(ids)


def test_one_call_only_where_parallel_calls_are_off() -> None:
    request = asking("get_weather and get_time", tools=(WEATHER, CLOCK), parallel_tool_calls=False)
    assert len(said(request)[0].message.parts) == 1


@pytest.mark.parametrize("choice", [ToolChoice("tool", "absent"), ToolChoice("required")])
def test_a_tool_that_is_not_there_is_the_clients_mistake(choice: ToolChoice) -> None:
    with pytest.raises(ClientMistake, match="no tool"):
        said(asking("Hello", tool_choice=choice))


@pytest.mark.parametrize("role", ["tool", "user"])
def test_a_tool_result_is_used(role: str) -> None:
    used = Message("assistant", (ToolUse("call_1", "get_weather", '{"city":"Paris"}'),))
    result = Message(role, (ToolResult("call_1", (Text("18 degrees"),)),))  # type: ignore[arg-type]
    first = Message("user", (Text("get_weather in Paris"),))
    choice, _ = said(ChatRequest("m", (first, used, result), tools=(WEATHER,)))
    assert choice.message.text() == "The tool get_weather says: 18 degrees"


def test_images_are_mentioned_and_counted() -> None:
    message = Message("user", (Text("Look"), Image(data="aGk=", media_type="image/png")))
    choice, usage = said(ChatRequest("m", (message,)))
    assert "You sent 1 file with it." in choice.message.text()
    assert usage.input_tokens == 1 + 256


def test_a_schema_is_answered_by_an_instance_of_it() -> None:
    choice, _ = said(asking("Weather in Rome", response_format=ResponseFormat("json_schema", "w", CITY)))
    jsonschema_rs.validate(json.loads(CITY), json.loads(choice.message.text()))
    choice, _ = said(asking("Hello", response_format=ResponseFormat("json_object")))
    assert list(json.loads(choice.message.text())) == ["answer"]


def test_orders_choose_length_words_and_emptiness() -> None:
    assert count(said(asking("[[tokens 123]]"))[0].message.text()) == 123
    assert said(asking("[[say well said]]"))[0].message.text() == "well said"
    choice, usage = said(asking("[[empty]]"))
    assert (choice.message.parts, choice.finish, usage.output_tokens) == ((), "stop", 0)
    reply = fold(answer(asking("Hi"), Orders(Plan(no_usage=True)), "seed").events())
    assert reply.usage is None


def test_what_cannot_be_honoured_is_named() -> None:
    request = asking("Hi", foreign=("web_search",), sampling=Sampling(logprobs=True))
    assert answer(request, Orders(Plan()), "seed").ignored == ("web_search", "logprobs")


SCHEMAS: list[dict[str, object]] = [
    {"type": "string", "minLength": 30},
    {"type": "string", "maxLength": 2},
    {"type": "string", "format": "date-time"},
    {"type": "string", "pattern": "^[A-Z]{3}$"},
    {"type": ["null", "string"]},
    {"enum": ["a", "b"]},
    {"const": {"x": 1}},
    {"type": "integer", "exclusiveMinimum": 4, "multipleOf": 5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "integer", "maximum": -3},
    {"type": "number", "minimum": 1.5, "maximum": 1.75},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "boolean"}], "items": False},
    {"type": "object", "required": ["extra"], "additionalProperties": {"type": "number"}},
    {"anyOf": [{"type": "string", "pattern": "^never[0-9]{40}$"}, {"type": "integer"}]},
    {"type": "object", "oneOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}}, {"required": ["a"]}], "type": "object"},
    {
        "$defs": {
            "Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}}
        },
        "$ref": "#/$defs/Node",
    },
    {"type": "object", "properties": {"deep": {"type": "object", "properties": {"on": {"type": "boolean"}}}}},
]  # fmt: skip


@pytest.mark.parametrize("schema", SCHEMAS, ids=lambda schema: json.dumps(schema)[:50])
def test_instances_are_valid(schema: dict[str, object]) -> None:
    jsonschema_rs.validate(schema, instance(json.dumps(schema).encode(), "word", "response_format"))


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": "^never[0-9]{40}$"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"$ref": "#/$defs/absent"},
        {"not": {}},
        {"type": "unheard-of"},
    ],
    ids=lambda schema: json.dumps(schema)[:50],
)
def test_what_has_no_instance_is_refused_by_name(schema: dict[str, object]) -> None:
    with pytest.raises(ClientMistake, match="response_format"):
        instance(json.dumps(schema).encode(), "word", "response_format")


def test_a_schema_fetches_nothing() -> None:
    with pytest.raises(ClientMistake, match="is not fetched"):
        instance(b'{"$ref": "http://127.0.0.1:9/x"}', "word", "tools.f")
