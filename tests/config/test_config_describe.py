"""What `afterbay check` prints: values with their origin, secrets as stars, policies that cannot match."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import jsonschema_rs
import pytest
import yaml

from afterbay.config import describe, reference
from afterbay.config.describe import duration, never_matching
from afterbay.config.load import parse
from afterbay.config.prices import Prices, Query
from afterbay.config.problem import masked_url, shown
from afterbay.config.resolve import resolve
from afterbay.config.watch import Loaded, load_snapshot

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def nothing(queries: Iterable[Query]) -> Prices:
    """No prices."""
    list(queries)
    return {}


def loaded(text: str, environ: Mapping[str, str]) -> Loaded:
    """Text, loaded as a file would be."""
    document = parse(text, "a.yaml", environ)
    return Loaded(resolve(document, environ, nothing), document.config, document.origins)


def test_every_effective_value_says_where_it_came_from(example: str, keys: Mapping[str, str]) -> None:
    rows = {row.path: (row.value, row.origin) for row in describe.rows(loaded(example, keys))}
    assert rows["providers.openai.api_key"] == ("***", "environment OPENAI_API_KEY (a.yaml:2)")
    assert rows["providers.openai.base_url"] == ("https://api.openai.com/v1", "catalogue")
    assert rows["providers.groq.api_keys[1]"] == ("***", "environment GROQ_KEY_B (a.yaml:5)")
    assert rows["routes.auto.timeouts.total"] == ("5m", "a.yaml:32")
    assert rows["routes.auto.timeouts.connect"] == ("5s", "a.yaml:19")
    assert rows["routes.auto.hold"] == ("10s", "default")
    assert rows["routes.auto.stages"] == ("[normalize, classify, cache, validate, guard_output]", "a.yaml:35")
    assert rows["defaults.unsupported"] == ("reject", "default")
    assert rows["limits.drain"] == ("10m", "default")
    assert rows["routes.auto.resume"] == ("safe", "a.yaml:20")
    assert rows["telemetry.capture_content"] == ("false", "a.yaml:43")


def test_no_secret_is_in_any_row(keys: Mapping[str, str]) -> None:
    text = (
        "providers: {p: {kind: openai, base_url: 'http://u:hidden@h/v1', api_key: hidden, api_keys: [hidden],\n"
        "  headers: {x-key: hidden, y.z: hidden}, proxy: '${PROXY}'}}\n"
        "state: {database: 'postgresql://u:${PW}@h/db', shared: 'redis://:hid@den@h:1'}\n"
    )
    said = repr([*describe.rows(loaded(text, {"PROXY": "http://u:hidden@h", "PW": "hidden"}))])
    assert "hidden" not in said
    assert "den" not in said
    assert "postgresql://u:***@h/db" in said
    assert "redis://:***@h:1" in said
    assert "http://u:***@h" in said


def test_without_a_file_rows_name_the_variables(tmp_path: Path) -> None:
    rows = {r.path: r for r in describe.rows(load_snapshot(None, {"XAI_API_KEY": "secret"}, tmp_path, nothing))}
    assert rows["providers.xai.api_key"].origin == "environment XAI_API_KEY"
    assert rows["providers.xai.api_key"].value == "***"
    assert rows["unknown_model"].value == "auto"


def test_urls_are_shown_without_their_password() -> None:
    assert masked_url("see https://u:p@h/x and redis://:q@h") == "see https://u:***@h/x and redis://:***@h"
    assert masked_url("http://h:80/v1 a@b") == "http://h:80/v1 a@b"
    assert masked_url("https://tok@h/v1?api-key=s&api-version=1") == "https://***@h/v1?api-key=***&api-version=1"
    assert shown("providers.p.headers.x", "v", {}) == "***"
    assert shown("models.headers.x", "v", {}) == "v"


@pytest.mark.parametrize(("value", "text"), [(0, "0s"), (0.25, "250ms"), (90, "90s"), (3600, "1h"), (86400, "1d")])
def test_durations_are_written_as_one_would(value: float, text: str) -> None:
    assert duration(value) == text


def test_policies_that_can_never_match_are_found(keys: Mapping[str, str]) -> None:
    text = (
        "providers: {p: {kind: openai, base_url: 'http://10.0.0.1'}, q: {kind: openai, base_url: 'http://10.0.0.2',"
        " region: eu, compliance: [soc2]}}\n"
        "models: {a: {provider: p, fallback: [a, b, b]}, b: {provider: q}, c: {provider: mistral}}\n"
        "policies: {compliance: {eu: {require: [soc2], residency: eu}, moon: {require: [zdr], sourced: true,"
        " residency: moon}}}\n"
        "routes: {r: {compliance: eu, tasks: {code: a, chat: b}, complexity: {low: b, high: b},\n"
        "  fallback: [a, c, b, b]}}\n"
    )
    assert never_matching(loaded(text, keys)) == [
        (
            "policies.compliance.moon: no provider meets it (zdr with a source, residency moon): "
            "whoever asks for it gets no answer."
        ),
        "routes.r.tasks.code: `a` can never be used here: none of its providers meets soc2, residency eu.",
        "routes.r.fallback: `a` can never be used here: none of its providers meets soc2, residency eu.",
        "routes.r.fallback: `c` has no provider that can answer.",
        "routes.r.complexity.low: changes nothing: without it `high` is used, which is the same.",
        "models.a.fallback[0]: `a` is the model itself.",
        "models.a.fallback[2]: `b` is in the list already.",
        "routes.r.fallback[3]: `b` is in the list already.",
    ]


def test_the_example_of_the_interface_has_no_dead_policies(example: str, keys: Mapping[str, str]) -> None:
    assert never_matching(loaded(example, keys)) == []


def test_the_reference_page_is_up_to_date() -> None:
    assert PAGE.read_text("utf-8") == reference.page(), (
        "run: python -m afterbay.config.reference > docs/configuration.md"
    )


def test_the_reference_page_has_a_meaning_for_every_key() -> None:
    keys = reference.page().split("## Providers known by name")[0]
    rows = [line.strip("| ").split(" | ") for line in keys.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert [row[0] for row in rows if not row[-1].endswith(".")] == []


def test_the_json_schema_takes_the_example_and_refuses_mistakes(example: str) -> None:
    schema = reference.schema_json()
    json.dumps(schema)
    validator = jsonschema_rs.validator_for(schema)
    assert [error.message for error in validator.iter_errors(yaml.safe_load(example))] == []
    for wrong in (
        {"provders": {}},
        {"limits": {"drain": "5x"}},
        {"limits": {"body_bytes": 0}},
        {"routes": {"r": {"tasks": {"cod": "x"}}}},
        {"providers": {"p": {}}},
        {"defaults": {"keep": 2}},
    ):
        assert not validator.is_valid(wrong), wrong
    for right in ({"limits": {"drain": 5}}, {"limits": {"body_bytes": "${N}"}}, {"defaults": {"hold": "1h30m"}}):
        assert validator.is_valid(right), right
    assert schema["$defs"]["LimitsConfig"]["properties"]["drain"]["default"] == "10m"


def test_a_region_that_no_deployment_is_near_is_told_of() -> None:
    text = "providers: {p: {kind: openai, base_url: 'http://h/v1', region: us-east-1}}\n"
    text += "models: {m: {provider: p, name: x}}\n"
    assert never_matching(loaded(f"{text}region: eu-west-1", {})) == [
        "region: no deployment is in `eu-west-1` or its area, so it prefers none."
    ]
    near = loaded(f"{text}region: '${{HOME_REGION}}'", {"HOME_REGION": " us-west-2 "})
    assert near.snapshot.region == "us-west-2"
    assert never_matching(near) == []
    assert loaded(text, {}).snapshot.hash != near.snapshot.hash
    assert loaded(f"{text}region: ' '", {}).snapshot.region is None


@pytest.mark.parametrize(
    ("keys_of_route", "said"),
    [
        ("hedge: {after: 95}", "95 s are never waited"),
        ("hedge: {after: 1s, max_share: 5}", "5 is no limit"),
        ("max_cost_usd: 0", "refuses every request"),
        ("timeouts: {min_tokens_per_s: 1e9}", "no model is so fast"),
        ("fallback: [a]", "`a` has a fallback of its own (b), which is not followed"),
        ("fallback: [a, b], hedge: {after: p95}, max_cost_usd: 1, timeouts: {min_tokens_per_s: 5}", None),
    ],
)
def test_values_that_nobody_can_mean_are_told_of(keys_of_route: str, said: str | None) -> None:
    text = (
        "providers: {p: {kind: openai, base_url: 'http://h'}}\n"
        "models: {a: {provider: p, name: x, fallback: [b]}, b: {provider: p, name: y}}\n"
        f"routes: {{auto: {{{keys_of_route}}}}}\n"
    )
    found = never_matching(loaded(text, {}))
    assert [one for one in found if said is not None and said in one] == found
    assert len(found) == (said is not None)
