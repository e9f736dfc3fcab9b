"""Resolving: names, defaults, targets, warnings; and what is there without a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest

from afterbay.app.snapshots import direct_target
from afterbay.config import schema_route
from afterbay.config.catalog import catalog, undated
from afterbay.config.load import parse
from afterbay.config.prices import FREE, Prices, Query
from afterbay.config.problem import ConfigError
from afterbay.config.resolve import resolve
from afterbay.config.schema_route import NOT_BUILT
from afterbay.config.snapshot import Snapshot
from afterbay.config.targets import ENGINE_CANNOT, LACKING
from afterbay.config.watch import load_snapshot
from afterbay.core.usage import Price
from afterbay.policy.allowance import Rule
from afterbay.policy.plan import Compliance, Limits, Rules

Build = Callable[..., Snapshot]
Complain = Callable[..., list[str]]

P = "providers: {p: {kind: openai, base_url: 'http://10.0.0.1/v1', region: eu, compliance: [soc2]}}\n"
SHAPE = """
models:
  primary: {name: claude_opus_4, provider: anthropic, priority: 1, fallback: [gpt_4o, gemini_pro]}
  fast: {name: llama_3_8b_awq, provider: openai, priority: 3, fallback: [groq_llama]}
"""


def nothing(queries: Iterable[Query]) -> Prices:
    """No prices."""
    list(queries)
    return {}


def test_the_example_of_the_interface_resolves(example: str, snapshot_of: Build) -> None:
    made = snapshot_of(example)
    auto = made.routes["auto"]
    assert auto.candidates == ("claude_opus_4", "gpt_4o", "gemini_pro", "llama_8b", "llama_70b")
    assert auto.limits == Limits(first_token_s=20, between_tokens_s=20, total_s=300)
    assert [t.id for t in made.aliases["llama_8b"].targets] == [
        "groq/llama-3.1-8b-instant",
        "vllm-eu/meta-llama/Llama-3.1-8B-Instruct",
    ]
    assert made.aliases["llama_70b"].targets[0].price == Price(50000, 50000, 50000, 50000)
    assert made.by_upstream_name["gpt-4o"] == made.by_upstream_name["gpt-4o-2024-11-20"] == "gpt_4o"
    assert {"local-small", "local", "local-embed"} <= set(made.aliases)
    assert made.unknown_model == "error"
    assert made.compliance == {"eu_only": Compliance(frozenset({"soc2"}), "eu", "eu_only")}
    assert [k.reveal() for k in made.providers["groq"].keys] == ["gsk-first-secret", "gsk-second-secret"]
    assert made.providers["google"].base_url == "https://generativelanguage.googleapis.com"
    assert made.source == "f.yaml"


def test_what_this_release_does_not_honour_is_said_once_each(example: str, snapshot_of: Build) -> None:
    warnings = snapshot_of(example).warnings
    assert len(set(warnings)) == len(warnings)
    unset = ("slo", "shadow", "explore", "min_score", "pin", "escalate", "overflow", "prompt_cache")
    told = " is not honoured by this release."
    paths = [w.removesuffix(told) for w in warnings if w.endswith(told)]
    assert [w.partition(":")[0] for w in warnings if not w.endswith(told)] == ["routes.auto.keep"]
    assert paths == [
        "providers.groq.limits.rpm",
        "providers.groq.limits.tpm",
        *(f"routes.auto.{key}" for key in NOT_BUILT if key not in unset),
    ]


@pytest.mark.parametrize(
    ("defaults", "route", "samples"),
    [
        ("{}", "{}", None),
        ("{}", "{cascade: true}", 1),
        ("{}", "{cascade: {}}", 1),
        ("{}", "{cascade: {samples: 2}}", 2),
        ("{cascade: true}", "{}", 1),
        ("{cascade: {samples: 2}}", "{cascade: false}", None),
    ],
)
def test_a_cascade_is_switched_on_or_says_how_many_samples_agree(
    snapshot_of: Build, defaults: str, route: str, samples: int | None
) -> None:
    made = snapshot_of(f"{P}models: {{m: {{provider: p}}}}\ndefaults: {defaults}\nroutes: {{r: {route}}}")
    cascade = made.routes["r"].cascade
    assert (cascade.samples if cascade is not None else None) == samples
    assert not any("cascade" in warning for warning in made.warnings)


def test_a_cascade_takes_no_more_than_two_samples(complaints: Complain) -> None:
    assert any("routes.r.cascade" in line for line in complaints(f"{P}routes: {{r: {{cascade: {{samples: 3}}}}}}"))


def test_a_budget_is_a_rule_for_each_of_its_units(snapshot_of: Build) -> None:
    made = snapshot_of("policies: {budgets: {a: {usd: 0.1, tokens: 500, per: day, scope: 'tag:project'}}}")
    assert made.budgets == (
        Rule("policies.budgets.a", "tag:project", "picousd", "day", 100_000_000_000),
        Rule("policies.budgets.a", "tag:project", "tokens", "day", 500),
    )


def test_keys_and_their_owners_may_have_a_budget_in_total(snapshot_of: Build) -> None:
    made = snapshot_of("policies: {budgets: {a: {usd: 1, per: total, scope: team}}}")
    assert made.budgets == (Rule("policies.budgets.a", "team", "picousd", "total", 10**12),)


@pytest.mark.parametrize(
    ("budget", "told"),
    [
        ("{per: day}", "it limits nothing"),
        ("{usd: 1, scope: teams}", "Did you mean `team`"),
        ("{usd: 1, scope: 'tag:'}", "there is no scope `tag:`"),
        ("{usd: 1, per: total, scope: 'tag:project'}", "no total is kept of each tag:project"),
        ("{usd: 1, per: total, scope: model}", "no total is kept of each model"),
        ("{requests: 0}", "requests"),
        ("{usd: -1}", "usd"),
    ],
)
def test_a_budget_that_cannot_be_meant_is_refused(snapshot_of: Build, budget: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        snapshot_of(f"policies: {{budgets: {{a: {budget}}}}}")


def test_who_takes_a_prefill_is_known_and_the_configuration_knows_better(snapshot_of: Build) -> None:
    text = """
models:
  old: {provider: anthropic, name: claude-haiku-4-5}
  new: {provider: anthropic, name: claude-opus-5-5}
  sure: {provider: anthropic, name: claude-opus-5-6, capabilities: {prefill: true}}
  never: {provider: anthropic, name: claude-sonnet-4-5, capabilities: {prefill: false}}
"""
    made = snapshot_of(text, {"ANTHROPIC_API_KEY": "a"})
    assert {name: one.targets[0].prefill for name, one in made.aliases.items()} == {
        "old": True,
        "new": False,
        "sure": True,
        "never": False,
    }


def test_broken_streams_are_resumed_safely_unless_told_otherwise(snapshot_of: Build) -> None:
    text = "defaults: {resume: on}\nroutes: {never: {resume: off}, auto: {}}"
    made = snapshot_of(text, {"OPENAI_API_KEY": "o"})
    assert (made.defaults.resume, made.routes["never"].resume, made.routes["auto"].resume) == ("on", "off", "on")
    assert snapshot_of("{}", {"OPENAI_API_KEY": "o"}).defaults.resume == "safe"


def test_a_limit_of_money_is_the_routes_or_the_defaults_to_the_last_picodollar(snapshot_of: Build) -> None:
    text = "defaults: {max_cost_usd: 0.1}\nroutes: {rich: {max_cost_usd: 2}, free: {max_cost_usd: 0}, auto: {}}"
    made = snapshot_of(text, {"OPENAI_API_KEY": "o"})
    limits = {name: route.max_cost_picousd for name, route in made.routes.items()}
    assert limits == {"rich": 2 * 10**12, "free": 0, "auto": 10**11}
    assert made.defaults.max_cost_picousd == 10**11
    assert snapshot_of("{}", {"OPENAI_API_KEY": "o"}).defaults.max_cost_picousd is None


def test_the_longest_answer_of_a_model_is_known_from_the_catalogue(snapshot_of: Build) -> None:
    text = "models: {a: {provider: openai, name: gpt-4o}, b: {provider: openai, name: unheard-of}}"
    made = snapshot_of(text, {"OPENAI_API_KEY": "o"})
    assert {name: one.targets[0].max_output for name, one in made.aliases.items()} == {"a": 16_384, "b": None}


def test_a_short_shape_with_priorities_loads_alone_with_warnings(snapshot_of: Build) -> None:
    made = snapshot_of(SHAPE, {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"})
    assert made.routes["auto"].candidates == ("primary", "fast")
    assert [t.id for a in made.aliases.values() for t in a.targets] == [
        "anthropic/claude_opus_4",
        "openai/llama_3_8b_awq",
    ]
    assert [w.split(": ", 1)[1] for w in made.warnings] == [
        "models.primary.fallback[0]: there is no model `gpt_4o`, so this fallback never happens.",
        "models.primary.fallback[1]: there is no model `gemini_pro`, so this fallback never happens.",
        "models.fast.fallback[0]: there is no model `groq_llama`, so this fallback never happens.",
    ]
    assert made.providers["anthropic"].chat_dialect == "anthropic.messages"
    swapped = snapshot_of(SHAPE.replace("priority: 1", "priority: 9"), {})
    assert swapped.routes["auto"].candidates == ("primary", "fast"), "without targets there is no priority"
    both = {"ANTHROPIC_API_KEY": "a", "OPENAI_API_KEY": "o"}
    assert snapshot_of(SHAPE.replace("priority: 1", "priority: 9"), both).routes["auto"].candidates == (
        "fast",
        "primary",
    )


def test_a_well_known_provider_without_its_key_leaves_its_models_out_and_says_so(snapshot_of: Build) -> None:
    made = snapshot_of(SHAPE, {})
    assert not any(alias.targets for alias in made.aliases.values())
    assert made.providers == {}
    assert "ANTHROPIC_API_KEY is not set" in made.warnings[0]
    assert made.warnings[-1].startswith("There is no model that can answer by name: only `provider/model`")


REFUSED = [
    (
        "a route to a model that is not there",
        P + "models: {gpt_4o: {provider: p}}\nroutes: {r: {tasks: {code: gpt_4}, complexity: {low: zzzz}}}",
        [
            (
                "f.yaml:3:28: routes.r.tasks.code: there is no model `gpt_4`. Wanted: a name under models. "
                "Did you mean `gpt_4o`?"
            ),
            (
                "f.yaml:3:54: routes.r.complexity.low: there is no model `zzzz`. Wanted: a name under models. "
                "Add it under models: zzzz: {provider: ..., name: ...}."
            ),
        ],
    ),
    (
        "one name for a model and a route",
        P + "models: {a: {provider: p}}\nroutes: {a: {}}",
        ["f.yaml:2:13: models.a: `a` is a route too. Wanted: one name for one thing. Rename the model or the route."],
    ),
    (
        "a model called auto",
        P + "models: {auto: {provider: p}}",
        [
            (
                "f.yaml:2:16: models.auto: `auto` is a route that always exists. Wanted: one name for one thing. "
                "Rename the model or the route."
            )
        ],
    ),
    (
        "a provider that is not there",
        P + "models: {a: {provider: q}}",
        [
            (
                "f.yaml:2:24: models.a.provider: there is no provider `q`. Wanted: a name under providers. "
                "Configure it under providers: q: {kind: ...}."
            )
        ],
    ),
    (
        "a provider nearly called so",
        (
            "providers: {vllm-eu: {kind: openai, base_url: 'http://h'}}\n"
            "models: {a: {deployments: [{provider: vlm-eu, name: x}]}}"
        ),
        [
            (
                "f.yaml:2:39: models.a.deployments[0].provider: there is no provider `vlm-eu`. "
                "Wanted: a name under providers. Did you mean `vllm-eu`?"
            )
        ],
    ),
    (
        "a model without a provider",
        "models: {a: {}}",
        [
            (
                "f.yaml:1:13: models.a: the model has no provider. Wanted: `provider` or `deployments`. "
                "Add `provider: NAME`, a name under providers."
            )
        ],
    ),
    (
        "both ways of placing a model",
        P + "models: {a: {provider: p, deployments: [{provider: p, name: x}]}}",
        [
            (
                "f.yaml:2:13: models.a: both `deployments` and `provider` or `name` are set. Wanted: one of them. "
                "Move the provider into deployments."
            )
        ],
    ),
    (
        "a base URL without a scheme",
        "providers: {p: {kind: openai, base_url: 'host/v1'}}",
        [
            "f.yaml:1:41: providers.p.base_url: `host/v1` is not an address. Wanted: a URL such as https://host/v1.",
        ],
    ),
    (
        "a base URL with half an address",
        "providers: {p: {kind: openai, base_url: 'http://[::1'}}",
        ["f.yaml:1:41: providers.p.base_url: `http://[::1` is not an address. Wanted: a URL such as https://host/v1."],
    ),
    (
        "a proxy with a password and without an address",
        "providers: {p: {kind: openai, api_key: k, proxy: 'u:pass@h'}}",
        ["f.yaml:1:50: providers.p.proxy: this is not an address. Wanted: a URL such as http://proxy:3128."],
    ),
    (
        "a key that was read with its line break",
        'providers: {p: {kind: openai, api_key: "k\\n", api_keys: [a, " b"]}}',
        [
            (
                "f.yaml:1:40: providers.p.api_key: the key has a line break, a control character or a space at its end "
                "in it. Wanted: a key. Was it read from a file with a line break?"
            ),
            (
                "f.yaml:1:61: providers.p.api_keys[1]: the key has a line break, a control character or a space at its "
                "end in it. Wanted: a key. Was it read from a file with a line break?"
            ),
        ],
    ),
    (
        "a header that would end early",
        'providers: {p: {kind: openai, api_key: k, headers: {x-a: "b\\r\\nc: d"}}}',
        [
            (
                "f.yaml:1:58: providers.p.headers.x-a: a header has a line break or a control character in it. "
                "Wanted: a name and one line of text."
            )
        ],
    ),
    (
        "a route without a name",
        "routes: {'': {}}",
        ['f.yaml:1:14: routes[""]: a route has no name. Wanted: a name that clients can ask for.'],
    ),
    (
        "a model without a name",
        P + "models: {'': {provider: p}}",
        ['f.yaml:2:14: models[""]: a model has no name. Wanted: a name that clients can ask for.'],
    ),
    (
        "a provider with a slash",
        "providers: {a/b: {kind: openai}}",
        [
            (
                "f.yaml:1:18: providers.a/b: a provider's name is empty or has a slash in it. "
                "Wanted: a name such as openai or vllm-eu. `a/b` means model b at a."
            )
        ],
    ),
    (
        "a model that the engine does not have",
        "providers: {local: {kind: llamacpp}}\nmodels: {a: {provider: local, name: local-smal}}",
        [
            (
                "f.yaml:2:37: models.a.name: the engine has no model `local-smal`. Wanted: local-small, local, "
                "local-large, local-embed. Did you mean `local-small`?"
            )
        ],
    ),
    (
        "an engine that is not configured",
        "models: {a: {provider: llamacpp, name: local}}",
        [
            (
                "f.yaml:1:24: models.a.provider: there is no provider `llamacpp`. Wanted: a name under providers. "
                "Configure it under providers: llamacpp: {kind: ...}."
            )
        ],
    ),
    (
        "a compliance set that is not there",
        P + "policies: {compliance: {eu_only: {}}}\nroutes: {r: {compliance: eu_onyl}}",
        [
            (
                "f.yaml:3:26: routes.r.compliance: there is no compliance set `eu_onyl`. "
                "Wanted: a name under policies.compliance. Did you mean `eu_only`?"
            )
        ],
    ),
    (
        "an answer to unknown models that is unknown",
        P + "models: {smart: {provider: p}}\nunknown_model: smrat",
        [
            (
                "f.yaml:3:16: unknown_model: there is no model or route `smrat`. "
                "Wanted: error, or a name under models or routes. Did you mean `smart`?"
            )
        ],
    ),
]


@pytest.mark.parametrize(("text", "lines"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED])
def test_names_that_nothing_answers_to_are_errors(text: str, lines: list[str], complaints: Complain) -> None:
    assert complaints(text) == lines


def test_a_mistake_in_the_defaults_is_told_once(complaints: Complain) -> None:
    assert len(complaints(P + "defaults: {tasks: {code: nope}}\nroutes: {a: {}, b: {}}")) == 1


def test_routes_take_what_they_do_not_say_from_the_defaults(snapshot_of: Build) -> None:
    text = P + (
        "models: {a: {provider: p}, b: {provider: p, name: bb}}\n"
        "defaults: {fallback: [b], unsupported: drop, usage: ask, hold: 1s, max_attempts: 2, stages: [cache],\n"
        "  fallback_on: [error], timeouts: {connect: 1s, total: 9s},\n"
        "  rules: {code: [KOD], long_words: 9}, compliance: c}\n"
        "routes: {r: {timeouts: {total: 3s}, fallback: [], complexity: {low: a}},\n"
        "  s: {unsupported: reject, stages: []}}\n"
        "policies: {compliance: {default: {require: [soc2]}, c: {residency: eu}}}\n"
    )
    made = snapshot_of(text)
    r, s = made.routes["r"], made.routes["s"]
    assert r.limits == Limits(connect_s=1, total_s=3, hold_s=1, max_attempts=2)
    assert (r.fallback, s.fallback, made.defaults.fallback) == ((), ("b",), ("b",))
    assert (r.drop_unsupported, s.drop_unsupported, r.ask_usage) == (True, False, True)
    assert (r.stages, s.stages) == ({"cache"}, frozenset())
    assert r.fallback_on == {"error"}
    assert (r.rules.code, r.rules.long_words, r.rules.translate) == (("kod",), 9, Rules().translate)
    assert r.compliance == (Compliance(frozenset({"soc2"}), name="default"), Compliance(residency="eu", name="c"))
    assert (r.candidates, s.candidates, made.routes["auto"].candidates) == (("a",), ("b",), ("b",))


def test_the_rules_that_may_be_written_are_the_rules_that_routes_have() -> None:
    assert set(schema_route.Rules.__struct_fields__) == set(Rules.__struct_fields__)
    assert msgspec.structs.asdict(schema_route.Rules()) == msgspec.structs.asdict(Rules())


def test_auto_always_exists_and_takes_all_models_if_it_names_none(snapshot_of: Build) -> None:
    text = P + "models: {e: {provider: p, name: my-embedder}, a: {provider: p}, b: {provider: p, priority: 2}}"
    made = snapshot_of(text)
    assert made.routes["auto"].candidates == ("b", "a", "e")
    assert made.aliases["e"].targets[0].embeds
    assert made.aliases["e"].targets[0].dialect == "openai.embeddings"


def test_deployments_stand_in_order_of_priority(snapshot_of: Build) -> None:
    text = P + (
        "models: {a: {priority: 5, deployments: [{provider: p, name: x}, {provider: p, name: y, priority: 1},"
        " {provider: p, name: z, priority: 5, weight: 3}, {provider: p, name: y, priority: 9}]}}"
    )
    targets = snapshot_of(text).aliases["a"].targets
    assert [(t.name, t.priority, t.weight) for t in targets] == [("y", 1, 1), ("x", 5, 1), ("z", 5, 3)]


def test_a_capability_set_to_false_takes_its_features_away(snapshot_of: Build) -> None:
    text = (
        P
        + "models: {a: {provider: p, capabilities: {tools: false, json_schema: false, vision: true, embeddings: true}}}"
    )
    target = snapshot_of(text).aliases["a"].targets[0]
    assert target.cannot == LACKING["tools"] | LACKING["json_schema"]
    assert target.embeds
    every = snapshot_of(P + "models: {a: {provider: p, capabilities: {vision: false, reasoning: false}}}")
    assert every.aliases["a"].targets[0].cannot == {"images", "image_urls", "reasoning"}


def test_fallback_lists_leave_out_repeats_and_the_model_itself(snapshot_of: Build) -> None:
    text = P + "models: {a: {provider: p, fallback: [a, b, up-b, b]}, b: {provider: p, name: up-b}}"
    made = snapshot_of(text)
    assert made.aliases["a"].fallback == ("b",)
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("gpt-4o-2024-11-20", "gpt-4o"),
        ("claude-sonnet-4-20250514", "claude-sonnet-4"),
        ("claude-sonnet-4@20250514", "claude-sonnet-4"),
        ("gpt-4o", "gpt-4o"),
        ("model-20250514-x", "model-20250514-x"),
    ],
)
def test_dates_are_cut_off_upstream_names(name: str, short: str) -> None:
    assert undated(name) == short


def test_a_name_as_written_wins_over_one_without_its_date(snapshot_of: Build) -> None:
    text = P + "models: {a: {provider: p, name: m-2024-01-01}, b: {provider: p, name: m}}"
    assert snapshot_of(text).by_upstream_name == {"m-2024-01-01": "a", "m": "b"}


def test_the_engine_brings_its_models_unless_one_is_named(snapshot_of: Build) -> None:
    bare = snapshot_of("providers: {eng: {kind: llamacpp, threads: 3, slots: 2}}")
    assert [(a.name, a.targets[0].id) for a in bare.aliases.values()] == [
        ("local-small", "eng/local-small"),
        ("local", "eng/local"),
        ("local-embed", "eng/local-embed"),
    ]
    assert (bare.providers["eng"].base_url, bare.providers["eng"].kind) == ("", "llamacpp")
    assert (bare.providers["eng"].threads, bare.providers["eng"].slots) == (3, 2)
    small, embed = bare.aliases["local-small"].targets[0], bare.aliases["local-embed"].targets[0]
    assert (small.price, small.cannot, small.embeds) == (FREE, ENGINE_CANNOT, False)
    assert (embed.embeds, embed.dialect) == (True, "openai.embeddings")
    named = snapshot_of(
        "providers: {eng: {kind: llamacpp}}\n"
        "models: {a: {provider: eng, name: local-large}, e: {provider: eng, name: local-embed}}"
    )
    assert list(named.aliases) == ["a", "e"]
    assert [a.targets[0].embeds for a in named.aliases.values()] == [False, True]


def test_a_name_of_the_engine_that_is_taken_is_said(snapshot_of: Build) -> None:
    made = snapshot_of(P.rstrip("}\n") + "}, eng: {kind: llamacpp}}\nmodels: {local: {provider: p}}")
    assert [w for w in made.warnings if "`local`" in w]
    assert made.aliases["local"].targets[0].provider == "p"


def test_a_llama_server_elsewhere_is_an_openai_host(snapshot_of: Build) -> None:
    text = "providers: {l: {kind: llamacpp, base_url: 'http://h:1/v1/'}}\nmodels: {a: {provider: l, name: any}}"
    provider = snapshot_of(text).providers["l"]
    assert (provider.kind, provider.base_url, provider.vendor) == ("openai", "http://h:1/v1", "llamacpp")


def test_a_key_never_goes_to_somebody_else_because_of_a_missing_url(snapshot_of: Build) -> None:
    made = snapshot_of("providers: {groq: {kind: openai, api_key: k}, x: {kind: openai, api_key: k}}")
    assert made.providers["groq"].base_url == "https://api.groq.com/openai/v1"
    assert made.providers["x"].base_url == "https://api.openai.com/v1"


def test_the_vendor_is_known_by_address_then_by_kind_or_name(snapshot_of: Build) -> None:
    text = (
        "providers: {a: {kind: openai, base_url: 'https://api.mistral.ai/v1', api_key: k}, b: {kind: xai, api_key: k},"
        " openai: {kind: openai, base_url: 'http://proxy/v1'}, c: {kind: openai, base_url: 'http://own/v1'},"
        " d: {kind: anthropic, base_url: 'http://own'}}"
    )
    vendors = {name: p.vendor for name, p in snapshot_of(text).providers.items()}
    assert vendors == {"a": "mistral", "b": "xai", "openai": "openai", "c": "", "d": "anthropic"}


BEDROCK = "providers: {b: {kind: bedrock%s}}\nmodels: {a: {provider: b, name: amazon.nova-lite-v1:0}}"


@pytest.mark.parametrize(
    ("keys", "environ", "region", "base_url"),
    [
        (
            ", region: eu-central-1",
            {"AWS_REGION": "us-east-1"},
            "eu-central-1",
            "https://bedrock-runtime.eu-central-1.amazonaws.com",
        ),
        ("", {"AWS_REGION": "us-east-1"}, "us-east-1", "https://bedrock-runtime.us-east-1.amazonaws.com"),
        (
            "",
            {"AWS_DEFAULT_REGION": "us-gov-west-1"},
            "us-gov-west-1",
            "https://bedrock-runtime.us-gov-west-1.amazonaws.com",
        ),
        (", region: cn-north-1", {}, "cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
        (", region: us-east-1, base_url: 'http://vpce/x/'", {}, "us-east-1", "http://vpce/x"),
    ],
)
def test_bedrock_answers_in_its_region(
    snapshot_of: Build, keys: str, environ: dict[str, str], region: str, base_url: str
) -> None:
    made = snapshot_of(BEDROCK % keys, environ)
    (one,) = made.providers.values()
    assert (one.region, one.base_url, one.chat_dialect) == (region, base_url, "bedrock.converse")
    assert (one.maker_of("m"), one.vendor, one.keys) == ("anthropic", "bedrock", ())
    assert made.warnings == (), "the AWS credential chain is asked at the first request"


@pytest.mark.parametrize(
    ("keys", "key"),
    [
        ("", "k-environment"),
        (", api_key: k-file", "k-file"),
        (", api_keys: [k-file]", "k-file"),
        (", profile: p", None),
    ],
)
def test_bedrocks_api_key_may_come_from_its_variable_but_a_profile_goes_before(
    snapshot_of: Build, keys: str, key: str | None
) -> None:
    environ = {"AWS_REGION": "us-east-1", "AWS_BEARER_TOKEN_BEDROCK": "k-environment"}
    (one,) = snapshot_of(BEDROCK % keys, environ).providers.values()
    assert [secret.reveal() for secret in one.keys] == ([key] if key else [])
    assert one.profile == ("p" if key is None else None)


@pytest.mark.parametrize(
    ("keys", "said"), [("", "AWS_REGION is not set"), (", region: 'eu/../x'", "not a region of AWS")]
)
def test_bedrock_without_a_region_says_what_is_missing(snapshot_of: Build, keys: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"providers\.b\.region.*{said}.*us-east-1"):
        snapshot_of(BEDROCK % keys)


def test_a_profile_at_another_kind_is_not_honoured(snapshot_of: Build) -> None:
    made = snapshot_of("providers: {o: {kind: ollama, profile: p}}\nmodels: {a: {provider: o}}")
    assert made.warnings == ("providers.o.profile means nothing to the kind ollama.",)


def test_a_public_provider_without_a_key_is_doubted(snapshot_of: Build) -> None:
    (warning,) = snapshot_of("providers: {groq: {kind: groq}, l: {kind: ollama}}\nmodels: {a: {provider: l}}").warnings
    assert warning == 'providers.groq has no api_key: groq will refuse. Add api_key: "${GROQ_API_KEY}".'


def test_prices_are_asked_only_where_a_list_can_know_them(snapshot_of: Build) -> None:
    asked: list[Query] = []

    def look_up(queries: Iterable[Query]) -> Prices:
        asked.extend(queries)
        return dict.fromkeys(asked[:1], FREE)

    text = (
        "providers: {openai: {kind: openai, api_key: k}, own: {kind: openai, base_url: 'http://10.1.1.1/v1'},"
        " pub: {kind: openai, base_url: 'https://api.novita.ai/v3'}, g: {kind: gemini, api_key: k},"
        " priced: {kind: groq, api_key: k, price: {input: 1, output: 2, cached_input: 0.5, cache_write: 3}},"
        " in: {kind: openai, base_url: 'http://llm.internal/v1'}}\n"
        "models: {a: {provider: openai, name: x}, b: {provider: own}, c: {provider: pub}, d: {provider: g},"
        " e: {provider: priced}, f: {provider: own, price: {input: 0.0000001, output: 0}}, i: {provider: in}}"
    )
    made = snapshot_of(text, {}, look_up)
    assert asked == [
        Query("x", provider="openai"),
        Query("c", base_url="https://api.novita.ai/v3"),
        Query("d", provider="google"),
    ]
    prices = {name: alias.targets[0].price for name, alias in made.aliases.items()}
    assert prices["a"] == FREE
    assert prices["b"] is prices["c"] is None
    assert prices["e"] == Price(1_000_000, 2_000_000, 500_000, 3_000_000)
    assert prices["f"] == Price(1, 0, 1, 1), "rounded up: a cost is never shown as less than it is"


def test_a_price_of_ones_own_has_rates_for_long_prompts_batches_media_searches_and_answers(snapshot_of: Build) -> None:
    text = (
        "providers: {own: {kind: openai, base_url: 'http://10.1.1.1/v1'}, openrouter: {kind: openrouter, api_key: k}}\n"
        "models:\n"
        "  a: {provider: own, price: {input: 1, output: 2, cache_write: 1.25, cache_write_1h: 2, audio_input: 8,"
        " search: 10, request: 5,"
        " above: {200000: {input: 2, output: 4}, 100000: {input: 1.5, output: 3}},"
        " services: {batch: {input: 0.5, output: 1}}}}\n"
        "  b: {provider: openrouter, name: x, price: {input: 1, output: 2}}\n"
        "  c: {provider: openrouter, name: y}\n"
    )
    made = snapshot_of(text, {}, lambda queries: {})
    targets = {name: alias.targets[0] for name, alias in made.aliases.items()}
    besides: dict[str, Any] = {"kinds": (("search", 10_000_000_000),), "request": 5_000_000_000}
    assert targets["a"].price == Price(
        1_000_000,
        2_000_000,
        1_000_000,
        1_250_000,
        tiers=(
            (100_000, Price(1_500_000, 3_000_000, 1_500_000, 1_500_000, **besides)),
            (200_000, Price(2_000_000, 4_000_000, 2_000_000, 2_000_000, **besides)),
        ),
        kinds=(("cache_write_1h", 2_000_000), ("audio_input", 8_000_000), ("search", 10_000_000_000)),
        services=(("batch", Price(500_000, 1_000_000, 500_000, 500_000, **besides)),),
        request=5_000_000_000,
    )
    assert [targets[name].tells_cost for name in "abc"] == [False, False, True], "a price of one's own goes first"


def test_the_hash_changes_with_behaviour_and_with_nothing_else(example: str, keys: Mapping[str, str]) -> None:
    def made(text: str, environ: Mapping[str, str] = keys, file: str = "a.yaml") -> Snapshot:
        return resolve(parse(text, file, environ), environ, nothing)

    first = made(example)
    assert len(first.hash) == 16
    assert made("# words\n" + example, file="b.yaml").hash == first.hash
    for old, new in (("20s", "21s"), ("weight: 2", "weight: 3"), ("[soc2]", "[gdpr]"), ("30d", "31d"), ("us}", "eu}")):
        assert made(example.replace(old, new)).hash != first.hash
    assert made(example, {**keys, "OPENAI_API_KEY": "other"}).hash != first.hash


def test_without_a_file_keys_bring_models_and_the_engine_is_there(tmp_path: Path) -> None:
    environ = {"GOOGLE_API_KEY": "g", "GROQ_API_KEY": "q", "MISTRAL_API_KEY": ""}
    loaded = load_snapshot(None, environ, tmp_path, nothing)
    made = loaded.snapshot
    assert list(made.providers) == ["gemini", "groq", "local"]
    assert made.unknown_model == "auto"
    assert made.source is None
    assert made.warnings == ()
    *keys, auto = loaded.spends
    assert [line.split(":")[0] for line in keys] == [
        "will spend on gemini (key from GOOGLE_API_KEY)",
        "will spend on groq (key from GROQ_API_KEY)",
    ]
    assert auto.startswith("will spend by `auto` on gemini-2.5-flash-lite for short requests and extraction, on gemini")
    chat = [name for name in made.routes["auto"].candidates if not made.aliases[name].targets[0].embeds]
    assert chat[-2:] == ["local", "local-small"]
    assert made.providers["gemini"].keys[0].reveal() == "g"


def test_without_a_file_and_keys_only_the_engine_is_there(tmp_path: Path) -> None:
    loaded = load_snapshot(None, {}, tmp_path, nothing)
    assert list(loaded.snapshot.aliases) == ["local-small", "local", "local-embed"]
    assert loaded.snapshot.routes["auto"].candidates == ("local", "local-small", "local-embed")
    assert loaded.spends == ()
    assert loaded.path is None


def test_a_file_found_in_the_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "afterbay.yaml").write_text(P + "models: {a: {provider: p}}", "utf-8")
    loaded = load_snapshot(None, {"OPENAI_API_KEY": "k"}, tmp_path, nothing)
    assert list(loaded.snapshot.aliases) == ["a"]
    assert loaded.path == tmp_path / "afterbay.yaml"
    assert loaded.snapshot.source == str(tmp_path / "afterbay.yaml")


def test_the_catalogue_knows_every_kind_and_says_where_it_is_from() -> None:
    from typing import get_args

    from afterbay.config.schema import ProviderKind

    rows = catalog().provider
    assert {row.name for row in rows} == set(get_args(ProviderKind))
    assert all(row.source for row in rows)
    models = [model for row in rows for model in row.models]
    assert len(models) == len(set(models)), "without a file they are aliases"
    assert all(bool(row.models) == bool(row.key_variables) for row in rows)


def test_a_snapshot_cannot_be_changed(snapshot_of: Build) -> None:
    made = snapshot_of(P)
    with pytest.raises(AttributeError):
        made.hash = "x"  # type: ignore[misc]
    assert msgspec.structs.replace(made, hash="x").hash == "x"


def test_an_authority_that_is_not_there_is_said_before_a_request_fails(snapshot_of: Build, tmp_path: Path) -> None:
    (tmp_path / "junk.pem").write_text("no certificate")
    for name in ("missing.pem", "junk.pem"):
        with pytest.raises(ConfigError, match=r"providers\.p\.ca_file: .* is not there, or holds no certificate"):
            snapshot_of(f"providers: {{p: {{kind: openai, api_key: k, ca_file: '{tmp_path / name}'}}}}")


def test_an_embedded_model_reads_no_images_and_takes_no_reasoning_effort(snapshot_of: Build) -> None:
    text = "providers: {l: {kind: llamacpp}}\nmodels: {a: {provider: l, name: local}}"
    made = snapshot_of(text)
    assert made.aliases["a"].targets[0].cannot == {"images", "image_urls", "reasoning"}
    direct = direct_target(made, "l", "local")
    assert direct is not None
    assert direct.cannot == made.aliases["a"].targets[0].cannot


def test_how_long_a_client_may_be_away_is_said_by_the_route_or_the_defaults(snapshot_of: Build) -> None:
    text = P + "models: {a: {provider: p}}\n"
    assert snapshot_of(text).defaults.reconnect_s == 0.0
    found = snapshot_of(
        text + "defaults: {reconnect: 30s}\nroutes: {r: {reconnect: 500ms}, s: {}, t: {reconnect: 0s}}\n"
    )
    assert found.defaults.reconnect_s == 30.0
    assert [found.routes[name].reconnect_s for name in "rst"] == [0.5, 30.0, 0.0]


def test_what_is_done_with_tool_calls_is_said_by_the_route_or_the_defaults(snapshot_of: Build) -> None:
    text = P + (
        "models: {a: {provider: p}}\n"
        "defaults: {tool_repair: all, tool_reask: 1, tool_order: {book: [search, price]}}\n"
        "routes: {r: {tool_repair: 'off', tool_reask: 0}, s: {tool_order: {x: [y]}}}\n"
    )
    made = snapshot_of(text)
    r, s = made.routes["r"], made.routes["s"]
    assert (r.tool_repair, r.tool_reask, r.tool_order) == ("off", False, {"book": {"search", "price"}})
    assert (s.tool_repair, s.tool_reask, s.tool_order) == ("all", True, {"x": {"y"}})
    plain = snapshot_of(P + "models: {a: {provider: p}}\n").defaults
    assert (plain.tool_repair, plain.tool_reask, plain.tool_order) == ("translated", False, {})


def test_a_target_knows_the_host_that_it_runs_at(snapshot_of: Build) -> None:
    made = snapshot_of(
        "providers:\n"
        "  groq: {kind: groq, api_key: k}\n"
        "  mine: {kind: openai, base_url: 'https://api.mistral.ai/v1', api_key: k}\n"
        "  grok: {kind: xai, api_key: k}\n"
        "  gpus: {kind: vllm}\n"
        "  new: {kind: openai, base_url: 'https://models.example.org/v1', api_key: k}\n"
        "  inside: {kind: llamacpp}\n"
        "  server: {kind: llamacpp, base_url: 'http://127.0.0.1:8080/v1'}\n"
        "models:\n"
        "  a: {provider: groq, name: m, capabilities: {tools: false}}\n"
        "  b: {provider: mine, name: m}\n"
        "  c: {provider: grok, name: grok-4.7}\n"
        "  d: {provider: gpus, name: m}\n"
        "  e: {provider: new, name: m}\n"
        "  f: {provider: inside, name: local}\n"
        "  g: {provider: server, name: m}\n"
        "  h: {provider: mine, name: mistral-embed}\n"
    )
    at = {name: alias.targets[0] for name, alias in made.aliases.items()}
    assert {name: one.vendor for name, one in at.items()} == {
        "a": "groq",
        "b": "mistral",
        "c": "xai",
        "d": "vllm",
        "e": "",
        "f": "",
        "g": "llamacpp",
        "h": "mistral",
    }
    assert {"n", "logprobs", "tools"} <= at["a"].cannot
    assert at["b"].can == {"top_k", "document_urls"}
    assert "stop" in at["c"].cannot
    assert at["d"].unsaid == {"document_files"}
    assert at["e"].cannot == at["e"].can == at["e"].unsaid == frozenset()
    assert (at["f"].cannot, at["f"].can) == (ENGINE_CANNOT, frozenset())
    assert at["h"].can == frozenset()
    direct = direct_target(made, "groq", "other")
    assert direct is not None
    assert (direct.vendor, "n" in direct.cannot) == ("groq", True)


def test_cohere_is_served_by_its_own_protocol(snapshot_of: Build) -> None:
    made = snapshot_of(
        "providers: {cohere: {kind: cohere, api_key: k}}\n"
        "models: {a: {provider: cohere, name: command-a-03-2025}, e: {provider: cohere, name: embed-v4.0}}"
    )
    assert made.providers["cohere"].base_url == "https://api.cohere.com"
    assert made.aliases["a"].targets[0].dialect == "cohere.chat"
    assert (made.aliases["e"].targets[0].dialect, made.aliases["e"].targets[0].embeds) == ("cohere.embeddings", True)


@pytest.mark.parametrize("variable", ["CO_API_KEY", "COHERE_API_KEY"])
def test_cohere_s_key_is_found_under_either_of_its_names(variable: str, tmp_path: Path) -> None:
    made = load_snapshot(None, {variable: "k"}, tmp_path, nothing).snapshot
    assert made.providers["cohere"].keys[0].reveal() == "k"
