"""The embedded models as a worker sees them: the control process runs them, and says how they do and where they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from afterbay.app.line import LocalModel
from afterbay.app.local_models import EngineUpstream, Listening, LocalModels, Wanted, not_ready
from afterbay.config.snapshot import Provider
from afterbay.ports import Upstream

_UNKNOWN = LocalModel("starting")


class SharedModels:
    """Implements `local_models.Models`. `want` tells the control process of a model that somebody asks for."""

    def __init__(self, want: Callable[[str, str], None]) -> None:
        self._want = want
        self._models: Mapping[str, LocalModel] = {}
        self._first_ready = asyncio.Event()

    @property
    def first_ready(self) -> asyncio.Event:
        """Set once any model is ready."""
        return self._first_ready

    def learn(self, models: Mapping[str, LocalModel]) -> None:
        """How they do now."""
        self._models = models
        if any(one.state == "ready" for one in models.values()):
            self._first_ready.set()

    def begin(self, wanted: list[Wanted]) -> None:
        """The control process has the same configuration, and begins them."""

    async def started(self) -> None:
        """Nothing is begun here."""

    def states(self) -> Mapping[str, str]:
        """What each model is doing."""
        return {name: one.state for name, one in self._models.items()}

    def is_ready(self, name: str) -> bool:
        """Whether it answers now."""
        return self._models.get(name, _UNKNOWN).state == "ready"

    def upstream(self, provider: Provider, name: str) -> Upstream:
        """A model as the engine sees it."""
        return EngineUpstream(self, Wanted(name, provider))

    def engine(self, one: Wanted) -> Listening:
        """Where a model listens that is ready.

        Raises:
            TransportError: it is not; it says what it is doing.
        """
        known = self._models.get(one.name)
        if known is not None and known.state == "ready":
            return known
        if known is None:
            self._want(one.provider.name, one.name)
        raise not_ready((known or _UNKNOWN).state)

    async def close(self) -> None:
        """They are the control process's."""


def told(models: LocalModels) -> dict[str, LocalModel]:
    """What workers are told of the models that run here."""
    found: dict[str, LocalModel] = {}
    for name, state in models.states().items():
        there = models.listening(name)
        found[name] = LocalModel(state) if there is None else LocalModel("ready", there.base_url, there.token)
    return found
