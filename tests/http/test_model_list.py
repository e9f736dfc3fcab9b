"""`GET /v1/models` is what a user chooses from: in three shapes, all that is known, and only what the key may use."""

from __future__ import annotations

from typing import Any

import anthropic
import httpx2 as httpx
import msgspec
import openai
import pytest

from afterbay.config.listing import about
from afterbay.config.load import parse
from afterbay.config.resolve import resolve
from afterbay.config.snapshot import Snapshot
from afterbay.http.model_list import shape_of, visible_models
from afterbay.policy.rights import Rights
from afterbay.ports import Key
from afterbay.testing.live import LiveGateway

CONFIG: dict[str, Any] = {
    "providers": {
        "openai": {"kind": "openai", "api_key": "k"},
        "groq": {"kind": "groq", "api_key": "k"},
    },
    "models": {
        "old": {"provider": "openai", "name": "gpt-4o", "tags": ["vision"], "price": {"input": 2.5, "output": 10}},
        "open": {"provider": "groq", "name": "openai/gpt-oss-20b", "fallback": ["old"]},
        "vectors": {"provider": "openai", "name": "text-embedding-3-small"},
        "alone": {"provider": "groq", "name": "openai/gpt-oss-120b"},
    },
    "routes": {"auto": {"fallback": ["open", "old"]}, "groqs": {"fallback": ["alone"]}},
}
CLAUDE, GOOGLE = {"anthropic-version": "2023-06-01"}, {"x-goog-api-key": "any"}


@pytest.fixture(scope="module")
def plan() -> Snapshot:
    """The configuration above, without a price list."""
    return resolve(parse(msgspec.json.encode(CONFIG).decode(), "f.yaml", {}), {}, lambda queries: {})


def shown(plan: Snapshot, headers: dict[str, str], rights: Rights | None = None) -> dict[str, Any]:
    """The page, by the name of each model."""
    names = visible_models(plan, key(rights) if rights is not None else None)
    page = shape_of(headers, "", "openai.chat")([(name, about(plan, name)) for name in names])
    return {one.get("id") or one["name"]: one for one in page["data" if "data" in page else "models"]}


def key(rights: Rights) -> Key:
    return Key(id="key_1", name="one", rights=rights)


def test_openai_s_shape_has_what_is_known_and_leaves_out_what_is_not(plan: Snapshot) -> None:
    found = shown(plan, {})
    assert list(found) == ["auto", "groqs", "old", "open", "vectors", "alone"]
    old = found["old"]
    assert (old["object"], old["owned_by"], old["shutdown_date"]) == ("model", "openai", "2027-01-14")
    known = old["afterbay"]
    assert (known["kind"], known["chat"], known["context"], known["max_output"]) == ("alias", True, 128000, 16384)
    assert known["price"] == {"input": 2.5, "output": 10.0}
    assert (known["ends"], known["successor"]) == ("2027-01-14", "gpt-6-luna")
    assert list(known["tags"]) == ["vision"]
    assert "tools" in known["can"]
    assert known["scores"]["humaneval"] == 0.902
    assert "price" not in found["open"]["afterbay"], "unknown, not 0"
    assert "shutdown_date" not in found["open"]
    assert found["vectors"]["afterbay"]["chat"] is False
    assert found["auto"]["afterbay"] == {"kind": "route", "chat": True, "candidates": ("open", "old")}


def test_anthropic_s_shape_has_the_limits_and_the_end(plan: Snapshot) -> None:
    old, alone = shown(plan, CLAUDE)["old"], shown(plan, CLAUDE)["alone"]
    assert (old["type"], old["display_name"], old["lifecycle"]) == ("model", "old", "deprecated")
    assert (old["max_input_tokens"], old["max_tokens"]) == (128000, 16384)
    assert old["retires_at"] == "2027-01-14T00:00:00Z"
    assert alone["lifecycle"] == "active"
    assert "retires_at" not in alone


def test_gemini_s_shape_says_what_a_model_can_be_asked(plan: Snapshot) -> None:
    found = shown(plan, GOOGLE)
    old, vectors = found["models/old"], found["models/vectors"]
    assert (old["inputTokenLimit"], old["outputTokenLimit"]) == (128000, 16384)
    assert "generateContent" in old["supportedGenerationMethods"]
    assert vectors["supportedGenerationMethods"] == ["embedContent"]
    assert "generateContent" in found["models/auto"]["supportedGenerationMethods"]


@pytest.mark.parametrize(
    ("rights", "names"),
    [
        (Rights(providers=frozenset({"groq"})), ["auto", "groqs", "open", "alone"]),
        (Rights(providers=frozenset({"openai"})), ["auto", "old", "open", "vectors"]),
        (Rights(providers=frozenset()), []),
        (Rights(models=frozenset({"old", "alone"}), providers=frozenset({"groq"})), ["alone"]),
        (Rights(routes=frozenset({"groqs"})), ["groqs", "old", "open", "vectors", "alone"]),
    ],
)
def test_a_key_sees_what_a_provider_that_it_may_use_can_answer(
    plan: Snapshot, rights: Rights, names: list[str]
) -> None:
    """`open` is Groq's and falls back to OpenAI: either may answer for it."""
    assert list(shown(plan, {}, rights)) == names


def test_a_model_that_a_key_may_not_use_is_not_there_for_it(plan: Snapshot) -> None:
    assert "old" not in shown(plan, CLAUDE, Rights(providers=frozenset({"groq"})))


def test_the_sdks_read_their_own_shape_and_keep_the_rest() -> None:
    config = CONFIG | {"models": {name: one for name, one in CONFIG["models"].items() if name != "old"} | {"old": {
        "provider": "openai", "name": "gpt-4o", "price": {"input": 1, "output": 2}}}}  # fmt: skip
    with LiveGateway(config) as gateway:
        mine = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any")
        one = mine.models.retrieve("old")
        assert (one.id, one.shutdown_date) == ("old", "2027-01-14")
        assert one.model_extra is not None
        assert one.model_extra["afterbay"]["price"] == {"input": 1.0, "output": 2.0}
        theirs = {each.id: each for each in anthropic.Anthropic(base_url=gateway.url, api_key="any").models.list()}
        assert theirs["old"].max_input_tokens == 128000
        assert str(theirs["old"].retires_at) == "2027-01-14 00:00:00+00:00"
        with httpx.Client(base_url=gateway.url) as http:
            assert http.get("/v1beta/models/old").json()["outputTokenLimit"] == 16384
            figures = http.get("/metrics").text
            assert 'afterbay_target_days_left{target="openai/gpt-4o"}' in figures
            assert 'days_left{target="groq' not in figures
