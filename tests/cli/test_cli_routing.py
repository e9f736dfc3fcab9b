"""What is certified of routes, what they saved, and teaching a route from its own shadows."""

from __future__ import annotations

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest

from afterbay.cli.routing import run_routing, run_train
from afterbay.cli.speech import Misuse
from afterbay.config.watch import load_snapshot
from afterbay.core.decision import Record
from afterbay.core.errors import ClientMistake
from afterbay.label_ports import Label, Pair
from afterbay.policy.kept_quality import LENGTH, duel_of, is_for_training, length_gain
from afterbay.policy.learned.imprint import imprint, packed
from afterbay.store.database import open_database
from afterbay.store.labels import SqliteLabels, SqliteRouters
from afterbay.store.writer import Writer

NOW = time.time()
CONFIG = """
providers:
  cheap: {kind: openai, base_url: "http://127.0.0.1:1/v1", api_key: k, price: {input: 0.1, output: 0.2}}
  dear: {kind: openai, base_url: "http://127.0.0.1:2/v1", api_key: k, price: {input: 5, output: 20}}
models:
  small: {provider: cheap, name: small}
  large: {provider: dear, name: large}
routes:
  auto: {complexity: {low: small, high: large}, fallback: [large, small], keep: 0.9, shadow: {share: 0.1}}
  try: {complexity: {low: small, high: large}, explore: {share: 0.05}}
  plain: {complexity: {low: small, high: large}}
state: {database: "sqlite:///%s/state.db"}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "afterbay.yaml"
    path.write_text(CONFIG % tmp_path)
    return path


def record(number: int, **fields: Any) -> Record:
    plain: dict[str, Any] = {"operation": "chat", "route": "auto", "model": "large", "outcome": "ok"}
    return Record(id=f"req_{number:06d}", received_at=NOW - 3600, protocol="openai.chat", **plain | fields)


def fill(config: Path, pairs: int, *records: Record) -> None:
    """Pairs of two kinds of prompts of about the same length; the cheap model is good at one."""
    database = open_database(f"sqlite:///{config.parent}/state.db")
    writer = Writer(database, 1.0)
    assert writer.insert(list(records), 64, lambda: None) == 0
    writer.close()
    draws = random.Random(5)
    plan = load_snapshot(config, {}).snapshot
    duel = duel_of(plan, plan.routes["auto"], "large")
    assert duel is not None

    async def put() -> None:
        labels = SqliteLabels(database, retention_s=1e9)
        for number in range(pairs):
            is_hard = draws.random() < 0.5
            text = f"{'prove the lemma of' if is_hard else 'translate a word in'} {draws.randint(1000, 9999)}"
            at, name = NOW - 5000 + number, f"req_{number:06d}"
            quality = float(draws.random() < (0.2 if is_hard else 0.99))
            two = ("small", "large", length_gain(text), LENGTH, quality, 1.0, "judge", 0.1, 100, 9000, 200, duel.digest)
            await labels.put_pair(Pair(name, "auto", at, *two))
            await labels.put_imprint(name, "auto", at, packed(imprint(text)))
        await labels.put(Label("req_000001", "auto", NOW - 60, "feedback", "large", 1.0, "up"))
        labels.close()

    asyncio.run(put())


def routing(config: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    run_routing(config, "7d", as_json=True)
    found = {one["route"]: one for one in json.loads(capsys.readouterr().out)["routes"]}
    assert set(found) == {"auto", "try"}
    return found


def test_it_says_what_is_saved_and_why_nothing_is_certified(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = [
        record(1, cost_picousd=9_000, reasons={"counterfactual_picousd": 9_000}),
        record(2, model="small", cost_picousd=100, reasons={"counterfactual_picousd": 9_000}),
        record(3, model="small", cost_picousd=None, reasons={"counterfactual_picousd": 9_000}),
        record(4, model="small", outcome="server", cost_picousd=100, reasons={"counterfactual_picousd": 9_000}),
        record(5, operation="shadow", model="small", cost_picousd=300, reasons={"shadow_of": "req_000001"}),
    ]
    fill(config, 12, *log)
    found = routing(config, capsys)["auto"]
    assert (found["requests"], found["answered_by_cheap"], found["shadows"]) == (2, 1, 1)
    assert found["saved_usd"] == pytest.approx((18_000 - 9_100 - 300) / 1e12)
    assert found["labels"] == {"feedback": 1}
    certificate = found["certificate"]
    assert (certificate["certified"], certificate["pairs"], certificate["threshold"]) == (False, 12, None)
    assert (certificate["cheap"], certificate["strong"], certificate["certified_floor"]) == ("small", "large", None)
    assert found["why"].startswith("12 labels")


def test_people_get_a_table_and_a_sentence_a_route(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(config, 0)
    run_routing(config, "7d", as_json=False)
    out, err = capsys.readouterr()
    assert out.splitlines()[1].startswith("auto\tno\tsmall\t0\t0\t0\t")
    assert "auto: no labels yet" in err
    assert "try: it explores; nothing is certified without `keep`" in err


def test_a_trained_predictor_certifies_what_length_cannot(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fill(config, 900)
    before = routing(config, capsys)["auto"]["certificate"]
    run_train(config, "auto", force=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["adopted"]
    assert told["correlation"] > told["correlation_of_length"] + 0.3
    assert told["pairs"] == sum(is_for_training(f"req_{number:06d}") for number in range(900))
    after = routing(config, capsys)["auto"]["certificate"]
    assert after["certified"]
    assert after["predictor"].startswith("gain@")
    assert after["expected_saving"] > before["expected_saving"] + 0.2


def test_what_is_no_better_than_length_is_not_taken_into_use(
    config: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(config, 500)
    monkeypatch.setattr("afterbay.policy.learned.gain.Trained.is_better", False)
    run_train(config, "auto", force=False, as_json=False)
    assert "not taken into use" in capsys.readouterr().err
    routers = SqliteRouters(open_database(f"sqlite:///{config.parent}/state.db"))
    assert asyncio.run(routers.get("auto", "predictor")) is None
    run_train(config, "auto", force=True, as_json=False)
    assert asyncio.run(routers.get("auto", "predictor")) is not None
    routers.close()


def test_too_few_pairs_and_routes_that_keep_nothing_are_said(config: Path) -> None:
    fill(config, 20)
    with pytest.raises(ClientMistake, match="are the least"):
        run_train(config, "auto", force=False, as_json=False)
    for name in ("plain", "try", "nosuch"):
        with pytest.raises(Misuse, match="keeps quality"):
            run_train(config, name, force=False, as_json=False)
    with pytest.raises(Misuse, match="--since"):
        run_routing(config, "yesterday", as_json=False)
