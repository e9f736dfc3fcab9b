"""Budgets and limits of accounts: who is refused, what is set aside, what is charged, and that it all adds up."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, OPENAI

from afterbay.core.decision import Target
from afterbay.core.usage import Price, Usage, picousd
from afterbay.engine.passthrough import Raw, serve_passthrough
from afterbay.policy.allowance import Allowance, Rule
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Route
from afterbay.ports import Exceeded, Hold, Key, LedgerUnavailable
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedResponse, ScriptedUpstream, Wait
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.passages import ScriptedBody, ScriptedPassage
from afterbay.testing.virtual_loop import run

KEY = Key("k1", "ci", accounts=("team:t1", "key:k1"))
FREE = Price(0, 0, 0, 0)
CHEAP = Price(1_000_000, 1_000_000, 1_000_000, 1_000_000)  # a dollar a million
DEAR = Price(10_000_000, 10_000_000, 10_000_000, 10_000_000)
MONTH = Allowance("key:k1", "picousd", "month", picousd(1))


def budget(usd: float, **fields: Any) -> Rule:
    wanted = {"name": "policies.budgets.b", "scope": "key", "unit": "picousd", "period": "month", "limit": picousd(usd)}
    return Rule(**(wanted | fields))


def of(*targets: Target, rules: tuple[Rule, ...], route: Route | None = None, **upstreams: Any) -> MemoryGateway:
    plan = snapshot(alias("m", *targets), defaults=route or Route("defaults"))
    return MemoryGateway(msgspec.structs.replace(plan, budgets=rules), **upstreams)


def served(one: MemoryGateway, body: bytes = b"", client: str = OPENAI, key: Key = KEY, **headers: str) -> MemoryReply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return run(one.chat(body or ask("m"), client, headers=named, key=key))


def answers(count: int, written: int = 500) -> ScriptedUpstream:
    return ScriptedUpstream(*(answer(written) for _ in range(count)))


def answer(written: int, read: int = 10) -> Script:
    return answered(OPENAI, "hi", Usage(input_tokens=read, output_tokens=written))


class Varied(ScriptedUpstream):
    """Answers of any length that it may have, or none."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        asked = msgspec.json.decode(body)
        script = answer(self._chance.randint(1, asked["max_tokens"]))
        if self._chance.random() < 0.2:
            script = failed(OPENAI, 500, "server")
        elif asked.get("stream"):
            script = streamed(
                OPENAI, "a", "b", usage=Usage(10, output_tokens=self._chance.randint(1, asked["max_tokens"]))
            )
        self._scripts = [msgspec.structs.replace(script, headers_take_s=self._chance.random())]
        return await super().post(path, body, headers, connect_s)


def error_of(reply: MemoryReply) -> dict[str, Any]:
    got: dict[str, Any] = msgspec.json.decode(reply.body)["error"]
    return got


def left(one: MemoryGateway, allowance: Allowance = MONTH) -> int:
    async def ask_it() -> int | None:
        return one.ledger.left(allowance)

    found = run(ask_it())
    assert found is not None
    return found


def test_without_an_allowance_a_request_is_charged_to_its_key_and_changed_in_nothing() -> None:
    one = of(target("a/up"), rules=(), a=answers(1))
    assert served(one).status == 200
    assert one.record.accounts == ("team:t1", "key:k1")
    assert one.record.charged_picousd == one.record.cost_picousd
    assert one.upstreams["a"].sent[0].body == ask("up")


def test_a_budget_with_plenty_left_changes_nothing_and_is_charged_what_it_cost() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(1),), a=answers(1))
    assert served(one, ask("m", max_tokens=600)).status == 200
    assert one.upstreams["a"].sent[0].body == ask("up", max_tokens=600)
    assert one.record.warnings == []
    assert one.record.charged_picousd == one.record.cost_picousd == 510 * 1_000_000
    assert left(one) == picousd(1) - 510 * 1_000_000


def test_a_budget_that_is_used_up_refuses_for_good_and_says_which() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(0.0005),), a=answers(3, written=250))
    statuses = [served(one, ask("m", max_tokens=250)).status for _ in range(3)]
    assert statuses == [200, 429, 429]
    reply = served(one, ask("m", max_tokens=250))
    assert reply.headers["x-should-retry"] == "false"
    assert error_of(reply)["code"] == "insufficient_quota"
    assert "ask for a shorter answer" in error_of(reply)["message"]
    assert "policies.budgets.b (key:k1)" in error_of(reply)["message"]
    assert one.records[-1].outcome == "insufficient_quota"
    assert one.records[-1].charged_picousd == 0


def test_a_budget_in_total_says_so() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(0, period="total"),), a=answers(1))
    told = error_of(served(one, ask("m", max_tokens=250)))
    assert "is left of $0.00 in total" in told["message"]
    assert "next period" not in told["message"]


@pytest.mark.parametrize(("period", "said"), [("day", "10 tokens a day"), ("total", "10 tokens in total")])
def test_a_request_that_is_longer_than_a_limit_is_told_no_time_to_come_back(period: str, said: str) -> None:
    one = of(target("a/up"), rules=(budget(0, unit="tokens", limit=10, period=period),), a=answers(1))
    reply = served(one, ask("m", "many words " * 50))
    assert (reply.status, error_of(reply)["code"]) == (429, "rate_limit_exceeded")
    assert said in error_of(reply)["message"]
    assert ("alone may need more than the whole limit" in error_of(reply)["message"]) == (period == "day")
    assert "retry-after" not in reply.headers
    assert "retry-after" not in error_of(reply)["message"], "nobody is sent to wait for what is not said"


def test_the_refusal_comes_in_the_clients_protocol() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(0),), a=answers(1))
    reply = served(one, ask("m", max_tokens=99), ANTHROPIC)
    assert reply.status == 429
    assert msgspec.json.decode(reply.body)["type"] == "error"


def test_as_a_budget_ends_answers_get_shorter_before_anybody_is_refused() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(0.001),), a=answers(1))
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x"}]})
    assert served(one, body).status == 200
    limit = one.upstreams["a"].sent[0].json["max_tokens"]
    assert 256 <= limit < 1000
    assert any("may write" in warning and "policies.budgets.b" in warning for warning in one.record.warnings)


@pytest.mark.parametrize("seed", range(8))
def test_whatever_comes_at_once_no_more_is_spent_than_the_budget(seed: int) -> None:
    """A burst of a hundred with answers of any length up to what they may have, some of which fail or stream."""
    chance = random.Random(seed)

    amount = picousd(chance.choice([0.01, 0.02, 0.05]))
    one = of(
        target("a/up", price=CHEAP),
        rules=(budget(1, limit=amount), budget(1, scope="team", limit=amount * 2)),
        a=Varied(chance),
    )

    async def burst() -> list[MemoryReply]:
        options = {"stream_options": {"include_usage": True}}
        bodies = [
            ask(
                "m",
                max_tokens=chance.randint(50, 3000),
                **({"stream": True} | options if chance.random() < 0.3 else {}),
            )
            for _ in range(100)
        ]
        return list(await asyncio.gather(*(one.chat(body, key=KEY) for body in bodies)))

    replies = run(burst())
    spent = sum(record.cost_picousd or 0 for record in one.records)
    assert 0 < spent <= amount
    assert spent == sum(record.charged_picousd for record in one.records)
    assert {reply.status for reply in replies} <= {200, 429, 500}
    assert left(one, Allowance("key:k1", "picousd", "month", amount)) == amount - spent


def test_what_a_refused_request_had_set_aside_is_free_again() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(1),), a=answers(0))
    assert served(one, x_afterbay_max_cost_usd="0").status == 402
    assert left(one) == picousd(1)
    assert one.record.charged_picousd == 0


def test_a_limit_of_requests_a_minute_says_when_to_come_back() -> None:
    one = of(target("a/up"), rules=(budget(0, unit="requests", period="minute", limit=2),), a=answers(5))

    async def all_of_it() -> list[MemoryReply]:
        first = [await one.chat(ask("m"), key=KEY) for _ in range(3)]
        await asyncio.sleep(62)
        return [*first, await one.chat(ask("m"), key=KEY)]

    replies = run(all_of_it())
    assert [reply.status for reply in replies] == [200, 200, 429, 200]
    assert 55 <= int(replies[2].headers["retry-after"]) <= 61
    assert error_of(replies[2])["code"] == "rate_limit_exceeded"
    assert "x-should-retry" not in replies[2].headers
    remaining = [reply.headers.get("x-ratelimit-remaining-requests") for reply in replies]
    assert remaining == ["1", "0", None, "1"]
    assert replies[0].headers["x-ratelimit-limit-requests"] == "2"


def test_a_limit_of_tokens_counts_what_was_used_not_what_was_asked_for() -> None:
    one = of(target("a/up"), rules=(budget(0, unit="tokens", period="day", limit=1200),), a=answers(5, written=500))
    assert [served(one, ask("m", max_tokens=600)).status for _ in range(4)] == [200, 200, 429, 429]
    assert left(one, Allowance("key:k1", "tokens", "day", 1200)) == 1200 - 2 * 510


def test_a_request_that_nobody_was_asked_for_is_none() -> None:
    rules = (budget(0, unit="requests", period="day", limit=1),)
    one = of(target("a/up", cannot=frozenset({"tools"})), rules=rules, a=answers(1))
    assert served(one, ask("nobody")).status == 404
    assert served(one).status == 200
    assert served(one).status == 429


def test_downgrade_goes_on_with_the_cheapest_even_when_nothing_is_left() -> None:
    dear, cheap = target("a/up", price=DEAR), target("b/up", price=CHEAP)
    one = of(dear, cheap, rules=(budget(0, on_exceeded="downgrade"),), a=answers(0), b=answers(2))
    assert served(one).status == 200
    assert one.record.attempts[0].target == "b/up"
    assert any("downgrade" in warning for warning in one.record.warnings)
    assert one.record.charged_picousd == one.record.cost_picousd > 0  # type: ignore[operator]
    assert left(one, Allowance("key:k1", "picousd", "month", 0)) == -one.record.charged_picousd


def test_low_priority_gets_the_cheapest_first_and_high_priority_what_it_asked_for() -> None:
    for priority, asked in (("low", "b/up"), ("high", "a/up")):
        dear, cheap = target("a/up", price=DEAR), target("b/up", price=CHEAP)
        one = of(dear, cheap, rules=(budget(100),), a=answers(2), b=answers(1))
        assert served(one, x_afterbay_priority="high").status == 200
        assert served(one, x_afterbay_priority=priority).status == 200
        assert one.records[1].attempts[0].target == asked


def test_what_costs_nothing_is_served_when_the_money_is_gone() -> None:
    one = of(target("a/up", price=FREE), rules=(budget(0),), a=answers(1))
    assert served(one).status == 200


def test_under_a_budget_a_price_that_nobody_knows_is_refused_or_counts_as_the_dearest() -> None:
    unknown = target("a/up", price=None)
    one = of(unknown, rules=(budget(1),), a=answers(0))
    reply = served(one)
    assert (reply.status, error_of(reply)["code"]) == (403, "price_unknown")
    one = of(unknown, target("b/up", price=DEAR), rules=(budget(1),), a=answers(1), b=answers(0))
    assert served(one, ask("m", max_tokens=1000)).status == 200
    assert one.record.cost_picousd is None
    assert one.record.charged_picousd >= 1000 * 10_000_000


def test_a_client_that_leaves_is_charged_what_was_made_for_it() -> None:
    said = streamed(OPENAI, "one two three", "four")
    script = msgspec.structs.replace(said, steps=(*said.steps[:2], Wait(60.0)))
    one = of(target("a/up", price=CHEAP), rules=(budget(1),), a=ScriptedUpstream(script))

    async def leave() -> None:
        task = asyncio.ensure_future(one.chat(ask("m", stream=True), key=KEY))
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait((task,))

    run(leave())
    assert one.record.outcome == "client_closed"
    assert 0 < one.record.charged_picousd < 200 * 1_000_000
    assert left(one) == picousd(1) - one.record.charged_picousd


@pytest.mark.parametrize(
    ("after_s", "max_tokens", "wrote"), [(1.0, 1000, 250), (40.0, 20_000, 10_000), (40.0, 600, 600)]
)
def test_a_whole_answer_that_its_client_left_counts_what_a_fast_model_writes_meanwhile(
    after_s: float, max_tokens: int, wrote: int
) -> None:
    script = msgspec.structs.replace(answer(50), headers_take_s=60.0)
    one = of(target("a/up", price=CHEAP), rules=(budget(1),), a=ScriptedUpstream(script))
    charged = left_after(one, after_s, max_tokens=max_tokens)
    assert one.record.usage is not None
    assert one.record.usage.estimated
    assert abs(one.record.usage.output_tokens - wrote) <= 2
    assert charged == one.record.cost_picousd == (one.record.usage.input_tokens + wrote) * 1_000_000
    assert left(one) == picousd(1) - charged


def test_a_whole_answer_that_its_client_left_is_not_taken_for_longer_than_its_budget_let_it_be() -> None:
    script = msgspec.structs.replace(answer(50), headers_take_s=600.0)
    one = of(target("a/up", price=CHEAP), rules=(budget(0.001),), a=ScriptedUpstream(script))
    assert 0.0005 < left_after(one, 50.0, max_tokens=20_000) / 1e12 <= 0.001


def left_after(one: MemoryGateway, after_s: float, **fields: Any) -> int:
    """What is charged to a client that leaves then."""

    async def leave() -> None:
        task = asyncio.ensure_future(one.chat(ask("m", **fields), key=KEY))
        await asyncio.sleep(after_s)
        task.cancel()
        await asyncio.wait((task,))

    run(leave())
    assert one.record.outcome == "client_closed"
    return one.record.charged_picousd


def test_every_account_of_a_request_has_its_own_allowance() -> None:
    scopes = ("key", "team", "user", "model", "route", "tag:project")
    rules = tuple(budget(1, scope=scope, unit="requests", limit=9) for scope in scopes)
    one = of(target("a/up"), rules=rules, a=answers(1))
    assert served(one, x_afterbay_tags="project=x,other=y").status == 200
    assert set(one.record.accounts) == {"team:t1", "key:k1", "model:m", "route:defaults", "tag:project=x"}
    for account in ("key:k1", "model:m", "tag:project=x"):
        assert left(one, Allowance(account, "requests", "month", 9)) == 8
    assert left(one, Allowance("tag:other=y", "requests", "month", 9)) == 9


def test_a_keys_own_allowance_holds_beside_those_of_the_configuration() -> None:
    key = msgspec.structs.replace(KEY, allowances=(Allowance("key:k1", "requests", "day", 1, name="key ci"),))
    one = of(target("a/up"), rules=(budget(0, unit="requests", limit=5),), a=answers(3))
    assert [served(one, key=key).status for _ in range(2)] == [200, 429]
    assert "key ci (key:k1)" in one.records[-1].error  # type: ignore[operator]


def test_hedges_are_set_aside_too_so_that_a_budget_does_not_forbid_them() -> None:
    route = Route("defaults", hedge=Hedging(after_s=0.1, max_extra_cost=1.0, max_share=1.0))
    slow = ScriptedUpstream(msgspec.structs.replace(answer(50), headers_take_s=5.0))
    targets = target("a/up", price=CHEAP), target("b/up", price=CHEAP)
    one = of(*targets, rules=(budget(50),), route=route, a=slow, b=answers(1, written=50))
    assert served(one).status == 200
    assert [attempt.why for attempt in one.record.attempts] == ["primary", "hedge"]


def raw_requests(rule: Rule) -> tuple[MemoryGateway, list[MemoryReply]]:
    plan = snapshot(alias("m", target("up/gpt")))
    script = Script(steps=(b"one",))
    one = MemoryGateway(msgspec.structs.replace(plan, budgets=(rule,)), up=ScriptedPassage(script, script))
    replies = [MemoryReply(), MemoryReply()]

    async def ask_twice() -> None:
        for reply in replies:
            call = one.call(b"", key=KEY)
            await serve_passthrough(one.context, call, Raw("POST", "up", "/v1/files"), ScriptedBody(), reply)

    run(ask_twice())
    return one, replies


def test_a_raw_request_counts_as_a_request() -> None:
    one, replies = raw_requests(budget(0, unit="requests", period="day", limit=1))
    assert [reply.status for reply in replies] == [200, 429]
    assert left(one, Allowance("key:k1", "requests", "day", 1)) == 0


def test_a_raw_request_is_refused_where_a_budget_of_money_could_not_hold() -> None:
    one, replies = raw_requests(budget(5))
    assert [reply.status for reply in replies] == [403, 403]
    assert one.records[0].outcome == "price_unknown"


class Broken:
    """A ledger that cannot be asked."""

    def left(self, allowance: Allowance) -> int | None:
        return None

    def at_once(self, wants: Any, at_s: float) -> Hold | None:
        return None

    async def reserve(self, wants: Any, wait_s: float, at_s: float | None = None) -> Hold:
        raise LedgerUnavailable(wants[0][0], "the database does not answer", 3.0)


def test_when_nobody_knows_what_is_left_the_request_waits_with_its_client() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(1),), a=answers(0))
    one.context.ledger = Broken()  # type: ignore[assignment]
    reply = served(one)
    assert (reply.status, reply.headers["retry-after"]) == (503, "3")
    assert "the database does not answer" in error_of(reply)["message"]


def test_less_than_was_believed_is_planned_for_anew() -> None:
    one = of(target("a/up", price=CHEAP), rules=(budget(1),), a=answers(1))
    ledger, asked = one.ledger, []

    class Surprised:
        def left(self, allowance: Allowance) -> int | None:
            return None

        def at_once(self, wants: Any, at_s: float) -> Hold | None:
            return None

        async def reserve(self, wants: Any, wait_s: float, at_s: float | None = None) -> Hold:
            asked.append(wants[0][1])
            if len(asked) == 1:
                raise Exceeded(wants[0][0], picousd(0.001), 5.0)
            return await ledger.reserve(wants, wait_s, at_s)

        settle = ledger.settle

    one.context.ledger = Surprised()  # type: ignore[assignment]
    body = msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": "x"}]})
    assert served(one, body).status == 200
    assert asked[1] <= picousd(0.001) < asked[0]
