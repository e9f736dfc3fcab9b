"""The grammars against the SDKs' own accumulators: what one of them stumbles over, a grammar has named.

Good streams are damaged at seeded random places: events are dropped, told twice, exchanged, or lose or change a field.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from anthropic._models import construct_type as construct_message
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import RawMessageStreamEvent
from google.genai.types import GenerateContentResponse
from openai import omit
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent

from afterbay.testing.grammar import violations
from testing import test_grammar_chat as chat
from testing import test_grammar_gemini as gemini
from testing import test_grammar_messages as messages
from testing import test_grammar_responses as responses
from testing.grammar_support import sse

Events = list[Any]
ROUNDS = 600


def decoded(raw: bytes) -> Events:
    lines = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def fold_chat(events: Events) -> None:
    state: Any = ChatCompletionStreamState()
    for event in events:
        list(state.handle_chunk(construct_type(type_=ChatCompletionChunk, value=event)))
    final = state.current_completion_snapshot
    for choice in final.choices:
        assert choice.message.role == "assistant", choice.message.role
        assert choice.finish_reason in ("stop", "length", "tool_calls", "content_filter")
        for call in choice.message.tool_calls or ():
            assert call.type == "function"
            assert len(call.id) == 1
            assert len(call.function.name) == 1


def fold_messages(events: Events) -> None:
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for event in events:
        if event.get("type") not in ("ping", "message_stop"):
            parsed: Any = construct_message(type_=RawMessageStreamEvent, value=event)
            snapshot = accumulate_event(event=parsed, current_snapshot=snapshot, json_bufs=buffers)
    assert snapshot.stop_reason in ("end_turn", "tool_use", "max_tokens", "stop_sequence")
    for block in snapshot.content:
        assert block.type != "tool_use" or isinstance(block.input, dict)


def fold_responses(events: Events) -> None:
    state: Any = ResponseStreamState(input_tools=[], text_format=omit)
    for event in events:
        state.handle_event(construct_type(type_=ResponseStreamEvent, value=event))
    assert state._completed_response is not None


def fold_gemini(events: Events) -> None:
    for event in events:
        GenerateContentResponse.model_validate(event)


def damaged(events: Events, rng: random.Random, most: int = 2) -> Events:
    """The stream with some mistakes."""
    found = copy.deepcopy(events)
    for _ in range(rng.randint(1, most)):
        at, other = rng.randrange(len(found)), rng.randrange(len(found))
        match rng.choice(["drop", "twice", "exchange", "field", "field", "field"]):
            case "drop" if len(found) > 1:
                del found[at]
            case "twice":
                found.insert(other, copy.deepcopy(found[at]))
            case "exchange":
                found[at], found[other] = found[other], found[at]
            case _:
                spoil(found[at], rng)
    return found


def spoil(value: Any, rng: random.Random) -> None:
    """Drops or changes a field somewhere in an event."""
    while isinstance(value, dict | list) and value:
        keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
        key = rng.choice(keys)
        inner = value[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.8:
            value = inner
            continue
        if rng.random() < 0.4:
            del value[key]
        else:
            value[key] = rng.choice([None, 7, 1, 0, "x", {}, []])
        return


CASES: dict[str, tuple[Callable[[Events], None], list[Events], bool, str]] = {
    "openai.chat": (
        fold_chat,
        [decoded(chat.GOOD[name]) for name in ("text", "usage", "calls", "a call cut off")],
        False,
        chat.DONE,
    ),
    "anthropic.messages": (
        fold_messages,
        [decoded(messages.GOOD[name]) for name in ("text", "thinking and tools", "a stop sequence")],
        True,
        "",
    ),
    "openai.responses": (
        fold_responses,
        [responses.GOOD[name] for name in ("all kinds of items", "a refusal", "a search")],
        True,
        "",
    ),
    "gemini": (
        fold_gemini,
        [gemini.CHUNKS[name] for name in ("text", "thoughts and calls", "two candidates")],
        False,
        "",
    ),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dialect", CASES)
def test_what_an_sdk_stumbles_over_a_grammar_has_named(dialect: str) -> None:
    read, streams, names, end = CASES[dialect]
    unseen, stumbled = list[str](), 0
    for events in streams:
        read(events)
    for number in range(ROUNDS):
        rng = random.Random(number)
        events = damaged(rng.choice(streams), rng)
        try:
            read(events)
        except Exception as error:
            stumbled += 1
            if not violations(dialect, sse(*events, end, names=names)):
                unseen.append(f"{number}: {error!r:.300}")
    assert stumbled > ROUNDS / 20
    assert unseen == []


@pytest.mark.parametrize("dialect", CASES)
def test_a_grammar_takes_anything(dialect: str) -> None:
    _, streams, names, end = CASES[dialect]
    for number in range(ROUNDS):
        rng = random.Random(number)
        raw = bytearray(sse(*damaged(rng.choice(streams), rng, most=20), end, names=names))
        if number % 2:
            raw[rng.randrange(len(raw))] = rng.randrange(256)
        said = violations(dialect, bytes(raw))
        assert all(sentence.endswith("]") for sentence in said)
