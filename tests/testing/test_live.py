"""The live gateway and the replay server are what they say, since other tests believe them."""

from __future__ import annotations

import itertools
from pathlib import Path

import httpx2 as httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.config.problem import ConfigError
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, ReplayProcess, ReplayServer, pieces


@given(st.binary(max_size=2000), st.integers(0, 1000))
def test_pieces_are_the_body_and_depend_on_the_seed_alone(body: bytes, seed: int) -> None:
    cut = pieces(body, seed)
    assert b"".join(cut) == body
    assert all(cut)
    assert cut == pieces(body, seed)
    assert pieces(body, None) == ([body] if body else [])


def test_pieces_are_cut_inside_line_ends_and_characters() -> None:
    body = "data: ü\r\n\r\n".encode() * 200
    ends = [*itertools.accumulate(len(piece) for piece in pieces(body, 1))]
    assert any(body[end - 1 : end + 1] == b"\r\n" for end in ends)
    assert any(body[end - 1 : end + 1] == "ü".encode() for end in ends)


def test_one_connection_takes_many_requests_and_all_are_kept() -> None:
    with ReplayServer(lambda request: Answer(201, {"x-n": "1"}, request.body * 2, seed=1)) as server:
        with httpx.Client(base_url=server.url) as client:
            answers = [client.post(f"/p?{n}", content=b"ab" * n) for n in range(1, 5)]
        assert [answer.content for answer in answers] == [b"ab" * 2 * n for n in range(1, 5)]
        assert {answer.status_code for answer in answers} == {201}
        assert [(one.method, one.path, one.body) for one in server.received][1] == ("POST", "/p?2", b"abab")
        assert all(one.gone_s is None for one in server.received)


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("headed", [True, False])
def test_broken_answers_are_broken(then: str, headed: bool) -> None:
    answer = Answer(body=b"begun", then=then, headed=headed)  # type: ignore[arg-type]  # one of the words
    with ReplayServer(lambda request: answer) as server, pytest.raises(httpx.TransportError):
        httpx.get(server.url)


def test_a_killed_process_says_no_goodbye() -> None:
    with ReplayProcess(Answer(body=b"begun", then="hang")) as upstream, httpx.stream("GET", upstream.url) as answer:
        read = answer.iter_raw()
        assert next(read) == b"begun"
        upstream.kill()
        with pytest.raises(httpx.TransportError):
            next(read)


def test_a_gateway_sees_only_the_environment_that_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-mine")
    with LiveGateway(None) as without, LiveGateway(None, {"ANTHROPIC_API_KEY": "sk-given"}) as given_one:
        assert {"openai", "anthropic"}.isdisjoint(without.gateway.snapshot.providers)
        assert "anthropic" in given_one.gateway.snapshot.providers
        assert "openai" not in given_one.gateway.snapshot.providers
        assert httpx.get(f"{without.url}/health/live").status_code == 200
        assert without.records() == []


def test_a_file_is_taken_and_its_database_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    database = tmp_path / "mine.db"
    path.write_text(f"state: {{database: 'sqlite:///{database}'}}\nmodels: {{}}\n", encoding="utf-8")
    with LiveGateway(path) as gateway:
        assert gateway.gateway.loaded.path == path
        assert httpx.post(f"{gateway.url}/v1/chat/completions", json={"model": "none"}).status_code == 404
        assert gateway.records(at_least=1)[0].requested_model == "none"
        with pytest.raises(TimeoutError, match="not 2"):
            gateway.records(at_least=2, within_s=0.01)
    assert not database.exists()


def test_a_wrong_configuration_is_the_starters_error() -> None:
    with pytest.raises(ConfigError, match="nobody"), LiveGateway({"models": {"a": {"provider": "nobody"}}}):
        pass
