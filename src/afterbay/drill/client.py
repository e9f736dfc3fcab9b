"""A client over real sockets: asks for one stream, reads it to its end, and says how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
import msgspec

from afterbay.core.event import Event, Failed, TextDelta
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest
from afterbay.drill.reach import PROMPT
from afterbay.drill.report import Seen
from afterbay.wire.dialect import Dialect
from afterbay.wire.registry import DIALECTS
from afterbay.wire.sse import Splitter

CONNECT_S = 5.0


class Question(msgspec.Struct, frozen=True):
    """What is sent where. `dialect` is the protocol of the answer."""

    url: str
    body: bytes
    dialect: str
    headers: Mapping[str, str] = {}


class Told(msgspec.Struct, frozen=True):
    """What a client saw, and the gateway's id of its request, where it got one."""

    seen: Seen
    request_id: str = ""


def question(base_url: str, dialect: str, vendor: str, model: str, headers: Mapping[str, str]) -> Question:
    """The request of every client, for a model at an address, in a protocol."""
    request = ChatRequest(model, (Message("user", (Text(PROMPT),)),), stream=True, include_usage=True)
    built = DIALECTS[dialect].build_for(vendor, request, model)
    return Question(base_url + built.path, built.body, dialect, {**headers, **built.headers})


async def ask(session: aiohttp.ClientSession, what: Question, at_s: float, within_s: float) -> Told:
    """Asks, and reads the answer. `at_s` is when that is, in the run; `within_s` is how long the client waits."""
    loop = asyncio.get_running_loop()
    reading = _Reading(DIALECTS[what.dialect], loop.time())
    request_id, error = "", ""
    try:
        async with asyncio.timeout(within_s):
            async with session.post(what.url, data=what.body, headers=what.headers) as response:
                request_id = response.headers.get("x-request-id", "")
                if response.status != 200:
                    error = await _said(response, DIALECTS[what.dialect])
                else:
                    async for data in response.content.iter_any():
                        reading.feed(data, loop.time())
    except TimeoutError:
        error = f"no whole answer within {within_s:g} s"
    except aiohttp.ClientConnectorError:
        error = "no connection"
    except (aiohttp.ClientError, OSError):
        error = "the connection broke"
    except (ValueError, msgspec.DecodeError):
        error = "the answer cannot be read"
    took_s = loop.time() - reading.began_s
    return Told(Seen(at_s, took_s, error or reading.error, reading.ttft_s), request_id)


class _Reading:
    """An answer as it comes."""

    def __init__(self, dialect: Dialect, began_s: float) -> None:
        self.began_s = began_s
        self.ttft_s: float | None = None
        self._failed = ""
        self._parser = dialect.stream_parser("drill")
        self._splitter = Splitter()

    def feed(self, data: bytes, now_s: float) -> None:
        """More of it came."""
        events: list[Event] = []
        for name, text in self._splitter.feed(data)[1]:
            self._parser.push(name, text, events)
        for event in events:
            if isinstance(event, Failed):
                self._failed = f"an error in the stream: {event.error.code or event.error.kind}"
            elif isinstance(event, TextDelta) and event.text and self.ttft_s is None:
                self.ttft_s = now_s - self.began_s

    @property
    def error(self) -> str:
        """What is wrong with it, now that it has ended; empty: nothing."""
        if self._failed:
            return self._failed
        if not self._parser.is_complete:
            return "the stream ended before the answer did"
        return "" if self.ttft_s is not None else "an empty answer"


async def _said(response: aiohttp.ClientResponse, dialect: Dialect) -> str:
    """An error answer in few words."""
    body = await response.content.read(1 << 16)
    headers = {name.lower(): value for name, value in response.headers.items()}
    error = dialect.parse_error(response.status, headers, body)
    return f"{response.status} {error.code or error.kind}"
