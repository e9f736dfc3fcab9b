"""Who is let in: keys in every place where clients show them, and only this machine while there is no key."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2 as httpx
import pytest

from afterbay.core.errors import GatewayError
from afterbay.http.identity import Client, identify, is_loopback, require_local
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
