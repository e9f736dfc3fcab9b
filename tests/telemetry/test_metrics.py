"""Metrics derive from records alone, and their labels are bounded."""

from __future__ import annotations

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from afterbay.core.decision import Record
from afterbay.core.usage import Usage
from afterbay.telemetry.metrics import NAMES, OUTCOMES, SERIES, Metrics, names
from afterbay.testing.stores import a_record


@pytest.fixture
def metrics() -> Metrics:
    made = Metrics(process=False)
    made.allow(["auto"], ["gpt_4o"], ["openai"], ["openai/gpt-4o", "groq/llama"])
    return made


def samples(metrics: Metrics, name: str) -> dict[tuple[str, ...], float]:
    """Values of one sample name by the values of its labels, in the order of the labels' names."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        tuple(value for _, value in sorted(sample.labels.items())): sample.value
        for family in families
        for sample in family.samples
        if sample.name == name
    }


def test_a_record_is_counted_with_its_names(metrics: Metrics) -> None:
    metrics.observe_all([a_record(1), a_record(2)])
    assert samples(metrics, "afterbay_requests_total") == {
        ("gpt_4o", "chat", "ok", "openai", "auto", "200", "true"): 2.0
    }


def test_attempts_are_counted_each(metrics: Metrics) -> None:
    metrics.observe(a_record())
    assert samples(metrics, "afterbay_attempts_total") == {
        ("rate_limit", "groq/llama", "primary"): 1.0,
        ("ok", "openai/gpt-4o", "fallback"): 1.0,
    }


def test_tokens_are_counted_in_their_buckets(metrics: Metrics) -> None:
    metrics.observe(a_record(usage=Usage(1, 2, 3, 4, 5, estimated=True)))
    tokens = {key[2]: value for key, value in samples(metrics, "afterbay_tokens_total").items()}
    assert tokens == {"input": 1.0, "cached_input": 2.0, "cache_write": 3.0, "output": 4.0, "reasoning": 5.0}
    assert samples(metrics, "afterbay_estimated_usage_total") == {("gpt_4o", "openai"): 1.0}


def test_cost_is_in_dollars_and_an_unknown_price_is_counted_apart(metrics: Metrics) -> None:
    metrics.observe_all([a_record(1, cost_picousd=2_500_000_000_000), a_record(2, cost_picousd=None)])
    assert samples(metrics, "afterbay_cost_usd_total") == {("gpt_4o", "openai", "auto"): pytest.approx(2.5)}
    assert samples(metrics, "afterbay_unpriced_total") == {("gpt_4o", "openai", "auto"): 1.0}


def test_times_are_seconds_in_the_conventions_histograms(metrics: Metrics) -> None:
    metrics.observe_all([a_record(1, duration_s=1.5, ttft_s=0.4), a_record(2, duration_s=0.5, ttft_s=None)])
    assert samples(metrics, "gen_ai_server_request_duration_seconds_sum") == {("chat", "openai", "gpt_4o"): 2.0}
    assert samples(metrics, "gen_ai_server_time_to_first_token_seconds_count") == {("chat", "openai", "gpt_4o"): 1.0}


def test_names_that_no_configuration_holds_collapse(metrics: Metrics) -> None:
    for number in range(50):
        metrics.observe(
            a_record(
                number, model=f"m{number}", route=f"r{number}", provider=f"p{number}", status=number, outcome="no!"
            )
        )
    assert samples(metrics, "afterbay_requests_total") == {
        ("other", "chat", "other", "other", "other", "other", "true"): 50.0
    }


def test_a_user_cannot_fill_the_outcomes(metrics: Metrics) -> None:
    for number in range(3 * OUTCOMES):
        metrics.observe(a_record(number, outcome=f"code_{number}"))
    outcomes = {key[2] for key in samples(metrics, "afterbay_requests_total")}
    assert len(outcomes) <= OUTCOMES + 1


def test_the_tables_of_children_are_bounded(metrics: Metrics, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SERIES == 20_000
    monkeypatch.setattr("afterbay.telemetry.metrics.SERIES", 5)
    for number in range(50):
        metrics.observe(a_record(number, model=f"m{number}"))
    assert len(metrics._series) == 5


def test_a_reload_adds_names_up_to_a_bound(metrics: Metrics) -> None:
    metrics.observe(a_record(model="new"))
    metrics.allow([], ["new", *(f"m{number}" for number in range(2 * NAMES))], [], [])
    metrics.observe(a_record(model="new"))
    models = {key[0] for key in samples(metrics, "afterbay_requests_total")}
    assert models == {"other", "new"}
    assert len(metrics._names["model"]) == NAMES


def test_a_request_that_met_no_model_counts_too(metrics: Metrics) -> None:
    metrics.observe(Record("req_1", 0.0, "chat", "openai_chat", status=404, outcome="model_not_found"))
    assert samples(metrics, "afterbay_requests_total") == {("", "chat", "model_not_found", "", "", "404", "false"): 1.0}


def test_the_log_and_the_reloads_are_shown(metrics: Metrics) -> None:
    metrics.watch_log(lambda: 3.0, lambda: 2.0, lambda: 1.0, lambda: 4.0)
    metrics.reloaded(True)
    metrics.reloaded(False)
    metrics.open_streams.inc()
    figures = ("queue_depth", "spilled", "dropped", "unjournaled")
    assert [samples(metrics, f"afterbay_log_{name}")[()] for name in figures] == [3.0, 2.0, 1.0, 4.0]
    assert samples(metrics, "afterbay_config_reloads_total") == {("ok",): 1.0, ("refused",): 1.0}
    assert samples(metrics, "afterbay_open_streams") == {(): 1.0}


def test_retries_refused_keys_and_alerts_are_shown(metrics: Metrics) -> None:
    metrics.watch_attempts(lambda: 2.0, lambda: 5.0, {"quota": lambda: 1.0}, {"share": lambda: 4.0})
    metrics.allow([], [], ["openai"], [])
    metrics.keys_refused("openai", 2)
    metrics.keys_refused("unheard-of", 1)
    assert samples(metrics, "afterbay_retries_in_flight") == {(): 2.0}
    assert samples(metrics, "afterbay_retries_denied") == {(): 5.0}
    assert samples(metrics, "afterbay_alerts") == {("quota",): 1.0}
    assert samples(metrics, "afterbay_refused_keys") == {("openai",): 2.0, ("other",): 1.0}


def test_streams_that_go_on_without_a_client_are_shown(metrics: Metrics) -> None:
    metrics.watch_streams(lambda: 3.0, lambda: 4096.0)
    assert samples(metrics, "afterbay_detached_streams") == {(): 3.0}
    assert samples(metrics, "afterbay_kept_stream_bytes") == {(): 4096.0}


def test_two_gateways_in_a_process_do_not_meet(metrics: Metrics) -> None:
    other = Metrics()
    other.observe(a_record())
    assert samples(metrics, "afterbay_requests_total") == {}
    assert b"process_cpu_seconds_total" in other.render()


def test_every_metric_has_a_name_of_ours_or_of_the_conventions(metrics: Metrics) -> None:
    assert len(names(metrics)) == 34
    assert all(name.startswith(("afterbay_", "gen_ai_server_")) for name in names(metrics))


def test_tool_calls_are_counted_by_what_became_of_them(metrics: Metrics) -> None:
    metrics.observe(a_record(tool_calls={"ok": 2, "repaired": 1}))
    metrics.observe(a_record(tool_calls={"ok": 1}))
    assert samples(metrics, "afterbay_tool_calls_total") == {("ok",): 3.0, ("repaired",): 1.0}


class Shown(msgspec.Struct):
    """A target as health shows it."""

    target: str
    state: str
    ejections: int = 0


def test_health_is_read_when_it_is_asked_for_and_only_of_known_targets(metrics: Metrics) -> None:
    target = a_record().attempts[0].target
    shown = [Shown(target, "ejected", 3), Shown("somebody/else", "ok"), Shown("somebody/other", "slow")]
    waiting = {"openai": 2}
    metrics.watch_health(lambda: shown, lambda: waiting)
    state = samples(metrics, "afterbay_target_state")
    assert {key: value for key, value in state.items() if value} == {("ejected", target): 1.0}
    assert len(state) == 4
    assert samples(metrics, "afterbay_ejections_total") == {(target,): 3.0}
    assert samples(metrics, "afterbay_queue_depth") == {("openai",): 2.0}
    shown[0], waiting["openai"] = Shown(target, "half_open", 4), 0
    assert samples(metrics, "afterbay_target_state")["half_open", target] == 1.0
    assert samples(metrics, "afterbay_queue_depth") == {("openai",): 0.0}
