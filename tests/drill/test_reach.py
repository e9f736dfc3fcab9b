"""Who may serve a model, in which order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from afterbay.core.errors import ClientMistake

from .support import CONFIG, reach


def test_the_targets_of_a_route_stand_in_the_order_in_which_they_are_asked(tmp_path: Path) -> None:
    found = reach(tmp_path)
    assert [one.id for one in found.targets] == ["one/m-1", "two/m-2", "mine/m-3"]
    assert found.providers == ("one", "two", "mine")


def test_the_rules_of_the_route_choose_as_they_would_for_a_short_question(tmp_path: Path) -> None:
    found = reach(tmp_path, text=CONFIG.replace("low: a", "low: b"))
    assert found.providers[0] == "two"


def test_an_alias_has_its_own_fallbacks(tmp_path: Path) -> None:
    assert reach(tmp_path, "alone").providers == ("one",)


def test_a_target_that_is_named_directly_is_drilled_alone(tmp_path: Path) -> None:
    found = reach(tmp_path, "aside/some-model")
    assert [one.id for one in found.targets] == ["aside/some-model"]
    assert "aside/some-model" in found.plan.aliases


def test_of_deployments_that_share_the_traffic_the_one_with_most_of_it_is_first(tmp_path: Path) -> None:
    both = "{provider: one, name: m-1, weight: 1}, {provider: two, name: m-1, weight: 9}"
    found = reach(
        tmp_path, "a", CONFIG.replace("{provider: one, name: m-1, fallback", f"{{deployments: [{both}], fallback")
    )
    assert found.providers[0] == "two"
    firsts = {found.first_for(1, f"r{number}").provider for number in range(100)}
    assert firsts == {"one", "two"}


def test_the_same_request_would_be_sent_to_the_same_target(tmp_path: Path) -> None:
    found = reach(tmp_path)
    assert found.first_for(3, "r") == found.first_for(3, "r")


def test_a_name_that_is_not_there_is_refused_though_unknown_models_have_a_route(tmp_path: Path) -> None:
    with pytest.raises(ClientMistake, match="no model called 'nix'"):
        reach(tmp_path, "nix", CONFIG + "unknown_model: auto\n")
