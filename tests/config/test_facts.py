"""Facts in the configuration: short and long, of providers and of their deployments, said once and in one voice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest

from afterbay.app.snapshots import direct_target
from afterbay.config.describe import never_matching, rows
from afterbay.config.portable import from_json, to_json
from afterbay.config.reference import schema_json
from afterbay.config.snapshot import Snapshot, anywhere_at
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.decision import Fact, Target
from afterbay.policy.plan import Compliance

Build = Callable[..., Snapshot]
Complain = Callable[..., list[str]]

PROVIDER = (
    "providers: {p: {kind: openai, base_url: 'http://10.0.0.1/v1', region: eu, compliance:"
    " [gdpr, {fact: soc2, source: 'https://trust.test/soc2', until: 2027-06-30}, {fact: zdr}]}}\n"
)
END_S = datetime(2027, 7, 1, tzinfo=UTC).timestamp()
SOC2 = Fact("soc2", "https://trust.test/soc2", END_S)


def deployment(made: Snapshot, alias: str = "m") -> Target:
    return made.aliases[alias].targets[0]


def test_a_fact_is_a_name_or_a_name_with_its_source_and_its_last_day(snapshot_of: Build) -> None:
    made = snapshot_of(PROVIDER + "models: {m: {provider: p}}")
    for one in (made.providers["p"], deployment(made)):
        assert one.compliance == {"gdpr", "soc2", "zdr"}
        assert one.facts == (SOC2,), "one that says no more than its name needs no telling"


def test_a_deployment_adds_to_its_providers_facts_narrows_them_and_says_them_anew(snapshot_of: Build) -> None:
    made = snapshot_of(
        PROVIDER + "models: {m: {lacks: [zdr], compliance: [x], region: eu-west-1, deployments: [{provider: p, name: a,"
        " compliance: [hipaa_baa, {fact: soc2, until: 2026-12-31}]},"
        " {provider: p, name: b, lacks: [soc2], region: us}]}}"
    )
    a, b = sorted(made.aliases["m"].targets, key=lambda one: one.name)
    assert (a.compliance, a.region) == ({"gdpr", "soc2", "hipaa_baa", "x"}, "eu-west-1")
    assert a.facts == (Fact("soc2", "", datetime(2027, 1, 1, tzinfo=UTC).timestamp()),)
    assert (b.compliance, b.facts, b.region) == ({"gdpr", "x"}, (), "us")


def test_what_a_direct_name_reaches_has_no_more_than_every_deployment_there(snapshot_of: Build) -> None:
    made = snapshot_of(PROVIDER + "models: {m: {provider: p, name: a, lacks: [zdr], compliance: [x], region: us}}")
    named, other = direct_target(made, "p", "a"), direct_target(made, "p", "other")
    assert named is not None
    assert other is not None
    assert (named.compliance, named.region) == ({"gdpr", "soc2", "x"}, "us")
    assert (other.compliance, other.region, other.facts) == ({"gdpr", "soc2"}, None, (SOC2,))
    whole = anywhere_at(made, made.providers["p"])
    assert (whole.compliance, whole.region) == (other.compliance, None)
    assert made.providers["p"].region == "eu", "requests are still signed for its own"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            PROVIDER + "models: {m: {provider: p, name: a, lacks: [zdr]}, n: {provider: p, name: a}}",
            "f.yaml:2:54: models.n: `p/a` has other facts, or another region, than under models.m. Wanted: one truth",
        ),
        (
            "providers: {p: {kind: openai, compliance: [a, {fact: a}]}}\nmodels: {}",
            "f.yaml:1:47: providers.p.compliance[1]: `a` stands here twice. Keep one of them.",
        ),
        (
            "providers: {p: {kind: openai}}\nmodels: {m: {provider: p, compliance: ['']}}",
            "models.m.compliance[0]: a fact has no name, or a space at its end. Wanted: such as soc2.",
        ),
        (
            "providers: {p: {kind: openai, compliance: [{fact: a, until: 2027-02-29}]}}\nmodels: {}",
            "providers.p.compliance[0].until: `2027-02-29` does not fit. Wanted: a day such as 2027-06-30.",
        ),
        (
            "providers: {p: {kind: openai, compliance: [{fact: a, until: 20270228}]}}\nmodels: {}",
            "providers.p.compliance[0].until: `20270228` does not fit. Wanted: a day such as 2027-06-30.",
        ),
        (
            "providers: {p: {kind: openai, compliance: [{source: x}]}}\nmodels: {}",
            "providers.p.compliance[0].fact: this key is missing. Wanted: a text. Add `fact:` to providers.p.",
        ),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_place(complaints: Complain, text: str, complaint: str) -> None:
    told = complaints(text)
    assert any(complaint in one for one in told), told


def test_lacking_what_nobody_states_is_a_warning(snapshot_of: Build) -> None:
    made = snapshot_of(PROVIDER + "models: {m: {provider: p, lacks: [hipaa_baa, zdr]}}")
    assert "models.m.lacks: `hipaa_baa` changes nothing: p does not state it." in made.warnings
    assert not any("`zdr`" in one for one in made.warnings)


def test_a_password_in_a_source_is_not_kept(snapshot_of: Build) -> None:
    made = snapshot_of(
        "providers: {p: {kind: openai, compliance: [{fact: a, source: 'https://me:hunter2@trust.test'}]}}\nmodels: {}"
    )
    assert "hunter2" not in made.providers["p"].facts[0].source
    assert "trust.test" in made.providers["p"].facts[0].source


def test_facts_are_part_of_the_hash_and_survive_a_replay(snapshot_of: Build) -> None:
    made = snapshot_of(PROVIDER + "models: {m: {provider: p}}")
    later = snapshot_of(PROVIDER.replace("2027-06-30", "2028-06-30") + "models: {m: {provider: p}}")
    assert made.hash != later.hash
    again = from_json(to_json(made))
    assert deployment(again).facts == (SOC2,)
    assert again.providers["p"].facts == (SOC2,)


def test_sets_know_their_names_and_may_want_sources(snapshot_of: Build) -> None:
    made = snapshot_of(PROVIDER + "models: {}\npolicies: {compliance: {s: {require: [soc2], sourced: true}}}")
    assert made.compliance == {"s": Compliance(frozenset({"soc2"}), None, "s", sourced=True)}


def loaded(tmp_path: object, text: str) -> Loaded:
    path = msgspec.convert(f"{tmp_path}/f.yaml", str)
    with open(path, "w") as file:
        file.write(text)
    from pathlib import Path

    return load_snapshot(Path(path), {}, look_up=lambda queries: {})


def test_a_set_that_only_ended_facts_met_can_never_match(tmp_path: object) -> None:
    rule = "models: {m: {provider: p}}\npolicies: {compliance: {s: {require: [soc2]}}}\n"
    one = loaded(tmp_path, PROVIDER + rule)
    assert not [told for told in never_matching(one, END_S - 1) if "policies.compliance.s" in told]
    assert [told for told in never_matching(one, END_S) if "policies.compliance.s: no provider meets it" in told]


def test_every_part_of_a_fact_is_shown_with_where_it_stands(tmp_path: object) -> None:
    shown = {row.path: row.value for row in rows(loaded(tmp_path, PROVIDER + "models: {m: {provider: p}}\n"))}
    assert shown["providers.p.compliance[0]"] == "gdpr"
    assert shown["providers.p.compliance[1].until"] == "2027-06-30"
    assert shown["providers.p.compliance[1].source"] == "https://trust.test/soc2"


def test_editors_are_told_of_both_forms() -> None:
    items = schema_json()["$defs"]["ProviderConfig"]["properties"]["compliance"]["items"]["anyOf"]
    assert {"type": "string"} in items
    assert {"$ref": "#/$defs/FactConfig"} in items
    until = schema_json()["$defs"]["FactConfig"]["properties"]["until"]["anyOf"]
    assert {"type": "string", "format": "date"} in until
