"""Runs a case in simulated time: the engine on a virtual loop, the emulator without sockets, no waiting at all."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from afterbay.config.load import seconds
from afterbay.config.schema import LimitsConfig
from afterbay.emulate.profile import Profile, ProfileFile
from afterbay.emulate.server import Emulator
from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Limits, Route
from afterbay.testing.emulated_upstream import EmulatedUpstream
from afterbay.testing.fakes import MemoryReply
from afterbay.testing.memory_gateway import MemoryGateway, VirtualClock, alias, snapshot, target
from afterbay.testing.virtual_loop import run
from faults.catalogue import Case, Fault
from faults.judging import FIRST, SECOND, WORDS, Evidence
from faults.reading import Seen, read
from faults.requests import body_of, path_of, prompt_of

LIMITS = Limits(connect_s=1.0, first_token_s=1.5, between_tokens_s=1.5, total_s=10.0, hold_s=10.0, max_attempts=4)
EVENT_BYTES = 1 << 20
_LIMIT = {"min_tokens_per_s": "min_tokens_per_s"}
"""Limits of time that are no seconds."""
_OTHER = {"openai.chat": "anthropic.messages", "openai.responses": "gemini", "anthropic.messages": "openai.chat"}
_PROVIDER = {"openai.chat": "openai", "openai.responses": "openai", "anthropic.messages": "anthropic"}


def other(protocol: str) -> str:
    """A protocol to translate a client's to."""
    return _OTHER.get(protocol, "openai.chat")


def emulated(protocol: str, place: str) -> str:
    """The emulator's name for a provider of this protocol."""
    return f"{_PROVIDER.get(protocol, 'gemini')}-{place}"


def evidence_of(fault: Fault, case: Case) -> Evidence:
    """What becomes of a case."""
    return run(_run(fault, case))


async def _run(fault: Fault, case: Case) -> Evidence:
    gateway, upstreams = _gateway(fault, case)
    text = fault.text or WORDS
    second = () if fault.inject.fallback == "none" else fault.inject.fallback
    prompt = prompt_of(fault.inject.emulator, second, text, tools=fault.tools)
    body = body_of(case.protocol, "m", prompt, stream=case.stream, tools=fault.tools)
    seen = Seen()
    for _ in range(fault.requests):
        seen = await _ask(gateway, fault, case, body)
    left = [f"{name} has answers that nobody closed" for name, one in upstreams.items() if one.open]
    left += ["a stream is still counted as open"] if gateway.context.open_streams else []
    for one in upstreams.values():
        await one.close()
    return Evidence(
        read(seen, case.protocol, stream=case.stream),
        gateway.records,
        sum(one.requests for one in upstreams.values()),
        left + _records(gateway, fault),
        text,
    )


def _records(gateway: MemoryGateway, fault: Fault) -> list[str]:
    count = len(gateway.records)
    return [] if count == fault.requests else [f"{count} records of {fault.requests} requests"]


def _gateway(fault: Fault, case: Case) -> tuple[MemoryGateway, dict[str, EmulatedUpstream]]:
    first = case.protocol if case.way == "relayed" else other(case.protocol)
    second = other(case.protocol) if case.way == "relayed" else case.protocol
    emulator = Emulator(ProfileFile(Profile("instant")), VirtualClock())
    toxics = fault.inject.toxics
    upstreams = {"a": EmulatedUpstream(emulator, emulated(first, "a"), *toxics)}
    targets = [target(f"a/{FIRST}", first, priority=0)]
    if fault.inject.fallback != "none":
        more = toxics if fault.inject.both else ()
        upstreams["b"] = EmulatedUpstream(emulator, emulated(second, "b"), *more)
        targets.append(target(f"b/{SECOND}", second, priority=1))
    plan = snapshot(alias("m", *targets), defaults=_route(fault), bounds=LimitsConfig(event_bytes=EVENT_BYTES))
    return MemoryGateway(plan, **upstreams), upstreams  # type: ignore[arg-type]  # it takes any upstream


def _route(fault: Fault) -> Route:
    route: dict[str, Any] = dict(fault.route)
    times = {_LIMIT.get(name, f"{name}_s"): float(value) for name, value in route.pop("timeouts", {}).items()}
    if "max_attempts" in route:
        times["max_attempts"] = route.pop("max_attempts")
    route = {name: value for name, value in route.items() if name in Route.__struct_fields__}  # some are not built yet
    if "hedge" in route:
        route["hedge"] = Hedging(after_s=seconds(route["hedge"]["after"]))
    changes = {name: frozenset(value) if name == "fallback_on" else value for name, value in route.items()}
    changes = {"resume": "safe", **changes}  # as in a configuration that says nothing
    return Route("defaults", limits=msgspec.structs.replace(LIMITS, **times), **changes)


async def _ask(gateway: MemoryGateway, fault: Fault, case: Case, body: bytes) -> Seen:
    path = path_of(case.protocol, "m", stream=case.stream)
    reply, began_s = MemoryReply(), asyncio.get_running_loop().time()
    operation = "responses" if case.protocol == "openai.responses" else "chat"
    path, _, query = path.partition("?")
    gemini = {"path": path, "query": query} if case.protocol == "gemini" else {}
    broke = ""
    try:
        await gateway.chat(body, case.protocol, dict(fault.headers), reply=reply, operation=operation, **gemini)
    except AssertionError as error:
        broke = str(error)
    elapsed_s = asyncio.get_running_loop().time() - began_s
    return Seen(reply.status, reply.headers, reply.body, broke, elapsed_s)
