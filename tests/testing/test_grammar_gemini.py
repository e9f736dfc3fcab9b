"""The grammar of Gemini's streams, in both framings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.testing.grammar import GeminiGrammar
from afterbay.testing.grammar.gemini import is_base64
from testing.grammar_support import apart, broken, check_any_cut, check_prefixes, fed_in_pieces, rules, sse

DIALECT = "gemini"
USAGE = {"promptTokenCount": 3, "candidatesTokenCount": 2, "thoughtsTokenCount": 1, "totalTokenCount": 6}
ERROR = {"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}


def chunk(*parts: Any, finish: Any = None, usage: Any = USAGE, **fields: Any) -> dict[str, Any]:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "index": 0, "finishReason": finish}
    said = {k: v for k, v in candidate.items() if v is not None} | fields
    return {"candidates": [said], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}


def called(**call: Any) -> dict[str, Any]:
    return chunk({"functionCall": {"name": "f", "args": {}, **call}})


def array(*chunks: Any) -> bytes:
    return b"[" + b",\r\n".join(json.dumps(one, ensure_ascii=False, indent=2).encode() for one in chunks) + b"\n]\n"


TEXT = chunk({"text": 'Grüße [{"'})
STOP = chunk({"text": ""}, finish="STOP")
BARE = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": USAGE, "modelVersion": "m", "responseId": "r"}
CHUNKS: dict[str, list[Any]] = {
    "text": [TEXT, STOP],
    "a finish without content": [TEXT, BARE],
    "usage after the finish": [STOP, {k: v for k, v in TEXT.items() if k != "candidates"}],
    "thoughts and calls": [
        chunk({"text": "hm", "thought": True}),
        chunk({"functionCall": {"name": "f", "args": {"a": 1}, "id": "x"}, "thoughtSignature": "aGk="}),
        chunk({"functionCall": {"name": "f"}}, {"text": "", "thoughtSignature": "aGk_"}),
        STOP,
    ],
    "two candidates": [{**TEXT, "candidates": [*TEXT["candidates"], {**STOP["candidates"][0], "index": 1}]}, STOP],
    "a blocked prompt": [{"promptFeedback": {"blockReason": "SAFETY"}, "usageMetadata": {}}],
    "an error": [TEXT, ERROR],
    "an error at once": [ERROR],
}
CHUNKS["a blocked prompt"][0]["usageMetadata"] = {"promptTokenCount": 3, "totalTokenCount": 3}
PLAIN = sse(TEXT, STOP)

BAD: dict[str, list[bytes]] = {
    "sse": [b"data: \xff\n\n" + PLAIN],
    "json": [sse("data: [1]\n\n", PLAIN)],
    "cut": [PLAIN + b"data: "],
    "line": [b": comment\n\n" + PLAIN, b"event: x\n" + PLAIN],
    "array": [
        array(TEXT, STOP)[:-2],
        array(TEXT, STOP) + b"]",
        array(TEXT, STOP).replace(b"},\r\n{", b"}\r\n{"),
        b"[7]",
        b"[" + json.dumps(STOP).encode() + b",]",
        b'[{"candidates": "\xff',
    ],
    "chunk": [sse({}, PLAIN), sse({"modelVersion": "m", "responseId": "r"}, PLAIN)],
    "same": [sse(TEXT, {**STOP, "responseId": "s"}), sse(TEXT, {**STOP, "modelVersion": "n"})],
    "candidate": [
        sse({**TEXT, "candidates": {}}, STOP),
        sse({**TEXT, "candidates": [{**TEXT["candidates"][0], "index": "0"}]}, STOP),
        sse({**TEXT, "candidates": TEXT["candidates"] * 2}, STOP),
        sse(chunk(content={"role": "user", "parts": []}), STOP),
        sse(chunk(content={"parts": [{"text": "a"}]}), STOP),
        sse(chunk(content={"role": "model", "parts": [5]}), STOP),
        sse(chunk(content="text"), STOP),
    ],
    "part": [
        sse(chunk({}), STOP),
        sse(chunk({"text": "a", "functionCall": {"name": "f"}}), STOP),
        sse(chunk({"text": 5}), STOP),
        sse(chunk({"text": "a", "thought": "yes"}), STOP),
    ],
    "signature": [
        sse(chunk({"text": "", "thoughtSignature": "a b"}), STOP),
        sse(chunk({"text": "", "thoughtSignature": ""}), STOP),
    ],
    "call": [
        sse(called(name=""), STOP),
        sse(called(args="{}"), STOP),
        sse(called(args=[1]), STOP),
        sse(called(id=""), STOP),
        sse(called(id="x"), called(id="x"), STOP),
        sse(chunk({"functionCall": "f"}), STOP),
    ],
    "finish": [sse(TEXT, chunk(finish="stop")), sse(TEXT, chunk(finish=1))],
    "finish-once": [sse(TEXT), sse(STOP, BARE)],
    "after-finish": [sse(STOP, TEXT)],
    "usage": [
        sse(TEXT, {**STOP, "usageMetadata": wrong})
        for wrong in ({**USAGE, "totalTokenCount": 5}, {**USAGE, "promptTokenCount": -1}, {})
    ],
    "usage-last": [
        sse(TEXT, chunk(finish="STOP", usage=None)),
        sse(TEXT, {"candidates": STOP["candidates"], "modelVersion": "m", "responseId": "r"}),
    ],
    "error": [sse({"error": "busy"}), sse({"error": {"message": "busy"}})],
    "after-error": [sse(ERROR, STOP), array(ERROR, ERROR)],
}


@pytest.mark.parametrize("framed", [sse, array])
@pytest.mark.parametrize("name", CHUNKS)
def test_a_good_stream_passes_in_either_framing(name: str, framed: Any) -> None:
    assert broken(DIALECT, framed(*CHUNKS[name])) == set()
    check_any_cut(DIALECT, framed(*CHUNKS[name]))


def test_lines_may_end_in_both_signs() -> None:
    assert broken(DIALECT, PLAIN.replace(b"\n", b"\r\n")) == set()
    check_any_cut(DIALECT, PLAIN.replace(b"\n", b"\r\n"))


@pytest.mark.parametrize(("rule", "stream"), [(rule, one) for rule, streams in BAD.items() for one in streams])
def test_a_stream_that_breaks_one_rule_is_told_so(rule: str, stream: bytes) -> None:
    got = broken(DIALECT, stream)
    assert got - {"finish-once", "usage-last"} == {rule} if rule == "array" else got == {rule}
    check_any_cut(DIALECT, stream)


def test_every_rule_has_a_stream_that_breaks_it() -> None:
    assert BAD.keys() == GeminiGrammar.RULES.keys()


def test_a_cut_stream_is_no_whole_one() -> None:
    check_prefixes(DIALECT, apart(sse(*CHUNKS["thoughts and calls"])))
    whole = array(*CHUNKS["thoughts and calls"])
    for end in range(len(whole) - 2):
        grammar = GeminiGrammar()
        grammar.feed(whole[:end])
        assert grammar.violations == []
        assert grammar.end()


def test_a_framing_that_is_asked_for_is_insisted_on() -> None:
    assert rules(fed_in_pieces(GeminiGrammar(framing="array"), PLAIN, 5)) == {"array", "finish-once", "usage-last"}
    assert "line" in rules(fed_in_pieces(GeminiGrammar(framing="sse"), array(STOP), 5))


@pytest.mark.parametrize(
    ("signature", "good"), [("aGk=", True), ("aGk", True), ("_-_-", True), ("a", False), ("ä", False), (None, False)]
)
def test_a_signature_is_base64_of_either_alphabet(signature: Any, good: bool) -> None:
    assert is_base64(signature) is good


def test_accents_forgive_rules_that_exist() -> None:
    for accent in GeminiGrammar.ACCENTS.values():
        assert accent.forgives <= GeminiGrammar.RULES.keys()
    assert broken(DIALECT, sse(TEXT, chunk(finish=1)), "numbers for words") == set()
