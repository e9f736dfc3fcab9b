"""How far the token estimate is from real o200k counts, by kind of text.

python benchmarks/estimates.py [FOLDER]     # FOLDER: eval sets as in $AFTERBAY_SHARED/data/eval
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from rs_bpe import openai

from afterbay.policy.quantity import estimate_text

OWN = {
    "Chinese": "提取下面文本中的姓名和城市。请用中文回答这个问题，并解释你的推理过程。机器学习是人工智能的一个分支。",
    "Japanese": "これは日本語の文章です。東京は日本の首都であり、世界で最も人口の多い都市の一つです。",
    "Russian": "Привет, как дела? Сегодня хорошая погода, и мы идём гулять в парк у реки.",
    "German": "Guten Morgen, wie geht es Ihnen heute? Das Wetter ist schön, und wir gehen am Fluss spazieren.",
}


def texts(folder: Path) -> Iterator[tuple[str, str]]:
    """(kind, text) of every row's longest string."""
    for name in ("mt_bench/mt_bench", "human_eval/human_eval", "gsm8k_test/gsm8k_test", "rag_docs/corpus"):
        path = folder / f"{name}.jsonl"
        if not path.exists():
            continue
        for line in path.read_text("utf-8").splitlines()[:500]:
            values = [json.loads(line)]
            strings = []
            while values:
                value = values.pop()
                if isinstance(value, str):
                    strings.append(value)
                elif isinstance(value, dict | list):
                    values += value.values() if isinstance(value, dict) else value
            yield name, max(strings, key=len, default="")
    yield from OWN.items()


def main() -> None:
    """Measures and prints."""
    shared = Path(os.environ.get("AFTERBAY_SHARED", "../shared"))
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else shared / "data/eval"
    count = openai.o200k_base().count
    by_kind: dict[str, list[tuple[int, int]]] = {}
    for kind, text in texts(folder):
        if text:
            by_kind.setdefault(kind, []).append((estimate_text(text), count(text)))
    print(f"{'kind':28} {'n':>5} {'sum of estimates / sum of counts':>34} {'median of |error|':>18}")
    for kind, pairs in by_kind.items():
        ratio = sum(a for a, _ in pairs) / sum(b for _, b in pairs)
        error = statistics.median(abs(a - b) / b for a, b in pairs)
        print(f"{kind:28} {len(pairs):5} {ratio:34.2f} {error:18.1%}")


if __name__ == "__main__":
    main()
