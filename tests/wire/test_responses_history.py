"""What a store of responses needs of a body."""

from __future__ import annotations

import json

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.message import Message, Text, ToolResult, ToolUse
from afterbay.wire.openai_responses import DIALECT
from afterbay.wire.openai_responses.history import expand, input_items, previous_response_id

CALL = b'{"type":"function_call","call_id":"c","name":"f","arguments":"{}","weight":1.50}'
EARLIER = [b'{"role":"user","content":"Hi"}', CALL]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        (b'{"previous_response_id":"resp_1","input":"x"}', "resp_1"),
        (b'{"previous_response_id":null,"input":"x"}', None),
        (b'{"previous_response_id":"","input":"x"}', None),
        (b'{"input":"x"}', None),
    ],
)
def test_a_body_says_which_response_it_continues(body: bytes, wanted: str | None) -> None:
    assert previous_response_id(body) == wanted


def test_earlier_items_stand_before_the_body_s_own_and_all_else_stays() -> None:
    body = (
        b'{"model":"m","previous_response_id":"resp_1","temperature":1.0,"input":'
        b'[{"type":"function_call_output","call_id":"c","output":"ok"}],"stream":true}'
    )
    whole = expand(body, EARLIER)
    assert whole == (
        b'{"model":"m","temperature":1.0,"input":[{"role":"user","content":"Hi"},'
        + CALL
        + b',{"type":"function_call_output","call_id":"c","output":"ok"}],"stream":true}'
    )
    request = DIALECT.parse_request(whole, None, None)
    assert request.foreign == ()
    assert request.messages == (
        Message("user", (Text("Hi"),)),
        Message("assistant", (ToolUse("c", "f", "{}"),)),
        Message("tool", (ToolResult("c", (Text("ok"),)),)),
    )


@pytest.mark.parametrize("given", ['"And \\u00e9?"', "null", None])
def test_a_string_becomes_a_message_and_nothing_nothing(given: str | None) -> None:
    body = b'{"model":"m"' + (f',"input":{given}'.encode() if given else b"") + b"}"
    items = json.loads(expand(body, EARLIER))["input"]
    own = [{"type": "message", "role": "user", "content": "And é?"}] if given and given != "null" else []
    assert items == [*map(json.loads, EARLIER), *own]


@pytest.mark.parametrize("read", [previous_response_id, input_items, lambda body: expand(body, [])])
@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff"])
def test_what_is_no_object_is_the_client_s_mistake(read: object, body: bytes) -> None:
    with pytest.raises(ClientMistake):
        read(body)  # type: ignore[operator]  # each of them is a function


def test_input_items_are_shown_in_full_form_each_with_an_id_of_its_own() -> None:
    given = [
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"type": "message", "id": "msg_own", "role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}", "status": "incomplete"},
        {"type": "function_call_output", "call_id": "c", "output": "ok"},
        {"type": "reasoning", "summary": [], "encrypted_content": "gA"},
        {"type": "item_reference", "id": "msg_9"},
        {"type": "computer_call", "call_id": "k"},
    ]
    body = json.dumps({"model": "m", "instructions": "x", "input": given}).encode()
    shown = input_items(body)
    assert shown == input_items(body)
    ids = [item["id"] for item in shown]
    assert len(set(ids)) == len(ids)
    assert [one.rsplit("_", 1)[0] for one in ids] == [
        *("msg", "msg", "msg", "msg", "fc", "fco", "rs", "msg", "computer_call"),
    ]
    assert shown[0] == {
        "type": "message",
        "id": ids[0],
        "status": "completed",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi"}],
    }
    assert shown[2]["content"] == [{"type": "output_text", "text": "Yes?", "annotations": []}]
    assert (shown[3]["id"], shown[7]) == ("msg_own", given[7])
    assert [item.get("status") for item in shown[4:7]] == ["incomplete", "completed", None]


def test_a_string_is_one_item_and_no_input_none() -> None:
    assert [item["content"] for item in input_items(b'{"input":"Hi"}')] == [[{"type": "input_text", "text": "Hi"}]]
    assert input_items(b'{"model":"m"}') == []
