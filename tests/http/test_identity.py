"""Who is let in: keys in every place where clients show them, and only this machine while there is no key."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2 as httpx
import pytest

from afterbay.core.errors import GatewayError
from afterbay.http.identity import Client, identify, is_loopback, require_admin, require_local
from afterbay.policy.rights import Rights
from afterbay.ports import Key
from afterbay.store.keyform import new_secret
from afterbay.testing.live import LiveGateway

HERE = ["", "localhost", "LOCALHOST:8400", "127.0.0.1:8400", "127.1.2.3", "[::1]:8400", "api.localhost:1", "localhost."]
ELSEWHERE = [
    "evil.example",
    "evil.example:8400",
    "localhost.evil.example",
    "127.0.0.1.evil.example",
    "127.0.0.1@evil.example",
    "169.254.169.254",
    "0.0.0.0",
    "[::]",
    "[::ffff:10.0.0.1]",
    "2130706433",
    "0x7f.1",
    "evil.example#localhost",
    "evil.example/localhost",
    "[::1",
    "xn--lcalhost-54a",
]


@pytest.mark.parametrize("host", HERE)
def test_loopback_names_are_local(host: str) -> None:
    require_local({"host": host})
    if host:
        require_local({"host": host, "origin": f"http://{host}"})


@pytest.mark.parametrize("host", ELSEWHERE)
def test_other_names_are_not(host: str) -> None:
    with pytest.raises(GatewayError):
        require_local({"host": host})
    with pytest.raises(GatewayError):
        require_local({"host": "localhost", "origin": f"https://{host}"})


@pytest.mark.parametrize("origin", ["null", "", "https://evil.example", "file://", "chrome-extension://abc"])
def test_a_page_of_another_origin_is_not_local(origin: str) -> None:
    with pytest.raises(GatewayError):
        require_local({"host": "localhost", "origin": origin})


@pytest.mark.parametrize("host", ["::", "0.0.0.0", "::ffff:127.0.0.1", "10.0.0.1", "", "localhost.evil"])
def test_an_address_that_others_reach_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.fixture(scope="module")
def closed() -> Iterator[tuple[LiveGateway, str]]:
    """A gateway with a key, and a key that was revoked."""
    with LiveGateway({"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}) as gateway:
        revoked = gateway.create_key("gone").secret.reveal()
        gateway.gateway.keys.revoke("gone")
        yield gateway, revoked


PATHS = ["/v1/models", "/v1/requests/req_1", "/v1beta/models", "/v1/models/auto", "/admin/v1/x", "/v1/responses"]
POSTS = ["/v1/chat/completions", "/v1/messages", "/v1/messages/count_tokens", "/v1/embeddings"]


@pytest.mark.parametrize("path", PATHS + POSTS)
@pytest.mark.parametrize("way", ["authorization", "x-api-key", "x-goog-api-key", "query", "none"])
def test_once_a_key_existed_nobody_comes_in_without_one(closed: tuple[LiveGateway, str], path: str, way: str) -> None:
    gateway, revoked = closed
    tricks = {"x-forwarded-for": "127.0.0.1", "forwarded": "for=127.0.0.1", "x-real-ip": "::1", "host": "localhost"}
    shown = {"authorization": f"Bearer {revoked}"} if way == "authorization" else {way: revoked}
    headers = tricks if way in ("query", "none") else tricks | shown
    url = gateway.url + path + (f"?key={revoked}" if way == "query" else "")
    answer = httpx.request("POST" if path in POSTS else "GET", url, headers=headers, json={})
    assert answer.status_code == 401
    assert revoked not in answer.text


def test_an_open_gateway_is_not_for_web_pages() -> None:
    with LiveGateway({"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}) as gateway:
        for path in ("/v1/models", "/metrics"):
            assert httpx.get(gateway.url + path).status_code == 200
            for headers in ({"host": "evil.example"}, {"origin": "https://evil.example"}):
                assert httpx.get(gateway.url + path, headers=headers).status_code == 403
        page = {"origin": "https://evil.example", "content-type": "text/plain"}
        assert httpx.post(gateway.url + "/v1/chat/completions", headers=page, content=b"{}").status_code == 403


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"authorization": "ab-secret"}, "does not begin with `Bearer `"),
        ({"authorization": "Basic ab-secret"}, "does not begin with `Bearer `"),
        ({"api-key": "ab-secret"}, "in the header `api-key`"),
        ({}, "needs a key."),
    ],
)
def test_a_key_in_a_place_that_is_not_read_is_told_so_and_not_shown(headers: dict[str, str], says: str) -> None:
    with pytest.raises(GatewayError) as caught:
        identify(NeedsKey(), Client("127.0.0.1", 0.0), headers, "")
    assert says in caught.value.message
    assert "x-goog-api-key" in (caught.value.remedy or "")
    assert "ab-secret" not in f"{caught.value.message}{caught.value.remedy}"


class NeedsKey:
    """Keys exist, and none is the one."""

    def any_exist(self) -> bool:
        return True

    def find(self, secret: str) -> None:
        return None


class Open(NeedsKey):
    """No key exists but throwaway ones."""

    def __init__(self, **keys: Key) -> None:
        self.keys = keys

    def any_exist(self) -> bool:
        return False

    def find(self, secret: str) -> Key | None:  # type: ignore[override]
        return self.keys.get(secret)


def test_an_open_gateway_knows_a_throwaway_key_and_takes_anything_else_for_none() -> None:
    secret, here = new_secret(), Client("127.0.0.1", 99.0)
    key = Key("key_1", "run", Rights(expires_at=100.0))
    keys = Open(**{secret: key})
    for text in ("any", "sk-ant-1", "ab-any", secret[:-1], secret[:-1] + "!"):
        assert identify(keys, here, {"x-api-key": text}, "") is None
    assert identify(keys, here, {}, "") is None
    assert identify(keys, here, {"x-api-key": secret}, "") is key
    with pytest.raises(GatewayError) as late:
        identify(keys, Client("127.0.0.1", 100.0), {"x-api-key": secret}, "")
    assert late.value.code == "key_expired"
    with pytest.raises(GatewayError) as elsewhere:
        identify(keys, here, {"x-api-key": secret, "host": "evil.example"}, "")
    assert elsewhere.value.code == "not_local"


def test_an_open_gateway_refuses_a_key_whose_run_is_over() -> None:
    with pytest.raises(GatewayError) as caught:
        identify(Open(), Client("127.0.0.1", 0.0), {"authorization": f"Bearer {new_secret()}"}, "")
    assert (caught.value.status, caught.value.code) == (401, "invalid_api_key")


def test_a_throwaway_key_is_no_operator_of_an_open_gateway() -> None:
    with LiveGateway({"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}) as gateway:
        secret = gateway.gateway.keys.create("run", throwaway=True).secret.reveal()
        url = f"{gateway.url}/admin/v1/keys"
        assert httpx.get(url).status_code == 200
        refused = httpx.get(url, headers={"x-api-key": secret})
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "role_required")


class One:
    """There is one key, whatever secret is shown."""

    def __init__(self, rights: Rights) -> None:
        self.key = Key("key_1", "ci", rights, admin=True)

    def any_exist(self) -> bool:
        return True

    def find(self, secret: str) -> Key:
        return self.key


SHOWN = {"authorization": "Bearer ab-x"}


@pytest.mark.parametrize(("at", "status"), [(99.9, None), (100.0, 401), (1e9, 401)])
def test_an_expired_key_is_told_so(at: float, status: int | None) -> None:
    keys, here = One(Rights(expires_at=100.0)), Client("127.0.0.1", at)
    if status is None:
        assert identify(keys, here, SHOWN, "") is keys.key
        require_admin(keys, None, here, SHOWN, "")
        return
    for ask in (lambda: identify(keys, here, SHOWN, ""), lambda: require_admin(keys, None, here, SHOWN, "")):
        with pytest.raises(GatewayError) as caught:
            ask()
        assert (caught.value.status, caught.value.code) == (status, "key_expired")
        assert "'ci' expired at 1970-01-01T00:01:40Z" in caught.value.message


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("11.0.0.1", False),
        ("::1", False),
        (None, False),
        ("/run/s", False),
    ],
)
def test_a_key_may_be_used_from_its_networks_alone(peer: str | None, may: bool) -> None:
    keys, there = One(Rights(addresses=frozenset({"10.0.0.0/8"}))), Client(peer, 0.0)
    headers = SHOWN | {"x-forwarded-for": "10.1.2.3", "forwarded": "for=10.1.2.3", "x-real-ip": "10.1.2.3"}
    if may:
        assert identify(keys, there, headers, "") is keys.key
        return
    for ask in (lambda: identify(keys, there, headers, ""), lambda: require_admin(keys, None, there, headers, "")):
        with pytest.raises(GatewayError) as caught:
            ask()
        assert (caught.value.status, caught.value.code) == (403, "address_not_allowed")


def test_expired_and_misplaced_keys_are_refused_over_the_wire() -> None:
    with LiveGateway({"providers": {"up": {"kind": "openai", "base_url": "http://127.0.0.1:9/v1"}}}) as gateway:
        keys = gateway.gateway.keys
        late = keys.create("late", Rights(expires_at=time.time() - 1)).secret.reveal()
        away = keys.create("away", Rights(addresses=frozenset({"10.0.0.0/8"}))).secret.reveal()
        here = keys.create("here", Rights(addresses=frozenset({"127.0.0.0/8"}))).secret.reveal()
        for path in ("/v1/models", "/passthrough/up/v1/models"):
            for secret, status, code in ((late, 401, "key_expired"), (away, 403, "address_not_allowed")):
                answer = httpx.get(gateway.url + path, headers={"authorization": f"Bearer {secret}"})
                assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
        assert httpx.get(gateway.url + "/v1/models", headers={"x-api-key": here}).status_code == 200
