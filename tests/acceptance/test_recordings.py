"""Every recorded exchange through a running gateway, in both client protocols.

The recorded answer is replayed on loopback, cut at random places; what an SDK reads of it must be what the recording
says. What cannot be the same is declared in `ALLOWED` with its reason; an entry that nothing needs any more fails.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2 as httpx
import openai
import pytest

from acceptance.canon import Canon, difference
from acceptance.reading import ask_anthropic, ask_openai
from acceptance.recorded import COUNTS, SHARED, content_type, exchanges, expectation
from afterbay.testing.live import LiveGateway
from afterbay.testing.replay import Answer, Received, ReplayServer

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(
        not SHARED.is_dir(),
        reason=f"{sum(COUNTS.values())} recorded exchanges: AFTERBAY_SHARED names no folder with data/wire",
    ),
]

PROVIDER = {"openai": "openai", "anthropic": "anthropic", "gemini": "google"}
CLIENTS = ("openai.chat", "anthropic.messages")


@dataclass(frozen=True)
class Allowed:
    """A difference that is right: `fields` may differ, in the exchanges that it `needs`, `count` of them."""

    client: str
    fields: tuple[str, ...]
    count: int
    reason: str
    needs: Callable[[dict[str, Any], Canon], bool]


ALLOWED: tuple[Allowed, ...] = (
    Allowed(
        "openai.chat",
        ("finish",),
        12,
        "OpenAI's protocol has one word, `stop`, for an end of turn and for a stop sequence",
        lambda row, wanted: wanted.finish == "stop_sequence",
    ),
    Allowed(
        "anthropic.messages",
        ("finish",),
        4,
        "a refusal that OpenAI ends with `stop` is `refusal` in Anthropic's protocol: the text alone would not say so",
        lambda row, wanted: (
            row["api"] == "openai.chat" and '"refusal":' in row["response"]["body"] and wanted.finish == "stop"
        ),
    ),
    Allowed(
        "anthropic.messages",
        ("finish",),
        1,
        "one recording, of a preview model of 2023, has no finish reason; Anthropic's protocol must give one",
        lambda row, wanted: not row["stream"] and wanted.finish is None,
    ),
    *(
        Allowed(
            client,
            ("error", "message"),
            1,
            "Google answers a wrong key of the gateway with 400: the operator's to mend, so 502 as for 401 and 403",
            lambda row, wanted: "API key not valid" in row["response"]["body"],
        )
        for client in CLIENTS
    ),
)

UNREADABLE = "data: [DONE]"
"""One recorded Anthropic stream (of a gateway in between) ends with OpenAI's mark; Anthropic's SDK breaks on it also
without us, so that one is read by hand."""


class Upstream:
    """Plays all providers: the model's name `x-ID` says which recording is asked for."""

    def __init__(self) -> None:
        self.rows = {row["id"]: row for api in COUNTS for row in exchanges(api)} if SHARED.is_dir() else {}

    def __call__(self, request: Received) -> Answer:
        """The recorded answer, cut at places that depend on the exchange."""
        named = request.path.rpartition("/models/")[2].partition(":")[0] if "/models/" in request.path else None
        name = named or json.loads(request.body)["model"]
        row = self.rows[name.removeprefix("x-")]
        kept = {k: v for k, v in row["response"]["headers"].items() if k not in ("transfer-encoding", "content-length")}
        headers = {**kept, "content-type": content_type(row)}
        return Answer(row["response"]["status"], headers, row["response"]["body"].encode(), seed=int(row["id"][:8], 16))


@pytest.fixture(scope="module")
def upstream() -> Iterator[ReplayServer]:
    with ReplayServer(Upstream()) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(upstream: ReplayServer) -> Iterator[LiveGateway]:
    providers = {
        "openai": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key": "sk-up"},
        "anthropic": {"kind": "anthropic", "base_url": upstream.url, "api_key": "sk-up"},
        "google": {"kind": "gemini", "base_url": upstream.url, "api_key": "sk-up"},
    }
    with LiveGateway({"providers": providers}) as running:
        yield running


def asker(gateway: LiveGateway, client: str) -> Callable[[dict[str, Any], str], Canon]:
    if client == "openai.chat":
        sdk = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0)
        return lambda row, model: ask_openai(sdk, model, stream=row["stream"])
    other = anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0)
    return lambda row, model: ask_anthropic(
        other, model, stream=row["stream"], folds=UNREADABLE not in _body_of_same(row)
    )


def _body_of_same(row: dict[str, Any]) -> str:
    """The body, where the gateway relays it as it is."""
    return str(row["response"]["body"]) if row["api"] == "anthropic.messages" else ""


def allowed_for(row: dict[str, Any], wanted: Canon, client: str, differs: list[str]) -> list[int] | None:
    """The numbers of the entries that cover all differences together; None: not all are covered."""
    used: list[int] = []
    for told in differs:
        name = told.partition(":")[0]
        fits = [
            n for n, one in enumerate(ALLOWED) if one.client == client and name in one.fields and one.needs(row, wanted)
        ]
        if not fits:
            return None
        used += fits
    return used


_counts: dict[tuple[str, str], Counter[str]] = {}
_used: Counter[int] = Counter()


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("api", list(COUNTS))
def test_every_answer_comes_out_right(api: str, client: str, gateway: LiveGateway) -> None:
    rows = exchanges(api)
    assert len(rows) == COUNTS[api]
    ask, failures = asker(gateway, client), list[str]()
    count = _counts[api, client] = Counter(total=len(rows))
    for row in rows:
        wanted = expectation(row)
        got = ask(row, f"{PROVIDER[api.partition('.')[0]]}/x-{row['id']}")
        in_anthropic = client == "anthropic.messages"
        differs = difference(wanted, got, has_reasoning_usage=not in_anthropic, has_cache_write=in_anthropic)
        if not differs:
            count["exact"] += 1
            continue
        used = allowed_for(row, wanted, client, differs)
        if used is None:
            failures.append(f"{row['id']} {row['features']}: {'; '.join(differs)}")
        else:
            _used.update(used)
            count["declared"] += 1
    assert not failures, f"{len(failures)} of {len(rows)} not as recorded:\n" + "\n".join(failures)
    assert count["exact"] + count["declared"] == count["total"]


def test_no_declared_difference_is_stale(capsys: pytest.CaptureFixture[str]) -> None:
    """Runs after the cases above and prints what they counted."""
    if len(_counts) < len(COUNTS) * len(CLIENTS):
        pytest.skip("only some of the cases ran")
    with capsys.disabled():
        print(f"\n{'recorded':30}{'client':22}{'exact':>7}{'declared':>10}{'total':>7}")
        for (api, client), count in _counts.items():
            print(f"{api:30}{client:22}{count['exact']:7}{count['declared']:10}{count['total']:7}")
    wrong = [(one.reason, one.count, _used[n]) for n, one in enumerate(ALLOWED) if _used[n] != one.count]
    assert not wrong, "entries (reason, declared, found) that do not hold"


@pytest.mark.parametrize("api", CLIENTS)
def test_a_relay_changes_only_the_model(api: str, gateway: LiveGateway, upstream: ReplayServer) -> None:
    """Byte for byte, both ways: the client's body upstream but for the model, the provider's body to the client."""
    path = "/v1/chat/completions" if api == "openai.chat" else "/v1/messages"
    provider, failures = PROVIDER[api.partition(".")[0]], list[str]()
    with httpx.Client(base_url=gateway.url, timeout=20) as client:
        for row in exchanges(api):
            sent = {**row["request"]["body"], "model": f"{provider}/x-{row['id']}", "stream": row["stream"]}
            body = json.dumps(sent, ensure_ascii=False, separators=(", ", " : "))
            answer = client.post(path, content=body.encode(), headers={"content-type": "application/json"})
            arrived = upstream.received[-1]
            if arrived.body.decode() != body.replace(f'"{provider}/x-{row["id"]}"', f'"x-{row["id"]}"'):
                failures.append(f"{row['id']} request: {difference_at(arrived.body.decode(), body)}")
            failures += answer_differs(row, answer)
    assert not failures, f"{len(failures)} changed on the way:\n" + "\n".join(failures)


def answer_differs(row: dict[str, Any], answer: httpx.Response) -> list[str]:
    """What is not as recorded; refused credentials must not be as recorded."""
    status, recorded = row["response"]["status"], row["response"]["body"]
    if status in (401, 403):
        hidden = answer.status_code == 502 and "api_key" in answer.text and recorded not in answer.text
        return [] if hidden else [f"{row['id']}: {status} became {answer.status_code} {answer.text[:200]}"]
    found = [] if answer.status_code == status else [f"{row['id']}: status {status} became {answer.status_code}"]
    if answer.content != recorded.encode():
        found.append(f"{row['id']} answer: {difference_at(answer.text, recorded)}")
    return found


def difference_at(got: str, wanted: str) -> str:
    """The first place at which two texts differ."""
    at = next((n for n, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), min(len(got), len(wanted)))
    return f"at {at}: {wanted[max(0, at - 30) : at + 40]!r} -> {got[max(0, at - 30) : at + 40]!r}"


DAMAGE: dict[str, dict[str, Any]] = {
    "text": {"text": "other"},
    "reasoning": {"reasoning": ""},
    "tools": {"tools": [("f", {"a": 2}), ("g", {})]},
    "order": {"tools": [("g", {}), ("f", {"a": 1})]},
    "tool_ids": {"tool_ids": ["same", "same"]},
    "finish": {"finish": "stop"},
    "usage": {"usage": {"input": 5, "output": 7, "cache_read": 1, "reasoning": 2}},
    "reasoning usage": {"usage": {"input": 5, "output": 6, "cache_read": 1}},
    "error": {"error": "ours", "message": "no"},
}


@pytest.mark.parametrize("name", DAMAGE)
def test_the_comparison_sees_damage(name: str) -> None:
    whole: dict[str, Any] = {
        "text": "said",
        "reasoning": "thought",
        "tools": [("f", {"a": 1}), ("g", {})],
        "tool_ids": ["1", "2"],
        "finish": "tools",
        "usage": {"input": 5, "output": 6, "cache_read": 1, "reasoning": 2},
    }
    assert difference(Canon(**whole), Canon(**whole), has_reasoning_usage=True, has_cache_write=True) == []
    damaged = Canon(**{**whole, **DAMAGE[name]})
    assert difference(Canon(**whole), damaged, has_reasoning_usage=True, has_cache_write=True)
