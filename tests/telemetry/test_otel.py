"""Spans from records, to memory and over HTTP to a collector on loopback."""

from __future__ import annotations

import builtins
import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import version
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.schemas import Schemas
from opentelemetry.trace import SpanKind, StatusCode

from afterbay.config.schema import TelemetryConfig
from afterbay.core.decision import Record
from afterbay.telemetry import otel
from afterbay.telemetry.otel import Tracer, TracingUnavailable, open_tracer, traces_endpoint
from afterbay.testing.stores import T0, a_record


def spans_of(*records: Record) -> list[ReadableSpan]:
    exporter = InMemorySpanExporter()
    tracer = Tracer(exporter)
    tracer.observe_all(records)
    tracer.close()
    return sorted(exporter.get_finished_spans(), key=lambda span: span.kind.value)


def test_a_request_is_a_span_with_a_child_for_each_attempt() -> None:
    root, *attempts = spans_of(a_record())
    assert (root.name, root.kind) == ("chat gpt_4o", SpanKind.SERVER)
    assert [(span.name, span.kind) for span in attempts] == [
        ("chat llama", SpanKind.CLIENT),
        ("chat gpt-4o", SpanKind.CLIENT),
    ]
    assert all(span.parent == root.context for span in attempts)


def test_times_are_the_records() -> None:
    root, _, second = spans_of(a_record(received_at=T0, duration_s=1.5))
    assert (root.start_time, root.end_time) == (T0 * 1e9, (T0 + 1.5) * 1e9)
    assert (second.start_time, second.end_time) == (round(T0 * 1e9 + 0.2e9), round((T0 + 1.5) * 1e9))
    assert [(event.name, event.timestamp) for event in second.events] == [("first_token", round(T0 * 1e9 + 0.4e9))]


def test_the_clients_trace_goes_on() -> None:
    root = spans_of(a_record())[0]
    assert root.parent is not None
    assert root.context is not None
    assert f"{root.context.trace_id:032x}" == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert f"{root.parent.span_id:016x}" == "00f067aa0ba902b7"
    assert root.parent.is_remote


def test_without_a_trace_of_the_client_a_new_one_starts() -> None:
    roots = [spans_of(a_record(traceparent=text))[0] for text in (None, "nonsense")]
    assert all(root.parent is None for root in roots)


def test_a_client_that_does_not_sample_gets_no_spans() -> None:
    assert spans_of(a_record(traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00")) == []


def test_attributes_are_the_conventions_and_count_caches_as_input() -> None:
    attributes = spans_of(a_record(1))[0].attributes
    assert attributes is not None
    expected = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-11-20",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 1201,
        "gen_ai.usage.cache_read.input_tokens": 200,
        "gen_ai.usage.output_tokens": 57,
        "gen_ai.usage.reasoning.output_tokens": 7,
        "http.response.status_code": 200,
        "afterbay.rule": "task:code",
    }
    assert {name: attributes.get(name) for name in expected} == expected
    assert "error.type" not in attributes


def test_failures_are_marked_and_a_client_that_left_is_none() -> None:
    root, first, second = spans_of(a_record(outcome="timeout", error="too slow"))
    assert (root.status.status_code, root.status.description) == (StatusCode.ERROR, "too slow")
    assert (first.status.status_code, second.status.status_code) == (StatusCode.ERROR, StatusCode.UNSET)
    assert spans_of(a_record(outcome="client_closed"))[0].status.status_code is StatusCode.UNSET


def test_a_bare_record_makes_a_span_too() -> None:
    (root,) = spans_of(Record("req_1", T0, "chat", "openai_chat", status=401, outcome="invalid_api_key"))
    assert root.name == "chat unknown"


def test_our_names_are_those_of_the_installed_conventions() -> None:
    known = {value for value in vars(gen_ai_attributes).values() if isinstance(value, str)}
    record = a_record()
    used = {*otel.request_attributes(record), *otel.attempt_attributes(record.attempts[1], "chat")}
    assert {name for name in used if name.startswith("gen_ai.")} <= known
    providers = {item.value for item in gen_ai_attributes.GenAiProviderNameValues}
    assert set(otel.PROVIDER_NAMES.values()) <= providers
    assert Schemas.V1_44_0.value == otel.SCHEMA_URL
    assert version("opentelemetry-semantic-conventions") in (otel.__doc__ or "")


@contextmanager
def collector() -> Iterator[tuple[str, list[tuple[str, ExportTraceServiceRequest]]]]:
    """An OTLP/HTTP receiver on a free port of loopback, and what it got."""
    got: list[tuple[str, ExportTraceServiceRequest]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            got.append((self.path, ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()
        thread.join()


def test_spans_reach_a_collector_over_http() -> None:
    with collector() as (url, got):
        tracer = open_tracer(TelemetryConfig(otlp=url))
        assert tracer is not None
        tracer.observe(a_record())
        assert tracer.flush()
        tracer.close()
    (path, request), *_ = got
    (resource,) = request.resource_spans
    names = [span.name for scope in resource.scope_spans for span in scope.spans]
    assert path == "/v1/traces"
    assert sorted(names) == ["chat gpt-4o", "chat gpt_4o", "chat llama"]
    assert {item.key: item.value.string_value for item in resource.resource.attributes}["service.name"] == "afterbay"


def test_nothing_is_made_unless_asked() -> None:
    assert open_tracer(TelemetryConfig()) is None


def test_content_is_refused() -> None:
    with pytest.raises(TracingUnavailable, match="capture_content"):
        open_tracer(TelemetryConfig(otlp="http://localhost:4318", capture_content=True))


def test_a_missing_package_is_named_with_the_way_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refusing(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", refusing)
    with pytest.raises(TracingUnavailable, match=r"pip install 'afterbay\[otel\]'"):
        open_tracer(TelemetryConfig(otlp="http://localhost:4318"))


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("http://localhost:4318", "http://localhost:4318/v1/traces"),
        ("https://collect.example/", "https://collect.example/v1/traces"),
        ("https://collect.example/otlp/v1/traces", "https://collect.example/otlp/v1/traces"),
    ],
)
def test_the_path_for_traces_is_added_where_there_is_none(url: str, endpoint: str) -> None:
    assert traces_endpoint(url) == endpoint


@pytest.mark.parametrize("url", ["localhost:4318", "grpc://localhost:4317", "http://"])
def test_other_urls_are_refused_with_an_example(url: str) -> None:
    with pytest.raises(TracingUnavailable, match="http://localhost:4318"):
        traces_endpoint(url)
