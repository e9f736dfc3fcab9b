"""The provider of a run: it speaks chat completions, and writes down what it served, which is what was really spent.

python -m tenants.provider LINES

A line before the first token, a line after the last one that was written or could be: a request whose connection broke
cost what was made of its answer up to then. Tokens of a prompt are counted by a rule of its own, up to a seventh more
or less than the gateway's estimate, as real ones are; a token of the answer is a word.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import re
import sys
import time
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiohttp import web

WORDS = (" the", " of", " water", " and", " in", " flows", " is", " that", " low", " for", " mill", " was")
CHUNK = 8
"""Words in one event of a stream."""
DEFAULT_TOKENS = 120
_ORDER = re.compile(r"request (\d+) wait (\d+) tokens (\d+) gap (\d+)")


class Served(msgspec.Struct):
    """A line. `began` has the input, `ended` the output; `told`: whether the answer went out whole, with its usage."""

    what: Literal["began", "ended"]
    number: int
    at_s: float
    input: int = 0
    output: int = 0
    told: bool = False


class Provider:
    """Answers, and notes."""

    def __init__(self, lines: Path) -> None:
        self._file = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """One answer."""
        body = msgspec.json.decode(await request.read())
        text = "".join(_text(message["content"]) for message in body["messages"])
        found = _ORDER.search(text)
        assert found is not None, text[:100]
        number, wait_ms, wanted, gap_ms = map(int, found.groups())
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        output = wanted if most is None else min(wanted, most)
        served = Served("began", number, time.monotonic(), input=prompt_tokens(number, text))
        self._note(served)
        served.what = "ended"
        words = random.Random(number).choices(WORDS, k=output)
        try:
            await asyncio.sleep(wait_ms / 1e3)
            if body.get("stream"):
                response = web.StreamResponse(headers={"content-type": "text/event-stream"})
                with contextlib.suppress(ConnectionError):  # the gateway has left
                    await self._stream(response, request, body, served, words, gap_ms)
                return response
            for _ in range(0, output, CHUNK):
                served.output = min(output, served.output + CHUNK)
                await asyncio.sleep(gap_ms / 1e3)
            served.told = True
            choice = {"index": 0, "finish_reason": _finish(output, most), "message": _message("".join(words))}
            return web.json_response(_head(number) | {"choices": [choice], "usage": _usage(served)})
        finally:
            served.at_s = time.monotonic()
            self._note(served)

    async def _stream(
        self,
        response: web.StreamResponse,
        request: web.Request,
        body: Any,
        served: Served,
        words: list[str],
        gap_ms: int,
    ) -> None:
        await response.prepare(request)
        for place in range(0, len(words), CHUNK):
            piece = words[place : place + CHUNK]
            await response.write(_event(served.number, {"delta": _message("".join(piece)), "finish_reason": None}))
            served.output += len(piece)
            await asyncio.sleep(gap_ms / 1e3)
        most = body.get("max_completion_tokens", body.get("max_tokens"))
        await response.write(_event(served.number, {"delta": {}, "finish_reason": _finish(len(words), most)}))
        if body.get("stream_options", {}).get("include_usage"):
            last = _head(served.number) | {"choices": [], "usage": _usage(served)}
            await response.write(b"data: " + msgspec.json.encode(last) + b"\n\n")
            served.told = True
        await response.write(b"data: [DONE]\n\n")
        await response.write_eof()

    def _note(self, served: Served) -> None:
        os.write(self._file, msgspec.json.encode(served) + b"\n")


def prompt_tokens(number: int, text: str) -> int:
    """What the provider counts a prompt as."""
    return int(len(text) / 3.7 * random.Random(number).uniform(0.86, 1.14)) + 1


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


def _head(number: int) -> dict[str, Any]:
    return {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": "model"}


def _message(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def _finish(tokens: int, most: int | None) -> str:
    return "length" if most is not None and tokens >= most else "stop"


def _usage(served: Served) -> dict[str, int]:
    total = served.input + served.output
    return {"prompt_tokens": served.input, "completion_tokens": served.output, "total_tokens": total}


def _event(number: int, choice: dict[str, Any]) -> bytes:
    chunk = _head(number) | {"object": "chat.completion.chunk", "choices": [{"index": 0, **choice}]}
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


async def serve(lines: Path) -> None:
    """Serves until the standard input ends; says its address first."""
    app = web.Application(client_max_size=1 << 22)
    app.router.add_post("/v1/chat/completions", Provider(lines).answer)
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, backlog=2048)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    await asyncio.to_thread(sys.stdin.buffer.read)
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1])))
