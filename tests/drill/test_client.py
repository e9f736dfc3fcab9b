"""The client: what it says of answers of every kind."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest

from afterbay.drill.client import Told, ask, question
from afterbay.emulate.profile import Profile, ProfileFile, preset, read_profile
from afterbay.emulate.run import EmulatorProcess

PROFILES: dict[str, object] = {
    "any-well": {},
    "any-full": {"error_rate": 1, "error_statuses": [503]},
    "any-cut": {"cut_rate": 1, "cut_after": 2},
    "any-short": {"cut_rate": 1, "cut_after": 2, "cut_how": "eof"},
    "any-said": {"error_in_stream_rate": 1},
    "any-empty": {"empty_rate": 1},
    "any-odd": {"malformed_rate": 1},
    "any-late": {"hang_rate": 1},
    "any-gone": {"refuse_connections": True},
}

HEADERS = {"content-type": "application/json", "authorization": "Bearer any"}
VERSIONS = {"openai.chat": "/v1", "anthropic.messages": "", "gemini": ""}


@pytest.fixture(scope="module")
def answers() -> dict[str, Told]:
    """What a client says of each emulated provider; the emulator runs once."""

    async def ask_all() -> dict[str, Told]:
        profiles = ProfileFile(preset("instant"), {name: profile(one) for name, one in PROFILES.items()})
        async with EmulatorProcess(profiles) as emulator, aiohttp.ClientSession() as session:
            asked = {
                (name, dialect): question(f"{emulator.url}/{name}{version}", dialect, "", "m", HEADERS)
                for name in PROFILES
                for dialect, version in VERSIONS.items()
            }
            told = await asyncio.gather(*(ask(session, one, 0.0, 3.0) for one in asked.values()))
            return {f"{name} {dialect}": one for (name, dialect), one in zip(asked, told, strict=True)}

    return asyncio.run(ask_all())


def profile(fields: object) -> Profile:
    return read_profile({"preset": "instant", **fields})  # type: ignore[dict-item]


@pytest.mark.parametrize("dialect", VERSIONS)
def test_a_whole_answer_has_no_error_and_a_time_to_its_first_word(answers: dict[str, Told], dialect: str) -> None:
    seen = answers[f"any-well {dialect}"].seen
    assert seen.error == ""
    assert seen.ttft_s is not None
    assert 0 < seen.ttft_s <= seen.took_s


@pytest.mark.parametrize("dialect", VERSIONS)
@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("any-full", "503 "),
        ("any-cut", "the connection broke"),
        ("any-short", "the stream ended before"),
        ("any-said", "an error in the stream"),
        ("any-empty", "an empty answer"),
        ("any-odd", "the answer cannot be read"),
        ("any-late", "no whole answer within 3 s"),
        ("any-gone", "the connection broke"),
    ],
)
def test_what_is_no_whole_answer_is_named(answers: dict[str, Told], name: str, says: str, dialect: str) -> None:
    assert answers[f"{name} {dialect}"].seen.error.startswith(says)


def test_nobody_listening_is_no_connection() -> None:
    async def go() -> Told:
        async with aiohttp.ClientSession() as session:
            return await ask(session, question("http://127.0.0.1:9", "openai.chat", "", "m", HEADERS), 1.5, 3.0)

    seen = asyncio.run(go()).seen
    assert (seen.error, seen.at_s) == ("no connection", 1.5)
