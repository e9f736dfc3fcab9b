"""The dear side of the run, played on loopback: a strong model and a judge that speak OpenAI's chat completions.

The strong model knows the right answer and gives a wrong one now and then, as often as strong models do on such
questions. The judge compares answers with the right one. Both tell as many tokens as their texts have.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Sequence

from aiohttp import web
from benchmarks.savings.questions import Question, is_right

STRONG_IS_WRONG = 0.02
_CHARS_PER_TOKEN = 4


class Company:
    """Serves on a port of its own until it is closed."""

    def __init__(self, known: Sequence[Question]) -> None:
        self._known = {one.prompt: one for one in known}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Begins to listen."""
        app = web.Application()
        app.router.add_post("/v1/chat/completions", self._chat)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def close(self) -> None:
        """Ends it."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        text = body["messages"][-1]["content"]
        said = self._judged(text) if body["model"] == "judge" else self._answered(text)
        await asyncio.sleep(0.02)
        usage = {"prompt_tokens": _tokens(text), "completion_tokens": _tokens(said)}
        usage["total_tokens"] = sum(usage.values())
        message = {"role": "assistant", "content": said}
        return web.json_response(
            {
                "id": "chatcmpl-played",
                "object": "chat.completion",
                "created": 0,
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
                "usage": usage,
            }
        )

    def _answered(self, prompt: str) -> str:
        question = self._known[prompt]
        drawn = zlib.crc32(prompt.encode()) % 1000 / 1000
        return "I am not sure." if drawn < STRONG_IS_WRONG else question.answer

    def _judged(self, text: str) -> str:
        question = next(one for prompt, one in self._known.items() if prompt in text)
        first, second = text.split("<answer_a>")[1].split("</answer_a>")[0], text.split("<answer_b>")[1]
        rights = is_right(question, first), is_right(question, second)
        return json.dumps({"better": "tie" if rights[0] == rights[1] else "A" if rights[0] else "B"})


def _tokens(text: str) -> int:
    return max(len(text) // _CHARS_PER_TOKEN, 1)
