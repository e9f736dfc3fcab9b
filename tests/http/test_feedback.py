"""What clients say of answers: of their own requests only, as often as they like, the last word counts."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from afterbay.core.decision import Record
from afterbay.core.errors import Capacity, ClientMistake
from afterbay.http.feedback import COMMENT_CHARS, Feedback
from afterbay.label_ports import Label
from afterbay.ports import Key
from afterbay.testing.memory_labels import MemoryLabels

OWN, OTHER = Key("k-own", "own"), Key("k-other", "other")


class Noon:
    def monotonic(self) -> float:
        return 0.0

    def utc(self) -> float:
        return 1_000_000.0


LOG = {
    "req_1": Record("req_1", 0.0, "chat", "openai.chat", route="auto", model="small", key_id="k-own", outcome="ok"),
    "req_open": Record("req_open", 0.0, "chat", "openai.chat", route="auto", model="small", outcome="ok"),
    "req_none": Record("req_none", 0.0, "chat", "openai.chat", key_id="k-own"),
    "req_failed": Record(
        "req_failed", 0.0, "chat", "openai.chat", model="small", key_id="k-own", status=502, outcome="upstream_error"
    ),
    "req_left": Record("req_left", 0.0, "chat", "openai.chat", model="small", key_id="k-own", outcome="client_closed"),
    "req_shadow": Record("req_shadow", 0.0, "shadow", "openai.chat", route="auto", model="small", outcome="ok"),
}


async def find(request_id: str) -> Record | None:
    return LOG.get(request_id)


def made() -> tuple[Feedback, MemoryLabels]:
    labels = MemoryLabels(now=Noon().utc)
    return Feedback(labels, find, Noon()), labels


def say(feedback: Feedback, key: Key | None = OWN, **said: Any) -> dict[str, Any]:
    body = json.dumps({"request_id": "req_1"} | said).encode()
    told: dict[str, Any] = json.loads(asyncio.run(feedback.take(body, key)))
    return told


def kept(labels: MemoryLabels) -> list[Label]:
    return list(asyncio.run(labels.labels("auto")))


@pytest.mark.parametrize(
    ("said", "score", "kind"),
    [
        ({"score": 0.25}, 0.25, "score"),
        ({"score": 1}, 1.0, "score"),
        ({"label": "good"}, 1.0, "good"),
        ({"label": "down"}, 0.0, "down"),
    ],
)
def test_a_score_or_a_word_becomes_a_label_of_the_model_that_answered(
    said: dict[str, Any], score: float, kind: str
) -> None:
    feedback, labels = made()
    assert say(feedback, **said) == {"object": "feedback", "request_id": "req_1", "score": score, "label": kind}
    assert kept(labels) == [Label("req_1", "auto", Noon().utc(), "feedback", "small", score, kind)]


def test_the_last_word_counts() -> None:
    feedback, labels = made()
    say(feedback, label="up", comment="fine")
    say(feedback, label="down")
    (one,) = kept(labels)
    assert (one.score, one.comment) == (0.0, None)


def test_a_comment_is_kept_without_secrets_and_addresses() -> None:
    feedback, labels = made()
    say(feedback, label="down", comment="it told me sk-abcdefghijklmnop1234 and ada@example.org")
    (one,) = kept(labels)
    assert one.comment is not None
    assert one.comment.startswith("it told me ")
    assert "abcdefghijklmnop" not in one.comment
    assert "ada@" not in one.comment


@pytest.mark.parametrize(
    ("request_id", "key"), [("req_1", OTHER), ("req_open", OWN), ("req_x", OWN), ("req_shadow", None)]
)
def test_a_request_that_is_not_one_s_own_is_not_there(request_id: str, key: Key | None) -> None:
    feedback, labels = made()
    with pytest.raises(ClientMistake) as raised:
        say(feedback, key, request_id=request_id, label="up")
    assert (raised.value.status, raised.value.code) == (404, "unknown_request")
    assert not kept(labels)


def test_an_open_gateway_takes_it_of_any_request() -> None:
    feedback, labels = made()
    say(feedback, None, label="up")
    assert len(kept(labels)) == 1


@pytest.mark.parametrize(
    ("said", "param"),
    [
        ({}, "score"),
        ({"score": 1, "label": "up"}, "label"),
        ({"score": 1.5}, "score"),
        ({"score": -0.1}, "score"),
        ({"score": True}, "score"),
        ({"score": "good"}, "score"),
        ({"label": "meh"}, "label"),
        ({"label": "up", "comment": "x" * (COMMENT_CHARS + 1)}, "comment"),
        ({"label": "up", "request_id": 7}, "request_id"),
        ({"label": "up", "request_id": "req_none"}, "request_id"),
    ],
)
def test_what_is_wrong_is_named(said: dict[str, Any], param: str) -> None:
    feedback, labels = made()
    with pytest.raises(ClientMistake) as raised:
        say(feedback, **said)
    assert (raised.value.status, raised.value.param) == (400, param)
    assert not kept(labels)


@pytest.mark.parametrize("request_id", ["req_none", "req_failed", "req_left"])
def test_what_nobody_answered_whole_says_nothing_of_a_model(request_id: str) -> None:
    feedback, labels = made()
    with pytest.raises(ClientMistake) as raised:
        say(feedback, request_id=request_id, label="down")
    assert (raised.value.status, raised.value.code) == (400, "no_answer")
    assert not kept(labels)
    assert not asyncio.run(labels.labels(""))


def test_a_database_that_does_not_answer_is_said_so() -> None:
    class Broken(MemoryLabels):
        async def put(self, label: Label) -> None:
            raise OSError("disk I/O error")

    with pytest.raises(Capacity) as raised:
        say(Feedback(Broken(now=Noon().utc), find, Noon()), label="up")
    assert (raised.value.status, raised.value.code) == (503, "labels_unavailable")
