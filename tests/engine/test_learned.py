"""What routes have learned: the same for every process, from the labels alone, and withdrawn when it does not hold."""

from __future__ import annotations

import asyncio
import random
import sys
from typing import Any

import msgspec
import pytest

from afterbay.config.snapshot import Snapshot
from afterbay.config.weights import complexity
from afterbay.core.usage import Price
from afterbay.engine.learned import MOST_AGE_S, SETTLE_S, Learned, learning, scorer_of
from afterbay.label_ports import Labels, Pair, Router
from afterbay.policy.kept_quality import LENGTH, SHIPPED, Duel, duel_of, is_for_training, kept, length_gain
from afterbay.policy.learned.gain import packed as packed_gain
from afterbay.policy.learned.gain import predicted_of, train
from afterbay.policy.learned.imprint import imprint, packed
from afterbay.policy.plan import Exploring, Route
from afterbay.policy.route import World
from afterbay.testing.memory_gateway import alias, snapshot, target
from afterbay.testing.memory_labels import MemoryLabels, MemoryRouters

NOW = 1_000_000.0
CHEAP = Price(input=10_000, output=20_000, cached_input=10_000, cache_write=10_000)
ROUTE = Route("auto", candidates=("small", "large"), fallback=("large",), keep=0.9, confidence=0.9)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def monotonic(self) -> float:
        return self.now

    def utc(self) -> float:
        return self.now


def plan(*routes: Route) -> Snapshot:
    return snapshot(
        alias("small", target("a/small", price=CHEAP)), alias("large", target("b/large")), routes=routes or (ROUTE,)
    )


def the_duel(of: Snapshot, route: Route = ROUTE) -> Duel:
    found = duel_of(of, route, "large")
    assert found is not None
    return found


DUEL = the_duel(plan())


def pair(number: int, gain: float, quality: float, **fields: Any) -> Pair:
    plain: dict[str, Any] = {"request_id": f"req_{number:06d}", "route": "auto", "at": NOW - 10_000 + number}
    plain |= {
        "cheap": "small",
        "strong": "large",
        "digest": DUEL.digest,
        "gain": gain,
        "predictor": LENGTH,
        "strong_quality": 1.0,
    }
    return Pair(**plain | {"cheap_quality": quality, "judged": "judge", "propensity": 0.02} | fields)


def short_is_easy(count: int, seed: int = 1) -> list[Pair]:
    draws = random.Random(seed)
    found = []
    for number in range(count):
        gain = draws.uniform(2.0, 9.0)
        found.append(pair(number, gain, float(draws.random() < (0.99 if gain < 6 else 0.4))))
    return found


class Made:
    def __init__(self, pairs: list[Pair], routers: MemoryRouters | None = None) -> None:
        self.clock, self.routers = Clock(), routers or MemoryRouters()
        self.labels = MemoryLabels(now=self.clock.utc)
        for one in pairs:
            asyncio.run(self.labels.put_pair(one))
        self.learned = self.process()

    def process(self) -> Learned:
        """One process of the gateway."""
        return Learned(self.labels, self.routers, self.clock)

    def refresh(self, of: Snapshot | None = None) -> Learned:
        asyncio.run(self.learned.refresh(of or plan()))
        return self.learned

    def row(self, kind: Any = "certificate") -> Router | None:
        return asyncio.run(self.routers.get("auto", kind))


def test_without_labels_nothing_is_certified_and_that_is_known() -> None:
    standing = Made([]).refresh().standings["auto"]
    assert (standing.is_certified, standing.pairs) == (False, 0)


def test_enough_labels_certify_and_the_certificate_is_kept_once() -> None:
    made = Made(short_is_easy(600))
    standing = made.refresh().standings["auto"]
    assert standing.is_certified
    assert 5.0 < standing.threshold < 8.0
    row = made.row()
    assert row is not None
    assert (row.labels, row.made_at) == (600, standing.made_at)
    assert "0.9" in row.reason
    other = made.process()
    asyncio.run(other.refresh(plan()))
    assert other.standings == made.learned.standings


def test_a_world_has_it_only_for_routes_that_learn() -> None:
    made = Made(short_is_easy(600))
    made.refresh()
    assert made.learned.world(World({}), ROUTE).standings == made.learned.standings
    plain = World({})
    assert made.learned.world(plain, Route("plain")) is plain


def test_pairs_of_other_models_and_of_the_last_moment_do_not_count() -> None:
    made = Made([pair(1, 3.0, 1.0, cheap="other"), pair(2, 3.0, 1.0, at=NOW - SETTLE_S + 1), pair(3, 3.0, 1.0)])
    assert made.refresh().standings["auto"].pairs == 1
    made.clock.now += SETTLE_S
    assert made.refresh().standings["auto"].pairs == 2


def repointed(small: str) -> Snapshot:
    return snapshot(alias("small", target(small, price=CHEAP)), alias("large", target("b/large")), routes=(ROUTE,))


def test_a_certificate_ends_when_a_name_stands_for_another_model_and_comes_back_with_it() -> None:
    made = Made(short_is_easy(600))
    before = made.refresh().standings["auto"]
    assert before.is_certified
    made.clock.now += 60
    other = repointed("a/smaller")
    assert not kept(the_duel(other), before, 2.5, LENGTH).is_cheap, "even before it is read anew"
    standing = made.refresh(other).standings["auto"]
    assert (standing.is_certified, standing.pairs) == (False, 0)
    assert made.refresh().standings["auto"] == before


def test_why_a_certificate_of_another_model_was_withdrawn_is_not_told_of_this_one() -> None:
    made = Made(short_is_easy(600))
    learned = made.refresh()
    for _ in range(2000):
        learned.decided("auto", {"keep": {"gain": 8.9}})
    made.clock.now += 60
    assert made.refresh().standings["auto"].why.startswith("withdrawn: ")
    assert not made.refresh(repointed("a/smaller")).standings["auto"].why.startswith("withdrawn: ")


def test_a_route_without_a_cheaper_candidate_has_no_standing() -> None:
    alone = msgspec.structs.replace(ROUTE, candidates=("large",))
    assert Made([]).refresh(plan(alone)).standings == {}


def test_requests_that_are_others_than_the_pairs_withdraw_it_for_every_process() -> None:
    made = Made(short_is_easy(600))
    learned, other = made.refresh(), made.process()
    asyncio.run(other.refresh(plan()))
    for _ in range(2000):
        learned.decided("auto", {"keep": {"gain": 8.9}})
    assert not learned.standings["auto"].is_certified
    assert "withdrawn" in learned.standings["auto"].why
    assert other.standings["auto"].is_certified
    made.clock.now += 60
    made.refresh()
    row = made.row()
    assert row is not None
    assert "scores" in row.reason
    asyncio.run(other.refresh(plan()))
    followed = other.standings["auto"]
    assert not followed.is_certified
    assert followed.withdrawn_at == made.clock.now
    made.clock.now += 20_000
    for one in short_is_easy(600, seed=5):
        again = msgspec.structs.replace(one, request_id=f"new_{one.request_id}", at=one.at + 20_000)
        asyncio.run(made.labels.put_pair(again))
    asyncio.run(other.refresh(plan()))
    assert [one.is_certified for one in other.standings.values()] == [True], "new pairs certify anew"


def test_a_withdrawal_that_could_not_be_written_is_written_later_and_holds_meanwhile() -> None:
    class Stumbling(MemoryRouters):
        falls = False

        async def put(self, router: Router) -> None:
            if self.falls:
                raise OSError("database is locked")
            await super().put(router)

    routers = Stumbling()
    made = Made(short_is_easy(600), routers)
    learned = made.refresh()
    for _ in range(2000):
        learned.decided("auto", {"keep": {"gain": 8.9}})
    routers.falls = True
    for _ in range(2):
        made.clock.now += 60
        assert asyncio.run(learned.keep_fresh(plan())) == "failed"
        assert not learned.standings["auto"].is_certified
    routers.falls = False
    made.clock.now += 60
    made.refresh()
    row, other = made.row(), made.process()
    assert row is not None
    assert row.made_at == made.clock.now
    asyncio.run(other.refresh(plan()))
    for one in (learned, other):
        assert not one.standings["auto"].is_certified
        assert one.standings["auto"].withdrawn_at == made.clock.now


def test_a_withdrawal_is_the_newest_row_even_if_the_clock_went_back() -> None:
    made = Made(short_is_easy(600))
    learned, other = made.refresh(), made.process()
    for _ in range(2000):
        learned.decided("auto", {"keep": {"gain": 8.9}})
    made.clock.now -= 10_000
    made.refresh()
    made.clock.now += 10_000
    asyncio.run(other.refresh(plan()))
    assert not other.standings["auto"].is_certified


def test_an_alarm_while_the_pairs_are_read_is_not_overwritten() -> None:
    made = Made(short_is_easy(600))
    learned = made.refresh()

    class Late(MemoryLabels):
        async def pairs(self, *asked: Any, **more: Any) -> Any:
            for _ in range(2000):
                learned.decided("auto", {"keep": {"gain": 8.9}})
            await made.labels.put_pair(pair(700, 3.0, 1.0))  # so that the standing is worked out anew
            return await made.labels.pairs(*asked, **more)

    learned.labels = Late(now=made.clock.utc)
    made.refresh()
    assert not learned.standings["auto"].is_certified
    learned.labels = made.labels
    made.refresh()
    row = made.row()
    assert row is not None
    assert "scores" in row.reason


def test_after_a_withdrawal_its_reason_is_told_until_something_is_certified_again() -> None:
    made = Made(short_is_easy(600))
    learned = made.refresh()
    for _ in range(2000):
        learned.decided("auto", {"keep": {"gain": 8.9}})
    for _ in range(3):
        made.clock.now += 60
        made.refresh()
    other = made.process()
    asyncio.run(other.refresh(plan()))
    for one in (learned, other):
        assert one.standings["auto"].why.startswith("withdrawn: ")
        assert "scores" in one.standings["auto"].why
    made.clock.now += 20_000
    for again in short_is_easy(600, seed=5):
        later = msgspec.structs.replace(again, request_id=f"new_{again.request_id}", at=again.at + 20_000)
        asyncio.run(made.labels.put_pair(later))
    made.refresh()
    assert learned.standings["auto"].is_certified
    assert "withdrawn" not in learned.standings["auto"].why


def test_usual_requests_do_not_withdraw_it() -> None:
    learned = Made(short_is_easy(600)).refresh()
    draws = random.Random(7)
    for _ in range(3000):
        learned.decided("auto", {"keep": {"gain": draws.uniform(2.0, 9.0)}})
    assert learned.standings["auto"].is_certified


def kinds(count: int) -> tuple[list[Pair], dict[str, str]]:
    """Two kinds of prompts of the same length; the cheap model is good for one."""
    draws = random.Random(3)
    pairs, texts = [], {}
    for number in range(count):
        is_hard = draws.random() < 0.5
        what = "prove the lemma of" if is_hard else "translate a word in"
        texts[f"req_{number:06d}"] = text = f"{what} line {draws.randint(1000, 9999)}"
        quality = float(draws.random() < (0.2 if is_hard else 0.99))
        pairs.append(pair(number, length_gain(text), quality))
    return pairs, texts


def trained(made: Made, pairs: list[Pair], texts: dict[str, str]) -> Router:
    own = [one for one in pairs if is_for_training(one.request_id)]
    found = train([imprint(texts[one.request_id]) for one in own], [1.0 - one.cheap_quality for one in own])
    row = Router("auto", "predictor", NOW - 100.0, packed_gain(found.gain), len(own), "trained")
    asyncio.run(made.routers.put(row))
    return row


def test_a_predictor_of_the_route_s_own_is_used_and_certified_by_pairs_that_it_never_saw() -> None:
    pairs, texts = kinds(900)
    made = Made(pairs)
    for one in pairs:
        asyncio.run(made.labels.put_imprint(one.request_id, "auto", one.at, packed(imprint(texts[one.request_id]))))
    by_length = made.refresh().standings["auto"]
    row = trained(made, pairs, texts)
    standing = made.refresh().standings["auto"]
    assert standing.scorer == scorer_of(row) != LENGTH
    assert standing.pairs == sum(not is_for_training(one.request_id) for one in pairs)
    assert standing.routed > by_length.routed + 0.2
    easy, name = made.learned.gain("auto", "translate a word in line 5000")
    hard, _ = made.learned.gain("auto", "prove the lemma of line 5000")
    assert name == standing.scorer
    assert easy <= standing.threshold < hard
    assert made.learned.gain("other", "four") == (length_gain("four"), LENGTH)


def test_pairs_without_an_imprint_cannot_be_scored_anew_and_are_left_out() -> None:
    pairs, texts = kinds(600)
    made = Made(pairs)
    for one in pairs[:400]:
        asyncio.run(made.labels.put_imprint(one.request_id, "auto", one.at, packed(imprint(texts[one.request_id]))))
    trained(made, pairs[:500], texts)
    assert made.refresh().standings["auto"].pairs == sum(not is_for_training(o.request_id) for o in pairs[:400])


def test_what_exploring_may_still_cost_is_told_and_goes_down() -> None:
    route = Route("try", candidates=("small", "large"), explore=Exploring(0.1, 1000))
    made = Made([])
    made.labels.explored["try"] = 300
    learned = made.refresh(plan(route))
    assert learned.world(World({}), route).explorable == {"try": 700}
    learned.decided("try", {"explored": {"instead_of": "small"}, "extra_picousd": 50})
    assert learned.world(World({}), route).explorable == {"try": 650}


def test_while_the_database_is_away_certificates_stay_and_exploring_ends(caplog: pytest.LogCaptureFixture) -> None:
    route = Route("try", candidates=("small", "large"), explore=Exploring(0.1, 1000))
    made = Made(short_is_easy(600))
    both = plan(ROUTE, route)
    learned = made.refresh(both)

    class Away(MemoryLabels):
        async def pairs(self, *_: object, **__: object) -> Any:
            raise OSError("disk I/O error")

        explored_picousd = pairs

    away: Labels = Away(now=made.clock.utc)
    learned.labels = away
    assert asyncio.run(learned.keep_fresh(both)) == "failed"
    assert learned.standings["auto"].is_certified
    assert learned.world(World({}), route).explorable == {}
    assert "could not be read" in caplog.text


def test_what_could_not_be_read_for_too_long_certifies_nothing_until_it_can(caplog: pytest.LogCaptureFixture) -> None:
    made = Made(short_is_easy(600))
    learned = made.refresh()
    before = learned.standings["auto"]

    class Away(MemoryLabels):
        async def pairs(self, *_: object, **__: object) -> Any:
            raise OSError("disk I/O error")

    learned.labels = Away(now=made.clock.utc)
    made.clock.now += MOST_AGE_S
    assert asyncio.run(learned.keep_fresh(plan())) == "failed"
    assert learned.standings["auto"] == before
    made.clock.now += 60
    assert asyncio.run(learned.keep_fresh(plan())) == "failed"
    assert not learned.standings["auto"].is_certified
    found = kept(DUEL, learned.standings["auto"], 2.5, LENGTH)
    assert (found.alias, found.rule) == ("large", "keep: certificate not read for too long, strongest until it is")
    assert "nothing is certified until it is back" in caplog.text
    learned.labels = made.labels
    assert asyncio.run(learned.keep_fresh(plan())) == "fresh"
    assert learned.standings["auto"] == before


def test_a_route_that_cannot_be_worked_out_keeps_no_other_from_learning(caplog: pytest.LogCaptureFixture) -> None:
    odd = msgspec.structs.replace(ROUTE, name="odd", confidence=1.0)
    explores = Route("try", candidates=("small", "large"), explore=Exploring(0.1, 1000))
    made = Made(short_is_easy(600))
    routes = plan(odd, ROUTE, explores)
    assert asyncio.run(made.learned.keep_fresh(routes)) == "fresh"
    assert list(made.learned.standings) == ["auto"]
    assert made.learned.standings["auto"].is_certified
    assert made.learned.world(World({}), explores).explorable == {"try": 1000}
    assert "route odd learns nothing now: `confidence` must be between 0 and 1" in caplog.text
    assert asyncio.run(made.learned.keep_fresh(plan(odd))) == "failed"


def test_a_route_that_fails_later_keeps_what_it_had() -> None:
    made = Made(short_is_easy(600))
    before = made.refresh(plan(ROUTE, msgspec.structs.replace(ROUTE, name="other"))).standings["auto"]
    odd = msgspec.structs.replace(ROUTE, confidence=1.0)
    made.refresh(plan(odd, msgspec.structs.replace(ROUTE, name="other")))
    assert made.learned.standings["auto"] == before


def test_where_no_route_learns_nothing_is_read() -> None:
    assert learning(plan(Route("plain"))) == {}
    assert asyncio.run(Made([]).learned.keep_fresh(plan(Route("plain")))) == "idle"


def test_a_certificate_of_another_release_is_made_anew() -> None:
    made = Made(short_is_easy(600))
    asyncio.run(made.routers.put(Router("auto", "certificate", NOW - 1, b"\x00", 1)))
    assert made.refresh().standings["auto"].is_certified


def test_an_engine_that_nobody_asks_to_learn_has_no_numpy() -> None:
    import subprocess

    code = "import sys, afterbay.engine.pipeline, afterbay.policy.route; print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_live_gain_is_the_kept_imprint_s(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs, texts = kinds(500)
    made = Made(pairs)
    row = trained(made, pairs, texts)
    made.refresh()
    from afterbay.policy.learned.gain import unpacked

    assert made.learned.gain("auto", "prove it")[0] == predicted_of(unpacked(row.blob), "prove it")


def test_until_a_route_has_learned_anything_the_head_that_ships_scores_its_requests() -> None:
    pairs, texts = kinds(300)
    made = Made([])
    made.learned = Learned(made.labels, made.routers, made.clock, complexity)
    scored = [made.learned.gain("auto", text) for text in texts.values()]
    assert {name for _, name in scored} == {SHIPPED}
    assert all(0 <= gain <= 1 for gain, _ in scored)
    for one, (gain, name) in zip(pairs, scored, strict=True):
        scored_one = msgspec.structs.replace(one, gain=gain, predictor=name, cheap_quality=float(gain < 0.5))
        asyncio.run(made.labels.put_pair(scored_one))
    assert made.refresh().standings["auto"].scorer == SHIPPED


def test_pairs_of_another_predictor_are_scored_anew_by_the_head_that_ships() -> None:
    pairs, texts = kinds(40)
    made = Made(pairs)
    made.learned = Learned(made.labels, made.routers, made.clock, complexity)
    for one in pairs:
        asyncio.run(made.labels.put_imprint(one.request_id, "auto", one.at, packed(imprint(texts[one.request_id]))))
    assert made.refresh().standings["auto"].pairs == len(pairs)
