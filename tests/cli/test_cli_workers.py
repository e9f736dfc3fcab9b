"""Several processes behind one address: as clients and operators meet them. Real processes, real sockets."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2 as httpx
import pytest

from afterbay import __version__
from afterbay.core.ids import worker_of
from afterbay.local.install import cache_folder
from afterbay.store.database import open_database
from afterbay.store.leases import holders

from .conftest import Run, config_text, wait_for
from .load import Client, Crowd
from .test_cli_drain import Process, check_records, process, put

ASK = {"model": "gpt", "messages": [{"role": "user", "content": "Name rivers."}]}
SLOW = {
    "model": "gpt",
    "stream": True,
    "messages": [{"role": "user", "content": "[[slow 25ms]] [[tokens 60]] Rivers?"}],
}
LIMITS = "limits: {linger: 200ms, drain: 5s}\n"


@pytest.fixture
def config(tmp_path: Path, emulator: str) -> Path:
    path = tmp_path / "afterbay.yaml"
    path.write_text(config_text(emulator, tmp_path / "state.db") + LIMITS)
    return path


def children(one: Process) -> dict[int, int]:
    """The workers: number -> process id."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or f"PPid:\t{one.running.pid}\n" not in (folder / "status").read_text():
                continue
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"afterbay.cli.worker" in words:
            found[int(words[words.index(b"afterbay.cli.worker") + 1])] = int(folder.name)
    return found


def descendants(pid: int) -> set[int]:
    """A process, and what it and those that it started run."""
    told = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return {pid}.union(*map(descendants, told))


def alive(pids: set[int]) -> set[int]:
    """Those that still run."""
    return {pid for pid in pids if Path(f"/proc/{pid}").exists()}


async def chat(client: Client) -> int:
    """Which worker answers."""
    got = await client.ask("chat whole", ("/v1/chat/completions", ASK))
    assert got.verdict == "whole"
    worker = worker_of(got.headers["x-request-id"])
    assert worker is not None
    return worker


async def clients_by_worker(url: str, wanted: int) -> list[tuple[int, Client]]:
    """Clients with connections of their own, until as many workers have one."""
    found: list[tuple[int, Client]] = []
    while len({worker for worker, _ in found}) < wanted:
        client = Client(url)
        found.append((await chat(client), client))
        assert len(found) < 20
    return found


async def metrics(url: str) -> dict[str, float]:
    got = await Client(url).ask("metrics", ("/metrics", None))
    lines = [line.rpartition(" ") for line in got.body.decode().splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def answered(url: str) -> float:
    return sum(value for name, value in (await metrics(url)).items() if name.startswith("afterbay_requests_total"))


def change(config: Path, before: str, after: str) -> None:
    text = config.read_text()
    assert before in text
    config.write_text(text.replace(before, after))


async def until(true: object, within_s: float = 5.0) -> None:
    """Waits until `true()`, which may be a coroutine."""
    end_s = time.monotonic() + within_s
    while True:
        said = true()  # type: ignore[operator]
        if await said if asyncio.iscoroutine(said) else said:
            return
        assert time.monotonic() < end_s
        await asyncio.sleep(0.02)


async def test_kept_connections_are_spread_evenly_and_what_is_said_is_said_once(config: Path, tmp_path: Path) -> None:
    async with process(tmp_path, 3) as one:
        clients = [Client(one.url) for _ in range(30)]
        met = Counter(await asyncio.gather(*(chat(client) for client in clients)))
        assert sorted(met) == [0, 1, 2]
        assert max(met.values()) - min(met.values()) <= 6, met
        again = Counter(await asyncio.gather(*(chat(client) for client in clients)))
        assert again == met, "a connection stays where it is"
        one.running.send_signal(signal.SIGTERM)
        for client in clients:
            client.close()
        await one.ended(5)
    told = one.log.read_text()
    for line in ("afterbay: ready\n", "afterbay: listening on", "no virtual key exists", "afterbay: stopped\n"):
        assert told.count(line) == 1, told


async def test_a_worker_that_is_killed_takes_only_its_own_requests_with_it(config: Path, tmp_path: Path) -> None:
    async with process(tmp_path, 2) as one:
        crowd = Crowd(one.url, 24, {"chat": ("/v1/chat/completions", SLOW)})
        load = asyncio.create_task(crowd.run())
        await asyncio.sleep(1.0)
        killed = children(one)[0]
        os.kill(killed, signal.SIGKILL)
        await until(lambda: 2 in children(one))
        await until(lambda: "died (SIGKILL); another one is started" in one.log.read_text())
        before = len(crowd.got)
        await until(lambda: len(crowd.got) > before + 60, 15)
        crowd.wanted = False
        await load
        assert sorted(children(one)) == [1, 2], "the number of one that died is not given again"
        broken = [got for got in crowd.got if got.verdict != "whole"]
        # one that died before it began to answer had no id to tell
        whose = {worker_of(got.headers["x-request-id"]) for got in broken if got.headers}
        assert whose <= {0}, [got.verdict for got in broken]
        assert len(broken) <= 24

        async def is_taken_over() -> bool:
            return await chat(Client(one.url)) == 2

        await until(is_taken_over)
        one.signal(signal.SIGTERM)
        await one.ended(5)
    whole = [got for got in crowd.got if got.verdict == "whole"]
    check_records(one, [got for got in whole if worker_of(got.headers["x-request-id"]) != 0])


async def test_metrics_are_those_of_all_workers_and_never_fall(config: Path, tmp_path: Path) -> None:
    async with process(tmp_path, 2) as one:
        clients = await clients_by_worker(one.url, 2)
        for _ in range(5):
            await asyncio.gather(*(chat(client) for _, client in clients))
        asked = 6 * len(clients)

        async def all_are_there() -> bool:
            return await answered(one.url) == asked

        await until(all_are_there)
        for _, client in clients:
            client.close()
        os.kill(children(one)[1], signal.SIGKILL)
        await until(lambda: 2 in children(one))
        assert await answered(one.url) == asked
        await until(lambda: len(children(one)) == 2)
        told = await metrics(one.url)
        assert told[f'afterbay_build_info{{version="{__version__}"}}'] == 1
        one.signal(signal.SIGHUP)
        await asyncio.to_thread(wait_for, one.log, "the configuration did not change", one.running)
        assert (await metrics(one.url))['afterbay_config_reloads_total{result="ok"}'] == 1
        one.signal(signal.SIGINT)
        await one.ended(5)


async def test_a_change_of_keys_or_configuration_is_everywhere_within_two_seconds(
    config: Path, tmp_path: Path, run: Run
) -> None:
    async with process(tmp_path, 3) as one:
        clients = await clients_by_worker(one.url, 3)
        change(config, "  alone:", "  other:")
        one.signal(signal.SIGHUP)
        began_s = time.monotonic()

        async def is_everywhere() -> bool:
            got = [await client.ask("models", ("/v1/models", None)) for _, client in clients]
            return all('"other"' in one.body.decode() for one in got)

        await until(is_everywhere, 2)
        assert time.monotonic() - began_s < 2
        await until(lambda: "is in force" in one.log.read_text())
        assert one.log.read_text().count("is in force") == 1

        put(config, "nonsense: 1\n")
        one.signal(signal.SIGHUP)
        await until(lambda: "reload refused, the old configuration stays" in one.log.read_text())
        assert one.log.read_text().count("reload refused") == 1
        os.kill(children(one)[2], signal.SIGKILL)  # its successor has what is in force, not what is in the file
        await until(lambda: 3 in children(one))
        await until(is_everywhere, 5)

        assert run("keys", "create", "first").returncode == 2, "the file is not right"
        put(config, config_text("http://127.0.0.1:1", tmp_path / "state.db") + LIMITS)
        assert run("keys", "create", "first").returncode == 0
        began_s = time.monotonic()

        async def is_closed() -> bool:
            got = [await client.ask("models", ("/v1/models", None)) for _, client in clients]
            return all(one.status == 401 for one in got)

        await until(is_closed, 2)
        one.signal(signal.SIGTERM)
        await one.ended(5)


@pytest.mark.parametrize("other", ["sqlite:///{}/other.db", "sqlite:///:memory:"])
async def test_a_worker_that_is_replaced_after_the_database_changed_in_the_file_keeps_the_old_one(
    config: Path, tmp_path: Path, run: Run, other: str
) -> None:
    assert run("keys", "create", "first").returncode == 0
    async with process(tmp_path, 2) as one:
        change(config, f"sqlite:///{tmp_path}/state.db", other.format(tmp_path))
        one.signal(signal.SIGHUP)
        await until(lambda: "`state` changes only with a restart" in one.log.read_text())
        for number, pid in children(one).items():
            os.kill(pid, signal.SIGKILL)
            await until(lambda number=number: number not in children(one))
        await until(lambda: sorted(children(one)) == [2, 3], 10)
        got = [await Client(one.url).ask("models", ("/v1/models", None)) for _ in range(20)]
        assert {one.status for one in got} == {401}, "the keys are in the old one: in another one nobody has any"
        assert not (tmp_path / "other.db").exists()
        one.signal(signal.SIGTERM)
        await one.ended(10)


async def test_no_worker_makes_a_database_anew_where_the_gateways_own_was_removed(
    config: Path, tmp_path: Path, run: Run
) -> None:
    assert run("keys", "create", "first").returncode == 0
    async with process(tmp_path, 2) as one:
        for name in ("state.db", "state.db-wal", "state.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        os.kill(children(one)[0], signal.SIGKILL)
        await until(lambda: "no worker can be started now" in one.log.read_text())
        assert "was removed or replaced under the gateway" in one.log.read_text()
        assert not (tmp_path / "state.db").exists()
        got = [await Client(one.url).ask("models", ("/v1/models", None)) for _ in range(10)]
        assert {one.status for one in got} == {401}, "a new one would have no keys, and let in everybody"
        one.signal(signal.SIGTERM)
        await one.ended(15)


async def test_a_worker_that_gets_a_signal_of_its_own_is_replaced_and_nobody_notices(
    config: Path, tmp_path: Path
) -> None:
    async with process(tmp_path, 2) as one:
        crowd = Crowd(one.url, 12, {"chat": ("/v1/chat/completions", SLOW)})
        load = asyncio.create_task(crowd.run())
        await asyncio.sleep(0.5)
        os.kill(children(one)[1], signal.SIGTERM)
        await until(lambda: sorted(children(one)) == [0, 2], 10)
        crowd.wanted = False
        await load
        assert set(crowd.verdicts()) == {"whole"}, crowd.verdicts()
        one.signal(signal.SIGTERM)
        await one.ended(5)
    check_records(one, crowd.got)


async def test_what_a_killed_worker_had_leased_is_given_back_at_once(config: Path, tmp_path: Path) -> None:
    change(config, "state:", "policies: {budgets: {all: {usd: 10, per: day, scope: model}}}\nstate:")
    database = open_database(f"sqlite:///{tmp_path / 'state.db'}")

    def holding() -> set[int]:
        return {int(name.partition("-")[0]) for name in holders(database)}

    async with process(tmp_path, 2) as one:
        clients = await clients_by_worker(one.url, 2)
        workers = children(one)
        await until(lambda: holding() == set(workers.values()))
        began_s = time.monotonic()
        os.kill(workers[0], signal.SIGKILL)
        await until(lambda: workers[0] not in holding(), 2)
        assert time.monotonic() - began_s < 2
        assert workers[1] in holding()
        other = next(client for worker, client in clients if worker == 1)
        assert await chat(other) == 1, "its slice is still its own"
        one.signal(signal.SIGTERM)
        await one.ended(5)
    assert not holding(), "who ends gives back all"


async def test_a_worker_that_dies_again_and_again_is_started_after_longer_and_longer_pauses(
    config: Path, tmp_path: Path
) -> None:
    async with process(tmp_path, 2) as one:
        for number in (1, 2, 3):
            await until(lambda number=number: number in children(one), 10)
            os.kill(children(one)[number], signal.SIGKILL)
        await until(lambda: one.log.read_text().count("another one is started") == 3)
        assert re.findall(r"died \(SIGKILL\); (?:after (\S+) s )?another one", one.log.read_text()) == ["", "0.5", "1"]
        assert await chat(Client(one.url)) == 0
        one.signal(signal.SIGINT)
        await one.ended(5)


def test_a_port_in_use_is_said_in_one_sentence_and_no_worker_is_left(config: Path, run: Run) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run("serve", "--port", port, "--workers", "2")
    assert ended.returncode == 1
    assert f"Port {port} on 127.0.0.1 is in use by another program." in ended.stderr
    assert "Traceback" not in ended.stderr


async def test_workers_share_what_a_provider_takes_and_less_than_one_each_is_said(config: Path, tmp_path: Path) -> None:
    change(config, "openai: {kind: openai,", "openai: {kind: openai, limits: {concurrent: 1},")
    async with process(tmp_path, 2) as one:
        told = one.log.read_text()
        assert "provider 'openai' may be asked 2 requests at once, one by each worker" in told
        one.signal(signal.SIGINT)
        await one.ended(5)


async def test_workers_end_when_the_control_process_is_killed_and_the_port_is_free_at_once(
    config: Path, tmp_path: Path
) -> None:
    async with process(tmp_path, 2) as one:
        streaming = asyncio.create_task(Client(one.url).ask("chat", ("/v1/chat/completions", SLOW)))
        await asyncio.sleep(0.4)
        workers = children(one)
        one.running.kill()
        await asyncio.to_thread(one.running.wait, 5)
        host, port = one.url.removeprefix("http://").split(":")

        async def is_free() -> bool:
            try:
                (await asyncio.open_connection(host, int(port)))[1].close()
            except ConnectionRefusedError:
                return True
            return False

        await until(is_free, 1)
        assert (await streaming).verdict == "whole", "what is in flight goes on"
        await until(lambda: not any(Path(f"/proc/{pid}/cmdline").exists() for pid in workers.values()), 10)
        assert not list((tmp_path / "tmp").iterdir()), "the last one clears up"
    assert "the control process has ended" in one.log.read_text()
    assert "critical" not in one.log.read_text()


async def test_a_client_comes_back_to_its_stream_at_any_worker(config: Path, tmp_path: Path) -> None:
    change(config, "routes:\n  auto: {", "routes:\n  auto: {reconnect: 20s, ")
    talk = "[[slow 40ms]] [[tokens 40]] Tell me of rivers."
    chatted = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": talk}]}
    asked = {"model": "auto", "stream": True, "input": talk}
    async with process(tmp_path, 2) as one:
        clients = await clients_by_worker(one.url, 2)
        for path, body in (("/v1/chat/completions", chatted), ("/v1/responses", asked)):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(one.url.rpartition(":")[2]))
            data = json.dumps(body).encode()
            head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
            seen = await reader.readuntil(b"\r\n\r\n") + await reader.readuntil(b"\n\n")
            writer.close()
            name = re.search(rb"x-request-id: (\S+)", seen)
            assert name is not None
            holder = worker_of(name[1].decode())
            elsewhere = next(client for worker, client in clients if worker != holder)
            where = f"/v1/requests/{name[1].decode()}/stream"
            if path == "/v1/responses":
                response = re.search(rb'"id":"(resp_[^"]+)"', seen)
                assert response is not None
                where = f"/v1/responses/{response[1].decode()}?stream=true"
            got = await elsewhere.ask("back", (where, None))
            assert got.status == 200, got
            assert worker_of(got.headers["x-request-id"]) == holder
            assert (b"[DONE]" if path.endswith("completions") else b"response.completed") in got.body
            seen_ids = [int(number) for number in re.findall(rb"(?m)^id: (\d+)", got.body)]
            assert seen_ids == sorted(set(seen_ids))
        gone = await clients[0][1].ask("back", ("/v1/requests/req_01m8937t2j01fwntx06r93feke/stream", None))
        assert gone.status == 404
        one.signal(signal.SIGTERM)
        await one.ended(5)


async def test_a_gateway_whose_workers_do_not_come_up_says_so_and_ends(config: Path, tmp_path: Path) -> None:
    one = Process(tmp_path, 2)
    try:
        await until(lambda: len(children(one)) == 2)
        os.kill(children(one)[1], signal.SIGKILL)
        assert await asyncio.to_thread(one.running.wait, 10) == 1
    finally:
        one.running.kill()
        one.running.wait()
    assert "ended before all were ready (SIGKILL)" in one.log.read_text()
    assert not children(one)


async def test_a_change_over_the_admin_api_is_known_to_all_workers_when_it_is_answered(
    config: Path, tmp_path: Path
) -> None:
    async with process(tmp_path, 3) as one, AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(httpx.AsyncClient(base_url=one.url)) for _ in range(9)]

        async def statuses(secret: str) -> set[int]:
            shown = {"x-api-key": secret}
            got = await asyncio.gather(*(client.get("/v1/models", headers=shown) for client in clients))
            return {answer.status_code for answer in got}

        met = await asyncio.gather(*(client.post("/v1/chat/completions", json=ASK) for client in clients))
        assert len({worker_of(answer.headers["x-request-id"]) for answer in met}) == 3
        made = await clients[0].post("/admin/v1/keys", json={"name": "first", "role": "admin"})
        assert made.status_code == 201
        admin = {"x-api-key": made.json()["secret"]}
        assert await statuses(admin["x-api-key"]) == {200}
        for number in range(10):
            by, other = clients[number % 9], clients[(number + 4) % 9]
            made = await by.post("/admin/v1/keys", json={"name": f"n{number}"}, headers=admin)
            assert await statuses(made.json()["secret"]) == {200}
            names = [key["name"] for key in (await other.get("/admin/v1/keys", headers=admin)).json()["data"]]
            assert f"n{number}" in names
            assert (await other.delete(f"/admin/v1/keys/{made.json()['id']}", headers=admin)).is_success
            assert await statuses(made.json()["secret"]) == {401}
        one.signal(signal.SIGTERM)
        await one.ended(5)
    assert "does not say that all workers" not in one.log.read_text()


@pytest.mark.local
async def test_a_local_model_is_loaded_once_for_all_workers(config: Path, tmp_path: Path) -> None:
    if not (cache_folder() / "local-small").is_dir():
        pytest.skip("the small local model is not there")
    (tmp_path / ".cache" / "afterbay").mkdir(parents=True)
    (tmp_path / ".cache" / "afterbay" / "models").symlink_to(cache_folder())
    small = "providers: {inside: {kind: llamacpp}}\nmodels: {small: {provider: inside, name: local-small}}\n"
    put(config, f'{small}state: {{database: "sqlite:///{tmp_path / "state.db"}"}}\n')
    async with process(tmp_path, 2) as one, AsyncExitStack() as stack:
        await asyncio.to_thread(wait_for, one.log, "ready\n", one.running)
        clients = [await stack.enter_async_context(httpx.AsyncClient(base_url=one.url, timeout=30)) for _ in range(6)]
        asked = {"model": "small", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
        got = await asyncio.gather(*(client.post("/v1/chat/completions", json=asked) for client in clients))
        assert {answer.status_code for answer in got} == {200}
        assert {worker_of(answer.headers["x-request-id"]) for answer in got} == {0, 1}
        assert one.log.read_text().count("local-small is ready") == 1
        engines = descendants(one.running.pid) - set(children(one).values()) - {one.running.pid}
        assert len(engines) == 1
        one.signal(signal.SIGTERM)
        await one.ended(10)
        assert not alive(engines)
