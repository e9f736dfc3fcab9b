"""Metrics of several processes as those of one."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from afterbay.core.decision import Record
from afterbay.telemetry import summed
from afterbay.telemetry.metrics import Metrics
from afterbay.telemetry.summed import Summed


def page(*, requests: int = 0, streams: int = 0, late_s: float = 0.0, dropped: int = 0) -> bytes:
    metrics = Metrics()
    metrics.allow(["auto"], ["gpt"], ["openai"], [])
    for _ in range(requests):
        metrics.observe(Record(id="req_1", received_at=0.0, operation="chat", protocol="openai.chat", model="gpt"))
    metrics.open_streams.set(streams)
    metrics.watch_pressure(lambda: late_s, lambda: 0.5, lambda: 0)
    metrics.watch_log(lambda: 0, lambda: 0, lambda: dropped, lambda: 0)
    return metrics.render()


def values(text: bytes) -> dict[str, float]:
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


def test_what_one_process_says_is_said_again_letter_by_letter() -> None:
    one, text = Summed(), page(requests=3, streams=2)
    one.tell(1, text)
    assert one.render() == text


def test_counters_and_streams_are_added_and_of_lateness_the_highest_counts() -> None:
    all_ = Summed()
    all_.tell(1, page(requests=3, streams=2, late_s=0.25))
    all_.tell(2, page(requests=4, streams=5, late_s=0.125))
    told = values(all_.render())
    assert told["afterbay_requests_total"] == 7
    assert told["gen_ai_server_request_duration_seconds_count"] == 7
    assert told["afterbay_open_streams"] == 7
    assert told["afterbay_loop_lateness_seconds"] == 0.25
    assert told["afterbay_memory_share"] == 0.5
    assert told["afterbay_build_info"] == 1


def test_the_end_of_a_process_takes_away_what_is_now_and_nothing_that_was_counted() -> None:
    all_ = Summed()
    all_.tell(1, page(requests=3, streams=2, dropped=1))
    all_.tell(2, page(requests=4, streams=5, dropped=2))
    before = values(all_.render())
    all_.bury(1)
    told = values(all_.render())
    assert told["afterbay_open_streams"] == 5
    for name in ("afterbay_requests_total", "afterbay_log_dropped", "process_cpu_seconds_total"):
        assert told[name] == before[name], name
    assert told["process_resident_memory_bytes"] < before["process_resident_memory_bytes"]
    all_.bury(1)
    all_.bury(2)
    assert values(all_.render())["afterbay_requests_total"] == 7


def test_a_series_that_only_one_process_has_stands_with_its_family() -> None:
    all_ = Summed()
    all_.tell(1, page())
    all_.tell(2, page(requests=1))
    lines = all_.render().decode().splitlines()
    where = next(number for number, line in enumerate(lines) if line.startswith("afterbay_requests_total{"))
    assert lines[where - 1] == "# TYPE afterbay_requests_total counter"
    heads = [line for line in lines if line.startswith("# TYPE")]
    assert len(heads) == len(set(heads))


def test_how_each_gauge_is_joined_was_thought_about() -> None:
    decided = summed.NOW | summed.MOST | summed.SINCE
    for family in text_string_to_metric_families(page(requests=1).decode()):
        if family.type in ("gauge", "info") and not family.name.endswith("_created"):
            name = family.name if family.type == "gauge" else f"{family.name}_info"
            assert name in decided or name == "process_start_time_seconds", f"put {name} in one of the sets"
