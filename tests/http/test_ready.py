"""The page that says whether the gateway is ready also says which targets are not well."""

from __future__ import annotations

from typing import Any

from afterbay.core.decision import Record
from afterbay.http.pages import Pages
from afterbay.http.paths import Endpoint
from afterbay.testing.fakes import MemoryReply, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run


async def no_record(_: str) -> Record | None:
    return None


def ready(one: MemoryGateway, why_not: str | None = None) -> tuple[int, dict[str, Any]]:
    async def ask() -> MemoryReply:
        reply = MemoryReply()
        pages = Pages(one.context, lambda: why_not, lambda: b"", no_record)
        await pages.answer(Endpoint("ready", "GET"), {}, "", None, reply)
        return reply

    reply = run(ask(), start_s=10.0)
    return reply.status, reply.json


def made() -> MemoryGateway:
    plan = snapshot(alias("m", target("a/up"), target("b/up")), alias("n", target("a/up")))
    return MemoryGateway(plan, a=ScriptedUpstream(), b=ScriptedUpstream())


def test_while_all_is_well_nothing_is_added() -> None:
    assert ready(made()) == (200, {"status": "ready"})


def test_an_ejected_target_is_named_once_with_its_reason_and_the_gateway_stays_ready() -> None:
    one = made()
    for _ in range(5):
        one.context.fleet.health.began("a/up", 5.0).ended(5.0, "unreached")
    status, page = ready(one)
    assert (status, page["status"]) == (200, "ready")
    (shown,) = page["degraded"]
    assert (shown["target"], shown["state"], shown["reason"]) == ("a/up", "ejected", "out of reach")
    assert 15 < shown["for_s"] <= 25


def test_a_gateway_that_starts_says_why() -> None:
    assert ready(made(), "local: loading") == (503, {"status": "starting", "reason": "local: loading"})


def test_a_gateway_that_is_to_end_is_not_ready_though_it_still_serves() -> None:
    one = made()
    one.context.drain.leave()
    assert ready(one) == (503, {"status": "draining", "reason": "The gateway is shutting down."})
    assert not one.context.drain.is_closed
    one.context.drain.close()
    one.context.drain.leave()
    assert one.context.drain.is_closed, "there is no way back"
