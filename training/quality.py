"""Trains the head of complexity that ships (`weights/quality.bin`) and prints what it is worth on sets it did not see.

    AFTERBAY_SHARED=… python -m training.quality

What is learned: how likely a cheap model's answer is bad. Sources with outcomes: RouteLLM's MMLU and GSM8K rows
(Mixtral 8x7B) and RouterArena's (the mean of two models), Apache-2.0. Two sources without outcomes keep the ends in
place, by assumption: short requests to an assistant are easy (CLINC150, CC-BY-3.0), prompts picked for their difficulty
are hard (Arena-Hard v0.1, Apache-2.0). The figures leave whole sources out.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from afterbay.policy.learned.complexity import Complexity, packed
from afterbay.policy.learned.fit import folds
from afterbay.policy.learned.quality import Prompt, Quality, Settings, read_prompt, train

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[1].parent / "shared") / "data" / "eval"
OUTPUT = Path(__file__).parents[1] / "src" / "afterbay" / "weights" / "quality.bin"
HEAD = "bad answer of a cheap model"
EASY, HARD = 0.05, 0.75
"""What is assumed of the two sources without outcomes."""
MOST = {"routellm_mmlu": 2000, "clinc150": 600}
STEPS = 41
Row: TypeAlias = tuple[str, float]


def _lines(path: str) -> Iterator[dict[str, Any]]:
    for line in (SHARED / path).read_bytes().splitlines():
        yield json.loads(line)


def _routellm(name: str) -> list[Row]:
    return [(row["prompt"], 1.0 - row["weak_correct"]) for row in _lines(f"{name}/{name}.jsonl")]


def _routerarena() -> list[Row]:
    rows = _lines("routerarena/routerarena.jsonl")
    return [(r["question"], 1 - float(np.mean([m["score"] for m in r["models"].values()]))) for r in rows]


def sources() -> dict[str, list[Row]]:
    """Prompts of each source with how bad answers were, at most so many, by a draw."""
    found = {
        "routellm_mmlu": _routellm("routellm_mmlu"),
        "routellm_gsm8k": _routellm("routellm_gsm8k"),
        "routerarena": _routerarena(),
        "clinc150": [(row["text"], EASY) for row in _lines("clinc150/clinc150.jsonl")],
        "arena_hard": [(row["prompt"], HARD) for row in _lines("arena_hard/v0_1.jsonl")],
    }
    for name, most in MOST.items():
        order = np.random.default_rng(0).permutation(len(found[name]))[:most]
        found[name] = [found[name][i] for i in order]
    return found


def learned(prompts: list[Prompt], bad: NDArray[np.float64]) -> Quality:
    """The head of some prompts."""
    return train(prompts, bad[:, None], (HEAD,), Settings(landmarks=256))


def main() -> None:
    """Trains on all sources, writes the weights, and prints the figures of the data card."""
    rows = sources()
    texts = {name: [read_prompt(text) for text, _ in part] for name, part in rows.items()}
    bad = {name: np.array([value for _, value in part]) for name, part in rows.items()}
    for name in ("routellm_mmlu", "routellm_gsm8k", "routerarena"):
        others = [other for other in rows if other != name]
        head = learned([p for o in others for p in texts[o]], np.concatenate([bad[o] for o in others]))
        _say(name, head, [text for text, _ in rows[name]], bad[name] > 0.5)
    together = [prompt for part in texts.values() for prompt in part]
    outcomes = np.concatenate(list(bad.values()))
    whole = learned(together, outcomes)
    _judged(whole)
    said = np.zeros(len(together))
    for kept, held in folds(len(together), 5):
        head = learned([together[i] for i in kept], outcomes[kept])
        said[held] = [head.raw(together[i])[0] for i in held]
    OUTPUT.write_bytes(packed(Complexity(whole, _steps(said, [len(part) for part in rows.values()]))))
    print(f"{OUTPUT.name}: {OUTPUT.stat().st_size / 1000:.0f} kB")


def _steps(said: NDArray[np.float64], sizes: list[int]) -> NDArray[np.float32]:
    """Guesses that stand for equal steps, each source counting the same."""
    weights = np.concatenate([np.full(size, 1 / size) for size in sizes])
    order = np.argsort(said)
    ranks = np.cumsum(weights[order]) / weights.sum()
    return np.interp(np.linspace(0, 1, STEPS), ranks, said[order]).astype(np.float32)


def _judged(head: Quality) -> None:
    """MT-Bench questions, which train nothing: does a cheap model's bad mark go with complexity?"""
    rows = [row for row in _lines("routellm_mtbench/routellm_mtbench.jsonl") if "gpt-4" not in row["model"]]
    first = [row for row in rows if row["turn"] == 1]
    _say("mt_bench", head, [row["question"] for row in first], np.array([row["score"] < 8 for row in first]))


def _say(name: str, head: Quality, texts: list[str], bad: NDArray[np.bool_]) -> None:
    """The chance that a prompt answered badly gets the higher score than another, and by length alone."""
    said = np.array([head.raw(read_prompt(text))[0] for text in texts])
    length = np.array([float(len(text)) for text in texts])
    ranks = f"AUC {_auc(said, bad):.3f}, of length {_auc(length, bad):.3f}"
    print(f"{name}: {len(texts)} prompts, {bad.mean():.0%} bad, {ranks}")


def _auc(said: NDArray[np.float64], bad: NDArray[np.bool_]) -> float:
    apart = said[bad][:, None] - said[~bad][None]
    return float((apart > 0).mean() + (apart == 0).mean() / 2)


if __name__ == "__main__":
    main()
