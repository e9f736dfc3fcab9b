"""The grammar of chat completion chunks: good streams pass, and each rule is broken by a stream that breaks it only."""

from __future__ import annotations

from typing import Any

import pytest

from afterbay.testing.grammar import ChatGrammar, grammar_of
from testing.grammar_support import apart, broken, check_any_cut, check_prefixes, sse

DIALECT = "openai.chat"
USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DONE = "data: [DONE]\n\n"


def choice(delta: dict[str, Any], index: int = 0, finish: str | None = None) -> dict[str, Any]:
    return {"index": index, "delta": delta, "finish_reason": finish}


def chunk(*choices: Any, **fields: Any) -> dict[str, Any]:
    frame = {"id": "c1", "object": "chat.completion.chunk", "created": 5, "model": "m", "choices": list(choices)}
    return {k: v for k, v in {**frame, **fields}.items() if v is not ...}


def call(index: Any, arguments: Any = "", **fields: Any) -> dict[str, Any]:
    name = {"name": fields.pop("name")} if "name" in fields else {}
    function = name if arguments is ... else {**name, "arguments": arguments}
    return {"index": index, **fields, "function": function}


def calls(*pieces: dict[str, Any], **more: Any) -> dict[str, Any]:
    return chunk(choice({"tool_calls": list(pieces), **more}))


ROLE = chunk(choice({"role": "assistant", "content": ""}))
TEXT = chunk(choice({"content": "Grüße"}))
STOP = chunk(choice({}, finish="stop"))
COUNTED = chunk(usage=USAGE)
OPENING = call(0, id="a", type="function", name="f")
ERROR = {"error": {"message": "broken", "type": "server_error"}}

PLAIN = sse(ROLE, TEXT, STOP, DONE)
GOOD = {
    "text": PLAIN,
    "usage": sse(ROLE, TEXT, STOP, COUNTED, DONE),
    "usage that nobody knows": sse(ROLE, STOP, chunk(usage=None), DONE),
    "comments and CRLF": b": hello\r\n\r\n" + PLAIN.replace(b"\n", b"\r\n"),
    "calls": sse(
        ROLE,
        calls(OPENING),
        calls(call(0, '{"a":')),
        calls(call(1, "{", id="b", type="function", name="g"), call(0, "1}")),
        calls(call(1, "}")),
        chunk(choice({}, finish="tool_calls")),
        DONE,
    ),
    "proofs": sse(ROLE, chunk(choice({"reasoning_details": [{"type": "reasoning.text", "index": 0}]})), STOP, DONE),
    "a call cut off": sse(ROLE, calls(OPENING), chunk(choice({}, finish="length")), DONE),
    "two choices": sse(
        ROLE,
        chunk(choice({"role": "assistant", "refusal": "no"}, 1)),
        STOP,
        chunk(choice({}, 1, "content_filter")),
        DONE,
    ),
    "an error at once": sse(ERROR),
    "an error later": sse(ROLE, TEXT, ERROR),
}

BAD: dict[str, list[bytes]] = {
    "sse": [sse("dta: 1\n", PLAIN), sse("event: x\n\n", PLAIN), b'data: "\xff"\n\n' + PLAIN],
    "json": [sse("data: {\n\n", PLAIN), sse("data: [1]\n\n", PLAIN)],
    "cut": [PLAIN + b"event: x\n", PLAIN + b"data: "],
    "unnamed": [b"event: message\n" + PLAIN],
    "object": [
        sse({**ROLE, "object": "chat.completion"}, STOP, DONE),
        sse(chunk(choice({"role": "assistant"}), object=...), STOP, DONE),
    ],
    "same": [
        sse(ROLE, {**TEXT, "id": "c2"}, STOP, DONE),
        sse(ROLE, {**TEXT, "model": "n"}, STOP, DONE),
        sse(ROLE, chunk(choice({}, finish="stop"), id=...), DONE),
    ],
    "created": [
        sse(ROLE, {**TEXT, "created": 6}, STOP, DONE),
        sse({**ROLE, "created": "5"}, {**STOP, "created": "5"}, DONE),
    ],
    "choices": [
        sse(ROLE, chunk(choices=None), STOP, DONE),
        sse(ROLE, chunk({"index": 0, "finish_reason": None}), STOP, DONE),
        sse(ROLE, chunk(7), STOP, DONE),
    ],
    "choice-rising": [sse(chunk(choice({"role": "assistant"}, 1)), chunk(choice({}, 1, "stop")), DONE)],
    "role": [
        sse(TEXT, STOP, DONE),
        sse(ROLE, ROLE, STOP, DONE),
        sse(chunk(choice({"role": "user"})), STOP, DONE),
        sse(ROLE, chunk(choice({"content": "x"}, 1)), STOP, chunk(choice({}, 1, "stop")), DONE),
    ],
    "delta": [
        sse(ROLE, chunk(choice({"content": ["x"]})), STOP, DONE),
        sse(ROLE, chunk(choice({"tool_calls": {}})), STOP, DONE),
        sse(ROLE, chunk(choice({"tool_calls": [1]})), STOP, DONE),
    ],
    "call-dense": [
        sse(ROLE, calls(call(1, "{}", id="a", type="function", name="f")), STOP, DONE),
        sse(ROLE, calls(call(None, "{}", id="a", type="function", name="f")), STOP, DONE),
    ],
    "call-opening": [
        sse(ROLE, calls(call(0, "{}", type="function", name="f")), STOP, DONE),
        sse(ROLE, calls(call(0, "{}", id="a", name="f")), STOP, DONE),
        sse(ROLE, calls(call(0, "{}", id="a", type="function", name="")), STOP, DONE),
        sse(ROLE, calls(call(0, ..., id="a", type="function", name="f")), calls(call(0, "{}")), STOP, DONE),
    ],
    "details": [
        sse(ROLE, chunk(choice({"reasoning_details": "x"})), STOP, DONE),
        sse(ROLE, chunk(choice({"reasoning_details": [{"text": "x"}]})), STOP, DONE),
        sse(ROLE, chunk(choice({"reasoning_details": ["x"]})), STOP, DONE),
    ],
    "call-again": [
        sse(ROLE, calls(OPENING), calls(call(0, "{}", id="a")), STOP, DONE),
        sse(ROLE, calls(OPENING), calls(call(0, "{}", type="function")), STOP, DONE),
        sse(ROLE, calls(OPENING), calls(call(0, "{}", name="f")), STOP, DONE),
    ],
    "call-pieces": [sse(ROLE, calls(OPENING), calls(call(0, ...)), calls(call(0, "{}")), STOP, DONE)],
    "call-unique": [
        sse(ROLE, calls(OPENING), calls(call(0, "{}"), call(1, "{}", id="a", type="function", name="f")), STOP, DONE)
    ],
    "call-arguments": [
        sse(ROLE, calls(OPENING), STOP, DONE),
        sse(ROLE, calls(OPENING), calls(call(0, " ")), STOP, DONE),
    ],
    "finish-key": [sse(ROLE, chunk({"index": 0, "delta": {}}), STOP, DONE)],
    "finish": [sse(ROLE, chunk(choice({}, finish="end_turn")), DONE)],
    "finish-once": [sse(ROLE, STOP, STOP, DONE), sse(ROLE, TEXT, DONE)],
    "after-finish": [sse(ROLE, STOP, TEXT, DONE)],
    "usage-chunk": [sse(ROLE, STOP, chunk(), DONE), sse(ROLE, COUNTED, STOP, DONE)],
    "usage-once": [sse(ROLE, STOP, COUNTED, COUNTED, DONE)],
    "usage-alone": [sse(ROLE, {**STOP, "usage": USAGE}, DONE)],
    "usage-counts": [
        sse(ROLE, STOP, chunk(usage={**USAGE, "total_tokens": 8}), DONE),
        sse(ROLE, STOP, chunk(usage={}), DONE),
        sse(ROLE, STOP, chunk(usage={**USAGE, "prompt_tokens": "3"}), DONE),
    ],
    "error": [sse(ROLE, {"error": "broken"}), sse({"error": {"message": ""}})],
    "after-error": [sse(ERROR, DONE), sse(ROLE, ERROR, STOP)],
    "done": [sse(ROLE, STOP), PLAIN + sse(COUNTED), PLAIN + DONE.encode()],
    "empty": [DONE.encode()],
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
    assert BAD.keys() == ChatGrammar.RULES.keys()


def test_a_cut_stream_is_no_whole_one() -> None:
    check_prefixes(DIALECT, apart(GOOD["calls"]))
    check_prefixes(DIALECT, apart(GOOD["usage"]))


def test_a_sentence_names_the_event_and_the_rule() -> None:
    grammar = grammar_of(DIALECT)
    grammar.feed(sse(ROLE, TEXT, {**TEXT, "id": "other"}))
    assert grammar.violations == ["event 3: id was 'c1' and is 'other' [same]"]
    assert grammar.end()[-1] == "at the end: there is no [DONE] [done]"


def test_an_accent_forgives_its_rules_alone() -> None:
    stream = sse(ROLE, ROLE, {**STOP, "usage": USAGE}, DONE)
    assert broken(DIALECT, stream) == {"role", "usage-alone"}
    assert broken(DIALECT, stream, "usage beside choices") == {"role"}
    assert broken(DIALECT, stream, "usage beside choices", "role in every delta") == set()
    with pytest.raises(ValueError, match=r"no accent 'x'; there are .*no done"):
        grammar_of(DIALECT, "x")


def test_accents_forgive_rules_that_exist() -> None:
    for accent in ChatGrammar.ACCENTS.values():
        assert accent.forgives <= ChatGrammar.RULES.keys()


def test_a_stream_of_mistakes_is_told_up_to_a_bound() -> None:
    grammar = grammar_of(DIALECT)
    grammar.feed(sse(*[{}] * 500))
    assert len(grammar.violations) == 100
