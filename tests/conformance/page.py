"""docs/conformance.md, from cells that were run just now."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

from . import chat, gemini, messages, responses
from .answers import ERRORS, FEATURES
from .cells import HELD, NEEDED, UNREAD, Cell, cell
from .probe import CHAT, CLIENTS, COLUMNS, GEMINI, MESSAGES, RESPONSES, VARIANTS, Probe
from .shown import UNREAD as UNREAD_ANSWERS
from .shown import answer_cell, cut_cell, error_cell

PROBES: dict[str, list[Probe]] = {
    CHAT: chat.PROBES,
    RESPONSES: responses.PROBES,
    MESSAGES: messages.PROBES,
    GEMINI: gemini.PROBES,
}
SDKS = {CHAT: "openai", RESPONSES: "openai", MESSAGES: "anthropic", GEMINI: "google-genai"}


class Row(NamedTuple):
    """A probe and its cells: one a column, and those of hosts and models that differ from their column."""

    name: str
    cells: tuple[Cell, ...]
    differing: tuple[tuple[str, Cell], ...] = ()


@cache
def request_rows(client: str) -> tuple[Row, ...]:
    """Every request probe of a client's protocol, run against every column and variant."""
    rows = []
    for probe in PROBES[client]:
        cells = tuple(cell(client, probe, column) for column in COLUMNS)
        usual = {column.dialect: one for column, one in zip(COLUMNS, cells, strict=True)}
        others = ((variant, cell(client, probe, variant)) for variant in VARIANTS)
        differing = tuple((v.title, one) for v, one in others if one.text != usual[v.dialect].text)
        rows.append(Row(probe.name, cells, differing))
    return tuple(rows)


@cache
def answer_rows() -> dict[str, tuple[Row, ...]]:
    """Every answer probe by the provider's protocol, run for every client."""
    found = {}
    for column in COLUMNS:
        features = FEATURES[column.dialect]
        rows = [Row(p.name, tuple(answer_cell(client, p, column) for client in CLIENTS)) for p in features]
        for status, body in ERRORS[column.dialect]:
            cells = tuple(error_cell(client, column, status, body) for client in CLIENTS)
            rows.append(Row(f"error {status}{said(body)}", cells))
        rows.append(Row("a stream that is cut", tuple(cut_cell(client, column) for client in CLIENTS)))
        found[column.title] = tuple(rows)
    return found


def said(body: dict[str, object]) -> str:
    """The words by which a provider's error calls itself."""
    error = body.get("error")
    words = [error.get(name) for name in ("code", "status", "type")] if isinstance(error, dict) else []
    word = next((word for word in words if isinstance(word, str)), None)
    return f" `{word}`" if word else ""


def silent() -> list[str]:
    """What was lost without a word: there may be none."""
    found = []
    for client in CLIENTS:
        for row in request_rows(client):
            titled = [*zip((c.title for c in COLUMNS), row.cells, strict=True), *row.differing]
            found += [f"{client} -> {title}: {row.name}: {one.text}" for title, one in titled if one.kind == "silent"]
    for title, rows in answer_rows().items():
        for row in rows:
            for client, one in zip(CLIENTS, row.cells, strict=True):
                if one.kind == "silent":
                    found.append(f"{title} -> {client}: {row.name}: {one.text}")
    return found


class Notes:
    """Footnotes of one table: the same words have one number."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def mark(self, one: Cell) -> str:
        """The cell with the number of its reason."""
        if not one.reason:
            return one.text
        number = self.numbers.setdefault(one.reason, len(self.numbers) + 1)
        return f"{one.text} <sup>{number}</sup>"

    def lines(self) -> list[str]:
        return ["", *(f"{number}. {reason}" for reason, number in self.numbers.items())] if self.numbers else []


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    names = list(head)
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return lines + ["| " + " | ".join(one.replace("|", "\\|") for one in row) + " |" for row in rows]


def grouped(differing: Iterable[tuple[str, Cell]], notes: Notes) -> str:
    """Cells of variants, those alike together."""
    same: dict[str, list[str]] = {}
    for title, one in differing:
        same.setdefault(notes.mark(one), []).append(title)
    return "; ".join(f"{', '.join(titles)}: {text}" for text, titles in same.items())


def code(name: str) -> str:
    """A path as code, what is said of it in words beside it."""
    path, _, words = name.partition(" (")
    return f"`{path}`" + (f" ({words}" if words else "")


def request_section(client: str) -> list[str]:
    rows, notes = request_rows(client), Notes()
    lines = [f"## Requests of {client} clients", ""]
    lines += table(("field", *(c.title for c in COLUMNS)), ((code(r.name), *map(notes.mark, r.cells)) for r in rows))
    lines += notes.lines()
    lines += ["", f"### Hosts and models that differ: requests of {client} clients", ""]
    notes = Notes()
    lines += table(
        ("field", "where it is not as above"),
        ((code(r.name), grouped(r.differing, notes)) for r in rows if r.differing),
    )
    return [*lines, *notes.lines(), ""]


def answer_section(client: str) -> list[str]:
    """Answers of every provider's protocol, as the client sees them."""
    at, notes = CLIENTS.index(client), Notes()
    lines = [f"## Answers to {client} clients", ""]
    cells = [(title, row.name, notes.mark(row.cells[at])) for title, rows in answer_rows().items() for row in rows]
    return [
        *lines,
        *table(("provider", "what it answers", f"what a client of {client} sees"), cells),
        *notes.lines(),
        "",
    ]


def counts() -> list[str]:
    requests: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for client in CLIENTS:
        for row in request_rows(client):
            requests.update(one.kind for one in row.cells)
    for rows in answer_rows().values():
        answers.update(one.kind for row in rows for one in row.cells)
    kinds = ("relayed", "translated", "as", "set", "held", "lost", "refused", "silent")
    probes = (sum(map(len, PROBES.values())), sum(map(len, answer_rows().values())))
    differing = sum(len(row.differing) for client in CLIENTS for row in request_rows(client))
    rows = [
        (name, f"{number:,}", f"{sum(found.values()):,}", *(f"{found[kind]:,}" for kind in kinds))
        for name, number, found in (("requests", probes[0], requests), ("answers", probes[1], answers))
    ]
    head = ("", "probes", "cells", "relayed", "yes", "as", "set", "held", "lost", "refused", "silent")
    runs = sum(map(len, PROBES.values())) * len(VARIANTS)
    tail = f"Beside these, {runs:,} cells of {len(VARIANTS)} hosts and models were run: {differing:,} are not as above."
    return [*table(head, rows), "", tail]


INTRODUCTION = """\
# Conformance

What becomes of every field of a request and of every feature of an answer, between any protocol that a client may
speak and any that a provider may. No cell is written by hand: each says what the gateway did when it was run, and a
test fails when this page is stale, when a field of the SDKs' request types has no probe, or when anything is lost
without a word. `make conformance` writes it anew.

**How it was run.** A probe is a small request (or answer) that says one thing more than its base. Both go through the
gateway's engine to a scripted provider, with the default configuration (`unsupported: error`). What arrives is read
back by the provider's protocol (an answer by the client's) and compared with what was meant, value by value; warnings
count as said. Answers are whole ones; streams are checked for their end where a connection breaks.

Fields are those of the SDKs' types: {sdks}.

| word | what it means |
|---|---|
| `relayed` | the client speaks the provider's protocol: the bytes are the client's own (answers: the provider's) |
| yes | translated: it arrives with the same value |
| as `field=value` | translated: it arrives in another form, which is shown |
| set: `field=value` | the gateway had to set something, and a warning says so |
| lost: `name` | left out, and a warning names it (`x-afterbay-warnings`, and the record) |
| 400 `name` | refused, since no target can honour it; with `unsupported: drop` it is lost, with a warning |
| default, always so, seen to here, ... | not sent, and not needed: it happens unasked, or is done here |

Models that were asked: {models}.

What one model lacks beyond its protocol (its `capabilities`, the catalogue) comes on top.
"""


def page() -> str:
    """The whole page."""
    sdks = ", ".join(f"{name} {version(name)}" for name in dict.fromkeys(SDKS.values()))
    models = ", ".join(f"`{column.model}` ({column.title})" for column in COLUMNS)
    lines = [INTRODUCTION.format(sdks=sdks, models=models), *counts(), ""]
    lines += [
        "Sections: "
        + ", ".join(f"[{c}](#requests-of-{anchor(c)}-clients)" for c in CLIENTS)
        + " requests; "
        + ", ".join(f"[{c}](#answers-to-{anchor(c)}-clients)" for c in CLIENTS)
        + " answers.",
        "",
    ]
    for client in CLIENTS:
        lines += request_section(client)
    for client in CLIENTS:
        lines += answer_section(client)
    return "\n".join(lines).rstrip() + "\n"


def anchor(name: str) -> str:
    return re.sub(r"[^a-z]", "", name)


def needless() -> list[str]:
    """Excuses that no probe needs any more."""
    found = []
    for client in CLIENTS:
        request_rows(client)
    found += [f"HELD {key}" for key in HELD.keys() - NEEDED]
    names = {(client, probe.name) for client in CLIENTS for probe in PROBES[client]}
    found += [f"UNREAD {key}" for key in UNREAD if key not in names]
    for client, name in UNREAD.keys() & names:
        row = next(row for row in request_rows(client) if row.name == name)
        if not any(one.kind == "held" for one in row.cells):
            found.append(f"UNREAD {client} {name}")
    answers = {one.text for rows in answer_rows().values() for row in rows for one in row.cells}
    found += [f"UNREAD {key}" for key, reason in UNREAD_ANSWERS.items() if reason not in answers]
    return found


__all__ = ["needless", "page", "silent"]
