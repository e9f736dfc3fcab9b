"""What a run cost, by agent and by model: sums of its records, and how sure they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import IO, Final, Literal, TypeAlias

import msgspec

from afterbay.cli.figures import dollars, seconds
from afterbay.cli.speech import Speech, print_table
from afterbay.core.decision import Record
from afterbay.store.answers import FINE

MAIN: Final = "main"
"""The agent that tells no name: a program's main one."""
OVER: Final = "insufficient_quota"
SHORT: Final = 12
"""So much of an agent's name is shown where that is enough to tell all apart."""

Confidence: TypeAlias = Literal["exact", "estimated", "at least"]


class Line(msgspec.Struct):
    """Sums of some requests. Tokens: `cached` is a part of `input`. `failed` does not count those that were `refused`
    for the cap. `estimated`: the gateway counted their tokens, not the provider; `unpriced`: used tokens, of which the
    price is not known, so `cost_picousd` is without them."""

    name: str
    requests: int = 0
    failed: int = 0
    refused: int = 0
    input: int = 0
    cached: int = 0
    output: int = 0
    cost_picousd: int = 0
    estimated: int = 0
    unpriced: int = 0

    def add(self, record: Record) -> None:
        """Adds a request."""
        self.requests += 1
        self.refused += record.outcome == OVER
        self.failed += record.outcome not in (*FINE, OVER)
        self.cost_picousd += record.cost_picousd or 0
        if (usage := record.usage) is not None:
            self.input += usage.total_input
            self.cached += usage.cached_input_tokens
            self.output += usage.total_output
            self.estimated += usage.estimated
            self.unpriced += record.cost_picousd is None

    @property
    def confidence(self) -> Confidence:
        """How sure the cost is."""
        if self.unpriced:
            return "at least"
        return "estimated" if self.estimated else "exact"


class Run(msgspec.Struct, frozen=True):
    """What is known of a run beside its records. `charged_picousd`: what counts against the cap, that is the cost, and
    where that is not known the most that it may have been."""

    command: str
    key_id: str
    started_at: float
    duration_s: float
    exit_code: int
    cap_picousd: int
    charged_picousd: int


class Receipt(msgspec.Struct, frozen=True):
    """What came of a run. `outcomes`: how often what went wrong."""

    run: Run
    total: Line
    agents: list[Line]
    models: list[Line]
    outcomes: dict[str, int]


def receipt_of(run: Run, records: Sequence[Record]) -> Receipt:
    """The receipt of a run from what was asked with its key."""
    total = next(iter(sums(records, lambda record: "total")), Line("total"))
    wrong = Counter(record.outcome for record in records if record.outcome not in FINE)
    return Receipt(run, total, sums(records, agent), sums(records, model), dict(wrong.most_common()))


def sums(records: Iterable[Record], name: Callable[[Record], str]) -> list[Line]:
    """The lines by a name, the dearest first."""
    lines: dict[str, Line] = {}
    for record in records:
        key = name(record)
        lines.setdefault(key, Line(key)).add(record)
    return sorted(lines.values(), key=lambda line: (-line.cost_picousd, -line.requests, line.name))


def agent(record: Record) -> str:
    """Whose request it was."""
    return record.agent or MAIN


def model(record: Record) -> str:
    """Who answered; where nobody did, what was asked for."""
    if record.upstream_model:
        return f"{record.provider}/{record.upstream_model}"
    return record.requested_model or "-"


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Long names by their beginning or end, whichever tells all apart; else whole."""
    cuts: tuple[Callable[[str], str], ...] = (
        lambda one: one if len(one) <= SHORT + 1 else f"{one[:SHORT]}…",
        lambda one: one if len(one) <= SHORT + 1 else f"{one.partition(':')[0][:SHORT]}…{one[-6:]}",
    )
    for cut in cuts:
        found = {name: cut(name) for name in names}
        if len(set(found.values())) == len(found):
            return found
    return {name: name for name in names}


def told(receipt: Receipt) -> dict[str, object]:
    """A receipt for machines: dollars beside the picodollars, and how sure each sum is."""
    when = datetime.fromtimestamp(receipt.run.started_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "command": receipt.run.command,
        "key": receipt.run.key_id,
        "started_at": when,
        "duration_s": round(receipt.run.duration_s, 3),
        "exit_code": receipt.run.exit_code,
        "cap_usd": receipt.run.cap_picousd / 1e12,
        "charged_usd": receipt.run.charged_picousd / 1e12,
        "stopped_by_cap": receipt.total.refused > 0,
        "total": _line(receipt.total),
        "agents": [_line(line) for line in receipt.agents],
        "models": [_line(line) for line in receipt.models],
        "outcomes": receipt.outcomes,
    }


def show(receipt: Receipt, again: str, out: IO[str]) -> None:
    """Prints a receipt for people. `again`: the command that goes on with what was begun."""
    speech = Speech(out)
    total = receipt.total
    speech.say(
        f"receipt of `{receipt.run.command}`, {seconds(receipt.run.duration_s)}, exit code {receipt.run.exit_code}:"
    )
    if not total.requests:
        speech.say("it asked the gateway for nothing, so it cost nothing here")
        speech.say(f"if it did work: a setting of `{receipt.run.command}` names another address than its variables do")
        return
    names = short_names([line.name for line in receipt.agents])
    rows = [_row("agent", names[line.name], line) for line in receipt.agents]
    rows += [_row("model", line.name, line) for line in receipt.models]
    headings = ("by", "name", "requests", "failed", "input", "cached", "output", "cost", "is")
    print_table(headings, [*rows, _row("total", "", total)], out)
    of_cap = f"{dollars(receipt.run.charged_picousd)} of the cap of {dollars(receipt.run.cap_picousd)} is used"
    speech.say(f"{of_cap}; the key {receipt.run.key_id} is revoked")
    for line in _notes(receipt, again):
        speech.say(line)


def _notes(receipt: Receipt, again: str) -> Iterable[str]:
    total = receipt.total
    if total.refused:
        yield f"the cap stopped it: requests refused: {total.refused}"
        yield f"to go on, start `{again}` with `afterbay run` and the --cap that you want for the rest"
    if total.unpriced:
        yield f"requests of which no price is known: {total.unpriced}; set `price` for their models"
    elif receipt.outcomes.get("price_unknown"):
        yield "requests were refused because no price is known; set `price` for their models"
    elif receipt.run.charged_picousd > total.cost_picousd:
        more = dollars(receipt.run.charged_picousd - total.cost_picousd)
        yield f"{more} more was charged than is known to be spent: what is not known counts as the most that it may be"
    wrong = {name: count for name, count in receipt.outcomes.items() if name not in (OVER, "price_unknown")}
    if wrong:
        yield "failed: " + ", ".join(f"{name} {count}" for name, count in wrong.items()) + "; `afterbay tail` has more"


def _row(by: str, name: str, line: Line) -> tuple[object, ...]:
    failed = line.failed + line.refused
    tokens = (f"{count:,}" for count in (line.input, line.cached, line.output))
    return (by, name or "-", line.requests, failed, *tokens, dollars(line.cost_picousd), line.confidence)


def _line(line: Line) -> dict[str, object]:
    fields = msgspec.structs.asdict(line)
    return {**fields, "cost_usd": line.cost_picousd / 1e12, "confidence": line.confidence}
