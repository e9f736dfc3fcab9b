"""`afterbay router tasks`: what the task classifier makes of the prompts in a file."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import Any

import msgspec

from afterbay.cli.speech import Misuse, print_json, print_table
from afterbay.config.weights import task_classifier
from afterbay.core.errors import ClientMistake
from afterbay.evals.tasks import Judged, Prompt, Score, by_language, confusion, judged, prompts, score

_MOST_ROWS = 1_000_000


def run_tasks(file: Path, as_json: bool) -> None:
    """Prints what is asked for in each prompt, and the figures of all."""
    asked = _read(file)
    found = judged(asked, task_classifier())
    whole, parts = score(asked, found), by_language(asked, found)
    if as_json:
        print_json(_object(asked, found, whole, parts))
        return
    for prompt, one in zip(asked, found, strict=True):
        mark = "-" if one.abstained else one.task
        print(f"{mark:10s} {one.probability:.2f}  {' '.join(prompt.text[:90].split())}")
    print()
    print_table(
        ("language", "prompts", "decided", "right of decided", "right of all"),
        [
            (name, str(one.n), _share(one.coverage), _share(one.accuracy_decided), _share(one.accuracy))
            for name, one in {**parts, "all": whole}.items()
        ],
    )
    print(f"CPU: {_cpu_ms(found, 0.5):.2f} ms p50, {_cpu_ms(found, 0.99):.2f} ms p99")


def _read(file: Path) -> list[Prompt]:
    try:
        lines = [line for line in file.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines() if line.strip()]
    except OSError as error:
        raise Misuse(f"{file} cannot be read: {error.strerror}.", remedy="Name a file of JSON lines.") from None
    rows = []
    for number, line in enumerate(lines[:_MOST_ROWS], 1):
        try:
            rows.append(msgspec.json.decode(line, type=dict[str, Any]))
        except msgspec.DecodeError:
            raise Misuse(f"Row {number} of {file} is no JSON object.", remedy="Write one object a line.") from None
    if not rows:
        raise Misuse(f"{file} holds no rows.", remedy="Write one object a line, with `prompt`.")
    try:
        return prompts(rows)
    except ClientMistake as error:
        raise Misuse(error.message, remedy=error.remedy) from None


def _object(asked: list[Prompt], found: list[Judged], whole: Score, parts: dict[str, Score]) -> dict[str, Any]:
    rows = [
        {"task": one.task, "probability": one.probability, "abstained": one.abstained, "language": one.language,
         "complexity": one.complexity, **({"label": prompt.label} if prompt.label is not None else {})}
        for prompt, one in zip(asked, found, strict=True)
    ]  # fmt: skip
    return {
        **_figures(whole),
        "cpu_ms_p50": round(_cpu_ms(found, 0.5), 4),
        "cpu_ms_p99": round(_cpu_ms(found, 0.99), 4),
        "by_language": {name: _figures(one) for name, one in parts.items()},
        "confusion": confusion(asked, found),
        "rows": rows,
    }


def _figures(one: Score) -> dict[str, Any]:
    def rounded(number: float | None) -> float | None:
        return None if number is None else round(number, 4)

    return {
        "n": one.n,
        "coverage": rounded(one.coverage),
        "accuracy_decided": rounded(one.accuracy_decided),
        "accuracy_decided_error": rounded(one.error_decided),
        "accuracy": rounded(one.accuracy),
    }


def _share(number: float | None) -> str:
    return "-" if number is None else f"{100 * number:.1f} %"


def _cpu_ms(found: list[Judged], share: float) -> float:
    spent = sorted(one.cpu_s for one in found)
    return 1000 * spent[min(int(share * len(spent)), len(spent) - 1)]
