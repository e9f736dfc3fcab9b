"""Retries of the same target, other keys of the same provider, and what a spent chain tells the client."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, BEDROCK, CLIENTS, GEMINI, LIMITS, OPENAI, error, gateway, serve, text

from afterbay.core.decision import Target
from afterbay.core.errors import ErrorKind, ProviderError
from afterbay.engine.alerts import AGAIN_S, KNOWN, Alerts
from afterbay.policy.plan import Limits
from afterbay.testing.answers import JSON, ask, failed, streamed
from afterbay.testing.fakes import Cut, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

DOWN = failed(OPENAI, 500, "server")
BUSY = failed(OPENAI, 429, "rate_limit", retry_after="30")
REFUSED = failed(OPENAI, 401, "authentication", "bad key sk-secret")
GOOD = streamed(OPENAI, "hi")


def whys(one: MemoryGateway) -> list[tuple[str, str, str | None]]:
    return [(each.target, each.why, each.outcome) for each in one.record.attempts]


@pytest.mark.parametrize(
    "script",
    [
        DOWN, failed(OPENAI, 502, "server"), failed(OPENAI, 503, "overloaded"), failed(OPENAI, 529, "overloaded"),
        Script(refused="no connection: Connection refused"), Script(dies_before_headers="the connection broke"),
        Script(steps=(Cut(),)), Script(),
    ],
)  # fmt: skip
def test_the_only_target_is_tried_again_after_an_error_that_passes(script: Script) -> None:
    one = gateway([script, GOOD], limits=LIMITS)
    assert text(serve(one).body, OPENAI) == "hi"
    assert [each.why for each in one.record.attempts] == ["primary", "retry"]
    first, second = (sent.at_s for sent in one.upstreams["a"].sent)
    assert 0 <= second - first <= 0.25


def test_three_attempts_are_all_and_the_last_words_pass() -> None:
    last = failed(OPENAI, 500, "server", "the last words")
    one = gateway([DOWN, DOWN, last], limits=LIMITS)
    reply = serve(one)
    assert (reply.status, reply.body, reply.headers["x-should-retry"]) == (500, last.steps[0], "false")
    assert [each.why for each in one.record.attempts] == ["primary", "retry", "retry"]


def test_two_targets_that_are_down_get_one_retry_between_them() -> None:
    one = gateway([DOWN], [DOWN, DOWN], limits=LIMITS)
    assert serve(one).status == 502
    assert whys(one) == [("a/up", "primary", "error"), ("b/up", "fallback", "error"), ("b/up", "retry", "error")]


@pytest.mark.parametrize(
    "script",
    [
        failed(OPENAI, 400, "invalid_request"), failed(OPENAI, 404, "not_found"), failed(OPENAI, 402, "quota"),
        failed(OPENAI, 429, "quota"), failed(OPENAI, 501, "server"), failed(OPENAI, 504, "timeout"),
        failed(OPENAI, 401, "authentication"), failed(OPENAI, 429, "rate_limit"),
        Script(status=302, headers={"location": "http://evil"}), Script(connect_takes_s=9.0),
    ],
)  # fmt: skip
def test_what_does_not_pass_by_itself_is_not_tried_again(script: Script) -> None:
    if script.connect_takes_s:
        script = msgspec.structs.replace(script, connect_takes_s=0.0, refused="late", code="connect_timeout")
    one = gateway([script], limits=LIMITS)
    assert serve(one).status >= 400
    assert len(one.record.attempts) == 1


def test_after_the_commit_nothing_is_tried_again() -> None:
    broken = Script(steps=(*streamed(OPENAI, "one", "two", "three").steps[:3], Cut()))
    one = gateway([broken], limits=LIMITS)
    assert error(serve(one).body)["message"]
    assert len(one.record.attempts) == 1


def test_no_retry_outlives_the_deadline() -> None:
    slow = msgspec.structs.replace(DOWN, headers_take_s=9.999999)
    one = gateway([slow], limits=Limits(first_token_s=20.0, total_s=10.0))
    serve(one)
    assert len(one.record.attempts) == 1


def storm(count: int, **limits: Any) -> MemoryGateway:
    """So many requests at once to a target that only fails."""
    plan = snapshot(alias("m", target("a/up")), limits=Limits(**limits))
    one = MemoryGateway(plan, a=ScriptedUpstream(*[msgspec.structs.replace(DOWN, headers_take_s=1.0)] * count * 3))

    async def all_at_once() -> None:
        await asyncio.gather(*(one.chat(ask("m")) for _ in range(count)))

    run(all_at_once())
    return one


@pytest.mark.parametrize(("count", "retrying"), [(1, 1), (3, 3), (10, 3), (50, 10), (200, 40)])
def test_an_outage_is_not_answered_by_a_storm(count: int, retrying: int) -> None:
    one = storm(count)
    assert len(one.upstreams["a"].sent) <= count + 2 * retrying
    retried = sum(any(each.why == "retry" for each in record.attempts) for record in one.records)
    assert retried == retrying
    told = [record for record in one.records if "the retry budget is used up" in (record.attempts[-1].error or "")]
    assert len(told) == count - retrying == one.context.retries.denied
    assert (one.context.retries.active, one.context.retries.retrying) == (0, 0)


def test_the_budget_is_given_back_by_requests_that_are_served() -> None:
    one = gateway([DOWN, GOOD] * 5, limits=LIMITS)
    for _ in range(5):
        run(one.chat(ask("m", stream=True)))
    assert [len(record.attempts) for record in one.records] == [2] * 5
    assert one.context.retries.retrying == 0


def keyed(*scripts: Script, keys: int = 2, beside: list[Script] | None = None, **fields: Any) -> MemoryGateway:
    """One provider with several keys, and perhaps another one beside it."""
    targets = [target("a/up", priority=0)] + ([target("b/up", priority=1)] if beside is not None else [])
    plan = snapshot(alias("m", *targets), limits=fields.get("limits", LIMITS))
    return MemoryGateway(
        plan,
        a=ScriptedUpstream(*scripts, keys=keys),
        **({"b": ScriptedUpstream(*beside)} if beside is not None else {}),
    )


@pytest.mark.parametrize(
    "script",
    [
        BUSY, REFUSED, failed(OPENAI, 403, "permission"), failed(OPENAI, 402, "quota"),
        Script(steps=(b'data: {"error": {"code": "rate_limit_exceeded", "message": "no"}}\n\n',)),
    ],
)  # fmt: skip
def test_another_key_serves_at_once_and_the_target_stays_in_its_place(script: Script) -> None:
    one = keyed(script, GOOD, beside=[])
    assert text(serve(one).body, OPENAI) == "hi"
    attempts = one.record.attempts
    assert [(each.target, each.why, each.key) for each in attempts] == [("a/up", "primary", 1), ("a/up", "key", 2)]
    assert one.upstreams["a"].sent[1].at_s == one.upstreams["a"].sent[0].at_s
    assert one.context.fleet.cooling == {}


def test_a_key_that_rests_is_not_used_by_the_next_requests() -> None:
    one = keyed(BUSY, GOOD, GOOD, GOOD)
    for _ in range(3):
        run(one.chat(ask("m", stream=True)))
    assert [sent.key for sent in one.upstreams["a"].sent] == [1, 2, 2, 2]


@pytest.mark.parametrize("script", [DOWN, failed(OPENAI, 400, "invalid_request"), failed(OPENAI, 503, "overloaded")])
def test_what_is_not_about_the_key_leads_to_no_other_one(script: Script) -> None:
    one = keyed(script, beside=[GOOD])
    serve(one)
    assert "key" not in [each.why for each in one.record.attempts]


def test_where_all_keys_are_limited_the_target_failed_and_cools_until_the_first_opens() -> None:
    late, soon = (failed(OPENAI, 429, "rate_limit", retry_after=wait) for wait in ("30", "8"))
    one = keyed(soon, late, beside=[GOOD])
    assert text(serve(one).body, OPENAI) == "hi"
    assert [each.target for each in one.record.attempts] == ["a/up", "a/up", "b/up"]
    assert one.context.fleet.cooling == {"a/up": 8.0}


def test_the_only_target_is_waited_for_until_its_first_key_is_free() -> None:
    late, soon = (failed(OPENAI, 429, "rate_limit", retry_after=wait) for wait in ("30", "8"))
    one = keyed(late, soon, GOOD)
    assert text(serve(one).body, OPENAI) == "hi"
    assert [(each.why, each.key) for each in one.record.attempts] == [("primary", 1), ("key", 2), ("retry", 2)]
    assert 8.0 <= one.upstreams["a"].sent[2].at_s <= 8.25


def test_many_keys_do_not_use_up_the_attempts_of_the_other_targets() -> None:
    one = keyed(*[BUSY] * 9, keys=9, beside=[GOOD])
    assert text(serve(one).body, OPENAI) == "hi"
    assert [each.target for each in one.record.attempts] == ["a/up"] * 4 + ["b/up"]


def test_all_keys_refused_is_told_as_before_without_the_provider_s_words(caplog: pytest.LogCaptureFixture) -> None:
    one = keyed(REFUSED, REFUSED)
    with caplog.at_level(logging.WARNING):
        reply = serve(one)
    assert (reply.status, one.record.outcome) == (502, "upstream_authentication")
    assert b"sk-secret" not in reply.body
    lines = [line.getMessage() for line in caplog.records if line.name == "afterbay.providers"]
    assert [line.split(":")[1].strip() for line in lines] == [
        "key 1 of 2 was refused (status 401, authentication)", "key 2 of 2 was refused (status 401, authentication)",
    ]  # fmt: skip
    assert "sk-secret" not in caplog.text
    assert one.context.fleet.cooling == {"a/up": 60.0}


def test_a_single_refused_key_is_still_used_where_there_is_nothing_else() -> None:
    one = keyed(REFUSED, GOOD, keys=1)
    assert run(one.chat(ask("m", stream=True))).status == 502
    assert run(one.chat(ask("m", stream=True))).status == 200
    assert one.records[0].attempts[0].key is None, "one key has no number"


def test_a_target_whose_key_is_refused_is_tried_last() -> None:
    one = keyed(REFUSED, keys=1, beside=[GOOD, GOOD])
    for _ in range(2):
        run(one.chat(ask("m", stream=True)))
    assert [[each.target for each in record.attempts] for record in one.records] == [["a/up", "b/up"], ["b/up"]]


def test_vectors_are_made_with_another_key() -> None:
    vectors = (
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.5]}],"usage":{"prompt_tokens":3}}'
    )
    plan = snapshot(alias("m", target("a/up", "openai.embeddings", embeds=True)), limits=LIMITS)
    one = MemoryGateway(plan, a=ScriptedUpstream(BUSY, Script(steps=(vectors,), headers=JSON), keys=2))
    reply = run(one.chat(b'{"model": "m", "input": "hello"}', operation="embeddings"))
    assert reply.status == 200
    assert [(each.why, each.key) for each in one.record.attempts] == [("primary", 1), ("key", 2)]


def test_moderations_are_made_with_another_key() -> None:
    plan = snapshot(alias("m", target("a/up")), limits=LIMITS)
    good = Script(steps=(b'{"id": "x", "results": []}',), headers=JSON)
    one = MemoryGateway(plan, a=ScriptedUpstream(REFUSED, good, keys=2))
    reply = run(one.chat(b'{"model": "m", "input": "hello"}', operation="moderations"))
    assert reply.status == 200
    assert [(each.why, each.key) for each in one.record.attempts] == [("primary", 1), ("key", 2)]


@pytest.mark.parametrize(("scripts", "tokens", "asked"), [(1, 42, 2), (3, None, 3)])
def test_tokens_are_counted_with_another_key(scripts: int, tokens: int | None, asked: int) -> None:
    limited = failed(ANTHROPIC, 429, "rate_limit", retry_after="9")
    good = Script(steps=(b'{"input_tokens": 42}',), headers=JSON)
    plan = snapshot(alias("m", target("a/up", ANTHROPIC)), limits=LIMITS)
    one = MemoryGateway(plan, a=ScriptedUpstream(*[limited] * scripts, good, keys=4))
    reply = run(one.chat(ask("m"), ANTHROPIC, operation="count_tokens"))
    assert len(one.upstreams["a"].sent) == asked
    assert ("x-afterbay-warnings" in reply.headers) == (tokens is None)
    assert tokens is None or reply.json == {"input_tokens": tokens}


def test_a_count_with_a_single_key_is_asked_for_once() -> None:
    plan = snapshot(alias("m", target("a/up", ANTHROPIC)), limits=LIMITS)
    one = MemoryGateway(plan, a=ScriptedUpstream(failed(ANTHROPIC, 401, "authentication"), keys=1))
    assert run(one.chat(ask("m"), ANTHROPIC, operation="count_tokens")).status == 200
    assert len(one.upstreams["a"].sent) == 1


@pytest.mark.parametrize("client", [*CLIENTS, GEMINI, "openai.responses"])
@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC, GEMINI, BEDROCK, "openai.responses"])
@pytest.mark.parametrize("targets", [1, 2])
@pytest.mark.parametrize(
    ("status", "kind"), [(500, "server"), (503, "overloaded"), (529, "overloaded"), (402, "quota")]
)
def test_a_spent_chain_asks_for_no_further_layer_of_retries(
    client: str, spoken: str, targets: int, status: int, kind: ErrorKind
) -> None:
    down = failed(spoken, status, kind)
    one = gateway(*[[down] * 3 for _ in range(targets)], spoken=spoken, limits=LIMITS)
    body, more = ask("m"), dict[str, Any]()
    if client == GEMINI:
        body, more = (
            b'{"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}',
            {"path": "/v1beta/models/m:generateContent"},
        )
    elif client == "openai.responses":
        body, more = b'{"model": "m", "input": "hi"}', {"operation": "responses"}
    reply = run(one.chat(body, client, **more))
    assert reply.status >= 400
    assert reply.headers["x-should-retry"] == "false"
    assert "retry-after" not in reply.headers


@pytest.mark.parametrize("operation", ["embeddings", "moderations"])
def test_other_operations_ask_for_no_further_layer_either(operation: str) -> None:
    dialect = "openai.embeddings" if operation == "embeddings" else OPENAI
    plan = snapshot(alias("m", target("a/up", dialect, embeds=operation == "embeddings")), limits=LIMITS)
    one = MemoryGateway(plan, a=ScriptedUpstream(DOWN, DOWN, DOWN))
    reply = run(one.chat(b'{"model": "m", "input": "hello"}', operation=operation))
    assert (reply.status, reply.headers["x-should-retry"]) == (500, "false")


def test_all_targets_busy_tells_when_to_come_back_and_that_a_client_library_should_not() -> None:
    busy = failed(OPENAI, 429, "rate_limit", retry_after="40")
    reply = serve(gateway([busy], [busy]))
    shown = (
        reply.status,
        reply.headers["retry-after"],
        reply.headers["retry-after-ms"],
        reply.headers["x-should-retry"],
    )
    assert shown == (503, "40", "40000", "false")


def test_one_target_that_wants_a_long_wait_leaves_it_to_the_client() -> None:
    reply = serve(gateway([failed(OPENAI, 429, "rate_limit", retry_after="40")]))
    assert (reply.status, reply.headers["retry-after"]) == (429, "40")
    assert "x-should-retry" not in reply.headers


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("connect_refused", "listens"), ("connect_timeout", "timeouts.connect"), ("dns_not_found", "base_url"),
        ("tls_failed", "ca_file"), ("proxy_failed", "proxy"), ("host_unreachable", "network"),
        ("no_sockets", "ulimit"), ("no_credentials", "credentials"),
    ],
)  # fmt: skip
def test_each_local_failure_has_its_own_code_and_remedy(code: str, words: str) -> None:
    one = gateway([Script(refused="no connection: something", code=code)])
    reply = serve(one)
    told: Any = reply.json["error"]
    assert (reply.status, told["code"], one.record.outcome) == (502, code, code)
    assert words in told["message"]


def a_target(alias_name: str = "m") -> Target:
    return target("a/up", alias=alias_name)


def test_an_alert_is_one_line_an_hour_and_cause(caplog: pytest.LogCaptureFixture) -> None:
    alerts, gone = Alerts(), ProviderError("not_found", "no model sk-secret", 404)
    with caplog.at_level(logging.ERROR):
        for now in (0.0, 10.0, AGAIN_S - 1, AGAIN_S, AGAIN_S + 5):
            alerts.failed(a_target(), gone, now)
        alerts.failed(a_target(), ProviderError("quota", "no", 429), 20.0)
    assert (alerts.count("not_found"), alerts.count("quota"), len(caplog.records)) == (2, 1, 3)
    assert "a/up" in caplog.records[0].getMessage()
    assert "sk-secret" not in caplog.text, "a provider's own words stay out of the log"


def test_what_only_a_client_named_and_what_passes_alerts_nobody(caplog: pytest.LogCaptureFixture) -> None:
    alerts = Alerts()
    alerts.failed(a_target("a/up"), ProviderError("not_found", "no", 404), 0.0)
    alerts.failed(a_target(), ProviderError("server", "no", 500), 0.0)
    assert caplog.records == []


def test_what_was_said_is_remembered_within_bounds() -> None:
    alerts = Alerts()
    for at in range(KNOWN * 2):
        alerts.failed(target(f"a/{at}", alias="m"), ProviderError("quota", "no", 429), 0.0)
    assert len(alerts._told_s) == KNOWN


def test_a_model_that_is_gone_alerts_and_the_next_target_serves(caplog: pytest.LogCaptureFixture) -> None:
    one = gateway([failed(OPENAI, 404, "not_found")], [GOOD])
    with caplog.at_level(logging.ERROR):
        assert text(serve(one).body, OPENAI) == "hi"
    assert "does not know this model" in caplog.text
