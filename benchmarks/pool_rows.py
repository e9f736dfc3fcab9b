"""Rows for `afterbay router eval --protocol pool` from what is no pool yet, on stdout.

python benchmarks/pool_rows.py made-up 1500 > pool.jsonl              nine models, five subjects (tests/evals/matrix.py)
python benchmarks/pool_rows.py pairs routellm_mmlu.jsonl 2500 > ...   a strong and a weak model, at prices of 100:1
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

STRONG_USD, WEAK_USD = 0.01, 0.0001


def made_up(count: int) -> list[Any]:
    """Rows of the made-up matrix."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    from tests.evals.matrix import rows

    return list(rows(count))


def paired(path: Path, count: int) -> list[Any]:
    """The first rows of a file with a strong and a weak model's outcomes."""
    with path.open("rb") as lines:
        found = [msgspec.json.decode(line) for line in islice(lines, count)]
    return [
        {
            "question": row["prompt"],
            "dataset": str(row.get("subject") or ""),
            "models": {
                "strong": {"score": float(row["strong_correct"]), "inference_cost": STRONG_USD},
                "weak": {"score": float(row["weak_correct"]), "inference_cost": WEAK_USD},
            },
        }
        for row in found
    ]


if __name__ == "__main__":
    kind, *rest = sys.argv[1:]
    written = made_up(int(rest[0])) if kind == "made-up" else paired(Path(rest[0]), int(rest[1]))
    sys.stdout.buffer.write(b"".join(msgspec.json.encode(row) + b"\n" for row in written))
