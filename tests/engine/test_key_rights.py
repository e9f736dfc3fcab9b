"""What a key may use, and what it prefers, on the way of a request: models, routes, providers, sets, bound models."""

from __future__ import annotations

from typing import Any

import msgspec
from tests.engine.cases import OPENAI, serve, text

from afterbay.config.snapshot import Snapshot
from afterbay.policy.plan import Compliance, Route
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights
from afterbay.ports import KeptResponse, Key, Owner
from afterbay.testing.answers import ask, failed, streamed
from afterbay.testing.fakes import MemoryReply, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run


def key(rights: Rights = EVERYTHING, wish: Preference = NO_WISH) -> Key:
    return Key("key_1", "ci", rights, wish, team=Owner("team_1", "search"))


def plan() -> Snapshot:
    """`m` is at a and b, `n` at c; `safe` picks n. Only b is in the set `eu`."""
    europe = {"compliance": frozenset({"gdpr"})}
    found = snapshot(
        alias("m", target("a/x"), target("b/x", **europe), fallback=("n",)),
        alias("n", target("c/y")),
        routes=(Route("auto", candidates=("m", "n")), Route("safe", candidates=("n",))),
    )
    return msgspec.structs.replace(found, compliance={"eu": Compliance(frozenset({"gdpr"}))})


def asked(of: Key | None, model: str = "m", headers: dict[str, str] | None = None) -> tuple[MemoryGateway, MemoryReply]:
    """The gateway after one request; each provider answers with its own name."""
    up = {name: ScriptedUpstream(streamed(OPENAI, name), streamed(OPENAI, name)) for name in "abc"}
    one = MemoryGateway(plan(), **up)
    return one, serve(one, body=ask(model, stream=True), key=of, headers=headers)


def said(of: Key, model: str = "m", headers: dict[str, str] | None = None) -> str:
    _one, reply = asked(of, model, headers)
    assert reply.status == 200, reply.body
    return text(reply.body, OPENAI)


def refused(of: Key, model: str = "m") -> str:
    one, reply = asked(of, model)
    error: Any = reply.json["error"]
    assert (reply.status, error["code"], one.record.outcome) == (403, "policy_no_candidate", "policy_no_candidate")
    assert not any(each.sent for each in one.upstreams.values())
    return str(error["message"])


def test_only_providers_that_the_key_may_use_are_asked() -> None:
    for name in "abc":
        assert said(key(Rights(providers=frozenset(name)))) == name
        assert said(key(wish=Preference(allowed_providers=frozenset(name)))) == name
    assert "may not use the provider 'a'" in refused(key(Rights(providers=frozenset("z"))))
    assert "may not use the provider" in refused(key(Rights(providers=frozenset("a"))), "c/y")
    both = key(Rights(providers=frozenset("ab")), Preference(allowed_providers=frozenset("bc")))
    assert said(both) == "b"


def test_a_failure_leads_to_no_provider_that_the_key_may_not_use() -> None:
    one = MemoryGateway(
        plan(), a=ScriptedUpstream(failed(OPENAI, 500, "server")), b=ScriptedUpstream(), c=ScriptedUpstream()
    )
    reply = serve(one, body=ask("m", stream=True), key=key(Rights(providers=frozenset("a"))))
    assert reply.status >= 500
    assert not one.upstreams["b"].sent
    assert not one.upstreams["c"].sent


def test_only_routes_that_the_key_may_name_are_served() -> None:
    assert said(key(Rights(routes=frozenset({"safe"}))), "safe") == "c"
    assert "may not use the route 'auto'" in refused(key(Rights(routes=frozenset({"safe"}))), "auto")
    assert said(key(Rights(routes=frozenset())), "n") == "c", "a model is no route"


def test_what_a_request_by_alias_keeps_to_is_no_name_that_rights_can_mean() -> None:
    assert "may not use 'm'" in refused(key(Rights(models=frozenset({"defaults"}))))


def test_no_models_are_none_and_not_all() -> None:
    assert "may not use 'm'" in refused(key(Rights(models=frozenset())))


def test_compliance_sets_of_the_key_hold_and_one_that_is_not_there_fails_all() -> None:
    assert said(key(Rights(compliance=frozenset({"eu"})))) == "b"
    assert "there is no set 'us'" in refused(key(Rights(compliance=frozenset({"eu", "us"}))))


def test_the_preferred_provider_is_tried_first_within_the_model() -> None:
    assert said(key(wish=Preference(preferred_provider="b"))) == "b"
    assert said(key(wish=Preference(preferred_provider="c"))) in "ab", "the model comes before the wish"
    assert said(key(Rights(providers=frozenset("a")), Preference(preferred_provider="b"))) == "a", (
        "rights before wishes"
    )


def test_a_bound_model_answers_whatever_is_asked() -> None:
    one, reply = asked(key(wish=Preference(bound_model="n")), "gpt-unheard-of")
    assert text(reply.body, OPENAI) == "c"
    assert one.upstreams["c"].sent[0].json["model"] == "y"
    assert "bound to 'n', which answers instead of 'gpt-unheard-of'" in reply.headers["x-afterbay-warnings"]
    assert one.record.requested_model == "gpt-unheard-of"


def test_a_bound_model_gives_no_right_to_it() -> None:
    message = refused(key(Rights(models=frozenset("m")), Preference(bound_model="n")), "m")
    assert "may not use 'n'" in message


def test_an_agent_has_its_own_preference() -> None:
    wish = Preference(bound_model="m", agents={"coder": Preference(bound_model="n")})
    assert said(key(wish=wish), "x", {"x-afterbay-agent": "coder"}) == "c"
    assert said(key(Rights(providers=frozenset("b")), wish), "x", {"x-afterbay-agent": "other"}) == "b"


def test_the_record_says_whose_request_it_was() -> None:
    one, _ = asked(key())
    assert (one.record.key_name, one.record.team, one.record.organisation, one.record.user) == (
        "ci",
        "search",
        None,
        None,
    )


def test_what_a_forbidden_provider_keeps_is_not_asked_for() -> None:
    one = MemoryGateway(plan(), a=ScriptedUpstream(), b=ScriptedUpstream(), c=ScriptedUpstream())
    run(one.responses.put(KeptResponse("resp_1", "key_1", 1e12, "a", "m")))
    reply = run(
        one.chat(
            b"",
            "openai.responses",
            key=key(Rights(providers=frozenset("b"))),
            path="/v1/responses/resp_1",
            method="GET",
            operation="response",
        )
    )
    assert reply.status == 403
    assert one.upstreams["a"].sent == []
