"""What is trained from a file of labels by the command is used by the route that names the file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from afterbay.app.gateway import RunningGateway
from afterbay.cli.decision import dry_run
from afterbay.cli.router_train import run_train, run_train_acceptor
from afterbay.config.prices import Prices, Query
from afterbay.config.problem import ConfigError
from afterbay.config.watch import Loaded, load_snapshot
from afterbay.testing.answers import answered, ask
from afterbay.testing.fakes import MemoryReply, Script, ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway
from afterbay.testing.virtual_loop import run

CHAT = "openai.chat"
EGGS = "Case z: 3 boxes of 4 eggs, how many eggs?"
MULTIPLIED = "There are 3 * 4 = 12 eggs.\n#### 12"
ADDED = "There are 3 + 4 = 7 eggs.\n#### 7"

MODELS = """
providers:
  a: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none-at-all}
  b: {kind: openai, base_url: "http://127.0.0.1:9/v1", api_key: none-at-all}
models:
  cheap: {provider: a, name: small, price: {input: 0.01, output: 0.02}}
  strong: {provider: b, name: big, price: {input: 1, output: 2}}
"""
CASCADE = (
    "routes: {auto: {complexity: {low: strong, high: strong}, fallback: [cheap], cascade: {acceptor: learned/a.bin"
)


def eggs(number: int) -> dict[str, Any]:
    """A cheap answer whose sum is right, and that is right itself where it multiplies."""
    one, other, good = number % 11 + 2, number % 7 + 2, number % 2 == 0
    sum_ = f"{one} * {other} = {one * other}" if good else f"{one} + {other} = {one + other}"
    case = "".join(chr(ord("a") + int(digit)) for digit in str(number))
    return {
        "prompt": f"Case {case}: {one} boxes of {other} eggs, how many eggs?",
        "weak_response": f"There are {sum_} eggs.\n#### {sum_.split()[-1]}",
        "weak_correct": good,
        "strong_correct": True,
    }


def duties(better: str, worse: str) -> list[dict[str, Any]]:
    """`better` proves theorems, `worse` talks; a third model that no configuration has does neither."""
    return [
        {
            "prompt": f"{'Prove theorem' if number % 2 else 'Tell me a story of'} {number} and {number * 7 % 50}",
            "outcomes": {better: number % 2 == 1, worse: number % 2 == 0, "elsewhere": False},
        }
        for number in range(80)
    ]


def written(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return path


def nothing(queries: Iterable[Query]) -> Prices:
    list(queries)
    return {}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder in which an acceptor and a predictor were trained by the command."""
    (tmp_path / "learned").mkdir()
    rows = written(tmp_path / "eggs.jsonl", map(eggs, range(60)))
    run_train_acceptor(rows, tmp_path / "learned" / "a.bin", 0, True)
    run_train(written(tmp_path / "duties.jsonl", duties("strong", "cheap")), tmp_path / "router.bin", 0, True)
    return tmp_path


def loaded(folder: Path, routes: str) -> Loaded:
    """The configuration, read by a process that stands elsewhere."""
    path = folder / "afterbay.yaml"
    state = f'state: {{database: "sqlite:///{folder}/log.db"}}'
    path.write_text(f"{MODELS}{state}\n{routes}\n", "utf-8")
    return load_snapshot(path, {}, look_up=nothing)


def in_memory(one: Loaded, cheap: list[Script], strong: list[Script]) -> MemoryGateway:
    gateway = MemoryGateway(one.snapshot, a=ScriptedUpstream(*cheap), b=ScriptedUpstream(*strong))
    gateway.context.acceptors, gateway.context.predictors = one.trained.acceptors, one.trained.predictors
    return gateway


def asked(gateway: MemoryGateway, prompt: str) -> MemoryReply:
    reply: MemoryReply = run(gateway.chat(ask("auto", prompt, stream=False), CHAT))
    return reply


def test_a_cheap_answer_that_no_check_faults_is_escalated_because_of_what_was_learned(folder: Path) -> None:
    one = loaded(folder, f"{CASCADE}, accept: 0.6}}}}}}")
    gateway = in_memory(one, [answered(CHAT, ADDED)], [answered(CHAT, MULTIPLIED)])
    reply = asked(gateway, EGGS)
    assert b"12" in reply.body
    assert reply.headers["x-afterbay-route"].startswith("auto; cascade: acceptor failed; ")
    assert [attempt.target for attempt in gateway.record.attempts] == ["a/small", "b/big"]


def test_a_cheap_answer_of_the_kind_that_was_right_is_given(folder: Path) -> None:
    one = loaded(folder, f"{CASCADE}, accept: 0.6}}}}}}")
    gateway = in_memory(one, [answered(CHAT, MULTIPLIED)], [])
    assert asked(gateway, EGGS).headers["x-afterbay-route"].startswith("auto; cascade: accepted; ")


@pytest.mark.parametrize(("accept", "name"), [(0.0, "small"), (1.0, "big")])
def test_accept_says_how_sure_the_acceptor_must_be(folder: Path, accept: float, name: str) -> None:
    one = loaded(folder, f"{CASCADE}, accept: {accept}}}}}}}")
    gateway = in_memory(one, [answered(CHAT, MULTIPLIED)], [answered(CHAT, "12")])
    assert asked(gateway, EGGS).headers["x-afterbay-model"] == name


@pytest.mark.parametrize(("prompt", "name"), [("Prove theorem 3 and 21", "big"), ("Tell me a story of 3", "small")])
def test_the_best_is_who_the_predictor_says(folder: Path, prompt: str, name: str) -> None:
    one = loaded(folder, "routes: {auto: {optimize: quality, predictor: router.bin}}")
    gateway = in_memory(one, [answered(CHAT, "yes")], [answered(CHAT, "yes")])
    assert asked(gateway, prompt).headers["x-afterbay-model"] == name
    assert gateway.record.rule == "optimize:quality"


def test_a_dry_run_goes_by_the_predictor_too(folder: Path) -> None:
    one = loaded(folder, "routes: {auto: {optimize: quality, predictor: router.bin}}")
    body = ask("auto", "Tell me a story of 3")
    found = dry_run(one.snapshot, body, {}, None, predictors=one.trained.predictors)
    assert found.decision is not None
    assert found.decision.targets[0].id == "a/small"
    assert {candidate.alias for candidate in found.candidates if candidate.scores.quality is not None} == {
        "cheap",
        "strong",
    }


def served(gateway: RunningGateway) -> Mapping[str, float]:
    return gateway.context.predictors["auto"]("Prove theorem 3 and 21")


def test_a_reload_takes_a_file_that_was_trained_anew_and_keeps_the_old_one_where_the_new_is_wrong(folder: Path) -> None:
    one = loaded(folder, "routes: {auto: {optimize: quality, predictor: router.bin}}")

    async def scenario() -> None:
        gateway = RunningGateway(one, {}, said=lambda line: None)
        try:
            assert served(gateway)["strong"] > served(gateway)["cheap"]
            assert "did not change" in await gateway.reload()
            file = written(folder / "other.jsonl", duties("cheap", "strong"))
            run_train(file, folder / "router.bin", 0, True)
            assert "is in force" in await gateway.reload()
            assert served(gateway)["strong"] < served(gateway)["cheap"]
            (folder / "router.bin").write_bytes(b"no predictor")
            with pytest.raises(ConfigError, match=r"routes\.auto\.predictor: `router\.bin` is of no use here"):
                await gateway.reload()
            assert served(gateway)["strong"] < served(gateway)["cheap"]
        finally:
            await gateway.close()

    asyncio.run(scenario())


def test_a_gateway_takes_an_acceptor_into_use_when_it_begins(folder: Path) -> None:
    one = loaded(folder, f"{CASCADE}}}}}}}")

    async def scenario() -> None:
        gateway = RunningGateway(one, {}, said=lambda line: None)
        try:
            _, accept = gateway.context.acceptors["auto"]
            assert accept == 0.8
        finally:
            await gateway.close()

    asyncio.run(scenario())
