"""Spans for OpenTelemetry, made from records after the fact: one for the request, one child for each attempt.

Attribute names are those of the GenAI semantic conventions as in opentelemetry-semantic-conventions 0.66b2 (schema
1.44.0; "development" there, so they are written down here and a test compares them with the package). What the
conventions have no name for is `afterbay.*`. Spans never hold prompts, answers or keys: a record has none, so
`telemetry.capture_content` cannot be honoured yet and is refused.

Costs nothing unless `telemetry.otlp` is set: only then is OpenTelemetry imported. Spans go to a bounded queue, and a
thread of the SDK sends them; when the collector is away, the oldest are lost, requests never wait.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from afterbay import __version__
from afterbay.config.schema import TelemetryConfig
from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Usage
from afterbay.telemetry.traceparent import parse

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.44.0"
QUEUE_SPANS: Final = 8192
BATCH_SPANS: Final = 512
DELAY_S: Final = 2.0
EXPORT_TIMEOUT_S: Final = 10.0
_NS: Final = 1_000_000_000
_ERROR_CHARS: Final = 1000

PROVIDER_NAMES: Final[Mapping[str, str]] = {
    "openai": "openai",
    "anthropic": "anthropic",
    "google": "gcp.gemini",
    "gemini": "gcp.gemini",
    "groq": "groq",
    "xai": "x_ai",
    "mistral": "mistral_ai",
    "deepseek": "deepseek",
}
"""The conventions' names for providers that are usually called so in a configuration; others keep their own."""


class TracingUnavailable(Exception):
    """Spans were asked for and cannot be made; the text says what to do."""


class Tracer:
    """Makes spans and owns what sends them. `observe_all` is a sink of the request log."""

    def __init__(self, exporter: SpanExporter, *, service: str = "afterbay") -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        resource = Resource.create({"service.name": service, "service.version": __version__})
        # A provider of our own: the process-wide one belongs to whoever embeds us.
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(
            BatchSpanProcessor(
                exporter,
                max_queue_size=QUEUE_SPANS,
                schedule_delay_millis=DELAY_S * 1000,
                max_export_batch_size=BATCH_SPANS,
            )
        )
        self._tracer = self._provider.get_tracer("afterbay", __version__, schema_url=SCHEMA_URL)

    def observe_all(self, records: Sequence[Record]) -> None:
        """A batch, as the request log hands it on."""
        for record in records:
            self.observe(record)

    def observe(self, record: Record) -> None:
        """One request: a span, and one for each attempt under it."""
        from opentelemetry import trace

        start_ns = round(record.received_at * _NS)
        root = self._tracer.start_span(
            f"{record.operation} {record.model or record.route or 'unknown'}",
            context=_parent(record.traceparent),
            kind=trace.SpanKind.SERVER,
            attributes=request_attributes(record),
            start_time=start_ns,
        )
        if root.is_recording():
            inside = trace.set_span_in_context(root)
            for attempt in record.attempts:
                self._attempt(attempt, record, inside, start_ns)
            if record.outcome not in ("ok", "client_closed"):
                _mark_failed(root, record.error)
        root.end(start_ns + round(record.duration_s * _NS))

    def flush(self, timeout_s: float = EXPORT_TIMEOUT_S) -> bool:
        """Sends what waits. Blocks; whether all of it went."""
        return bool(self._provider.force_flush(int(timeout_s * 1000)))

    def close(self) -> None:
        """Sends what waits and ends the sending thread. Blocks."""
        self._provider.shutdown()

    def _attempt(self, attempt: Attempt, record: Record, inside: Context, start_ns: int) -> None:
        from opentelemetry import trace

        provider, _, name = attempt.target.partition("/")
        span = self._tracer.start_span(
            f"{record.operation} {name or provider}",
            context=inside,
            kind=trace.SpanKind.CLIENT,
            attributes=attempt_attributes(attempt, record.operation),
            start_time=start_ns + round(attempt.started_s * _NS),
        )
        if attempt.first_token_s is not None:
            span.add_event("first_token", timestamp=start_ns + round(attempt.first_token_s * _NS))
        if attempt.outcome not in ("ok", "cancelled", "client_closed"):
            _mark_failed(span, attempt.error)
        ended_s = attempt.ended_s if attempt.ended_s is not None else max(attempt.started_s, record.duration_s)
        span.end(start_ns + round(ended_s * _NS))


def open_tracer(config: TelemetryConfig) -> Tracer | None:
    """The tracer that the configuration asks for; None: none.

    Raises:
        TracingUnavailable: OpenTelemetry is not installed, the URL is none, or content was asked for.
    """
    if config.otlp is None:
        return None
    if config.capture_content:
        raise TracingUnavailable(
            "telemetry.capture_content: records hold no prompts or answers in this release. Set it to false."
        )
    endpoint = traces_endpoint(config.otlp)
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as missing:
        raise TracingUnavailable(
            f"telemetry.otlp needs OpenTelemetry, and {missing.name} is not installed:"
            " pip install 'afterbay[otel]', or set telemetry.otlp to null."
        ) from missing
    return Tracer(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S))


def traces_endpoint(url: str) -> str:
    """A collector's URL with the path for traces, `/v1/traces`, unless a path is there already (OTLP/HTTP's rule).

    Raises:
        TracingUnavailable: it is no http or https URL.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise TracingUnavailable(
            "telemetry.otlp must be a collector's http or https URL, such as http://localhost:4318."
        )
    path = parts.path if parts.path.strip("/") else "/v1/traces"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def request_attributes(record: Record) -> dict[str, Any]:
    """Attributes of the request's span. What is unknown is left out."""
    failed = record.outcome != "ok"
    return _known(
        {
            "gen_ai.operation.name": record.operation,
            "gen_ai.provider.name": PROVIDER_NAMES.get(record.provider, record.provider),
            "gen_ai.request.model": record.requested_model[:256],
            "gen_ai.request.stream": record.stream,
            "gen_ai.response.model": record.upstream_model,
            "gen_ai.response.finish_reasons": [record.finish] if record.finish else None,
            "gen_ai.response.time_to_first_chunk": record.ttft_s,
            **_usage_attributes(record.usage),
            "http.response.status_code": record.status or None,
            "error.type": record.outcome if failed else None,
            "afterbay.request.id": record.id,
            "afterbay.protocol": record.protocol,
            "afterbay.route": record.route,
            "afterbay.rule": record.rule,
            "afterbay.model": record.model,
            "afterbay.key.id": record.key_id,
            "afterbay.attempts": len(record.attempts),
            "afterbay.cost_picousd": record.cost_picousd,
            "afterbay.config.hash": record.config_hash,
        }
    )


def attempt_attributes(attempt: Attempt, operation: str) -> dict[str, Any]:
    """Attributes of an attempt's span."""
    provider, _, name = attempt.target.partition("/")
    failed = attempt.outcome not in (None, "ok")
    first_s = None if attempt.first_token_s is None else attempt.first_token_s - attempt.started_s
    return _known(
        {
            "gen_ai.operation.name": operation,
            "gen_ai.provider.name": PROVIDER_NAMES.get(provider, provider),
            "gen_ai.request.model": name,
            "gen_ai.response.time_to_first_chunk": first_s,
            **_usage_attributes(attempt.usage),
            "http.response.status_code": attempt.status,
            "error.type": attempt.outcome if failed else None,
            "afterbay.target": attempt.target,
            "afterbay.attempt.number": attempt.number,
            "afterbay.attempt.why": attempt.why,
            "afterbay.attempt.outcome": attempt.outcome,
            "afterbay.attempt.key": attempt.key,
            "afterbay.cost_picousd": attempt.cost_picousd,
        }
    )


def _usage_attributes(usage: Usage | None) -> dict[str, Any]:
    """The conventions count caches within input and reasoning within output; our buckets are disjoint."""
    if usage is None:
        return {}
    return {
        "gen_ai.usage.input_tokens": usage.total_input,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_input_tokens or None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens or None,
        "gen_ai.usage.output_tokens": usage.total_output,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        "afterbay.usage.estimated": usage.estimated or None,
    }


def _known(attributes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value is not None and value != ""}


def _parent(traceparent: str | None) -> Context | None:
    from opentelemetry import trace
    from opentelemetry.context import Context

    # An empty context, not None: None would mean whatever span is current on this thread.
    if (parent := parse(traceparent)) is None:
        return Context()
    flags = trace.TraceFlags(trace.TraceFlags.SAMPLED if parent.sampled else trace.TraceFlags.DEFAULT)
    remote = trace.SpanContext(parent.trace_id, parent.span_id, is_remote=True, trace_flags=flags)
    return trace.set_span_in_context(trace.NonRecordingSpan(remote), Context())


def _mark_failed(span: Span, error: str | None) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, error[:_ERROR_CHARS] if error else None))
