"""Requests to Bedrock are signed as botocore's own client signs them, and credentials are found as AWS documents it."""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import botocore.auth
import pytest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.session import Session

from afterbay.config.snapshot import Provider
from afterbay.core.secret import Secret
from afterbay.ports import TransportError
from afterbay.providers import aws
from afterbay.providers.aws import SigV4Signer, aws_signer_for, search_chain, signed
from afterbay.providers.upstream import HttpUpstream
from afterbay.wire.bedrock.writer import path_of

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "secret/key+example", "session-token/example=="
REGION = "eu-central-1"
MODELS = (
    "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/1arbu5hu2sjr",
    "plain-model",
)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Stub(BaseHTTPRequestHandler):
    """Remembers what came; answers as a Converse call."""

    seen: ClassVar[list[tuple[str, dict[str, str], bytes]]] = []
    answer: ClassVar[tuple[int, bytes]] = (200, b'{"output":{"message":{"role":"assistant","content":[]}}}')

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
        status, answer = self.answer
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def stub() -> Iterator[str]:
    Stub.seen.clear()
    server = HTTPServer(("127.0.0.1", 0), Stub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda *_: NOON)


def credentials(**changed: str) -> Credentials:
    return Credentials(**({"access_key": KEY, "secret_key": SECRET, "token": TOKEN} | changed))


def provider(url: str, **fields: Any) -> Provider:
    return Provider("b", "bedrock", url, "bedrock.converse", None, region=REGION, **fields)


@contextlib.asynccontextmanager
async def upstream(url: str, signer: SigV4Signer | None, **fields: Any) -> AsyncIterator[HttpUpstream]:
    made = HttpUpstream(provider(url, **fields), signer)
    try:
        yield made
    finally:
        await made.close()


async def post(to: HttpUpstream, path: str, body: bytes = b"{}") -> tuple[int, bytes]:
    response = await to.post(path, body, {"accept": "application/json"}, 2.0)
    try:
        return response.status, await response.read_all(1 << 20)
    finally:
        response.close()


def signature(headers: dict[str, str]) -> dict[str, str]:
    found = re.fullmatch(
        r"AWS4-HMAC-SHA256 Credential=(\S+), SignedHeaders=(\S+), Signature=([0-9a-f]{64})", headers["authorization"]
    )
    assert found is not None, headers["authorization"]
    return {"credential": found[1], "headers": found[2], "signature": found[3]}


@pytest.mark.parametrize("model", MODELS)
async def test_the_path_and_the_signature_are_those_of_botocores_own_client(model: str, stub: str, noon: None) -> None:
    session = Session()
    session.set_credentials(KEY, SECRET, TOKEN)
    config = Config(retries={"total_max_attempts": 1}, proxies={})
    client = session.create_client("bedrock-runtime", REGION, endpoint_url=stub, config=config)
    await asyncio.to_thread(client.converse, modelId=model, messages=[{"role": "user", "content": [{"text": "Hi"}]}])
    path, theirs, body = Stub.seen[-1]

    async with upstream(stub, SigV4Signer(REGION, credentials)) as to:
        assert (await post(to, path_of(model, stream=False), body))[0] == 200
    own_path, ours, own_body = Stub.seen[-1]
    assert (own_path, own_body) == (path, body)
    assert ours["x-amz-date"] == theirs["x-amz-date"]
    assert ours["x-amz-security-token"] == theirs["x-amz-security-token"] == TOKEN
    assert (
        signature(ours)["credential"]
        == signature(theirs)["credential"]
        == f"{KEY}/20261124/{REGION}/bedrock/aws4_request"
    )
    # What theirs signs beyond ours is its own bookkeeping; over the same headers the signatures are the same.
    assert set(signature(ours)["headers"].split(";")) <= set(signature(theirs)["headers"].split(";"))
    assert signature(ours)["signature"] == recomputed(stub + path, body, ours)
    assert signature(theirs)["signature"] == recomputed(stub + path, body, theirs)


def recomputed(url: str, body: bytes, headers: dict[str, str]) -> str:
    """The signature over what came in, by the published steps and nothing of botocore's."""
    import hashlib
    import hmac
    from urllib.parse import quote, urlsplit

    names = signature(headers)["headers"].split(";")
    canonical = "\n".join(
        [
            "POST",
            quote(urlsplit(url).path, safe="/~"),
            "",
            *(f"{name}:{' '.join(headers[name].split())}" for name in names),
            "",
            ";".join(names),
            hashlib.sha256(body).hexdigest(),
        ]
    )
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{REGION}/bedrock/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{SECRET}".encode()
    for part in (date[:8], REGION, "bedrock", "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


async def test_a_large_body_is_signed_as_well(stub: str) -> None:
    body = b'{"x":"' + b"y" * aws.LARGE_BYTES + b'"}'
    async with upstream(stub, SigV4Signer(REGION, credentials)) as to:
        await post(to, "/model/m/converse", body)
    _, headers, got = Stub.seen[-1]
    assert got == body
    assert signature(headers)["signature"] == recomputed(f"{stub}/model/m/converse", body, headers)


def test_of_the_headers_the_content_type_alone_is_signed() -> None:
    given = {"content-type": "application/json", "accept": "a", "user-agent": "u"}
    out = signed("https://h/model/m/converse", b"{}", given, credentials(), REGION)
    assert set(out) == {"authorization", "content-type", "x-amz-date", "x-amz-security-token"}
    assert signature(out)["headers"] == "content-type;host;x-amz-date;x-amz-security-token"


async def test_an_api_key_is_sent_as_it_is_and_nothing_is_signed(stub: str) -> None:
    with_key = provider(stub, keys=(Secret("bedrock-api-key-example"),))
    assert aws_signer_for(with_key, {"AWS_ACCESS_KEY_ID": KEY}) is None
    async with upstream(stub, None, keys=with_key.keys) as to:
        await post(to, "/model/m/converse")
    headers = Stub.seen[-1][1]
    assert headers["authorization"] == "Bearer bedrock-api-key-example"
    assert "x-amz-date" not in headers


def test_who_brings_an_authorization_of_their_own_is_not_signed_for() -> None:
    assert aws_signer_for(provider("http://h", headers={"Authorization": "x"}), {}) is None
    assert aws_signer_for(Provider("o", "openai", "http://h", "openai.chat", None), {}) is None
    assert aws_signer_for(provider("http://h"), {}) is not None


async def test_secrets_that_a_provider_quotes_do_not_come_back(stub: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f'{{"message":"canonical: x-amz-security-token:{TOKEN}, {SECRET}, {KEY}"}}'.encode()
    monkeypatch.setattr(Stub, "answer", (403, said))
    async with upstream(stub, SigV4Signer(REGION, credentials)) as to:
        status, body = await post(to, "/model/m/converse")
    assert status == 403
    assert TOKEN.encode() not in body
    assert SECRET.encode() not in body
    assert body.count(b"[redacted]") == 2


class Search:
    """A search that is counted, and may fail."""

    def __init__(self, *results: Any) -> None:
        self.results, self.made = list(results), 0

    def __call__(self) -> Any:
        self.made += 1
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result


async def sign(signer: SigV4Signer) -> str:
    headers = await signer.sign("https://h/model/m/converse", b"{}", {"content-type": "application/json"})
    return signature(headers)["credential"].partition("/")[0]


async def test_many_requests_at_once_make_one_search() -> None:
    search = Search(credentials())
    signer = SigV4Signer(REGION, search)
    assert await asyncio.gather(*(sign(signer) for _ in range(20))) == [KEY] * 20
    assert search.made == 1
    assert signer.secrets == (SECRET.encode(), TOKEN.encode())


async def test_without_credentials_the_error_says_what_to_set_and_is_not_sought_again_at_once() -> None:
    search = Search(None)
    signer = SigV4Signer(REGION, search)
    for _ in range(3):
        with pytest.raises(TransportError, match="AWS_ACCESS_KEY_ID") as caught:
            await sign(signer)
        assert not caught.value.connected
    assert search.made == 1
    assert signer.secrets == ()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImportError("botocore"), r"pip install 'afterbay\[aws\]'"),
        (RuntimeError("the profile\n(x) is not there"), r"RuntimeError: the profile \(x\) is not there"),
        (TimeoutError(), "not found within"),
    ],
)
async def test_a_search_that_fails_says_why(error: Exception, said: str) -> None:
    with pytest.raises(TransportError, match=said):
        await sign(SigV4Signer(REGION, Search(error)))


async def test_credentials_that_the_provider_refuses_are_sought_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(credentials(), credentials(access_key="AKIDROTATED"))
    signer = SigV4Signer(REGION, search)
    assert await sign(signer) == KEY
    signer.refused()
    assert await sign(signer) == KEY, "they were read a moment ago: a refusal is no reason to ask in a loop"
    monkeypatch.setattr(aws, "PAUSE_S", -1.0)
    signer.refused()
    assert await sign(signer) == "AKIDROTATED"


async def test_old_credentials_serve_while_new_ones_are_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()

    class Refreshing(Credentials):
        def get_frozen_credentials(self) -> Any:
            if signer._frozen is not None:
                gate.wait(5)
            return super().get_frozen_credentials()

    signer = SigV4Signer(REGION, Search(Refreshing(KEY, SECRET, TOKEN)))
    assert await sign(signer) == KEY
    monkeypatch.setattr(aws, "FRESH_S", -1.0)
    slow = asyncio.create_task(sign(signer))
    await asyncio.sleep(0)
    assert await sign(signer) == KEY
    assert not slow.done()
    gate.set()
    assert await slow == KEY


async def test_a_refresh_that_fails_leaves_the_old_ones_until_they_are_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ending(Credentials):
        def get_frozen_credentials(self) -> Any:
            if signer._frozen is not None:
                raise RuntimeError("expired")
            return super().get_frozen_credentials()

    signer = SigV4Signer(REGION, Search(Ending(KEY, SECRET)))
    assert await sign(signer) == KEY
    monkeypatch.setattr(aws, "FRESH_S", -1.0)
    assert await sign(signer) == KEY
    monkeypatch.setattr(aws, "STALE_S", -1.0)
    with pytest.raises(TransportError, match="expired"):
        await sign(signer)


def test_the_environment_that_was_given_is_the_one_that_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDDEVELOPER")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of the developer")
    found = search_chain(None, REGION, {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})
    assert (found.access_key, found.secret_key) == (KEY, SECRET)
    assert search_chain(None, REGION, {"HOME": "/nowhere", "AWS_EC2_METADATA_DISABLED": "true"}) is None


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".aws").mkdir()
    shared = f"[default]\naws_access_key_id = D\naws_secret_access_key = {SECRET}\n"
    (tmp_path / ".aws/credentials").write_text(f"{shared}[team]\naws_access_key_id = T\naws_secret_access_key = s\n")
    (tmp_path / ".aws/config").write_text(
        '[profile run]\ncredential_process = echo \'{"Version":1,"AccessKeyId":"P","SecretAccessKey":"s"}\'\n'
    )
    return tmp_path


@pytest.mark.parametrize(
    ("profile", "more", "key"),
    [
        (None, {}, "D"),
        ("team", {}, "T"),
        (None, {"AWS_PROFILE": "team"}, "T"),
        ("team", {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET}, "T"),
        ("run", {}, "P"),
    ],
)
def test_shared_files_and_profiles_are_read(home: Path, profile: str | None, more: dict[str, str], key: str) -> None:
    environ = {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", **more}
    assert search_chain(profile, REGION, environ).get_frozen_credentials().access_key == key


async def test_a_profile_that_is_not_there_is_named(home: Path) -> None:
    environ = {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true"}
    signer = aws_signer_for(provider("http://h", profile="nobody"), environ)
    assert signer is not None
    with pytest.raises(TransportError, match="nobody"):
        await sign(signer)
