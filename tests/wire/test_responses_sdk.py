"""Answers of the Responses dialect as OpenAI's own SDK reads them."""

from __future__ import annotations

from typing import Any

import openai
import pytest
from pydantic import BaseModel

from afterbay.core.errors import Capacity
from afterbay.core.event import (
    Event,
    Finished,
    ReasoningDelta,
    ReasoningSignature,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
    fold,
)
from afterbay.core.usage import Usage
from afterbay.wire.dialect import Head
from afterbay.wire.openai_responses import DIALECT
from wire.responses_support import check_grammar, client, sdk_create, sdk_stream, sdk_whole

HEAD = Head(seed="s", model="m", created_s=1_790_000_000)
ANSWER: list[Event] = [
    Started("resp_x", "m"),
    ReasoningDelta("Let me "),
    ReasoningDelta("see."),
    ReasoningSignature("rs_1|gA"),
    TextDelta("Hel"),
    TextDelta("lo"),
    ToolCallStarted(0, "c0", "f"),
    ToolCallDelta(0, '{"city":'),
    ToolCallStarted(1, "c1", "f"),
    ToolCallDelta(0, '"Paris"}'),
    ToolCallDelta(1, '{"city":"Rome"}'),
    UsageSeen(Usage(10, 5, 3, 7, 2)),
    Finished("tool_calls"),
]


def rendered(events: list[Event], head: Head = HEAD) -> bytes:
    renderer = DIALECT.renderer(head)
    ping = renderer.ping()
    raw = ping + b"".join(renderer.render([event]) + ping for event in events) + renderer.finish({"cost": 1})
    check_grammar(raw)
    return raw


def test_the_stream_helper_accumulates_what_was_said() -> None:
    events, response = sdk_stream(rendered(ANSWER))
    assert response.output_text == "Hello"
    assert [event.snapshot for event in events if event.type == "response.output_text.delta"] == ["Hel", "Hello"]
    calls = [item for item in response.output if item.type == "function_call"]
    assert [(one.call_id, one.arguments) for one in calls] == [
        ("c0", '{"city":"Paris"}'),
        ("c1", '{"city":"Rome"}'),
    ]
    thought = response.output[0]
    assert (thought.summary[0].text, thought.encrypted_content) == ("Let me see.", "gA")
    assert (response.usage.input_tokens, response.usage.input_tokens_details.cached_tokens) == (18, 5)
    assert response.usage.output_tokens_details.reasoning_tokens == 2


def test_the_plain_stream_has_typed_events_with_rising_numbers() -> None:
    events = sdk_create(rendered(ANSWER))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    for event in events:
        type(event).model_validate(event.to_dict())


def test_a_whole_answer_is_what_the_stream_ends_with() -> None:
    body, losses = DIALECT.render_answer(fold(ANSWER), HEAD, {"cost": 1})
    assert losses == ()
    whole, last = sdk_whole(body), sdk_create(rendered(ANSWER))[-1].response
    assert whole.output_text == last.output_text == "Hello"
    assert [item.type for item in whole.output] == [item.type for item in last.output]
    assert whole.usage == last.usage
    assert whole.status == last.status == "completed"


def test_tools_that_are_echoed_let_the_helper_read_arguments() -> None:
    tool: Any = {
        "type": "function",
        "name": "f",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    _, response = sdk_stream(rendered(ANSWER), tools=[tool])
    assert [item.parsed_arguments for item in response.output if item.type == "function_call"] == [
        {"city": "Paris"},
        {"city": "Rome"},
    ]


class City(BaseModel):
    name: str


def test_an_answer_of_a_form_is_parsed_by_the_helper() -> None:
    _, response = sdk_stream(
        rendered([TextDelta('{"name"'), TextDelta(':"Paris"}'), Finished("stop")]), text_format=City
    )
    assert response.output_parsed == City(name="Paris")


def test_a_refusal_is_one_for_the_sdk() -> None:
    _, response = sdk_stream(rendered([RefusalDelta("No"), RefusalDelta("."), Finished("stop")]))
    assert response.output[0].content[0].refusal == "No."


def test_an_incomplete_answer_ends_as_one() -> None:
    events, response = sdk_stream(rendered([TextDelta("Hel"), Finished("length")]))
    assert events[-1].type == "response.incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert response.output[0].status == "incomplete"


@pytest.mark.parametrize("events", [[], [TextDelta("Hel")]])
def test_a_failure_reaches_the_reader_as_a_failed_response(events: list[Event]) -> None:
    renderer = DIALECT.renderer(HEAD)
    raw = renderer.render(events) + renderer.fail(Capacity("Full.", kind="rate_limit"))
    seen, response = sdk_stream(raw)
    assert seen[-1].type == sdk_create(raw)[-1].type == "response.failed"
    assert (response.status, response.error.code) == ("failed", "rate_limit_exceeded")
    assert response.error.message.startswith("Full.")


def test_an_error_body_raises_with_its_words() -> None:
    body = DIALECT.render_error(Capacity("Full.", code="queue_full", kind="rate_limit"), "req_1")
    with pytest.raises(openai.RateLimitError, match="Full") as caught:
        client(body, "application/json", 429).responses.create(model="m", input="x")
    assert caught.value.code == "queue_full"
