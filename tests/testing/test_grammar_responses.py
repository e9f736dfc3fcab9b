"""The grammar of Responses events: good streams pass, and each rule is broken by a stream that breaks it only."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from afterbay.testing.grammar import ResponsesGrammar
from testing.grammar_support import apart, broken, check_any_cut, check_prefixes
from testing.grammar_support import sse as events_of

DIALECT = "openai.responses"
FAILED = {"code": "x", "message": "y"}
USAGE = {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}
Events = list[dict[str, Any]]


def stream(events: Events) -> bytes:
    return events_of(*events, names=True)


def numbered(*events: dict[str, Any]) -> Events:
    return [copy.deepcopy({**event, "sequence_number": number}) for number, event in enumerate(events)]


def lifecycle(kind: str, status: str | None = None, **fields: Any) -> dict[str, Any]:
    response = {
        "id": "resp_1",
        "object": "response",
        "created_at": 5,
        "model": "m",
        "status": status or kind,
        "error": None,
        "incomplete_details": None,
        "output": [],
        "usage": None,
        **fields,
    }
    return {"type": f"response.{kind}", "response": response}


def of(item: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": f"response.{kind}", "output_index": item, "item_id": f"i{item}", **fields}


def added(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    item = {"id": f"i{index}", "type": kind, **fields}
    return {"type": "response.output_item.added", "output_index": index, "item": item}


def done(index: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {**added(index, kind, **fields), "type": "response.output_item.done"}


def part(text: str, kind: str = "output_text") -> dict[str, Any]:
    said = {"type": kind, "refusal" if kind == "refusal" else "text": text}
    return {**said, "annotations": []} if kind == "output_text" else said


def text_events(item: int, index: int, pieces: list[str]) -> Events:
    at, whole = {"content_index": index}, "".join(pieces)
    return [
        of(item, "content_part.added", part=part(""), **at),
        *(of(item, "output_text.delta", delta=piece, logprobs=[], **at) for piece in pieces),
        of(item, "output_text.done", text=whole, logprobs=[], **at),
        of(item, "content_part.done", part=part(whole), **at),
    ]


CALL = {"call_id": "call_1", "name": "f"}
OPEN = [lifecycle("created", "in_progress"), lifecycle("in_progress")]
REASONING = [
    added(0, "reasoning", summary=[]),
    of(0, "reasoning_summary_part.added", summary_index=0, part=part("", "summary_text")),
    of(0, "reasoning_summary_text.delta", summary_index=0, delta="hm"),
    of(0, "reasoning_summary_text.done", summary_index=0, text="hm"),
    of(0, "reasoning_summary_part.done", summary_index=0, part=part("hm", "summary_text")),
    done(0, "reasoning", summary=[part("hm", "summary_text")], encrypted_content="x"),
]
SAID = [
    added(1, "message", role="assistant", status="in_progress", content=[]),
    *text_events(1, 0, ["Grü", "ße"]),
    *text_events(1, 1, []),
    done(1, "message", role="assistant", status="completed", content=[part("Grüße"), part("")]),
]
CALLED = [
    added(2, "function_call", status="in_progress", arguments="", **CALL),
    of(2, "function_call_arguments.delta", delta='{"a":'),
    of(2, "function_call_arguments.delta", delta="1}"),
    of(2, "function_call_arguments.done", arguments='{"a":1}'),
    done(2, "function_call", status="completed", arguments='{"a":1}', **CALL),
]
REFUSED = [
    added(0, "message", role="assistant", content=[]),
    of(0, "content_part.added", content_index=0, part=part("", "refusal")),
    of(0, "refusal.delta", content_index=0, delta="no"),
    of(0, "refusal.done", content_index=0, refusal="no"),
    of(0, "content_part.done", content_index=0, part=part("no", "refusal")),
    done(0, "message", role="assistant", content=[part("no", "refusal")]),
]
SEARCHED = [
    added(0, "web_search_call", status="in_progress"),
    *(of(0, f"web_search_call.{step}") for step in ("in_progress", "searching", "completed")),
    done(0, "web_search_call", status="completed", action={}),
]
ERROR = {"type": "error", "code": "server_error", "message": "broken", "param": None}


def whole(*events: dict[str, Any], kind: str = "completed", **fields: Any) -> Events:
    items = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    return numbered(*OPEN, *events, lifecycle(kind, **{"output": items, "usage": USAGE, **fields}))


FULL = whole(*REASONING, *SAID, *CALLED)
GOOD: dict[str, Events] = {
    "all kinds of items": FULL,
    "nothing": whole(),
    "a refusal": whole(*REFUSED),
    "a search": whole(*SEARCHED, {"type": "keepalive"}),
    "queued": numbered(
        lifecycle("created", "queued"), lifecycle("queued"), *OPEN[1:], lifecycle("completed", usage=USAGE)
    ),
    "cut off": whole(*REFUSED, kind="incomplete", incomplete_details={"reason": "max_output_tokens"}),
    "failed in an item": whole(
        added(0, "reasoning", summary=[]), kind="failed", usage=None, error={"code": "server_error", "message": "x"}
    ),
    "an error at once": numbered(ERROR),
    "an error in a part": [*FULL[:5], {**ERROR, "sequence_number": 5}],
    "an error that nests": [*FULL[:5], {"type": "error", "error": {"message": "x"}, "sequence_number": 5}],
}


def at(kind: str, events: Events, nth: int = 0) -> int:
    """Where the nth event of a kind is."""
    return [number for number, event in enumerate(events) if event["type"].removeprefix("response.") == kind][nth]


def changed(kind: str, nth: int = 0, **fields: Any) -> Events:
    """The full stream with other fields in one event."""
    events = copy.deepcopy(FULL)
    events[at(kind, events, nth)].update(fields)
    return events


def edited(edit: Callable[[Events], object]) -> Events:
    """The full stream changed, numbered anew."""
    events = copy.deepcopy(FULL)
    edit(events)
    return numbered(*events)


def without(kind: str, nth: int = 0) -> Events:
    return edited(lambda events: events.pop(at(kind, events, nth)))


def again(kind: str, nth: int = 0) -> Events:
    return edited(lambda events: events.insert(at(kind, events, nth) + 1, events[at(kind, events, nth)]))


def final(**fields: Any) -> Events:
    return edited(lambda events: events[-1]["response"].update(fields))


def item(kind: str, nth: int, **fields: Any) -> Events:
    """The full stream with another item in one event; at its end the final output follows it."""

    def edit(events: Events) -> None:
        events[at(f"output_item.{kind}", events, nth)]["item"].update(fields)
        ended = [event["item"] for event in events if event["type"] == "response.output_item.done"]
        events[-1]["response"]["output"] = ended

    return edited(edit)


BAD: dict[str, list[Any]] = {
    "sse": [b"x\n" + stream(FULL)],
    "json": [b"data: 1\n\n" + stream(FULL)],
    "cut": [stream(FULL) + b"event: x\n"],
    "name": [
        stream(FULL).replace(b"event: response.completed\n", b""),
        b"event: x\n" + stream(FULL).partition(b"\n")[2],
    ],
    "known": [
        edited(lambda e: e.insert(3, of(0, "reasoning.thought"))),
        edited(lambda e: e.insert(3, of(0, "web_search_call.x"))),
    ],
    "sequence": [
        changed("in_progress", sequence_number=2)[:2]
        + [{**e, "sequence_number": n + 3} for n, e in enumerate(FULL[2:])],
        changed("completed", sequence_number="9"),
    ],
    "created": [edited(lambda e: e.pop(0)), again("created")],
    "in-progress": [
        without("in_progress"),
        again("in_progress"),
        numbered(OPEN[0], lifecycle("completed", usage=USAGE)),
    ],
    "response": [
        changed("created", response=None),
        final(object="thing"),
        final(model=""),
        edited(lambda e: e[0]["response"].update(output=None)),
    ],
    "same": [final(id="resp_2"), final(created_at=6), final(model="n")],
    "status": [
        final(status="in_progress"),
        final(error=FAILED),
        final(incomplete_details={"reason": "x"}),
        whole(kind="incomplete"),
        whole(kind="failed", error={"message": "x"}),
        edited(lambda e: e[0]["response"].update(status="completed")),
    ],
    "item-index": [whole(added(1, "reasoning", summary=[]), kind="failed", error=FAILED)],
    "item-shape": [
        whole({**REASONING[0], "item": wrong}, kind="failed", error=FAILED)
        for wrong in (
            None,
            {"type": "reasoning", "summary": []},
            {"id": "x", "type": "reasoning"},
            {"id": "x", "type": "message", "content": []},
            {"id": "x", "type": "function_call", "arguments": "", "call_id": "", "name": "f"},
            {"id": "x", "type": "function_call", "arguments": "{}", "call_id": "c", "name": "f"},
        )
    ]
    + [
        whole(
            added(0, "reasoning", summary=[]),
            {**added(1, "reasoning", summary=[]), "item": {"id": "i0", "type": "reasoning", "summary": []}},
            kind="failed",
            error=FAILED,
        )
    ],
    "item-status": [item("added", 1, status="completed")],
    "item-open": [
        changed("output_text.delta", item_id="other"),
        edited(lambda e: e.insert(-1, of(1, "output_text.delta", content_index=0, delta="x", logprobs=[]))),
        edited(lambda e: e.insert(2, of(0, "web_search_call.searching"))),
        edited(lambda e: e.insert(3, of(0, "function_call_arguments.delta", delta="x"))),
        edited(lambda e: e.insert(-1, {**done(2, "function_call"), "output_index": 2})),
    ],
    "item-done": [
        item("done", 1, content=[part("Gruß"), part("")]),
        item("done", 1, content=[part("Grüße")]),
        item("done", 1, status="in_progress"),
        item("done", 0, summary=[]),
        item("done", 2, arguments="{}"),
        item("done", 2, call_id="call_2"),
        item("done", 2, id="other"),
        without("function_call_arguments.done"),
        without("content_part.done"),
    ],
    "part-index": [
        changed("reasoning_summary_part.added", summary_index=1)[:4]
        + numbered(*FULL[:4], lifecycle("failed", error=FAILED))[4:]
    ],
    "part-shape": [
        changed("content_part.added", part=part("x")),
        changed("content_part.added", part={"type": "output_text", "text": ""}),
    ],
    "part-open": [
        edited(
            lambda e: e.insert(
                at("content_part.added", e), of(1, "output_text.delta", content_index=0, delta="x", logprobs=[])
            )
        ),
        edited(
            lambda e: e.insert(
                at("content_part.done", e) + 1, of(1, "output_text.delta", content_index=0, delta="x", logprobs=[])
            )
        ),
        edited(lambda e: e.insert(at("output_text.delta", e), of(1, "refusal.delta", content_index=0, delta="x"))),
    ],
    "part-done": [
        changed("content_part.done", part=part("x")),
        again("content_part.done"),
        without("output_text.done", 1),
    ],
    "delta": [
        edited(
            lambda e: e.insert(
                at("output_text.delta", e), of(1, "output_text.delta", content_index=0, delta=None, logprobs=[])
            )
        )
    ],
    "text-done": [
        changed("output_text.done", text="x"),
        again("output_text.done"),
        changed("reasoning_summary_text.done", text="x"),
        edited(
            lambda e: e.insert(
                at("output_text.done", e) + 1, of(1, "output_text.delta", content_index=0, delta="x", logprobs=[])
            )
        ),
    ],
    "logprobs": [changed("output_text.delta", logprobs=None), changed("output_text.done", logprobs=None)],
    "input-done": [
        changed("function_call_arguments.done", arguments="{}"),
        again("function_call_arguments.done"),
        edited(
            lambda e: e.insert(
                at("function_call_arguments.done", e) + 1, of(2, "function_call_arguments.delta", delta="x")
            )
        ),
    ],
    "ended": [
        again("completed"),
        edited(lambda e: e.append({"type": "keepalive"})),
        numbered(ERROR, *FULL),
        whole()[:-1],
    ],
    "open-items": [whole(*REASONING[:-1])],
    "output": [final(output=[]), final(output=None), edited(lambda e: e[-1]["response"]["output"].reverse())],
    "output-sealed": [edited(lambda e: e[-1]["response"]["output"][0].update(encrypted_content="y"))],
    "usage": [final(usage={}), final(usage={**USAGE, "total_tokens": 8}), final(usage={**USAGE, "input_tokens": -1})],
    "sequence-error": [[*numbered(*OPEN), {**ERROR, "sequence_number": 1000}]],
    "usage-last": [final(usage=None), whole(kind="incomplete", incomplete_details={"reason": "x"}, usage=None)],
    "error": [numbered(*OPEN, {"type": "error"}), numbered({**ERROR, "message": ""})],
    "done": [stream(FULL) + b"data: [DONE]\n\n"],
}
CASES = [(rule, case) for rule, cases in BAD.items() for case in cases]


@pytest.mark.parametrize("name", GOOD)
def test_a_good_stream_passes(name: str) -> None:
    assert broken(DIALECT, stream(GOOD[name])) == set()
    check_any_cut(DIALECT, stream(GOOD[name]))


@pytest.mark.parametrize(("rule", "case"), CASES)
def test_a_stream_that_breaks_one_rule_is_told_so(rule: str, case: Any) -> None:
    raw = case if isinstance(case, bytes) else stream(case)
    assert broken(DIALECT, raw) == {rule}


def test_every_rule_has_a_stream_that_breaks_it() -> None:
    assert BAD.keys() == ResponsesGrammar.RULES.keys()


def test_a_cut_stream_is_no_whole_one() -> None:
    check_prefixes(DIALECT, apart(stream(FULL)))


def test_accents_forgive_rules_that_exist() -> None:
    for accent in ResponsesGrammar.ACCENTS.values():
        assert accent.forgives <= ResponsesGrammar.RULES.keys()
    assert broken(DIALECT, stream(final(output=[])), "output left out") == set()
