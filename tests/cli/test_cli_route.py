"""`afterbay route`: the decision on a question, with everything that speaks for and against each candidate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tests.cli.conftest import Run

from afterbay.cli.decision import DryRun, dry_run
from afterbay.cli.explain import explain
from afterbay.cli.route import plain, rows_of, told
from afterbay.config.load import parse
from afterbay.config.resolve import resolve
from afterbay.core.decision import Record
from afterbay.core.errors import GatewayError
from afterbay.policy.rights import Preference, Rights
from afterbay.ports import Key

CONFIG = """\
providers:
  near: {kind: openai, api_key: k, base_url: "http://127.0.0.1:9/v1", price: {input: 1, output: 4}, region: eu}
  far: {kind: anthropic, api_key: k, base_url: "http://127.0.0.1:9", price: {input: 5, output: 20}}
models:
  cheap: {provider: near, name: c, context: 8000}
  strong: {provider: far, name: s, context: 200000}
routes:
  auto: {tasks: {code: strong}, complexity: {low: cheap, high: strong}, fallback: [strong, cheap]}
state: {database: "sqlite:///state.db"}
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "afterbay.yaml"
    path.write_text(CONFIG)
    return path


def decided(text: str, model: str = "auto", key: Key | None = None, **headers: str) -> DryRun:
    """As the command does it, without a process for each question."""
    snapshot = resolve(parse(CONFIG, "afterbay.yaml", {}), {}, lambda queries: {})
    body = msgspec.json.encode({"model": model, "messages": [{"role": "user", "content": text}]})
    return dry_run(snapshot, body, {f"x-afterbay-{name}": value for name, value in headers.items()}, key)


def removed(found: DryRun) -> dict[str, str | None]:
    return {one.target: one.removed for one in found.candidates}


# --- the program


def test_the_decision_is_told_and_nobody_is_asked(run: Run, written: Path) -> None:
    document = written.parent / "document.txt"
    document.write_text("The river rises. " * 12_000)
    done = run("route", "Summarize this", "--file", str(document))
    assert done.returncode == 0, done.stderr
    heading, first, second = done.stdout.splitlines()
    assert heading.split("\t")[1:5] == ["candidate", "model", "window", "cost"]
    assert first.split("\t")[:4] == ["1", "far/s", "strong", "200000"]
    assert second.split("\t")[0] == "-"
    assert "context: about 5" in second
    assert "picked: far/s, by rule:long of auto" in done.stderr
    assert not (written.parent / "state.db").exists(), "a dry run leaves nothing behind"


def test_a_key_of_the_database_is_found_by_its_name(run: Run, written: Path) -> None:
    assert run("keys", "create", "ada", "--providers", "far").returncode == 0
    done = run("route", "Hello", "--key", "ada", "--json")
    found: dict[str, Any] = json.loads(done.stdout)
    assert (found["pick"], found["rule"]) == ("far/s", "complexity:low")
    by_name = {one["target"]: one["removed"] for one in found["candidates"]}
    assert by_name["near/c"] == "key: this key may not use the provider 'near'"


def test_the_preferences_of_users_and_agents_can_be_tried(run: Run, written: Path) -> None:
    wishes = "{users: {eve: {allowed_providers: [far]}}, agents: {bot: {bound_model: strong}}}"
    written.write_text(CONFIG + f"policies: {{preferences: {wishes}}}\n")
    found: dict[str, Any] = json.loads(run("route", "Hello", "--user", "eve", "--json").stdout)
    removed = {one["target"]: one["removed"] for one in found["candidates"]}
    assert (found["pick"], removed["near/c"]) == (
        "far/s",
        "preference: the user 'eve' may not use the provider 'near'",
    )
    done = run("route", "Hello", "--agent", "bot")
    assert "warning: the agent 'bot' is bound to 'strong', which answers instead of 'auto'" in done.stderr
    assert "picked: near/c" in run("route", "Hello").stderr


def test_it_works_without_a_configuration_and_a_wrong_task_names_the_right_ones(run: Run) -> None:
    done = run("route", "Hello", "--task", "coding")
    assert (done.returncode, done.stdout) == (1, "")
    assert "creative" in done.stderr
    assert "nothing to decide on" in run("route").stderr


# --- what it says


def test_the_counterfactual_cost_is_that_of_the_strongest() -> None:
    found = plain(decided("Hello"))
    assert (found["pick"], found["strongest"], found["rule"]) == ("near/c", "far/s", "complexity:low")
    cheap, strong = found["candidates"]
    assert found["counterfactual_usd"] == strong["cost_usd"] == pytest.approx(5 * cheap["cost_usd"])
    assert found["error"] is None


def test_a_task_a_model_and_a_target_can_be_named() -> None:
    for found, rule in (
        (decided("Hello", task="code"), "task:code (said by the client)"),
        (decided("Hello", "strong"), "alias"),
        (decided("Hello", "near/c"), "direct"),
    ):
        assert found.decision is not None
        assert found.decision.rule == rule
        assert found.candidates[0].scores.cost_picousd is None or found.candidates[0].scores.cost_picousd > 0
    with pytest.raises(GatewayError, match="no model called 'stronk'"):
        decided("Hello", "stronk")


def test_a_document_is_priced_everywhere_also_where_it_has_no_room() -> None:
    found = decided("The river rises. " * 12_000)
    strong, cheap = found.candidates
    read = found.facts["input_tokens"]
    assert 45_000 < read < 60_000
    assert strong.scores.cost_picousd == read * 5_000_000 + 400 * 20_000_000
    assert cheap.removed is not None
    assert cheap.scores.cost_picousd == read * 1_000_000 + 400 * 4_000_000
    assert [row[0] for row in rows_of(found.candidates)] == ["1", "-"]


def test_where_nothing_may_serve_the_reasons_are_told() -> None:
    found = decided("The river rises. " * 60_000)
    assert found.decision is None
    assert found.error is not None
    assert found.error.code == "context_length_exceeded"
    assert all(removed(found).values())
    assert plain(found)["error"]["code"] == "context_length_exceeded"
    assert told(found)[-1].startswith("nobody would be asked")


def test_what_is_too_dear_is_removed_too() -> None:
    found = decided("Hello", **{"max-cost-usd": "0.002"})
    assert removed(found) == {"near/c": None, "far/s": "money: it costs at least $0.00515, the limit is $0.002"}


def test_a_key_brings_its_rights_and_its_preference() -> None:
    key = Key("k", "k", Rights(providers=frozenset({"far"})), Preference(preferred_provider="far"))
    found = decided("Hello", key=key)
    assert removed(found)["near/c"] == "key: this key may not use the provider 'near'"
    assert found.candidates[0].scores.preferred


def test_an_answer_explains_its_pick_by_the_same_facts_and_candidates() -> None:
    record = Record("req_1", 0.0, "chat", "openai.chat", route="auto", rule="pin", provider="near", model="cheap")
    plain_lines = explain(record)
    assert not [line for line in plain_lines if line.startswith("  candidates")]
    record.reasons = {
        "facts": {"words": 5, "mentions": ["code"], "pinned": {"target": "near/c", "tokens": 5000}, "task_said": None},
        "candidates": [
            {"target": "near/c", "rank": 1, "cost_picousd": 2_000_000_000, "warm_tokens": 5000},
            {"target": "far/s", "rank": None, "cost_picousd": None, "quality": 0.91, "ttft_p95_s": 0.25},
        ],
        "strongest": "far/s",
        "counterfactual_picousd": 10_000_000_000,
    }
    told_lines = explain(record)
    assert "  facts      words 5, mentions code, pinned target=near/c tokens=5000" in told_lines
    assert "  candidates 1. near/c: expected cost $0.002, 5000 tokens in its cache" in told_lines
    assert "             -  far/s: expected cost unknown, quality 0.910, ttft p95 250 ms" in told_lines
    assert "  instead    far/s would cost $0.01" in told_lines
