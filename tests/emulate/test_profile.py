"""Profiles: durations, distributions, files, presets, and errors that say where they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.emulate.delay import Delay, read, seconds
from afterbay.emulate.plan import Draws, decide, gap_s
from afterbay.emulate.profile import PRESETS, Profile, ProfileError, find, load, plain, preset, read_file, read_profile


@pytest.mark.parametrize(("written", "meant_s"), [("250ms", 0.25), ("1.5s", 1.5), ("2m", 120), (3, 3), ("0.5", 0.5)])
def test_durations_are_read(written: object, meant_s: float) -> None:
    assert seconds(written) == pytest.approx(meant_s)


@pytest.mark.parametrize("written", ["soon", -1, "2h", float("nan"), True, None, "1e3"])
def test_what_is_no_duration_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        seconds(written)


@given(st.floats(0, 0.999999), st.floats(0, 0.999999))
def test_a_distribution_rises_with_chance_and_keeps_its_bounds(one: float, other: float) -> None:
    delay = Delay(1.0, 3.0, 0.5, 4.0)
    low, high = sorted((one, other))
    assert 0.5 <= delay.draw_s(low) <= delay.draw_s(high) <= 4.0


def test_a_distribution_meets_its_median_and_its_95th_percentile() -> None:
    delay = Delay(0.2, 0.9)
    assert delay.draw_s(0.5) == pytest.approx(0.2)
    assert delay.draw_s(0.95) == pytest.approx(0.9)
    assert Delay(0.2, 0.2).draw_s(0.99) == 0.2
    assert Delay(0.7).draw_s(0.1) == 0.7


def test_distributions_are_read_with_units() -> None:
    assert read({"median": "100ms", "p95": "1s", "min": 0.05}) == Delay(0.1, 1.0, 0.05)
    with pytest.raises(ValueError, match="min <= median <= p95"):
        read({"median": 2, "p95": 1})
    with pytest.raises(ValueError, match="has median and p95"):
        read({"mean": 2})


@pytest.mark.parametrize("one", PRESETS, ids=lambda one: one.name)
def test_a_preset_survives_being_written_and_read(one: Profile) -> None:
    assert read_profile(json.loads(json.dumps(plain(one)))) == one
    assert preset(one.name) is one


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("sloow", "there is no preset 'sloow'; there are instant, healthy"),
        ({"error_rate": 1.5}, r"\$\.error_rate"),
        ({"eror_rate": 0.5}, "eror_rate"),
        ({"ttft": "fast"}, r"'fast' is no duration.*\$\.ttft"),
        ({"error_statuses": [200]}, r"\$\.error_statuses\[0\]"),
        ({"cut_how": "gently"}, r"\$\.cut_how"),
        (7, "Expected `object`"),
    ],
)
def test_a_wrong_profile_says_what_is_wrong(value: object, says: str) -> None:
    with pytest.raises(ProfileError, match=says):
        read_profile(value)


def test_a_profile_can_start_from_a_preset() -> None:
    changed = read_profile({"preset": "flaky", "cut_rate": 0, "retry_after": "2s"})
    assert (changed.cut_rate, changed.error_rate, changed.retry_after) == (0, 0.2, Delay(2.0))


def test_a_file_may_be_yaml_or_json_for_all_or_for_each(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("default: slow\nproviders:\n  openai: down\n  anthropic-b:\n    ttft: {median: 1s, p95: 2s}\n")
    read_back = load(path)
    assert read_back.default == preset("slow")
    assert read_back.providers["openai"].refuse_connections
    assert read_back.providers["anthropic-b"].ttft == Delay(1.0, 2.0)
    path.write_text('{"name": "mine", "cut_rate": 1}')
    assert load(path).default == Profile("mine", cut_rate=1)


def test_a_wrong_file_says_which_provider(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("providers:\n  openai: {hang_rate: 2}\n")
    with pytest.raises(ProfileError, match=r"profiles\.yaml: providers\.openai: .*hang_rate"):
        load(path)
    with pytest.raises(ProfileError, match="absent"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ProfileError, match="has only 'default' and 'providers'"):
        read_file({"default": "slow", "seed": 3})


def test_a_name_on_the_command_line_is_a_preset_or_a_file(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"providers": {"gemini": "slow"}}')
    assert find("flaky").default == preset("flaky")
    assert find(str(tmp_path / "mine.json")).providers == {"gemini": preset("slow")}
    with pytest.raises(ProfileError, match="'flakey' is neither a file nor a preset; the presets are instant"):
        find("flakey")


def test_the_same_request_has_the_same_plan_and_pace() -> None:
    profile = preset("flaky")
    first = [decide(profile, Draws(profile, "openai", number)) for number in range(200)]
    again = [decide(profile, Draws(profile, "openai", number)) for number in reversed(range(200))]
    assert first == again[::-1]
    assert len({one.ttft_s for one in first}) > 190
    draws = Draws(profile, "openai", 5)
    assert [gap_s(profile, first[5], draws, piece) for piece in range(4)] == [
        gap_s(profile, first[5], Draws(profile, "openai", 5), piece) for piece in range(4)
    ]


def test_another_seed_or_provider_is_another_fate() -> None:
    def fates(seed: int, provider: str) -> list[int | None]:
        profile = Profile(seed=seed, error_rate=0.5)
        return [decide(profile, Draws(profile, provider, number)).status for number in range(50)]

    assert fates(0, "openai") != fates(1, "openai")
    assert fates(0, "openai") != fates(0, "gemini")


def test_rates_are_met_and_raising_one_leaves_the_others() -> None:
    def plans(profile: Profile) -> list[tuple[bool, bool]]:
        decided = [decide(profile, Draws(profile, "openai", number)) for number in range(2000)]
        return [(plan.status is not None, plan.cut_at is not None) for plan in decided]

    some = plans(Profile(error_rate=0.1, cut_rate=0.3))
    more = plans(Profile(error_rate=0.6, cut_rate=0.3))
    assert sum(error for error, _ in some) == pytest.approx(200, abs=45)
    assert [cut for _, cut in some] == [cut for _, cut in more]
    assert all(now for (then, _), (now, _) in zip(some, more, strict=True) if then)
