"""CPU time of the facts of a request: by length, without and with the task classifier.

python benchmarks/facts.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

from afterbay.config.weights import task_classifier
from afterbay.policy.facts import Scorer, read_facts
from afterbay.policy.plan import Rules

ENGLISH = "Please go through the minutes of the meeting and tell me what was decided about the budget for 2027. "
CHINESE = "请仔细阅读下面的会议记录，并告诉我关于二〇二七年预算做出了哪些决定。"
ROUNDS = 300


def spent(work: Callable[[], object], rounds: int) -> list[float]:
    """CPU milliseconds of each round, ascending."""
    found = []
    for _ in range(rounds):
        begun = time.thread_time()
        work()
        found.append(1000 * (time.thread_time() - begun))
    return sorted(found)


def show(name: str, text: str, scorer: Scorer | None, rounds: int = ROUNDS) -> None:
    """One line."""
    rules = Rules()
    read_facts(text, rules, scorer)
    times = spent(lambda: read_facts(text, rules, scorer), rounds)
    half, most = times[len(times) // 2], times[int(0.99 * len(times))]
    print(f"{name:34s} {len(text):8d} characters  p50 {half:.3f} ms  p99 {most:.3f} ms")


def main() -> None:
    """All lines."""
    classifier = task_classifier()
    for name, text in (("English", ENGLISH), ("Chinese", CHINESE)):
        for chars in (200, 2_000, 6_000):
            whole = (text * (chars // len(text) + 1))[:chars]
            show(f"{name}, simple rules only", whole, None)
            show(f"{name}, with the classifier", whole, classifier)
    show("English, 50,000 tokens", (ENGLISH * 2_000)[:200_000], classifier, 100)
    show("Chinese, 50,000 tokens", (CHINESE * 3_000)[:75_000], classifier, 100)


if __name__ == "__main__":
    main()
