"""A route that classifies picks by what a prompt asks for; one that does not never asks."""

from __future__ import annotations

import msgspec
from tests.engine.cases import OPENAI

from afterbay.core.usage import Usage
from afterbay.policy.plan import Route
from afterbay.testing.answers import answered
from afterbay.testing.fakes import ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

SEEN = Route("auto", candidates=("plain",), tasks={"translate": "tongues"}, stages=frozenset({"validate", "classify"}))
UNSEEN = msgspec.structs.replace(SEEN, stages=frozenset({"validate"}))
ASKED = msgspec.json.encode(
    {
        "model": "auto",
        "messages": [{"role": "user", "content": "把下面这句话译为英文：明天可能要下雪。"}],
    }  # no rule's word
)


def gateway(route: Route) -> MemoryGateway:
    plan = snapshot(alias("plain", target("p/x", OPENAI)), alias("tongues", target("t/x", OPENAI)), routes=(route,))
    answers = {name: ScriptedUpstream(answered(OPENAI, "hi", Usage(5, 0, 0, 2))) for name in ("p", "t")}
    return MemoryGateway(plan, **answers)


def test_the_classifier_says_the_task_and_the_record_keeps_it() -> None:
    one = gateway(SEEN)
    run(one.chat(ASKED))
    (record,) = one.records
    assert record.task == "translate"


def test_without_the_stage_nothing_is_classified() -> None:
    one = gateway(UNSEEN)

    def never() -> object:
        raise AssertionError("the classifier was loaded")

    one.context.scorer = never  # type: ignore[assignment]
    run(one.chat(ASKED))
    (record,) = one.records
    assert record.task is None


def test_what_the_client_says_comes_before_the_classifier() -> None:
    one = gateway(SEEN)
    run(one.chat(ASKED, headers={"x-afterbay-task": "chat"}))
    (record,) = one.records
    assert record.task == "chat"
