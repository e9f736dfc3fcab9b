"""From `ProviderConfig` to `snapshot.Provider`: who it is, where it answers, with which keys."""

from __future__ import annotations

import re
import ssl
from collections.abc import Mapping
from importlib.util import find_spec
from ipaddress import ip_address
from types import MappingProxyType
from urllib.parse import urlsplit

import msgspec

from afterbay.config.addresses import vertex_base_url
from afterbay.config.catalog import CHAT_DIALECT, EMBED_DIALECT, RESPONSES, Row, catalog, host_of
from afterbay.config.facts import check_facts, facts_of, names_of
from afterbay.config.load import Document
from afterbay.config.problem import Problem, child, did_you_mean
from afterbay.config.schema import Protocol, ProviderConfig
from afterbay.config.snapshot import Provider
from afterbay.core.secret import Secret

_KINDS_WITH_KEY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"api_version": ("azure", "vertex"), "project": ("vertex",), "location": ("vertex",), "profile": ("bedrock",)}
)
"""Keys that mean something to some kinds only; to none: this release does not serve whose they are."""

_TOKEN_LIBRARY = MappingProxyType({"azure": ("azure.identity", "azure"), "vertex": ("google.auth", "gcp")})
"""What gets tokens for a cloud provider without a key, and the extra that installs it."""

_API_VERSIONS: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType(
    {
        "azure": (
            re.compile(r"\d{4}-\d{2}-\d{2}(?:-preview)?|v1|preview|latest"),
            "a date such as 2024-10-21, or preview",
        ),
        "vertex": (re.compile(r"v1|v1beta1"), "v1 or v1beta1"),
    }
)
"""How the versions of a kind's API are written. Source: learn.microsoft.com, Azure OpenAI's API lifecycle;
cloud.google.com/vertex-ai/docs/reference/rest (November 2026)."""

_BARE_KINDS = ("openai", "vllm", "sglang", "ollama")
"""Kinds for servers of one's own, which answer below `/v1`."""

_AWS_REGION = re.compile(r"[a-z]{2,5}(?:-[a-z]+)+-\d{1,2}")
_AWS_SUFFIX = {"cn": "amazonaws.com.cn", "eusc": "amazonaws.eu"}
"""Where an AWS region's first word has a domain of its own. Source: botocore 1.44, partitions.json."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Upstream(msgspec.Struct, frozen=True):
    """A provider and what is known of it. `served` None: it is left out, with a warning."""

    name: str
    config: ProviderConfig
    served: Provider | None
    row: Row | None

    @property
    def is_engine(self) -> bool:
        """Whether this is the engine inside, not a server somewhere."""
        return self.served is not None and self.served.kind == "llamacpp"


def resolve_upstreams(
    document: Document, environ: Mapping[str, str], problems: list[Problem], warnings: list[str]
) -> dict[str, Upstream]:
    """All providers that are configured, and the well-known ones that models name without configuring them."""
    configured = dict(document.config.providers)
    found = {name: _resolve(document, name, config, environ, problems, warnings) for name, config in configured.items()}
    for path, name in _named_by_models(document):
        if name in found:
            continue
        row = catalog().named(name)
        if row is None or not row.key_variables:
            remedy = did_you_mean(name, configured) or f"Configure it under providers: {name}: {{kind: ...}}."
            problems.append(document.problem(path, f"there is no provider `{name}`", "a name under providers", remedy))
            continue
        found[name] = _implied(name, row, environ, warnings)
    return found


def _named_by_models(document: Document) -> list[tuple[str, str]]:
    """(key path, provider name) of every mention in `models`."""
    mentions: list[tuple[str, str]] = []
    for alias, model in document.config.models.items():
        path = child("models", alias)
        if model.provider is not None:
            mentions.append((f"{path}.provider", model.provider))
        mentions += [(f"{path}.deployments[{i}].provider", d.provider) for i, d in enumerate(model.deployments)]
    return mentions


def _implied(name: str, row: Row, environ: Mapping[str, str], warnings: list[str]) -> Upstream:
    """A well-known provider that the file does not configure: its address, and the key of its variable."""
    key = next((environ[variable] for variable in row.key_variables if environ.get(variable)), None)
    config = ProviderConfig(kind=row.name, api_key=key)  # type: ignore[arg-type]  # rows are named like kinds
    if key is None:
        warnings.append(
            f"Provider `{name}` is not configured and {' or '.join(row.key_variables)} is not set: models at it are "
            f"left out. Set the variable, or configure providers.{name}."
        )
        return Upstream(name, config, None, row)
    return Upstream(name, config, _provider(name, config, row.protocol, row.base_url, row), row)


def _resolve(
    document: Document,
    name: str,
    config: ProviderConfig,
    environ: Mapping[str, str],
    problems: list[Problem],
    warnings: list[str],
) -> Upstream:
    path = child("providers", name)
    if not name or "/" in name:
        what = "a provider's name is empty or has a slash in it"
        problems.append(document.problem(path, what, "a name such as openai or vllm-eu", "`a/b` means model b at a."))
    config = _with_aws(document, path, config, environ, problems)
    _check_urls(document, path, config, problems)
    check_facts(document, path, config.compliance, problems)
    _warn(path, name, config, warnings)
    kind_row = catalog().named(config.kind)
    assert kind_row is not None, config.kind  # noqa: S101 - a test holds schema and catalogue together
    protocol = kind_row.protocol
    if protocol in _TOKEN_LIBRARY:
        served = _in_cloud(document, path, name, config, environ, problems, warnings)
        return Upstream(name, config, served, kind_row)
    name_row = catalog().named(name)
    # `groq: {kind: openai}` without a URL is Groq: its key must not go to OpenAI
    row = name_row if name_row is not None and name_row.protocol == protocol and config.kind == protocol else kind_row
    if protocol == "llamacpp" and config.base_url is not None:
        return Upstream(name, config, _provider(name, config, "openai", config.base_url, None, "llamacpp"), None)
    base_url = config.base_url if config.base_url is not None else row.base_url
    vendor = catalog().at(base_url) or (None if row.name == "openai" and config.base_url and name != "openai" else row)
    _warn_keyless(path, config, vendor, warnings)
    return Upstream(name, config, _provider(name, config, protocol, base_url, vendor), vendor)


def _in_cloud(
    document: Document,
    path: str,
    name: str,
    config: ProviderConfig,
    environ: Mapping[str, str],
    problems: list[Problem],
    warnings: list[str],
) -> Provider:
    """Azure or Vertex AI: an address of one's own, and tokens where there is no key.

    An api_key in the file wins over a project in the environment, as in google-genai 3.6.1.
    """
    keyed = bool(config.api_key or config.api_keys)
    takes_tokens = not keyed and not config.headers
    base_url, project, location = config.base_url, None, "global"
    if config.kind == "azure":
        base_url = base_url if base_url is not None else environ.get("AZURE_OPENAI_ENDPOINT") or None
        if base_url is None:
            remedy = "Add base_url: https://NAME.openai.azure.com, or set AZURE_OPENAI_ENDPOINT."
            problems.append(document.problem(path, "azure has no `base_url`", "the resource's endpoint", remedy))
    else:
        from_environ = not keyed
        project = config.project or (environ.get("GOOGLE_CLOUD_PROJECT") or None if from_environ else None)
        set_location = environ.get("GOOGLE_CLOUD_LOCATION") if from_environ or project else None
        location = config.location or set_location or "global"
        base_url = base_url if base_url is not None else vertex_base_url(location)
        if project is None and takes_tokens:
            remedy = "Add project: NAME, set GOOGLE_CLOUD_PROJECT, or add an api_key (express mode needs no project)."
            problems.append(document.problem(path, "vertex has neither `project` nor `api_key`", "one of them", remedy))
    if takes_tokens and base_url is not None:
        _warn_tokenless(path, config, base_url, warnings)
    made = _provider(name, config, "azure" if config.kind == "azure" else "vertex", base_url or "", None, config.kind)
    return msgspec.structs.replace(made, api_version=config.api_version, project=project, location=location)


def _warn_tokenless(path: str, config: ProviderConfig, base_url: str, warnings: list[str]) -> None:
    """Says that no token can be had: nothing is installed that gets one, or it would travel in the open."""
    library, extra = _TOKEN_LIBRARY[config.kind]
    if not base_url.startswith("https:"):
        warnings.append(f"{path} has no api_key, and over http no token is sent: {config.kind} may refuse.")
    elif not _is_installed(library):
        warnings.append(
            f"{path} has no api_key, and what gets tokens is not installed: {config.kind} will refuse. Add api_key, "
            f"or install it: pip install 'afterbay[{extra}]'."
        )


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ImportError:  # not even the package around it
        return False


def _provider(
    name: str, config: ProviderConfig, protocol: Protocol, base_url: str, row: Row | None, vendor: str = ""
) -> Provider:
    keys = ([config.api_key] if config.api_key else []) + [key for key in config.api_keys if key]
    dialect, also = _spoken(config.api, protocol, has_both=row is not None and row.responses)
    return Provider(
        name=name,
        kind=protocol,
        base_url=base_url.rstrip("/"),
        chat_dialect=dialect,
        also_speaks=also,
        embed_dialect=EMBED_DIALECT[protocol],
        keys=tuple(Secret(key) for key in dict.fromkeys(keys)),
        headers=dict(config.headers),
        proxy=config.proxy,
        ca_file=config.ca_file,
        region=config.region,
        profile=config.profile,
        compliance=names_of(config.compliance),
        facts=facts_of(config.compliance),
        concurrent=config.limits.concurrent,
        threads=config.threads,
        slots=config.slots,
        vendor=row.name if row is not None else vendor,
    )


def _spoken(api: str, protocol: Protocol, *, has_both: bool) -> tuple[str, tuple[str, ...]]:
    """What a provider is asked in, and what else it takes from clients of it. `has_both`: it is known to have OpenAI's
    Responses beside chat completions; of a host that is not, only a wish (`api`) tells."""
    chat = CHAT_DIALECT[protocol]
    if chat != "openai.chat" or protocol == "llamacpp":
        return chat, ()
    if api == "responses_only":
        return RESPONSES, ()
    return (RESPONSES, (chat,)) if api == "responses" else (chat, (RESPONSES,) if has_both else ())


def _with_aws(
    document: Document, path: str, config: ProviderConfig, environ: Mapping[str, str], problems: list[Problem]
) -> ProviderConfig:
    """Bedrock's configuration with what AWS's own variables say: region, API key, and the address of the region."""
    if config.kind != "bedrock":
        return config
    region = config.region or environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    wanted = "an AWS region such as us-east-1, here or in AWS_REGION"
    if not region:
        problems.append(document.problem(f"{path}.region", "this key is missing, and AWS_REGION is not set", wanted))
        return config
    if not _AWS_REGION.fullmatch(region):
        problems.append(document.problem(f"{path}.region", f"`{region}` is not a region of AWS", wanted))
        return config
    key = config.api_key
    if not key and not config.api_keys and config.profile is None:
        key = environ.get("AWS_BEARER_TOKEN_BEDROCK") or None
    suffix = _AWS_SUFFIX.get(region.partition("-")[0], "amazonaws.com")
    base_url = config.base_url or f"https://bedrock-runtime.{region}.{suffix}"
    return msgspec.structs.replace(config, region=region, api_key=key, base_url=base_url)


def _check_urls(document: Document, path: str, config: ProviderConfig, problems: list[Problem]) -> None:
    for key, url in (("base_url", config.base_url), ("proxy", config.proxy)):
        if url is not None and not _is_http(url):
            origin = document.origins.get(f"{path}.{key}")
            hidden = "@" in url or (origin is not None and origin.kind == "environment")
            what = "this is not an address" if hidden else f"`{url}` is not an address"
            wanted = "a URL such as https://host/v1" if key == "base_url" else "a URL such as http://proxy:3128"
            problems.append(document.problem(f"{path}.{key}", what, wanted))
    if config.ca_file is not None:
        try:
            ssl.create_default_context(cafile=config.ca_file)
        except (OSError, ValueError):
            what, wanted = f"`{config.ca_file}` is not there, or holds no certificate", "a PEM file"
            problems.append(document.problem(f"{path}.ca_file", what, wanted))
    for key, values in (("api_key", (config.api_key or "",)), ("api_keys", config.api_keys)):
        for i, value in enumerate(values):
            if _CONTROL.search(value) or value != value.strip():
                where = f"{path}.{key}" if key == "api_key" else f"{path}.{key}[{i}]"
                what = "the key has a line break, a control character or a space at its end in it"
                problems.append(document.problem(where, what, "a key", "Was it read from a file with a line break?"))
    for header, value in config.headers.items():
        if _CONTROL.search(header + value) or not header or not header.isascii():
            what = "a header has a line break or a control character in it"
            problems.append(document.problem(child(f"{path}.headers", header), what, "a name and one line of text"))


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"\s", url)


def _warn(path: str, name: str, config: ProviderConfig, warnings: list[str]) -> None:
    for key in ("rpm", "tpm"):
        if getattr(config.limits, key) is not None:
            warnings.append(f"{path}.limits.{key} is not honoured by this release.")
    tail = (config.base_url or "").rstrip("/").rpartition("/")[2]
    if config.kind in ("anthropic", "gemini", "vertex", "cohere") and tail in ("v1", "v1beta", "v1beta1", "v2"):
        warnings.append(f"{path}.base_url ends in /{tail}, which is added to it anyway: leave it out for this kind.")
    if config.kind in _BARE_KINDS and _is_bare(config.base_url):
        warnings.append(f"{path}.base_url has no path, and such hosts mostly answer under /v1: add it if yours does.")
    row = catalog().named(config.kind)
    if config.api != "chat" and row is not None and row.protocol not in ("openai", "azure"):
        warnings.append(f"{path}.api means nothing to the kind {config.kind}.")
    versions = _API_VERSIONS.get(config.kind)
    if versions is not None and config.api_version is not None and not versions[0].fullmatch(config.api_version):
        warnings.append(f"{path}.api_version `{config.api_version}` is none of {config.kind}: it wants {versions[1]}.")
    for key, kinds in _KINDS_WITH_KEY.items():
        if getattr(config, key) is not None and config.kind not in kinds:
            only = f"means nothing to the kind {config.kind}" if kinds else "is not honoured by this release"
            warnings.append(f"{path}.{key} {only}.")


def _is_bare(base_url: str | None) -> bool:
    """Whether it is an address without a path, and not of a host that is known to want none."""
    if base_url is None or not _is_http(base_url) or catalog().at(base_url) is not None:
        return False
    return not urlsplit(base_url).path.strip("/")


def _warn_keyless(path: str, config: ProviderConfig, vendor: Row | None, warnings: list[str]) -> None:
    """Says that a public provider will refuse: a server of one's own may well need no key, and so may a proxy."""
    if vendor is None or not vendor.base_url.startswith("https:") or config.api_key or config.api_keys:
        return
    if vendor.protocol == "bedrock":
        if not _is_installed("botocore"):
            warnings.append(
                f"{path} has no api_key, and what signs requests is not installed: bedrock will refuse. Add api_key, "
                "or install it: pip install 'afterbay[aws]'."
            )
        return
    if config.headers or (config.base_url is not None and catalog().at(config.base_url) is None):
        return
    variable = vendor.key_variables[0] if vendor.key_variables else f"{vendor.name.upper()}_API_KEY"
    warnings.append(f'{path} has no api_key: {vendor.name} will refuse. Add api_key: "${{{variable}}}".')


def may_be_listed(base_url: str) -> bool:
    """Whether a price list could know this address: no list knows bare addresses and names inside a network."""
    host = host_of(base_url)
    try:
        ip_address(host)
    except ValueError:
        return "." in host and not host.endswith((".internal", ".local", ".localhost", ".svc"))
    return False
