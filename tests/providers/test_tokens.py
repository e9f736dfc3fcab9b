"""Tokens of cloud accounts: fetched once for many requests, renewed in time, and what is told where there are none."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable

import pytest

from afterbay.config.snapshot import Provider
from afterbay.core.secret import Secret
from afterbay.ports import TransportError
from afterbay.providers import tokens
from afterbay.providers.tokens import AzureTokens, GoogleTokens, NoCredentials, Token, TokenSigner, signer_for
from afterbay.providers.upstream import HttpUpstream


class Account:
    """A source of tokens, and a clock."""

    def __init__(self, lasts_s: float = 3600.0) -> None:
        self.now_s, self.lasts_s, self.fetched = 1000.0, lasts_s, 0
        self.error: Exception | None = None

    def fetch(self) -> Token:
        self.fetched += 1
        if self.error is not None:
            raise self.error
        return Token(f"t{self.fetched}", self.now_s + self.lasts_s)

    def signer(self) -> TokenSigner:
        return TokenSigner("Some credentials", self.fetch, lambda: self.now_s)


async def sign(signer: TokenSigner) -> str:
    return (await signer.sign("https://h/x", b"{}", {}))["authorization"]


async def test_one_fetch_serves_all_who_wait_and_all_who_come_later() -> None:
    account = Account()
    signer = account.signer()
    assert set(await asyncio.gather(*(sign(signer) for _ in range(20)))) == {"Bearer t1"}
    account.now_s += 3600 - tokens.EARLY_S - 1
    assert await sign(signer) == "Bearer t1"
    assert account.fetched == 1


async def test_a_token_is_renewed_before_it_ends() -> None:
    account = Account()
    signer = account.signer()
    await sign(signer)
    account.now_s += 3600 - tokens.EARLY_S
    assert await sign(signer) == "Bearer t2"


async def test_a_failed_renewal_leaves_the_old_token_while_it_lasts() -> None:
    account = Account()
    signer = account.signer()
    await sign(signer)
    account.now_s, account.error = account.now_s + 3600 - 10, OSError("no route to metadata.internal")
    assert await sign(signer) == "Bearer t1"
    account.now_s += 11
    with pytest.raises(TransportError) as told:
        await sign(signer)
    assert "metadata" not in str(told.value)
    assert "OSError" in str(told.value)
    assert not told.value.connected


async def test_after_a_failure_nobody_is_asked_for_a_while() -> None:
    account = Account()
    account.error = NoCredentials("set SOMETHING")
    signer = account.signer()
    for _ in range(3):
        with pytest.raises(TransportError, match="Some credentials: set SOMETHING"):
            await sign(signer)
    assert account.fetched == 1
    account.now_s, account.error = account.now_s + tokens.REST_S, None
    assert await sign(signer) == "Bearer t2"


async def test_a_slow_fetch_is_waited_for_only_so_long_and_serves_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "FETCH_S", 0.01)
    gate, calls = threading.Event(), list[int]()

    def fetch() -> Token:
        calls.append(1)
        gate.wait(10)
        return Token("late", float("inf"))

    signer = TokenSigner("Some credentials", fetch)
    with pytest.raises(TransportError, match=r"no token came in 0\.01 s"):
        await sign(signer)
    gate.set()
    monkeypatch.setattr(tokens, "FETCH_S", 10.0)
    assert await sign(signer) == "Bearer late"
    assert len(calls) == 1


async def test_a_request_that_is_cancelled_does_not_take_the_renewal_with_it() -> None:
    gate = threading.Event()

    def fetch() -> Token:
        gate.wait(10)
        return Token("t", float("inf"))

    signer = TokenSigner("Some credentials", fetch)
    first = asyncio.create_task(sign(signer))
    second = asyncio.create_task(sign(signer))
    await asyncio.sleep(0)
    first.cancel()
    gate.set()
    assert await second == "Bearer t"


@pytest.mark.parametrize(
    ("make", "missing", "told"),
    [
        (GoogleTokens, "google.auth", r"pip install 'afterbay\[gcp\]'"),
        (AzureTokens, "azure.identity", r"pip install 'afterbay\[azure\]'"),
    ],
)
def test_a_library_that_is_not_there_is_named_with_its_extra(
    make: Callable[[], Callable[[], Token]], missing: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(NoCredentials, match=told):
        make()()


def test_google_s_default_credentials_are_found_and_refreshed(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import datetime

    import google.auth

    class Credentials:
        token: str | None = None
        expiry = datetime(2026, 11, 24, 12, 0, 0)  # google-auth: UTC without a zone

        def refresh(self, request: object) -> None:
            self.token = "ya29"

    monkeypatch.setattr(google.auth, "default", lambda scopes: (Credentials(), "p"))
    assert GoogleTokens()() == Token("ya29", 1795521600.0)


def test_without_default_credentials_the_ways_to_set_them_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    import google.auth
    from google.auth.exceptions import DefaultCredentialsError

    def default(scopes: list[str]) -> None:
        raise DefaultCredentialsError("none")  # type: ignore[no-untyped-call]

    monkeypatch.setattr(google.auth, "default", default)
    with pytest.raises(NoCredentials, match="GOOGLE_APPLICATION_CREDENTIALS"):
        GoogleTokens()()


def test_a_token_is_only_for_clouds_without_a_key_over_tls() -> None:
    def signs(kind: str = "vertex", url: str = "https://h", **fields: object) -> bool:
        return signer_for(Provider("p", kind, url, None, None, **fields)) is not None  # type: ignore[arg-type]  # the fields' own types

    assert signs()
    assert signs("azure")
    assert not signs("gemini")
    assert not signs(url="http://h")
    assert not signs(url="https://me:pw@h")
    assert not signs(keys=(Secret("k"),))
    assert not signs(headers={"Authorization": "Bearer x"})
    assert "t1" not in repr(Token("t1", 1.0))


async def test_a_signer_s_headers_go_with_every_request_and_its_failure_sends_none() -> None:
    heads: list[bytes] = []

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        writer.close()

    account = Account()
    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    upstream = HttpUpstream(Provider("p", "vertex", url, "gemini", None), account.signer())
    response = await upstream.post("/x", b"{}", {"a": "b"}, 1.0)
    await response.read_all(10)
    response.close()
    account.now_s, account.error = account.now_s + 3600, NoCredentials("none")
    with pytest.raises(TransportError, match="none"):
        await upstream.post("/x", b"{}", {}, 1.0)
    await upstream.close()
    server.close()
    assert [b"Bearer t1" in head and b"a: b" in head for head in heads] == [True]
