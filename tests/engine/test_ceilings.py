"""What is set aside unread, while there is plenty: never less than what reading the request would set aside."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.engine.cases import ANTHROPIC, OPENAI

from afterbay.core.decision import Target
from afterbay.core.usage import Price, Usage, picousd
from afterbay.policy.allowance import Allowance, Rule
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Route
from afterbay.ports import Hold, Key
from afterbay.testing.answers import answered, ask, failed
from afterbay.testing.fakes import ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

KEY = Key("k1", "ci", accounts=("key:k1",))
MONEY = Rule("policies.budgets.b", "key", "picousd", "month", picousd(100_000))
TOKENS = Rule("policies.budgets.t", "key", "tokens", "minute", 1 << 40)
TIERED = Price(1_000_000, 4_000_000, 100_000, 1_250_000, ((200_000, Price(2_000_000, 6_000_000, 200_000, 2_500_000)),))
PLAIN = Price(3_000_000, 15_000_000, 300_000, 3_750_000)
IMAGE = {"type": "image_url", "image_url": {"url": "u"}}


class Watched:
    """A ledger that notes how much was wanted at once, and how much after the request was read."""

    def __init__(self, ledger: Any, *, gives_at_once: bool) -> None:
        self._ledger, self._gives_at_once = ledger, gives_at_once
        self.at_once_wanted: list[dict[str, int]] = []
        self.read_wanted: list[dict[str, int]] = []
        self.left, self.settle, self.release = ledger.left, ledger.settle, ledger.release

    def at_once(self, wants: Sequence[tuple[Allowance, int]], at_s: float) -> Hold | None:
        self.at_once_wanted.append({one.unit: amount for one, amount in wants})
        found: Hold | None = self._ledger.at_once(wants, at_s) if self._gives_at_once else None
        return found

    async def reserve(self, wants: Any, wait_s: float, at_s: float | None = None) -> Hold:
        self.read_wanted.append({one.unit: amount for one, amount in wants})
        found: Hold = await self._ledger.reserve(wants, wait_s, at_s)
        return found


def of(*targets: Target, route: Route | None = None, at_once: bool = True, **upstreams: Any) -> MemoryGateway:
    plan = snapshot(alias("m", *targets), defaults=route or Route("defaults"))
    one = MemoryGateway(msgspec.structs.replace(plan, budgets=(MONEY, TOKENS)), **upstreams)
    one.context.ledger = Watched(one.ledger, gives_at_once=at_once)
    return one


def watched(one: MemoryGateway) -> Watched:
    found = one.context.ledger
    assert isinstance(found, Watched)
    return found


def left(one: MemoryGateway, allowance: Allowance) -> int | None:
    async def ask_it() -> int | None:
        return one.ledger.left(allowance)

    return run(ask_it())


def says(written: int = 9, dialect: str = OPENAI) -> ScriptedUpstream:
    return ScriptedUpstream(answered(dialect, "hi", Usage(input_tokens=10, output_tokens=written)))


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=300)
parts = st.lists(
    st.one_of(texts.map(lambda text: {"type": "text", "text": text}), st.just(IMAGE)), min_size=1, max_size=8
)
priced = st.sampled_from([TIERED, PLAIN])


@settings(max_examples=150, deadline=None)
@given(parts, st.lists(st.tuples(priced, st.sampled_from([None, 4096, 64_000])), min_size=1, max_size=3), st.data())
def test_what_is_set_aside_unread_is_never_less(content: Any, models: Any, data: st.DataObject) -> None:
    targets = [
        msgspec.structs.replace(target(f"{name}/up", price=price), max_output=most)
        for name, (price, most) in zip("abc", models, strict=False)
    ]
    asked = data.draw(st.integers(1, min(most or 64_000 for _, most in models)))
    hedge = Hedging(after_s=9.0, max_extra_cost=1.0, max_share=1.0) if data.draw(st.booleans()) else None
    route = Route("defaults", hedge=hedge)
    one = of(*targets, route=route, at_once=False, a=says(), b=says(), c=says())
    body = ask("m", max_tokens=asked, messages=[{"role": "user", "content": content}])
    assert run(one.chat(body, key=KEY)).status == 200
    (unread,), (read,) = watched(one).at_once_wanted, watched(one).read_wanted
    assert unread["picousd"] >= read["picousd"] > 0


def test_with_plenty_left_a_request_that_is_relayed_is_not_read() -> None:
    one = of(target("a/up", price=PLAIN), a=says())
    body = b'{"model": "m", "messages": "what no model takes, and who relays need not know"}'
    assert run(one.chat(body, key=KEY)).status == 200
    assert (len(watched(one).at_once_wanted), watched(one).read_wanted) == (1, [])
    assert one.record.charged_picousd == one.record.cost_picousd == 10 * PLAIN.input + 9 * PLAIN.output
    assert left(one, Allowance("key:k1", "picousd", "month", MONEY.limit)) == MONEY.limit - one.record.charged_picousd
    assert left(one, Allowance("key:k1", "tokens", "minute", TOKENS.limit)) == TOKENS.limit - 19


@pytest.mark.parametrize(
    ("fields", "headers"),
    [({"n": 2}, {}), ({"n": 1.0}, {}), ({}, {"x-afterbay-priority": "low"})],
    ids=["several answers", "who knows", "low priority"],
)
def test_what_length_does_not_tell_is_read(fields: dict[str, Any], headers: dict[str, str]) -> None:
    one = of(target("a/up", price=PLAIN), a=says())
    run(one.chat(ask("m", **fields), headers=headers, key=KEY))
    assert watched(one).at_once_wanted == []


def test_a_field_that_is_spelt_in_another_way_is_the_same_field() -> None:
    one = of(target("a/up", price=PLAIN), a=says())
    body = rb'{"model": "m", "\u006e": 128, "messages": [{"role": "user", "content": "x"}]}'
    run(one.chat(body, key=KEY))
    assert (watched(one).at_once_wanted, len(watched(one).read_wanted)) == ([], 1)


def test_a_target_whose_price_is_not_known_is_reckoned_as_before() -> None:
    one = of(target("a/up", price=PLAIN), target("b/up", price=None), a=says(), b=says())
    assert run(one.chat(ask("m"), key=KEY)).status == 200
    assert watched(one).at_once_wanted == []


def test_after_a_first_attempt_the_purse_reckons() -> None:
    one = of(
        target("a/up", price=PLAIN),
        target("b/up", ANTHROPIC, price=TIERED),
        a=ScriptedUpstream(failed(OPENAI, 500, "server")),
        b=says(dialect=ANTHROPIC),
    )
    assert run(one.chat(ask("m", max_tokens=700), key=KEY)).status == 200
    assert [attempt.target for attempt in one.record.attempts] == ["a/up", "b/up"]
    assert one.upstreams["b"].sent[0].json["max_tokens"] == 700
    assert one.record.charged_picousd == 10 * TIERED.input + 9 * TIERED.output
    assert one.record.warnings == []


PRIORITY = msgspec.structs.replace(PLAIN, services=(("priority", Price(6_000_000, 30_000_000, 600_000, 7_500_000)),))


@pytest.mark.parametrize(
    ("fields", "share"),
    [({}, 1), ({"service_tier": "auto"}, 1), ({"service_tier": "flex"}, 1), ({"service_tier": "priority"}, 2)],
)
def test_who_asks_for_a_dearer_tier_of_service_has_its_price_set_aside(fields: dict[str, Any], share: int) -> None:
    one = of(target("a/up", price=PRIORITY), at_once=False, a=says())
    assert run(one.chat(ask("m", max_tokens=300, **fields), key=KEY)).status == 200
    usual = of(target("a/up", price=PLAIN), at_once=False, a=says())
    run(usual.chat(ask("m", max_tokens=300), key=KEY))
    more, plain = watched(one).read_wanted[0]["picousd"], watched(usual).read_wanted[0]["picousd"]
    assert share * plain <= more <= share * plain * 1.1


def test_a_price_that_changes_with_the_day_is_set_aside_as_of_the_request() -> None:
    later = Price(12_000_000, 60_000_000, 1_200_000, 15_000_000)
    one = of(target("a/up", price=msgspec.structs.replace(PLAIN, dates=((0, later),))), a=says(), at_once=True)
    usual = of(target("a/up", price=later), a=says(), at_once=True)
    for gateway in (one, usual):
        assert run(gateway.chat(ask("m", max_tokens=300), key=KEY)).status == 200
    assert watched(one).at_once_wanted == watched(usual).at_once_wanted
    assert one.record.charged_picousd == usual.record.charged_picousd == 10 * later.input + 9 * later.output


def test_what_an_ended_attempt_counts_in_the_purse_is_what_the_record_says() -> None:
    later = Price(12_000_000, 60_000_000, 1_200_000, 15_000_000)
    one = of(
        target("a/up", price=msgspec.structs.replace(PLAIN, dates=((0, later),))),
        target("b/up", price=PLAIN),
        a=ScriptedUpstream(answered(OPENAI, "", Usage(input_tokens=10, output_tokens=900))),
        b=says(),
        route=Route("defaults", max_cost_picousd=picousd(0.04)),
    )
    run(one.chat(ask("m", max_tokens=900), key=KEY))
    assert one.record.cost_picousd == 10 * later.input + 900 * later.output
    assert [attempt.target for attempt in one.record.attempts] == ["a/up"], "the first has used it up"
