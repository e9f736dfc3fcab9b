"""Prometheus metrics, all derived from records: they cannot disagree with the log.

Names. Durations follow OpenTelemetry's GenAI metrics for servers in their Prometheus form (dots to underscores, unit as
suffix; opentelemetry-semantic-conventions 0.66b2, `gen_ai.server.*`); everything the conventions have no name for is
`afterbay_*`. Costs are in USD because a counter is a float anyway; exact picodollars are in the log.

Labels are bounded: never a user's text, only names that the configuration holds (`allow`), and `other` for the rest. A
registry of its own, so that two gateways in one process (tests) don't meet.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from afterbay import __version__
from afterbay.core.decision import Attempt, Record

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
OTHER: Final = "other"
NAMES: Final = 1000
"""Most names of a kind (routes, models ...) that become labels, over all reloads."""
SERIES: Final = 20_000
"""Most label combinations kept at hand; past that, a record's names all count as `other`."""
OUTCOMES: Final = 64
"""Most outcomes: error codes are ours, but new ones come with releases."""

DURATION_BUCKETS_S: Final = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68, 655.36,
)  # fmt: skip
"""The conventions' (to 81.92 s), and on to the longest stream that the default time limit allows."""
TTFT_BUCKETS_S: Final = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)

STATES: Final = ("ok", "slow", "half_open", "ejected")

_CODE: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")
_USD: Final = 1e-12


class _Series(msgspec.Struct, frozen=True):
    """The children that one combination of labels needs: looked up once, then only added to."""

    requests: Counter
    duration: Histogram
    ttft: Histogram
    cost: Counter
    unpriced: Counter
    tokens: tuple[Counter, Counter, Counter, Counter, Counter]
    estimated: Counter


class TargetHealth(Protocol):
    """How a target does. `state`: ok, slow, half_open or ejected."""

    @property
    def target(self) -> str:
        """Its id."""

    @property
    def state(self) -> str:
        """See above."""

    @property
    def ejections(self) -> int:
        """How often it was ejected since the start."""


class _HealthCollector:
    """Reads health when it is asked for: nothing is counted on the way of a request."""

    def __init__(self, label: Callable[[str], str]) -> None:
        self.targets: Callable[[], Iterable[TargetHealth]] = tuple
        self.queues: Callable[[], Mapping[str, int]] = dict
        self.ending: Callable[[], Mapping[str, int]] = dict
        self._label = label

    def collect(self) -> Iterable[Metric]:
        """The families, as prometheus_client wants them."""
        state = GaugeMetricFamily(
            "afterbay_target_state", "1 for the state a target is in.", labels=("target", "state")
        )
        ejections = CounterMetricFamily("afterbay_ejections", "Ejections of targets.", labels=("target",))
        for one in self.targets():
            label = self._label(one.target)
            if label != OTHER:  # two samples of one name would be an error
                for each in STATES:
                    state.add_metric((label, each), float(each == one.state))
                ejections.add_metric((label,), one.ejections)
        waiting = GaugeMetricFamily("afterbay_queue_depth", "Requests that wait for a place.", labels=("provider",))
        for provider, count in self.queues().items():
            waiting.add_metric((provider,), count)
        ending = GaugeMetricFamily(
            "afterbay_target_days_left",
            "Days until the provider turns the model off, for those with at most 60; below 0: it is over.",
            labels=("target",),
        )
        for target, days in self.ending().items():
            if (label := self._label(target)) != OTHER:
                ending.add_metric((label,), days)
        return state, ejections, waiting, ending


class RouteStanding(Protocol):
    """What is certified of a route."""

    @property
    def is_certified(self) -> bool:
        """Whether anything may go to the cheap model."""

    @property
    def floor(self) -> float:
        """The certified share of the strong model's quality."""

    @property
    def routed(self) -> float:
        """The share of requests that may go to the cheap model, about."""

    @property
    def pairs(self) -> int:
        """Labels that it was made of."""


class _LearningCollector:
    """Reads what routes have learned when it is asked for."""

    def __init__(self, label: Callable[[str], str]) -> None:
        self.standings: Callable[[], Mapping[str, RouteStanding]] = dict
        self.counts: Callable[[], Mapping[str, int]] = dict
        self._label = label

    def collect(self) -> Iterable[Metric]:
        """The families, as prometheus_client wants them."""
        families = (
            _route_gauge("afterbay_certified", "1 where a certificate lets requests go to a cheaper model."),
            _route_gauge("afterbay_certified_floor", "Certified share of the strongest model's quality."),
            _route_gauge("afterbay_certified_share", "Requests that may go to the cheaper model, as a share."),
            _route_gauge("afterbay_certificate_pairs", "Pairs of answers that the certificate was made of."),
        )
        for route, one in self.standings().items():
            label = self._label(route)
            if label != OTHER:
                told = (float(one.is_certified), one.floor, one.routed, float(one.pairs))
                for family, value in zip(families, told, strict=True):
                    family.add_metric((label,), value)
        shadows = CounterMetricFamily(
            "afterbay_shadows",
            "Work after requests: answers compared, and what kept others from it.",
            labels=("result",),
        )
        for word, count in self.counts().items():
            shadows.add_metric((word,), count)
        return (*families, shadows)


def _route_gauge(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, text, labels=("route",))


class Metrics:
    """What `/metrics` shows. `observe` is called by one thread (the log's); the rest by any."""

    def __init__(self, *, process: bool = True) -> None:
        self.registry = CollectorRegistry()
        self._names: dict[str, set[str]] = {kind: set() for kind in ("route", "model", "provider", "target")}
        self._outcomes: set[str] = set()
        self._series: dict[tuple[object, ...], _Series] = {}
        self._tried: dict[tuple[object, ...], Counter] = {}
        self._declare()
        if process:
            ProcessCollector(registry=self.registry)

    def _declare(self) -> None:
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        place = ("route", "model", "provider")
        genai = ("gen_ai_operation_name", "gen_ai_provider_name", "gen_ai_request_model")
        self._requests = counter(
            "afterbay_requests", "Requests answered.", (*place, "operation", "stream", "status", "outcome")
        )
        self._attempts = counter("afterbay_attempts", "Attempts at targets.", ("target", "why", "outcome"))
        self._tokens = counter("afterbay_tokens", "Tokens, in disjoint buckets.", ("model", "provider", "token_type"))
        self._estimated = counter(
            "afterbay_estimated_usage", "Requests whose tokens the gateway counted itself.", ("model", "provider")
        )
        self._cost = counter("afterbay_cost_usd", "What it cost, where the price is known.", place)
        self._unpriced = counter("afterbay_unpriced", "Requests that used tokens of unknown price.", place)
        self._duration = histogram(
            "gen_ai_server_request_duration_seconds", "To the last byte.", genai, DURATION_BUCKETS_S
        )
        self._ttft = histogram(
            "gen_ai_server_time_to_first_token_seconds", "To the first output of a model.", genai, TTFT_BUCKETS_S
        )
        self._tool_calls = counter(
            "afterbay_tool_calls", "Tool calls that were looked at, by what became of them.", ("verdict",)
        )
        self._reloads = counter("afterbay_config_reloads", "Configuration reloads.", ("result",))
        self.open_streams = gauge("afterbay_open_streams", "Streams being sent now.")
        """Read from whoever serves them (`set_function`)."""
        self._detached = gauge("afterbay_detached_streams", "Streams that go on though their client left.")
        self._kept_bytes = gauge("afterbay_kept_stream_bytes", "Bytes of streams kept for clients that come back.")
        self._refused_keys = gauge(
            "afterbay_refused_keys", "Keys that a provider refused and has not accepted since.", ("provider",)
        )
        self._retrying = gauge("afterbay_retries_in_flight", "Requests that wait for a retry or make one.")
        self._denied = gauge("afterbay_retries_denied", "Retries not made since the start: the budget was used up.")
        self._unhedged = gauge(
            "afterbay_hedges_denied", "Hedges that were due since the start and not made, by reason.", ("reason",)
        )
        self._late = gauge("afterbay_loop_lateness_seconds", "How late the event loop is, smoothed.")
        self._memory = gauge("afterbay_memory_share", "Memory in use of what the control group may; 0: no limit.")
        self._shed = gauge("afterbay_shed_requests", "Requests refused since the start for want of means.")
        self._alerts = gauge(
            "afterbay_alerts", "Lines in the log since the start that an operator must see to.", ("cause",)
        )
        self._queue = gauge("afterbay_log_queue_depth", "Records in memory, not yet in the database.")
        self._spilled = gauge("afterbay_log_spilled", "Records that only the journal had, since the start.")
        self._dropped = gauge("afterbay_log_dropped", "Records lost since the start; anything but 0 is a fault.")
        self._unjournaled = gauge("afterbay_log_unjournaled", "Writes that the journal did not take since the start.")
        self._health = _HealthCollector(lambda name: self._label("target", name))
        self.registry.register(self._health)
        self._learning = _LearningCollector(lambda name: self._label("route", name))
        self.registry.register(self._learning)
        Info("afterbay_build", "The running release.", registry=self.registry).info({"version": __version__})

    def allow(
        self, routes: Iterable[str], models: Iterable[str], providers: Iterable[str], targets: Iterable[str]
    ) -> None:
        """Names that may become labels, from a configuration. A reload adds; nothing is taken away."""
        for kind, names in (("route", routes), ("model", models), ("provider", providers), ("target", targets)):
            known = self._names[kind]
            for name in names:
                if len(known) >= NAMES:
                    break
                known.add(name)
        # What collapsed into `other` before may have a name of its own now.
        self._series, self._tried = {}, {}

    def watch_attempts(
        self,
        retrying: Callable[[], float],
        denied: Callable[[], float],
        alerts: Mapping[str, Callable[[], float]],
        unhedged: Mapping[str, Callable[[], float]],
    ) -> None:
        """Where to read the figures of retries, alerts and hedges, at each rendering."""
        self._retrying.set_function(retrying)
        self._denied.set_function(denied)
        for cause, count in alerts.items():
            self._alerts.labels(cause).set_function(count)
        for reason, times in unhedged.items():
            self._unhedged.labels(reason).set_function(times)

    def keys_refused(self, provider: str, count: int) -> None:
        """How many keys of a provider are refused now."""
        self._refused_keys.labels(self._label("provider", provider)).set(count)

    def watch_log(
        self,
        depth: Callable[[], float],
        spilled: Callable[[], float],
        dropped: Callable[[], float],
        unjournaled: Callable[[], float],
    ) -> None:
        """Where to read the log's own figures, at each rendering."""
        self._queue.set_function(depth)
        self._spilled.set_function(spilled)
        self._dropped.set_function(dropped)
        self._unjournaled.set_function(unjournaled)

    def watch_streams(self, detached: Callable[[], float], kept_bytes: Callable[[], float]) -> None:
        """Where to read the figures of streams that a client may come back to, at each rendering."""
        self._detached.set_function(detached)
        self._kept_bytes.set_function(kept_bytes)

    def watch_pressure(
        self, late_s: Callable[[], float], memory: Callable[[], float], refused: Callable[[], float]
    ) -> None:
        """Where to read how near the gateway is to the end of its means, at each rendering."""
        self._late.set_function(late_s)
        self._memory.set_function(memory)
        self._shed.set_function(refused)

    def watch_health(
        self, targets: Callable[[], Iterable[TargetHealth]], queues: Callable[[], Mapping[str, int]]
    ) -> None:
        """Where to read how the targets do and how many wait, at each rendering."""
        self._health.targets, self._health.queues = targets, queues

    def watch_retirements(self, ending: Callable[[], Mapping[str, int]]) -> None:
        """Where to read which targets end soon, and in how many days, at each rendering."""
        self._health.ending = ending

    def watch_learning(
        self, standings: Callable[[], Mapping[str, RouteStanding]], counts: Callable[[], Mapping[str, int]]
    ) -> None:
        """Where to read what routes have learned, and what became of the work for that, at each rendering."""
        self._learning.standings, self._learning.counts = standings, counts

    def reloaded(self, ok: bool) -> None:
        """Counts a reload of the configuration."""
        self._reloads.labels("ok" if ok else "refused").inc()

    def observe_all(self, records: Sequence[Record]) -> None:
        """A batch, as the request log hands it on. Each counter takes a lock, so each is added to once."""
        more: dict[Counter, float] = defaultdict(float)
        for record in records:
            self._observe(record, more)
        for counter, amount in more.items():
            counter.inc(amount)

    def observe(self, record: Record) -> None:
        """Counts one request and its attempts."""
        self.observe_all((record,))

    def _observe(self, record: Record, more: dict[Counter, float]) -> None:
        key = (
            record.route, record.model, record.provider, record.operation, record.stream, record.status, record.outcome,
        )  # fmt: skip
        series = self._series.get(key)
        if series is None:
            series = self._make_series(key, record)
        more[series.requests] += 1
        series.duration.observe(record.duration_s)
        if record.ttft_s is not None:
            series.ttft.observe(record.ttft_s)
        if (usage := record.usage) is not None:
            for counter, tokens in zip(series.tokens, usage.buckets, strict=True):
                if tokens > 0:
                    more[counter] += tokens
            if usage.estimated:
                more[series.estimated] += 1
            if record.cost_picousd is None:
                more[series.unpriced] += 1
        if record.cost_picousd:
            more[series.cost] += max(0, record.cost_picousd) * _USD
        for verdict, count in record.tool_calls.items():
            more[self._tool_calls.labels(self._code(verdict))] += count
        for attempt in record.attempts:
            tried = self._tried.get((attempt.target, attempt.why, attempt.outcome))
            more[tried or self._make_tried(attempt)] += 1

    def render(self) -> bytes:
        """The text that `/metrics` answers, of the type `CONTENT_TYPE`."""
        return generate_latest(self.registry)

    def _make_series(self, key: tuple[object, ...], record: Record) -> _Series:
        """Children for labels not met before. The table is bounded, because its keys hold what came, not labels."""
        room = len(self._series) < SERIES
        route = self._label("route", record.route) if room else OTHER
        model = self._label("model", record.model) if room else OTHER
        provider = self._label("provider", record.provider) if room else OTHER
        operation = self._code(record.operation)
        status = str(record.status) if 100 <= record.status <= 599 else OTHER
        stream, outcome = "true" if record.stream else "false", self._code(record.outcome)
        types = ("input", "cached_input", "cache_write", "output", "reasoning")
        a, b, c, d, e = (self._tokens.labels(model, provider, kind) for kind in types)
        series = _Series(
            requests=self._requests.labels(route, model, provider, operation, stream, status, outcome),
            duration=self._duration.labels(operation, provider, model),
            ttft=self._ttft.labels(operation, provider, model),
            cost=self._cost.labels(route, model, provider),
            unpriced=self._unpriced.labels(route, model, provider),
            tokens=(a, b, c, d, e),
            estimated=self._estimated.labels(model, provider),
        )
        if room:
            self._series[key] = series
        return series

    def _make_tried(self, attempt: Attempt) -> Counter:
        key = (attempt.target, attempt.why, attempt.outcome)
        counter = self._attempts.labels(
            self._label("target", attempt.target), self._code(attempt.why), self._code(attempt.outcome or "unfinished")
        )
        if len(self._tried) < SERIES:
            self._tried[key] = counter
        return counter

    def _label(self, kind: str, name: str) -> str:
        """A known name, "" for none, else `other`."""
        return name if not name or name in self._names[kind] else OTHER

    def _code(self, code: str) -> str:
        """A word of our own vocabulary; the first 64 that look like one."""
        if code in self._outcomes:
            return code
        if len(self._outcomes) >= OUTCOMES or not _CODE.fullmatch(code):
            return OTHER
        self._outcomes.add(code)
        return code

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
        return Histogram(name, text, labels, registry=self.registry, buckets=buckets)


def names(metrics: Metrics) -> list[str]:
    """The names of all metrics, for the documentation's test."""
    collectors = {item for item in vars(metrics).values() if isinstance(item, MetricWrapperBase)}
    found = [family.name for item in collectors for family in item.describe()]
    read = (_HealthCollector(str), _LearningCollector(str))
    return sorted(found + [family.name for collector in read for family in collector.collect()])
