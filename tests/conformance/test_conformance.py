"""docs/conformance.md is what the gateway does, every field has a probe, and nothing is lost without a word."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from afterbay.policy.filters import CONTEXT

from .cells import ask, encode, judge, unsupported
from .page import PROBES, needless, page, silent
from .probe import CHAT, CLIENTS, COLUMNS, MESSAGES, RESPONSES
from .sdk_fields import all_of, left
from .sdk_fields import needless as needless_excuses

PAGE = Path(__file__).parent.parent.parent / "docs/conformance.md"


def test_the_page_says_what_the_gateway_does() -> None:
    assert page() == PAGE.read_text("utf-8"), "stale: run `make conformance`"


def test_nothing_is_lost_without_a_word() -> None:
    assert silent() == []


def test_no_excuse_is_left_that_nothing_needs() -> None:
    assert needless() == []


@pytest.mark.parametrize("client", CLIENTS)
def test_every_field_of_the_sdks_has_a_probe_or_a_reason(client: str) -> None:
    assert len(all_of(client)) > 100
    assert left(client, PROBES[client]) == []
    assert needless_excuses(client, PROBES[client]) == []


def test_a_field_without_its_probe_is_noticed() -> None:
    fewer = [probe for probe in PROBES[CHAT] if "logit_bias" not in probe.body]
    assert left(CHAT, fewer) == ["CompletionCreateParamsNonStreaming.logit_bias"]


@pytest.mark.parametrize("client", CLIENTS)
def test_no_two_probes_have_one_name_and_each_says_something(client: str) -> None:
    names = [probe.name for probe in PROBES[client]]
    assert len(set(names)) == len(names)
    assert all(probe.body != probe.base for probe in PROBES[client])


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_refused_is_lost_by_name_where_it_is_to_be_dropped(client: str) -> None:
    for probe in PROBES[client]:
        for column in COLUMNS:
            body = encode(probe.body)
            out = ask(client, body, column)
            if out.status == 200 or not (named := unsupported(out)):
                continue
            dropped = ask(client, body, column, drops=True)
            if dropped.status != 200:  # what brings the conversation from elsewhere is never dropped
                assert CONTEXT & {*named}, (probe.name, column.title)
                continue
            assert all(any(name in one for one in dropped.warnings) for name in named), (probe.name, column.title)


WISH = ("sampling", "seed", "7")


def counter(*atoms: tuple[str, str, str]) -> Counter[tuple[str, str, str]]:
    return Counter(atoms)


def test_a_value_that_vanished_is_silent_and_one_with_a_warning_is_lost() -> None:
    nothing = counter()
    asked = (counter(WISH), nothing)
    assert judge(asked, (nothing, nothing), (), nothing).kind == "silent"
    assert judge(asked, (nothing, nothing), ("dropped: seed",), nothing).kind == "lost"
    assert judge(asked, (counter(WISH), nothing), (), nothing).kind == "translated"
    assert judge(asked, (counter(("sampling", "seed", "8")), nothing), (), nothing).text == "as `seed=8`"


def test_a_field_that_only_its_own_protocol_knows_must_be_named() -> None:
    nothing = counter()
    asked = (counter(("foreign", "field", "audio")), nothing)
    assert judge(asked, (nothing, nothing), ("dropped: seed",), nothing).kind == "silent"
    assert judge(asked, (nothing, nothing), ("dropped: audio",), nothing).kind == "lost"


def test_the_probes_reach_the_provider_that_they_name() -> None:
    body = encode(PROBES[MESSAGES][0].body)
    sent = json.loads(ask(MESSAGES, body, next(c for c in COLUMNS if c.dialect == RESPONSES)).sent)
    assert sent["max_output_tokens"] == 32
