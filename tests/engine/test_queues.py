"""Providers that take only so many requests at once: who waits, who is refused, and that no place is ever lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec
import pytest
from tests.engine.cases import LIMITS, OPENAI, gateway

from afterbay.engine.gate import QUEUE_S, Gate, QueueFull
from afterbay.policy.lanes import PRIORITIES, SHORTEST, Priority
from afterbay.testing.answers import answered, ask
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run


def taking(seconds: float) -> Script:
    return msgspec.structs.replace(answered(OPENAI, "hi"), headers_take_s=seconds)


def limited(places: int, script: Script, count: int = 100, fallback: int | None = None) -> MemoryGateway:
    """`a` takes `places` at once; `b`, where `fallback` says so, takes so many."""
    deployments = [target("a/up", priority=0), *([target("b/up", priority=1)] if fallback is not None else [])]
    plan = snapshot(alias("m", *deployments), limits=LIMITS)
    bounds = {"a": places, "b": fallback}
    providers = {
        name: msgspec.structs.replace(one, concurrent=bounds[name] or None) for name, one in plan.providers.items()
    }
    ups = {name: ScriptedUpstream(*[script] * count) for name in providers}
    return MemoryGateway(msgspec.structs.replace(plan, providers=providers), **ups)


async def crowd(one: MemoryGateway, *priorities: str) -> list[MemoryReply]:
    """One request of each priority, all at once, in this order."""
    loop = asyncio.get_running_loop()
    tasks: list[asyncio.Task[MemoryReply]] = []
    for priority in priorities:
        tasks.append(loop.create_task(one.chat(ask("m"), headers={"x-afterbay-priority": priority})))
        await asyncio.sleep(0.001)
    return await asyncio.gather(*tasks)


def most_at_once(one: MemoryGateway, name: str) -> int:
    sent: list[Any] = one.upstreams[name].sent
    return max(sum(other.at_s <= each.at_s < (other.closed_at_s or 1e9) for other in sent) for each in sent)


def test_no_more_than_the_limit_are_asked_at_once_and_the_others_wait() -> None:
    one = limited(4, taking(1.0))
    replies = run(crowd(one, *["normal"] * 12))
    assert Counter(reply.status for reply in replies) == {200: 12}
    assert most_at_once(one, "a") == 4
    assert max(record.duration_s for record in one.records) < 3.1


def test_a_full_queue_is_a_503_at_once_that_says_when_to_come_back() -> None:
    one = limited(4, taking(1.0))
    replies = run(crowd(one, *["normal"] * 20))
    refused = [reply for reply in replies if reply.status != 200]
    assert {reply.status for reply in refused} == {503}
    assert len(refused) == 20 - 4 - SHORTEST
    assert all(1000 <= int(reply.headers["retry-after-ms"]) < 2000 for reply in refused)
    records = [record for record in one.records if record.outcome == "queue_full"]
    assert max(record.duration_s for record in records) < 0.1
    assert {len(record.attempts) for record in records} == {0}


def test_low_priority_is_refused_first_and_high_priority_goes_first() -> None:
    one = limited(2, taking(1.0))
    replies = run(crowd(one, *["low"] * 10, *["normal"] * 4, *["high"] * 4))
    by_priority = {
        name: Counter(reply.status for reply in replies[start:end])
        for name, start, end in (("low", 0, 10), ("normal", 10, 14), ("high", 14, 18))
    }
    assert by_priority["normal"] == {200: 4}
    assert by_priority["high"] == {200: 4}
    assert by_priority["low"] == {200: 4, 503: 6}, "two were being answered, two found room when they looked again"


def test_where_another_provider_has_room_it_is_asked_instead() -> None:
    one = limited(2, taking(1.0), fallback=0)
    replies = run(crowd(one, *["normal"] * 20))
    assert Counter(reply.status for reply in replies) == {200: 20}
    assert most_at_once(one, "a") == 2
    assert any("its queue is full" in (each.error or "") for record in one.records for each in record.attempts)
    assert one.context.fleet.cooling == {}, "the provider asked for nothing"
    assert {each.ejections for each in one.context.fleet.health.conditions.values()} == {0}


def test_who_waits_too_long_is_told_so() -> None:
    one = limited(1, taking(18.0), count=1)
    first, second = run(crowd(one, "normal", "normal"))
    assert (first.status, second.status) == (200, 503)
    assert b"no place came free within 5 s" in second.body
    assert second.headers["retry-after"] == "1"


@pytest.mark.parametrize("after_s", [0.5, 1.0, 1.5])
def test_a_client_that_leaves_gives_its_place_to_the_next(after_s: float) -> None:
    one = limited(1, taking(1.0))

    async def leave() -> list[int]:
        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(one.chat(ask("m"))) for _ in range(4)]
        await asyncio.sleep(after_s)
        for task in tasks[:2]:
            task.cancel()
        await asyncio.wait(tasks)
        return [task.result().status for task in tasks[2:]]

    assert run(leave()) == [200, 200]
    assert one.context.fleet.queues == {"a": 0}
    gate = one.context.fleet.gate(target("a/up"))
    assert gate is not None
    assert gate._lanes.taken == 0


def test_a_place_that_comes_at_the_moment_of_leaving_is_passed_on() -> None:
    async def race() -> tuple[int, int]:
        gate, loop = Gate(1), asyncio.get_running_loop()
        await gate.enter("normal")
        waiting = loop.create_task(gate.enter("normal"))
        await asyncio.sleep(0)
        gate.leave()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        return gate.waiting, gate._lanes.taken

    assert run(race()) == (0, 0)


def test_a_wait_has_an_end() -> None:
    async def wait(priority: Priority) -> float:
        gate, loop = Gate(1), asyncio.get_running_loop()
        await gate.enter("normal")
        with pytest.raises(QueueFull, match="within 5 s"):
            await gate.enter(priority)
        assert gate.waiting == 0
        return loop.time()

    assert run(wait("high")) == QUEUE_S


def test_an_unknown_priority_is_the_clients_mistake() -> None:
    one = limited(1, taking(0.0))
    (reply,) = run(crowd(one, "urgent"))
    assert reply.status == 400
    assert b"Say low, normal or high." in reply.body


def test_low_priority_is_shed_first_when_the_gateway_has_no_means_left() -> None:
    one = gateway([answered(OPENAI, "hi")] * 9, limits=LIMITS)

    def asked() -> dict[str, int]:
        return {name: run(one.chat(ask("m"), headers={"x-afterbay-priority": name})).status for name in PRIORITIES}

    one.context.pressure.note(0.9, 0.0)
    assert asked() == {"low": 503, "normal": 200, "high": 200}
    one.context.pressure.note(0.93, 0.0)
    assert asked() == {"low": 503, "normal": 503, "high": 200}
    one.context.pressure.note(0.99, 0.0)
    reply = run(one.chat(ask("m"), headers={"x-afterbay-priority": "high"}))
    assert (reply.status, one.records[-1].outcome, one.records[-1].attempts) == (503, "overloaded", [])
    assert 2000 <= int(reply.headers["retry-after-ms"]) < 4000
    one.context.pressure.note(0.1, 0.0)
    assert set(asked().values()) == {200}
