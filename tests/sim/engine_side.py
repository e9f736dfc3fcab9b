"""The real engine with the simulator's script: the same clients at the same times, and providers that answer by the
same courses, byte by byte, on a virtual loop."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from afterbay.core.checkpoint import Form
from afterbay.core.decision import Record
from afterbay.core.errors import ErrorKind
from afterbay.core.event import Finished, Started, TextDelta
from afterbay.ports import TransportError
from afterbay.providers.keys import ProviderKeys
from afterbay.sim.course import NEVER, Asked, Course, Place
from afterbay.sim.draws import ATTEMPT, Draws
from afterbay.sim.request import Client
from afterbay.sim.scenario import Scenario
from afterbay.testing.answers import JSON, failed, whole
from afterbay.testing.fakes import EVENT_STREAM, HANG, Cut, Script, ScriptedResponse, Sent, Step, Wait
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run
from afterbay.wire.dialect import Head
from afterbay.wire.registry import DIALECTS
from afterbay.wire.seam import HOLD_CHARS

DIALECT = "openai.chat"
_ERRORS: Mapping[str, tuple[int, ErrorKind]] = {
    "server_error": (500, "server"),
    "bad_gateway": (502, "server"),
    "unavailable": (503, "overloaded"),
    "overloaded": (529, "overloaded"),
    "rate_limit": (429, "rate_limit"),
    "quota": (429, "quota"),
    "unauthorized": (401, "authentication"),
    "bad_request": (400, "invalid_request"),
}
_HOURS = 1e6
_NUMBER = re.compile(rb"request number (\d+)\.")
_QUOTE = re.compile(r"<end>(.*?)</end>", re.DOTALL)


def words(first: int, last: int) -> list[str]:
    """The words of every answer, from one to another, numbered from 1. Each begins with its space but the very first.

    They are long, so that with one new word it is clear that an answer goes on, and nothing is held back any more.
    """
    return [f"{' ' if at > 1 else ''}w{at:0{HOLD_CHARS}d}" for at in range(first, last + 1)]


class Told:
    """What both providers know of one request: how often each was asked, and how much the client has."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.asked: dict[str, int] = {}
        self.sent = 0
        self.answers: list[tuple[Course, Sent]] = []

    def settle(self, now: float) -> None:
        """Another attempt begins: the client has what the one before has shown, if there was output at all."""
        for course, sent in self.answers:
            passed_s = (sent.closed_at_s if sent.closed_at_s is not None else now) - sent.at_s
            if passed_s >= course.first_s - 1e-9:
                self.sent += course.shown_at(passed_s)
                self.answers = []


class CourseUpstream:
    """Implements `ports.Upstream` by the courses of a place."""

    def __init__(self, place: Place, draws: Draws, told: dict[int, Told]) -> None:
        self.place, self.draws, self.told = place, draws, told
        self.keys = ProviderKeys(place.name, place.provider.keys)
        self.answers: list[ScriptedResponse] = []

    async def post(self, path: str, body: bytes, headers: Mapping[str, str], connect_s: float) -> ScriptedResponse:
        """Answers as the course says."""
        found = _NUMBER.search(body)
        assert found is not None
        number = int(found[1])
        told, key = self.told[number], self.keys.choose()
        nth = told.asked[self.place.name] = told.asked.get(self.place.name, -1) + 1
        told.settle(asyncio.get_running_loop().time())
        form, quote = form_of(body, told)
        chances = self.draws.eight(number, self.place.number, nth, ATTEMPT)
        now, client = asyncio.get_running_loop().time(), told.client
        course = self.place.course(
            Asked(now, chances, client.tokens, client.stream, connect_s, client.is_cursed, form, told.sent, key + 1)
        )
        script = script_of(course, told, form, quote)
        await asyncio.sleep(min(script.connect_takes_s, connect_s))
        if script.connect_takes_s > connect_s:
            raise TransportError("no connection", connected=False, code="connect_timeout")
        if script.refused is not None:
            raise TransportError(script.refused, connected=False, code=script.code)
        await asyncio.sleep(script.headers_take_s)
        if script.dies_before_headers is not None:
            raise TransportError(script.dies_before_headers, connected=True, code="connection_broken")
        if script.status not in (401, 403):
            self.keys.served(key)
        sent = Sent(now, path, body, dict(headers), connect_s)
        if client.stream:
            told.answers.append((course, sent))
        return ScriptedResponse(script, sent, self.keys.leases[key])

    async def close(self) -> None:
        """Nothing is open."""


def form_of(body: bytes, told: Told) -> tuple[Form | None, str]:
    """In which form an answer is asked for, and what the model is to repeat."""
    messages = json.loads(body)["messages"]
    quotes = _QUOTE.findall(messages[-1]["content"])
    if not quotes:
        return ("replay" if told.sent else None), ""
    shown = len(messages[-2]["content"].split())
    assert told.sent - shown in (0, 1), "what the client has is what the model is shown"
    return ("instruct" if shown == told.sent else "step_back"), quotes[-1]


def script_of(course: Course, told: Told, form: Form | None, quote: str) -> Script:
    """A course in bytes."""
    kind = course.fault
    if kind in ("black_hole", "silent"):
        return Script(connect_takes_s=_HOURS) if kind == "black_hole" else Script(headers_take_s=_HOURS)
    if kind == "refused":
        return Script(refused="refused", code="connect_refused", connect_takes_s=course.end_s)
    if kind == "reset" or course.headers_s == NEVER:
        return Script(dies_before_headers="reset", headers_take_s=course.end_s)
    if kind in _ERRORS:
        wait_s = course.error.retry_after_s if course.error is not None else None
        script = failed(DIALECT, *_ERRORS[kind], retry_after=f"{wait_s:g}" if wait_s is not None else None)
        return msgspec.structs.replace(script, headers_take_s=course.end_s)
    if kind == "malformed":
        return Script(steps=(b"<html>",), headers=JSON, headers_take_s=course.end_s)
    if not told.client.stream:
        return _whole(course, told)
    if kind == "does not go on":
        steps: list[Step] = [Wait(course.end_s - course.headers_s), _frame("Something else is said here. " * 9)]
    else:
        steps = _stream(course, told, form, quote)
    return Script(steps=tuple(steps), headers=EVENT_STREAM, headers_take_s=course.headers_s)


def _whole(course: Course, told: Told) -> Script:
    steps: tuple[Step, ...] = (HANG,)
    if course.end_s != NEVER:
        end: bytes | Cut = whole(DIALECT, "".join(words(1, told.client.tokens)))
        if course.is_empty:
            end = whole(DIALECT, "")
        elif course.error is not None:
            end = {"error_event": _ERROR, "bad_event": b"{broken"}.get(course.fault, Cut())
        steps = (Wait(course.end_s - course.headers_s), end)
    return Script(steps=steps, headers=JSON, headers_take_s=course.headers_s)


def _stream(course: Course, told: Told, form: Form | None, quote: str) -> list[Step]:
    """What a provider streams. One that goes on repeats what it is asked to, and that comes with the first new word."""
    steps: list[Step] = []
    at_s, before = course.headers_s, told.sent
    lead = ""
    if form == "replay":
        lead = "".join(words(1, before))
    elif form is not None:
        lead = quote + (words(before, before)[0] if form == "step_back" else "")
    for place, word in enumerate(words(before + 1, before + course.tokens)):
        due_s = course.first_s + place * course.gap_s
        steps += [Wait(due_s - at_s), _frame(lead + word)]
        at_s, lead = due_s, ""
    if course.end_s == NEVER:
        return [*steps, HANG]
    end: list[Step] = [_end()]
    if course.error is not None and course.fault != "empty":
        end = _BREAKS.get(course.fault, [Cut()])
    return [*steps, Wait(max(course.end_s - at_s, 0.0)), *end]


def _frame(text: str) -> bytes:
    renderer = DIALECTS[DIALECT].renderer(Head("seed", "m", 1_770_000_000))
    return renderer.render([Started("answer-1", "m"), TextDelta(text)])


def _end() -> bytes:
    renderer = DIALECTS[DIALECT].renderer(Head("seed", "m", 1_770_000_000))
    return renderer.render([Started("answer-1", "m"), Finished("stop")]) + renderer.finish(None)


_ERROR = b'{"error":{"message":"no","type":"server_error","code":null,"param":null}}'
_BREAKS: Mapping[str, list[Step]] = {
    "truncated": [],
    "error_event": [b"data: " + _ERROR + b"\n\n"],
    "bad_event": [b"data: {broken\n\n"],
}


def records_of(scenario: Scenario, seed: int, clients: list[tuple[float, Client]]) -> list[Record]:
    """What the engine logs of these clients, who come at these times: in their order."""
    draws = Draws(seed)
    told = {number: Told(client) for number, (_, client) in enumerate(clients)}
    ups: dict[str, Any] = {
        name: CourseUpstream(Place(at, name, scenario.providers[name], scenario.episodes), draws, told)
        for at, name in enumerate(scenario.plan.providers)
    }

    async def one(gateway: MemoryGateway, number: int, arrives_s: float, client: Client) -> None:
        await asyncio.sleep(arrives_s)
        body = {"model": "m", "messages": [{"role": "user", "content": f"request number {number}."}]}
        await gateway.chat(msgspec.json.encode({**body, "stream": client.stream}))

    async def all_of_them() -> list[Record]:
        gateway = MemoryGateway(scenario.plan, seed=seed, **ups)
        async with asyncio.TaskGroup() as group:
            for number, (arrives_s, client) in enumerate(clients):
                group.create_task(one(gateway, number, arrives_s, client))
        return sorted(gateway.records, key=lambda record: record.received_at)

    return run(all_of_them())
