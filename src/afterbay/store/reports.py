"""Reports: what the roll-ups say of a period, line by line, as tables of plain values.

A line's money is what its attempts cost, whoever answered in the end. What is not known is counted beside it, never
taken for 0. The last line of all, the total, is asked for by itself and not added up: a request with two tags is in two
lines and once in the total.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, TypeAlias, TypeVar

import msgspec

from afterbay.core.usage import Price, Usage
from afterbay.policy.bill import Parts, Spend, Weights, explain, total
from afterbay.policy.sketch import Sketch, added
from afterbay.store.question import Question, check_no_time
from afterbay.store.rollup_reading import (
    DIMENSIONS,
    MEASURES,
    Failures,
    Group,
    Hours,
    Ratings,
    RollupReading,
    Sums,
    columns_of,
)

_Line = TypeVar("_Line")
Kind: TypeAlias = Literal["text", "count", "money", "seconds", "share"]
"""`money` is in picodollars."""
Value: TypeAlias = str | int | float | None
"""None: it is not known, or there was none of it."""

QUANTILES: Final = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))


class Column(msgspec.Struct, frozen=True):
    """One column. Names are words with blanks between them; their forms make keys and headings of them."""

    name: str
    kind: Kind = "count"


class Report(msgspec.Struct, frozen=True):
    """`total` has a value for each column but those of the dimensions. `notes` are sentences on what is not in it."""

    name: str
    hours: Hours
    dimensions: tuple[Column, ...]
    columns: tuple[Column, ...]
    lines: tuple[tuple[Value, ...], ...]
    total: tuple[Value, ...]
    notes: tuple[str, ...] = ()
    before: Hours | None = None

    def first(self, lines: int) -> Report:
        """With at most so many lines; a note tells how many more there are."""
        more = len(self.lines) - lines
        if more <= 0:
            return self
        notes = (*self.notes, f"{more} more {'line is' if more == 1 else 'lines are'} not shown")
        return msgspec.structs.replace(self, lines=self.lines[:lines], notes=notes)


def cost_report(reading: RollupReading, asked: Question) -> Report:
    """What was spent: all attempts, and of it what lies beside the answers, and what is estimated."""
    lines, whole = _sums(reading, asked)
    columns = (
        Column("requests"),
        Column("cost", "money"),
        Column("share", "share"),
        Column("cost per request", "money"),
        Column("beside answers", "money"),
        Column("estimated", "money"),
        Column("unpriced attempts"),
    )

    def cells(one: Sums) -> tuple[Value, ...]:
        cost = one.known_picousd
        return (
            one.requests,
            cost,
            one.cost_picousd / whole.cost_picousd if whole.cost_picousd else None,
            None if cost is None or not one.requests else -(-cost // one.requests),
            one.cost_picousd - one.answer_picousd,
            one.estimated_picousd,
            one.unpriced_attempts,
        )

    order = _order(asked, lines, lambda one: (one.cost_picousd, one.requests))
    rows = [(group, cells(lines[group])) for group in order]
    return _report("cost", asked, columns, rows, cells(whole), _unpriced(whole))


def usage_report(reading: RollupReading, asked: Question) -> Report:
    """Which tokens were used, in disjoint buckets; those that we estimated are told."""
    lines, whole = _sums(reading, asked)
    columns = tuple(
        Column(name)
        for name in (
            *("requests", "attempts", "input tokens", "cached input tokens", "cache write tokens", "output tokens"),
            *("reasoning tokens", "total tokens", "estimated tokens", "uncounted attempts"),
        )
    )

    def cells(one: Sums) -> tuple[Value, ...]:
        return (
            *(one.requests, one.attempts, one.input_tokens, one.cached_input_tokens, one.cache_write_tokens),
            *(one.output_tokens, one.reasoning_tokens, one.total_tokens, one.estimated_tokens, one.uncounted_attempts),
        )

    order = _order(asked, lines, lambda one: (one.total_tokens, one.requests))
    rows = [(group, cells(lines[group])) for group in order]
    return _report("usage", asked, columns, rows, cells(whole), _uncounted(whole))


def latency_report(reading: RollupReading, asked: Question) -> Report:
    """How long it took: to the first output of all that gave one, to the end of whole answers. Right within 1 %."""
    lines, whole = _sums(reading, asked)
    kept = {measure: reading.sketches(asked.hours, asked.dimensions, measure) for measure in MEASURES}
    columns = [Column("requests")]
    for name, words in (("ttft", "with output"), ("duration", "whole answers")):
        columns += [Column(words), *(Column(f"{name} {quantile}", "seconds") for quantile, _ in QUANTILES)]

    def cells(one: Sums, *sketches: Sketch | None) -> tuple[Value, ...]:
        found: list[Value] = [one.requests]
        for sketch in sketches:
            of = sketch or Sketch()
            found += [of.total, *(of.quantile(share) for _, share in QUANTILES)]
        return tuple(found)

    order = _order(asked, lines, lambda one: (one.requests, one.attempts))
    rows = [(group, cells(lines[group], *(kept[measure].get(group) for measure in MEASURES))) for group in order]
    if any(one.each_tag for one in asked.dimensions):  # a request may be in two lines
        ends = [reading.sketches(asked.hours, (), measure).get(()) for measure in MEASURES]
    else:
        ends = [added(kept[measure].values()) for measure in MEASURES]
    return _report("latency", asked, tuple(columns), rows, cells(whole, *ends))


def errors_report(reading: RollupReading, asked: Question) -> Report:
    """What failed, as clients were told and as providers failed, and in which ways."""
    lines, whole = _sums(reading, asked)
    failures = reading.failures(asked.hours, asked.dimensions)
    columns = (
        Column("requests"),
        Column("failed"),
        Column("failed share", "share"),
        Column("retried"),
        Column("attempts"),
        Column("failed attempts"),
        Column("failed attempts share", "share"),
        Column("why", "text"),
    )

    def cells(one: Sums, ways: Sequence[Failures]) -> tuple[Value, ...]:
        return (
            *(one.requests, one.failed, one.failed / one.requests if one.requests else None, one.retried),
            *(one.attempts, one.failed_attempts, one.failed_attempts / one.attempts if one.attempts else None),
            "; ".join(map(_way, ways)),
        )

    order = _order(asked, lines, lambda one: (one.failed, one.failed_attempts, one.requests))
    rows = [(group, cells(lines[group], failures.get(group, []))) for group in order]
    return _report("errors", asked, columns, rows, cells(whole, reading.failures(asked.hours).get((), [])))


def satisfaction_report(reading: RollupReading, asked: Question) -> Report:
    """What was said of answers: by those who got them, and by what compared them."""
    lines = reading.ratings(asked.hours, asked.dimensions) if asked.by else {}
    whole = reading.ratings(asked.hours).get((), Ratings())
    columns = (
        Column("rated"),
        Column("score", "share"),
        Column("bad"),
        Column("comments"),
        Column("asked again"),
        Column("judged"),
        Column("judged score", "share"),
    )

    def cells(one: Ratings) -> tuple[Value, ...]:
        return (one.rated, one.score, one.bad, one.comments, one.again, one.judged, one.held)

    order = _order(asked, lines, lambda one: (one.rated, one.again, one.judged))
    rows = [(group, cells(lines[group])) for group in order]
    return _report("satisfaction", asked, columns, rows, cells(whole))


def savings_report(reading: RollupReading, asked: Question, best: str, price: Price) -> Report:
    """What the same answers would have cost had one model, the best, given all of them.

    All that was spent is held against what the best would have taken for the answers alone, at its price for short
    prompts: so what was saved is rather more than is said here.
    """
    by = asked.dimensions
    lines = reading.sums(asked.hours, by, "chat")
    whole = reading.sums(asked.hours, (), "chat").get((), Sums())
    columns = (
        Column("answers"),
        Column("cost", "money"),
        Column("always best", "money"),
        Column("saved", "money"),
        Column("saved share", "share"),
    )

    def cells(one: Sums) -> tuple[Value, ...]:
        instead = price.cost_picousd(_answered(one))
        saved = instead - one.cost_picousd
        return (one.answers, one.cost_picousd, instead, saved, saved / instead if instead else None)

    order = _order(asked, lines, lambda one: (price.cost_picousd(_answered(one)) - one.cost_picousd, one.answers))
    rows = [(group, cells(lines[group])) for group in order]
    notes = [f"always best: every answer from {best}", *_unpriced(whole)]
    return _report("savings", asked, columns, rows, cells(whole), notes)


def explain_report(
    reading: RollupReading, asked: Question, compared: Hours, weights: Mapping[str, Weights] = {}
) -> Report:
    """Why the bill changed from `compared` to the asked period: causes that add up to the change (`policy.bill`).

    Each line is explained for itself, operation by operation, among its own deployments. `weights` are by deployment.

    Raises:
        ClientMistake: lines by time, which two periods do not share.
    """
    check_no_time(asked)
    old, new = (_bills(reading, asked, hours) for hours in (compared, asked.hours))
    names = tuple(Parts.__struct_fields__)
    columns = tuple(Column(name.replace("_", " "), "money") for name in ("before", *names, "after", "change"))

    def cells(before: _Bill, after: _Bill) -> tuple[int, ...]:
        parts = Parts()
        for operation in dict.fromkeys((*before, *after)):
            parts += total(explain(before.get(operation, {}), after.get(operation, {}), weights))
        ends = [sum(one.picousd for spends in bill.values() for one in spends.values()) for bill in (before, after)]
        return (ends[0], *(getattr(parts, name) for name in names), ends[1], parts.total)

    rows = [(group, cells(old.get(group, {}), new.get(group, {}))) for group in dict.fromkeys((*old, *new))]
    rows.sort(key=lambda row: (-abs(row[1][-1]), row[0]))
    all_of = msgspec.structs.replace(asked, by=())
    whole = cells(*(_bills(reading, all_of, hours).get((), {}) for hours in (compared, asked.hours)))
    sums = [reading.sums(hours).get((), Sums()) for hours in (compared, asked.hours)]
    notes = [*(f"before, {note}" for note in _unpriced(sums[0])), *_unpriced(sums[1])]
    found = _report("explain", asked, columns, rows if asked.by else [], whole, notes)
    return msgspec.structs.replace(found, before=compared)


_Bill: TypeAlias = dict[str, dict[str, Spend]]
"""By operation and deployment."""


def _bills(reading: RollupReading, asked: Question, hours: Hours) -> dict[Group, _Bill]:
    """The bill of each line. Dimensions may share columns, so they are found by name."""
    by = asked.dimensions
    inner = (DIMENSIONS["operation"], DIMENSIONS["target"])
    names = list(columns_of([*by, *inner]))
    places = [names.index(name) for name in columns_of(by)]
    operation, target = names.index("operation"), names.index("target")
    found: dict[Group, _Bill] = {}
    for group, one in reading.sums(hours, [*by, *inner]).items():
        bill = found.setdefault(tuple(group[place] for place in places), {})
        bill.setdefault(group[operation], {})[group[target]] = _spend(one)
    return found


def _spend(one: Sums) -> Spend:
    return Spend(
        one.answers,
        one.answer_input_tokens,
        one.answer_cached_input_tokens,
        one.answer_cache_write_tokens,
        one.answer_output_tokens + one.answer_reasoning_tokens,
        one.answer_picousd,
        one.cost_picousd - one.answer_picousd,
    )


def _answered(one: Sums) -> Usage:
    return Usage(
        one.answer_input_tokens,
        one.answer_cached_input_tokens,
        one.answer_cache_write_tokens,
        one.answer_output_tokens,
        one.answer_reasoning_tokens,
    )


def _sums(reading: RollupReading, asked: Question) -> tuple[dict[Group, Sums], Sums]:
    """By line, and all of it."""
    whole = reading.sums(asked.hours).get((), Sums())
    return (reading.sums(asked.hours, asked.dimensions) if asked.by else {}), whole


def _order(asked: Question, lines: Mapping[Group, _Line], size: Callable[[_Line], tuple[int, ...]]) -> list[Group]:
    """In time, or the largest first."""
    if asked.is_by_time:
        return sorted(lines)
    return sorted(lines, key=lambda group: (*(-number for number in size(lines[group])), group))


def _way(one: Failures) -> str:
    """`attempt rate_limit 429 ×12`."""
    status = f" {one.status}" if one.status else ""
    return f"{one.scope} {one.outcome}{status} ×{one.count}"


def _unpriced(whole: Sums) -> list[str]:
    """What is not in a bill."""
    if not whole.unpriced_attempts:
        return []
    return [f"the price of {whole.unpriced_attempts} of {whole.attempts} attempts is not known: no sum has them"]


def _uncounted(whole: Sums) -> list[str]:
    """What is not in a sum of tokens."""
    if not whole.uncounted_attempts:
        return []
    return [f"{whole.uncounted_attempts} answers came without a count of tokens: no sum has theirs"]


def _report(
    name: str,
    asked: Question,
    columns: tuple[Column, ...],
    rows: Sequence[tuple[Group, tuple[Value, ...]]],
    whole: tuple[Value, ...],
    notes: Sequence[str] = (),
) -> Report:
    dimensions = tuple(Column(each, "text") for each in columns_of(asked.dimensions))
    return Report(
        name, asked.hours, dimensions, columns, tuple((*group, *cells) for group, cells in rows), whole, tuple(notes)
    )
