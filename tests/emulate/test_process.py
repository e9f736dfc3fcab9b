"""The emulator as a child process."""

from __future__ import annotations

import asyncio
import os
import signal

import aiohttp
import pytest

from afterbay.emulate.profile import Profile, ProfileFile, preset
from afterbay.emulate.run import EmulatorProcess, listen, url_of
from emulate.support import Running


async def test_a_child_serves_its_profiles_and_stops() -> None:
    profiles = ProfileFile(Profile("instant"), {"openai-b": Profile(error_rate=1, error_statuses=(503,))})
    async with EmulatorProcess(profiles) as emulator, aiohttp.ClientSession() as http:
        assert emulator.base_url("openai-b") == f"{emulator.url}/openai-b/v1"
        assert emulator.base_url("gemini") == f"{emulator.url}/gemini"
        assert (await Running(emulator.url, http).outcome("Hi"))[0] == 200
        assert (await Running(emulator.url, http, "-b").outcome("Hi"))[0] == 503
        url = emulator.url
    async with aiohttp.ClientSession() as http:
        with pytest.raises(aiohttp.ClientConnectorError):
            await http.get(url)


async def test_a_child_stops_although_a_request_hangs() -> None:
    async with aiohttp.ClientSession() as http:
        async with EmulatorProcess(preset("instant")) as emulator:
            one = Running(emulator.url, http)
            asking = asyncio.create_task(one.outcome("[[hang]]"))
            await one.until(lambda stats: stats.get("open") == 1)
            process = emulator._process
        assert process is not None
        assert process.returncode == 0
        async with asyncio.timeout(3):
            status, _, _ = await asking
        assert status != 200


async def test_a_killed_child_is_no_trouble() -> None:
    async with EmulatorProcess(preset("instant")) as emulator:
        assert emulator._process is not None
        os.kill(emulator._process.pid, signal.SIGKILL)


def test_urls_of_both_families() -> None:
    with listen("127.0.0.1", 0) as opened:
        assert url_of(opened).startswith("http://127.0.0.1:")
    with pytest.raises(OSError, match=r"."), listen("192.0.2.1", 80):
        pass
