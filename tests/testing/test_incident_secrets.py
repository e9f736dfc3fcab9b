"""No secret is ever in an incident's file, wherever it stood; and what the gateway quotes is cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.config.load import parse
from afterbay.config.resolve import resolve
from afterbay.config.snapshot import Snapshot
from afterbay.core.errors import ClientMistake
from afterbay.testing.answers import ask, failed, streamed
from afterbay.testing.fakes import ScriptedUpstream
from afterbay.testing.incident import Kept, Secrets, compare, make, of_text, rerun, secrets_of, to_text
from afterbay.testing.incident.wording import unquoted
from afterbay.testing.recorded import Recorded, content
from testing.incident_support import CHAT, fell_back, incident_of, served

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


def test_secrets_are_found_in_urls_headers_and_the_environment() -> None:
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
