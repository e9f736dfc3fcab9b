"""Moderations: the body passes to the provider that judges, the judgement comes back as it is."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, OPENAI, check

from afterbay.testing.answers import JSON, failed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

JUDGED = b'{ "id":"modr-1","model":"omni","results":[{"flagged":true}] }'
NAMED = b'{ "input" : "x","model":"guard" }'


def gateway(*scripts: Script, vendor: str = "openai", dialect: str = OPENAI) -> MemoryGateway:
    plan = snapshot(alias("guard", target("a/omni-moderation-2024-09-26", dialect)))
    providers = {name: msgspec.structs.replace(one, vendor=vendor) for name, one in plan.providers.items()}
    return MemoryGateway(msgspec.structs.replace(plan, providers=providers), a=ScriptedUpstream(*scripts))


def judge(one: MemoryGateway, body: bytes = NAMED) -> MemoryReply:
    reply = run(one.chat(body, operation="moderations"))
    check(one)
    return reply


def test_a_judgement_passes_byte_for_byte_and_the_request_changes_only_in_its_model() -> None:
    one = gateway(Script(steps=(JUDGED,), headers=JSON))
    assert judge(one).body == JUDGED
    (sent,) = one.upstreams["a"].sent
    assert (sent.path, sent.body) == ("/moderations", NAMED.replace(b"guard", b"omni-moderation-2024-09-26"))
    assert (one.record.operation, one.record.outcome, one.record.usage) == ("moderations", "ok", None)


@pytest.mark.parametrize(
    ("body", "vendor", "model"),
    [
        (b'{"input":"x"}', "openai", "omni-moderation-latest"),
        (b'{"input":"x"}', "mistral", "mistral-moderation-latest"),
        (b'{"input":"x","model":"text-moderation-stable"}', "openai", "text-moderation-stable"),
    ],
)
def test_without_a_configured_model_a_provider_that_moderates_is_found(body: bytes, vendor: str, model: str) -> None:
    one = gateway(Script(steps=(JUDGED,), headers=JSON), vendor=vendor)
    reply = judge(one, body)
    assert reply.headers["x-afterbay-model"] == model
    assert one.upstreams["a"].sent[0].body == body, "what the client did not say is not added"


def test_without_any_provider_that_moderates_the_error_says_what_to_configure() -> None:
    reply = judge(gateway(vendor=""), b'{"input":"x"}')
    assert reply.status == 404
    assert "kinds openai, mistral" in reply.json["error"]["message"]  # type: ignore[index]


def test_a_model_of_another_protocol_does_not_moderate() -> None:
    reply = judge(gateway(dialect=ANTHROPIC))
    assert (reply.status, reply.json["error"]["code"]) == (400, "wrong_operation")  # type: ignore[index]
    assert "cannot moderate" in reply.json["error"]["message"]  # type: ignore[index]


@pytest.mark.parametrize(("body", "param"), [(b'{"input":"x","model":7}', "model"), (b"[]", None), (b"{", None)])
def test_a_wrong_body_is_told(body: bytes, param: Any) -> None:
    reply = judge(gateway(), body)
    assert (reply.status, reply.json["error"]["param"]) == (400, param)  # type: ignore[index]


def test_a_providers_error_and_a_judgement_that_is_none_are_told() -> None:
    refused = judge(gateway(failed(OPENAI, 400, "invalid_request", "no input")))
    assert (refused.status, json.loads(refused.body)["error"]["message"]) == (400, "no input")
    assert judge(gateway(Script(steps=(b'{"id":1}',), headers=JSON))).status == 502
