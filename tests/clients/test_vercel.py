"""The AI SDK of Vercel (npm `ai`), whose three providers a script in `vercel/` points at the gateway."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import MODELS

FOLDER = Path(__file__).parent / "vercel"
CLIENTS = ["openai.chat", "openai.responses", "anthropic", "google"]
WHERE = "Where does the Rhine rise?"


@pytest.fixture(scope="session")
def answers(url: str) -> dict[tuple[str, str, str], dict[str, Any]]:
    """What the script printed, by client, model and attempt."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("node and npm are not installed: the AI SDK is not tested")
    if not (FOLDER / "node_modules/ai").exists():
        subprocess.run(["npm", "ci", "--no-fund", "--no-audit"], cwd=FOLDER, check=True, timeout=300)
    done = subprocess.run(
        ["node", "clients.mjs", url], cwd=FOLDER, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    return {(row["client"], row["model"], row["attempt"]): row for row in rows}


def said(answers: dict[tuple[str, str, str], dict[str, Any]], client: str, model: str, attempt: str) -> Any:
    row = answers[client, model, attempt]
    assert "error" not in row, row["error"]
    return row["said"]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_whole_and_stream_say_the_same(answers: Any, client: str, model: str) -> None:
    assert WHERE in said(answers, client, model, "whole")
    assert said(answers, client, model, "stream") == said(answers, client, model, "whole")


@pytest.mark.parametrize("attempt", ["tools", "streamed_tools"])
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_tools_there_and_back(answers: Any, client: str, model: str, attempt: str) -> None:
    assert "rain in Paris" in said(answers, client, model, attempt)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_answer_in_a_given_form(answers: Any, client: str, model: str) -> None:
    place = said(answers, client, model, "object")
    assert isinstance(place["name"], str)
    assert isinstance(place["people"], int)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("client", CLIENTS)
def test_an_image(answers: Any, client: str, model: str) -> None:
    assert "You sent 1 file" in said(answers, client, model, "image")


@pytest.mark.parametrize("client", CLIENTS)
def test_an_unknown_model(answers: Any, client: str) -> None:
    row = answers[client, "gptx", "unknown"]
    assert row["status"] == 404
    assert "no model called 'gptx'" in row["error"]
