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
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.config.load import parse
from afterbay.config.resolve import resolve
from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Attempt, Record
from afterbay.core.errors import ClientMistake, ProviderError
from afterbay.engine.context import serving
from afterbay.policy.plan import Limits, Route
from afterbay.policy.resume import quote
from afterbay.ports import Key
from afterbay.testing.answers import answered, ask, failed, streamed
from afterbay.testing.fakes import HANG, Cut, MemoryReply, Script, ScriptedUpstream, Wait
from afterbay.testing.incident import (
    Incident,
    Kept,
    Secrets,
    compare,
    load,
    make,
    of_text,
    recordings_of,
    rerun,
    save,
    secrets_of,
    to_text,
)
from afterbay.testing.incident.standin import error_body
from afterbay.testing.incident.wording import unquoted
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.recordings import RecordingUpstream
from afterbay.testing.virtual_loop import run
from afterbay.wire.registry import DIALECTS

CHAT = "openai.chat"
TWO = snapshot(alias("m", target("a/m", priority=0), target("b/m", "anthropic.messages", priority=1)))
SAID = "the client said this and nobody else may read it"


def served(
    plan: Snapshot, body: bytes, *, headers: dict[str, str] | None = None, **upstreams: ScriptedUpstream
) -> Record:
    gateway = MemoryGateway(plan, seed=7, **upstreams)
    run(gateway.chat(body, headers=headers))
    return gateway.record


def incident_of(record: Record, plan: Snapshot = TWO, **options: Any) -> Incident:
    return of_text(to_text(make(record, Kept(plan, is_exact=True), Secrets(options.pop("secrets", ())), **options)))


def fell_back(text: str = SAID, **fields: Any) -> Record:
    return served(
        TWO,
        ask("m", text, **fields),
        headers={
            "x-afterbay-priority": "high",
            "authorization": "Bearer hello-secret",
            "x-afterbay-tags": "who=annabelle",
        },
        a=ScriptedUpstream(failed(CHAT, 500, "server", f"it broke over: {text}")),
        b=ScriptedUpstream(answered("anthropic.messages", "the model answered so")),
    )


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
    record = msgspec.structs.replace(fell_back(), operation="embeddings")
    with pytest.raises(ClientMistake, match="only chats can be replayed") as caught:
        make(record, Kept(TWO, is_exact=True), Secrets([]))
    assert "tail --json" in caught.value.remedy


def test_a_target_that_is_not_configured_any_more_is_noted() -> None:
    record = fell_back()
    incident = make(record, Kept(snapshot(alias("m", target("b/m"))), is_exact=False), Secrets([]))
    assert "attempt 0: a/m is not in this configuration" in incident.notes
    assert [one.target for one in incident.exchanges] == ["b/m"]


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


# Secrets

letters = (
    st.text('ABCDEFGHJKLMNPQRSTUVWXYZ23456789/+="\\é ', min_size=12, max_size=30)
    .map(str.strip)
    .filter(lambda one: len(one) >= 10 and one.isprintable())
)


def configuration(keys: list[str]) -> tuple[Snapshot, dict[str, str]]:
    first, second, third, header, proxy = keys
    environ = {"FIRST": first, "SECOND": second, "THIRD": third, "HEADER": header, "MY_SECRET": proxy}
    text = """\
providers:
  a: {kind: openai, api_key: "${FIRST}", base_url: "http://a.test/v1", headers: {x-token: "${HEADER}"}}
  b: {kind: anthropic, api_keys: ["${SECOND}", "${THIRD}"], base_url: "http://b.test"}
models:
  m: {deployments: [{provider: a, name: m, priority: 0}, {provider: b, name: m, priority: 1}]}
"""
    return resolve(parse(text, "a.yaml", environ), environ, lambda queries: {}), environ


@settings(max_examples=60, deadline=None)
@given(st.lists(letters, min_size=5, max_size=5, unique=True), st.booleans())
def test_no_secret_of_a_configuration_is_ever_in_a_file(keys: list[str], with_content: bool) -> None:
    plan, environ = configuration(keys)
    said = " and ".join(keys)
    record = served(
        plan,
        ask("m", f"my keys: {said}", stream=True, user=keys[0]),
        headers={"x-afterbay-task": keys[3], "x-afterbay-tags": f"a={keys[1]}", "traceparent": keys[2]},
        a=ScriptedUpstream(failed(CHAT, 500, "server", f"bad key {said}"), keys=1),
        b=ScriptedUpstream(streamed("anthropic.messages", f"you said {said}", keys[4]), keys=2),
    )
    record.warnings.append(f"a warning of '{keys[0]}' and {keys[1]}")
    incident = make(
        record,
        Kept(plan, is_exact=True),
        Secrets(secrets_of(plan, environ)),
        with_content=with_content,
    )
    text = to_text(incident).decode()
    for one in keys:
        for spelled in (one, json.dumps(one)[1:-1], json.dumps(one, ensure_ascii=False)[1:-1]):
            assert spelled not in text
    assert compare(incident.record, rerun(of_text(text.encode())).record).is_same


@settings(max_examples=60, deadline=None)
@given(letters, st.integers(1, 29))
def test_a_secret_across_two_pieces_of_a_recorded_answer_is_cut_too(key: str, at: int) -> None:
    whole = f"data: {json.dumps({'said': key})}\n\n".encode()
    from afterbay.testing.recorded import Recorded, content

    cut_at = min(7 + at, len(whole) - 1)
    chunks = tuple(content(one) for one in (whole[:cut_at], whole[cut_at:]))
    recorded = Recorded(provider="a", path="/", request_headers={}, request=content(b""), chunks=chunks, end="complete")
    cut = Secrets([key]).cut_recorded(recorded)
    assert json.dumps(key)[1:-1].encode() not in b"".join(one.raw() for one in cut)
    assert sum(len(one.raw()) for one in cut) == len(whole)


def test_a_key_of_a_known_shape_is_cut_though_no_configuration_has_it() -> None:
    record = fell_back("take sk-proj-" + "a" * 30)
    text = to_text(incident_of(record, with_content=True)).decode()
    assert "a" * 30 not in text


def test_a_secret_that_is_a_word_of_the_file_is_an_error_and_no_broken_file() -> None:
    with pytest.raises(ClientMistake, match="one of its words"):
        incident_of(fell_back(), secrets=["written_by"])


def test_secrets_are_found_in_urls_headers_and_the_environment(tmp_path: Path) -> None:
    environ = {"KEY": "key-of-the-provider", "OTHER_TOKEN": "token-of-another", "PATH": "/usr/bin:/usr/local/bin"}
    text = """\
providers:
  a: {kind: openai, api_key: "${KEY}", base_url: "https://u:p%40ssw0rd-one@h/v1?sig=query-secret",
      headers: {accept: "application/json", x-a: "header-secret"}, proxy: "http://u:proxy-secret@p:1"}
models: {m: {provider: a}}
telemetry: {otlp: "http://u:otlp-secret@c"}
"""
    plan = resolve(parse(text, "a.yaml", environ), environ, lambda queries: {})
    assert secrets_of(plan, environ) == {
        "key-of-the-provider",
        "token-of-another",
        "p%40ssw0rd-one",
        "p@ssw0rd-one",
        "query-secret",
        "header-secret",
        "proxy-secret",
        "otlp-secret",
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("The field 'response_format' is not supported.", "The field 'response_format' is not supported."),
        ("The fields 'a' and 'tools[0]' are wrong.", "The fields 'a' and 'tools[0]' are wrong."),
        ("There is no model 'Ann Lee' here.", "There is no model … here."),
        ("It is 'what he's said', no more.", "It is …, no more."),
        ("Wrong: 'ok' and 'it 'was' SAID'.", "Wrong: …."),
        ('The answer is "Hello, Ann".', "The answer is …."),
        ("the provider's own words", "the provider's own words"),
    ],
)
def test_what_the_gateway_quotes_is_cut_but_for_words_of_protocols(text: str, shown: str) -> None:
    assert unquoted(text) == shown


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
