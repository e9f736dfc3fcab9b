"""What routing between a cheap local model and a dear strong one saves, through a real gateway: `make savings`.

The cheap side is the embedded model of half a billion parameters, priced as such models are sold. The strong one and
the judge are played (`company`), at the prices of large models. A route with `keep: 0.95` learns from shadows of all
its requests, is trained, is certified by pairs that it did not learn from, and then serves questions that nobody has
seen, beside the strong model for everything, the simple rules, and the classifier's levels.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.savings.company import Company
from benchmarks.savings.questions import Question, is_right, questions

LEARNED_FROM = int(os.environ.get("AFTERBAY_SAVINGS_PAIRS", "700"))
MEASURED = int(os.environ.get("AFTERBAY_SAVINGS_QUESTIONS", "250"))
KEEP, CONFIDENCE = 0.95, 0.9
AT_ONCE = 2
STARTS_WITHIN_S, CERTIFIES_WITHIN_S = 170, 240

CONFIG = """
providers:
  company: {{kind: openai, base_url: "{url}", api_key: played}}
  local: {{kind: llamacpp}}
models:
  small: {{provider: local, name: local, price: {{input: 0.05, output: 0.2}}}}
  large: {{provider: company, name: strong, price: {{input: 5, output: 20}}}}
  judge: {{provider: company, name: judge, price: {{input: 5, output: 20}}}}
routes:
  kept:
    complexity: {{low: small, high: large}}
    keep: {keep}
    confidence: {confidence}
    shadow: {{share: {share}, judge: judge, max_cost_usd: 1000}}
  rules: {{complexity: {{low: small, high: large}}}}
  levels: {{complexity: {{low: small, high: large}}, stages: [classify, validate]}}
state: {{database: "sqlite:///{state}/savings.db"}}
unknown_model: error
"""


class Answered(NamedTuple):
    """One question as it was answered: whether rightly, by which model, for how many dollars."""

    question: Question
    right: bool
    model: str
    usd: float


class Gateway:
    """`afterbay serve` in a process of its own."""

    def __init__(self, state: Path, port: int = 8471) -> None:
        self.config, self.url = state / "savings.yaml", f"http://127.0.0.1:{port}"
        self._state = state
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, company: str, share: float) -> None:
        """Writes the configuration; a running gateway takes it."""
        text = CONFIG.format(url=company, state=self._state, keep=KEEP, confidence=CONFIDENCE, share=share)
        self.config.write_text(text)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def start(self) -> None:
        """Starts it; returns when the local model answers."""
        command = [sys.executable, "-m", "afterbay", "serve", "-c", str(self.config), "--port", str(self._port)]
        self._process = subprocess.Popen(command)
        end = time.monotonic() + STARTS_WITHIN_S
        while time.monotonic() < end:
            try:
                self.ask("small", "Say yes.")
            except OSError:
                time.sleep(0.5)
            else:
                return
        raise SystemExit("savings: the local model does not answer; the lines above say why")

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(30)

    def ask(self, model: str, prompt: str) -> tuple[str, str, float]:
        """An answer, the model that gave it, and what it cost in dollars."""
        body = {"model": model, "max_tokens": 24, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}
        request = urllib.request.Request(f"{self.url}/v1/chat/completions", json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=120) as reply:
            said = json.load(reply)["choices"][0]["message"]["content"] or ""
            return said, reply.headers["x-afterbay-model"], float(reply.headers["x-afterbay-cost-usd"])

    def figure(self, name: str) -> float:
        """The sum of a metric over its labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as reply:
            lines = reply.read().decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))

    def told(self, *arguments: str) -> Any:
        """What a command prints as JSON."""
        command = [sys.executable, "-m", "afterbay", *arguments, "-c", str(self.config), "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def answer_all(gateway: Gateway, model: str, asked: Sequence[Question]) -> list[Answered]:
    """All questions by one model or route, a few at a time."""
    room = asyncio.Semaphore(AT_ONCE)

    async def one(question: Question) -> Answered:
        async with room:
            said, by, usd = await asyncio.to_thread(gateway.ask, model, question.prompt)
        return Answered(question, is_right(question, said), by, usd)

    return list(await asyncio.gather(*map(one, asked)))


async def learn(gateway: Gateway, asked: Sequence[Question]) -> None:
    """Sends requests by the route that keeps quality, and waits until all of them have been shadowed."""
    step = 24
    for start in range(0, len(asked), step):
        await answer_all(gateway, "kept", asked[start : start + step])
        for _ in range(600):
            if await asyncio.to_thread(gateway.figure, "afterbay_shadows_total") >= min(start + step, len(asked)):
                break
            await asyncio.sleep(0.1)


async def wait_for_certificate(gateway: Gateway) -> None:
    """The pairs have to be some seconds old, and the gateway looks once a minute."""
    for _ in range(CERTIFIES_WITHIN_S):
        if await asyncio.to_thread(gateway.figure, "afterbay_certified"):
            return
        await asyncio.sleep(1.0)


def row(name: str, answers: Sequence[Answered], strong: Sequence[Answered]) -> str:
    """One line of the table."""
    share = sum(one.right for one in answers) / len(answers)
    kept = share / (sum(one.right for one in strong) / len(strong))
    cost, dearest = sum(one.usd for one in answers), sum(one.usd for one in strong)
    cheap = sum("local" in one.model for one in answers) / len(answers)
    easy = [(one.usd, other.usd) for one, other in zip(answers, strong, strict=True) if one.question.easy]
    price = sum(one for one, _ in easy) / sum(other for _, other in easy)
    saved = f"{1 - cost / dearest:.0%}"
    cells = (
        name,
        f"{cost * 1000 / len(answers):.3f}",
        saved,
        f"{share:.1%}",
        f"{kept:.3f}",
        f"{cheap:.0%}",
        f"{price:.3f}",
    )
    return f"| {' | '.join(cells)} |"


async def run(state: Path) -> None:
    """The whole run."""
    known = list(dict.fromkeys(questions(4 * (LEARNED_FROM + MEASURED), seed=1)))
    first, fresh = known[:LEARNED_FROM], known[LEARNED_FROM : LEARNED_FROM + MEASURED]
    company, gateway = Company(known), Gateway(state)
    await company.start()
    try:
        gateway.configure(company.url, share=1.0)
        await asyncio.to_thread(gateway.start)
        await learn(gateway, first)
        trained = await asyncio.to_thread(gateway.told, "router", "train", "--route", "kept")
        await wait_for_certificate(gateway)
        gateway.configure(company.url, share=0.02)
        names = {
            "always strong": "large",
            "kept": "kept",
            "simple rules": "rules",
            "classifier's levels": "levels",
        }
        answers = {name: await answer_all(gateway, model, fresh) for name, model in names.items()}
        report = (await asyncio.to_thread(gateway.told, "report", "routing", "--since", "2h"))["routes"][0]
    finally:
        await asyncio.to_thread(gateway.stop)
        await company.close()
    print(f"{len(first)} shadowed, {len(fresh)} measured; trained: {json.dumps(trained)}")
    print(f"certificate: {json.dumps(report)}")
    print("\n| who answers | $ per 1,000 | saved | right | of strong | by the small one | price of easy ones |")
    print("|---|---|---|---|---|---|---|")
    for name, found in answers.items():
        print(row(name, found, answers["always strong"]))


def main() -> None:
    """Runs it in a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="afterbay-savings-") as folder:
        asyncio.run(run(Path(folder)))


if __name__ == "__main__":
    main()
