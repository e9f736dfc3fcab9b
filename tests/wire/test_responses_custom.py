"""Custom tools, whose argument is a text: functions for all other protocols, and texts again for the client."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import ResponseCustomToolCall

from afterbay.core.errors import ClientMistake
from afterbay.core.event import Event, Finished, TextDelta, ToolCallDelta, ToolCallStarted, UsageSeen, fold
from afterbay.core.json_schema import validator_of
from afterbay.core.message import Message, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, ToolChoice
from afterbay.core.usage import Usage
from afterbay.testing.grammar import violations
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.openai_responses.custom import GRAMMAR_CHARS, arguments_of, custom_names, input_of
from wire.responses_support import check_grammar, parse_stream, sdk_create, sdk_stream, sdk_whole, sse

LARK = 'start: "*** Begin Patch" LF hunk+ "*** End Patch" LF?'
PATCH = {
    "type": "custom",
    "name": "apply_patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": LARK},
}
SHELL = {"type": "function", "name": "shell", "parameters": {"type": "object", "properties": {}}}
HEAD = Head("s", "m", 1_790_000_000, echo=json.dumps({"model": "m", "tools": [SHELL, PATCH]}).encode())
TEXT = '*** Begin Patch\n+ "Grüße" \\ 你好 \U0001f600\n*** End Patch\n'
words = st.text(st.characters(codec="utf-8"), max_size=20)
few = settings(max_examples=150, deadline=None)


def parse(**fields: Any) -> ChatRequest:
    return DIALECT.parse_request(json.dumps({"model": "m", "input": "Hi"} | fields).encode(), None, None)


def answer(*arguments: str, name: str = "apply_patch") -> list[Event]:
    """A text, then one call whose arguments come in these pieces."""
    said: list[Event] = [TextDelta("I edit."), ToolCallStarted(0, "call_1", name)]
    ends: list[Event] = [UsageSeen(Usage(5, 0, 0, 7)), Finished("tool_calls")]
    return [*said, *(ToolCallDelta(0, piece) for piece in arguments), *ends]


def rendered(events: list[Event], head: Head = HEAD) -> bytes:
    renderer = DIALECT.renderer(head)
    raw = b"".join(renderer.render([event]) for event in events) + renderer.finish()
    assert renderer.losses == set()
    check_grammar(raw)
    return raw


def test_a_custom_tool_is_a_function_of_one_text_with_its_grammar_in_the_description() -> None:
    request = parse(tools=[SHELL, PATCH])
    (tool,) = request.tools[1:]
    assert (tool.name, tool.strict, request.foreign) == ("apply_patch", None, ())
    assert request.hints == ("tools[1].format=description",)
    told = tool.description or ""
    assert told.startswith("Edits files.\n\n")
    assert "`input`" in told
    assert told.endswith(f"must match this lark grammar:\n{LARK}")
    validator = validator_of(tool.schema)
    assert validator is not None
    assert validator.is_valid({"input": "x"})
    for wrong in ({}, {"input": 1}, {"input": "x", "more": 1}):
        assert not validator.is_valid(wrong)


@pytest.mark.parametrize("form", [None, {"type": "text"}])
def test_one_without_a_grammar_loses_nothing(form: Any) -> None:
    request = parse(tools=[{"type": "custom", "name": "note", "format": form}])
    assert (request.foreign, request.hints) == ((), ())
    assert "`input`" in (request.tools[0].description or "")


def test_a_grammar_that_is_too_long_is_told_in_part_and_named() -> None:
    long = PATCH | {"format": {"type": "grammar", "syntax": "regex", "definition": "a" * GRAMMAR_CHARS + "b"}}
    request = parse(tools=[long])
    assert (request.tools[0].description or "").endswith("a" * GRAMMAR_CHARS)
    told, cut = request.hints
    assert (told, cut.startswith("tools[0].format.definition beyond ")) == ("tools[0].format=description", True)


def test_what_no_function_can_stand_for_is_foreign() -> None:
    assert parse(tools=[PATCH | {"format": {"type": "of_next_year"}}]).foreign == ("tools[0].format.type=of_next_year",)
    assert parse(tools=[PATCH | {"defer_loading": True}]).foreign == ("tools[0].defer_loading",)
    assert parse(tools=[PATCH | {"allowed_callers": ["programmatic"]}]).foreign == ("tools[0].allowed_callers",)
    assert parse(tools=[PATCH | {"async": True}]).foreign == ("tools[0].async",)
    assert parse(tools=[SHELL | {"async": True}]).foreign == ("tools[0].async",)


@pytest.mark.parametrize(
    ("tool", "param"),
    [
        ({"type": "custom"}, "tools[0].name"),
        (PATCH | {"format": {"type": "grammar", "syntax": "lark"}}, "tools[0].format.definition"),
        (PATCH | {"format": "lark"}, "tools[0].format"),
        (PATCH | {"format": {"type": 1}}, "tools[0].format.type"),
    ],
)
def test_a_mistake_names_its_field(tool: dict[str, Any], param: str) -> None:
    with pytest.raises(ClientMistake) as caught:
        parse(tools=[tool])
    assert caught.value.param == param


def test_a_format_of_another_kind_of_tool_is_nobodys_mistake() -> None:
    assert parse(tools=[{"type": "of_next_year", "format": "png"}]).foreign == ("tools[0].type=of_next_year",)


def test_a_choice_by_name_and_by_a_set_of_names_may_be_of_custom_tools() -> None:
    chosen = parse(tools=[SHELL, PATCH], tool_choice={"type": "custom", "name": "apply_patch"})
    assert (chosen.tool_choice, chosen.foreign) == (ToolChoice("tool", "apply_patch"), ())
    listed = [{"type": "custom", "name": "apply_patch"}]
    allowed = parse(tools=[SHELL, PATCH], tool_choice={"type": "allowed_tools", "mode": "auto", "tools": listed})
    assert ([tool.name for tool in allowed.tools], allowed.tool_choice) == (["apply_patch"], ToolChoice("auto"))


def test_calls_and_their_results_in_the_history_are_those_of_a_function() -> None:
    call = {"type": "custom_tool_call", "call_id": "c", "name": "apply_patch", "input": TEXT, "id": "ctc_1"}
    image = {"type": "input_image", "image_url": "https://a/b.png"}
    outputs: list[Any] = ["Done.", [{"type": "input_text", "text": "Done."}, image]]
    for output in outputs:
        result = {"type": "custom_tool_call_output", "call_id": "c", "output": output}
        request = parse(input=[{"role": "user", "content": "Hi"}, call, result])
        assert request.foreign == ()
        assert request.messages[1] == Message("assistant", (ToolUse("c", "apply_patch", arguments_of(TEXT)),))
        (part,) = request.messages[2].parts
        assert isinstance(part, ToolResult)
        assert (part.id, part.parts[0]) == ("c", Text("Done."))
    assert parse(input=[call | {"namespace": "n"}]).foreign == ("input[0].namespace",)
    assert parse(input=[call | {"caller": {"type": "program", "caller_id": "p"}}]).foreign == ("input[0].caller",)


def test_the_client_gets_a_call_of_text_back_event_by_event() -> None:
    raw = rendered(answer(*arguments_of(TEXT)))
    item = {"type": "custom_tool_call", "id": "ctc_s_1", "call_id": "call_1", "name": "apply_patch"}
    at = {"item_id": "ctc_s_1", "output_index": 1}
    told = [{k: v for k, v in event.items() if k != "sequence_number"} for event in sse(raw)]
    whole = item | {"input": TEXT, "status": "completed"}
    assert told[-4:-1] == [
        {"type": "response.custom_tool_call_input.delta", **at, "delta": TEXT},
        {"type": "response.custom_tool_call_input.done", **at, "input": TEXT},
        {"type": "response.output_item.done", "output_index": 1, "item": whole},
    ]
    begun = item | {"input": "", "status": "in_progress"}
    assert {"type": "response.output_item.added", "output_index": 1, "item": begun} in told
    assert told[-1]["response"]["output"][1] == whole
    body, losses = DIALECT.render_answer(fold(answer(arguments_of(TEXT))), HEAD, None)
    assert (json.loads(body)["output"][1], losses) == (whole, ())


@pytest.mark.parametrize("arguments", [TEXT, "[1]", '{"input":1}', '{"input":"a","b":1}', '"x"', '{"input":"cut', "{{"])
def test_arguments_of_another_form_are_the_text_themselves(arguments: str) -> None:
    _, response = sdk_stream(rendered(answer(arguments)))
    assert response.output[1].input == arguments
    body, _ = DIALECT.render_answer(fold(answer(arguments)), HEAD, None)
    assert json.loads(body)["output"][1]["input"] == arguments


@pytest.mark.parametrize("arguments", ["", " ", "{}"])
def test_a_call_without_arguments_has_an_empty_text(arguments: str) -> None:
    raw = rendered(answer(arguments))
    assert not any(event["type"].endswith("input.delta") for event in sse(raw))
    assert sse(raw)[-1]["response"]["output"][1]["input"] == ""


def test_functions_beside_it_stay_functions_and_so_do_names_that_nobody_asked_for() -> None:
    for name in ("shell", "unknown"):
        assert sse(rendered(answer("{}", name=name)))[-1]["response"]["output"][1]["type"] == "function_call"
    plain = rendered(answer(arguments_of("x")), Head("s", "m"))
    assert sse(plain)[-1]["response"]["output"][1]["type"] == "function_call"


def test_a_cut_answer_has_an_incomplete_call() -> None:
    events: list[Event] = [ToolCallStarted(0, "c", "apply_patch"), ToolCallDelta(0, '{"input":"*** Beg')]
    final = check_grammar(rendered([*events, Finished("length")]))
    assert (final["status"], final["output"][0]["status"]) == ("incomplete", "incomplete")


def test_the_sdk_reads_it_streamed_and_whole() -> None:
    raw = rendered(answer(arguments_of(TEXT)))
    for event in sdk_create(raw):
        type(event).model_validate(event.to_dict())
    seen, response = sdk_stream(raw)
    assert "".join(event.delta for event in seen if event.type == "response.custom_tool_call_input.delta") == TEXT
    body, _ = DIALECT.render_answer(fold(answer(arguments_of(TEXT))), HEAD, None)
    for call in (response.output[1], sdk_whole(body).output[1]):
        assert isinstance(call, ResponseCustomToolCall)
        assert (call.name, call.call_id, call.input) == ("apply_patch", "call_1", TEXT)


@few
@given(words)
def test_a_text_is_the_same_after_it_was_arguments(text: str) -> None:
    assert input_of(arguments_of(text)) == text


@few
@given(st.lists(st.tuples(st.sampled_from(["apply_patch", "shell"]), words), max_size=4), st.data())
def test_an_answer_with_such_calls_is_the_same_after_rendering_and_parsing_however_cut(
    calls: list[tuple[str, str]], data: st.DataObject
) -> None:
    events: list[Event] = []
    for number, (name, text) in enumerate(calls):
        events.append(ToolCallStarted(number, f"call_{number}", name))
        arguments = arguments_of(text)
        cuts = sorted(data.draw(st.lists(st.integers(0, len(arguments)), max_size=3)))
        events += [ToolCallDelta(number, arguments[a:b]) for a, b in pairwise([0, *cuts, len(arguments)])]
    events += [UsageSeen(Usage(1, 0, 0, 2)), Finished("tool_calls" if calls else "stop")]
    raw = rendered(events)
    got, complete = parse_stream(raw, data.draw(st.lists(st.integers(0, 10**5), max_size=5)))
    assert complete
    assert fold(got).choices == fold(events).choices
    body, _ = DIALECT.render_answer(fold(events), HEAD, None)
    assert fold(DIALECT.parse_answer(body, "s")).choices == fold(events).choices


def test_what_is_no_list_of_tools_has_no_custom_ones() -> None:
    listed = b'{"type":"custom"'
    for tools in (
        b"",
        b"[]",
        listed + b"}",
        b'[%b,"name":5}]' % listed,
        b'["custom"]',
        b"[" + listed,
        b'["custom\xff"]',
    ):
        assert custom_names(tools) == frozenset()
    assert custom_names(json.dumps([SHELL, PATCH]).encode()) == {"apply_patch"}


def test_the_grammar_knows_how_such_an_item_begins_and_ends() -> None:
    raw = rendered(answer(arguments_of("a")))
    assert violations("openai.responses", raw.replace(b'"input":"","status"', b'"input":"x","status"'))
    assert violations("openai.responses", raw.replace(b'"input":"a","sequence', b'"input":"b","sequence'))
    assert violations("openai.responses", raw.replace(b'"delta":"a"', b'"delta":"b"'))
