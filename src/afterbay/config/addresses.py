"""Where a provider wants a request: the paths of those who put the model, a version or a project into the address.

Dialects name an endpoint as its inventor does (`/chat/completions`, `/v1beta/models/NAME:generateContent`). Azure and
Vertex AI serve the same bodies elsewhere; these functions say where. Sources: the clients of openai 3.57.0
(`lib/azure.py`), google-genai 3.6.1 (`_api_client.py`, `_transformers.py`) and anthropic 2.13.0 (`lib/vertex`), and the
recordings of both hosts.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote, unquote_plus, urlsplit

from afterbay.core.errors import ClientMistake

VERTEX_VERSION = "v1beta1"
"""What google-genai asks Vertex AI for where nobody chose a version."""

MULTI_REGIONS = frozenset({"us", "eu"})
"""Locations that are served under a host of their own form. Source: google-genai and anthropic, as above."""

_BY_DEPLOYMENT = frozenset({"/chat/completions", "/completions", "/embeddings"})
_SAFE = ":@-._~"
_DECODINGS = 5
_DOTS = re.compile(r"[/\\]\.\.?(?:;[^/\\]*)?(?=[/\\]|:[A-Za-z]+$|$)")
"""A dot segment, also with a parameter, or with Gemini's method behind it."""
_METHOD = re.compile(r"/v1(?:alpha|beta)?/models/[^?]+:(?P<method>[A-Za-z]+)$")
_OWN_RESOURCES = ("publishers/", "endpoints/", "models/", "tunedModels/")
_CLAUDE_PATHS = ("/v1/messages", "/v1/messages/count_tokens")


def azure_path(base_url: str, path: str, deployment: str, api_version: str | None) -> str:
    """The path after an Azure resource's `base_url`.

    A dated `api_version` means the deployment API, where the deployment is part of the path; none, or a word
    (`preview`), means the v1 API, where it is the body's `model`. A `base_url` that goes further than the resource
    (`…/openai`, `…/openai/v1`, `…/openai/deployments/NAME`, `…/models`) is completed only.

    Raises:
        ClientMistake: the deployment's name cannot stand in a path.
    """
    operation, _, query = path.partition("?")
    root = urlsplit(base_url).path.rstrip("/")
    start = "" if root.endswith("/openai") else "/openai"
    if root.endswith(("/v1", "/models")) or "/deployments/" in root:
        found = operation
    elif api_version is None or not api_version[:1].isdigit():
        found = f"{start}/v1{operation}"
    elif operation in _BY_DEPLOYMENT:
        found = f"{start}/deployments/{_segment(deployment)}{operation}"
    else:
        found = f"{start}{operation}"
    kept = [pair for pair in query.split("&") if pair and not unquote_plus(pair).lower().startswith("api-version=")]
    if api_version is not None:
        kept.append(f"api-version={quote(api_version, safe=_SAFE)}")
    return f"{found}?{'&'.join(kept)}" if kept else found


def vertex_base_url(location: str) -> str:
    """The address of Vertex AI's API in a location."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in MULTI_REGIONS:
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def vertex_path(
    path: str, model: str, project: str | None, location: str, version: str | None, *, stream: bool = False
) -> str:
    """The path of a Gemini or Messages request on Vertex AI; without a project that of its express mode.

    Gemini's method and query stay as they are. `stream` matters to Claude's models alone: Gemini's method says it.

    Raises:
        ClientMistake: the model's name cannot stand in a path, or names another project's model.
    """
    start, _, query = path.partition("?")
    if start in _CLAUDE_PATHS:
        counts = start.endswith("/count_tokens")
        method = "streamRawPredict" if stream and not counts else "rawPredict"
        asked = "publishers/anthropic/models/count-tokens" if counts else model
        return f"/{version or VERTEX_VERSION}/{_resource(asked, project, location)}:{method}"
    matched = _METHOD.match(start)
    if matched is None:
        return path
    found = f"/{version or VERTEX_VERSION}/{_resource(model, project, location)}:{matched['method']}"
    return f"{found}?{query}" if query else found


def is_claude(model: str) -> bool:
    """Whether a model's name on Vertex AI is one of Anthropic's, which are asked in Anthropic's own protocol."""
    publisher, _, name = model.removeprefix("publishers/").rpartition("/")
    return name.startswith("claude") and publisher.partition("/")[0] in ("", "anthropic")


def check_straight(path: str, model: str) -> None:
    """Refuses a path that a model's name leads out of: a server behind it may resolve dots, decoded once or twice.

    Raises:
        ClientMistake: it has a dot segment.
    """
    decoded = path.partition("?")[0]
    for _ in range(_DECODINGS):
        if "%" not in decoded:
            break
        decoded = unquote(decoded)
    if _DOTS.search(decoded) is not None:
        raise _mistake(model, "a part of it is only dots")


def _resource(model: str, project: str | None, location: str) -> str:
    """A model's resource name. Source: `t_model` of google-genai; another project's model is refused."""
    home = f"projects/{_segment(project)}/locations/{_segment(location)}/" if project else ""
    if model.startswith("projects/"):
        if not home or not model.startswith(f"projects/{project}/"):
            raise _mistake(model, "it is a model of another project")
        return _segments(model)
    if model.startswith(_OWN_RESOURCES):
        return home + _segments(model)
    publisher, _, name = model.rpartition("/")
    if not publisher:
        publisher = "anthropic" if is_claude(name) else "google"
    return f"{home}publishers/{_segments(publisher)}/models/{_segments(name)}"


def _segments(text: str) -> str:
    return "/".join(_segment(one) for one in text.split("/"))


def _segment(text: str) -> str:
    """One piece of a path. Dots alone would lead elsewhere, and so would a slash."""
    if text in ("", ".", ".."):
        raise _mistake(text, "a part of it is empty or only dots")
    return quote(text, safe=_SAFE)


def _mistake(model: str, why: str) -> ClientMistake:
    text = f"The model's name {model!r} cannot be asked for at this provider: {why}."
    return ClientMistake(text, param="model", remedy="Ask for a model by its own name.")
