"""The prompts that the task classifier learns from: which sets, which parts of them, and those written for it.

Sets are read from the folder that AFTERBAY_SHARED names. Whole sources that test stay out, by name and by text.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

HERE: Final = Path(__file__).parent
SHARED: Final = Path(os.environ.get("AFTERBAY_SHARED") or HERE.parents[1] / "shared") / "data" / "eval"

_CLINC_PER_INTENT: Final = 8
_NOT_CHAT: Final = frozenset(
    (
        *("calculator", "definition", "fun_fact", "recipe", "spelling", "tell_joke", "measurement_conversion"),
        *("exchange_rate", "weather", "ingredients_list", "ingredient_substitution", "translate"),
    )
)
"""Intents of CLINC150 that are questions, sums or jokes, not talk with a service."""
_NOT_QUESTIONS: Final = ("calculate", "%", "how to say")
_PROGRAM: Final = re.compile(
    r"```|\bdef \w+\(|^\s*import \w+|#include|;\s*\n|\b(?:python|javascript|c\+\+|code)\b", re.I | re.M
)
_PER_INSTRUCTION: Final = 3
_AFTER: Final = ("上文", "以上", "上面", "上述", "above")
_BEFORE: Final = ("below", "following", "下")


class Row(msgspec.Struct, frozen=True):
    """A prompt with its task, where it is from, and `zh` or `en` (any other language)."""

    prompt: str
    label: str
    source: str
    lang: str

    @property
    def is_own(self) -> bool:
        """Whether it was written for this."""
        return self.source.startswith("own")


def rows_of(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a JSONL file."""
    with path.open("rb") as lines:
        for line in lines:
            if line.strip():
                yield msgspec.json.decode(line)


def labelled(name: str) -> list[Row]:
    """The rows of `task_type/NAME.jsonl`."""
    return [
        Row(**{key: one[key] for key in ("prompt", "label", "source", "lang")})
        for one in rows_of(SHARED / "task_type" / f"{name}.jsonl")
    ]


def training_rows() -> list[Row]:
    """All rows that train, in a fixed order. BELLE's are not among them: its authors ask for research use only."""
    rows = [one for one in labelled("train") if not one.source.startswith("belle") and not _is_mislabelled(one)]
    seen = {one.prompt.strip() for one in rows}
    rows += [one for one in _sets() if one.prompt.strip() not in seen]
    rows += _own()
    rows += _mixed()
    tests = {one.prompt.strip() for one in labelled("test")}
    return [one for one in rows if one.prompt.strip() not in tests]


def _is_mislabelled(row: Row) -> bool:
    """Whether a prompt is about a program though its label is of reasoning: Arena's `math` holds many such."""
    return row.source == "arena_hard_v2" and row.label == "reasoning" and _PROGRAM.search(row.prompt) is not None


def _sets() -> Iterator[Row]:
    by_intent: dict[str, list[str]] = {}
    for one in rows_of(SHARED / "clinc150" / "clinc150.jsonl"):
        if one["domain"] != "oos" and one["intent"] not in _NOT_CHAT:
            by_intent.setdefault(one["intent"], []).append(one["text"])
    for intent in sorted(by_intent):
        yield from (Row(text, "chat", "clinc150", "en") for text in by_intent[intent][:_CLINC_PER_INTENT])
    labels: dict[str, str] = msgspec.json.decode((HERE / "labels" / "arena_hard_v0_1.json").read_bytes())
    for one in rows_of(SHARED / "arena_hard" / "v0_1.jsonl"):
        if one["uid"] in labels:
            yield Row(one["prompt"], labels[one["uid"]], "arena_hard_v0_1", "en")
    for one in rows_of(SHARED / "json_mode" / "json_mode.jsonl"):
        asked = next(message["content"] for message in one["messages"] if message["role"] == "user")
        if not any(word in asked for word in _NOT_QUESTIONS):
            yield Row(asked, "qa", "json_mode", "en")
    for one in list(rows_of(SHARED / "hallucination" / "halueval_qa_one_turn.jsonl"))[:200]:
        yield Row(one["question"], "qa", "halueval", "en")
    for one in rows_of(SHARED / "rag_docs" / "queries.jsonl"):
        yield Row(one["question"], "qa", "rag_docs", "en")
    for one in rows_of(SHARED / "prompt_injection" / "bipia_contexts.jsonl"):
        if one.get("task") == "code":
            yield Row("\n".join(one["error"]) + "\n\n" + "\n".join(one["code"]), "code", "bipia", "en")


def _own() -> list[Row]:
    return [
        Row(one["prompt"], one["label"], f"own_{one['lang']}", one["lang"])
        for path in sorted((HERE / "prompts").glob("*.jsonl"))
        for one in rows_of(path)
    ]


def _mixed() -> Iterable[Row]:
    """Instructions joined with passages, each with a few: the instruction decides the task, not what it is about."""
    drawn = random.Random(5)  # noqa: S311
    parts = msgspec.json.decode((HERE / "prompts" / "passages.json").read_bytes())
    for lang in sorted(parts):
        for label, instructions in sorted(parts[lang]["instructions"].items()):
            for instruction in instructions:
                for passage in drawn.sample(parts[lang]["passages"], _PER_INSTRUCTION):
                    gap = drawn.choice(["\n", "\n\n", "" if lang == "zh" else " "])
                    first = _comes_first(instruction, drawn)
                    text = f"{instruction}{gap}{passage}" if first else f"{passage}{gap}{instruction}"
                    yield Row(text, label, f"mixed_{lang}", lang)


def _comes_first(instruction: str, drawn: random.Random) -> bool:
    if any(word in instruction for word in _AFTER):
        return False
    return instruction.endswith((":", "：")) or any(word in instruction for word in _BEFORE) or drawn.random() < 0.7
