"""Secrets everywhere that one may stand: none is in anything that is written, sent, or said to somebody else."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing

import httpx2 as httpx
import pytest
from tests.canaries.asking import Asking
from tests.canaries.search import CORE, canaries_in
from tests.canaries.seeds import ALL, CONFIG, CONTENT, MISPLACED, MISTAKEN, is_of
from tests.canaries.world import World, body, world_in

from afterbay.config.watch import load_snapshot

E = MISTAKEN
WRONG = {
    "values": f"""
providers:
  up: {{kind: openai, base_url: "{E["in_url"]}", proxy: "{E["in_proxy"]}", api_keys: ["a", ["{E["in_list"]}"]]}}
  bad: {{kind: {E["in_kind"]}, api_key: "${{{E["in_variable"]}}}", {E["as_key"]}: x}}
  two: {{kind: openai, api_key: {E["twice"]}, api_key: {E["twice"]}}}
  {E["as_provider"]}: [{E["in_list"]}]
models: {{m: {E["as_model_key"]}, n: {{provider: up, name: [{E["in_list"]}]}}}}
region: [{E["in_region"]}]
defaults: {{timeouts: {{total: {E["in_duration"]}}}, max_attempts: {E["in_number"]}, hold: {E["in_duration"]}}}
policies: {{budgets: {{b: {{usd: {E["in_budget"]}, per: {E["in_budget"]}}}}}}}
""",
    "names": f"""
providers:
  up: {{kind: openai, base_url: "{E["in_url"]}", api_key: x, proxy: "{E["in_proxy"]}"}}
  vtx: {{kind: openai, base_url: "http://u:{E["in_proxy"]}@[bad/v1", api_key: x}}
models:
  a: {{provider: {E["as_provider"]}, name: "{E["as_model_key"]}", fallback: [{E["as_key"]}]}}
  {E["as_model_key"]}: {{provider: up, name: x}}
routes: {{r: {{fallback: ["{E["as_key"]}"], compliance: {E["as_key"]}}}}}
region: "{E["in_region"]}"
state: {{database: "postgresql://me:{E["in_database"]}@host/x", shared: "redis://:{E["in_shared"]}@host"}}
""",
    "database": f"""
providers: {{up: {{kind: openai, base_url: "http://127.0.0.1:1", api_key: x}}}}
state: {{database: "postgresql://me:{E["in_database"]}@host/x", shared: "{E["in_shared"]}"}}
""",
    "unclosed": f"""
providers: {{up: {{kind: openai, api_key: "{E["unclosed"]}
""",
    "tabbed": f"""
providers:
\tapi_key: {E["unclosed"]}
""",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world_in(tmp_path_factory.mktemp("canaries") / "home") as world:
        yield world


@pytest.fixture(scope="module", autouse=True)
def _lived(world: World) -> None:
    """Everything happens, once."""
    key, other = world.make_key("main"), world.make_key("other")
    world.make_key("gone")
    world.command("keys", "revoke", "gone")
    with world.served("first") as process:
        asking = Asking(world, key)
        kept = asking.everything()
        Asking(world, other).look_for(asking.ids, kept)
        reload(world, process.pid)
        leave_midway(world, key)
        process.kill()
        process.wait()
        world.copy()
    with world.served("second", "--record", "recordings"):
        again = Asking(world, key)
        again.models()
        again.kept()
        world.copy()
    world.back_up()
    ask_programs(world)
    for name, text in WRONG.items():
        file = world.folder.parent / f"{name}.yaml"
        file.write_text(text)
        world.command("check", name=f"check of {name}", config=file)
        world.command("check", "--json", name=f"check --json of {name}", config=file)
        if name in ("values", "database"):
            world.command("serve", "--port", "0", name=f"serve of {name}", config=file)


def reload(world: World, pid: int) -> None:
    """A configuration that is right, and those that are wrong."""
    right = world.config.read_text()
    for _, text in [("right", right.replace('"1d"', '"2d"').replace('"5s"', '"6s"')), *WRONG.items()]:
        before = world.log_of("first").read_bytes().count(b"reload")
        world.config.write_text(text)
        os.kill(pid, signal.SIGHUP)
        while world.log_of("first").read_bytes().count(b"reload") == before:
            threading.Event().wait(0.02)
    world.config.write_text(right)


def leave_midway(world: World, key: str) -> None:
    """A stream that is being sent, and one whose client has gone, when the process is killed."""
    mine = {"authorization": f"Bearer {key}"}
    for more in ({}, {"idempotency-key": MISPLACED["idempotency"]}):
        with httpx.stream(
            "POST", f"{world.url}/v1/chat/completions", json=body("stream-stall", stream=True), headers=mine | more
        ) as stream:
            next(stream.iter_raw())


def ask_programs(world: World) -> None:
    """Every command that shows something."""
    for line in (
        "tail -n 5000 --no-follow",
        "tail -n 5000 --no-follow --json",
        "check",
        "check --json",
        "check --production",
        "models",
        "models --json",
        "keys list",
        "keys list --json",
        "keys audit",
    ):
        world.command(*line.split())
    with closing(sqlite3.connect(world.folder / "afterbay.db")) as database:
        failed = "SELECT id FROM requests WHERE outcome != 'ok' AND operation = 'chat' GROUP BY outcome, provider"
        found = [row[0] for row in database.execute(failed)]
    assert len(found) > 5
    for request_id in found[:4]:
        world.command("incident", request_id)
    recordings = ["--with-content", "--recordings", "recordings"]
    world.command("incident", found[-1], *recordings, "-o", "incident-with-content.json")


def kept_by_wish(name: str) -> bool:
    """Whether a place may hold what was said, since somebody asked for that."""
    return name in ("table responses", "table originals", "dump") or "recordings/" in name or "with-content" in name


def is_kept_answer(canary: str, name: str) -> bool:
    """Whether it was answered to who asked for the same bytes again: those are kept as they are."""
    return name == "table originals" and canary in canaries_in(MISPLACED["upstream_text"].encode())


def told(found: set[tuple[str, str]]) -> str:
    """What was found, a line each, with some of the places."""
    names = {match[1]: name for name, text in ALL.items() if (match := re.search(rf"{CORE}(\w+\d\d)z", text))}
    lines = [""]
    for canary in sorted({canary for canary, _ in found}):
        places = sorted(place for one, place in found if one == canary)
        lines.append(f"{names.get(canary, canary)}: {', '.join(places[:6])} ({len(places)})")
    return "\n".join(lines)


def test_there_are_more_than_fifty_canaries_and_each_can_be_found() -> None:
    assert len(ALL) >= 50
    assert len(set(ALL.values())) == len(ALL)
    for text in ALL.values():
        for data in (text.encode(), text.encode("utf-16-le"), text.encode().hex().encode(), json.dumps(text).encode()):
            assert canaries_in(b"before " + data + b" after")
        for before in range(4):
            assert canaries_in(base64.b64encode(b"x" * before + text.encode()))
    assert not canaries_in(b"before and after")


def test_every_secret_of_the_gateway_was_given_to_it(world: World) -> None:
    given = world.config.read_text() + " ".join(world.environ.values())
    assert not [name for name, secret in CONFIG.items() if secret not in given]


def test_no_secret_is_in_anything_that_is_written_or_sent(world: World) -> None:
    found = {
        (canary, name)
        for name, data in world.sinks()
        for canary in canaries_in(data)
        if not (kept_by_wish(name) and (is_of("CONTENT", canary) or is_kept_answer(canary, name)))
    }
    assert not found, told(found)


def test_what_was_kept_is_what_clients_asked_to_be_kept(world: World) -> None:
    tables = {name: canaries_in(data) for name, data in world.sinks() if name.startswith("table ")}
    names = {kind: re.search(rf"{CORE}(\w+\d\d)z", text)[1] for kind, text in CONTENT.items()}  # type: ignore[index]
    assert {names["kept"], names["kept_answer"]} <= tables["table responses"]
    assert tables["table responses"] <= {names["kept"], names["kept_answer"]}
    assert names["keyed_answer"] in tables["table originals"]
    assert names["said"] not in tables["table originals"], "an answer is kept, never what was asked"


def test_no_key_that_was_made_is_found_again(world: World) -> None:
    assert len(world.shown) >= 4
    places = [*world.sinks(), *world.answers.items()]
    assert not {name for name, data in places for secret in world.shown if secret.encode() in data}


def test_no_answer_holds_a_secret_of_the_gateway_or_of_somebody_else(world: World) -> None:
    found = {
        (canary, name)
        for name, data in world.answers.items()
        for canary in canaries_in(data)
        if is_of("CONFIG", canary) or is_of("CLIENT", canary)
    }
    assert not found, told(found)


def test_nothing_went_wrong_that_should_not(world: World) -> None:
    assert not [name for name, data in world.answers.items() if b"internal_error" in data]
    logs = b"".join(data for name, data in world.said.items() if name.startswith("log of"))
    assert b"Traceback" not in logs, logs[logs.index(b"Traceback") - 500 :][:3000]


def test_everything_was_tried(world: World) -> None:
    names = [name for name, _ in world.sinks()]
    assert world.collector.got, "traces were sent"
    assert any("recordings/" in name for name in names)
    assert any(name.endswith("-wal") for name in names), "the copy after the kill holds what was not written back"
    assert {"dump", "home/backup.db", "table requests", "table audit", "table keys", "page /metrics"} <= set(names)
    assert len(world.answers) > 300
    assert b"redacted" in world.said["tail -n 5000 --no-follow --json"]
    assert world.said["log of first"].count(b"reload refused") == len(WRONG) - 1  # `state` counts at the start
    assert b'"level": "debug"' in world.said["log of first"]
    assert {CONFIG["key"], CONFIG["header"]} <= {value for one in seen_by_provider(world) for value in one}, (
        "the provider was told what it has to know"
    )


def test_nothing_that_holds_secrets_shows_them(world: World) -> None:
    """Neither by `repr` nor by `str`: whatever prints one, in a message or a traceback, prints no secret."""
    snapshot = load_snapshot(world.config, world.environ, world.folder).snapshot
    keys = [key for provider in snapshot.providers.values() for key in provider.keys]
    held = [snapshot, snapshot.state, snapshot.telemetry, *snapshot.providers.values(), *keys]
    assert len(keys) >= 8
    assert not [one for one in held if canaries_in(f"{one!r} {one}".encode())]


def seen_by_provider(world: World) -> Iterator[list[str]]:
    for one in world.provider.received:
        yield [part for value in one.headers.values() for part in (value, value.removeprefix("Bearer "))]


def test_what_is_said_of_a_wrong_configuration_still_helps(world: World) -> None:
    told = world.said["check of values"].decode()
    for place in ("base_url", "kind", "defaults.timeouts.total", "defaults.max_attempts", "policies.budgets.b.usd"):
        assert place in told
    assert "values.yaml:" in told
