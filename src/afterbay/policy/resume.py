"""How a broken answer is gone on with: which form of request fits this target, and what it says.

Forms, the safest first:

    again     nothing was said yet (white space, reasoning): asked as before, and the new answer is the answer
    prefill   the partial text is the last message, the model's own, and the target is known to go on at its very end
    replay    asked as before; the new answer is dropped while it is, character for character, what was sent already.
              For tool calls and answers in JSON, which no instruction continues safely, and where the same model
              draws nothing (temperature 0, a seed)
    instruct  the partial text as a turn of the model, then a turn that asks to repeat its end and to go on from there:
              the repetition is what shows that the seam is right
    step_back the same without the last word: the new answer must come through it by itself. For a model that, asked to
              repeat and go on, went on in the middle of a word, which is right or lacks a space, or said nothing,
              which is an end or a failure: nobody could tell

A new answer that does not fit (see `afterbay.wire.joint`) is never shown. None: no form is safe.
Sources for prefill are with `takes_prefill`.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal, TypeAlias

import msgspec

from afterbay.core.checkpoint import Checkpoint, Form
from afterbay.core.decision import Target
from afterbay.core.message import Message, Text
from afterbay.core.request import ChatRequest
from afterbay.policy.quantity import estimate_text

Mode: TypeAlias = Literal["off", "safe", "on"]

DOUBTFUL = "continuation_doubtful"
"""The code of the error that an attempt ends in whose answer does not go on with the old one."""

QUOTE_CHARS = 120
"""About as much of the end of the text is quoted, and is to be repeated."""

_LEAST_OUTPUT = 16
"""The smallest limit of output that every provider takes (OpenAI's Responses refuses less)."""

_NO_PREFILL_CLAUDE = re.compile(r"claude-(?:[a-z]+-)?(?:4[-.](?:[6-9]|\d\d)|[5-9]|\d\d)(?!\d)")
"""Claude 4.6 and every later model: 400 "This model does not support assistant message prefill. The conversation must
end with a user message." Source: Anthropic's migration guide; strands-agents#1694, agno#7015 (November 2026)."""

_PREFILL_VENDORS = frozenset({"mistral", "deepseek", "vllm", "sglang", "llamacpp"})
"""How each wants to be told, with the sources, is in `afterbay.wire.openai_chat.prefill`. DeepSeek has it on the
address that ends in /beta only. llama.cpp's own server does it unasked; the embedded engine does not."""


def takes_prefill(vendor: str, dialect: str, model: str, base_url: str = "") -> bool:
    """Whether this model at this provider is known to go on with an assistant message that is the last one.

    OpenAI's models answer it with a new message, and Gemini takes a trailing turn of the model without a promise: both
    count as unknown. So does Claude in a hosting of somebody else's protocol.
    """
    if dialect in ("anthropic.messages", "bedrock.converse"):
        name = model.rpartition("/")[2]
        known = "claude-" in name
        return known and _NO_PREFILL_CLAUDE.search(name) is None
    if dialect != "openai.chat" or vendor not in _PREFILL_VENDORS:
        return False
    return vendor != "deepseek" or base_url.rstrip("/").endswith("/beta")


_LAST_WORD = re.compile(r"\s*\S+\s*\Z")


class Wish(msgspec.Struct, frozen=True):
    """What of the request decides about a form. `is_readable`: it can be built anew for another target without loss."""

    is_readable: bool = True
    wants_json: bool = False
    draws_nothing: bool = False
    thinks: bool = False


def wish_of(request: ChatRequest) -> Wish:
    """The wish of a request that was read."""
    sampling, form = request.sampling, request.response_format
    return Wish(
        is_readable=not request.foreign,
        wants_json=form is not None and form.kind != "text",
        draws_nothing=sampling.temperature == 0 or sampling.seed is not None,
        thinks=request.reasoning is not None,
    )


def refusal(request: ChatRequest | None, checkpoint: Checkpoint) -> str:
    """Why an answer to this request cannot be gone on with whoever is asked; empty: it may be.

    Choices and log probabilities would have to be matched one by one, audio cannot be.
    """
    if checkpoint.odd:
        return checkpoint.odd
    if request is None:
        return ""
    sampling = request.sampling
    if (sampling.n or 1) > 1:
        return "it has several choices"
    if sampling.logprobs or sampling.top_logprobs:
        return "it has log probabilities"
    return "it may be audio" if any("audio" in name or name == "modalities" for name in request.foreign) else ""


def continuation(
    checkpoint: Checkpoint,
    wish: Wish,
    target: Target,
    first: Target,
    mode: Mode,
    tried: Collection[Form] = (),
) -> Form | None:
    """The form in which `target` is asked to go on with what `first` began; None: no safe one that was not tried."""
    return next((form for form in _forms(checkpoint, wish, target, first, mode) if form not in tried), None)


def _forms(checkpoint: Checkpoint, wish: Wish, target: Target, first: Target, mode: Mode) -> list[Form]:
    if mode == "off" or checkpoint.odd:
        return []
    if checkpoint.is_blank:
        return ["again"]
    if checkpoint.calls:
        return ["replay"]
    found: list[Form] = []
    if target.prefill and wish.is_readable and not wish.thinks:
        found.append("prefill")
    same = target.id == first.id or (target.name == first.name and target.maker == first.maker)
    if (same and wish.draws_nothing) or wish.wants_json or not wish.is_readable:
        found.append("replay")
    if wish.is_readable and (not wish.wants_json or mode == "on"):
        found += ("instruct", "step_back" if stem(checkpoint.text) else "replay")
    return list(dict.fromkeys(found))


class Forms:
    """The forms of one request: which one a target is asked in next. What was tried is forgotten when output comes."""

    def __init__(self, mode: Mode) -> None:
        self._mode = mode
        self._tried: set[tuple[str, Form]] = set()

    def of(
        self, checkpoint: Checkpoint, wish: Wish, target: Target, first: Target, *, refuses_prefill: bool = False
    ) -> Form | None:
        """See `continuation`. An answer that came to its end is not gone on with."""
        if checkpoint.finish is not None:
            return None
        tried = [form for name, form in self._tried if name == target.id]
        if refuses_prefill:
            tried.append("prefill")
        return continuation(checkpoint, wish, target, first, self._mode, tried)

    def asked(self, target: Target, form: Form) -> None:
        """A target is asked in a form."""
        self._tried.add((target.id, form))

    def begin(self) -> None:
        """Output goes out."""
        self._tried.clear()


def continued(request: ChatRequest, text: str, form: Form) -> ChatRequest:
    """The request in this form, after `text` was sent. `again` and `replay` ask as before.

    The limit of output is what is left of it by estimate. A form of answer that was asked for is not asked of a
    prefill: providers take one or the other; its schema goes with the question instead, and the end is checked.
    """
    if form in ("again", "replay"):
        return request
    shown = {"prefill": text.rstrip(), "step_back": stem(text)}.get(form, text)
    messages = (*_asked(request, form), Message("assistant", (Text(shown),)))
    if form != "prefill":
        messages = (*messages, Message("user", (Text(_instruction(quote(shown))),)))
    limit = request.sampling.max_output_tokens
    left = None if limit is None else max(_LEAST_OUTPUT, limit - estimate_text(text))
    sampling = msgspec.structs.replace(request.sampling, max_output_tokens=left)
    kept = request.response_format if form != "prefill" else None
    return msgspec.structs.replace(request, messages=messages, sampling=sampling, response_format=kept)


def _asked(request: ChatRequest, form: Form) -> tuple[Message, ...]:
    wanted = request.response_format
    if form != "prefill" or wanted is None or wanted.kind == "text":
        return request.messages
    told = "Answer with one JSON value and nothing else."
    if wanted.schema is not None:
        told += f" Its JSON Schema: {wanted.schema.decode('utf-8', 'replace')}"
    return (Message("system", (Text(told),)), *request.messages)


def stem(text: str) -> str:
    """The text without its last word; empty if it has one only."""
    return _LAST_WORD.sub("", text)


def quote(text: str) -> str:
    """The end of the text that the model is to repeat: whole words, about `QUOTE_CHARS` characters of them."""
    tail = text[-QUOTE_CHARS:]
    if len(tail) == len(text):
        return text.strip()
    begins = re.search(r"\s\S", tail[: QUOTE_CHARS // 2])
    return tail[begins.end() - 1 if begins else 0 :].strip()


def _instruction(end: str) -> str:
    return (
        "The connection broke while you were writing the message above: it stops in the middle, and its last "
        f"characters are between the marks here.\n<end>{end}</end>\n"
        "Go on with that message. Begin by repeating, character for character, what stands between the marks, and "
        "continue right behind it as if nothing had happened. Do not write the marks, do not comment on this, do not "
        "begin anew."
    )
