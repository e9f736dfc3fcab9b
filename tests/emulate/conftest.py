"""One emulator that answers at once, shared by the tests of a module; every test has providers of its own in it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from afterbay.emulate.profile import Profile
from emulate.support import Running, running_in_thread


@pytest.fixture(scope="module")
def shared_url() -> Iterator[tuple[str, Iterator[int]]]:
    """The URL of the module's emulator, and numbers for its tests."""
    with running_in_thread(Profile("instant")) as url:
        yield url, itertools.count()


@pytest.fixture
async def emulator(shared_url: tuple[str, Iterator[int]]) -> AsyncIterator[Running]:
    """Providers without delays and faults."""
    url, numbers = shared_url
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as http:
        yield Running(url, http, f"-{next(numbers)}")
