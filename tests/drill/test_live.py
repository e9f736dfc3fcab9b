"""Drills over real sockets: short ones, and the pieces that they are made of."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from afterbay.drill.live import TooMany, in_thread, run_live
from afterbay.drill.report import Asked, Report
from afterbay.drill.scenes import scene

from .support import CONFIG, reach, staged


def drill(folder: Path, name: str, model: str = "auto", text: str = CONFIG) -> tuple[Report, list[str]]:
    found = reach(folder, model, text)
    said: list[str] = []
    asked = Asked(scene(name, found, None, 2.0), found, 1, 40, 20.0)
    return run_live(asked, staged(folder, text).loaded, said.append), said


def test_an_outage_is_survived_by_the_gateway_and_not_without_it(tmp_path: Path) -> None:
    told, said = drill(tmp_path, "outage")
    assert (told.mode, told.hit) == ("real", ("one",))
    assert told.healthy.served == 40
    assert told.failing.served == 40
    assert told.failing.attempts >= 40
    assert told.bare.served_during < told.bare.requests_during
    assert told.extra_cost_picousd is not None
    assert said[0].startswith("providers on loopback: one, two, mine")


def test_a_model_with_one_provider_fails_with_it_and_clients_are_told_so(tmp_path: Path) -> None:
    told, _ = drill(tmp_path, "outage", "alone")
    assert told.failing.served < 40
    assert all(error for error in told.failing.failed)
    assert not told.is_passed


def test_each_protocol_of_a_provider_is_emulated_at_its_own_address(tmp_path: Path) -> None:
    text = """\
providers:
  v: {kind: vertex, project: p, api_key: k, price: {input: 1, output: 1}}
  m: {kind: bedrock, region: us-east-1, api_key: k, price: {input: 1, output: 1}}
models:
  g: {provider: v, name: gemini-2.5-pro, fallback: [c, n]}
  c: {provider: v, name: claude-opus-4-6}
  n: {provider: m, name: amazon.nova-pro-v1}
"""
    told, _ = drill(tmp_path, "rate-limit-storm", "g", text)
    assert (told.healthy.served, told.failing.served) == (40, 40)
    assert told.saved > 0
    assert any("played in chat completions" in one and "m" in one for one in told.remarks)


def test_no_database_of_the_operator_is_written_and_none_is_left(tmp_path: Path) -> None:
    text = CONFIG.replace("sqlite:////srv/afterbay.db", f"sqlite:///{tmp_path / 'theirs.db'}")
    drill(tmp_path, "slow-drip", text=text)
    assert [one.name for one in tmp_path.iterdir()] == ["afterbay.yaml"]


def test_more_providers_than_the_emulator_has_room_for_are_refused(tmp_path: Path) -> None:
    names = [f"p{number}" for number in range(65)]
    text = msgspec.json.encode(
        {
            "providers": {name: {"kind": "openai", "base_url": "http://h/v1"} for name in names},
            "models": {name: {"provider": name, "name": name} for name in names},
            "routes": {"auto": {"fallback": names}},
        }
    ).decode()
    with pytest.raises(TooMany, match="more than 64"):
        drill(tmp_path, "outage", text=text)


def test_what_goes_wrong_in_the_thread_is_raised_outside() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("there")

    with pytest.raises(LookupError, match="there"):
        in_thread(fail())
