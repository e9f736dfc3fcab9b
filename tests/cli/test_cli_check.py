"""`afterbay check`: values with their origins, dead policies, the schema, the checklist."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from afterbay.cli.production import Finding, checklist
from afterbay.config.describe import facts_due
from afterbay.config.prices import FREE
from afterbay.config.watch import load_snapshot

from .conftest import Run

GOOD = """\
providers:
  a: {kind: openai, api_key: "${EMU_KEY}", base_url: "https://a.test/v1", price: {input: 1, output: 1}}
  b: {kind: anthropic, api_key: "${EMU_KEY}", price: {input: 1, output: 1}}
models:
  x: {provider: a, name: x-1, fallback: [y]}
  y: {provider: b, name: y-1, fallback: [x]}
policies: {budgets: {default: {usd: 5}}}
"""


def test_every_value_is_shown_with_where_it_came_from_and_secrets_are_stars(run: Run, config: Path) -> None:
    done = run("check")
    assert done.returncode == 0
    assert "providers.openai.api_key\t***\tenvironment EMU_KEY (afterbay.yaml:2)\n" in done.stdout
    assert "models.gpt.tags\t[code]\tafterbay.yaml:6\n" in done.stdout
    assert "routes.auto.timeouts.total\t10m\tdefault\n" in done.stdout
    assert "the configuration is valid (providers: 2, models: 3, routes: 1, warnings: 0)" in done.stderr
    assert "sk-emulated-key" not in done.stdout + done.stderr


def test_policies_that_can_never_match_are_warned_of(run: Run, config: Path) -> None:
    text = config.read_text().replace("auto: {fallback", "auto: {compliance: eu, fallback")
    config.write_text(text + "policies: {compliance: {eu: {require: [soc2]}}}\n")
    done = run("check")
    assert done.returncode == 0
    assert "warning: policies.compliance.eu: no provider meets it (soc2)" in done.stderr


def test_json_holds_the_same(run: Run, config: Path) -> None:
    told = json.loads(run("check", "--json").stdout)
    assert told["valid"] is True
    assert told["file"] == "afterbay.yaml"
    assert {"path": "models.gpt.provider", "value": "openai", "origin": "afterbay.yaml:6"} in told["values"]


def test_json_of_a_broken_file_lists_the_problems(run: Run, config: Path) -> None:
    config.write_text("providers: {a: {kind: opnai}}\n")
    done = run("check", "--json")
    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)["problems"]
    assert (problem["path"], problem["line"]) == ("providers.a.kind", 1)


def test_a_database_that_this_release_cannot_use_is_refused_before_the_start(run: Run, config: Path) -> None:
    config.write_text(GOOD.replace("${EMU_KEY}", "k") + 'state: {database: "postgresql://h/db"}\n')
    done = run("check")
    assert done.returncode == 2
    assert "state.database: 'postgresql' is not supported by this release" in done.stderr


def test_the_schema_needs_no_configuration(run: Run) -> None:
    told = json.loads(run("check", "--schema", "-c", "nope.yaml").stdout)
    assert "providers" in told["$defs"]["Config"]["properties"]


def test_the_checklist_has_evidence_and_fails_while_there_is_no_key(run: Run, config: Path) -> None:
    done = run("check", "--production")
    assert done.returncode == 1
    assert "fail\tvirtual keys\tnone: whoever reaches the gateway may spend your money\tRun `afterbay keys create" in (
        done.stdout
    )
    assert not (config.parent / "state.db").exists()
    run("keys", "create", "me")
    done = run("check", "--production", "--json")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert told["fit"] is True
    assert {"status": "warn", "what": "fallbacks"}.items() <= told["checks"][7].items()


NOON_S = datetime(2026, 11, 25, 12, tzinfo=UTC).timestamp()


def findings(text: str, folder: Path, environ: Mapping[str, str] = {"EMU_KEY": "k"}) -> dict[str, Finding]:
    path = folder / "f.yaml"
    path.write_text(text if "state:" in text else text + f'state: {{database: "sqlite:///{folder}/f.db"}}\n')
    return {one.what: one for one in checklist(load_snapshot(path, environ, look_up=lambda queries: {}), NOON_S)}


def test_a_good_configuration_lacks_only_keys(tmp_path: Path) -> None:
    found = findings(GOOD, tmp_path)
    doubts = {what for what, one in found.items() if one.status != "ok"}
    assert doubts == {"virtual keys", "listening address"}
    assert all(one.evidence for one in found.values())
    assert all(one.remedy for one in found.values() if one.status != "ok")


@pytest.mark.parametrize(
    ("old", "new", "what", "status", "evidence"),
    [
        (
            'api_key: "${EMU_KEY}", base',
            "api_key: sk-written, base",
            "secrets in the file",
            "fail",
            "providers.a.api_key",
        ),
        (
            "base_url: ",
            'proxy: "http://u:secret@p.test", base_url: ',
            "secrets in the file",
            "fail",
            "providers.a.proxy",
        ),
        ("base_url: ", "headers: {x-team: red}, base_url: ", "secrets in the file", "warn", "headers.x-team"),
        ("https://a.test", "http://a.test", "encryption to providers", "warn", "a: prompts"),
        (", fallback: [y]", "", "fallbacks", "warn", "no fallback: x"),
        ("name: x-1", "name: x-latest", "pinned models", "warn", "a/x-latest"),
        (", price: {input: 1, output: 1}}\n  b", "}\n  b", "prices", "warn", "a/x-1"),
        ("models:", "defaults: {timeouts: {first_token: 9m}}\nmodels:", "time limits", "warn", "first_token 9m of"),
        ("provider: b", "provider: a", "two providers", "warn", "only a"),
        (
            "policies: {",
            "routes: {r: {compliance: s}}\npolicies: {compliance: {s: {require: [soc2]}}, ",
            "compliance of routes.r",
            "fail",
            "no candidate meets it",
        ),
        ("policies: {budgets: {default: {usd: 5}}}", "", "limits of money", "warn", "no budget"),
        ("models:", "defaults: {prompt_cache: insert}\nmodels:", "settings in force", "warn", "defaults.prompt_cache"),
        ("models:", "telemetry: {capture_content: true}\nmodels:", "content in traces", "warn", "capture_content"),
        ("models:", "unknown_model: x\nmodels:", "unknown model names", "warn", "answered by `x`"),
        ("models:", 'state: {database: "sqlite:///rel.db"}\nmodels:', "database path", "warn", "relative"),
    ],
)
def test_each_doubt_has_a_row(tmp_path: Path, old: str, new: str, what: str, status: str, evidence: str) -> None:
    assert old in GOOD
    found = findings(GOOD.replace(old, new, 1), tmp_path)[what]
    assert found.status == status
    assert evidence in found.evidence
    assert found.remedy
    assert "secret@" not in found.evidence


def test_a_limit_of_money_needs_prices(tmp_path: Path) -> None:
    text = GOOD.replace(", price: {input: 1, output: 1}}\n  b", "}\n  b", 1)
    assert "max_cost_usd" not in findings(text, tmp_path)["prices"].evidence
    limited = findings(text.replace("models:", "routes: {r: {max_cost_usd: 0.5}}\nmodels:", 1), tmp_path)
    assert limited["prices"].evidence.endswith("; max_cost_usd cannot be checked for them")


def test_a_route_whose_candidates_say_little_is_a_doubt_not_a_failure(tmp_path: Path) -> None:
    rule = "routes: {r: {compliance: s}}\npolicies: {compliance: {s: {require: [soc2]}}, "
    text = GOOD.replace("policies: {", rule).replace("{kind: anthropic,", "{kind: anthropic, compliance: [soc2],")
    found = findings(text, tmp_path)["compliance of routes.r"]
    assert (found.status, found.evidence) == ("warn", "1 of 2 meet it; a, b say little")


@pytest.mark.parametrize(
    ("until", "what", "status", "evidence"),
    [
        ("2026-11-24", "facts that have ended", "fail", "soc2 of b (until 2026-11-24)"),
        ("2026-11-25", "facts that end soon", "warn", "soc2 of b (until 2026-11-25)"),
        ("2026-12-24", "facts that end soon", "warn", "soc2 of b (until 2026-12-24)"),
        ("2026-12-26", "facts", "ok", "1 with a source or an end"),
    ],
)
def test_a_fact_that_ends_is_told_of_before(tmp_path: Path, until: str, what: str, status: str, evidence: str) -> None:
    rule = "routes: {r: {compliance: s}}\npolicies: {compliance: {s: {require: [soc2]}}, "
    fact = f"{{kind: anthropic, compliance: [{{fact: soc2, source: contract 7, until: {until}}}],"
    found = findings(GOOD.replace("policies: {", rule).replace("{kind: anthropic,", fact), tmp_path)
    assert (found[what].status, evidence in found[what].evidence) == (status, True)
    rows = {"facts that have ended", "facts that end soon", "facts", "facts without a source"}
    assert rows & found.keys() == {what}
    assert (found["compliance of routes.r"].status == "fail") == (until == "2026-11-24")


def test_an_ended_fact_that_no_policy_wants_is_a_doubt_and_one_without_a_source_too(tmp_path: Path) -> None:
    ended = "{kind: anthropic, compliance: [zdr, {fact: soc2, until: 2020-01-01}],"
    found = findings(GOOD.replace("{kind: anthropic,", ended), tmp_path)
    assert found["facts that have ended"].status == "warn"
    rule = "policies: {compliance: {s: {require: [zdr]}}, "
    found = findings(GOOD.replace("policies: {", rule).replace("{kind: anthropic,", ended), tmp_path)
    assert found["facts without a source"].evidence == "zdr of b/y-1"


def test_a_plain_check_says_who_states_nothing_and_what_ends(run: Run, config: Path) -> None:
    sets = "policies: {compliance: {eu: {require: [soc2]}}}\n"
    text = config.read_text().replace(
        "{kind: anthropic,", "{kind: anthropic, compliance: [{fact: soc2, until: 2026-01-31}],"
    )
    config.write_text(text + sets)
    done = run("check")
    assert done.returncode == 0
    assert "warning: providers.openai: no fact and no region is stated, so it meets no compliance set." in done.stderr
    assert "warning: soc2 of claude ended with 2026-01-31: it counts as absent." in done.stderr
    due = json.loads(run("check", "--json").stdout)["facts_due"]
    assert len(due) == 2
    config.write_text(text.replace("2026-01-31", "2999-01-31"))
    assert json.loads(run("check", "--json").stdout)["facts_due"] == [], "no set wants a fact, and none ends"


@pytest.mark.parametrize(
    ("days", "due"), [(0.0, ["soc2 of b ends with 2026-12-31: from then on it counts as absent."]), (-40.0, [])]
)
def test_an_end_is_told_of_a_month_before(tmp_path: Path, days: float, due: list[str]) -> None:
    fact = "{kind: anthropic, compliance: [{fact: soc2, until: 2026-12-31}],"
    path = tmp_path / "f.yaml"
    path.write_text(GOOD.replace("{kind: anthropic,", fact))
    loaded = load_snapshot(path, {"EMU_KEY": "k"}, look_up=lambda queries: {})
    at = datetime(2026, 12, 30, tzinfo=UTC).timestamp()
    assert facts_due(loaded.snapshot, at + days * 86400) == due


def test_a_database_that_is_none_fails(tmp_path: Path) -> None:
    (tmp_path / "f.db").write_text("no database, however long one looks at it. " * 50)
    assert findings(GOOD, tmp_path)["database writable"].status == "fail"


def test_the_engine_inside_is_free_and_known_to_be(tmp_path: Path) -> None:
    found = findings("providers: {local: {kind: llamacpp}}\n", tmp_path)
    assert FREE.input == 0
    assert found["prices"].status == "ok"
    assert found["two providers"].status == "warn"


ENDING = """
providers: {openai: {kind: openai, api_key: "${EMU_KEY}"}}
models:
  old: {provider: openai, name: gpt-4o, scores: {ours: 0.5}, tags: [chat]}
"""


def test_a_model_that_ends_is_told_of_by_check_and_shown_by_models_with_what_replaces_it(
    run: Run, tmp_path: Path
) -> None:
    """It ends on 2027-01-14: from sixty days before on the words are there, whatever day it is."""
    file = tmp_path / "ending.yaml"
    file.write_text(ENDING)
    done = run("check", "-c", str(file))
    assert done.returncode == 0, done.stderr
    assert "warning: models: openai/gpt-4o end" in done.stderr
    assert " on 2027-01-14" in done.stderr
    assert "`gpt-6-luna` takes its place; change " in done.stderr
    assert "warnings: 2)" in done.stderr, "the name floats as well"
    (listed,) = [one for one in json.loads(run("models", "-c", str(file), "--json").stdout) if one["name"] == "old"]
    assert (listed["ends"], listed["successor"], listed["tags"]) == ("2027-01-14", "gpt-6-luna", ["chat"])
    assert listed["scores"]["ours"] == 0.5
    assert listed["scores"]["mmlu"] == 0.887


def test_production_wants_models_that_go_on(tmp_path: Path) -> None:
    file = tmp_path / "ending.yaml"
    file.write_text(ENDING)
    loaded = load_snapshot(file, {"EMU_KEY": "k"}, look_up=lambda queries: {})
    for day, status in (((2026, 11, 1), "ok"), ((2026, 12, 1), "warn"), ((2027, 1, 14), "fail")):
        found = {one.what: one for one in checklist(loaded, datetime(*day, tzinfo=UTC).timestamp())}
        assert found["models that end"].status == status
    assert found["models that end"].remedy == "Move to gpt-6-luna."


def test_a_model_that_a_bare_key_brought_asks_nothing_of_anybody_before_it_ends(run: Run) -> None:
    told = json.loads(run("check", "--json", env={"OPENAI_API_KEY": "k"}).stdout)
    auto = "will spend by `auto` on gpt-6-luna for short requests and extraction, on gpt-6.1-sol for all others"
    assert auto in told["spends"]
    assert [one["target"] for one in told["retiring"]] == ["openai/gpt-4o", "openai/gpt-4o-mini"]
    assert told["warnings"] == []
