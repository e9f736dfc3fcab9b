"""What bounds a stream that its client may come back to: in time, in bytes, and what is said of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

import msgspec
import pytest
from tests.engine.cases import GEMINI, LIMITS, OPENAI
from tests.engine.leaving import (
    ROUTE,
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
)

from afterbay.engine import lasting
from afterbay.engine.context import Context
from afterbay.engine.lasting_streams import LastingStreams
from afterbay.policy.plan import Limits, Route
from afterbay.ports import ClientGone
from afterbay.testing.answers import stream
from afterbay.testing.fakes import HANG, MemoryReply, Script, Wait
from afterbay.testing.virtual_loop import run


def test_whoever_does_not_come_back_in_time_has_cancelled_the_request() -> None:
    one = made(slowly(OPENAI, *"abcdefghijklmnop", pause_s=5.0))

    async def leave() -> tuple[MemoryReply, MemoryReply]:
        reply = Leaving(1)
        task = ask_for(one, reply)
        with pytest.raises(ClientGone):
            await task
        return reply, await come_back(one, reply.headers["x-request-id"], 1)

    reply, late = run(leave())
    record = found(one.records, "chat")
    assert (record.outcome, record.attempts[-1].outcome) == ("client_closed", "client_closed")
    closed_s = one.upstreams["a"].sent[0].closed_at_s
    assert closed_s == pytest.approx(5.0 + 30.0)
    assert late.status == 404
    assert late.json["error"]["code"] == "unknown_stream"  # type: ignore[index]
    assert reply.ended_at_s is None
    assert len(one.context.streams) == 0
    assert one.context.streams.size == 0


def test_an_answer_that_ended_while_its_client_was_away_is_accounted_as_fetched_or_not() -> None:
    one = made(slowly(OPENAI, pause_s=0.0))

    async def leave() -> None:
        reply = Leaving(1)
        with pytest.raises(ClientGone):
            await ask_for(one, reply)

    run(leave())
    assert one.record.outcome == "client_closed"
    assert one.record.attempts[-1].outcome == "ok"
    assert one.record.usage is not None


@pytest.mark.parametrize("said", ["0", None])
def test_a_client_can_say_that_nobody_will_come_back(said: str | None) -> None:
    headers = {} if said is None else {"x-afterbay-reconnect": said}
    route = ROUTE if said is not None else Route("defaults")
    one = made(slowly(OPENAI), route=route)

    async def leave() -> MemoryReply:
        reply = Leaving(1)
        task = ask_for(one, reply, headers=headers)
        with pytest.raises(asyncio.CancelledError):
            await task
        return await come_back(one, reply.headers["x-request-id"], 1)

    assert run(leave()).status == 404
    assert one.records[0].outcome == "client_closed"
    assert one.upstreams["a"].sent[0].closed_at_s == pytest.approx(1.0, abs=0.01)


def test_a_client_can_shorten_the_time_and_not_lengthen_it() -> None:
    for said, lasts in (("5", "5"), ("500", "30")):
        one = made(slowly(OPENAI))
        reply = run(one.chat(**request_of(OPENAI, headers={"x-afterbay-reconnect": said})))
        assert reply.headers["x-afterbay-reconnect"] == lasts
    one = made(slowly(OPENAI))
    reply = run(one.chat(**request_of(OPENAI, headers={"x-afterbay-reconnect": "soon"})))
    assert reply.status == 400
    assert reply.json["error"]["param"] == "x-afterbay-reconnect"  # type: ignore[index]


def test_a_first_connection_that_does_not_read_holds_up_nobody() -> None:
    one = made(slowly(OPENAI))

    async def both() -> MemoryReply:
        reply = MemoryReply(stuck=1)
        task = ask_for(one, reply)
        await asyncio.sleep(2.5)
        back = await come_back(one, reply.headers["x-request-id"], 0)
        await task
        return back

    assert run(both()).body == unbroken(OPENAI, OPENAI)


def test_the_stream_is_kept_for_the_same_time_after_its_end() -> None:
    one = made(slowly(OPENAI, pause_s=0.0))

    async def late(after_s: float) -> MemoryReply:
        reply = await ask_for(one, MemoryReply())
        await asyncio.sleep(after_s)
        return await come_back(one, reply.headers["x-request-id"], 2)

    whole = unbroken(OPENAI, OPENAI)
    assert run(late(29.0)).body == whole[len(first(whole, 2)) :]
    one = made(slowly(OPENAI, pause_s=0.0))
    assert run(late(31.0)).status == 404
    assert one.context.streams.size == 0


@pytest.mark.parametrize("said", ["x", "-1", "²", "1" * 30])
def test_a_number_that_is_none_is_refused(said: str) -> None:
    one = made(slowly(OPENAI))

    async def ask_odd() -> tuple[MemoryReply, MemoryReply]:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        request_id = reply.headers["x-request-id"]
        path = f"/v1/requests/{request_id}/stream"
        odd = await one.chat(b"", headers={"last-event-id": said}, path=path, method="GET", operation="reconnect")
        ahead = await come_back(one, request_id, 99)
        await come_back(one, request_id, 1)
        await task
        return odd, ahead

    odd, ahead = run(ask_odd())
    assert odd.status == ahead.status == 400
    assert odd.json["error"]["param"] == "last-event-id"  # type: ignore[index]


def test_a_client_that_hangs_up_before_the_headers_cannot_come_back() -> None:
    one = made(Script(steps=(Wait(50.0), *stream(OPENAI, "a"))))

    async def leave() -> None:
        reply = MemoryReply()
        task = ask_for(one, reply)
        await asyncio.sleep(1.0)
        reply.hang_up(task)
        with pytest.raises(ClientGone):
            await task

    run(leave())
    assert one.record.outcome == "client_closed"
    assert one.record.duration_s == pytest.approx(1.0)


def test_pings_before_the_first_output_go_on_and_are_no_events() -> None:
    limits = msgspec.structs.replace(LIMITS, hold_s=2.0, first_token_s=60.0)
    one = made(Script(steps=(Wait(25.0), *stream(OPENAI, "a", "b"))), limits=limits)

    async def leave() -> tuple[MemoryReply, MemoryReply]:
        reply = Leaving(0)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(12.0)
        back = await come_back(one, reply.headers["x-request-id"], 0)
        await task
        return reply, back

    _, back = run(leave())
    assert back.body.startswith(b": ping\n\n")
    assert back.body.count(b": ping\n\n") == 3
    assert re.findall(rb"(?m)^id: (\d+)$", back.body)[0] == b"1"


def test_what_is_no_stream_is_left_alone() -> None:
    one = made(Script(steps=(b'{"error": {"message": "no"}}',), status=400))
    reply = run(one.chat(**request_of(OPENAI)))
    assert reply.status == 400
    assert "x-afterbay-reconnect" not in reply.headers
    assert len(one.context.streams) == 0


def test_a_json_array_cannot_be_gone_on_with() -> None:
    one = made(slowly(GEMINI), spoken=GEMINI)
    reply = run(one.chat(**request_of(GEMINI, query="")))
    assert reply.headers["content-type"].startswith("application/json")
    assert "x-afterbay-reconnect" not in reply.headers


def long_stream(count: int, size: int = 1000) -> Script:
    return Script(steps=tuple(stream(OPENAI, *(f"{at:0{size}d}" for at in range(count)))))


def test_while_its_client_is_away_a_stream_goes_on_up_to_its_bound_and_is_then_paused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lasting, "KEPT_BYTES", 20_000)
    monkeypatch.setattr(lasting, "READ_BYTES", 10_000)
    one = made(long_stream(100))
    whole = run(made(long_stream(100)).chat(**request_of(OPENAI))).body

    async def both() -> tuple[int, MemoryReply, MemoryReply]:
        reply = Leaving(2)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(20.0)
        read = one.upstreams["a"].sent[0].read_bytes
        back = await come_back(one, reply.headers["x-request-id"], 2)
        await task
        return read, reply, back

    read, before, back = run(both())
    assert 15_000 < read < 30_000
    assert first(before.body, 2) + back.body == whole


def test_a_paused_stream_is_ended_by_the_time_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lasting, "KEPT_BYTES", 20_000)
    limits = msgspec.structs.replace(LIMITS, total_s=10.0)
    one = made(long_stream(100), limits=limits)

    async def leave() -> MemoryReply:
        reply = Leaving(2)
        task = ask_for(one, reply)
        await task
        return await come_back(one, reply.headers["x-request-id"], 2)

    back = run(leave())
    assert found(one.records, "chat").outcome == "deadline_exceeded"
    assert b"deadline" in events(back.body)[-1]
    assert one.upstreams["a"].open == 0


def test_a_client_that_reads_slowly_holds_up_its_provider() -> None:
    one = made(long_stream(1000))

    async def slow() -> int:
        task = ask_for(one, MemoryReply(write_s=1.0))
        await asyncio.sleep(3.0)
        read = one.upstreams["a"].sent[0].read_bytes
        task.cancel()
        await asyncio.wait((task,))
        return read

    assert run(slow()) < 4 * lasting.AHEAD_BYTES


def test_of_a_long_stream_the_oldest_events_are_forgotten_once_read_and_that_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lasting, "KEPT_BYTES", 120_000)
    monkeypatch.setattr(lasting, "READ_BYTES", 90_000)
    monkeypatch.setattr(lasting, "SLACK_BYTES", 5_000)
    one = made(long_stream(200))
    whole = run(made(long_stream(200)).chat(**request_of(OPENAI))).body

    async def read() -> tuple[int, list[MemoryReply]]:
        reply = await ask_for(one, MemoryReply())
        request_id = reply.headers["x-request-id"]
        (kept,) = one.context.streams
        assert kept.backlog.size <= 120_000
        first_kept = kept.backlog.forgotten
        return first_kept, [
            await come_back(one, request_id, None),
            await come_back(one, request_id, first_kept - 1),
            await come_back(one, request_id, first_kept),
        ]

    forgotten, (start, before, at) = run(read())
    assert 100 < forgotten < 190
    assert start.status == before.status == 410
    assert before.json["error"]["code"] == "stream_events_forgotten"  # type: ignore[index]
    assert at.body == whole[len(first(whole, forgotten)) :]


def test_all_streams_together_have_a_bound_and_what_is_over_goes_first() -> None:
    one = made(long_stream(20), long_stream(20))
    one.context.streams = LastingStreams(all_bytes=60_000)

    async def three() -> tuple[list[int], MemoryReply]:
        done = [await ask_for(one, MemoryReply()) for _ in range(1)]
        one.upstreams["a"]._scripts += [long_stream(20), long_stream(400)]
        done.append(await ask_for(one, MemoryReply()))
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(5.0)
        statuses = [(await come_back(one, each.headers["x-request-id"], 1)).status for each in done]
        assert one.context.streams.size < 65_000
        refused = made(slowly(OPENAI))
        refused.context.streams = one.context.streams
        plain = await ask_for(refused, MemoryReply())
        assert "x-afterbay-reconnect" not in plain.headers
        assert "nobody can come back" in refused.record.warnings[0]
        back = await come_back(one, reply.headers["x-request-id"], 1)
        await task
        assert len(events(back.body)) == 400 + 3 - 1
        return statuses, back

    statuses, _ = run(three())
    assert statuses == [404, 404]


def test_a_stream_that_waits_for_room_goes_on_when_another_is_gone() -> None:
    one = made(long_stream(50))
    one.upstreams["a"]._scripts.append(long_stream(50))
    one.context.streams = LastingStreams(all_bytes=60_000)

    async def two() -> MemoryReply:
        away = Leaving(1)
        lost = ask_for(one, away)
        await away.left.wait()
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(5.0)
        paused = one.upstreams["a"].sent[1].read_bytes
        await come_back(one, away.headers["x-request-id"], None, method="DELETE")
        with pytest.raises(ClientGone):
            await lost
        await asyncio.sleep(5.0)
        assert one.upstreams["a"].sent[1].read_bytes > paused
        back = await come_back(one, reply.headers["x-request-id"], 1)
        await task
        return back

    assert len(events(run(two()).body)) == 50 + 3 - 1


@pytest.mark.parametrize("is_there", [True, False])
def test_a_client_can_end_its_stream(is_there: bool) -> None:
    one = made(slowly(OPENAI))

    async def end() -> list[MemoryReply]:
        reply: MemoryReply = MemoryReply() if is_there else Leaving(1)
        task = ask_for(one, reply)
        await asyncio.sleep(2.5)
        request_id = reply.headers["x-request-id"]
        replies = [await come_back(one, request_id, None, method="DELETE")]
        with pytest.raises(ClientGone):
            await task
        assert reply.ended_at_s is None
        return [*replies, await come_back(one, request_id, None)]

    ended, gone = run(end())
    assert ended.json["cancelled"] is True
    assert gone.status == 404
    record = found(one.records[:2], "chat")
    assert record.outcome == record.attempts[-1].outcome == "client_closed"
    assert "the client cancelled the stream" in record.warnings
    assert one.upstreams["a"].sent[0].closed_at_s == pytest.approx(2.5)


def test_a_gateway_that_ends_says_so_to_who_comes_back_last() -> None:
    one = made(Script(steps=(*stream(OPENAI, "a", "b")[:2], HANG)))

    async def end() -> MemoryReply:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        back = come_back(one, reply.headers["x-request-id"], 1)
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait((task,))
        return await back

    back = run(end())
    assert b"shutting down" in events(back.body)[-1]
    assert found(one.records, "chat").outcome == "shutting_down"


def test_a_request_in_flight_counts_until_its_client_came_back() -> None:
    one = made(slowly(OPENAI, pause_s=0.0))

    async def retire(context: Context) -> float:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        retiring = asyncio.get_running_loop().create_task(context.fleet.retire(100.0))
        await asyncio.sleep(5.0)
        assert not retiring.done()
        assert context.open_streams == 1
        await come_back(one, reply.headers["x-request-id"], 1)
        await task
        await retiring
        return asyncio.get_running_loop().time()

    assert run(retire(one.context)) == pytest.approx(5.0)


def test_a_connection_that_reads_nothing_to_the_end_is_not_waited_for_for_ever() -> None:
    one = made(slowly(OPENAI, pause_s=0.0), limits=Limits(total_s=20.0))

    async def stuck() -> None:
        with pytest.raises(ClientGone):
            await ask_for(one, MemoryReply(stuck=1))

    run(stuck())
    assert one.record.outcome == "client_closed"
    assert one.record.duration_s <= 51.0


def test_whoever_came_back_may_read_as_long_as_it_takes() -> None:
    one = made(slowly(OPENAI, *"abcdefghijklmnop"), route=Route("defaults", reconnect_s=2.0))

    async def both() -> MemoryReply:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        await asyncio.sleep(1.0)
        back = await come_back(one, reply.headers["x-request-id"], 1)
        await task
        return back

    assert events(run(both()).body)[-1].startswith(b"data: [DONE]")
    assert found(one.records, "chat").outcome == "ok"


def test_a_client_that_leaves_while_its_headers_go_out_may_come_back() -> None:
    one = made(slowly(OPENAI))

    class Gone(MemoryReply):
        async def start(self, status: int, headers: Mapping[str, str]) -> None:
            await super().start(status, headers)
            assert self._left is not None
            self._left()
            await asyncio.sleep(1.0)

    async def both() -> MemoryReply:
        reply = Gone()
        task = ask_for(one, reply)
        await asyncio.sleep(10.0)
        assert reply.body == b""
        back = await come_back(one, reply.headers["x-request-id"], 0)
        await task
        return back

    assert run(both()).body == unbroken(OPENAI, OPENAI)


def test_a_connection_without_a_task_says_that_it_is_gone_by_an_error() -> None:
    one = made(slowly(OPENAI))

    class Broken(MemoryReply):
        async def write(self, data: bytes) -> None:
            raise ClientGone

    async def both() -> MemoryReply:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        request_id = reply.headers["x-request-id"]
        with pytest.raises(ClientGone):
            await come_back(one, request_id, 1, reply=Broken())
        back = await come_back(one, request_id, 1)
        await task
        return back

    assert run(both()).status == 200
    assert [one.outcome for one in one.records if one.operation == "reconnect"] == ["client_closed", "ok"]


def test_a_reader_that_does_not_read_has_the_time_of_a_request() -> None:
    one = made(slowly(OPENAI, pause_s=0.0), limits=msgspec.structs.replace(LIMITS, total_s=20.0))

    async def stuck() -> float:
        reply = await ask_for(one, MemoryReply())
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(ClientGone):
            await come_back(one, reply.headers["x-request-id"], 0, reply=MemoryReply(stuck=1))
        return asyncio.get_running_loop().time() - began_s

    assert run(stuck()) == pytest.approx(20.0)
    assert not any(one._reader for one in one.context.streams)


def test_a_readers_connection_that_was_taken_over_while_stuck_is_ended() -> None:
    one = made(slowly(OPENAI))

    async def three() -> tuple[MemoryReply, float]:
        reply = Leaving(1)
        task = ask_for(one, reply)
        await reply.left.wait()
        request_id = reply.headers["x-request-id"]
        stuck = come_back(one, request_id, 0, reply=MemoryReply(stuck=1))
        await asyncio.sleep(1.5)
        last = come_back(one, request_id, 0)
        await asyncio.sleep(0.1)
        began_s = asyncio.get_running_loop().time()
        with pytest.raises(ClientGone):
            await stuck
        waited_s = asyncio.get_running_loop().time() - began_s
        back = await last
        await task
        return back, waited_s

    back, waited_s = run(three())
    assert back.body == unbroken(OPENAI, OPENAI)
    assert waited_s <= lasting.GOODBYE_S
