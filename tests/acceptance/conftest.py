"""A gateway in front of emulated providers, shared by the tests of a module, and SDK clients for it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from acceptance.several import WORKERS, SeveralWorkers
from afterbay.emulate.profile import Profile
from afterbay.testing import live
from afterbay.testing.live import LiveGateway
from emulate.support import running_in_thread

if WORKERS > 1:  # before the tests import it
    live.LiveGateway = LiveGateway = SeveralWorkers  # type: ignore[misc]

EMBEDDERS = {"vectors": {"provider": "openai", "name": "emu-embed"}}


def emulated(url: str) -> dict[str, Any]:
    """A configuration with the three emulated providers, and an alias for a model of each."""
    providers = {
        "openai": {"kind": "openai", "base_url": f"{url}/openai/v1", "api_key": "sk-up"},
        "anthropic": {"kind": "anthropic", "base_url": f"{url}/anthropic", "api_key": "sk-up"},
        "google": {"kind": "gemini", "base_url": f"{url}/gemini", "api_key": "sk-up"},
    }
    models = {
        name: {"provider": provider, "name": f"emu-{name}", "fallback": []}
        for name, provider in {"gpt": "openai", "claude": "anthropic", "gem": "google"}.items()
    }
    routes = {"auto": {"fallback": ["claude", "gpt", "gem"]}}
    return {"providers": providers, "models": models | EMBEDDERS, "routes": routes}


@pytest.fixture(scope="module")
def emulator_url() -> Iterator[str]:
    with running_in_thread(Profile("instant")) as url:
        yield url


@pytest.fixture(scope="module")
def gateway(emulator_url: str) -> Iterator[LiveGateway]:
    with LiveGateway(emulated(emulator_url)) as running:
        yield running


@pytest.fixture(scope="module")
def gpt(gateway: LiveGateway) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK on the gateway."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def claude(gateway: LiveGateway) -> Iterator[anthropic.Anthropic]:
    """Anthropic's SDK on the gateway."""
    with anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0) as client:
        yield client
