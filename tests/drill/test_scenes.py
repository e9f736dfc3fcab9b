"""Who is hit by each scene, from when to when and how, and what cannot be drilled."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.drill.scenes import SCENES, scene

from .support import CONFIG, reach


@pytest.mark.parametrize("name", sorted(SCENES))
def test_every_scene_happens_within_the_run_and_leaves_time_before_and_after(name: str, tmp_path: Path) -> None:
    made = scene(name, reach(tmp_path), None, 100.0)
    assert made.says == SCENES[name]
    assert made.episodes
    assert all(5 <= one.from_s < one.to_s <= 95 for one in made.episodes)
    assert {name for one in made.episodes for name in one.providers} == set(made.hit)


@pytest.mark.parametrize("name", ["outage", "brown-out", "rate-limit-storm", "slow-drip"])
def test_one_provider_is_hit_the_first_one_unless_another_is_named(name: str, tmp_path: Path) -> None:
    found = reach(tmp_path)
    assert scene(name, found, None, 100.0).hit == ("one",)
    assert scene(name, found, "mine", 100.0).hit == ("mine",)


def test_a_region_takes_all_its_providers_with_it(tmp_path: Path) -> None:
    found = reach(tmp_path)
    assert scene("region-loss", found, None, 100.0).hit == ("one",)
    assert scene("region-loss", found, "mine", 100.0).hit == ("two", "mine")


def test_without_regions_none_can_be_lost(tmp_path: Path) -> None:
    found = reach(tmp_path, text=CONFIG.replace("region: us, ", "").replace("region: eu, ", ""))
    with pytest.raises(ClientMistake, match="No provider of 'auto' has a region"):
        scene("region-loss", found, None, 100.0)
    with pytest.raises(ClientMistake, match="'two' has no region"):
        scene("region-loss", found, "two", 100.0)


def test_of_several_keys_the_first_is_revoked(tmp_path: Path) -> None:
    (episode,) = scene("key-revoked", reach(tmp_path), None, 100.0).episodes
    assert (episode.providers, episode.key) == (("one",), 1)


def test_a_provider_without_a_key_cannot_lose_one(tmp_path: Path) -> None:
    with pytest.raises(ClientMistake, match="'mine' has no key") as caught:
        scene("key-revoked", reach(tmp_path), "mine", 100.0)
    assert "--provider one" in (caught.value.remedy or "")
    with pytest.raises(ClientMistake, match="have no key"):
        scene("key-revoked", reach(tmp_path, "c"), None, 100.0)


def test_in_a_rotation_each_provider_is_out_once_and_never_two_at_a_time(tmp_path: Path) -> None:
    made = scene("provider-rotation", reach(tmp_path), None, 100.0)
    assert [one.providers for one in made.episodes] == [("one",), ("two",), ("mine",)]
    assert all(before.to_s < after.from_s for before, after in zip(made.episodes, made.episodes[1:], strict=False))
    with pytest.raises(ClientMistake, match="Every provider has its turn"):
        scene("provider-rotation", reach(tmp_path), "one", 100.0)


def test_names_that_are_wrong_are_answered_with_those_that_were_meant(tmp_path: Path) -> None:
    found = reach(tmp_path)
    with pytest.raises(ClientMistake, match="no scenario 'outge'") as wrong:
        scene("outge", found, None, 100.0)
    assert wrong.value.remedy == "Did you mean outage?"
    with pytest.raises(ClientMistake, match="no scenario 'xyzzy'") as unlike:
        scene("xyzzy", found, None, 100.0)
    assert "slow-drip" in (unlike.value.remedy or "")
    with pytest.raises(ClientMistake, match="no provider 'oen'") as near:
        scene("outage", found, "oen", 100.0)
    assert near.value.remedy == "Did you mean one?"
    with pytest.raises(ClientMistake, match="ever goes to 'aside'"):
        scene("outage", found, "aside", 100.0)


def test_a_request_is_hit_if_any_moment_of_it_is(tmp_path: Path) -> None:
    made = scene("outage", reach(tmp_path), None, 100.0)
    assert made.is_hit(0.0, 25.5)
    assert made.is_hit(49.5, 60.0)
    assert not made.is_hit(0.0, 25.0)
    assert not made.is_hit(50.0, 60.0)
