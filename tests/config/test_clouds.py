"""Azure and Vertex AI in a configuration, the catalogue of models, and floating pointers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from afterbay.app.snapshots import direct_target
from afterbay.config import upstreams
from afterbay.config.catalog import catalog, pin
from afterbay.config.snapshot import Snapshot

Build = Callable[..., Snapshot]
Complaints = Callable[..., list[str]]


def test_azure_is_served_at_its_resource(snapshot_of: Build) -> None:
    text = (
        "providers: {z: {kind: azure, base_url: 'https://n.openai.azure.com/', api_version: '2024-10-21',"
        " api_key: k}}\n"
        "models: {a: {provider: z, name: dep}, e: {provider: z, name: embed-dep}}"
    )
    made = snapshot_of(text)
    one = made.providers["z"]
    assert made.warnings == ()
    assert one.path_of("/chat/completions", "dep") == (
        "/openai/deployments/dep/chat/completions?api-version=2024-10-21"
    )
    assert made.aliases["a"].targets[0].dialect == "openai.chat"
    assert made.aliases["e"].targets[0].dialect == "openai.embeddings"
    assert one.vendor == "azure"


def test_azure_s_endpoint_may_come_from_the_environment_and_has_to_come_from_somewhere(
    snapshot_of: Build, complaints: Complaints
) -> None:
    text = "providers: {z: {kind: azure, api_key: k}}\nmodels: {a: {provider: z}}"
    made = snapshot_of(text, {"AZURE_OPENAI_ENDPOINT": "https://n.openai.azure.com"})
    assert made.providers["z"].base_url == "https://n.openai.azure.com"
    (told,) = complaints(text, {})
    assert "azure has no `base_url`" in told


@pytest.mark.parametrize(
    ("fields", "environ", "project", "location", "host"),
    [
        ("project: p, location: eu", {}, "p", "eu", "https://aiplatform.eu.rep.googleapis.com"),
        ("project: p", {}, "p", "global", "https://aiplatform.googleapis.com"),
        (
            "",
            {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "us-central1"},
            "e",
            "us-central1",
            "https://us-central1-aiplatform.googleapis.com",
        ),
        ("api_key: k", {"GOOGLE_CLOUD_PROJECT": "e", "GOOGLE_CLOUD_LOCATION": "eu"}, None, "global", "https://aipl"),
        ("api_key: k, base_url: 'http://h/vertex'", {}, None, "global", "http://h/vertex"),
    ],
)
def test_vertex_finds_its_project_and_location(
    snapshot_of: Build, fields: str, environ: dict[str, str], project: str | None, location: str, host: str
) -> None:
    text = f"providers: {{v: {{kind: vertex, {fields}}}}}\nmodels: {{a: {{provider: v, name: gemini-x}}}}"
    one = snapshot_of(text, environ).providers["v"]
    assert (one.project, one.location) == (project, location)
    assert one.base_url.startswith(host)


def test_vertex_without_project_and_key_is_an_error(complaints: Complaints) -> None:
    (told,) = complaints("providers: {v: {kind: vertex}}\nmodels: {a: {provider: v}}", {})
    assert "vertex has neither `project` nor `api_key`" in told
    assert "GOOGLE_CLOUD_PROJECT" in told


def test_claude_on_vertex_speaks_its_own_protocol(snapshot_of: Build) -> None:
    text = "providers: {v: {kind: vertex, api_key: k}}\nmodels: {c: {provider: v, name: claude-sonnet-5-5}}"
    made = snapshot_of(text)
    assert made.aliases["c"].targets[0].dialect == "anthropic.messages"
    direct = direct_target(made, "v", "claude-opus-5-5")
    assert direct is not None
    assert direct.dialect == "anthropic.messages"
    assert direct.context_tokens == 1_000_000


def test_a_cloud_without_key_and_library_is_doubted(snapshot_of: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstreams, "_is_installed", lambda library: False)
    text = (
        "providers: {v: {kind: vertex, project: p}, z: {kind: azure, base_url: 'http://h'}}\n"
        "models: {a: {provider: v}, b: {provider: z}}"
    )
    told = snapshot_of(text).warnings
    assert "providers.v has no api_key" in told[0]
    assert "afterbay[gcp]" in told[0]
    assert "over http no token is sent" in told[1]


def test_keys_of_another_kind_are_doubted(snapshot_of: Build) -> None:
    text = (
        "providers: {o: {kind: openai, api_key: k, project: p, api_version: v1}}\nmodels: {a: {provider: o, name: m}}"
    )
    assert snapshot_of(text).warnings == (
        "providers.o.api_version means nothing to the kind openai.",
        "providers.o.project means nothing to the kind openai.",
    )


@pytest.mark.parametrize(
    ("provider", "says"),
    [
        (
            "{kind: azure, api_key: k, base_url: 'https://x.openai.azure.com', api_version: 2024}",
            "`2024` is none of azure",
        ),
        ("{kind: vertex, api_key: k, api_version: v2}", "`v2` is none of vertex: it wants v1 or v1beta1"),
        ("{kind: anthropic, api_key: k, api: responses}", "providers.p.api means nothing to the kind anthropic"),
        ("{kind: vllm, base_url: 'http://localhost:8000'}", "providers.p.base_url has no path"),
        ("{kind: openai, base_url: 'http://10.0.0.5:8000/'}", "providers.p.base_url has no path"),
    ],
)
def test_what_will_not_be_understood_up_there_is_doubted(snapshot_of: Build, provider: str, says: str) -> None:
    (warning,) = snapshot_of(f"providers: {{p: {provider}}}\nmodels: {{a: {{provider: p, name: m}}}}").warnings
    assert says in warning


@pytest.mark.parametrize(
    "provider",
    [
        "{kind: azure, api_key: k, base_url: 'https://x.openai.azure.com', api_version: 2025-04-01-preview}",
        "{kind: azure, api_key: k, base_url: 'https://x.openai.azure.com', api_version: preview, api: responses}",
        "{kind: vertex, api_key: k, api_version: v1}",
        "{kind: openai, api_key: k, base_url: 'https://api.deepseek.com'}",
        "{kind: vllm, base_url: 'http://localhost:8000/v1', api: responses_only}",
    ],
)
def test_what_is_as_it_should_be_is_not(snapshot_of: Build, provider: str) -> None:
    assert snapshot_of(f"providers: {{p: {provider}}}\nmodels: {{a: {{provider: p, name: m}}}}").warnings == ()


def test_a_deployment_of_azure_is_no_floating_pointer_whatever_it_is_called(snapshot_of: Build) -> None:
    text = "providers: {p: {kind: azure, api_key: k, base_url: 'https://x.openai.azure.com'}}\n"
    assert snapshot_of(text + "models: {a: {provider: p, name: gpt-4o}}").warnings == ()


@pytest.mark.parametrize(
    ("kind", "meant"), [("google", "`gemini`"), ("aws", "`bedrock`"), ("Claude", "`anthropic`"), ("gemeni", "`gemini`")]
)
def test_a_kind_by_another_name_is_recognised(complaints: Complaints, kind: str, meant: str) -> None:
    (told,) = complaints(f"providers: {{p: {{kind: {kind}}}}}\nmodels: {{a: {{provider: p}}}}", {})
    assert told.endswith(f"Did you mean {meant}?")


def test_on_is_not_taken_for_off(complaints: Complaints) -> None:
    text = "providers: {p: {kind: vllm}}\nmodels: {a: {provider: p}}\ndefaults: {tool_repair: on}"
    (told,) = complaints(text, {})
    assert "Did you mean" not in told


@pytest.mark.parametrize("order", ["{book: [book]}", "{a: [b], b: [a]}", "{a: [b], b: [c], c: [a], d: [a]}"])
def test_tools_that_wait_for_each_other_are_an_error(complaints: Complaints, order: str) -> None:
    text = "providers: {p: {kind: vllm}}\nmodels: {a: {provider: p}}\n"
    text += f"defaults: {{tool_order: {order}}}"
    (told,) = complaints(text, {})
    assert "defaults.tool_order" in told
    assert "they wait for each other" in told


def test_every_model_belongs_to_a_provider_and_says_where_it_is_from() -> None:
    models = catalog().model
    assert len(models) >= 16
    assert len({(one.provider, one.name) for one in models}) == len(models)
    for one in models:
        assert catalog().named(one.provider) is not None, one.name
        assert one.source, one.name
        assert one.pinned is None or one.pinned != one.name
    for row in catalog().provider:
        for name in row.models:
            known = catalog().model_at(row.name, name)
            assert known is not None or name == "gemini-embedding-001", name
            assert not name.endswith("latest"), name


def test_a_model_that_cannot_see_is_not_chosen_for_images_unless_the_file_says_otherwise(snapshot_of: Build) -> None:
    text = (
        "models:\n  a: {provider: groq, name: llama-3.3-70b-versatile}\n"
        "  b: {provider: groq, name: llama-3.3-70b-versatile, capabilities: {vision: true}, context: 9}\n"
        "  c: {provider: groq, name: unheard-of}\n"
    )
    made = snapshot_of(text, {"GROQ_API_KEY": "k"})
    a, b, c = (made.aliases[name].targets[0] for name in "abc")
    assert {"images", "image_urls", "response_format", "reasoning"} <= a.cannot
    assert not {"json_object", "tools"} & a.cannot
    assert a.context_tokens == 131072
    assert "images" not in b.cannot
    assert b.context_tokens == 9
    assert not {"images", "response_format", "reasoning"} & c.cannot
    assert c.context_tokens is None


def test_an_embedder_s_window_is_for_each_text_and_limits_no_batch(snapshot_of: Build) -> None:
    made = snapshot_of("models: {e: {provider: openai, name: text-embedding-3-small}}", {"OPENAI_API_KEY": "k"})
    assert made.aliases["e"].targets[0].context_tokens is None


def test_a_server_of_one_s_own_is_not_described_by_the_catalogue(snapshot_of: Build) -> None:
    text = (
        "providers: {o: {kind: openai, base_url: 'http://h/v1'}, w: {kind: vllm}}\n"
        "models: {a: {provider: o, name: gpt-4o}, b: {provider: w, name: gpt-4o}}"
    )
    made = snapshot_of(text)
    assert made.aliases["a"].targets[0].context_tokens is None
    assert made.providers["w"].base_url == "http://localhost:8000/v1"
    assert made.warnings == ()


def test_a_dated_name_is_described_by_its_undated_one_also_in_a_cloud() -> None:
    assert catalog().model_at("vertex", "claude-haiku-4-5@20251001") is catalog().model_at(
        "anthropic", "claude-haiku-4-5"
    )
    assert catalog().model_at("azure", "gpt-4o-2024-11-20") is catalog().model_at("openai", "gpt-4o")
    assert catalog().model_at("nobody", "gpt-4o") is None


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o-2024-11-20", None),
        ("chatgpt-4o-latest", ""),
        ("latest", ""),
        ("llama3:latest", ""),
        ("latest-model", None),
        ("greatest", None),
    ],
)
def test_a_floating_name_is_known_with_the_version_to_pin(name: str, instead: str | None) -> None:
    assert pin(name, catalog().model_at("openai", name)) == instead


def test_a_floating_pointer_in_a_file_is_a_warning(snapshot_of: Build) -> None:
    text = (
        "models:\n  m: {provider: mistral, name: mistral-medium-latest}\n"
        "  d: {deployments: [{provider: mistral, name: open-latest}]}\n"
    )
    assert snapshot_of(text, {"MISTRAL_API_KEY": "k"}).warnings == (
        "models.m.name: `mistral-medium-latest` is a floating pointer; pin `mistral-medium-2604`.",
        "models.d.deployments[0].name: `open-latest` is a floating pointer; pin a version.",
    )
