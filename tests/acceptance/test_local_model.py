"""The SDKs on the small embedded model, and on `auto` of a gateway without configuration."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from afterbay.testing.live import LiveGateway

READY_S = 60.0
SMALL = {
    "providers": {"inside": {"kind": "llamacpp"}},
    "models": {"small": {"provider": "inside", "name": "local-small"}},
}

pytestmark = pytest.mark.local


@pytest.fixture(scope="module")
def gateway() -> Iterator[LiveGateway]:
    with LiveGateway(SMALL, local_models=True) as running:
        end_s = time.monotonic() + READY_S
        while (why_not := running.gateway.why_not_ready()) is not None:
            if "failed" in why_not or time.monotonic() > end_s:
                pytest.skip(f"the small local model cannot be had here: {why_not}")
            time.sleep(0.02)
        yield running


def user(content: str) -> Any:
    return [{"role": "user", "content": content}]


@pytest.mark.parametrize("model", ["small", "auto"])
def test_openai(gateway: LiveGateway, model: str) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        asked: dict[str, Any] = {"model": model, "messages": user("Name a colour."), "max_tokens": 12, "temperature": 0}
        whole = client.chat.completions.create(**asked)
        chunks = list(client.chat.completions.create(**asked, stream=True))
    assert whole.choices[0].message.content
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert whole.usage is not None
    assert 0 < whole.usage.completion_tokens <= 12


def test_anthropic(gateway: LiveGateway) -> None:
    with anthropic.Anthropic(base_url=gateway.url, api_key="any", max_retries=0) as client:
        asked: dict[str, Any] = {"model": "small", "max_tokens": 12, "system": "Be short."}
        asked["extra_body"] = {"temperature": 0}
        whole = client.messages.create(**asked, messages=user("Name a colour."))
        with client.messages.stream(**asked, messages=user("Name a colour.")) as events:
            streamed = events.get_final_message()
    assert whole.content[0].type == "text"
    assert whole.content[0].text
    assert streamed.content[0].to_dict() == whole.content[0].to_dict()
    assert 0 < whole.usage.output_tokens <= 12


def test_a_schema_is_kept(gateway: LiveGateway) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "blue"]}},
        "required": ["colour"],
        "additionalProperties": False,
    }
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="any", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="small",
            messages=user("Red or blue?"),
            response_format={"type": "json_schema", "json_schema": {"name": "c", "schema": schema, "strict": True}},
        )
    assert "".join((answer.choices[0].message.content or "").split()) in ('{"colour":"red"}', '{"colour":"blue"}')
