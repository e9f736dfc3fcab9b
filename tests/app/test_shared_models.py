"""Local models that another process runs, as a worker sees them."""

from __future__ import annotations

from typing import cast

import pytest

from afterbay.app.line import LocalModel
from afterbay.app.local_models import LocalModels, Wanted
from afterbay.app.shared_models import SharedModels, told
from afterbay.config.snapshot import Provider
from afterbay.ports import TransportError

PROVIDER = Provider("inside", "llamacpp", "", "openai.chat", None)
ONE = Wanted("local", PROVIDER)
READY = LocalModel("ready", "http://127.0.0.1:7/v1", "token")


async def test_a_model_is_used_where_it_listens_once_the_control_process_says_that_it_is_ready() -> None:
    wanted: list[tuple[str, str]] = []
    models = SharedModels(lambda provider, model: wanted.append((provider, model)))
    models.learn({"local": LocalModel("loading")})
    assert not models.is_ready("local")
    assert not models.first_ready.is_set()
    with pytest.raises(TransportError, match="the local model is loading") as refused:
        models.engine(ONE)
    assert refused.value.retry_after_s is not None
    models.learn({"local": READY})
    assert models.is_ready("local")
    assert models.first_ready.is_set()
    assert models.states() == {"local": "ready"}
    assert models.engine(ONE).base_url == "http://127.0.0.1:7/v1"
    assert not wanted, "it was begun already"


async def test_a_model_that_nobody_began_is_asked_of_the_control_process() -> None:
    wanted: list[tuple[str, str]] = []
    models = SharedModels(lambda provider, model: wanted.append((provider, model)))
    with pytest.raises(TransportError):
        models.engine(ONE)
    assert wanted == [("inside", "local")]


async def test_one_that_failed_is_not_to_be_asked_again() -> None:
    models = SharedModels(lambda provider, model: None)
    models.learn({"local": LocalModel("failed: no memory")})
    with pytest.raises(TransportError) as refused:
        models.engine(ONE)
    assert refused.value.retry_after_s is None


def test_workers_are_told_where_a_model_listens_only_while_it_is_ready() -> None:
    class Running:
        def states(self) -> dict[str, str]:
            return {"local": "ready", "local-small": "installing 40 %"}

        def listening(self, name: str) -> LocalModel | None:
            return READY if name == "local" else None

    assert told(cast(LocalModels, Running())) == {"local": READY, "local-small": LocalModel("installing 40 %")}
