"""A chat model in this process: llama.cpp by the `xllamacpp` wheel, its blocking calls in threads, tokens as they come.

What was found by running the pinned version (2026.10.11549):
- A call blocks until the answer is complete and hands chunks, as dicts, to a callback; the callback's True ends it.
- `return_progress` calls back after each batch of the prompt too, so that a long prompt can be cancelled; the batch
  is small for that reason.
- An over-long prompt and a bad grammar come back as a dict with `error`; a bad schema as a ValueError.
- The engine opens an HTTP server of its own on loopback. It is not used, and locked with a random key.
- Its prompt cache in host memory holds 8 GiB by default: switched off here.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeAlias

import msgspec

from afterbay.core.errors import Capacity, GatewayError, Internal
from afterbay.local.body import refuse
from afterbay.local.channel import Channel
from afterbay.local.prompt import CHATML

Chunk: TypeAlias = dict[str, Any]

UNDERWAY = 64
"""Chunks between the engine's thread and the event loop; then the thread waits."""

BATCH_TOKENS = 64
"""Prompt tokens read at once, which is the longest time between two looks at whether the client is still there.
Measured on the 0.5B model: 64 reads 3 % slower than 512."""

MOST_THREADS = 8
"""Models of this size gain nothing from more."""


class EngineLimits(msgspec.Struct, frozen=True):
    """`slots`: answers at once, each with `slot_tokens` of context. `waiting`: more requests than this are refused.
    `wait_s`: the longest wait for a slot; `chunk_s`: for the next chunk, the reading of a long prompt included."""

    slots: int = 4
    slot_tokens: int = 4096
    waiting: int = 32
    threads: int = 0
    wait_s: float = 300.0
    chunk_s: float = 300.0

    def used_threads(self) -> int:
        """`threads`, or all cores but one, at most MOST_THREADS: the engine's threads spin at barriers, so one that has
        no core of its own holds up all the others, and several models may be loaded."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.threads or min(MOST_THREADS, max(1, cores - 1))


class Server(Protocol):
    """What is used of `xllamacpp.Server`."""

    def handle_chat_completions(self, request: Chunk, callback: Callable[[Chunk], bool]) -> None:
        """Blocks until the answer is complete; the callback gets each chunk, its True ends the answer."""


def load(path: str, limits: EngineLimits) -> Server:
    """Loads a model. Blocks for seconds."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = path
    params.n_parallel, params.n_ctx = limits.slots, limits.slots * limits.slot_tokens
    params.n_batch = params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = limits.used_threads()
    params.verbosity, params.cache_ram_mib, params.n_ctx_checkpoints = 0, 0, 0
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0  # half the memory, 4 % slower
    params.chat_template, params.prefill_assistant = CHATML, False
    params.force_pure_content_parser = True  # calls are parsed here, not there
    params.api_keys, params.ui, params.endpoint_slots = [secrets.token_urlsafe(32)], False, False
    server: Server = xllamacpp.Server(params)
    return server


class ChatEngine:
    """One loaded model with its slots."""

    def __init__(self, server: Server, limits: EngineLimits) -> None:
        self.limits = limits
        self.busy = self.waiting = 0
        self._server = server
        self._threads = ThreadPoolExecutor(limits.slots, thread_name_prefix="engine")
        self._free = asyncio.Semaphore(limits.slots)

    async def chunks(self, request: Chunk) -> AsyncGenerator[Chunk, None]:
        """Chunks of one answer, from the first on. Closing the iterator ends the generation.

        Raises Capacity when too many wait, ClientMistake for what the engine refuses.
        """
        await self._enter()
        channel: Channel[Chunk] = Channel(UNDERWAY)
        work = asyncio.get_running_loop().run_in_executor(self._threads, self._run, request, channel)
        work.add_done_callback(self._leave)
        try:
            while (chunk := await self._next(channel)) is not None:
                if "error" in chunk:
                    raise _refusal(chunk["error"])
                yield chunk
        except TimeoutError:
            raise Internal(f"The local model gave nothing for {self.limits.chunk_s:g} s.") from None
        finally:
            channel.close()

    async def _next(self, channel: Channel[Chunk]) -> Chunk | None:
        async with asyncio.timeout(self.limits.chunk_s):
            return await channel.get()

    async def _enter(self) -> None:
        """Takes a slot, or a place in the queue."""
        if self._free.locked() and self.waiting >= self.limits.waiting:
            raise Capacity(
                f"{self.busy} answers are being written and {self.waiting} requests wait: the local model is full.",
                code="queue_full",
                retry_after_s=1.0 + self.waiting / self.limits.slots,
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(self.limits.wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Capacity(
                f"No slot of the local model became free in {self.limits.wait_s:g} s.",
                code="queue_full",
                retry_after_s=5.0,
            ) from None
        finally:
            self.waiting -= 1
        self.busy += 1

    def _leave(self, work: asyncio.Future[None]) -> None:
        """The engine's thread is done, whether or not someone still reads."""
        self.busy -= 1
        self._free.release()
        if not work.cancelled():
            work.exception()  # read here, so that an answer nobody waits for leaves no complaint behind

    def _run(self, request: Chunk, channel: Channel[Chunk]) -> None:
        """In a thread: one blocking call."""
        try:
            self._server.handle_chat_completions(request, channel.put)
        except ValueError as error:  # a schema or grammar that the engine cannot use
            channel.put({"error": {"code": 400, "message": str(error), "type": "invalid_request_error"}})
        except Exception as error:  # whatever the binding raises: the waiting request must hear of it
            channel.put({"error": {"code": 500, "message": f"{type(error).__name__}: {error}"}})
        finally:
            channel.end()


def _refusal(error: Any) -> GatewayError:
    """The engine's error in our words."""
    fields = error if isinstance(error, dict) else {"message": str(error)}
    message = str(fields.get("message", "the engine refused the request"))
    if fields.get("type") == "exceed_context_size_error":
        have, window = fields.get("n_prompt_tokens"), fields.get("n_ctx")
        text = f"This model's maximum context length is {window} tokens; the messages have {have}."
        return refuse(text, "messages", "context_length_exceeded")
    if "grammar" in message or "schema" in message:
        return refuse(
            f"The engine cannot hold an answer to this schema: {message}", "response_format", "invalid_schema"
        )
    if fields.get("code") == 400:
        return refuse(message)
    return Internal(f"The local model failed: {message}")
