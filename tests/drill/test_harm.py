"""What an episode does to an emulated provider."""

from __future__ import annotations

import pytest

from afterbay.drill.harm import WELL, harm_of
from afterbay.emulate.profile import plain, read_profile
from afterbay.sim.faults import Fault
from afterbay.sim.scenario import Episode, brown_out, key_revoked, outage, rate_limit_storm, slow_drip
from afterbay.testing.toxics import BlackHole, Down

KEYS = ("first-key", "second-key")


def test_an_outage_of_errors_leaves_the_connection_and_breaks_what_runs() -> None:
    harm = harm_of(outage("a", 1, 2, "unavailable"), WELL, KEYS)
    assert (harm.profile.error_rate, harm.profile.error_statuses) == (1.0, (503,))
    assert (harm.toxics, harm.breaks) == ((), True)


def test_refusing_and_swallowing_connections_are_done_on_the_way() -> None:
    assert harm_of(outage("a", 1, 2, "refused"), WELL, KEYS).toxics == (Down(),)
    assert harm_of(outage("a", 1, 2, "black_hole"), WELL, KEYS).toxics == (BlackHole(),)


def test_a_storm_hits_a_share_and_asks_to_come_back() -> None:
    profile = harm_of(rate_limit_storm("a", 1, 2, 0.8, 2.0), WELL, KEYS).profile
    assert (profile.error_rate, profile.error_statuses) == (0.8, (429,))
    assert profile.retry_after is not None
    assert profile.retry_after.median_s == 2.0


def test_one_key_is_revoked_or_all_of_them() -> None:
    assert harm_of(key_revoked("a", 1, 2, key=2), WELL, KEYS).profile.revoked == ("second-key",)
    assert harm_of(Episode(1, 2, ("a",), Fault("unauthorized")), WELL, KEYS).profile.revoked == KEYS


def test_slowness_multiplies_the_times_of_a_provider_that_is_well() -> None:
    slow = harm_of(brown_out("a", 1, 2, 4.0), WELL, KEYS).profile
    assert slow.ttft.median_s == 4 * WELL.ttft.median_s
    assert slow.ttft.max_s == 4 * WELL.ttft.max_s
    drip = harm_of(slow_drip("a", 1, 2, 50.0), WELL, KEYS).profile
    assert (drip.ttft, drip.between_tokens.median_s) == (WELL.ttft, 50 * WELL.between_tokens.median_s)
    assert drip.error_rate == 0.0


def test_a_changed_profile_can_be_sent_to_the_emulator() -> None:
    profile = harm_of(key_revoked("a", 1, 2), WELL, KEYS).profile
    assert read_profile(plain(profile)) == profile


def test_a_fault_that_no_emulated_provider_has_is_refused() -> None:
    with pytest.raises(ValueError, match="quota"):
        harm_of(Episode(1, 2, ("a",), Fault("quota")), WELL, KEYS)
