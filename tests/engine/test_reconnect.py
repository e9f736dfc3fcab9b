"""A client that lost its connection comes back to its stream: at every event, in every protocol."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, OPENAI
from tests.engine.leaving import (
    CLIENTS,
    RESPONSES,
    Leaving,
    ask_for,
    come_back,
    events,
    first,
    found,
    made,
    request_of,
    slowly,
    unbroken,
    without_ids,
)

from afterbay.policy.hedge import Hedging
from afterbay.policy.plan import Route
from afterbay.ports import Key
from afterbay.testing.answers import stream
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, Wait
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.sweeps import Interrupted
from afterbay.testing.virtual_loop import run

PAIRS = [(client, spoken) for client in CLIENTS for spoken in (client, ANTHROPIC if client == OPENAI else OPENAI)]


@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_with_it_a_stream_says_the_same_but_for_numbers(client: str, spoken: str) -> None:
    plain, kept = unbroken(client, spoken, Route("defaults")), unbroken(client, spoken)
    assert without_ids(kept) == plain
    numbers = [int(number) for number in re.findall(rb"(?m)^id: (\d+)\r?$", kept)]
    if client == GEMINI:  # whose SDK reads every line that is no `data:` as JSON: its clients count
        assert kept == plain
    else:
        assert numbers == list(range(1, len(events(plain)) + 1))


@pytest.mark.parametrize("away_s", [0.0, 3.0, 20.0])
@pytest.mark.parametrize(("client", "spoken"), PAIRS)
def test_cut_at_every_event_it_is_the_same_stream_as_unbroken(client: str, spoken: str, away_s: float) -> None:
    whole = unbroken(client, spoken)
    for at in range(len(events(whole)) + 1):
        one = made(slowly(spoken), spoken=spoken)

        async def both(one: MemoryGateway = one, at: int = at) -> tuple[MemoryReply, MemoryReply]:
            reply = Leaving(at)
            task = ask_for(one, reply, client)
            await reply.left.wait()
            await asyncio.sleep(away_s)
            back = await come_back(one, reply.headers["x-request-id"], at)
            await task
            return reply, back

        before, back = run(both())
        assert first(before.body, at) + back.body == whole, f"cut after event {at}"
        assert back.status in (200, 204)
        record = found(one.records, "chat")
        assert record.outcome == "ok"
        assert record.attempts[-1].outcome == "ok"
        assert one.upstreams["a"].open == 0
        assert one.context.open_streams == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_without_a_number_the_whole_is_sent_again(client: str) -> None:
    one = made(slowly(client), spoken=client)

    async def both() -> MemoryReply:
        reply = Leaving(3)
        task = ask_for(one, reply, client)
        await reply.left.wait()
        back = await come_back(one, reply.headers["x-request-id"], None)
        await task
        return back

    back = run(both())
    assert back.body == unbroken(client, client)
    assert back.headers["content-type"].startswith("text/event-stream")
    assert back.headers["x-afterbay-reconnect"] == "30"


def test_records_tell_of_the_leaving_and_the_coming_back() -> None:
    one = made(slowly(OPENAI))

    async def both() -> str:
        reply = Leaving(2)
        task = ask_for(one, reply)
        await reply.left.wait()
        await come_back(one, reply.headers["x-request-id"], 1)
        await task
        return reply.headers["x-request-id"]

    request_id = run(both())
    assert found(one.records, "chat").warnings == ["the client left after event 2", "reconnected after event 1"]
    back = found(one.records, "reconnect")
    assert back.warnings == [f"reconnected to {request_id} after event 1"]
    assert (back.outcome, back.status, back.stream, back.protocol) == ("ok", 200, True, OPENAI)


def test_another_key_finds_nothing() -> None:
    one = made(slowly(OPENAI))
    mine, other = Key("k1", "mine"), Key("k2", "other")

    async def ask_both() -> list[MemoryReply]:
        reply = Leaving(1)
        task = ask_for(one, reply, key=mine)
        await reply.left.wait()
        request_id = reply.headers["x-request-id"]
        found = [
            await come_back(one, request_id, 1, key=other),
            await come_back(one, request_id, 1),
            await come_back(one, request_id, 1, method="DELETE", key=other),
            await come_back(one, "req_none", 1, key=mine),
            await come_back(one, request_id, 1, key=mine),
        ]
        await task
        return found

    replies = run(ask_both())
    assert [reply.status for reply in replies] == [404, 404, 404, 404, 200]
    assert replies[0].json["error"]["code"] == replies[3].json["error"]["code"]  # type: ignore[index]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_reader_takes_over_and_the_first_is_told(client: str) -> None:
    one = made(slowly(client), spoken=client)

    async def both() -> tuple[MemoryReply, MemoryReply]:
        reply = MemoryReply()
        task = ask_for(one, reply, client)
        await asyncio.sleep(5.5)
        had = len(events(reply.body))
        back = await come_back(one, reply.headers["x-request-id"], had)
        await task
        return reply, back

    before, back = run(both())
    seen = events(before.body)
    assert b"took this stream over" in seen[-1]
    assert before.ended_at_s is not None
    assert b"".join(seen[:-1]) + back.body == unbroken(client, client)
    assert found(one.records, "chat").outcome == "ok"


def test_readers_take_over_from_each_other_and_only_the_last_reads_on() -> None:
    one = made(slowly(OPENAI))

    async def three() -> list[MemoryReply]:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        request_id = reply.headers["x-request-id"]
        second = come_back(one, request_id, 1)
        await asyncio.sleep(2.0)
        third = come_back(one, request_id, 0)
        await task
        return [await second, await third]

    second, third = run(three())
    assert third.body == unbroken(OPENAI, OPENAI)
    assert b"stream_taken_over" in second.body
    assert [one.outcome for one in one.records if one.operation == "reconnect"] == ["stream_taken_over", "ok"]


def test_an_event_source_that_has_everything_is_told_not_to_come_back() -> None:
    one = made(slowly(OPENAI, pause_s=0.0))

    async def again() -> MemoryReply:
        reply = await ask_for(one, MemoryReply())
        return await come_back(one, reply.headers["x-request-id"], len(events(reply.body)))

    reply = run(again())
    assert (reply.status, reply.body) == (204, b"")


def test_a_client_that_says_it_has_everything_was_served() -> None:
    one = made(slowly(OPENAI, pause_s=0.0))

    async def again() -> None:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(1.0)
        request_id = reply.headers["x-request-id"]
        (kept,) = one.context.streams
        await come_back(one, request_id, kept.backlog.count)
        await task

    run(again())
    assert found(one.records, "chat").outcome == "ok"


def test_a_failure_while_the_client_is_away_is_told_when_it_comes_back() -> None:
    pieces = stream(ANTHROPIC, "a", "b")
    one = made(Script(steps=(*pieces[:3], Wait(2.0), Cut())), spoken=ANTHROPIC)

    async def both() -> MemoryReply:
        reply = Leaving(2)
        task = ask_for(one, reply, ANTHROPIC)
        await task
        await asyncio.sleep(5.0)
        return await come_back(one, reply.headers["x-request-id"], 3)

    (last,) = events(run(both()).body)
    assert last.startswith(b"event: error\n")
    assert last.endswith(b"\nid: 4\n\n")
    assert found(one.records, "chat").outcome not in ("ok", "client_closed")


def test_a_stream_that_breaks_while_its_client_is_away_is_gone_on_with() -> None:
    pieces = stream(OPENAI, "The quick", " brown", " fox")
    route = Route("defaults", reconnect_s=30.0, resume="on")
    scripts = (
        Script(steps=(*pieces[:2], Wait(2.0), Cut())),
        Script(steps=tuple(stream(OPENAI, "The quick brown fox jumps"))),
    )

    def build() -> MemoryGateway:
        return made(*scripts, spoken=(OPENAI, OPENAI), route=route)

    whole = run(build().chat(**request_of(OPENAI))).body
    one = build()

    async def both() -> tuple[MemoryReply, MemoryReply]:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(5.0)
        back = await come_back(one, reply.headers["x-request-id"], 1)
        await task
        return reply, back

    before, back = run(both())
    assert b": afterbay resumed" in back.body
    assert first(before.body, 1) + back.body == whole


def test_a_reader_interrupted_anywhere_leaves_the_stream_to_the_next() -> None:
    whole = unbroken(OPENAI, OPENAI)

    async def cut(at: int) -> tuple[int, bytes]:
        one = made(slowly(OPENAI))
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        request_id = reply.headers["x-request-id"]
        second = MemoryReply()
        path = f"/v1/requests/{request_id}/stream"
        asked = one.chat(
            b"", headers={"last-event-id": "1"}, path=path, method="GET", operation="reconnect", reply=second
        )
        trouble = Interrupted(asked, at)
        await asyncio.wait((trouble.start(),))
        await asyncio.sleep(0.5)
        had = 1 + len(events(second.body))
        third = await come_back(one, request_id, had)
        await task
        return trouble.points, first(reply.body, 1) + second.body + third.body

    points, _ = run(cut(0))
    assert points == 2
    for at in range(1, points + 1):
        _, got = run(cut(at))
        assert got == whole, f"interrupted at await {at}"


def test_a_client_may_leave_again_at_any_event() -> None:
    whole = unbroken(OPENAI, OPENAI)
    for at in range(1, len(events(whole)) + 1):
        one = made(slowly(OPENAI))

        async def thrice(one: MemoryGateway = one, at: int = at) -> bytes:
            reply, second = Leaving(1), Leaving(at)
            task = ask_for(one, reply)
            await reply.left.wait()
            request_id = reply.headers["x-request-id"]
            second.task = come_back(one, request_id, 0, reply=second)
            await second.left.wait()
            await asyncio.sleep(1.5)
            third = await come_back(one, request_id, at)
            await task
            assert second.task.cancelled() or second.task.done()
            return first(second.body, at) + third.body

        assert run(thrice()) == whole


def responses_get(one: MemoryGateway, response_id: str, query: str, **fields: Any) -> asyncio.Task[MemoryReply]:
    path = f"/v1/responses/{response_id}"
    got = one.chat(b"", RESPONSES, path=path, query=query, method="GET", operation="response", **fields)
    return asyncio.get_running_loop().create_task(got)


@pytest.mark.parametrize("spoken", [RESPONSES, OPENAI])
def test_a_client_of_responses_comes_back_as_its_protocol_has_it(spoken: str) -> None:
    whole = unbroken(RESPONSES, spoken)
    sequence = [msgspec.json.decode(re.search(rb"data: (.*)", one)[1])["sequence_number"] for one in events(whole)]  # type: ignore[index]
    for at in range(1, len(sequence) + 1):
        one = made(slowly(spoken), spoken=spoken)

        async def both(one: MemoryGateway = one, at: int = at) -> tuple[MemoryReply, MemoryReply, MemoryReply]:
            reply = Leaving(at)
            task = ask_for(one, reply, RESPONSES)
            await reply.left.wait()
            response_id = msgspec.json.decode(re.search(rb"data: (.*)", reply.body)[1])["response"]["id"]  # type: ignore[index]
            other = await responses_get(one, response_id, "stream=true", key=Key("k", "k"))
            back = await responses_get(one, response_id, f"stream=true&starting_after={sequence[at - 1]}")
            again = await responses_get(one, response_id, "stream=true")
            await task
            return reply, back, again if other.status == 404 else other

        before, back, again = run(both())
        assert first(before.body, at) + back.body == whole
        assert again.body == whole


def test_a_number_of_responses_that_was_not_sent_is_refused() -> None:
    one = made(slowly(RESPONSES), spoken=RESPONSES)

    async def both() -> list[MemoryReply]:
        reply = Leaving(1)
        task = ask_for(one, reply, RESPONSES)
        await reply.left.wait()
        response_id = msgspec.json.decode(re.search(rb"data: (.*)", reply.body)[1])["response"]["id"]  # type: ignore[index]
        replies = [
            await responses_get(one, response_id, "stream=true&starting_after=99"),
            await responses_get(one, response_id, "stream=true&starting_after=x"),
        ]
        await responses_get(one, response_id, "stream=true")
        await task
        return replies

    assert [reply.status for reply in run(both())] == [400, 400]


def test_an_answer_that_won_a_race_is_come_back_to_like_any_other() -> None:
    route = Route("defaults", reconnect_s=30.0, hedge=Hedging(after_s=2.0, max_share=9.0, max_extra_cost=9.0))

    def build() -> MemoryGateway:
        return made(Script(steps=(HANG,)), slowly(OPENAI), spoken=(OPENAI, OPENAI), route=route)

    whole = run(build().chat(**request_of(OPENAI))).body
    one = build()

    async def both() -> tuple[MemoryReply, MemoryReply]:
        reply = Leaving(2)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(1.5)
        back = await come_back(one, reply.headers["x-request-id"], 2)
        await task
        return reply, back

    before, back = run(both())
    assert first(before.body, 2) + back.body == whole
    assert [attempt.outcome for attempt in found(one.records, "chat").attempts] == ["cancelled", "ok"]
    assert all(upstream.open == 0 for upstream in one.upstreams.values())
