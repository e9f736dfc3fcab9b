"""A made-up request log: what a company of three teams may have asked in some weeks. For reports, their tests, their
documentation and their benchmark; the same seed makes the same records, so that pages can show what commands print.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from types import MappingProxyType
from typing import Final, NamedTuple

from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Price, Usage
from afterbay.store.database import Database
from afterbay.store.writer import Writer

BATCH: Final = 4096


class Model(NamedTuple):
    """An alias and what is behind it."""

    alias: str
    provider: str
    name: str
    price: Price | None
    first_s: float
    token_s: float


def _usd(input_: float, output: float, cached: float) -> Price:
    """Of dollars per million tokens."""
    full = round(input_ * 1_000_000)
    return Price(input=full, output=round(output * 1_000_000), cached_input=round(cached * 1_000_000), cache_write=full)


MODELS: Final = (
    Model("strong", "anthropic", "claude-opus-4-6", _usd(5, 25, 0.5), 1.1, 0.018),
    Model("gpt", "openai", "gpt-4o-2024-11-20", _usd(2.5, 10, 1.25), 0.6, 0.012),
    Model("small", "openai", "gpt-4o-mini-2024-07-18", _usd(0.15, 0.6, 0.075), 0.4, 0.008),
    Model("house", "own", "qwen-finetuned", None, 0.2, 0.02),
)
"""The dearest first. Nobody knows what the last one costs: it is a server of the company's own."""

PEOPLE: Final = MappingProxyType(
    {"search": ("ana", "ben", "chloe"), "support": ("dora", "emil"), "research": ("farid", "gina", "hugo", "ines")}
)
PROJECTS: Final = MappingProxyType(
    {"search": ("ranking", "autocomplete"), "support": ("helpdesk",), "research": ("evals", "papers")}
)
TASKS: Final = ("chat", "code", "summarize", "extract")
_DAY_S: Final = 86400.0


def records(
    count: int, *, begin_utc_s: float, days: float, seed: int = 1, shift: Sequence[float] = (2, 4, 5, 1)
) -> Iterator[Record]:
    """So many requests, over so many days, in the order of their arrival. `shift`: how often each of `MODELS` is
    chosen, by weight: two calls with other weights make a bill that changes."""
    draw = Random(f"{seed} {begin_utc_s} {count}")  # noqa: S311 - nothing here is secret
    for number in range(count):
        at_s = begin_utc_s + (number + draw.random()) * days * _DAY_S / count
        yield _record(draw, f"{int(begin_utc_s):x}{seed:02x}{number:08x}", at_s, shift)


def write(database: Database, made: Iterator[Record]) -> int:
    """Puts records into the log, as a gateway does it. How many there were."""
    writer, batch, written = Writer(database, 5.0), list[Record](), 0
    for record in made:
        batch.append(record)
        if len(batch) == BATCH:
            written += len(batch) - writer.insert(batch, BATCH, _nothing)
            batch = []
    written += len(batch) - writer.insert(batch, BATCH, _nothing)
    writer.close()
    return written


def _nothing() -> None:
    """Nobody waits for the interpreter here."""


def _record(draw: Random, number: str, at_s: float, shift: Sequence[float]) -> Record:
    team = draw.choices(list(PEOPLE), (5, 3, 2))[0]
    user = draw.choice(PEOPLE[team])
    [model] = draw.choices(MODELS, shift)
    attempts, end_s = _attempts(draw, model)
    record = Record(
        id=f"req_{number:0>26}",
        received_at=at_s,
        operation="chat",
        protocol="openai.chat",
        requested_model="auto",
        route="auto",
        rule="task",
        key_id=f"key_{team}",
        key_name=f"{team}-app",
        stream=True,
        attempts=attempts,
        duration_s=end_s,
        organisation="acme",
        team=team,
        user=user,
        task=draw.choice(TASKS),
        tags={"project": draw.choice(PROJECTS[team])},
    )
    last = attempts[-1]
    found = next(one for one in MODELS if f"{one.provider}/{one.name}" == last.target)
    record.model, record.provider, record.upstream_model = found.alias, found.provider, found.name
    record.status, record.outcome = (200, "ok") if last.outcome == "ok" else (502, "all_targets_failed")
    record.usage, record.ttft_s = last.usage, last.first_token_s
    costs = [attempt.cost_picousd for attempt in attempts]
    record.cost_picousd = None if None in costs else sum(cost or 0 for cost in costs)
    return record


def _attempts(draw: Random, model: Model) -> tuple[list[Attempt], float]:
    """One that answers, most often; some fail first and cost nothing, some are cut and cost what they had written."""
    found: list[Attempt] = []
    at_s, luck = 0.02, draw.random()
    if luck < 0.03:
        outcome, status = draw.choice((("rate_limit", 429), ("error", 500), ("timeout", None)))
        found.append(_attempt(draw, model, 0, at_s, outcome, status))
        at_s += 0.5
    elif luck < 0.035:
        found.append(_attempt(draw, model, 0, at_s, "cut", 200))
        at_s += 1.5
    if 0.02 < luck < 0.03 and model.alias != "gpt":
        model = MODELS[1]
    gone = luck < 0.002
    last = _attempt(draw, model, len(found), at_s, "error" if gone else "ok", 500 if gone else 200)
    return [*found, last], last.ended_s or at_s


def _attempt(draw: Random, model: Model, number: int, at_s: float, outcome: str, status: int | None) -> Attempt:
    attempt = Attempt(number, f"{model.provider}/{model.name}", "fallback" if number else "primary", at_s)
    attempt.outcome, attempt.status = outcome, status  # type: ignore[assignment]
    if outcome not in ("ok", "cut"):
        attempt.ended_s, attempt.cost_picousd = at_s + draw.uniform(0.1, 0.4), 0
        return attempt
    read, written = int(draw.lognormvariate(6.8, 0.8)), int(draw.lognormvariate(5.2, 0.7))
    cached = read * 3 // 4 if draw.random() < 0.4 else 0
    attempt.usage = Usage(read - cached, cached, 0, written, estimated=outcome == "cut")
    if model.price is None:
        attempt.cost_picousd = None
    else:
        attempt.cost_picousd = model.price.cost_picousd(attempt.usage)
    attempt.first_token_s = at_s + model.first_s * draw.lognormvariate(0, 0.35)
    attempt.ended_s = attempt.first_token_s + written * model.token_s
    return attempt
