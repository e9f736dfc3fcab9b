"""The grammar of Messages events: good streams pass, and each rule is broken by a stream that breaks it only."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.testing.grammar import MessagesGrammar
from testing.grammar_support import apart, broken, check_any_cut, check_prefixes
from testing.grammar_support import sse as events_of

DIALECT = "anthropic.messages"
MESSAGE = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "output_tokens": 1},
}
START = {"type": "message_start", "message": MESSAGE}
PING = {"type": "ping"}
STOP = {"type": "message_stop"}
ERROR = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}


def sse(*events: Any) -> bytes:
    return events_of(*events, names=True)


def begin(index: Any, kind: str = "text", **fields: Any) -> dict[str, Any]:
    given = {
        "text": {"text": ""},
        "thinking": {"thinking": "", "signature": ""},
        "tool_use": {"id": f"toolu_{index}", "name": "f", "input": {}},
    }
    block = {"type": kind, **given.get(kind, {}), **fields}
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: Any, kind: str = "text_delta", **fields: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


def end(index: Any) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def stopped(reason: Any = "end_turn", sequence: Any = None, **usage: Any) -> dict[str, Any]:
    said = {"stop_reason": reason, "stop_sequence": sequence}
    return {"type": "message_delta", "delta": said, "usage": {"output_tokens": 4, **usage}}


def tool(index: int, *pieces: str, **fields: Any) -> list[dict[str, Any]]:
    said = [delta(index, "input_json_delta", partial_json=piece) for piece in pieces]
    return [begin(index, "tool_use", **fields), *said, end(index)]


TEXT = [begin(0), delta(0, text="Grüße"), end(0)]
END = [stopped(), STOP]
PLAIN = sse(START, *TEXT, *END)
GOOD = {
    "text": PLAIN,
    "nothing": sse(START, *END),
    "pings": sse(PING, START, PING, begin(0), PING, delta(0, text="a"), end(0), PING, stopped(), PING, STOP),
    "thinking and tools": sse(
        START,
        begin(0, "thinking"),
        delta(0, "thinking_delta", thinking="hm"),
        delta(0, "signature_delta", signature="s"),
        end(0),
        begin(1, "redacted_thinking", data="x"),
        end(1),
        *tool(2, '{"a":', "1}"),
        *tool(3),
        *tool(4, ""),
        stopped("tool_use"),
        STOP,
    ),
    "a tool cut off": sse(START, *tool(0, '{"a":'), stopped("max_tokens"), STOP),
    "a stop sequence": sse(START, *TEXT, stopped("stop_sequence", "END"), STOP),
    "tools of the server": sse(
        START,
        begin(0, "server_tool_use", id="s", name="web_search", input={}),
        delta(0, "input_json_delta", partial_json="{}"),
        end(0),
        begin(1, "web_search_tool_result", tool_use_id="s", content=[]),
        end(1),
        begin(2),
        delta(2, "citations_delta", citation={}),
        end(2),
        *END,
    ),
    "an error at once": sse(ERROR),
    "an error in a block": sse(START, begin(0), delta(0, text="a"), ERROR),
}

BAD: dict[str, list[bytes]] = {
    "sse": [b"event: ping\n\n" + PLAIN, b"oops\n" + PLAIN],
    "json": [b"event: ping\ndata: 5\n\n" + PLAIN],
    "cut": [PLAIN + b"event: x\n"],
    "name": [PLAIN.replace(b"event: message_stop\n", b""), PLAIN.replace(b"event: message_start", b"event: start")],
    "known": [sse(START, {"type": "completion"}, *END)],
    "start": [sse(PING, stopped(), START, *END), sse(START, START, *END)],
    "start-shape": [
        sse({**START, "message": {**MESSAGE, **wrong}}, *END)
        for wrong in (
            {"id": ""},
            {"model": None},
            {"type": "completion"},
            {"role": "user"},
            {"content": [{}]},
            {"stop_reason": "end_turn"},
            {"usage": {}},
            {"usage": None},
            {"usage": {"input_tokens": 3, "output_tokens": -1}},
        )
    ]
    + [sse({"type": "message_start"}, *END)],
    "block-index": [sse(START, begin(1), end(1), *END), sse(START, *TEXT, *TEXT, *END)],
    "block-single": [sse(START, begin(0), begin(1), end(1), *END)],
    "block-shape": [
        sse(START, begin(0, text=None), end(0), *END),
        sse(START, {**begin(0), "content_block": {}}, end(0), *END),
        sse(START, begin(0, "thinking", signature=None), end(0), *END),
        sse(START, begin(0, "redacted_thinking", data=""), end(0), *END),
        sse(START, *tool(0, id=""), *END),
        sse(START, *tool(0, name=""), *END),
        sse(START, *tool(0, input=""), *END),
    ],
    "block-open": [
        sse(START, *TEXT, delta(0, text="a"), *END),
        sse(START, begin(0), delta(1, text="a"), end(0), *END),
        sse(START, *TEXT, end(0), *END),
        sse(START, begin(0), end(1), end(0), *END),
    ],
    "delta-type": [
        sse(START, begin(0), delta(0, "input_json_delta", partial_json=""), end(0), *END),
        sse(START, begin(0, "thinking"), delta(0, text="a"), end(0), *END),
        sse(START, begin(0, "tool_use"), delta(0, text="a"), end(0), *END),
        sse(START, begin(0, "redacted_thinking", data="x"), delta(0, "thinking_delta", thinking="a"), end(0), *END),
        sse(START, begin(0), {"type": "content_block_delta", "index": 0}, end(0), *END),
    ],
    "delta-shape": [sse(START, begin(0), delta(0, text=None), end(0), *END)],
    "signature-last": [
        sse(START, begin(0, "thinking"), *[delta(0, "signature_delta", signature="s")] * 2, end(0), *END),
        sse(
            START,
            begin(0, "thinking"),
            delta(0, "signature_delta", signature="s"),
            delta(0, "thinking_delta", thinking="a"),
            end(0),
            *END,
        ),
    ],
    "tool-unique": [sse(START, *tool(0, id="t"), *tool(1, id="t"), *END)],
    "tool-input": [
        sse(START, *tool(0, '{"a":'), stopped("tool_use"), STOP),
        sse(START, *tool(0, "[1]"), stopped("tool_use"), STOP),
        sse(START, *tool(0, "null"), stopped("tool_use"), STOP),
        sse(START, *tool(0, "{"), *tool(1, "{"), stopped("max_tokens"), STOP),
    ],
    "delta-last": [
        sse(START, begin(0), stopped(), STOP),
        sse(START, stopped(), *TEXT, STOP),
        sse(START, stopped(), *END),
    ],
    "stop-reason": [
        sse(START, stopped("stop"), STOP),
        sse(START, stopped(None), STOP),
        sse(START, stopped("stop_sequence"), STOP),
        sse(START, stopped("end_turn", "END"), STOP),
    ],
    "stop-tool": [sse(START, *TEXT, stopped("tool_use"), STOP)],
    "usage": [sse(START, stopped(output_tokens=0), STOP), sse(START, {**stopped(), "usage": None}, STOP)],
    "stop": [PLAIN + sse(PING), sse(START, *TEXT, END[0]), PLAIN + b"data: [DONE]\n\n"],
    "error": [sse(START, {"type": "error", "error": {"type": "x"}}), sse({"type": "error", "error": "x"})],
    "after-error": [sse(START, ERROR, *END), sse(ERROR, PING)],
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_stream_passes(name: str) -> None:
    assert broken(DIALECT, GOOD[name]) == set()
    check_any_cut(DIALECT, GOOD[name])


@pytest.mark.parametrize(("rule", "stream"), [(rule, one) for rule, streams in BAD.items() for one in streams])
def test_a_stream_that_breaks_one_rule_is_told_so(rule: str, stream: bytes) -> None:
    assert broken(DIALECT, stream) == {rule}
    check_any_cut(DIALECT, stream)


def test_every_rule_has_a_stream_that_breaks_it() -> None:
    assert BAD.keys() == MessagesGrammar.RULES.keys()


def test_a_cut_stream_is_no_whole_one() -> None:
    check_prefixes(DIALECT, apart(GOOD["thinking and tools"]))
    check_prefixes(DIALECT, apart(GOOD["pings"]))


def test_a_message_without_its_start_is_told_so() -> None:
    assert broken(DIALECT, sse(STOP)) == {"start", "stop", "delta-last"}
    assert broken(DIALECT, sse(START, STOP)) == {"stop"}
    assert broken(DIALECT, sse(START, START, *END)) == {"start"}


def test_the_mark_of_a_gateway_in_between_is_an_accent() -> None:
    assert broken(DIALECT, PLAIN + b"event: data\ndata: [DONE]\n\n", "done after stop") == set()
    for accent in MessagesGrammar.ACCENTS.values():
        assert accent.forgives <= MessagesGrammar.RULES.keys()
