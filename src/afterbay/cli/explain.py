"""`ask --explain`: how an answer came about, from the one record of its request."""

from __future__ import annotations

from afterbay.cli.figures import UNKNOWN, dollars, printable, seconds
from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Usage


def explain(record: Record) -> list[str]:
    """The lines to print: decision, attempts, tokens, cost, times."""
    asked = record.requested_model or "-"
    lines = [("request", record.id), ("asked for", asked), ("route", _route(record)), ("outcome", _outcome(record))]
    lines += _many("rejected", [f"{one.target}: {one.reason}" for one in record.rejected], "nothing")
    lines += _many("policies", record.compliance, "none held")
    lines += _many("attempts", [_attempt(one) for one in record.attempts], "none")
    lines += [("tokens", _tokens(record.usage)), ("cost", _cost(record)), ("time", _time(record))]
    lines += [("stages", ", ".join(f"{name} {seconds(took)}" for name, took in record.stages_s.items()) or "-")]
    lines += _many("warnings", record.warnings, "none")
    return [f"  {name:<10} {printable(text)}" for name, text in lines]


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
