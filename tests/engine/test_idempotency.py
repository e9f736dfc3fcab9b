"""A request that is sent again with its idempotency key is answered as it was, and sent to nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from tests.engine.cases import ANTHROPIC, GEMINI, LIMITS, OPENAI, gateway
from tests.engine.leaving import CLIENTS, RESPONSES, Leaving, ask_for, events, made, request_of, slowly

from afterbay.core.decision import Record
from afterbay.engine import shared
from afterbay.policy.charge import charge_of
from afterbay.policy.plan import Route
from afterbay.ports import Claim, Key, OriginalsUnavailable, Repeatable, StoredAnswer
from afterbay.store.memory import MemoryOriginals
from afterbay.testing.answers import answered, ask, failed, stream, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.sweeps import How, Interrupted
from afterbay.testing.virtual_loop import run

KEYED = {"idempotency-key": "b2f1"}
PLAIN = Route("defaults")
BROKEN_AFTER = {OPENAI: 2, ANTHROPIC: 3, RESPONSES: 5, GEMINI: 1}
"""So many events of a stream are its beginning, with some text."""


def sent(one: MemoryGateway) -> int:
    """How many requests reached a provider."""
    return sum(len(upstream.sent) for upstream in one.upstreams.values())


def replays(one: MemoryGateway) -> list[Record]:
    return [record for record in one.records if record.operation == "replay"]


def code_of(reply: MemoryReply) -> str:
    error = reply.json["error"]
    assert isinstance(error, dict)
    return str(error["code"])


async def again(one: MemoryGateway, client: str = OPENAI, **fields: Any) -> MemoryReply:
    """Sends the request of `leaving.request_of` with the key."""
    reply: MemoryReply = await one.chat(**request_of(client, **({"headers": KEYED} | fields)))
    return reply


@pytest.mark.parametrize("spoken", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_that_is_asked_for_again_is_the_same_to_the_byte(client: str, spoken: str) -> None:
    one = made(slowly(spoken), spoken=spoken, route=PLAIN)

    async def twice() -> list[MemoryReply]:
        return [await again(one, client), await again(one, client)]

    before, after = run(twice())
    assert after.body == before.body
    assert after.headers["content-type"] == before.headers["content-type"]
    assert sent(one) == 1
    assert (after.headers["idempotent-replayed"], after.headers["x-afterbay-original-request"]) == (
        "true",
        before.headers["x-request-id"],
    )
    assert "idempotent-replayed" not in before.headers
    assert after.headers["x-request-id"] != before.headers["x-request-id"]


@pytest.mark.parametrize("client", [OPENAI, ANTHROPIC])
def test_a_whole_answer_that_is_asked_for_again_is_the_same_and_costs_nothing(client: str) -> None:
    one = gateway([answered(OPENAI, "Moin")])

    async def twice() -> list[MemoryReply]:
        return [await one.chat(ask("m"), client, KEYED) for _ in range(2)]

    before, after = run(twice())
    assert (after.status, after.body) == (200, before.body)
    assert "x-afterbay-cost-usd" in before.headers
    assert "x-afterbay-cost-usd" not in after.headers
    (record,) = replays(one)
    assert (record.outcome, record.status, record.requested_model, record.attempts) == ("ok", 200, "m", [])
    assert record.warnings == [f"repeats {before.headers['x-request-id']}"]
    assert charge_of(record) == charge_of(Record("r", 0.0, "replay", client)), "nothing"


def test_without_the_header_every_request_is_sent() -> None:
    one = gateway([answered(OPENAI, "a"), answered(OPENAI, "b")])

    async def twice() -> list[MemoryReply]:
        return [await one.chat(ask("m")) for _ in range(2)]

    before, after = run(twice())
    assert before.body != after.body
    assert len(one.context.answers) == 0


@pytest.mark.parametrize("client", CLIENTS)
def test_twins_at_once_are_one_call_upstream_and_one_answer(client: str) -> None:
    one = made(slowly(client), spoken=client, route=PLAIN)

    async def twins() -> list[MemoryReply]:
        first = asyncio.ensure_future(again(one, client))
        await asyncio.sleep(2.5)
        later = [asyncio.ensure_future(again(one, client)) for _ in range(5)]
        return [await first, *[await twin for twin in later]]

    replies = run(twins())
    assert sent(one) == 1
    assert len({reply.body for reply in replies}) == 1
    assert {reply.status for reply in replies} == {200}
    assert [record.outcome for record in replays(one)] == ["ok"] * 5
    late = replies[1]
    assert late.pieces[0][0] < replies[0].pieces[-1][0], "who comes while it runs reads it while it runs"


def test_twins_in_the_same_moment_are_one_call_upstream() -> None:
    one = gateway([answered(OPENAI, "Moin")])

    async def twins() -> list[MemoryReply]:
        return await asyncio.gather(*(one.chat(ask("m"), headers=KEYED) for _ in range(50)))

    replies = run(twins())
    assert sent(one) == 1
    assert len({reply.body for reply in replies}) == 1
    assert sum("idempotent-replayed" not in reply.headers for reply in replies) == 1
    assert one.context.answers.size == 0


@pytest.mark.parametrize("at", range(8))
@pytest.mark.parametrize("client", CLIENTS)
def test_a_client_that_lost_its_connection_gets_the_whole_by_asking_again(client: str, at: int) -> None:
    one = made(slowly(client), spoken=client, route=PLAIN)

    async def lost() -> tuple[MemoryReply, MemoryReply]:
        reply = Leaving(min(at, 5))
        task = ask_for(one, reply, client, headers=KEYED)
        await reply.left.wait()
        await asyncio.sleep(1.0 if at < 6 else 60.0)
        back = await again(one, client)
        await asyncio.wait((task,))
        return reply, back

    before, back = run(lost())
    assert sent(one) == 1
    assert back.body.startswith(before.body)
    assert len(events(back.body)) > len(events(before.body))
    (record,) = (one for one in one.records if one.operation == "chat")
    assert record.outcome == "ok"
    if at == 2:
        (twin,) = replays(one)
        assert record.warnings == ["the client left", f"repeated by {twin.id}"]
    assert one.context.open_streams == 0


def test_a_whole_answer_survives_its_client_too() -> None:
    one = gateway([Script(headers_take_s=9.0, steps=answered(OPENAI, "Moin").steps, headers={})])

    async def lost() -> MemoryReply:
        reply = MemoryReply()
        task = asyncio.ensure_future(one.chat(ask("m"), headers=KEYED, reply=reply))
        await asyncio.sleep(1.0)
        reply.hang_up(task)
        await asyncio.sleep(1.0)
        back = await one.chat(ask("m"), headers=KEYED)
        await asyncio.wait((task,))
        assert not reply.started
        return back

    back = run(lost())
    assert back.status == 200
    assert b"Moin" in back.body
    assert sent(one) == 1


def test_a_client_that_reads_slowly_holds_up_nobody_else() -> None:
    one = made(slowly(OPENAI, pause_s=0.0), route=PLAIN)

    async def both() -> tuple[MemoryReply, float]:
        slow = asyncio.ensure_future(one.chat(**request_of(OPENAI, headers=KEYED), reply=MemoryReply(30.0)))
        await asyncio.sleep(0.1)
        quick = await again(one)
        at_s = asyncio.get_running_loop().time()
        await slow
        return quick, at_s

    quick, at_s = run(both())
    assert b"[DONE]" in quick.body
    assert at_s < 5.0


@pytest.mark.parametrize("client", CLIENTS)
def test_the_same_key_for_another_request_is_refused_in_the_client_s_protocol(client: str) -> None:
    one = made(slowly(client), spoken=client, route=PLAIN)

    async def two() -> list[MemoryReply]:
        first = asyncio.ensure_future(again(one, client))
        await asyncio.sleep(1.0)
        other = request_of(client)["body"].replace(b"hello", b"other")
        early = await again(one, client, body=other)
        await first
        return [early, await again(one, client, body=other)]

    for reply in run(two()):
        assert reply.status == 422
        assert reply.headers["x-should-retry"] == "false"
        assert b"belongs to another request of yours" in reply.body
        if client in (OPENAI, RESPONSES):
            assert code_of(reply) == "idempotency_key_reused"
    assert sent(one) == 1
    assert {record.outcome for record in replays(one)} == {"idempotency_key_reused"}


def test_paths_count_and_virtual_keys_in_the_query_do_not() -> None:
    one = made(slowly(GEMINI), slowly(GEMINI), spoken=(GEMINI, GEMINI), route=PLAIN)

    async def three() -> list[MemoryReply]:
        return [
            await again(one, GEMINI, query="alt=sse&key=one"),
            await again(one, GEMINI, query="key=two&alt=sse"),
            await again(one, GEMINI, path="/v1beta/models/a/up:streamGenerateContent"),
        ]

    first, second, other = run(three())
    assert (first.body, other.status) == (second.body, 422)


@pytest.mark.parametrize("key", ["", "k" * 256, "a\tb", "ключ"])
def test_a_key_that_is_none_is_refused(key: str) -> None:
    one = gateway([answered(OPENAI, "a")])
    reply = run(one.chat(ask("m"), headers={"idempotency-key": key}))
    assert (reply.status, code_of(reply), sent(one)) == (400, "invalid_value", 0)
    assert one.record.outcome == "invalid_value"


def test_keys_are_of_the_one_who_asks() -> None:
    one = gateway([answered(OPENAI, "a"), answered(OPENAI, "b"), answered(OPENAI, "c")])

    async def three() -> list[MemoryReply]:
        keys = (Key("key_1", "one"), Key("key_2", "two"), None)
        return [await one.chat(ask("m"), headers=KEYED, key=key) for key in keys]

    assert len({reply.body for reply in run(three())}) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 429, 500, 503])
def test_an_error_frees_the_key(status: int) -> None:
    one = gateway([failed(OPENAI, status, "server"), answered(OPENAI, "Moin")], limits=one_try())

    async def three() -> list[MemoryReply]:
        return [await one.chat(ask("m"), headers=KEYED) for _ in range(3)]

    bad, good, same = run(three())
    assert bad.status >= 400
    assert (good.status, same.body) == (200, good.body)
    assert sent(one) == 2


def test_a_request_that_was_wrong_may_be_corrected_under_its_key() -> None:
    one = gateway([answered(OPENAI, "Moin")])

    async def both() -> list[MemoryReply]:
        return [await one.chat(body, headers=KEYED) for body in (b"{", ask("nobody"), ask("m"))]

    assert [reply.status for reply in run(both())] == [400, 404, 200]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_stream_that_broke_frees_the_key(client: str) -> None:
    broken = Script(steps=(*stream(client, "Once", " upon")[: BROKEN_AFTER[client]], Cut()))
    route = msgspec.structs.replace(PLAIN, resume="off")
    one = made(broken, slowly(client), spoken=(client, client), route=route)
    first = run(again(one, client))
    assert b"rror" in first.body
    assert run_found(one, client) is None
    (record,) = one.records
    assert record.outcome != "ok"


def run_found(one: MemoryGateway, client: str) -> Claim | None:
    """What the store knows of the key after all."""
    body, path = request_of(client)["body"], request_of(client).get("path", "")
    query = request_of(client).get("query", "")
    originals = one.context.originals
    assert originals is not None
    return run(originals.find(Repeatable("", KEYED["idempotency-key"], (path.encode(), query.encode(), body), "")))


def test_what_a_twin_reads_of_a_failure_is_the_same_failure() -> None:
    slow = Script(headers_take_s=5.0, status=500, steps=(b"{}",), headers={"content-type": "application/json"})
    one = gateway([slow], limits=one_try())

    async def twins() -> list[MemoryReply]:
        first = asyncio.ensure_future(one.chat(ask("m"), headers=KEYED))
        await asyncio.sleep(1.0)
        return [await one.chat(ask("m"), headers=KEYED), await first]

    twin, first = run(twins())
    assert (twin.status, twin.body) == (first.status, first.body)
    assert sent(one) == 1
    assert [record.outcome for record in replays(one)] == ["original_failed"]


def one_try() -> Any:
    return msgspec.structs.replace(LIMITS, max_attempts=1)


def test_the_end_of_the_gateway_frees_the_key_and_is_told() -> None:
    one = made(slowly(OPENAI), route=PLAIN)

    async def ended() -> tuple[MemoryReply, MemoryReply]:
        first, twin = MemoryReply(gone=False), MemoryReply(gone=False)
        task = ask_for(one, first, headers=KEYED)
        await asyncio.sleep(2.5)
        other = ask_for(one, twin, headers=KEYED)
        await asyncio.sleep(1.0)
        task.cancel()
        await asyncio.wait((task, other))
        return first, twin

    for reply in run(ended()):
        assert b"is shutting down" in reply.body or b"shutting_down" in reply.body
    assert run_found(one, OPENAI) is None


def test_who_asked_may_end_it() -> None:
    one = made(slowly(OPENAI), route=PLAIN)

    async def ended() -> tuple[MemoryReply, MemoryReply, MemoryReply]:
        reply = Leaving(2)
        task = ask_for(one, reply, headers=KEYED)
        await reply.left.wait()
        path = f"/v1/requests/{reply.headers['x-request-id']}/stream"
        mine = await one.chat(b"", path=path, method="DELETE", operation="reconnect", key=Key("k", "another's"))
        told = await one.chat(b"", path=path, method="DELETE", operation="reconnect")
        await asyncio.wait((task,))
        return reply, mine, told

    _, other, told = run(ended())
    assert other.status == 404
    assert told.json["cancelled"] is True
    (record,) = (one for one in one.records if one.operation == "chat")
    assert record.outcome == "client_closed"
    assert run_found(one, OPENAI) is None


def test_an_answer_that_is_too_large_is_served_and_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "KEPT_BYTES", 300)
    one = made(slowly(OPENAI, *(f" {number}" for number in range(20))), route=PLAIN)

    async def three() -> list[MemoryReply]:
        first = asyncio.ensure_future(again(one))
        await asyncio.sleep(12.0)
        early = await again(one)
        return [await first, early, await again(one)]

    first, early, late = run(three())
    assert b"[DONE]" in first.body
    for reply in (early, late):
        assert (reply.status, code_of(reply)) == (409, "idempotency_answer_gone")
        assert reply.headers["x-should-retry"] == "false"
    assert sent(one) == 1
    assert one.context.answers.size == 0


def test_an_answer_that_is_too_large_ends_when_nobody_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "KEPT_BYTES", 300)
    one = made(slowly(OPENAI, *(f" {number}" for number in range(20))), route=PLAIN)

    async def lost() -> None:
        reply = Leaving(2)
        task = ask_for(one, reply, headers=KEYED)
        await asyncio.wait((task,))

    run(lost())
    assert one.record.outcome == "client_closed"
    assert one.upstreams["a"].open == 0
    assert run_found(one, OPENAI) is None


class Elsewhere(MemoryOriginals):
    """Another process holds the key: what is known of it comes from a list, the last of which stays."""

    def __init__(self, *found: Claim | None) -> None:
        super().__init__(now=lambda: 0.0)
        self.found = list(found)

    async def claim(self, request: Repeatable) -> Claim:
        claim = await self.find(request)
        assert claim is not None
        return claim

    async def find(self, request: Repeatable) -> Claim | None:
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


RUNNING = Claim("running", "req_elsewhere")
TOLD = Claim("answered", "req_elsewhere", StoredAnswer(200, {"content-type": "application/json"}, b'{"said":1}'))


def asked_elsewhere(*found: Claim | None, headers: Mapping[str, str] = KEYED) -> tuple[MemoryReply, MemoryGateway]:
    one = gateway([answered(OPENAI, "a")])
    one.context.originals = Elsewhere(*found)
    reply = run(one.chat(ask("m"), headers=headers))
    assert sent(one) == 0
    assert len(one.context.answers) == 0
    return reply, one


def test_an_original_of_another_process_is_waited_for() -> None:
    reply, one = asked_elsewhere(RUNNING, RUNNING, RUNNING, RUNNING, TOLD)
    assert (reply.status, reply.body) == (200, b'{"said":1}')
    assert reply.headers["x-afterbay-original-request"] == "req_elsewhere"
    assert one.record.duration_s > 0.1


def test_one_that_does_not_end_in_time_is_a_conflict_that_goes_away() -> None:
    reply, _ = asked_elsewhere(RUNNING, headers=KEYED | {"x-afterbay-timeout-ms": "3000"})
    assert (reply.status, code_of(reply), reply.headers["retry-after"]) == (409, "idempotency_in_progress", "1")
    assert "x-should-retry" not in reply.headers
    assert 2.9 < (reply.started_at_s or 0) < 4.0


def test_one_that_failed_there_is_to_be_sent_again() -> None:
    reply, _ = asked_elsewhere(RUNNING, RUNNING, None)
    assert (reply.status, code_of(reply)) == (409, "idempotency_original_failed")
    assert "x-should-retry" not in reply.headers


def test_one_whose_process_died_is_not_sent_again_in_silence() -> None:
    reply, one = asked_elsewhere(RUNNING, Claim("unknown", "req_dead"))
    assert (reply.status, code_of(reply)) == (409, "idempotency_outcome_unknown")
    assert reply.headers["x-should-retry"] == "false"
    assert b"req_dead" in reply.body
    assert one.record.outcome == "idempotency_outcome_unknown"


class Broken(MemoryOriginals):
    """A database that does not answer, at one of its calls."""

    def __init__(self, breaks: str) -> None:
        super().__init__(now=lambda: 0.0)
        self._breaks = breaks

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "__dict__").get("_breaks"):
            return _fails
        return super().__getattribute__(name)


async def _fails(*_: object) -> None:
    raise OriginalsUnavailable("database is locked")


def test_where_nobody_can_tell_nothing_is_sent() -> None:
    one = gateway([answered(OPENAI, "a")])
    one.context.originals = Broken("claim")
    reply = run(one.chat(ask("m"), headers=KEYED))
    assert (reply.status, code_of(reply), sent(one)) == (503, "idempotency_unavailable", 0)
    assert reply.headers["retry-after"] == "2"


@pytest.mark.parametrize(("breaks", "status"), [("keep", 200), ("release", 500)])
def test_an_answer_goes_out_though_it_cannot_be_kept(breaks: str, status: int) -> None:
    script = answered(OPENAI, "Moin") if status == 200 else failed(OPENAI, 500, "server")
    one = gateway([script], limits=one_try())
    one.context.originals = Broken(breaks)
    reply = run(one.chat(ask("m"), headers=KEYED))
    assert reply.ended_at_s is not None
    assert (reply.status == 200) == (status == 200)
    assert len(one.context.answers) == 0


def test_where_it_is_switched_off_the_header_means_nothing() -> None:
    one = gateway([answered(OPENAI, "a"), answered(OPENAI, "b")])
    one.context.originals = None

    async def twice() -> list[MemoryReply]:
        return [await one.chat(ask("m"), headers=KEYED) for _ in range(2)]

    before, after = run(twice())
    assert before.body != after.body


def test_a_day_later_the_key_is_new() -> None:
    one = gateway([answered(OPENAI, "a"), answered(OPENAI, "b")])

    async def both() -> list[MemoryReply]:
        first = await one.chat(ask("m"), headers=KEYED)
        await asyncio.sleep(86401)
        return [first, await one.chat(ask("m"), headers=KEYED)]

    before, after = run(both())
    assert before.body != after.body


def test_who_has_got_the_end_can_repeat_the_request() -> None:
    """The answer is kept before its end is sent, whatever a client does then."""
    one = made(streamed(OPENAI, "a", "b"), route=PLAIN)
    kept: list[float] = []

    class Noting(MemoryOriginals):
        async def keep(self, request: Repeatable, answer: StoredAnswer | None) -> None:
            await asyncio.sleep(3.0)
            kept.append(asyncio.get_running_loop().time())
            await super().keep(request, answer)

    one.context.originals = Noting(now=one.context.clock.utc)
    reply = run(again(one))
    assert reply.ended_at_s is not None
    assert kept[0] <= reply.ended_at_s


def test_a_hanging_provider_ends_an_original_by_its_deadline() -> None:
    one = made(Script(steps=(HANG,)), route=PLAIN, limits=msgspec.structs.replace(LIMITS, max_attempts=1))

    async def lost() -> None:
        reply = MemoryReply()
        task = ask_for(one, reply, headers=KEYED)
        await asyncio.sleep(1.0)
        reply.hang_up(task)
        await asyncio.wait((task,))

    run(lost())
    assert one.record.outcome == "timeout_first_token"
    assert run_found(one, OPENAI) is None


@pytest.mark.parametrize("how", ["cancel", "cancel late", "fail"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_whatever_interrupts_the_original_its_key_is_answered_or_free(how: How, is_stream: bool) -> None:
    """At every await: what the store knows in the end is an answer, or nothing. A repeat gets one or the other."""

    def asked() -> MemoryGateway:
        answers = [streamed(OPENAI, "a", "b") if is_stream else answered(OPENAI, "a") for _ in range(2)]
        return gateway(answers, route=PLAIN, limits=one_try())

    async def once(one: MemoryGateway, at: int) -> tuple[int, MemoryReply]:
        fields = {"headers": KEYED, "reply": MemoryReply(gone=False)}
        trouble = Interrupted(one.chat(ask("m", stream=is_stream), **fields), at, how)
        await asyncio.wait((trouble.start(),))
        claim = await one.context.originals.find(  # type: ignore[union-attr]
            Repeatable("", "b2f1", (b"", b"", ask("m", stream=is_stream)), "")
        )
        assert claim is None or claim.state == "answered", f"interrupted at await {at}"
        assert (len(one.context.answers), one.context.answers.size) == (0, 0)
        return trouble.points, await one.chat(ask("m", stream=is_stream), headers=KEYED)

    points, _ = run(once(asked(), 0))
    assert points >= 4
    for at in range(1, points + 1):
        one = asked()
        _, again = run(once(one, at))
        assert again.status == 200
        assert sent(one) <= 2
