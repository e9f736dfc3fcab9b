"""`ask --explain`: how an answer came about, from the one record of its request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from afterbay.cli.figures import UNKNOWN, dollars, printable, seconds, shown
from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Usage


def explain(record: Record) -> list[str]:
    """The lines to print: decision, attempts, tokens, cost, times."""
    asked = record.requested_model or "-"
    lines = [("request", record.id), ("asked for", asked), ("route", _route(record)), ("outcome", _outcome(record))]
    if record.reasons is not None:
        lines += _reasons(record.reasons)
    lines += _many("rejected", [f"{one.target}: {one.reason}" for one in record.rejected], "nothing")
    lines += _many("policies", record.compliance, "none held")
    lines += _many("attempts", [_attempt(one) for one in record.attempts], "none")
    lines += [("tokens", _tokens(record.usage)), ("cost", _cost(record)), ("time", _time(record))]
    lines += [("stages", ", ".join(f"{name} {seconds(took)}" for name, took in record.stages_s.items()) or "-")]
    lines += _many("warnings", record.warnings, "none")
    return [f"  {name:<10} {printable(text)}" for name, text in lines]


def _reasons(reasons: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Of a request that a route picked for: its facts, its candidates with their scores, what the strongest costs."""
    facts = [f"{name} {shown(value)}" for name, value in reasons.get("facts", {}).items() if value not in (None, [])]
    lines = [("facts", ", ".join(facts) or "-")]
    lines += _many("candidates", [_candidate(one) for one in reasons.get("candidates", ())], "none")
    if "strongest" in reasons:
        lines.append(("instead", f"{reasons['strongest']} would cost {dollars(reasons.get('counterfactual_picousd'))}"))
    return lines


def _candidate(one: Mapping[str, Any]) -> str:
    place = f"{one['rank']}. " if one.get("rank") is not None else "-  "
    parts = [f"{place}{one.get('target')}: expected cost {dollars(one.get('cost_picousd'))}"]
    if one.get("quality") is not None:
        parts.append(f"quality {one['quality']:.3f}")
    if one.get("ttft_p95_s") is not None:
        parts.append(f"ttft p95 {seconds(one['ttft_p95_s'])}")
    if one.get("warm_tokens"):
        parts.append(f"{one['warm_tokens']} tokens in its cache")
    return ", ".join(parts)


def _many(name: str, texts: list[str], none: str) -> list[tuple[str, str]]:
    return [(name if i == 0 else "", text) for i, text in enumerate(texts)] or [(name, none)]


def _route(record: Record) -> str:
    if not record.route:
        return "none: it was refused before one was chosen"
    to = f" -> {record.model} ({record.provider}/{record.upstream_model})" if record.provider else ""
    return f"{record.route}, by {record.rule}{to}"


def _outcome(record: Record) -> str:
    error = f": {record.error}" if record.error else ""
    finish = f", the model stopped for: {record.finish}" if record.finish else ""
    return f"{record.outcome} (status {record.status or 'none'}{finish}){error}"


def _attempt(one: Attempt) -> str:
    """Times in an attempt are since the request arrived; what one wants to know is how long each part took."""
    key = f", key {one.key}" if one.key is not None else ""
    parts = [f"{one.number + 1}. {one.target} ({one.why}{key}): {one.outcome or 'unfinished'}"]
    if one.status is not None:
        parts.append(f"status {one.status}")
    parts.append(f"begun at {seconds(one.started_s)}")
    for name, at_s in (("headers", one.headers_s), ("first token", one.first_token_s), ("end", one.ended_s)):
        if at_s is not None:
            parts.append(f"{name} +{seconds(at_s - one.started_s)}")
    return ", ".join(parts) + (f"; {one.error}" if one.error else "")


def _tokens(usage: Usage | None) -> str:
    if usage is None:
        return UNKNOWN
    text = (
        f"input {usage.input_tokens}, read from cache {usage.cached_input_tokens}, "
        f"written to cache {usage.cache_write_tokens}, output {usage.output_tokens}, "
        f"reasoning {usage.reasoning_tokens}"
    )
    return text + (" (estimated: the provider sent no count)" if usage.estimated else "")


def _cost(record: Record) -> str:
    if record.cost_picousd is not None:
        return dollars(record.cost_picousd)
    unknown = dict.fromkeys(one.target for one in record.attempts if one.cost_picousd is None)
    if not unknown:
        return UNKNOWN
    return f"{UNKNOWN}: no price or no usage of {', '.join(unknown)} is known"


def _time(record: Record) -> str:
    return f"first token {seconds(record.ttft_s)}, in all {seconds(record.duration_s)}"
