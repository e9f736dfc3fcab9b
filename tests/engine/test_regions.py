"""A gateway that knows its region: who is asked, and what becomes of it when that region is full or out."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
from tests.engine.cases import LIMITS, OPENAI

from afterbay.testing.answers import answered, ask, failed
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

GOOD = answered(OPENAI, "hi")
BAD = failed(OPENAI, 500, "server")


def two(a: list[Script], b: list[Script], region: str | None = "eu-west-1", **provider: Any) -> MemoryGateway:
    """`a` is in Ireland, `b` in Virginia."""
    plan = snapshot(alias("m", target("a/up", region="eu-west-1"), target("b/up", region="us-east-1")), limits=LIMITS)
    providers = dict(plan.providers)
    providers["a"] = msgspec.structs.replace(providers["a"], **provider)
    plan = msgspec.structs.replace(plan, region=region, providers=providers)
    return MemoryGateway(plan, a=ScriptedUpstream(*a), b=ScriptedUpstream(*b))


async def several(one: MemoryGateway, count: int, gap_s: float) -> list[MemoryReply]:
    tasks = []
    for _ in range(count):
        tasks.append(asyncio.get_running_loop().create_task(one.chat(ask("m"))))
        await asyncio.sleep(gap_s)
    return await asyncio.gather(*tasks)


def served_by(one: MemoryGateway) -> Counter[str]:
    return Counter(record.provider for record in one.records)


def test_requests_go_to_the_region_of_the_gateway() -> None:
    one = two([GOOD] * 100, [GOOD] * 100)
    assert {reply.status for reply in run(several(one, 100, 1.0))} == {200}
    assert served_by(one)["a"] >= 95
    other = two([GOOD] * 100, [GOOD] * 100, region=None)
    run(several(other, 100, 1.0))
    assert 30 < served_by(other)["a"] < 70, "without a region both are alike"


def test_a_failure_in_the_region_is_saved_by_the_other_and_an_ejection_spares_the_way() -> None:
    one = two([BAD] * 100, [GOOD] * 100)
    assert {reply.status for reply in run(several(one, 60, 0.2))} == {200}
    assert served_by(one) == {"b": 60}
    assert sum(len(record.attempts) for record in one.records) <= 60 + 5


def test_while_its_places_are_taken_the_other_region_helps_and_nobody_waits() -> None:
    slow = msgspec.structs.replace(GOOD, headers_take_s=1.0)
    one = two([slow] * 100, [slow] * 100, concurrent=2)
    assert {reply.status for reply in run(several(one, 12, 0.01))} == {200}
    assert served_by(one)["a"] >= 2
    assert served_by(one)["b"] >= 8
    assert max(record.duration_s for record in one.records) < 1.1


def test_residency_is_asked_first_and_nearness_only_then() -> None:
    one = two([GOOD] * 10, [GOOD] * 10)
    reply = run(one.chat(ask("m"), headers={"x-afterbay-residency": "us-east-1"}))
    assert reply.status == 200
    assert served_by(one) == {"b": 1}
