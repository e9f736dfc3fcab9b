"""The answer of an emulated model, as canonical events: pure, and the same for the same request.

The text depends on the conversation alone, not on model or provider, and continues an assistant message at the end of
it: a stream that broke at one emulated provider can be resumed at another, and the parts fit. A user message behind it
that quotes its end, as who asks to go on from there does, is answered with that quotation and the rest. What it does:

- quotes the prompt and says a few more sentences; with a model whose name holds `echo`, gives the prompt back;
- after a tool's result, a text that uses it; calls tools that must be called, that the prompt mentions by name, or that
  `[[call NAME]]` orders, with arguments that are valid for their schema;
- an instance of the schema where one is asked for; `{"answer": ...}` for a JSON object;
- reasoning first where it is asked for, or with a model whose name holds `think`;
- stops at stop sequences and at the limit of output tokens, counted as in `words`.

It does not do logprobs, built-in tools, sampling: such fields are named in `Answered.ignored`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from hashlib import blake2b

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.event import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    ReasoningSignature,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    UsageSeen,
)
from afterbay.core.message import Document, Image, Message, Text, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, ToolSpec
from afterbay.core.usage import Usage
from afterbay.emulate.directives import Orders, without_orders
from afterbay.emulate.instance import instance
from afterbay.emulate.words import argument_pieces, count_request, pieces

CHOICES = 8
"""More alternatives are refused."""

_HELD = ("thread", "previous_response_id", "conversation")
"""Fields that name a conversation at the provider."""

_QUOTED_PIECES = 12
_QUOTED_AT_MOST = 1000
_QUOTED_CHARS = 8
"""So much of a message's end in the next one is no accident."""
_SENTENCES = (
    "This answer comes from an emulated model.",
    "Its words follow from yours, so the same question gets the same answer.",
    "Water that passes the turbines rests in the afterbay before it flows on.",
    "Nothing here was looked up or thought through.",
    "A steady stream is made of uneven ones.",
    "Whoever counts the words will find as many as the usage says.",
    "The next sentence is chosen by a hash of the prompt.",
)


class Answered(msgspec.Struct, frozen=True):
    """An answer. `pieces` are its outputs, each the events of one token; `tail` ends every choice and gives the usage;
    `ignored` names fields of the request that an emulator cannot honour."""

    started: Started
    pieces: list[list[Event]]
    tail: list[Event]
    input_tokens: int
    ignored: tuple[str, ...] = ()

    def events(self) -> list[Event]:
        """All of it in order."""
        return [self.started, *(event for piece in self.pieces for event in piece), *self.tail]


def answer(request: ChatRequest, orders: Orders, seed: str, call_prefix: str = "call_") -> Answered:
    """Answers a request. `seed` is unique per answer, ids are made of it.

    Raises:
        ClientMistake: a tool or schema that is not there or cannot be used, too many choices, a held conversation.
    """
    for name in _HELD:
        if name in request.foreign:  # to leave it out would lose all that is not in this request
            raise ClientMistake("The emulator holds no conversations.", param=name, code="unsupported_field")
    choices = request.sampling.n or 1
    if choices > CHOICES:
        raise ClientMistake(f"The emulator gives at most {CHOICES} choices.", param="n", code="too_many_choices")
    input_tokens = count_request(request)
    said: list[list[Event]] = []
    tail: list[Event] = []
    thought = written = 0
    for choice in range(0 if orders.plan.empty or orders.plan.filtered else choices):
        outputs, finished = _limit(_choice(request, orders, f"{seed}{choice}", call_prefix, choice), request, choice)
        thought += sum(output.thought for output in outputs)
        said += [output.events for output in outputs if output.events]
        tail.append(finished)
        written += len(outputs)
    if not tail:
        tail.append(Finished("content_filter" if orders.plan.filtered else "stop"))
    if not orders.plan.no_usage:
        tail.append(UsageSeen(Usage(input_tokens, output_tokens=written - thought, reasoning_tokens=thought)))
    ignored = request.foreign + (("logprobs",) if request.sampling.logprobs else ())
    return Answered(Started(seed, orders.plan.model or request.model), said, tail, input_tokens, ignored)


class _Output(msgspec.Struct):
    """One token: its events (none, where it is hidden reasoning)."""

    events: list[Event]
    thought: bool = False
    finish: FinishReason = "stop"
    stop_sequence: str | None = None


def _limit(outputs: Iterator[_Output], request: ChatRequest, choice: int) -> tuple[list[_Output], Finished]:
    """As many outputs as the request allows, and why they end."""
    limit = request.sampling.max_output_tokens
    kept: list[_Output] = []
    for output in outputs:
        if limit is not None and len(kept) >= limit:
            return kept, Finished("length", choice=choice)
        kept.append(output)
    last = kept[-1] if kept else _Output([])
    return kept, Finished(last.finish, last.stop_sequence, choice)


def _choice(request: ChatRequest, orders: Orders, seed: str, prefix: str, choice: int) -> Iterator[_Output]:
    yield from _reason(request, seed, choice)
    calls = tools_to_call(request, orders)
    if not calls:
        text, stop = _stopped(_continue(request, _text(request, orders, choice)), request.sampling.stop)
        outputs = [_Output([TextDelta(piece, choice)]) for piece in pieces(text)]
        if stop is not None:
            outputs = outputs or [_Output([])]
            outputs[-1].finish, outputs[-1].stop_sequence = "stop_sequence", stop
        yield from outputs
        return
    for number, tool in enumerate(calls):
        arguments = instance(tool.schema, _topic(_prompt(request)), f"tools.{tool.name}")
        written = msgspec.json.encode(arguments).decode()
        events: list[Event] = [ToolCallStarted(number, f"{prefix}{seed}{number}", tool.name, choice=choice)]
        for piece in argument_pieces(written):
            yield _Output([*events, ToolCallDelta(number, piece, choice)], finish="tool_calls")
            events = []


def _reason(request: ChatRequest, seed: str, choice: int) -> Iterator[_Output]:
    asked = request.reasoning
    is_asked = asked is not None and asked.effort != "none" and asked.budget_tokens != 0
    if not is_asked and "think" not in request.model:
        return
    is_hidden = asked is not None and asked.show is False
    thoughts = pieces(f"The prompt is about {_topic(_prompt(request))}. A short answer will do.")
    for piece in thoughts[:-1]:
        yield _Output([] if is_hidden else [ReasoningDelta(piece, choice)], thought=True)
    proof = base64.b64encode(f"emulated {seed}".encode()).decode()
    last: list[Event] = [ReasoningDelta(thoughts[-1], choice), ReasoningSignature(proof, choice=choice)]
    yield _Output([] if is_hidden else last, thought=True)


def tools_to_call(request: ChatRequest, orders: Orders) -> list[ToolSpec]:
    """The tools that this answer calls.

    Raises:
        ClientMistake: one must be called and is not there.
    """
    by_name = {tool.name: tool for tool in request.tools}
    choice = request.tool_choice
    mode = choice.mode if choice is not None else "auto"
    names: list[str] = []
    if mode == "none":
        return []
    if mode == "tool" and choice is not None:
        names = [choice.name or ""]
    elif not _ends_with_result(request):
        prompt = without_orders(_prompt(request))
        names = list(orders.calls) or [name for name in by_name if re.search(rf"\b{re.escape(name)}\b", prompt)]
    if mode == "required" and not names:
        names = [*by_name][:1] or [""]
    for name in names:
        if name not in by_name:
            raise ClientMistake(f"There is no tool '{name}' among the tools.", param="tools", code="unknown_tool")
    if request.parallel_tool_calls is False:
        names = names[:1]
    return [by_name[name] for name in names]


def _text(request: ChatRequest, orders: Orders, choice: int) -> str:
    form, prompt = request.response_format, _prompt(request)
    if form is not None and form.kind == "json_schema" and form.schema is not None:
        return msgspec.json.encode(instance(form.schema, _topic(prompt), "response_format")).decode()
    text = _plain_text(request, orders, choice)
    length = orders.plan.output_tokens
    if length is not None:
        text = "".join(_stretched(text, length))
    if form is not None and form.kind == "json_object":
        return msgspec.json.encode({"answer": text}).decode()
    return text


def _plain_text(request: ChatRequest, orders: Orders, choice: int) -> str:
    prompt = without_orders(_prompt(request))
    if orders.say is not None:
        return orders.say
    if _ends_with_result(request):
        return _about_results(request)
    if "echo" in request.model:
        return prompt
    quoted = "".join(pieces(prompt)[:_QUOTED_PIECES]).strip()
    said = [f'You asked: "{quoted}".'] if quoted else ["You asked nothing."]
    media = [part for part in _last_user(request).parts if isinstance(part, Image | Document)]
    if media:
        said.append(f"You sent {len(media)} {'file' if len(media) == 1 else 'files'} with it.")
    at = blake2b(f"{choice}/{prompt}".encode(), digest_size=2).digest()
    said += [_SENTENCES[(at[0] + step * (1 + at[1] % 5)) % len(_SENTENCES)] for step in range(3)]
    return " ".join(said)


def _about_results(request: ChatRequest) -> str:
    names = {part.id: part.name for message in request.messages for part in message.parts if isinstance(part, ToolUse)}
    said = []
    for message in _trailing_results(request):
        for part in message.parts:
            if isinstance(part, ToolResult):
                text = "".join(one.text for one in part.parts if isinstance(one, Text)) or "something without words"
                verb = "failed with" if part.is_error else "says"
                said.append(f"The tool {part.name or names.get(part.id, part.id)} {verb}: {text}")
    return "\n".join(said)


def _stretched(text: str, length: int) -> list[str]:
    said = pieces(text)
    more = pieces(" " + " ".join(_SENTENCES))
    while len(said) < length:
        said += more
    return said[:length]


def _continue(request: ChatRequest, text: str) -> str:
    """What follows where the conversation ends with the beginning of the answer, or asks to go on with one."""
    broken = _broken_off(request)
    if broken is not None:
        begun = broken[1]
        return begun[-broken[2] :] + text.removeprefix(begun) if text.startswith(begun) else text
    last = request.messages[-1]
    return text.removeprefix(last.text()) if last.role == "assistant" else text


def _stopped(text: str, stops: tuple[str, ...]) -> tuple[str, str | None]:
    """The text up to the first stop sequence, and which it was."""
    found = [(text.find(stop), stop) for stop in stops if stop and stop in text]
    if not found:
        return text, None
    at, stop = min(found)
    return text[:at], stop


def _last_user(request: ChatRequest) -> Message:
    for message in reversed(request.messages):
        if message.role == "user":
            return message
    return Message("user", ())


def _prompt(request: ChatRequest) -> str:
    broken = _broken_off(request)
    return broken[0] if broken is not None else _last_user(request).text()


def _broken_off(request: ChatRequest) -> tuple[str, str, int] | None:
    """The question, the beginning of its answer and how many characters of its end are quoted, where the last message
    asks to go on with that; None: it does not."""
    roles = [message.role for message in request.messages[-3:]]
    if roles != ["user", "assistant", "user"]:
        return None
    question, begun, wish = (message.text() for message in request.messages[-3:])
    longest = next((size for size in range(min(len(begun), _QUOTED_AT_MOST), 0, -1) if begun[-size:] in wish), 0)
    return (question, begun, longest) if longest >= min(_QUOTED_CHARS, len(begun)) and begun else None


def prompt_of(request: ChatRequest) -> str:
    """The text of the last user message, where directives stand."""
    return _prompt(request)


def _trailing_results(request: ChatRequest) -> list[Message]:
    """The messages at the end that bring tool results."""
    found: list[Message] = []
    for message in reversed(request.messages):
        if not any(isinstance(part, ToolResult) for part in message.parts):
            break
        found.append(message)
    return found[::-1]


def _ends_with_result(request: ChatRequest) -> bool:
    return bool(_trailing_results(request))


def _topic(prompt: str) -> str:
    """A word of the prompt for free strings: its last capitalised one past the first, else its longest."""
    words = re.findall(r"\w[\w'-]*", without_orders(prompt))
    names = [word for word in words[1:] if word[0].isupper() and len(word) > 1]
    return names[-1] if names else max(words, key=len, default="something")
