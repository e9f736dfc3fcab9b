"""What the engine brings to a pick: the client's word, its preferences, its conversation; and what the log keeps."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, OPENAI

from afterbay.core.usage import Price, Usage
from afterbay.policy.facts import Facts
from afterbay.policy.pinning import LONGEST_S
from afterbay.policy.plan import Route
from afterbay.policy.rights import Preference, Rights
from afterbay.policy.statement import Preferences
from afterbay.ports import Key
from afterbay.testing.answers import answered, ask
from afterbay.testing.fakes import MemoryReply, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

DEAR = Price(3_000_000, 12_000_000, 300_000, 3_000_000)
CHEAP = Price(2_000_000, 8_000_000, 200_000, 2_000_000)
LONG = Usage(9000, 0, 0, 50)
ROUTE = Route(
    "auto",
    candidates=("cheap", "strong"),
    tasks={"code": "strong"},
    complexity={"low": "cheap", "high": "strong"},
    fallback=("strong", "cheap"),
)
"""A short question goes to `cheap`, code to `strong`."""


def gateway(
    times: int = 3, *, usage: Usage = LONG, spoken: str = OPENAI, route: Route = ROUTE, **more: Any
) -> MemoryGateway:
    plan = snapshot(
        alias("cheap", target("c/x", spoken, price=CHEAP)),
        alias("strong", target("s/x", spoken, price=DEAR)),
        routes=(route,),
    )
    answers = {name: ScriptedUpstream(*[answered(spoken, "hi", usage)] * times) for name in ("c", "s")}
    return MemoryGateway(msgspec.structs.replace(plan, **more), **answers)


def go(one: MemoryGateway, *bodies: bytes, **options: Any) -> list[MemoryReply]:
    async def all_of_them() -> list[MemoryReply]:
        return [await one.chat(body, **options) for body in bodies]

    return run(all_of_them())


def turns(*texts: str, **fields: Any) -> bytes:
    """A conversation: user and assistant take turns, the user begins."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(texts)]
    return msgspec.json.encode({"model": "auto", "messages": messages, "max_tokens": 50, **fields})


HELLO = turns("Write code")
AGAIN = turns("Write code", "word " * 3000, "thanks")
"""The same conversation goes on, with a question of no special task; it is long by now."""


def picks(one: MemoryGateway) -> list[tuple[str, str]]:
    return [(record.model, record.rule) for record in one.records]


# --- the client's word


def test_a_header_states_the_task() -> None:
    one = gateway()
    (reply,) = go(one, ask("auto"), headers={"x-afterbay-task": "Code"})
    assert reply.headers["x-afterbay-route"] == "auto; task:code (said by the client)"
    assert (one.record.model, one.record.task) == ("strong", "code")


def test_a_wrong_task_is_a_400_that_names_the_eight() -> None:
    (reply,) = go(gateway(), ask("auto"), headers={"x-afterbay-task": "coding"})
    told: Any = reply.json["error"]
    assert (reply.status, told["code"], told["param"]) == (400, "invalid_value", "x-afterbay-task")
    assert "summarize, code, translate, extract, chat, reasoning, creative, qa" in told["message"]


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_task_is_none(blank: str) -> None:
    one = gateway()
    (reply,) = go(one, ask("auto"), headers={"x-afterbay-task": blank})
    assert (reply.status, one.record.task) == (200, None)


def test_metadata_states_the_task() -> None:
    one = gateway()
    go(one, ask("auto", metadata={"task": "code"}), ask("auto", metadata={"task": "import"}))
    assert picks(one) == [("strong", "task:code (said by the client)"), ("cheap", "complexity:low")]


USERS = Preferences(
    {"ada": Preference(preferred_provider="s"), "eve": Preference(allowed_providers=frozenset({"s"}))},
    {"bot": Preference(bound_model="strong")},
)


@pytest.mark.parametrize(("fields", "model"), [({"user": "eve"}, "strong"), ({"user": "bob"}, "cheap"), ({}, "cheap")])
def test_a_users_preference_holds_for_who_says_so(fields: dict[str, Any], model: str) -> None:
    one = gateway(preferences=USERS)
    go(one, ask("auto", **fields))
    assert one.record.model == model


def test_anthropics_clients_name_their_user_in_metadata() -> None:
    one = gateway(preferences=USERS)
    go(one, ask("auto", max_tokens=10, metadata={"user_id": "eve"}), dialect=ANTHROPIC)
    assert one.record.model == "strong"


def test_an_agent_may_be_bound_to_a_model() -> None:
    one = gateway(preferences=USERS)
    (reply,) = go(one, ask("cheap"), headers={"x-afterbay-agent": "bot"})
    assert one.record.model == "strong"
    assert (
        "the agent 'bot' is bound to 'strong', which answers instead of 'cheap'" in reply.headers["x-afterbay-warnings"]
    )


def test_what_a_client_states_gives_it_no_right() -> None:
    one = gateway(preferences=USERS)
    key = Key("k", "k", Rights(models=frozenset({"cheap"}), providers=frozenset({"c"})))
    (bound,) = go(one, ask("cheap"), headers={"x-afterbay-agent": "bot"}, key=key)
    assert (bound.status, not one.upstreams["s"].sent) == (403, True)
    (narrowed,) = go(one, ask("cheap", user="eve"), key=key)
    assert narrowed.status == 403, "of the providers of both none is left"
    assert b"preference: the user 'eve' may not use the provider 'c'" in narrowed.body


# --- conversations


def test_a_conversation_stays_where_its_prompt_is_warm() -> None:
    one = gateway()
    go(one, HELLO, AGAIN)
    assert picks(one) == [("strong", "rule:code"), ("strong", "pin")]
    assert one.records[1].reasons is not None
    assert one.records[1].reasons["facts"]["pinned"]["tokens"] == 9000


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"route": msgspec.structs.replace(ROUTE, pins=False)}, "it may not"),
        ({"usage": Usage(500, 0, 0, 50)}, "nothing was worth caching"),
        ({"spoken": ANTHROPIC}, "nothing was marked for the cache"),
    ],
)
def test_a_conversation_does_not_stay_where(change: dict[str, Any], why: str) -> None:
    one = gateway(**change)
    go(one, HELLO, turns("Write code", "hi", "thanks"))
    assert picks(one)[1] == ("cheap", "complexity:low"), why


def test_another_conversation_another_key_or_another_beginning_is_not_pinned() -> None:
    one = gateway(5)
    go(one, HELLO)
    go(one, turns("Draw code", "word " * 3000, "thanks"), turns("thanks " + "word " * 80))
    go(one, AGAIN, key=Key("k", "k"))
    assert "pin" not in [rule for _, rule in picks(one)]


def test_no_word_of_a_conversation_is_kept() -> None:
    one = gateway()
    go(one, HELLO)
    kept = one.context.conversations
    assert len(kept) == 1
    assert b"code" not in repr(vars(kept)).encode().lower()


def test_an_hour_later_a_conversation_begins_anew() -> None:
    one = gateway()

    async def later() -> None:
        import asyncio

        await one.chat(HELLO)
        await asyncio.sleep(LONGEST_S)
        await one.chat(AGAIN)

    run(later())
    assert picks(one)[1][1] != "pin"


def test_the_name_of_a_conversation_is_another_one_in_every_process() -> None:
    names = set()
    for at in range(2):
        one = gateway()
        for _ in range(at):
            one.entropy.bits(8)
        go(one, HELLO)
        names |= set(one.context.conversations._entries)
    assert len(names) == 2


def test_what_a_client_marked_for_the_cache_keeps_a_conversation(monkeypatch: pytest.MonkeyPatch) -> None:
    one = gateway(spoken=ANTHROPIC, usage=Usage(10, 8000, 1000, 50))
    go(one, HELLO, AGAIN)
    assert picks(one)[1] == ("strong", "pin")


def test_an_agent_that_was_stuck_keeps_the_strongest(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = iter([True, False, False])
    monkeypatch.setattr(
        "afterbay.engine.routing.read_facts", lambda text, rules, scorer: Facts(5.0, frozenset(), stalled=next(seen))
    )
    one = gateway(usage=Usage(100, 0, 0, 50))
    go(one, HELLO, AGAIN, turns("Hello", "hi", "thanks"))
    assert picks(one) == [("strong", "escalate:stalled"), ("strong", "escalate:held"), ("cheap", "complexity:low")]


def test_a_provider_that_says_nonsense_of_its_usage_is_not_believed() -> None:
    one = gateway(usage=Usage(10**13, 0, 0, 10**13))
    go(one, HELLO)
    assert len(one.context.conversations) == 0


# --- the log


def test_the_record_of_a_pick_has_its_reasons_and_a_plain_alias_has_none() -> None:
    one = gateway()
    go(one, ask("auto"), ask("cheap"))
    picked, plain = one.records
    assert plain.reasons is None
    reasons = picked.reasons
    assert reasons is not None
    assert (reasons["rule"], reasons["pick"], reasons["strongest"]) == ("complexity:low", "c/x", "s/x")
    assert [one["target"] for one in reasons["candidates"]] == ["c/x", "s/x"]
    assert reasons["counterfactual_picousd"] == DEAR.cost_picousd(LONG), "by what was used in the end"
    assert picked.cost_picousd == CHEAP.cost_picousd(LONG)
    assert "hello" not in repr(reasons)


def test_short_answers_do_not_make_a_dear_model_cheaper_than_one_that_was_never_asked() -> None:
    route = Route("auto", candidates=("strong", "cheap"), tasks={"code": "strong"}, optimize="cost")
    one = gateway(usage=Usage(10, 0, 0, 3), route=route)
    go(one, ask("auto"), headers={"x-afterbay-task": "code"})
    go(one, ask("auto"))
    assert [model for model, _ in picks(one)] == ["strong", "cheap"]


def test_reasons_hold_no_word_of_the_prompt() -> None:
    one = gateway()
    go(one, ask("auto", messages=[{"role": "user", "content": "The zymurgist of Quilmes wrote code: quokka"}]))
    told = msgspec.json.encode(one.record.reasons).decode()
    assert '"mentions":["code"]' in told
    assert not [word for word in ("zymurgist", "Quilmes", "quokka", "wrote") if word in told]
