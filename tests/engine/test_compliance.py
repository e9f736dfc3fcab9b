"""Nothing is sent where a policy forbids it, whatever was asked for and however it is sent; the record proves it."""

from __future__ import annotations

import ast
import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.engine.cases import LIMITS, OPENAI

import afterbay.engine
from afterbay.core.decision import Fact, Record
from afterbay.core.redaction import redact_record
from afterbay.engine.clearance import passage_of, upstream_of
from afterbay.engine.context import Turn
from afterbay.engine.passthrough import Raw, serve_passthrough
from afterbay.engine.tunnel import serve_tunnel
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Compliance, Limits, Route
from afterbay.policy.rights import Rights
from afterbay.ports import Closed, KeptResponse, Key, TransportError
from afterbay.store.rows import request_row
from afterbay.testing.answers import JSON, answered, ask, failed, streamed
from afterbay.testing.fakes import Cut, MemoryReply, Script, Wait
from afterbay.testing.memory_gateway import NOON_S, MemoryGateway, alias, snapshot, target
from afterbay.testing.passages import ScriptedBody, ScriptedPassage, ScriptedSocket
from afterbay.testing.virtual_loop import run

RESPONSES = "openai.responses"
EU = Compliance(frozenset({"soc2"}), "eu", "eu_only")
GOOD: dict[str, Any] = {"region": "eu", "compliance": frozenset({"soc2"})}
STRICT = Key("k1", "team", Rights(compliance=frozenset({"eu_only"})))


def gateway(
    *scripts: Script,
    route: Route | None = None,
    dialect: str = OPENAI,
    facts: tuple[Fact, ...] = (),
    limits: Limits = LIMITS,
    **bad: Any,
) -> MemoryGateway:
    """`m` at `good`, which has all facts, and before it at `bad`, which has those given, and may not be asked.

    `scripts` are of `good`: an attempt at `bad` is a failure of the test.
    """
    one = target("bad/up", dialect, priority=1, **bad)
    other = target("good/up", dialect, priority=2, facts=facts, **GOOD)
    plan = snapshot(alias("m", one, other), defaults=route, limits=limits)
    providers = {
        name: msgspec.structs.replace(
            provider, **{"region": None, "compliance": frozenset[str]()} | (GOOD if name == "good" else bad)
        )
        for name, provider in plan.providers.items()
    }
    plan = msgspec.structs.replace(plan, providers=providers, compliance={"eu_only": EU})
    return MemoryGateway(plan, bad=ScriptedPassage(), good=ScriptedPassage(*scripts))


def asked(one: MemoryGateway) -> list[str]:
    return [name for name, upstream in one.upstreams.items() for _ in upstream.sent]


LACKS: list[dict[str, Any]] = [
    {},
    {"region": "eu"},
    {"compliance": frozenset({"soc2"})},
    {"compliance": frozenset({"soc2"}), "region": "us"},
    {"compliance": frozenset({"zdr"}), "region": "eu"},
]


@pytest.mark.parametrize("bad", LACKS)
@pytest.mark.parametrize("by", ["route", "key"])
def test_a_route_and_a_key_ask_for_a_set_alike(bad: dict[str, Any], by: str) -> None:
    route = Route("defaults", compliance=(EU,)) if by == "route" else None
    one = gateway(answered(OPENAI, "hi"), route=route, **bad)
    reply = run(one.chat(ask("m"), key=STRICT if by == "key" else None))
    assert (reply.status, asked(one)) == (200, ["good"])
    (rejected,) = one.record.rejected
    assert rejected.target == "bad/up"
    assert rejected.reason.endswith("(eu_only)")
    assert one.record.compliance == ["held: eu_only", "good/up: soc2, region eu"]


def test_without_a_policy_there_is_nothing_to_prove() -> None:
    one = MemoryGateway(snapshot(alias("m", target("a/up"))), a=ScriptedPassage(answered(OPENAI, "hi")))
    assert run(one.chat(ask("m"))).status == 200
    assert one.record.compliance == []
    assert request_row(one.record)[-1] is None


def test_a_client_may_only_narrow() -> None:
    headers = {"x-afterbay-residency": "us"}
    one = gateway(route=Route("defaults", compliance=(EU,)), region="us", compliance=frozenset({"soc2"}))
    reply = run(one.chat(ask("m"), headers=headers))
    assert (reply.status, asked(one)) == (403, [])
    assert one.record.compliance == ["held: eu_only, x-afterbay-residency: us"]
    one = gateway(answered(OPENAI, "hi"))
    assert run(one.chat(ask("m"), headers={"x-afterbay-residency": "eu"})).status == 200
    assert one.record.compliance == ["held: x-afterbay-residency: eu", "good/up: region eu"]


def test_a_key_that_names_a_set_which_is_gone_reaches_nobody() -> None:
    one = gateway()
    reply = run(one.chat(ask("m"), key=Key("k", "n", Rights(compliance=frozenset({"eu_olny"})))))
    assert (reply.status, asked(one)) == (403, [])
    assert "there is no set 'eu_olny'" in reply.json["error"]["message"]  # type: ignore[index]


def test_every_target_that_was_asked_is_proven_and_its_sources_are_named() -> None:
    facts = (Fact("soc2", "https://t.test", NOON_S + 86400.0),)
    one = gateway(
        failed(OPENAI, 500, "server"), answered(OPENAI, "hi"), route=Route("d", compliance=(EU,)), facts=facts
    )
    assert run(one.chat(ask("m"))).status == 200
    assert [attempt.target for attempt in one.record.attempts] == ["good/up", "good/up"]
    assert one.record.compliance == ["held: eu_only", "good/up: soc2 (https://t.test, until 2026-02-03), region eu"]


def test_a_fact_ends_while_the_gateway_runs() -> None:
    facts = (Fact("soc2", "", NOON_S + 100.0),)
    one = gateway(answered(OPENAI, "hi"), answered(OPENAI, "hi"), route=Route("d", compliance=(EU,)), facts=facts)

    async def at(seconds: float) -> int:
        await asyncio.sleep(seconds)
        return (await one.chat(ask("m"))).status

    assert [run(at(99.0)), run(at(100.0))] == [200, 403]
    assert one.records[-1].rejected[-1].reason == "compliance: its soc2 ended with 2026-02-02 (eu_only)"


@pytest.mark.parametrize("why", ["retry", "hedge", "resume"])
def test_a_fact_that_ends_while_a_request_runs_stops_its_further_attempts(why: str) -> None:
    """The second attempt would be made after the end of the fact, by which the target was chosen."""
    route = Route("d", compliance=(EU,), resume="on", hedge=Hedging(after_s=50.0, max_share=1.0, max_extra_cost=9.0))
    first = {
        "retry": Script(headers_take_s=40.0, dies_before_headers="it broke"),
        "hedge": msgspec.structs.replace(answered(OPENAI, "hi"), headers_take_s=60.0),
        "resume": Script(steps=(*streamed(OPENAI, "a", "b").steps[:2], Wait(40.0), Cut())),
    }[why]
    limits = msgspec.structs.replace(LIMITS, first_token_s=90.0, between_tokens_s=90.0)
    one = gateway(first, route=route, facts=(Fact("soc2", "", NOON_S + 30.0),), limits=limits)
    if why == "hedge":
        others = (
            target("good/up", priority=1, **GOOD),
            target("good/two", priority=2, facts=(Fact("soc2", "", NOON_S + 30.0),), **GOOD),
        )
        plan = msgspec.structs.replace(one.context.fleet.snapshot, aliases={"m": alias("m", *others)})
        one = MemoryGateway(plan, bad=ScriptedPassage(), good=ScriptedPassage(first))
    reply = run(one.chat(ask("m", stream=why == "resume")))
    assert asked(one) == ["good"], "one request left, the other was held up at the door"
    assert (reply.status == 200) == (why != "retry")
    held_up = one.record.attempts[1:]
    assert all("its soc2 ended" in (each.error or "") and each.cost_picousd in (0, None) for each in held_up)
    assert held_up or why == "resume"


# --- what is not a chat


def raw(
    one: MemoryGateway, provider: str, headers: dict[str, str] | None = None, key: Key | None = None
) -> MemoryReply:
    async def go() -> MemoryReply:
        reply = MemoryReply()
        call = one.call(b"", headers=headers, key=key)
        await serve_passthrough(one.context, call, Raw("POST", provider, "/v1/files"), ScriptedBody(), reply)
        return reply

    return run(go())


def tunnel(one: MemoryGateway, provider: str, headers: dict[str, str] | None = None) -> ScriptedSocket:
    async def go() -> ScriptedSocket:
        client = ScriptedSocket(Closed(1000))
        call = one.call(b"", headers=headers)
        await serve_tunnel(one.context, call, Raw("GET", provider, "/v1/realtime"), (), client)
        return client

    return run(go())


OK = Script(steps=(b"{}",), headers=JSON)
VECTOR = b'{"data":[{"index":0,"embedding":[1.0]}],"usage":{"prompt_tokens":1,"total_tokens":1}}'
VECTORS = Script(steps=(VECTOR,), headers=JSON)
JUDGED = Script(steps=(b'{"results":[]}',), headers=JSON)
COUNTED = Script(steps=(b'{"object":"response.input_tokens","input_tokens":3}',), headers=JSON)
COMPACT = Script(steps=(b'{"output":[]}',), headers=JSON)


def ask_it(operation: str, dialect: str, **fields: Any) -> Callable[[MemoryGateway], MemoryReply]:
    body = json.dumps({"model": "m"} | fields).encode()
    return lambda one: run(one.chat(body, dialect, operation=operation, headers={"x-afterbay-residency": "eu"}))


WAYS: list[tuple[str, Script, Callable[[MemoryGateway], MemoryReply], dict[str, Any]]] = [
    (OPENAI, answered(OPENAI, "hi"), ask_it("chat", OPENAI, messages=[{"role": "user", "content": "x"}]), {}),
    (RESPONSES, answered(RESPONSES, "hi"), ask_it("responses", RESPONSES, input="x"), {}),
    (RESPONSES, COMPACT, ask_it("compaction", RESPONSES, input="x"), {}),
    (RESPONSES, COUNTED, ask_it("count_tokens", RESPONSES, input="x"), {}),
    (OPENAI, JUDGED, ask_it("moderations", OPENAI, input="x"), {}),
    ("openai.embeddings", VECTORS, ask_it("embeddings", OPENAI, input="x"), {"embeds": True}),
]


@pytest.mark.parametrize(("dialect", "script", "way", "fields"), WAYS)
def test_every_operation_passes_the_filter(
    dialect: str, script: Script, way: Callable[[MemoryGateway], MemoryReply], fields: dict[str, Any]
) -> None:
    one = gateway(script, dialect=dialect)
    plan = one.context.fleet.snapshot
    aliases = {"m": alias("m", *(msgspec.structs.replace(each, **fields) for each in plan.aliases["m"].targets))}
    one = MemoryGateway(msgspec.structs.replace(plan, aliases=aliases), **one.upstreams)  # type: ignore[arg-type]
    reply = way(one)
    assert (reply.status, asked(one)) == (200, ["good"]), reply.body
    assert one.record.compliance == ["held: x-afterbay-residency: eu", "good/up: region eu"]


@pytest.mark.parametrize("by", ["default", "key", "header"])
def test_raw_requests_pass_it_too(by: str) -> None:
    route = Route("defaults", compliance=(EU,)) if by == "default" else None
    headers = {"x-afterbay-residency": "eu"} if by == "header" else None
    key = STRICT if by == "key" else None
    one = gateway(OK, route=route)
    assert (raw(one, "bad", headers, key).status, raw(one, "good", headers, key).status) == (403, 200)
    assert asked(one) == ["good"]
    assert one.records[-1].compliance[1].startswith("good: ")


def test_a_raw_request_reaches_any_deployment_so_all_of_them_count() -> None:
    one = gateway()
    plan = one.context.fleet.snapshot
    less = target("good/beta", region="eu")
    aliases = {**plan.aliases, "n": alias("n", less)}
    one = MemoryGateway(msgspec.structs.replace(plan, aliases=aliases), **one.upstreams)  # type: ignore[arg-type]
    assert raw(one, "good", key=STRICT).status == 403
    assert "it lacks soc2" in str(one.record.error)


def test_tunnels_pass_it_too() -> None:
    headers = {"x-afterbay-residency": "eu"}
    one = gateway()
    one.upstreams["good"] = ScriptedPassage(sockets=[ScriptedSocket(Closed(1000))])
    assert tunnel(one, "bad", headers).refused is not None
    assert tunnel(one, "good", headers).accepted is not None
    assert asked(one) == []


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize(("provider", "status"), [("bad", 403), ("good", 200)])
def test_a_kept_response_is_asked_of_its_keeper_only_where_it_may_be(provider: str, status: int, method: str) -> None:
    one = gateway(OK, dialect=RESPONSES)
    run(one.responses.put(KeptResponse("resp_1", "k1", NOON_S, provider, "m")))
    path = "/v1/responses/resp_1"
    reply = run(one.chat(b"", RESPONSES, path=path, method=method, operation="response", key=STRICT))
    assert reply.status == status
    assert asked(one) == (["good"] if status == 200 else [])
    assert (run(one.responses.get("resp_1")) is None) == (status == 200 and method == "DELETE")


def test_a_conversation_that_a_provider_keeps_is_not_continued_where_it_may_not_be() -> None:
    one = gateway(dialect=RESPONSES)
    run(one.responses.put(KeptResponse("resp_1", "k1", NOON_S, "bad", "m")))
    body = json.dumps({"model": "m", "input": "x", "previous_response_id": "resp_1"}).encode()
    reply = run(one.chat(body, RESPONSES, operation="responses", key=STRICT))
    assert (reply.status, asked(one)) == (403, [])


# --- the door


def test_nobody_is_asked_before_the_policies_were_looked_up() -> None:
    one = gateway(OK)

    async def go() -> None:
        turn = Turn(one.context, one.call(b""), "new")
        some = one.context.fleet.snapshot.aliases["m"].targets[1]
        with pytest.raises(AssertionError, match="nobody has looked up"):
            upstream_of(turn, some)
        with pytest.raises(AssertionError, match="nobody has looked up"):
            passage_of(turn, turn.snapshot.providers["good"])
        turn.policies = (EU,)
        assert upstream_of(turn, some) is not None
        with pytest.raises(TransportError, match="it lacks soc2"):
            upstream_of(turn, msgspec.structs.replace(some, compliance=frozenset()))

    run(go())


def test_there_is_no_other_way_to_a_provider() -> None:
    """Connections are asked of the fleet at the door, and by probes of health, which carry nothing of anybody's."""
    folder = Path(afterbay.engine.__file__).parent
    found = set()
    for source in folder.glob("*.py"):
        for node in ast.walk(ast.parse(source.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("upstream", "passage", "_make_upstream"):
                whose = ast.unparse(node.value)
                found.add(f"{source.name}: {whose}.{node.attr}")
    assert found - {"passthrough.py: self._to.passage", "tunnel.py: self._to.passage"} == {
        "clearance.py: turn.fleet.upstream",
        "clearance.py: turn.fleet.passage",
        "fleet.py: self._make_upstream",
        "health.py: world.passage",
    }  # fmt: skip


def test_the_proof_is_in_the_row_and_without_secrets() -> None:
    record = Record("req_1", 0.0, "chat", OPENAI, compliance=["held: x", "a/m: soc2 (https://u:secretpassword@t.test)"])
    redact_record(record)
    assert not re.search("secretpassword", str(request_row(record)[-1]))
