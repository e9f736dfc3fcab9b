"""What of a raw request may go through, and what of its answer may come back."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.policy import passage
from afterbay.policy.rights import EVERYTHING, NO_WISH, Preference, Rights

BASES = ["https://api.test", "https://api.test/v1", "https://api.test/openai/v1", "http://user:pw@[::1]:8080/a"]
HOSTILE = [
    "/../admin",
    "/v1/../../admin",
    "/v1/..",
    "/.",
    "/v1/./files",
    "/v1/%2e%2e/admin",
    "/v1/%2E%2e/admin",
    "/v1/.%2e/admin",
    "/v1/%252e%252e/admin",
    "/v1/%25252e%25252e/admin",
    "/v1/..%2fadmin",
    "/v1/..%5cadmin",
    "/v1/a%2f..%2f..%2fadmin",
    "/v1/a%252f..%252fadmin",
    "/v1/..;/admin",
    "/v1/..;x=y/admin",
    "/v1/%2e%2e%3b/admin",
    "//evil.example/v1",
    "/v1//evil.example",
    "/http://evil.example/",
    "/\\evil.example",
    "/v1\\..\\admin",
    "/v1/%5c%5cevil.example",
    "/v1/files?x",
    "/v1/files#x",
    "/v1/a b",
    "/v1/%",
    "/v1/%zz",
    "/v1/%00",
    "/v1/%0d%0ahost:%20evil",
    "/v1/\x7f",
    "/v1/é",
    "v1",
    "@evil.example",
    ":80@evil.example/",
    "/v1/%25252525252525252e",
]
PLAIN = [
    "",
    "/",
    "/v1/files",
    "/v1/files/",
    "/v1/files/file-abc/content",
    "/v1beta/models/gemini-2.5-pro:generateContent",
    "/v1/models/ft:gpt-4o:acme::abc",
    "/v1/models/org%2Fmodel",
    "/v1/models/a...b",
    "/v1/models/...",
    "/v1/x/.hidden",
    "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
    "/v1/a%20b",
    "/v1/a;b=c",
    "/v1/%E4%B8%AD",
]


@pytest.mark.parametrize("rest", HOSTILE)
def test_a_path_that_could_lead_elsewhere_is_refused(rest: str) -> None:
    with pytest.raises(ClientMistake) as refused:
        passage.check_rest(rest)
    assert (refused.value.status, refused.value.code) == (400, "invalid_path")


@pytest.mark.parametrize("rest", PLAIN)
def test_a_plain_path_passes(rest: str) -> None:
    passage.check_rest(rest)


_pieces = st.sampled_from(
    ["/", "..", ".", "%2e", "%2f", "%5c", "%25", "2e", "a", ";", "\\", ":", "@", "v1", "?", "#", "%0a"]
)


@given(st.lists(_pieces, max_size=12).map("".join), st.sampled_from(BASES))
def test_what_passes_stays_below_the_address_however_often_it_is_decoded(rest: str, base: str) -> None:
    rest = "/" + rest
    try:
        passage.check_rest(rest)
    except ClientMistake:
        return
    url = base + passage.below(urlsplit(base).path, rest)
    for _ in range(8):
        found, home = urlsplit(url), urlsplit(base)
        assert found.netloc == home.netloc
        assert found.path.startswith(home.path)
        depth = 0
        for segment in found.path[len(home.path) :].replace("\\", "/").split("/"):
            depth += -1 if segment.partition(";")[0] == ".." else segment not in ("", ".")
            assert depth >= 0
        assert "\\" not in found.path
        url = unquote(url)


@pytest.mark.parametrize(
    ("base", "rest", "wanted"),
    [
        ("/v1", "/v1/files", "/files"),
        ("/v1", "/files", "/files"),
        ("/v1/", "/v1/files", "/files"),
        ("", "/v1/files", "/v1/files"),
        ("/", "/v1/files", "/v1/files"),
        ("/openai/v1", "/v1/files", "/files"),
        ("/openai/v1", "/openai/v1/files", "/files"),
        ("/openai/v1", "/openai/files", "/openai/files"),
        ("/v1", "/v1", ""),
        ("/v1", "/v1/", "/"),
        ("/v1", "/v1beta/files", "/v1beta/files"),
        ("/v1", "", ""),
    ],
)
def test_the_last_segments_of_the_address_count_once(base: str, rest: str, wanted: str) -> None:
    assert passage.below(base, rest) == wanted


def test_the_name_of_a_provider_is_the_first_segment() -> None:
    assert passage.split("/passthrough/openai/v1/files") == ("openai", "/v1/files")
    assert passage.split("/passthrough/openai") == ("openai", "")
    assert passage.split("/passthrough/my%20host/v1/%2e%2e") == ("my host", "/v1/%2e%2e")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ""),
        ("model=a&x=%20b", "?model=a&x=%20b"),
        ("key=ab-123&alt=sse", "?alt=sse"),
        ("KEY=1&%6bey=2&access_token=3&api-key=4&api_key=5", ""),
        ("keys=1&monkey=2", "?keys=1&monkey=2"),
        ("x=ab-the-client-s-own-key&y=1", "?y=1"),
        ("x=ab-the%2Dclient-s-own-key", ""),
    ],
)
def test_the_client_s_credentials_are_taken_out_of_the_query(query: str, wanted: str) -> None:
    assert passage.query_up(query, "ab-the-client-s-own-key") == wanted


@pytest.mark.parametrize("query", ["a b", "a#b", "a\r\nb", "é"])
def test_a_query_that_is_none_is_refused(query: str) -> None:
    with pytest.raises(ClientMistake):
        passage.query_up(query, None)


def test_headers_about_this_hop_and_credentials_stay_here() -> None:
    stay = {
        "host": "gateway",
        "authorization": "Bearer x",
        "x-api-key": "x",
        "x-goog-api-key": "x",
        "api-key": "x",
        "cookie": "x",
        "connection": "keep-alive, X-Named",
        "keep-alive": "timeout=5",
        "te": "trailers",
        "trailer": "x",
        "transfer-encoding": "chunked",
        "upgrade": "h2c",
        "proxy-authorization": "x",
        "proxy-anything": "x",
        "x-named": "by connection",
        "x-afterbay-tags": "a=b",
        "x-forwarded-for": "10.0.0.1",
        "forwarded": "for=10.0.0.1",
        "sec-websocket-key": "x",
        "origin": "https://page.example",
        "content-length": "5",
        "expect": "100-continue",
        "accept-encoding": "gzip",
        "x-mine": "my key is ab-the-client-s-own-key",
    }
    go = {
        "content-type": "multipart/form-data; boundary=x",
        "openai-beta": "realtime=v1",
        "anthropic-beta": "files-api-2025-04-14",
        "anthropic-version": "2023-06-01",
        "accept": "*/*",
        "idempotency-key": "k",
        "range": "bytes=0-9",
        "user-agent": "x",
        "content-encoding": "gzip",
        "x-goog-upload-command": "start",
    }
    assert passage.headers_up(stay | go, "ab-the-client-s-own-key") == go


def test_headers_of_an_answer_that_speak_for_another_host_are_left_out() -> None:
    stay = {
        "set-cookie": "a=b",
        "connection": "close, x-named",
        "x-named": "by connection",
        "transfer-encoding": "chunked",
        "alt-svc": 'h3=":443"',
        "strict-transport-security": "max-age=1",
        "access-control-allow-origin": "*",
        "www-authenticate": "Bearer",
        "location": "https://evil.example",
        "x-request-id": "theirs",
        "x-afterbay-provider": "a lie",
        "openai-organization": "acme",
        "content-security-policy": "default-src *",
    }
    go = {
        "content-type": "audio/mpeg",
        "content-encoding": "gzip",
        "content-length": "10",
        "content-disposition": "attachment; filename=x",
        "content-range": "bytes 0-9/10",
        "etag": '"x"',
        "retry-after": "2",
        "x-ratelimit-remaining-requests": "1",
        "request-id": "req_theirs",
        "openai-processing-ms": "5",
    }
    got = passage.headers_down(stay | go, 200)
    added = {"x-content-type-options": "nosniff", "content-security-policy": "sandbox"}
    assert got == go | added
    assert "content-length" not in passage.headers_down(go, 304)


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("/v1/files/a", "/passthrough/up/v1/files/a"),
        ("https://api.test/v1/files/a?b=c", "/passthrough/up/v1/files/a?b=c"),
        ("https://api.test:443/v1/files", "/passthrough/up/v1/files"),
        ("https://API.test/v1?key=secret&upload_id=1", "/passthrough/up/v1?upload_id=1"),
        ("https://evil.example/v1/files", None),
        ("//evil.example/v1/files", None),
        ("http://api.test/v1/files", None),
        ("https://api.test:444/v1/files", None),
        ("https://api.test@evil.example/v1/", None),
        ("https://me:pw@api.test/v1/", None),
        ("https://api.test/v2/files", None),
        ("https://api.test/v1evil", None),
        ("/v1/../admin", None),
        ("/v1/%2e%2e/admin", None),
        ("/\\evil.example", None),
        ("\\\\evil.example", None),
        ("javascript:alert(1)", None),
        ("data:text/html,x", None),
        ("files/a", None),
        ("https://[", None),
        ("https://api.test:x/v1", None),
        ("", None),
    ],
)
def test_an_address_is_told_only_where_it_leads_back_here(address: str, wanted: str | None) -> None:
    assert passage.back(address, "https://api.test/v1", "up") == wanted


def test_a_path_that_leads_back_leads_to_the_same_place() -> None:
    for base in ("https://api.test", "https://api.test/v1", "https://api.test/openai/v1"):
        told = passage.back(f"{base}/files/a", base, "up")
        assert told is not None
        rest = passage.split(told)[1]
        assert base + passage.below(urlsplit(base).path, rest) == f"{base}/files/a"


@pytest.mark.parametrize(
    "models", [frozenset({"gpt"}), frozenset({"open"}), frozenset({"openai/gpt"}), frozenset({"*"})]
)
def test_a_limited_key_may_not_pass(models: frozenset[str]) -> None:
    with pytest.raises(PolicyRefusal) as refused:
        passage.check_key(Rights(models), NO_WISH, "openai", ())
    assert (refused.value.status, refused.value.code) == (403, "passthrough_not_allowed")
    assert "openai/*" in refused.value.text()


def test_a_key_for_a_whole_provider_may_pass() -> None:
    passage.check_key(EVERYTHING, NO_WISH, "openai", ())
    passage.check_key(Rights(frozenset({"gpt", "openai/*"})), NO_WISH, "openai", ("openai",))
    passage.check_key(Rights(frozenset({"openai"})), NO_WISH, "openai", ("gpt",))


def test_a_key_for_a_model_that_is_called_like_the_provider_may_not() -> None:
    with pytest.raises(PolicyRefusal):
        passage.check_key(Rights(frozenset({"openai"})), NO_WISH, "openai", ("openai",))


@pytest.mark.parametrize(
    ("rights", "wish"),
    [
        (Rights(providers=frozenset({"google"})), NO_WISH),
        (EVERYTHING, Preference(allowed_providers=frozenset({"google"}))),
        (EVERYTHING, Preference(bound_model="gpt")),
    ],
)
def test_a_key_for_other_providers_or_one_model_may_not_pass(rights: Rights, wish: Preference) -> None:
    with pytest.raises(PolicyRefusal) as refused:
        passage.check_key(rights, wish, "openai", ())
    assert refused.value.code == "passthrough_not_allowed"


@given(st.text(max_size=20))
def test_any_name_is_found_again(name: str) -> None:
    assert passage.split(f"/passthrough/{quote(name, safe='')}/v1")[0] == name
