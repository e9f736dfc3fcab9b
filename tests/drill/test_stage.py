"""What a drill takes of a configuration: no key is needed, and nothing in it leads to a provider."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from afterbay.config.problem import ConfigError
from afterbay.core.secret import Secret
from afterbay.drill.reach import reach_of
from afterbay.drill.stage import load_for_drill, on_loopback

from .support import CONFIG, staged

PORTS = {"one": 9001, "two": 9002, "mine": 9003}


def test_keys_that_are_not_set_are_stood_in_for_and_named(tmp_path: Path) -> None:
    found = staged(tmp_path, environ={"TWO_KEY": "sk-real"})
    assert found.missing == ("ONE_KEY", "ONE_OTHER_KEY", "ASIDE_KEY")
    assert len(found.loaded.snapshot.providers["one"].keys) == 2


def test_a_variable_that_is_set_but_empty_is_missing(tmp_path: Path) -> None:
    assert "ONE_KEY" in staged(tmp_path, environ={"ONE_KEY": ""}).missing


def test_a_default_in_the_file_wins_over_a_stand_in(tmp_path: Path) -> None:
    text = CONFIG.replace("http://10.0.0.5:8000/v1", "${MINE_URL:-http://10.0.0.6/v1}")
    found = staged(tmp_path, text)
    assert found.loaded.snapshot.providers["mine"].base_url == "http://10.0.0.6/v1"
    assert "MINE_URL" not in found.missing


def test_addresses_and_regions_that_are_not_set_are_stood_in_for(tmp_path: Path) -> None:
    text = CONFIG.replace('"http://10.0.0.5:8000/v1"', '"${MINE}/v1"')
    text = text.replace("models:\n", "  bed: {kind: bedrock}\nmodels:\n", 1)
    found = staged(tmp_path, text)
    assert "drill.invalid" in found.loaded.snapshot.providers["mine"].base_url
    assert found.loaded.snapshot.providers["bed"].region == "us-east-1"


def test_a_well_known_provider_that_only_a_model_names_is_there_without_its_key(tmp_path: Path) -> None:
    found = staged(tmp_path, "models: {x: {provider: openai, name: gpt-4o-2024-11-20}}\n")
    assert found.loaded.snapshot.aliases["x"].targets


def test_what_else_is_wrong_with_a_configuration_is_still_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no such key"):
        staged(tmp_path, CONFIG.replace("telemetry:", "telemetri:"))


def test_without_a_file_the_keys_that_are_set_count_and_no_others(tmp_path: Path) -> None:
    found = load_for_drill(None, {"HOME": str(tmp_path), "OPENAI_API_KEY": "sk"}, tmp_path)
    assert found.loaded.path is None
    assert {"openai", "local"} == set(found.loaded.snapshot.providers)


def test_on_loopback_no_address_key_header_or_collector_of_the_configuration_is_left(tmp_path: Path) -> None:
    secrets = {"ONE_KEY": "sk-one", "ONE_OTHER_KEY": "sk-other", "TWO_KEY": "sk-two", "ASIDE_KEY": "sk-aside"}
    plan = on_loopback(staged(tmp_path, environ=secrets).loaded.snapshot, PORTS, "sqlite:///drill.db")
    text = msgspec.json.encode(
        plan, enc_hook=lambda value: value.reveal() if isinstance(value, Secret) else float(value)
    ).decode()
    for left in (*secrets.values(), "10.0.0.5", "openai.com", "anthropic", "x-team", "collector", "/srv"):
        assert left not in text.replace("anthropic.messages", "").replace('"kind":"anthropic"', "").replace(
            '"vendor":"anthropic"', ""
        ).replace('"maker":"anthropic"', ""), left
    assert {one.base_url.split("/any-")[0] for one in plan.providers.values()} == {
        f"http://127.0.0.1:{port}" for port in PORTS.values()
    }


def test_a_provider_out_of_reach_is_taken_out_with_its_targets_so_that_it_is_not_probed(tmp_path: Path) -> None:
    plan = on_loopback(staged(tmp_path).loaded.snapshot, PORTS, "sqlite:///drill.db")
    assert "aside" not in plan.providers
    assert plan.aliases["d"].targets == ()
    assert [target.id for target in plan.aliases["a"].targets] == ["one/m-1"]


def test_policies_limits_and_the_number_of_keys_stay(tmp_path: Path) -> None:
    before = staged(tmp_path).loaded.snapshot
    after = on_loopback(before, PORTS, "sqlite:///drill.db")
    assert (after.health, after.limits, after.routes, after.defaults) == (
        before.health,
        before.limits,
        before.routes,
        before.defaults,
    )
    assert [key.reveal() for key in after.providers["one"].keys] == ["drill-key-0-1", "drill-key-0-2"]
    assert [key.reveal() for key in after.providers["two"].keys] == ["drill-key-1-1"]


def test_dialects_that_the_emulator_does_not_speak_are_played_in_chat_completions(tmp_path: Path) -> None:
    text = """\
providers: {bed: {kind: bedrock, region: us-east-1, api_key: k}, co: {kind: cohere, api_key: k}, in: {kind: llamacpp}}
models:
  x: {provider: bed, name: amazon.nova-pro-v1:0}
  y: {provider: co, name: command-a-03-2025}
  z: {provider: in, name: local-small}
"""
    plan = on_loopback(staged(tmp_path, text).loaded.snapshot, {"bed": 1, "co": 2, "in": 3}, "sqlite:///d.db")
    assert {target.dialect for name in "xyz" for target in plan.aliases[name].targets} == {"openai.chat"}
    assert {one.kind for one in plan.providers.values()} == {"openai"}
    assert not any(one.is_embedded for one in plan.providers.values())


def test_a_cloud_that_serves_two_makers_keeps_both_protocols_at_one_address(tmp_path: Path) -> None:
    text = """\
providers: {v: {kind: vertex, project: p, api_key: k}}
models:
  g: {provider: v, name: gemini-2.5-pro, fallback: [c]}
  c: {provider: v, name: claude-opus-4-6}
"""
    snapshot = staged(tmp_path, text).loaded.snapshot
    assert [one.dialect for one in reach_of(snapshot, "g").targets] == ["gemini", "anthropic.messages"]
    plan = on_loopback(snapshot, {"v": 1}, "sqlite:///d.db")
    assert [plan.aliases[name].targets[0].dialect for name in "gc"] == ["gemini", "anthropic.messages"]
