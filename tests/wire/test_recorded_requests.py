"""Every recorded request, built for every protocol: the SDK's types have nothing against it, nor the references."""

from __future__ import annotations

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.wire.proofs import admitted
from afterbay.wire.registry import DIALECTS
from wire.golden.case import ANTHROPIC, BEDROCK, COHERE, GEMINI, MAKERS, OPENAI, RESPONSES
from wire.golden.sdk_types import complaints
from wire.golden.shapes import faults

SHARED = Path(os.environ.get("AFTERBAY_SHARED") or Path(__file__).parents[2] / ".." / "shared") / "data" / "wire"
MODELS = {
    OPENAI: "gpt-4o",
    RESPONSES: "gpt-4o",
    ANTHROPIC: "claude-opus-4-6",
    GEMINI: "gemini-2.5-flash",
    BEDROCK: "anthropic.claude-opus-4-6-v1:0",
    COHERE: "command-a-03-2025",
}

ELSEWHERE = {"previous_response_id", "prompt"}
"""Fields that bring turns which the body does not hold; only OpenAI, or a store, can tell what they are."""


def dialect_of(api: str) -> str | None:
    provider, endpoint = api.split(".")
    if endpoint == "chat" and provider != "cohere":  # its v2 is a protocol of its own
        return OPENAI
    if endpoint == "responses":
        return RESPONSES
    if api == "anthropic.messages":
        return ANTHROPIC
    return GEMINI if endpoint in ("generateContent", "streamGenerateContent") else None


@cache
def recorded() -> list[tuple[str, str, dict[str, Any]]]:
    """(id, dialect, body) of the requests that their provider took."""
    found = []
    for path in sorted(SHARED.glob("*.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            dialect = dialect_of(row["api"])
            body = row["request"]["body"]
            if dialect is not None and row["response"]["status"] == 200 and body is not None:
                names = {} if dialect == GEMINI else {"model": "alias"}  # Azure has the model in its path
                found.append((f"{path.stem} {row['id']}", dialect, names | body))
    return found


@pytest.mark.skipif(not SHARED.exists(), reason="AFTERBAY_SHARED names no recordings")
@pytest.mark.parametrize("target", DIALECTS)
def test_a_recorded_request_is_right_in_every_protocol(target: str) -> None:
    wrong, outcome = {}, Counter[str]()
    for name, source, body in recorded():
        try:
            request = DIALECTS[source].parse_request(json.dumps(body).encode(), "alias", None)
        except ClientMistake:
            outcome["refused"] += 1
            continue
        if set(request.foreign) & ELSEWHERE:
            outcome["context elsewhere"] += 1
            continue
        request, _ = admitted(request, source, MAKERS[target])
        sent = json.loads(DIALECTS[target].build_request(request, MODELS[target]).body)
        outcome["sent"] += 1
        against = [*complaints(target, sent), *faults(target, sent)]
        if against:
            wrong[name] = against
    assert wrong == {}
    assert outcome["sent"] > 600, outcome
    assert outcome["refused"] == 0, outcome
