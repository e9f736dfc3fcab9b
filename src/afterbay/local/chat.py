"""One chat request on a local model: OpenAI's body in, OpenAI's chunks or whole answer out, tool calls included.

What really works (two tools with one argument, temperature 0; right name and arguments of 10 questions that need one,
no call of 5 that need none):
- `required` or a name: a grammar forces the call, so it always has the form of the tool's schema. All models: 10 of 10
  right. The grammar always makes a call, whether one fits or not.
- `auto`: Qwen2.5-Coder 1.5B 10 of 10 and 5 of 5; 0.5B 10 of 10 but 3 of 5 (it calls a weather tool when greeted), as
  bare JSON or in a code fence; SmolLM2 0 of 10: it never calls, it answers in text.
- Two calls in one answer: only the 1.5B makes them.
- Results of tools in the history are read and used by all.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec

from afterbay.core.json_schema import compile_schema
from afterbay.local import grammar, prompt
from afterbay.local.body import ChatBody, ChosenBody, messages, refuse, tool_specs
from afterbay.local.catalog import LocalModel
from afterbay.local.llama import ChatEngine, Chunk
from afterbay.local.toolcalls import CallOpened, CallPiece, Forced, Loose, Piece, Plain, TextPiece

_SAMPLING = ("temperature", "top_p", "top_k", "min_p", "repeat_penalty", "presence_penalty", "frequency_penalty")


def new_call_id() -> str:
    """An id for a call, unique for all purposes."""
    return f"call_{secrets.token_hex(12)}"


def engine_request(body: ChatBody, model: LocalModel) -> Chunk:
    """The request for the engine: rendered messages, sampling, and the grammar where the form is given."""
    tools = () if body.tool_choice == "none" else tool_specs(body)
    request: Chunk = {
        "messages": prompt.render(messages(body), tools, model.system),
        "stream": True,
        "stream_options": {"include_usage": True},
        "return_progress": True,  # so that a client that leaves while its prompt is read is noticed
        "timings_per_token": True,  # carries the counts when we stop before the engine's last chunk
    }
    for name in _SAMPLING:
        if (value := getattr(body, name)) is None:
            value = getattr(model, name, None)
        if value is not None:
            request[name] = value
    if body.seed is not None:
        request["seed"] = body.seed & 0xFFFFFFFF
    if body.stop:
        request["stop"] = [body.stop] if isinstance(body.stop, str) else body.stop
    if (most := body.most_tokens() or model.answer_tokens) is not None:
        request["max_tokens"] = most
    if body.logprobs:
        request["logprobs"], request["top_logprobs"] = True, body.top_logprobs or 0
    if text := _grammar(body, model):
        request["grammar"] = text
    return request


def _grammar(body: ChatBody, model: LocalModel) -> str | None:
    wanted, form = None, body.response_format
    if form and form.type == "json_object":
        wanted = {"type": "object"}
    elif form and form.type == "json_schema" and form.json_schema:
        wanted = form.json_schema.schema
    offered = [(tool.function.name, tool.function.parameters or {"properties": {}}) for tool in body.tools or ()]
    most = 1 if body.parallel_tool_calls is False else model.forced_calls
    if body.tool_choice == "required":
        return grammar.calls(offered, most)
    if isinstance(body.tool_choice, ChosenBody):
        return grammar.calls([tool for tool in offered if tool[0] == body.tool_choice.function.name], most)
    if wanted is not None and offered and body.tool_choice != "none":
        return grammar.calls(offered, most, otherwise=wanted)
    return grammar.answer(wanted) if wanted is not None else None


def parser_for(body: ChatBody) -> Plain | Forced | Loose:
    """Who reads the calls out of the answer's text."""
    if not body.tools or body.tool_choice == "none":
        return Plain()
    if body.tool_choice in (None, "auto"):
        names = [tool.function.name for tool in body.tools]
        return Loose(names, new_call_id, most=1 if body.parallel_tool_calls is False else 16)
    return Forced(new_call_id)


class Answer:
    """Turns the engine's chunks into OpenAI's chunks for one request."""

    def __init__(self, body: ChatBody, model: LocalModel) -> None:
        self._parser, self._local, self._model, self._body = parser_for(body), model, model.id, body
        self.id, self.created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
        self.usage: dict[str, Any] = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        self.finish = "stop"
        self._text = list[str]()  # at most what the slot's context holds

    async def chunks(self, engine: ChatEngine) -> AsyncGenerator[Chunk, None]:
        """OpenAI's chunks; the first one comes as soon as the engine has taken the request."""
        request, early = engine_request(self._body, self._local), list[Chunk]()
        held_to_form, started = "grammar" in request, False
        async with aclosing(engine.chunks(request)) as source:
            async for chunk in source:
                early += self._read(chunk)
                if held_to_form and not self._begins_well():
                    continue  # a refusal must come before the answer's first byte
                if not started:
                    started = True
                    yield self._chunk({"role": "assistant", "content": ""})
                for out in early:
                    yield out
                early.clear()
                if self._parser.done:  # the calls are complete: what the model would add is a guess of their results
                    break
        if not started:  # nothing came that could have been wrong
            yield self._chunk({"role": "assistant", "content": ""})
        self._check_schema()
        for piece in self._parser.close():
            yield self._delta(piece)
        called = self._parser.calls and self.finish != "length"  # a call cut off by the limit is not complete
        yield self._chunk({}, "tool_calls" if called else self.finish)
        if self._body.stream_options and self._body.stream_options.include_usage:
            yield {**self._frame(), "choices": [], "usage": self.usage}

    def _read(self, chunk: Chunk) -> list[Chunk]:
        """One chunk of the engine; its counts are noted."""
        self._count(chunk)
        out = list[Chunk]()
        for choice in chunk.get("choices", ()):
            text = choice.get("delta", {}).get("content") or ""
            self._text.append(text)
            made = [self._delta(piece) for piece in self._parser.feed(text)]
            if choice.get("logprobs"):
                made = made or [self._chunk({"content": ""})]
                made[0]["choices"][0]["logprobs"] = choice["logprobs"]
            out += made
            self.finish = choice.get("finish_reason") or self.finish
        return out

    def _begins_well(self) -> bool:
        """Whether the answer has begun, and as its grammar says. The engine drops a grammar that it cannot use without
        a word; a free answer betrays that by its first character."""
        begin = "".join(self._text[:64]).lstrip()[:1]
        if not begin:
            return False
        form = self._body.response_format
        schema = form.json_schema.schema if form and form.json_schema else {"type": "object"}
        if begin not in ("{" if schema.get("type") == "object" else '{["-0123456789tfn'):
            raise refuse("The engine cannot hold an answer to this schema.", "response_format", "invalid_schema")
        return True

    def _check_schema(self) -> None:
        """A complete answer to a strict schema is checked: the grammar passes over some keywords."""
        form = self._body.response_format
        if (
            not form
            or not form.json_schema
            or not form.json_schema.strict
            or self._parser.calls
            or self.finish != "stop"
        ):
            return
        try:
            compile_schema(form.json_schema.schema).validate(msgspec.json.decode("".join(self._text)))
        except (ValueError, msgspec.DecodeError) as error:
            why = str(error).splitlines()[0]
            text = f"The answer does not keep to the schema ({why}): the engine's grammar passes over some keywords."
            raise refuse(text, "response_format", "schema_not_kept") from None

    def _count(self, chunk: Chunk) -> None:
        if usage := chunk.get("usage"):
            self.usage = usage
        elif timings := chunk.get("timings"):
            cached, read, wrote = timings["cache_n"], timings["prompt_n"], timings["predicted_n"]
            self.usage = {
                "prompt_tokens": cached + read,
                "completion_tokens": wrote,
                "total_tokens": cached + read + wrote,
                "prompt_tokens_details": {"cached_tokens": cached},
            }

    def _delta(self, piece: Piece) -> Chunk:
        match piece:
            case TextPiece(text):
                return self._chunk({"content": text})
            case CallOpened(index, id, name):
                call = {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
                return self._chunk({"tool_calls": [call]})
            case CallPiece(index, arguments):
                return self._chunk({"tool_calls": [{"index": index, "function": {"arguments": arguments}}]})

    def _frame(self) -> Chunk:
        return {"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self._model}

    def _chunk(self, delta: Chunk, finish: str | None = None) -> Chunk:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = {**self._frame(), "choices": [choice]}
        if self._body.stream_options and self._body.stream_options.include_usage:
            chunk["usage"] = None
        return chunk

    async def whole(self, engine: ChatEngine) -> Chunk:
        """The whole answer, folded from the same chunks."""
        text, calls, logprobs = list[str](), list[dict[str, Any]](), list[Any]()
        finish = "stop"
        async with aclosing(self.chunks(engine)) as chunks:
            async for chunk in chunks:
                for choice in chunk["choices"]:
                    delta, finish = choice["delta"], choice["finish_reason"] or finish
                    text.append(delta.get("content") or "")
                    logprobs += (choice["logprobs"] or {}).get("content") or ()
                    for call in delta.get("tool_calls", ()):
                        if "id" in call:
                            calls.append({"id": call["id"], "type": "function", "function": dict(call["function"])})
                        else:
                            calls[call["index"]]["function"]["arguments"] += call["function"]["arguments"]
        message: dict[str, Any] = {"role": "assistant", "content": "".join(text), "refusal": None}
        if calls:
            message.update(tool_calls=calls, content="".join(text) or None)
        choice = {"index": 0, "message": message, "finish_reason": finish}
        choice["logprobs"] = {"content": logprobs, "refusal": None} if self._body.logprobs else None
        return {**self._frame(), "object": "chat.completion", "choices": [choice], "usage": self.usage}
