"""Reports over HTTP: the same numbers as the log has, and nobody's but those within the reach of who asks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest

from afterbay.core.errors import ClientMistake
from afterbay.core.usage import Usage
from afterbay.http import reports
from afterbay.http.admin import Admin, Asked
from afterbay.http.reports import Reach, Reports, reach_of
from afterbay.store.database import Database, open_database
from afterbay.store.errors import StoreUnavailable
from afterbay.store.keyring import BY_OPERATOR
from afterbay.store.memory import MemoryKeys
from afterbay.store.owners import Tenant
from afterbay.store.rows import rfc3339
from afterbay.store.statements import PUT_LABEL
from afterbay.testing.answers import whole
from afterbay.testing.live import LiveGateway
from afterbay.testing.made_log import records, write
from afterbay.testing.memory_gateway import alias, snapshot, target
from afterbay.testing.replay import Answer, Received, ReplayServer

ADMIN_KEY = "operator-key-of-the-environment"
JSON = {"content-type": "application/json"}
NAMES = tuple(reports.NAMES)


class Office:
    """A gateway, its operator, and two organisations of one team each: `red` asked twice, `blue` three times."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway
        self.http = httpx.Client(base_url=gateway.url, timeout=20)
        self.keys: dict[str, str] = {}
        for name, requests in (("red", 2), ("blue", 3)):
            organisation = self.do("POST", "organisations", {"name": name})["id"]
            team = self.do("POST", "teams", {"name": "search", "parent": organisation})["id"]
            user = self.do("POST", "users", {"name": "ann", "parent": organisation})["id"]
            for role, owner in (("viewer", organisation), ("manager", team), ("admin", user)):
                made = self.do("POST", "keys", {"name": f"{name}-{role}", "owner": owner, "role": role})
                self.keys[f"{name} {role}"] = made["secret"]
            plain = self.do("POST", "keys", {"name": f"{name}-app", "owner": team})["secret"]
            self.keys[f"{name} none"] = plain
            for _ in range(requests):
                assert self.chat(plain) == 200
            assert self.chat(self.keys[f"{name} admin"]) == 200
        gateway.records(7)

    def chat(self, key: str) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
        return self.http.post("/v1/chat/completions", json=body, headers={"x-api-key": key}).status_code

    def ask(self, path: str, key: str = ADMIN_KEY, **query: str) -> httpx.Response:
        headers = {"authorization": f"Bearer {key}"}
        return self.http.get(f"/admin/v1/reports/{path}", params=query, headers=headers)

    def do(self, method: str, path: str, body: Any = None) -> Any:
        content = msgspec.json.encode(body) if body is not None else b""
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        answer = self.http.request(method, f"/admin/v1/{path}", content=content, headers=headers)
        assert answer.status_code < 300, answer.text
        return answer.json()

    def requests(self, key: str, **query: str) -> int:
        answer = self.ask("cost", self.keys[key] if key else ADMIN_KEY, **query)
        assert answer.status_code == 200, answer.text
        return int(answer.json()["total"]["requests"])


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    def answer(_: Received) -> Answer:
        return Answer(headers=JSON, body=whole("openai.chat", "Hi.", Usage(input_tokens=100, output_tokens=300)))

    with ReplayServer(answer) as server:
        config = {
            "providers": {"up": {"kind": "openai", "base_url": server.url + "/v1", "api_key": "k"}},
            "models": {"m": {"provider": "up", "name": "dear", "price": {"input": 1, "output": 10}}},
        }
        with LiveGateway(config, {"AFTERBAY_ADMIN_KEY": ADMIN_KEY}) as gateway:
            yield Office(gateway)


def test_the_operator_sees_all_of_it_by_any_dimension(office: Office) -> None:
    told = office.ask("cost", by="organisation,team").json()
    seen = {(line["organisation"], line["team"]): line["requests"] for line in told["lines"]}
    assert seen == {("red", "search"): 2, ("blue", "search"): 3, ("red", None): 1, ("blue", None): 1}
    assert told["total"]["cost_picousd"] == 7 * (100 * 10**6 + 300 * 10**7)
    assert (told["object"], told["report"], told["notes"]) == ("report", "cost", [])


@pytest.mark.parametrize(
    ("key", "requests"),
    [
        ("red viewer", 3),
        ("blue viewer", 4),
        ("red manager", 2),
        ("blue manager", 3),
        ("red admin", 1),
        ("blue admin", 1),
    ],
)
@pytest.mark.parametrize("only", ["", "organisation=red", "organisation=blue"])
def test_everybody_else_sees_what_is_within_their_reach(office: Office, key: str, requests: int, only: str) -> None:
    expected = requests if not only or only.endswith(key.split()[0]) else 0
    assert office.requests(key, only=only) == expected
    for name in NAMES:
        answer = office.ask(name, office.keys[key], by="organisation", **({"best": "m"} if name == "savings" else {}))
        assert {line["organisation"] for line in answer.json()["lines"]} <= {key.split()[0]}


def test_a_key_without_a_role_sees_nothing(office: Office) -> None:
    for key, status, code in ((office.keys["red none"], 403, "role_required"), ("nobody", 401, "admin_key_required")):
        answer = office.ask("cost", key)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


@pytest.mark.parametrize(
    ("name", "query", "param"),
    [
        ("cost", {"by": "teams"}, "by"),
        ("cost", {"since": "soon"}, "since"),
        ("usage", {"until": "1d", "since": "1h"}, "since"),
        ("latency", {"only": "team"}, "only"),
        ("errors", {"limit": "0"}, "limit"),
        ("cost", {"limit": "10001"}, "limit"),
        ("cost", {"best": "m"}, "best"),
        ("savings", {"best": "none"}, "best"),
        ("explain", {"by": "day"}, "by"),
        ("explain", {"against": "then"}, "against"),
    ],
)
def test_a_parameter_that_is_not_right_is_named(office: Office, name: str, query: dict[str, str], param: str) -> None:
    answer = office.ask(name, **query)
    assert answer.status_code == 400, answer.text
    assert answer.json()["error"]["param"] == param


def test_reports_are_read_and_those_that_there_are_not_are_told(office: Office) -> None:
    assert office.ask("weather").status_code == 404
    posted = office.http.post("/admin/v1/reports/cost", headers={"authorization": f"Bearer {ADMIN_KEY}"})
    assert (posted.status_code, posted.json()["error"]["code"]) == (405, "method_not_allowed")


def test_lines_are_cut_and_the_total_is_not(office: Office) -> None:
    told = office.ask("usage", by="key", limit="2").json()
    assert len(told["lines"]) == 2
    assert told["notes"] == ["2 more lines are not shown"]
    assert told["total"]["requests"] == 7


def test_a_name_that_is_given_again_does_not_show_what_its_first_owner_did(office: Office) -> None:
    first = office.do("POST", "organisations", {"name": "green"})["id"]
    secret = office.do("POST", "keys", {"name": "green-1", "owner": first, "role": "viewer"})["secret"]
    assert office.chat(secret) == 200
    office.gateway.records(8)
    office.keys["green first"] = secret
    deadline = time.monotonic() + 10
    while office.requests("green first") < 1:
        assert time.monotonic() < deadline
    office.do("DELETE", f"organisations/{first}")
    second = office.do("POST", "organisations", {"name": "green"})["id"]
    office.keys["green second"] = office.do("POST", "keys", {"name": "green-2", "owner": second, "role": "viewer"})[
        "secret"
    ]
    assert office.requests("green second") == 0
    assert office.requests("", only="organisation=green") == 1


# Without a gateway


def tenant(kind: Any, name: str, parent: str = "", ended_at: str | None = None) -> Tenant:
    return Tenant(f"{kind}_{name}_{ended_at}", kind, name, parent, ended_at=ended_at)


ORGANISATION, TEAM, USER = tenant("organisation", "acme"), tenant("team", "search"), tenant("user", "ann")
ENDED = tenant("team", "search", ended_at="2026-11-25T13:59:59.5Z")


def test_reach_says_of_each_kind_above_that_there_is_none() -> None:
    assert reach_of((), ()) == Reach()
    assert reach_of((ORGANISATION,), ()).path == (("organisation", "acme"),)
    assert reach_of((TEAM,), ()).path == (("organisation", ""), ("team", "search"))
    assert reach_of((ORGANISATION, USER), ()).path == (("organisation", "acme"), ("team", ""), ("user", "ann"))


def test_only_one_that_ended_in_the_same_place_is_kept_apart() -> None:
    assert reach_of((ORGANISATION, TEAM), ((ORGANISATION, ENDED),)).from_hour == "2026-11-25T14"
    assert reach_of((ORGANISATION, TEAM), ((tenant("organisation", "other"), ENDED), (ENDED,))).from_hour == ""
    gone = tenant("organisation", "acme", ended_at="2026-12-31T23:10:00Z")
    assert reach_of((ORGANISATION, TEAM), ((gone,), (ORGANISATION, ENDED))).from_hour == "2027-01-01T00"


def now() -> datetime:
    return datetime(2026, 11, 25, 13, 30, tzinfo=UTC)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    made = open_database(f"sqlite:///{tmp_path}/a.db")
    made_up = list(records(200, begin_utc_s=now().timestamp() - 86400, days=0.9))
    write(made, iter(made_up))
    rows = [(one.id, "feedback", one.route, rfc3339(one.received_at), one.model, 1.0, "up", None) for one in made_up]
    with closing(made.connect()) as connection:
        connection.executemany(PUT_LABEL, rows)
    return made


def reporting(database: Database) -> Reports:
    plan = snapshot(alias("m", target("anthropic/claude-opus-4-6")))
    return Reports(database, lambda: plan, now)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_before_the_first_hour_is_in_any_report(database: Database, name: str) -> None:
    query = {"by": "", "since": "2026-11-24T23", "until": "2026-11-25T12"} | (
        {"best": "m"} if name == "savings" else {}
    )
    shown = [
        reporting(database).answer(name, query, Reach((), first)) for first in ("", "2026-11-25T05", "2027-01-01T00")
    ]
    counts = [
        next(one["total"][name] for name in ("requests", "answers", "rated", "after_picousd") if name in one["total"])  # type: ignore[index, operator]
        for one in shown
    ]
    assert counts[0] > counts[1] > counts[2] == 0


def test_a_log_that_is_long_is_summed_in_parts_and_that_is_told(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("afterbay.store.rollup.STEP_ROWS", 50)
    monkeypatch.setattr(reports, "SUM_ROWS", 100)
    counts, notes = [], []
    for _ in range(3):
        told: Any = reporting(database).answer("cost", {}, Reach())
        counts.append(told["total"]["requests"])
        notes.append(any("still being summed" in note for note in told["notes"]))
    assert counts == [100, 200, 200]
    assert notes == [True, False, False]


def test_a_database_that_cannot_be_written_is_told_as_unavailable(database: Database) -> None:
    with database.connect() as other:
        other.execute("DROP TABLE rollups")
    with pytest.raises(StoreUnavailable):
        reporting(database).answer("cost", {}, Reach())


def test_where_there_is_no_log_there_are_no_reports() -> None:
    admin = Admin(MemoryKeys(now=lambda: 0.0))
    with pytest.raises(ClientMistake, match="no endpoint"):
        asyncio.run(admin.answer(Asked("GET", "reports/cost", "", b"", BY_OPERATOR)))


def test_sums_are_kept_as_long_as_the_configuration_says() -> None:
    config = {
        "providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1", "api_key": "k"}},
        "models": {"m": {"provider": "up", "name": "m"}},
        "state": {"report_retention": "90d"},
    }
    with LiveGateway(config, {}) as gateway:
        assert gateway.gateway.log._limits.rollup_retention_s == 90 * 86400, "what it does then: test_rollup.py"
