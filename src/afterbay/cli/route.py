"""`afterbay route`: who would be asked, why, who would not, and what each would cost. Nobody is asked."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import typer

from afterbay.cli.decision import DryRun, dry_run
from afterbay.cli.document_prices import priced, print_prices
from afterbay.cli.figures import UNKNOWN, dollars, printable, seconds, shown
from afterbay.cli.speech import Misuse, Speech, print_json, print_table
from afterbay.cli.state import database_path, existing_database
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.core.decision import Candidate
from afterbay.engine.learned import Learned, learning
from afterbay.policy.quantity import estimate_text
from afterbay.policy.statement import HEADER
from afterbay.ports import Key
from afterbay.store.keys import SqliteKeys

AGENT = "x-afterbay-agent"
HEADINGS = ("", "candidate", "model", "window", "cost", "quality", "ttft p95", "removed by")


class Stated(msgspec.Struct, frozen=True):
    """What a client says of itself: the task, and the user and agent that it asks for."""

    task: str | None = None
    user: str | None = None
    agent: str | None = None


def request_of(text: str, model: str, stated: Stated) -> tuple[dict[str, str], bytes]:
    """Headers and body of OpenAI's chat protocol that a client would send."""
    said = {HEADER: stated.task, AGENT: stated.agent}
    body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
    if stated.user is not None:
        body["user"] = stated.user
    return {name: value for name, value in said.items() if value is not None}, msgspec.json.encode(body)


def run_route(
    prompt: str,
    file: Path | None,
    key: str | None,
    model: str,
    config: Path | None,
    stated: Stated,
    everything: bool,
    as_json: bool,
) -> None:
    """Prints the decision on one question. Exit code 1 if nothing may serve it.

    Raises:
        Misuse: there is no question, or the file cannot be read.
        GatewayError: there is no such model, task or key.
    """
    text = "\n\n".join(part for part in (prompt, _read(file)) if part)
    if not text.strip():
        raise Misuse("There is nothing to decide on.", remedy="Give a prompt in quotes, or --file FILE.")
    loaded = load_snapshot(config, os.environ)
    headers, body = request_of(text, model, stated)
    asks = _key(loaded, key) if key is not None else None
    found = dry_run(loaded.snapshot, body, headers, asks, _learned(loaded), loaded.trained.predictors)
    every = priced(estimate_text(text)) if everything else []
    if as_json:
        print_json(plain(found) | ({"catalogue": every} if everything else {}))
    else:
        print_table(HEADINGS, rows_of(found.candidates))
        speech = Speech(sys.stderr)
        for line in told(found):
            speech.say(line)
        if everything:
            print_prices(every)
    if found.error is not None:
        raise typer.Exit(1)


def rows_of(candidates: Sequence[Candidate]) -> list[tuple[str, ...]]:
    """One row for each candidate, in their order."""
    return [
        (
            str(one.rank) if one.rank is not None else "-",
            one.target,
            one.alias,
            str(one.window) if one.window is not None else UNKNOWN,
            dollars(one.scores.cost_picousd),
            f"{one.scores.quality:.3f}" if one.scores.quality is not None else UNKNOWN,
            seconds(one.scores.ttft_p95_s) if one.scores.ttft_p95_s is not None else UNKNOWN,
            one.removed or "-",
        )
        for one in candidates
    ]


def told(found: DryRun) -> list[str]:
    """The decision in sentences."""
    facts = ", ".join(f"{name} {shown(value)}" for name, value in found.facts.items() if value not in (None, [], ""))
    lines = [f"facts: {facts}"]
    if found.decision is None:
        return [*lines, f"nobody would be asked. {found.error.text() if found.error is not None else ''}".rstrip()]
    first, *rest = found.decision.targets
    lines.append(f"picked: {first.id}, by {found.decision.rule} of {found.decision.route}")
    lines.append(f"then: {', '.join(one.id for one in rest) or 'nobody'}")
    if found.strongest is not None:
        cost = dollars(found.strongest.scores.cost_picousd)
        picked = next((one for one in found.candidates if one.target == first.id), None)
        own = dollars(picked.scores.cost_picousd) if picked is not None else UNKNOWN
        lines.append(f"cost: about {own}; always the strongest ({found.strongest.target}): about {cost}")
    lines += [f"warning: {printable(one)}" for one in found.warnings]
    return lines


def plain(found: DryRun) -> dict[str, Any]:
    """The decision as JSON; sums in US dollars, null where they are not known."""
    decision, strong = found.decision, found.strongest
    return {
        "facts": found.facts,
        "route": decision.route if decision is not None else None,
        "rule": decision.rule if decision is not None else None,
        "pick": decision.targets[0].id if decision is not None else None,
        "targets": [one.id for one in decision.targets] if decision is not None else [],
        "candidates": [_candidate(one) for one in found.candidates],
        "strongest": strong.target if strong is not None else None,
        "counterfactual_usd": _usd(strong.scores.cost_picousd) if strong is not None else None,
        "error": {"code": found.error.code, "message": found.error.text()} if found.error is not None else None,
        "warnings": found.warnings,
    }


def _candidate(one: Candidate) -> dict[str, Any]:
    return {
        "target": one.target,
        "model": one.alias or None,
        "rank": one.rank,
        "removed": one.removed,
        "window": one.window,
        "max_output": one.output,
        "cost_usd": _usd(one.scores.cost_picousd),
        "quality": one.scores.quality,
        "ttft_p95_s": one.scores.ttft_p95_s,
        "warm_tokens": one.scores.warm_tokens,
    }


def _usd(amount: int | None) -> float | None:
    return amount / 1e12 if amount is not None else None


def _read(file: Path | None) -> str:
    if file is None:
        return ""
    try:
        return file.read_text("utf-8", errors="replace")
    except OSError as error:
        raise Misuse(f"{file} cannot be read ({error.strerror}).", remedy="Name a text file.") from None


def _learned(loaded: Loaded) -> Learned | None:
    """What the routes of a gateway with this configuration have learned; None: nothing, or there was none yet."""
    if not learning(loaded.snapshot) or not database_path(loaded.snapshot).exists():
        return None
    from afterbay.cli.routing import read_learned

    return read_learned(existing_database(loaded), loaded.snapshot)


def _key(loaded: Loaded, name: str) -> Key | None:
    """What a key may use and wants, by its id or name.

    Raises:
        Misuse: it has ended.
    """
    with closing(SqliteKeys(existing_database(loaded))) as keys:
        key = keys.effective(keys.key(name))
    if key is None:
        raise Misuse(f"The key {name} has ended.", remedy="afterbay keys list shows those that hold.")
    return key
