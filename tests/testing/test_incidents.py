"""Incidents: what a file holds, what it never holds, and what a replay says. That every fault replays is in
`tests/faults/test_replays.py`."""

from __future__ import annotations

import asyncio
import json
import re
import stat
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Attempt, Record
from afterbay.core.errors import ClientMistake, ProviderError
from afterbay.core.request import EmbedRequest
from afterbay.core.usage import Usage
from afterbay.engine.context import serving
from afterbay.engine.embed import ERRORS_AS
from afterbay.policy.hedge import FREE, Hedging
from afterbay.policy.plan import Limits, Route
from afterbay.policy.resume import quote
from afterbay.ports import Key
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, ScriptedUpstream, Wait
from afterbay.testing.incident import (
    Kept,
    Secrets,
    compare,
    load,
    make,
    of_text,
    recordings_of,
    rerun,
    save,
    to_text,
)
from afterbay.testing.incident.standin import error_body
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.recordings import RecordingUpstream
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS, EMBED_DIALECTS, EMBEDS_AS
from testing.incident_support import CHAT, SAID, TWO, fell_back, incident_of, served


def test_a_file_says_all_that_a_replay_needs_and_nothing_that_was_said() -> None:
    record = fell_back()
    incident = incident_of(record)
    assert (incident.request_id, incident.seed) == (record.id, 7)
    assert incident.configuration.hash == "test"
    assert incident.request.headers == {"x-afterbay-priority": "high"}
    assert [one.source for one in incident.exchanges] == ["stand-in", "stand-in"]
    assert [one.answer.status for one in incident.exchanges] == [500, 200]
    assert incident.order == ("a/m", "b/m")
    text = to_text(incident).decode()
    for private in (SAID, "client said", "it broke over", "model answered", "hello-secret", "annabelle"):
        assert private not in text
    assert incident.record.attempts[0].error == f"server: [{len('it broke over: ' + SAID)} characters]"


def test_the_same_request_gives_the_same_file() -> None:
    assert to_text(incident_of(fell_back())) == to_text(incident_of(fell_back()))


def test_a_stand_in_is_as_long_and_as_dear_as_the_request() -> None:
    record = fell_back()
    body = msgspec.json.decode(incident_of(record).request.body.raw())
    assert body["model"] == "m"
    assert len(body["messages"][0]["content"]) == len(SAID)
    assert body["max_tokens"] == 50


def test_a_replay_makes_the_same_attempts_with_the_same_outcome() -> None:
    incident = incident_of(fell_back())
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert [one.target for one in came.record.attempts] == ["a/m", "b/m"]
    assert came.status == 200
    assert not came.assumed


def test_waits_are_drawn_as_they_were() -> None:
    plan = snapshot(alias("m", target("a/m")))
    record = served(
        plan,
        ask("m"),
        a=ScriptedUpstream(*(failed(CHAT, 503, "overloaded") for _ in range(2)), answered(CHAT, "hi")),
    )
    incident = incident_of(record, plan)
    came = rerun(incident)
    assert [one.why for one in came.record.attempts] == ["primary", "retry", "retry"]
    for was, now in zip(record.attempts, came.record.attempts, strict=True):
        assert now.started_s == pytest.approx(was.started_s, abs=1e-6)
    other = rerun(msgspec.structs.replace(incident, seed=8))
    assert other.record.attempts[1].started_s != pytest.approx(record.attempts[1].started_s, abs=1e-6)


def test_another_configuration_shows_what_would_have_happened() -> None:
    plan = snapshot(alias("m", target("a/m")), limits=Limits(first_token_s=5))
    record = served(plan, ask("m"), a=ScriptedUpstream(Script(headers_take_s=60)))
    incident = incident_of(record, plan)
    assert record.outcome == "timeout_first_token"
    with_fallback = rerun(incident, TWO)
    likeness = compare(incident.record, with_fallback.record)
    assert with_fallback.record.outcome == "ok"
    assert likeness.first is not None
    assert likeness.first.startswith("attempt 0: it ended at 5.00 s then, at 60.00 s now")
    assert with_fallback.assumed == ("nothing is known of b/m here: it answers well",)


def test_the_first_difference_is_named_where_attempts_are_missing_or_more() -> None:
    incident = incident_of(fell_back())
    alone = snapshot(alias("m", target("a/m")))
    likeness = compare(incident.record, rerun(incident, alone).record)
    assert likeness.first == "attempt 1: target b/m then, a/m now"
    one = msgspec.structs.replace(incident.record, attempts=incident.record.attempts[:1])
    assert compare(incident.record, one).first == "attempt 1: it was not made"
    assert compare(one, incident.record).first == "attempt 1: b/m was not asked then"


def test_the_end_alone_may_differ() -> None:
    record = fell_back()
    other = msgspec.structs.replace(record, outcome="client_closed")
    assert compare(record, other).first == "the end: outcome ok then, client_closed now"
    late = msgspec.structs.replace(record, attempts=[msgspec.structs.replace(one) for one in record.attempts])
    late.attempts[1].first_token_s = None
    assert compare(record, late).first == "attempt 1: first output came: 0.00 s then, none now"


def test_a_client_that_left_leaves_again() -> None:
    plan = snapshot(alias("m", target("a/m")))
    gateway = MemoryGateway(
        plan, a=ScriptedUpstream(Script(steps=(*streamed(CHAT, "one", "two", "three").steps[:2], HANG)))
    )

    async def leave() -> None:
        reply = MemoryReply(gone=True)
        task = asyncio.ensure_future(gateway.chat(ask("m", stream=True), reply=reply))
        await asyncio.sleep(3)
        task.cancel()
        await asyncio.wait([task])

    run(leave())
    assert gateway.record.outcome == "client_closed"
    incident = incident_of(gateway.record, plan)
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert came.record.duration_s == pytest.approx(3)


def test_another_key_is_tried_again_where_one_was() -> None:
    plan = snapshot(alias("m", target("a/m")))
    provider = msgspec.structs.replace(plan.providers["a"], keys=(secret("first-key"), secret("second-key")))
    plan = msgspec.structs.replace(plan, providers={"a": provider})
    record = served(plan, ask("m"), a=ScriptedUpstream(failed(CHAT, 429, "rate_limit"), answered(CHAT, "hi"), keys=2))
    assert [(one.why, one.key) for one in record.attempts] == [("primary", 1), ("key", 2)]
    incident = incident_of(record, plan)
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert [one.key for one in came.record.attempts] == [1, 2]


def secret(text: str) -> Any:
    from afterbay.core.secret import Secret

    return Secret(text)


def test_a_full_retry_budget_is_full_again() -> None:
    plan = snapshot(alias("m", target("a/m")))
    gateway = MemoryGateway(plan, a=ScriptedUpstream(failed(CHAT, 503, "overloaded")))
    gateway.context.retries.retrying = 99
    run(gateway.chat(ask("m")))
    assert (gateway.record.attempts[0].error or "").endswith("the retry budget is used up")
    incident = incident_of(gateway.record, plan)
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert len(came.record.attempts) == 1


def test_a_full_queue_is_full_again() -> None:
    plan = snapshot(alias("m", target("a/m", priority=0), target("b/m", priority=1)))
    provider = msgspec.structs.replace(plan.providers["a"], concurrent=1)
    plan = msgspec.structs.replace(plan, providers={**plan.providers, "a": provider})
    gateway = MemoryGateway(
        plan,
        a=ScriptedUpstream(
            Script(steps=(Wait(30), *answered(CHAT, "hi").steps), headers={"content-type": "application/json"})
        ),
        b=ScriptedUpstream(answered(CHAT, "hi")),
    )

    async def both() -> None:
        first = asyncio.ensure_future(gateway.chat(ask("m")))
        await asyncio.sleep(1)
        await gateway.chat(ask("m"))
        await first

    run(both())
    record = gateway.records[0]
    assert [one.code for one in record.attempts] == ["queue_full", None]
    incident = incident_of(record, plan)
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert came.record.attempts[0].error == record.attempts[0].error or "queue" in (came.record.attempts[0].error or "")


def test_a_target_that_was_ejected_is_left_out_again() -> None:
    upstreams = {
        "a": ScriptedUpstream(*(failed(CHAT, 500, "server") for _ in range(5))),
        "b": ScriptedUpstream(*(answered("anthropic.messages", "hi") for _ in range(6))),
    }
    gateway = MemoryGateway(TWO, seed=3, **upstreams)
    for _ in range(6):
        run_in(gateway)
    record = gateway.records[-1]
    assert [one.target for one in record.attempts] == ["b/m"]
    incident = incident_of(record)
    assert [(one.target, one.state) for one in incident.sights if one.state != "closed"] == [("a/m", "open")]
    assert compare(incident.record, rerun(incident).record).is_same


def run_in(gateway: MemoryGateway) -> None:
    run(gateway.chat(ask("m")), start_s=50.0)


@pytest.mark.parametrize("protocol", ["openai.chat", "openai.responses", "anthropic.messages", "gemini"])
def test_without_a_shape_the_size_of_the_request_stands_for_it(protocol: str) -> None:
    plan = snapshot(alias("m", target("a/m")))
    record = Record(
        "req_1",
        1.7e9,
        "chat",
        protocol,
        requested_model="m",
        stream=True,
        status=502,
        outcome="server",
        request_bytes=5000,
        attempts=[Attempt(0, "a/m", "primary", 0.0, 0.1, None, 0.1, "error", 500, "server: x")],
        seed=1,
    )
    incident = incident_of(record, plan)
    assert 4000 < len(incident.request.body.raw()) < 6000
    assert "no shape of it was kept" in incident.notes[0]
    assert rerun(incident).record.attempts[0].status == 500


def test_a_record_of_an_older_release_is_replayed_with_notes() -> None:
    record = msgspec.structs.replace(fell_back(), seed=None, circumstances=None, config_hash="older")
    kept = Kept(TWO, is_exact=False)
    incident = make(record, kept, Secrets([]))
    assert incident.notes[:2] == (
        "the record has no seed: waits and orders are drawn anew",
        "configuration older was not kept: this is the one of today",
    )
    assert rerun(incident).record.outcome == "ok"


def test_other_operations_are_refused_with_what_to_do() -> None:
    record = msgspec.structs.replace(fell_back(), operation="moderations")
    with pytest.raises(ClientMistake, match="only chats and embeddings can be replayed") as caught:
        make(record, Kept(TWO, is_exact=True), Secrets([]))
    assert "tail --json" in caught.value.remedy


def test_a_target_that_is_not_configured_any_more_is_noted() -> None:
    record = fell_back()
    incident = make(record, Kept(snapshot(alias("m", target("b/m"))), is_exact=False), Secrets([]))
    assert "attempt 0: a/m is not in this configuration" in incident.notes
    assert [one.target for one in incident.exchanges] == ["b/m"]


def test_calls_of_tools_are_noted_since_a_stand_in_has_none() -> None:
    record = msgspec.structs.replace(fell_back(), finish="tool_calls")
    incident = incident_of(record)
    assert incident.notes == ("the answer called tools: in a stand-in text stands for the calls",)
    assert compare(incident.record, rerun(incident).record).is_same


def test_files_are_private_whole_and_read_again(tmp_path: Path) -> None:
    incident = incident_of(fell_back())
    path = tmp_path / "a.json"
    path.write_text("older")
    save(incident, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load(path) == incident
    assert [one.name for one in tmp_path.iterdir()] == ["a.json"]
    assert json.loads(path.read_text())["configuration"]["snapshot"]["aliases"]["m"]
    with pytest.raises(OSError, match="No such file"):
        save(incident, tmp_path / "none" / "a.json")


@pytest.mark.parametrize(
    ("text", "why"),
    [(b"{}", "no incident"), (b"\xff", "no incident"), (b"[", "no incident")],
)
def test_what_is_no_incident_is_refused(text: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(text)
    with pytest.raises(ValueError, match=why):
        load(tmp_path / "a.json")


def test_a_file_of_another_format_says_so() -> None:
    text = to_text(incident_of(fell_back())).replace(b'"format": 1', b'"format": 9', 1)
    with pytest.raises(ValueError, match="it has format 9, this release reads 1"):
        of_text(text)


# With content


class Recorder:
    """A gateway whose upstreams are recorded in a folder."""

    def __init__(self, folder: Path, plan: Snapshot, **upstreams: ScriptedUpstream) -> None:
        gateway = MemoryGateway(plan, seed=7, **upstreams)
        clock = gateway.context.clock
        for name, upstream in list(upstreams.items()):
            recorder = RecordingUpstream(upstream, folder, name, now=clock.monotonic, utc=clock.utc)
            gateway.upstreams[name] = recorder  # type: ignore[assignment]  # it takes any upstream
        self.gateway = gateway


def test_recordings_are_found_by_the_request_and_replayed_as_they_were(tmp_path: Path) -> None:
    rest = streamed("anthropic.messages", SAID, "again")
    recorder = Recorder(
        tmp_path,
        TWO,
        a=ScriptedUpstream(*(Script(steps=(Wait(0.2), Cut("reset by peer"))) for _ in range(2))),
        b=ScriptedUpstream(rest, rest),
    )

    async def twice() -> None:
        for _ in range(2):
            await recorder.gateway.chat(ask("m", "What did I say?", stream=True))

    run(twice())
    records = recorder.gateway.records
    record = msgspec.structs.replace(records[1], received_at=records[1].received_at)
    found = recordings_of(msgspec.structs.replace(record, received_at=0.0), tmp_path)
    assert [(one.provider, one.request_id) for one in found] == [("a", record.id), ("b", record.id)]
    incident = incident_of(record, recordings=found, with_content=True)
    assert [one.source for one in incident.exchanges] == ["recorded", "recorded"]
    assert incident.request.source == "recorded"
    assert b"What did I say?" in incident.request.body.raw()
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert SAID.encode() in came.body
    without = incident_of(record, recordings=found)
    assert SAID not in to_text(without).decode()
    assert "What did I say?" not in to_text(without).decode()


def test_a_request_that_was_translated_is_made_from_what_was_sent(tmp_path: Path) -> None:
    plan = snapshot(alias("m", target("b/m", "anthropic.messages")))
    recorder = Recorder(
        tmp_path,
        plan,
        b=ScriptedUpstream(failed("anthropic.messages", 529, "overloaded"), answered("anthropic.messages", "yes")),
    )
    run(recorder.gateway.chat(ask("m", "What did I say?")))
    record = recorder.gateway.record
    found = recordings_of(msgspec.structs.replace(record, received_at=0.0), tmp_path)
    incident = incident_of(record, plan, recordings=found, with_content=True)
    body = msgspec.json.decode(incident.request.body.raw())
    assert body["messages"][0]["content"] == "What did I say?"
    assert body["model"] == "m"
    assert compare(incident.record, rerun(incident).record).is_same


def test_a_missing_folder_or_recording_is_said(tmp_path: Path) -> None:
    record = fell_back()
    with pytest.raises(ValueError, match="no folder of recordings"):
        recordings_of(record, tmp_path / "none")
    (tmp_path / "a-0.json").write_text("{}")
    assert recordings_of(msgspec.structs.replace(record, received_at=0.0), tmp_path) == []


def test_with_content_the_providers_words_are_kept() -> None:
    incident = incident_of(fell_back(), with_content=True)
    assert incident.record.attempts[0].error == f"server: it broke over: {SAID}"


async def test_what_stands_before_a_provider_knows_whose_request_it_is() -> None:
    gateway = MemoryGateway(TWO, a=ScriptedUpstream(answered(CHAT, "hi")))
    call = gateway.call(ask("m"), key=Key("key_1", "ann"))
    from afterbay.engine.context import Turn

    Turn(gateway.context, call, "chat")
    assert serving.get() == call.id


ERRORS = [
    ("rate_limit", 429, None),
    ("rate_limit", 429, "rate_limit_exceeded"),
    ("quota", 429, "insufficient_quota"),
    ("overloaded", 503, None),
    ("overloaded", 529, "overloaded_error"),
    ("server", 500, None),
    ("server", 502, "upstream_down"),
    ("invalid_request", 400, "context_length_exceeded"),
    ("authentication", 401, "invalid_api_key"),
    ("permission", 403, None),
    ("not_found", 404, "model_not_found"),
    ("too_large", 413, None),
]


@pytest.mark.parametrize("dialect", ["openai.chat", "openai.responses", "anthropic.messages", "gemini", "cohere.chat"])
@pytest.mark.parametrize(("kind", "status", "code"), ERRORS)
def test_an_error_is_told_again_so_that_it_reads_as_the_same_kind(
    dialect: str, kind: Any, status: int, code: str | None
) -> None:
    name = dialect if dialect in DIALECTS else next(one for one in DIALECTS if one.startswith("cohere"))
    body, is_same = error_body(DIALECTS[name], {}, ProviderError(kind, "", status, code))
    read = DIALECTS[name].parse_error(status, {}, body)
    if is_same:
        assert (read.kind, read.code) == (kind, code)
    assert read.kind == kind or kind == "quota", f"{name} says {read}"


@pytest.mark.parametrize("prompt", ["short", "a long prompt that is tied to a deployment " * 200])
def test_among_equal_deployments_the_same_one_is_asked_again(prompt: str) -> None:
    plan = snapshot(alias("m", *(target(f"{name}/m") for name in "abc")), alias("other", target("a/x")))
    firsts = set()
    for number in range(8):
        upstreams = {name: ScriptedUpstream(*(failed(CHAT, 500, "server") for _ in range(9))) for name in "abc"}
        gateway = MemoryGateway(plan, seed=number, **upstreams)
        run(gateway.chat(ask("m", f"{number} {prompt}")))
        incident = incident_of(gateway.record, plan)
        assert compare(incident.record, rerun(incident).record).is_same
        firsts.add(gateway.record.attempts[0].target)
    assert len(firsts) > 1, "it is no accident that they are the same"


def test_a_route_chosen_by_its_words_is_chosen_again() -> None:
    strong, quick = alias("strong", target("a/m")), alias("quick", target("b/m"))
    plan = snapshot(strong, quick, routes=(Route("auto", tasks={"reasoning": "strong", "chat": "quick"}),))
    record = served(
        plan,
        ask("auto", f"Some reasoning please about {SAID}"),
        a=ScriptedUpstream(*(failed(CHAT, 400, "invalid_request") for _ in range(2))),
    )
    assert record.rule == "rule:reasoning"
    incident = incident_of(record, plan)
    came = rerun(incident)
    assert came.record.rule == "rule:reasoning"
    assert compare(incident.record, came.record).is_same


@pytest.mark.parametrize("dialect", ["openai.chat", "anthropic.messages", "gemini"])
@pytest.mark.parametrize("prefill", [False, True])
def test_an_answer_that_was_gone_on_with_is_gone_on_with_again(dialect: str, prefill: bool) -> None:
    plan = snapshot(
        alias("m", target("a/m", priority=0), target("b/m", dialect, priority=1, prefill=prefill)),
        defaults=Route("defaults", resume="safe"),
    )
    begun = "".join(f"word{number} " for number in range(200)).strip()
    rest = " and this is the end of it."
    record = served(
        plan,
        ask("m", stream=True),
        a=ScriptedUpstream(Script(steps=(streamed(CHAT, begun, "x").steps[0], Wait(1), Cut()))),
        b=ScriptedUpstream(streamed(dialect, rest if prefill else quote(begun) + rest)),
    )
    assert [(one.why, one.outcome) for one in record.attempts] == [("primary", "cut"), ("resume", "ok")]
    incident = incident_of(record, plan)
    came = rerun(incident)
    likeness = compare(incident.record, came.record)
    assert likeness.is_same, likeness.first
    said = re.findall(rb"w(\d{6})", came.body)
    assert [int(one) for one in said] == list(range(1, len(said) + 1)), "no word is lost or said twice"


HEDGED = Route("defaults", hedge=Hedging(percentile=0.95))


def of_habit(plan: Snapshot, seconds: float, **upstreams: ScriptedUpstream) -> MemoryGateway:
    """A gateway that knows how long `a/m` takes."""
    gateway = MemoryGateway(plan, seed=7, **upstreams)
    for _ in range(100):
        gateway.context.hedges.timing("a/m", stream=False).note(seconds)
    return gateway


def test_a_hedge_after_a_learned_time_comes_at_the_same_moment_again() -> None:
    plan = snapshot(*TWO.aliases.values(), defaults=HEDGED)
    gateway = of_habit(
        plan,
        2.0,
        a=ScriptedUpstream(Script(headers_take_s=50)),
        b=ScriptedUpstream(answered("anthropic.messages", "quick")),
    )
    run(gateway.chat(ask("m")))
    record = gateway.record
    assert [(one.why, one.outcome) for one in record.attempts] == [("primary", "cancelled"), ("hedge", "ok")]
    incident = incident_of(record, plan)
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    assert came.record.attempts[1].started_s == pytest.approx(record.attempts[1].started_s)


def test_a_hedge_that_a_cap_forbade_is_forbidden_again() -> None:
    plan = snapshot(*TWO.aliases.values(), defaults=Route("defaults", hedge=Hedging(after_s=1.0)))
    gateway = MemoryGateway(
        plan,
        a=ScriptedUpstream(Script((b"{}",), headers_take_s=5, status=500)),
        b=ScriptedUpstream(answered("anthropic.messages", "hi")),
    )
    for _ in range(FREE):
        gateway.context.hedges.ledger("defaults").take(0.0, Hedging())
    run(gateway.chat(ask("m")))
    assert [one.why for one in gateway.record.attempts] == ["primary", "fallback"]
    incident = incident_of(gateway.record, plan)
    assert compare(incident.record, rerun(incident).record).is_same
    elsewhere = snapshot(*TWO.aliases.values(), defaults=Route("defaults", hedge=Hedging(after_s=2.0)))
    assert [one.why for one in rerun(incident, elsewhere).record.attempts] == ["primary", "hedge"]


@pytest.mark.parametrize("dialect", ["openai.embeddings", "gemini.embeddings", "cohere.embeddings"])
@pytest.mark.parametrize("protocol", ["openai.chat", "gemini"])
def test_a_request_for_vectors_is_replayed_too(dialect: str, protocol: str) -> None:
    errors = ERRORS_AS[dialect]
    wanted = EmbedRequest("m", (SAID, "and this"))
    vectors = EMBED_DIALECTS[dialect].render_answer([[0.5], [0.25]], Usage(9), "m", wanted)
    plan = snapshot(
        alias("m", target("a/m", dialect, embeds=True, priority=0), target("b/m", dialect, embeds=True, priority=1))
    )
    gateway = MemoryGateway(
        plan,
        seed=7,
        a=ScriptedUpstream(failed(errors, 503, "overloaded", retry_after="2")),
        b=ScriptedUpstream(Script(steps=(vectors,), headers={"content-type": "application/json"}, headers_take_s=1)),
    )
    body = EMBED_DIALECTS[EMBEDS_AS[protocol]].build_request(wanted, "m").body
    path = "/v1beta/models/m:batchEmbedContents" if protocol == "gemini" else ""
    run(gateway.chat(body, protocol, path=path, operation="embeddings"))
    record = gateway.record
    assert [(one.outcome, one.status) for one in record.attempts] == [("error", 503), ("ok", 200)]
    incident = incident_of(record, plan)
    assert SAID not in to_text(incident).decode()
    came = rerun(incident)
    assert compare(incident.record, came.record).is_same
    bare = msgspec.structs.replace(record, circumstances=None, request_bytes=len(body))
    assert compare(record, rerun(incident_of(bare, plan)).record).is_same
    elsewhere = snapshot(alias("m", target("c/m", dialect, embeds=True)))
    assert rerun(incident, elsewhere).record.outcome == "ok"
