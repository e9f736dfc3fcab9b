"""The admin API of a real gateway: what its operator, managers of tenants, viewers, and everybody else can do there."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import httpx2 as httpx
import msgspec
import pytest

from afterbay.core.errors import Capacity
from afterbay.core.usage import Usage
from afterbay.http import admin
from afterbay.http.admin import Admin, Asked
from afterbay.policy.authority import Role
from afterbay.policy.rights import NO_WISH, Preference, Rights
from afterbay.store.keyring import BY_OPERATOR
from afterbay.store.memory import MemoryKeys
from afterbay.testing.answers import whole
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, Received, ReplayServer

ADMIN_KEY = "operator-key-of-the-environment"
READ, WRITTEN = 100, 300
JSON = {"content-type": "application/json"}


class Office:
    """A gateway with AFTERBAY_ADMIN_KEY, and requests for its admin API."""

    def __init__(self, gateway: LiveGateway) -> None:
        self.gateway = gateway
        self.http = httpx.Client(base_url=gateway.url, timeout=10)

    def ask(self, method: str, path: str, body: Any = None, *, key: str = ADMIN_KEY) -> httpx.Response:
        content = msgspec.json.encode(body) if body is not None else b""
        return self.http.request(
            method, f"/admin/v1/{path}", content=content, headers={"authorization": f"Bearer {key}"}
        )

    def do(self, method: str, path: str, body: Any = None, *, key: str = ADMIN_KEY, status: int = 0) -> Any:
        """The answer, which must be a good one or have the status that is given."""
        answer = self.ask(method, path, body, key=key)
        assert answer.status_code == (status or answer.status_code), answer.text
        assert status or answer.status_code < 300, answer.text
        return answer.json()

    def refused(self, method: str, path: str, body: Any = None, *, key: str = ADMIN_KEY) -> tuple[int, str]:
        answer = self.ask(method, path, body, key=key)
        assert answer.status_code >= 400, answer.text
        error = answer.json()["error"]
        assert error["message"]
        return answer.status_code, error["code"]

    def key(self, name: str, *, by: str = ADMIN_KEY, **fields: Any) -> Any:
        return self.do("POST", "keys", {"name": name, **fields}, key=by, status=201)

    def chat(self, key: str, model: str = "m", **fields: Any) -> httpx.Response:
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **fields}
        return self.http.post("/v1/chat/completions", json=body, headers={"x-api-key": key})


def answer(_: Received) -> Answer:
    return Answer(headers=JSON, body=whole("openai.chat", "Hi.", Usage(input_tokens=READ, output_tokens=WRITTEN)))


def database_of(office: Office) -> str:
    return office.gateway.gateway.loaded.snapshot.state.database.removeprefix("sqlite:///")


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    """Two models of one provider: `m` costs 1,000 dollars for a million tokens, `n` nothing."""
    with ReplayServer(answer) as server:
        config = {
            "providers": {"up": {"kind": "openai", "base_url": server.url + "/v1", "api_key": "k"}},
            "models": {
                "m": {"provider": "up", "name": "dear", "price": {"input": 1000, "output": 1000}},
                "n": {"provider": "up", "name": "free", "price": {"input": 0, "output": 0}},
            },
        }
        with LiveGateway(config, {"AFTERBAY_ADMIN_KEY": ADMIN_KEY}) as gateway:
            yield Office(gateway)


def test_a_key_is_made_used_shown_changed_rotated_and_revoked(office: Office) -> None:
    made = office.key("ci", rights={"models": ["m"]}, preference={"preferred_provider": "up"})
    assert made["secret"].startswith(made["hint"])
    assert (made["object"], made["rights"], made["role"]) == ("key", {"models": ["m"]}, None)
    assert office.chat(made["secret"]).status_code == 200
    assert office.chat(made["secret"], "n").json()["error"]["code"] == "policy_no_candidate"
    shown = office.do("GET", f"keys/{made['id']}")
    assert "secret" not in shown
    assert shown["effective"] == {"models": ["m"]}
    assert shown["effective_preference"] == {"preferred_provider": "up"}
    assert shown["accounts"] == [f"key:{made['id']}"]
    changed = office.do("PATCH", f"keys/{made['id']}", {"rights": {"models": ["n"]}})
    assert (changed["rights"], changed["preference"]) == ({"models": ["n"]}, {"preferred_provider": "up"})
    assert office.chat(made["secret"]).status_code == 403, "at once"
    second = office.do("POST", f"keys/{made['id']}/rotate", {"overlap_s": 60})
    assert second["old_secret_until"] is not None
    third = office.do("POST", f"keys/{made['id']}/rotate")
    found = [office.chat(one["secret"], "n").status_code for one in (made, second, third)]
    assert found == [401, 401, 200], "without an overlap the old ones end at once"
    ended = office.do("DELETE", f"keys/{made['id']}")
    assert ended["revoked_at"] is not None
    assert office.chat(third["secret"], "n").status_code == 401
    assert office.refused("PATCH", f"keys/{made['id']}", {}) == (404, "unknown_key")
    assert "effective" not in office.do("GET", f"keys/{made['id']}"), "by its id it is still shown"


def test_tenants_stand_in_each_other_and_end_with_all_below(office: Office) -> None:
    acme = office.do("POST", "organisations", {"name": "acme", "rights": {"models": ["m", "n"]}}, status=201)
    search = office.do("POST", "teams", {"name": "search", "parent": acme["id"]})
    ann = office.do("POST", "users", {"name": "ann", "parent": search["id"], "preference": {"bound_model": "n"}})
    assert ann["place"] == "user:acme/search/ann"
    made = office.key("ann-1", owner=ann["id"])
    assert office.do("GET", f"keys/{made['id']}")["effective"] == {"models": ["m", "n"]}
    answered = office.chat(made["secret"])
    assert answered.headers["x-afterbay-model"].endswith("free"), "the user is bound to the other model"
    changed = office.do("PATCH", f"organisations/{acme['id']}", {"rights": {"models": ["m"]}})
    assert changed["rights"] == {"models": ["m"]}
    assert office.chat(made["secret"]).status_code == 403, "what is taken above is taken below"
    assert office.refused("POST", "organisations", {"name": "in", "parent": search["id"]}) == (400, "invalid_value")
    assert office.refused("POST", "teams", {"name": "search", "parent": acme["id"]}) == (409, "name_taken")
    assert office.refused("GET", f"users/{search['id']}") == (404, "unknown_tenant")
    ended = office.do("DELETE", f"organisations/{acme['id']}")
    assert (set(ended["ended"]), ended["revoked_keys"]) == ({acme["id"], search["id"], ann["id"]}, [made["id"]])
    assert office.chat(made["secret"]).status_code == 401


@pytest.fixture(scope="module")
def teams(office: Office) -> dict[str, Any]:
    """Two organisations with a team each; in the first, a key of every role, in both a key of the team."""
    found: dict[str, Any] = {}
    for name in ("red", "blue"):
        found[name] = office.do("POST", "organisations", {"name": name})
        found[f"{name} team"] = office.do("POST", "teams", {"name": "t", "parent": found[name]["id"]})
        found[f"{name} key"] = office.key("k", owner=found[f"{name} team"]["id"])
        for role in ("viewer", "manager", "admin"):
            rights = {"models": ["m"], "limits": {"requests/day": 100}}
            found[f"{name} {role}"] = office.key(role, owner=found[name]["id"], role=role, rights=rights)
    return found


def test_nothing_of_another_tenant_is_there(office: Office, teams: dict[str, Any]) -> None:
    blue = {teams[name]["id"] for name in teams if name.startswith("blue")}
    for role in ("viewer", "manager", "admin"):
        secret = teams[f"red {role}"]["secret"]
        for path in ("keys?revoked=true", "organisations?ended=true", "teams", "users", "audit?limit=500"):
            text = office.ask("GET", path, key=secret).text
            assert not [one for one in blue if one in text], path
        assert office.do("GET", f"keys?owner={teams['blue']['id']}", key=secret)["data"] == []
        other = teams["blue key"]["id"]
        for method, path in (("GET", f"keys/{other}"), ("GET", f"teams/{teams['blue team']['id']}")):
            assert office.ask(method, path, key=secret).status_code == 404
    secret = teams["red admin"]["secret"]
    for method, path, body in (
        ("PATCH", f"keys/{other}", {"rights": {}}),
        ("DELETE", f"keys/{other}", None),
        ("POST", f"keys/{other}/rotate", None),
        ("PATCH", f"organisations/{teams['blue']['id']}", {}),
        ("DELETE", f"teams/{teams['blue team']['id']}", None),
        ("POST", "keys", {"name": "x", "owner": teams["blue"]["id"]}),
        ("POST", "users", {"name": "x", "parent": teams["blue team"]["id"]}),
    ):
        there, not_there = office.ask(method, path, body, key=secret), path.replace(path.split("/")[-1], "no_such")
        assert there.status_code == 404, path
        if body is None:
            missing = office.ask(method, not_there, body, key=secret)
            assert missing.status_code == 404, "it looks like one that does not exist"


def test_a_new_key_never_exceeds_its_creators_rights(office: Office, teams: dict[str, Any]) -> None:
    manager = teams["red manager"]
    for rights in ({"models": ["n"]}, {"models": ["m", "n"]}, {"limits": {"requests/day": 101}}):
        asked = {"name": "more", "rights": rights}
        assert office.refused("POST", "keys", asked, key=manager["secret"]) == (403, "exceeds_rights")
    made = office.key("less", by=manager["secret"])
    assert made["owner"] == teams["red"]["id"]
    assert made["rights"] == {"models": ["m"], "limits": {"requests/day": 100}}, "what is not said is the creator's"
    assert made["charged_to_keys"] == [manager["id"]], "whose limits hold for it"
    for role in ("admin", "manager"):
        asked = {"name": role[:3], "role": role}
        expected = 403 if role == "admin" else 201
        assert office.ask("POST", "keys", asked, key=manager["secret"]).status_code == expected
    wide = office.key("wide", owner=teams["red team"]["id"])
    assert office.refused("POST", f"keys/{wide['id']}/rotate", key=manager["secret"]) == (403, "exceeds_rights")
    assert office.chat(wide["secret"], "n").status_code == 200


@pytest.mark.parametrize(
    ("role", "may"),
    [(None, set()), ("viewer", {"read"}), ("manager", {"read", "keys"}), ("admin", {"read", "keys", "tenants"})],
)
def test_each_role_may_what_it_says(office: Office, teams: dict[str, Any], role: Role | None, may: set[str]) -> None:
    secret = teams["red key" if role is None else f"red {role}"]["secret"]
    for deed, method, path, body in (
        ("read", "GET", "keys", None),
        ("read", "GET", "audit", None),
        ("read", "GET", "audit/verify", None),
        ("keys", "POST", "keys", {"name": f"of-{role}"}),
        ("tenants", "POST", "teams", {"name": f"of-{role}"}),
    ):
        answer = office.ask(method, path, body, key=secret)
        if deed in may:
            assert answer.status_code in (200, 201), (path, answer.text)
        else:
            assert (answer.status_code, answer.json()["error"]["code"]) == (403, "role_required"), path
    if role == "admin":
        assert office.refused("PATCH", f"organisations/{teams['red']['id']}", {}, key=secret)[0] == 403, "its own place"


def test_a_role_is_given_and_taken_away(office: Office) -> None:
    made = office.key("boss", role="viewer")
    assert office.do("GET", "keys?limit=1", key=made["secret"])["data"]
    assert office.do("PATCH", f"keys/{made['id']}", {"role": "admin"})["role"] == "admin"
    assert office.key("sub", by=made["secret"])["id"]
    assert office.do("PATCH", f"keys/{made['id']}", {"role": "none"})["role"] is None
    assert office.refused("GET", "keys", key=made["secret"]) == (403, "role_required")


def test_expired_keys_and_keys_from_elsewhere_do_not_administer(office: Office) -> None:
    late = office.key("late", role="admin", rights={"expires_at": "2020-01-01T00:00:00Z"})
    away = office.key("away", role="admin", rights={"addresses": ["10.0.0.0/8"]})
    assert office.refused("GET", "keys", key=late["secret"]) == (401, "key_expired")
    assert office.refused("GET", "keys", key=away["secret"]) == (403, "address_not_allowed")
    assert office.refused("GET", "keys", key="ab-wrong") == (401, "admin_key_required")
    assert office.http.get("/admin/v1/keys").status_code == 401
    for headers in ({"x-api-key": ADMIN_KEY}, {"x-goog-api-key": ADMIN_KEY}):
        assert office.http.get("/admin/v1/keys", headers=headers).status_code == 200
    assert office.http.get(f"/admin/v1/keys?key={ADMIN_KEY}&limit=1").status_code == 200


def test_a_list_goes_on_where_it_was_though_keys_come_and_go(office: Office) -> None:
    top = office.do("POST", "organisations", {"name": "many"})
    ids = [office.key(f"k{number}", owner=top["id"])["id"] for number in range(5)]
    first = office.do("GET", f"keys?owner={top['id']}&limit=2")
    assert ([one["id"] for one in first["data"]], first["has_more"], first["next"]) == (ids[:2], True, ids[1])
    office.do("DELETE", f"keys/{ids[1]}")
    office.do("DELETE", f"keys/{ids[2]}")
    ids.append(office.key("k5", owner=top["id"])["id"])
    rest = office.do("GET", f"keys?owner={top['id']}&limit=3&after={first['next']}")
    assert ([one["id"] for one in rest["data"]], rest["has_more"], rest["next"]) == (ids[3:], False, None)
    everything = office.do("GET", f"keys?owner={top['id']}&revoked=true")
    assert [one["id"] for one in everything["data"]] == ids
    for query in ("limit=0", "limit=501", "limit=x", "after=key_0", "revoked=yes", "colour=red"):
        assert office.refused("GET", f"keys?{query}") == (400, "invalid_value"), query
    office.do("POST", "teams", {"name": "in", "parent": top["id"]})
    assert [one["name"] for one in office.do("GET", f"teams?parent={top['id']}")["data"]] == ["in"]


def test_bodies_that_are_not_right_say_what_is_wrong(office: Office) -> None:
    for body, code in (
        (b"{", "invalid_json"),
        (b"\xff", "invalid_json"),
        (b"[" * 100_000, "invalid_type"),
        (b"[]", "invalid_type"),
        (b"{}", "invalid_type"),
        (b'{"name":"x","colour":"red"}', "invalid_type"),
        (b'{"name":"x","rights":{"model":["m"]}}', "invalid_type"),
        (b'{"name":"x","rights":{"expires_at":"soon"}}', "invalid_type"),
        (b'{"name":"x","rights":{"expires_at":"9999-12-31T23:59:59-12:00"}}', "invalid_value"),
        (b'{"name":"x","rights":{"limits":{"requests/year":1}}}', "invalid_value"),
        (b'{"name":"x","rights":{"limits":{"usd/day":-1}}}', "invalid_value"),
        (b'{"name":"x","rights":{"addresses":["nowhere"]}}', "invalid_value"),
        (b'{"name":"x","role":"none"}', "invalid_type"),
        (b'{"name":"x/y"}', "invalid_value"),
    ):
        answer = office.http.post("/admin/v1/keys", content=body, headers={"x-api-key": ADMIN_KEY})
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), body[:60]
    made = office.key("turned")
    for overlap in (-1, 1e9, float("1e400")):
        answer = office.http.post(
            f"/admin/v1/keys/{made['id']}/rotate",
            content=f'{{"overlap_s":{overlap}}}'.replace("inf", "1e400"),
            headers={"x-api-key": ADMIN_KEY},
        )
        assert answer.status_code == 400, overlap


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("PUT", "keys", 405, "method_not_allowed"),
        ("PATCH", "keys", 405, "method_not_allowed"),
        ("POST", "keys/key_1", 405, "method_not_allowed"),
        ("GET", "keys/key_1/rotate", 405, "method_not_allowed"),
        ("GET", "keys/key_1/turn", 404, "unknown_endpoint"),
        ("GET", "keys/key_1", 404, "unknown_key"),
        ("POST", "audit", 405, "method_not_allowed"),
        ("GET", "audit/whole", 404, "unknown_endpoint"),
        ("GET", "colours", 404, "unknown_endpoint"),
    ],
)
def test_what_is_not_there_says_so(office: Office, method: str, path: str, status: int, code: str) -> None:
    assert office.refused(method, path, key=ADMIN_KEY) == (status, code)


def test_every_change_is_in_the_log_once_and_no_secret(office: Office) -> None:
    before = office.do("GET", "audit?limit=1")["data"][0]["number"]
    made = office.key("told", rights={"limits": {"usd/day": 1.5}}, preference={"agents": {"coder": {}}})
    turned = office.do("POST", f"keys/{made['id']}/rotate")
    office.refused("POST", "keys", {"name": "told"})
    office.do("DELETE", f"keys/{made['id']}")
    listed = office.do("GET", "audit?limit=3")
    told = [(one["number"] - before, one["actor"], one["action"], one["subject"]) for one in listed["data"]]
    assert told == [
        (3, "operator", "key.revoke", made["id"]),
        (2, "operator", "key.rotate", made["id"]),
        (1, "operator", "key.create", made["id"]),
    ], "and nothing of what was refused"
    assert listed["data"][2]["details"]["rights"]["limits"] == {"picousd/day": 1_500_000_000_000}
    assert listed["next"] == str(before + 1)
    older = office.do("GET", f"audit?limit=1&after={listed['next']}")
    assert older["data"][0]["number"] == before
    everything = office.ask("GET", "audit?limit=500").text
    assert made["secret"] not in everything
    assert turned["secret"] not in everything
    assert made["secret"][:12] not in everything
    for query in ("after=x", "after=-1", "limit=0"):
        assert office.refused("GET", f"audit?{query}") == (400, "invalid_value")


def test_the_log_says_whether_it_is_whole_and_who_changed_it_is_found(office: Office) -> None:
    first = office.do("GET", "audit/verify")
    office.key("one-more")
    second = office.do("GET", f"audit/verify?anchor={first['anchor']}")
    assert first["whole"]
    assert second["whole"]
    assert second["anchor"] != first["anchor"]
    number, _, known = first["anchor"].partition(":")
    moved = office.do("GET", f"audit/verify?anchor={number}:{known[:-1]}{'0' if known[-1] != '0' else '1'}")
    assert not moved["whole"]
    assert moved["broken"]["number"] == int(number)
    assert office.refused("GET", "audit/verify?anchor=here") == (400, "invalid_value")
    short = f"audit/verify?anchor={first['anchor'][:12]}"
    assert office.refused("GET", short) == (400, "invalid_value"), "a part of an anchor is no broken log"
    database = database_of(office)
    with sqlite3.connect(database) as connection:
        (kept,) = connection.execute("SELECT actor FROM audit WHERE number = 2").fetchone()
        connection.execute("UPDATE audit SET actor = 'nobody' WHERE number = 2")
    broken = office.do("GET", "audit/verify")
    assert (broken["whole"], broken["broken"]["number"]) == (False, 2)
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE audit SET actor = ? WHERE number = 2", (kept,))
    assert office.do("GET", "audit/verify")["whole"]


def test_secrets_are_not_kept_on_the_way(office: Office) -> None:
    assert office.ask("POST", "keys", {"name": "not-kept"}).headers["cache-control"] == "no-store"


def test_a_budget_of_a_key_holds(office: Office) -> None:
    """An answer costs 0.4 dollars: of one dollar there are two, and what is left is too little for another."""
    made = office.key("dollar", rights={"limits": {"usd/month": 1}})
    statuses = [office.chat(made["secret"], max_tokens=WRITTEN).status_code for _ in range(4)]
    assert statuses[:2] == [200, 200]
    assert statuses[-1] == 429
    refused = office.chat(made["secret"], max_tokens=WRITTEN)
    assert refused.json()["error"]["code"] == "insufficient_quota"
    assert "key dollar" in refused.json()["error"]["message"]
    assert office.chat(made["secret"], "n").status_code == 200, "what costs nothing is no matter of money"
    records = [one for one in office.gateway.records() if one.key_id == made["id"]]
    assert sum(one.charged_picousd for one in records) <= 10**12
    office.do("PATCH", f"keys/{made['id']}", {"rights": {"limits": {"usd/month": 10}}})
    assert office.chat(made["secret"], max_tokens=WRITTEN).status_code == 200, "more is more at once"


def test_the_limits_of_a_key_and_of_all_above_it_hold(office: Office) -> None:
    top = office.do("POST", "organisations", {"name": "slow", "rights": {"limits": {"requests/day": 7}}})
    keys = [office.key(name, owner=top["id"], rights={"limits": {"requests/minute": 5}}) for name in ("one", "two")]
    first = [office.chat(keys[0]["secret"]) for _ in range(6)]
    assert [one.status_code for one in first] == [200] * 5 + [429]
    assert (first[0].headers["x-ratelimit-limit-requests"], first[5].json()["error"]["code"]) == (
        "5",
        "rate_limit_exceeded",
    )
    assert int(first[5].headers["retry-after"]) <= 61
    second = [office.chat(keys[1]["secret"]).status_code for _ in range(3)]
    assert second == [200, 200, 429], "the organisation has seven"
    records = [one for one in office.gateway.records() if one.organisation == "slow"]
    assert len([one for one in records if one.attempts]) == 7
    with sqlite3.connect(database_of(office)) as connection:
        spent = dict(connection.execute("SELECT account, requests FROM spending").fetchall())
    accounts = [f"organisation:{top['id']}", *(f"key:{one['id']}" for one in keys)]
    assert [spent[one] for one in accounts] == [7, 5, 2]


def test_the_limits_of_a_key_hold_for_keys_that_it_made(office: Office) -> None:
    boss = office.key("boss-2", role="manager", rights={"limits": {"requests/day": 3}})
    made = [office.key(f"sub-{number}", by=boss["secret"]) for number in range(2)]
    asked = [office.chat(made[number % 2]["secret"]).status_code for number in range(4)]
    assert asked == [200, 200, 200, 429]
    assert office.chat(boss["secret"]).status_code == 429


@pytest.mark.parametrize("by", ["open", "admin key"])
def test_an_open_gateway_is_administered_from_this_machine(by: str) -> None:
    environ = {"AFTERBAY_ADMIN_KEY": ADMIN_KEY} if by == "admin key" else {}
    with LiveGateway({"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}, environ) as live:
        url = live.url + "/admin/v1/keys"
        for headers in ({"origin": "https://evil.example"}, {"host": "evil.example"}):
            assert httpx.post(url, headers=headers, json={"name": "x"}).status_code == (403 if by == "open" else 401)
        assert httpx.get(url).status_code == (200 if by == "open" else 401)
        if by == "open":
            assert httpx.post(url, json={"name": "first"}).status_code == 201
            assert httpx.get(url).status_code == 401, "from the first key on one is needed"


class StuckKeys(MemoryKeys):
    """Does nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__(now=lambda: 0.0)
        self.go = threading.Event()

    def revoke(self, id_or_name: str, *, by: str = BY_OPERATOR) -> Any:
        self.go.wait(10)
        return super().revoke(id_or_name, by=by)


def test_who_waits_too_long_for_the_store_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admin, "ANSWER_S", 0.05)
    keys = StuckKeys()
    made = keys.create("one", Rights(), preference=Preference(bound_model="m"))
    assert made.info.preference != NO_WISH

    async def ask() -> None:
        try:
            with pytest.raises(Capacity, match="may have been made"):
                await Admin(keys).answer(Asked("DELETE", "keys/one", "", b"", BY_OPERATOR))
        finally:
            keys.go.set()

    asyncio.run(ask())


def test_a_database_that_cannot_be_written_is_a_503_and_changes_nothing(office: Office) -> None:
    database = database_of(office)
    made = office.key("stays")
    with sqlite3.connect(database) as connection:
        connection.execute("ALTER TABLE audit RENAME TO hidden")
    try:
        assert office.refused("DELETE", f"keys/{made['id']}") == (503, "state_unavailable")
        assert office.chat(made["secret"]).status_code == 200
    finally:
        with sqlite3.connect(database) as connection:
            connection.execute("ALTER TABLE hidden RENAME TO audit")
    assert office.do("DELETE", f"keys/{made['id']}")["revoked_at"]
