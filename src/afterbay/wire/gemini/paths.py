"""Gemini's paths: they name the version, the model and the method.

Source: ai.google.dev/api (November 2026); google-genai 3.6, which asks under `/v1` where its maker chose no version and
under `/v1beta` before. A relay keeps the client's version: v1 does not know every field that v1beta knows.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

_PATH = re.compile(r"/(?P<version>v1(?:beta|alpha)?)/(?:models/)?(?P<model>.+):(?P<method>[A-Za-z]+)$")


class Asked(msgspec.Struct, frozen=True):
    """What a path asks for. `version` is `v1`, `v1beta` or `v1alpha`."""

    version: str
    model: str
    method: str


def read_path(path: str) -> Asked | None:
    """What a client's path (percent-decoded) asks for; None: it is no path of a model's method."""
    found = _PATH.match(path)
    return Asked(**found.groupdict()) if found is not None else None


def model_path(model: str, method: str, version: str = "v1beta") -> str:
    """The path of a model's method, percent-encoded."""
    name = model if model.startswith(("tunedModels/", "models/")) else f"models/{model}"
    return f"/{version}/{quote(name, safe='/:@-._~')}:{method}"


def relay_path(path: str, model: str) -> str:
    """The client's own path, with another model.

    Raises:
        ValueError: it is none of a model's method.
    """
    asked = read_path(path)
    if asked is None:
        raise ValueError(f"{path} names no method of a model")
    return model_path(model, asked.method, asked.version)
