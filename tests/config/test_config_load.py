"""Reading: what loads, and what is said, where, when something does not."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from afterbay.config.document import FILE_LIMIT_BYTES, expand, find_config
from afterbay.config.fields import Seconds
from afterbay.config.load import Document, load, parse, seconds
from afterbay.config.problem import ConfigError, child
from afterbay.config.schema import Config
from afterbay.config.schema_route import HedgeConfig
from afterbay.core.words import nearest

P = "providers: {p: {kind: openai, base_url: 'http://h/v1'}}\n"
M = P + "models: {m: {provider: p, name: x}}\n"

MISTAKES = [
    ("an unknown key", "provders: {}", ["f.yaml:1:1: provders: there is no such key. Did you mean `providers`?"]),
    (
        "an unknown key far from all known ones",
        M + "limits: {colour: 1}",
        [
            (
                "f.yaml:3:10: limits.colour: there is no such key. Known here: body_bytes, answer_bytes, event_bytes, "
                "body_timeout, linger, drain, socket_idle, socket_total, retry_after."
            )
        ],
    ),
    (
        "a wrong type",
        M + "limits:\n  body_bytes: many",
        ["f.yaml:4:15: limits.body_bytes: `many` does not fit. Wanted: a whole number above 0."],
    ),
    (
        "a number out of bounds",
        M + "routes: {r: {keep: 1.5}}",
        ["f.yaml:3:20: routes.r.keep: `1.5` does not fit. Wanted: a number above 0 and at most 1."],
    ),
    (
        "a promise of nothing",
        M + "routes: {r: {keep: 0}}",
        ["f.yaml:3:20: routes.r.keep: `0` does not fit. Wanted: a number above 0 and at most 1."],
    ),
    (
        "a certainty",
        M + "routes: {r: {keep: 1, confidence: 1}}",
        ["f.yaml:3:35: routes.r.confidence: `1` does not fit. Wanted: a number above 0 and below 1."],
    ),
    (
        "no confidence at all",
        M + "defaults: {confidence: 0.0}",
        ["f.yaml:3:24: defaults.confidence: `0.0` does not fit. Wanted: a number above 0 and below 1."],
    ),
    (
        "a list where text belongs",
        M + "routes: {r: {tasks: {code: [m]}}}",
        ["f.yaml:3:28: routes.r.tasks.code: this is a list. Wanted: a text."],
    ),
    (
        "text where a list belongs",
        M + "routes: {r: {fallback: m}}",
        ["f.yaml:3:24: routes.r.fallback: this is a text. Wanted: a list. Put it in brackets: [...]."],
    ),
    (
        "text where a section belongs",
        "providers: {p: openai}",
        ["f.yaml:1:16: providers.p: this is a text. Wanted: keys such as kind, base_url, api, api_key."],
    ),
    (
        "a bad duration",
        M + "defaults: {timeouts: {total: 5 minutes}}",
        [
            (
                "f.yaml:3:30: defaults.timeouts.total: `5 minutes` does not fit. "
                "Wanted: a duration such as 250ms, 5s, 2m or 1h."
            )
        ],
    ),
    (
        "no time at all",
        M + "defaults: {timeouts: {total: 0}}",
        ["f.yaml:3:30: defaults.timeouts.total: no time at all is left. Wanted: a duration above 0s."],
    ),
    (
        "a word that is not allowed",
        M + "defaults: {unsupported: drp}",
        ["f.yaml:3:25: defaults.unsupported: `drp` does not fit. Wanted: one of drop, reject. Did you mean `drop`?"],
    ),
    (
        "a task that does not exist",
        M + "routes: {r: {tasks: {cod: m}}}",
        ["f.yaml:3:22: routes.r.tasks.cod: there is no such key. Did you mean `code`?"],
    ),
    (
        "a key that stands twice",
        M + "routes: {}\nroutes: {}",
        ["f.yaml:4:1: routes: this key stands here twice. The first stands in line 3; keep one of them."],
    ),
    (
        "a missing key",
        "providers:\n  p: {base_url: 'http://h'}",
        [
            (
                "f.yaml:2:6: providers.p.kind: this key is missing. Wanted: one of anthropic, azure, bedrock, "
                "cerebras, cohere, deepseek, gemini, groq, huggingface, llamacpp, mistral, ollama, openai, openrouter, "
                "perplexity, sglang, together, vertex, vllm, xai. Add `kind:` to providers.p."
            )
        ],
    ),
    (
        "a variable that is not set",
        'providers: {p: {kind: openai, api_key: "${NOPE}"}}',
        [
            "f.yaml:1:40: providers.p.api_key: the environment variable NOPE is not set. Set it: export NOPE=...",
        ],
    ),
    (
        "braces without a name",
        'providers: {p: {kind: openai, region: "${no name}"}}',
        [
            (
                "f.yaml:1:39: providers.p.region: `${...}` does not hold the name of a variable. "
                "Write ${NAME}, or $${ for a plain `${`."
            )
        ],
    ),
    (
        "bad YAML",
        "models: [a\nb: 1",
        ["f.yaml:2:2: bad YAML: did not find expected ',' or ']' while parsing a flow sequence (begun in line 1)."],
    ),
    (
        "a colon in a plain value",
        "a: b: c",
        [
            (
                "f.yaml:1:5: bad YAML: mapping values are not allowed in this context. "
                "Quote a value that has `: ` in it, and check the indentation."
            )
        ],
    ),
    (
        "a tab",
        "models:\n\tm: 1",
        ["f.yaml:2:1: a tab stands where YAML wants spaces. Wanted: spaces. Indent with spaces."],
    ),
    (
        "a control character",
        "a: x\nb: \x07",
        [
            (
                "f.yaml:2:4: character U+0007 is not allowed. Wanted: text. "
                "Remove it, or write it as an escape in double quotes."
            )
        ],
    ),
    ("a list at the top", "- a", ["f.yaml:1:1: the file is a list. Wanted: keys such as providers, models, routes."]),
    (
        "two documents",
        "a: 1\n---\nb: 1",
        [
            (
                "f.yaml:2:1: bad YAML: but found another document "
                "expected a single document in the stream (begun in line 1)."
            )
        ],
    ),
    (
        "nothing where a number belongs",
        "providers: {p: {kind: openai, price: {input: null, output: 1}}}",
        ["f.yaml:1:46: providers.p.price.input: there is no value. Wanted: a number at least 0."],
    ),
    (
        "text merged in",
        "defaults: {<<: x, hold: maybe}\nstate: 5",
        [
            'f.yaml:1:16: defaults["<<"]: this is a text. Wanted: a mapping to merge in.',
            "f.yaml:1:25: defaults.hold: `maybe` does not fit. Wanted: a duration such as 250ms, 5s, 2m or 1h.",
            "f.yaml:2:8: state: this is a whole number. Wanted: keys such as database, shared, retention, idempotency.",
        ],
    ),
    (
        "a value of the environment that does not fit",
        "limits: {body_bytes: '${GROQ_KEY_A}'}",
        [("f.yaml:1:22: limits.body_bytes: the value of GROQ_KEY_A does not fit. Wanted: a whole number above 0.")],
    ),
    (
        "a very long text where a number belongs",
        f"limits: {{body_bytes: {'9' * 90}}}",
        ["f.yaml:1:22: limits.body_bytes: this is a whole number. Wanted: a whole number above 0."],
    ),
    (
        "a key that is a list",
        M + "? [a]\n: 1",
        ["f.yaml:3:3: a key is a list. Wanted: a name. Quote it if it is meant as text."],
    ),
]


@pytest.mark.parametrize(("text", "lines"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_each_mistake_is_told_with_its_place_and_a_way_out(
    text: str, lines: list[str], complaints: Callable[..., list[str]]
) -> None:
    assert complaints(text) == lines


def test_all_problems_of_a_file_are_told_at_once_in_its_order(complaints: Callable[..., list[str]]) -> None:
    text = "provders: 1\nmodels:\n  a: {provider: 1, nam: x}\nlimits: {drain: 1:30}\nrutes: {}\n"
    assert [line.split(": ")[0] for line in complaints(text)] == [
        "f.yaml:1:1",
        "f.yaml:3:20",
        "f.yaml:4:17",
        "f.yaml:5:1",
    ]


@pytest.mark.parametrize("text", ["", "   \n", "# only words\n", "---\n"])
def test_an_empty_file_is_told_from_a_wrong_one(text: str, complaints: Callable[..., list[str]]) -> None:
    (line,) = complaints(text)
    assert line.startswith("f.yaml: the file is empty")


def test_a_file_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"a: 1\nname: caf\xe9\n")
    (tmp_path / "zero.yaml").write_bytes(b"\xff\xfe" + "a: 1".encode("utf-16-le"))
    (tmp_path / "big.yaml").write_bytes(b"#" * (FILE_LIMIT_BYTES + 1))
    said = {}
    for name in ("none.yaml", "latin.yaml", "zero.yaml", "big.yaml", ""):
        with pytest.raises(ConfigError) as caught:
            load(tmp_path / name, {})
        said[name] = str(caught.value).removeprefix(str(tmp_path / name))
    assert said["none.yaml"] == ": there is no such file. Check the path given with -c, or create the file."
    assert said["latin.yaml"] == ":2:10: byte 0xe9 is not UTF-8. Wanted: UTF-8 text. Save the file as UTF-8."
    assert said["zero.yaml"].startswith(":1:1: byte 0xff is not UTF-8.")
    assert said["big.yaml"].startswith(": the file is larger than")
    assert said[""].startswith(": this is a folder, not a file.")


def test_the_system_says_why_a_file_is_unreadable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ConfigError, match=r"cannot be read: Permission denied\. Check its permissions\."):
        load(tmp_path / "x.yaml", {})


def test_the_example_of_the_interface_loads_whole(example: str, keys: Mapping[str, str]) -> None:
    config = parse(example, "afterbay.yaml", keys).config
    assert list(config.providers) == ["openai", "anthropic", "google", "groq", "vllm-eu", "local"]
    assert config.providers["groq"].api_keys == (keys["GROQ_KEY_A"], keys["GROQ_KEY_B"])
    assert config.models["llama_8b"].deployments[1].weight == 2
    assert config.routes["auto"].timeouts.total == 300
    assert config.routes["auto"].cache == {"exact": "1h", "semantic": {"threshold": 0.95, "ttl": "1h"}}
    assert config.routes["auto"].hedge == HedgeConfig(after="p95", max_extra_cost=0.05)
    assert config.policies.health is not None
    assert config.policies.health.latency_p95 == 0.5
    assert config.state.retention == 30 * 86400
    assert config.telemetry.otlp is None


def test_words_that_yaml_takes_for_truth_values_stay_words() -> None:
    text = "routes: {a: {resume: off, prompt_cache: off}, b: {resume: on, cascade: yes}, no: {keep: 1}}"
    routes = parse(text, "f", {}).config.routes
    assert (routes["a"].resume, routes["a"].prompt_cache, routes["b"].resume) == ("off", "off", "on")
    assert routes["b"].cascade is True
    assert "no" in routes


def test_numbers_and_truth_values_may_come_as_text_from_the_environment() -> None:
    text = 'limits: {body_bytes: "${N}", drain: "${D}"}\ntelemetry: {metrics_public: "${B}"}\nmodels: {4: {name: 4.10}}'
    config = parse(text, "f", {"N": "1_000", "D": "1h30m", "B": "true"}).config
    assert (config.limits.body_bytes, config.limits.drain, config.telemetry.metrics_public) == (1000, 5400, True)
    assert config.models["4"].name == "4.10"


def test_an_empty_value_means_the_default() -> None:
    config = parse(
        "models:\nroutes:\n  auto:\n  r:\n    fallback:\n    timeouts:\nlimits:\n  body_bytes:\n", "f", {}
    ).config
    assert (config.models, config.routes["r"].fallback) == ({}, None)
    assert config.limits == Config().limits


def test_anchors_and_merge_keys_save_writing() -> None:
    text = "models:\n  a: &a {provider: p, tags: [x]}\n  b: {<<: *a, name: n, tags: [y]}\n  c: {<<: [*a, {name: m}]}\n"
    models = parse(text, "f", {}).config.models
    assert (models["b"].provider, models["b"].name, models["b"].tags) == ("p", "n", ("y",))
    assert (models["c"].provider, models["c"].name) == ("p", "m")


def test_a_file_that_contains_itself_ends() -> None:
    with pytest.raises(ConfigError, match="contains itself"):
        parse("routes: {a: {cache: &x {y: *x}}}", "f", {})


def test_a_small_file_that_unfolds_without_end_ends() -> None:
    bomb = "\n".join(f"  k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 10) if i else 'x'}]" for i in range(9))
    started = time.perf_counter()
    with pytest.raises(ConfigError, match="holds too much"):
        parse(f"defaults:\n cache:\n{bomb}", "f", {})
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("text", ["[" * 100_000, "{" * 5000, "- " * 3000, "? " * 3000])
def test_deep_nesting_is_a_problem_and_no_crash(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text, "f", {})


def test_json_is_a_configuration_too() -> None:
    text = json.dumps({"models": {"a😀": {"provider": "p", "name": "中\t"}}}, indent="\t")
    assert parse(text, "f", {}).config.models["a😀"].name == "中\t"


def test_fifteen_hundred_models_load_within_a_second() -> None:
    provider = {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k"}
    models = {f"x-{i:016x}": {"provider": "p", "name": f"x-{i:016x}"} for i in range(1500)}
    text = json.dumps({"providers": {"p": provider}, "models": models})
    started = time.thread_time()  # a busy machine is not the reader's fault
    assert len(parse(text, "f", {}).config.models) == 1500
    assert time.thread_time() - started < 1


def test_every_written_value_has_a_place_and_others_have_none(example: str, keys: Mapping[str, str]) -> None:
    document = parse(example, "a.yaml", keys)
    where = {path: str(origin) for path, origin in document.origins.items()}
    assert where["routes.auto.fallback[1]"] == "a.yaml:29"
    assert where["providers.openai.api_key"] == "environment OPENAI_API_KEY (a.yaml:2)"
    assert where["models.llama_8b.deployments[1].weight"] == "a.yaml:15"
    assert "limits.drain" not in where


def test_a_problem_with_a_default_points_at_what_holds_it() -> None:
    problem = parse("routes:\n  r: {}\n", "f", {}).problem("routes.r.timeouts.total", "bad")
    assert problem.text() == "f:2:6: routes.r.timeouts.total: bad."
    assert Document(Config(), {}, "f").problem("x.y", "bad").text() == "f: x.y: bad."


@pytest.mark.parametrize(
    ("text", "value"),
    [("250ms", 0.25), ("5s", 5), ("2m", 120), ("1h", 3600), ("30d", 2592000), ("1h30m", 5400), ("0.5", 0.5), ("7", 7)],
)
def test_durations_are_seconds(text: str, value: float) -> None:
    assert seconds(text) == value
    assert isinstance(seconds(text), Seconds)


@pytest.mark.parametrize("text", ["", "5 x", "-5s", "1:30", "inf", "nan", "s", "5ss", ".5.", "1e9", "٣s"])
def test_other_texts_are_no_durations(text: str) -> None:
    assert seconds(text) is None


def test_variables_are_replaced_inside_text_with_defaults_and_escapes() -> None:
    environ = {"A": "1", "B": ""}
    assert expand("x-${A}-${C:-d}-${B:-e}-$${A}-$A", environ) == ("x-1-d-e-${A}-$A", ("A", "C", "B"))


def test_a_variable_that_is_set_but_empty_counts_as_missing(complaints: Callable[..., list[str]]) -> None:
    (line,) = complaints("unknown_model: ${E}", {"E": ""})
    assert line == "f.yaml:1:16: unknown_model: the environment variable E is set but empty. Set it: export E=..."


def test_secrets_are_in_no_message(complaints: Callable[..., list[str]]) -> None:
    text = (
        "providers:\n"
        "  p: {kind: openai, api_key: {sk-hidden: 1}, headers: {x: [hidden]}, proxy: 'ftp://u:hidden@h', "
        'base_url: "${U}", limits: {rpm: "${U}"}, api: "${U}"}\n'
        "  q: {kind: openai, api_key: 'hidden\\n', base_url: 'http://u:hidden@h:x'}\n"
        '  r: {kind: openai, api_key: "hidden\\n", base_url: \'http://u:hidden@h:x\', headers: {a: "hidden\\r"}}\n'
        '  s: {kind: openai, api_key: k, base_url: "${U}"}\n'
    )
    whole = complaints(text, {"U": "hidden"})
    by_line = [line for row in text.splitlines()[1:] for line in complaints(f"providers:\n{row}\n", {"U": "hidden"})]
    said = "\n".join(whole + by_line)
    assert (len(whole), len(by_line)) == (4, 9)
    assert "hidden" not in said


def test_secrets_are_in_no_repr(example: str, keys: Mapping[str, str], snapshot_of: Callable[..., object]) -> None:
    text = example.replace("sqlite:///afterbay.db", "postgresql://u:db-password@h/x")
    shown = repr(parse(text, "f", keys)) + repr(snapshot_of(text))
    assert not [value for value in [*keys.values(), "db-password"] if value in shown]


def test_the_file_is_looked_for_here_then_in_the_xdg_folder(tmp_path: Path) -> None:
    here, home = tmp_path / "here", tmp_path / "home"
    xdg = home / ".config" / "afterbay"
    xdg.mkdir(parents=True)
    here.mkdir()
    assert find_config({"HOME": str(home)}, here) is None
    (xdg / "afterbay.yaml").touch()
    assert find_config({"HOME": str(home)}, here) == xdg / "afterbay.yaml"
    assert find_config({"XDG_CONFIG_HOME": str(home / ".config")}, here) == xdg / "afterbay.yaml"
    (here / "afterbay.yaml").touch()
    assert find_config({"HOME": str(home)}, here) == here / "afterbay.yaml"


def test_near_names_are_found_and_far_ones_are_not() -> None:
    known = ["gpt_4o", "gemini_pro", "claude_opus_4", "llama_8b"]
    assert nearest("gpt-4o", known) == ["gpt_4o"]
    assert nearest("claude_opus_5", known) == ["claude_opus_4"]
    assert nearest("lalma_8b", known) == ["llama_8b"]
    assert nearest("something else", known) == []


def test_paths_quote_keys_that_a_dot_would_confuse() -> None:
    assert child("models", "gpt-4o") == "models.gpt-4o"
    assert child("models", "gpt-4.1") == 'models["gpt-4.1"]'
    assert child("", 'a"b') == '["a\\"b"]'


def test_importing_the_loader_brings_in_nothing_heavy() -> None:
    heavy = ("genai_prices", "rich", "pydantic", "asyncio")
    code = f"import sys, afterbay.config.watch; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_key_that_stands_where_something_else_belongs_is_not_told(complaints: Callable[..., list[str]]) -> None:
    key = "sk-proj-Ab3dEf6hIj9lMn2p"
    told = complaints(f"defaults: {{hold: {key}}}\n{key}: 1\nregion: ['{key}']")
    assert len(told) == 3
    assert not [line for line in told if "Ab3dEf" in line]
    assert "defaults.hold: `sk-pro…[redacted]` does not fit" in told[0]
