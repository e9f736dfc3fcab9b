"""What must hold for every request, whatever it asks: providers accept its form, and nothing is lost in silence.

Conversations are such as some client's own provider would take: results follow their calls, in any order, and every
call has one. All else is free.
"""

from __future__ import annotations

import json
from base64 import b64decode
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import ChatRequest, Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.registry import DIALECTS
from wire.golden.case import ANTHROPIC, BEDROCK, COHERE, GEMINI, OPENAI, RESPONSES
from wire.golden.sdk_types import complaints
from wire.golden.shapes import faults

MODELS = {
    OPENAI: ("gpt-4o", "gpt-5-mini", "mistral-large-latest"),
    RESPONSES: ("gpt-4o", "gpt-5-mini", "grok-4.3"),
    ANTHROPIC: ("claude-opus-4-6", "claude-opus-4-7", "claude-sonnet-5"),
    GEMINI: ("gemini-2.5-flash", "gemini-3.1-pro-preview"),
    BEDROCK: (
        "us.anthropic.claude-opus-4-6-v1:0",
        "anthropic.claude-sonnet-5-v1:0",
        "amazon.nova-2-lite-v1:0",
        "openai.gpt-oss-120b-1:0",
        "qwen.qwen3-32b-v1:0",
        "meta.llama4-maverick-17b-instruct-v1:0",
    ),
    COHERE: ("command-a-03-2025", "command-a-reasoning-08-2025"),
}

words = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", " ", "\n", "你好", "a\x00b", '{"a": 1}']
)
data = st.sampled_from(["iVBORw0KGgo=", "aGFsbG8=", "JVBERi0="])
urls = st.sampled_from(["https://e.org/a.png", "https://e.org/b.pdf", "https://e.org/c"])
images = st.one_of(
    st.builds(Image, url=urls, detail=st.none() | st.just("high")),
    st.builds(Image, data=data, media_type=st.none() | st.just("image/png")),
)
documents = st.one_of(
    st.builds(Document, url=urls, name=st.none() | words),
    st.builds(Document, data=st.just("JVBERi0="), media_type=st.sampled_from([None, "application/pdf"])),
    st.just(Document(data="aGFsbG8=", media_type="text/plain")),
    st.builds(Document, text=words, name=st.none() | words),
    st.just(Document(name="only a name")),
)
texts = st.builds(Text, words)
asked = st.one_of(texts, texts, images, documents, st.builds(Audio, data, st.sampled_from(["wav", "mp3"])))
answered = st.one_of(
    texts,
    images,
    st.builds(Refusal, words.filter(bool)),
    st.builds(Thinking, words.filter(bool), st.none() | data),
    st.builds(Thinking, redacted=data),
    st.builds(Thinking, st.just(""), data),
)
ids = st.text("abc.:|-_é", min_size=1, max_size=5)
arguments = st.sampled_from(
    ["", "{}", '{"a": [1, {"b": null}]}', '{"a": "cut', "[1]", "null", '{"a": "\\u0000"}', "纯文本"]
)
names = st.sampled_from(["f", "g", "查"])


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    messages: list[Message] = []
    for _ in range(draw(st.integers(0, 2))):
        messages.append(
            Message(draw(st.sampled_from(["system", "developer"])), draw(parts_of(st.one_of(texts, images))))
        )
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(parts_of(asked)), draw(st.none() | st.just("ann"))))
        if draw(st.booleans()):
            messages.append(Message("system", draw(parts_of(texts))))
        if draw(st.booleans()):
            messages += draw(steps())
    return tuple(messages)


def parts_of(kind: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(kind, max_size=3).map(tuple)


@st.composite
def steps(draw: st.DrawFn) -> list[Message]:
    """A turn of the model, and the results of its calls in any order, as one message or as one each."""
    said: list[Part] = draw(st.lists(answered, max_size=3))
    calls = [
        ToolUse(one, draw(names), draw(arguments), draw(st.none() | data))
        for one in draw(st.lists(ids, max_size=3, unique=True))
    ]
    results = [
        ToolResult(one.id, draw(parts_of(st.one_of(texts, images, documents))), draw(st.booleans()), one.name)
        for one in draw(st.permutations(calls))
    ]
    together = draw(st.booleans())
    answers = [Message("tool", tuple(results))] if together else [Message("tool", (one,)) for one in results]
    return [Message("assistant", (*said, *calls)), *(answers if results else [])]


schemas = st.sampled_from(
    [
        b'{"type":"object","properties":{"x":{"type":"object"}}}',
        b'{"type":"object"}',
        b"{}",
        b'{"type":"object","properties":{"x":{"anyOf":[{"type":"object","properties":{}},{"type":"null"}]}}}',
    ]
)
fractions = st.none() | st.floats(0, 1)
requests = st.builds(
    ChatRequest,
    model=st.just("alias"),
    messages=conversations(),
    tools=st.lists(st.builds(ToolSpec, names, st.none() | words, schemas, st.none() | st.booleans()), max_size=2).map(
        tuple
    ),
    tool_choice=st.none()
    | st.builds(ToolChoice, st.sampled_from(["auto", "none", "required"]))
    | st.just(ToolChoice("tool", "f")),
    parallel_tool_calls=st.none() | st.booleans(),
    sampling=st.builds(
        Sampling,
        max_output_tokens=st.none() | st.integers(1, 9000),
        temperature=st.none() | st.floats(0, 2),
        top_p=fractions,
        top_k=st.none() | st.integers(1, 100),
        stop=st.lists(words.filter(bool), max_size=3).map(tuple),
        seed=st.none() | st.integers(0, 99),
        n=st.none() | st.integers(1, 3),
        presence_penalty=fractions,
        logprobs=st.none() | st.just(True),
        logit_bias=st.none() | st.just(b'{"5":1}'),
    ),
    response_format=st.none()
    | st.just(ResponseFormat("json_object"))
    | st.builds(ResponseFormat, st.just("json_schema"), st.none() | st.just("n"), schemas, st.none() | st.booleans()),
    reasoning=st.none()
    | st.builds(
        Reasoning,
        st.sampled_from([None, "none", "minimal", "low", "medium", "high", "xhigh", "max"]),
        st.none() | st.integers(-1, 5000),
        st.none() | st.booleans(),
    ),
    stream=st.booleans(),
    hints=st.just(()) | st.just(("user",)),
    foreign=st.just(()) | st.just(("web_search_options",)),
)


def strings(node: Any) -> list[str]:
    """Every string within JSON, keys too; what is base64 or JSON within a string is read as well."""
    if isinstance(node, dict):
        return [*node, *(one for value in node.values() for one in strings(value))]
    if isinstance(node, list):
        return [one for item in node for one in strings(item)]
    if not isinstance(node, str):
        return []
    found = [node]
    with suppress(ValueError):
        found.append(b64decode(node, validate=True).decode())
    with suppress(ValueError):
        found += strings(json.loads(node)) if node[:1] in ("{", "[") else []
    return found


def contents(request: ChatRequest) -> list[tuple[str, str, set[str]]]:
    """What must arrive: (kind, string, names of the losses that excuse its absence)."""
    unwanted = request.tool_choice is not None and request.tool_choice.mode == "none"
    gone = {"tool_choice=REQUIRED"} | ({"tools"} if unwanted else set())  # Cohere: the named one alone
    found = [("tool", tool.name, gone) for tool in request.tools]
    for message in request.messages:
        for part in message.parts:
            found += content(part, message.role)
    return found


def content(part: Part, role: str) -> list[tuple[str, str, set[str]]]:
    match part:
        case Text() | Refusal():
            return [("text", part.text, {"blank_text"} if not part.text.strip() else set())]
        case Image() if role == "user" or role == "tool":
            return [("image", part.url or part.data or "", {"image_urls"} if part.url else set())]
        case Image():
            return [("image", part.url or part.data or "", {"image", "media"})]
        case Document(text=str(text)):
            return [("document", text, set())]
        case Document(data=str(inline)):
            return [("document", inline, {"document_files"})]
        case Document():
            return [("document", part.url or "", {"document_urls", "empty_document"})]
        case Audio():
            return [("audio", part.data, {"audio"})]
        case Thinking():
            return [("thinking", part.text or part.signature or part.redacted or "", {"thinking"})]
        case ToolUse():
            return [("call", part.name, set())]
        case ToolResult():
            return [one for item in part.parts for one in content(item, "tool")]
    return []


def is_response(wanted: str, body: dict[str, Any]) -> bool:
    """Whether a result that is a JSON object arrived as one, which is Gemini's form."""
    parts = [part for turn in body.get("contents", ()) for part in turn["parts"]]
    with suppress(ValueError):
        return json.loads(wanted) in [
            part["functionResponse"]["response"] for part in parts if len(part) == 1 and "functionResponse" in part
        ]
    return False


def asks(request: ChatRequest, *, by_url: bool) -> bool:
    """Whether the user says or shows anything, `by_url` or not."""
    parts = [part for message in request.messages if message.role == "user" for part in message.parts]
    return any(
        (isinstance(part, Image) and (by_url or part.data)) or (isinstance(part, Text) and part.text.strip())
        for part in parts
    )


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests, pick=st.integers(0, 5))
def test_any_request_has_the_form_that_its_provider_takes(dialect: str, request: ChatRequest, pick: int) -> None:
    model = MODELS[dialect][pick % len(MODELS[dialect])]
    built = DIALECTS[dialect].build_request(request, model)
    body = json.loads(built.body)
    if not asks(request, by_url=dialect != BEDROCK):
        return  # what comes of an empty question is the provider's to say
    assert faults(dialect, body) == []
    assert complaints(dialect, body) == []


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests, pick=st.integers(0, 5))
def test_every_text_tool_and_file_arrives_or_its_loss_is_named(dialect: str, request: ChatRequest, pick: int) -> None:
    model = MODELS[dialect][pick % len(MODELS[dialect])]
    built = DIALECTS[dialect].build_request(request, model)
    body = json.loads(built.body)
    arrived = strings(body)
    for kind, wanted, excuses in contents(request):
        if kind == "text" and "prefill.trailing_space" in built.losses:
            wanted = wanted.rstrip()
        forms = strings(wanted) if kind == "document" else [wanted]  # a text file may arrive as text
        if any(form in one for form in forms for one in arrived) or is_response(wanted, body):
            continue
        assert any(excuse in loss for excuse in excuses for loss in built.losses), (kind, wanted, built.losses)


SAID: dict[str, dict[str, tuple[str, ...]]] = {
    OPENAI: {
        "max_output_tokens": ("max_tokens", "max_completion_tokens"),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "top_k": (),
        "stop": ("stop",),
        "seed": ("seed",),
        "n": ("n",),
        "presence_penalty": ("presence_penalty",),
        "logprobs": ("logprobs",),
        "logit_bias": ("logit_bias",),
    },
    RESPONSES: {
        "max_output_tokens": ("max_output_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "top_k": (),
        "stop": (),
        "seed": (),
        "n": (),
        "presence_penalty": (),
        "logprobs": ("logprobs",),
        "logit_bias": (),
    },
    ANTHROPIC: {
        "max_output_tokens": ("max_tokens",),
        "temperature": ("temperature",),
        "top_p": ("top_p",),
        "top_k": ("top_k",),
        "stop": ("stop_sequences",),
        "seed": (),
        "n": (),
        "presence_penalty": (),
        "logprobs": (),
        "logit_bias": (),
    },
    GEMINI: {
        "max_output_tokens": ("maxOutputTokens",),
        "temperature": ("temperature",),
        "top_p": ("topP",),
        "top_k": ("topK",),
        "stop": ("stopSequences",),
        "seed": ("seed",),
        "n": ("candidateCount",),
        "presence_penalty": ("presencePenalty",),
        "logprobs": (),
        "logit_bias": (),
    },
    BEDROCK: {
        "max_output_tokens": ("maxTokens",),
        "temperature": ("temperature",),
        "top_p": ("topP",),
        "top_k": ("top_k", "topK"),
        "stop": ("stopSequences",),
        "seed": (),
        "n": (),
        "presence_penalty": (),
        "logprobs": (),
    },
    COHERE: {
        "max_output_tokens": ("max_tokens",),
        "temperature": ("temperature",),
        "top_p": ("p",),
        "top_k": ("k",),
        "stop": ("stop_sequences",),
        "seed": ("seed",),
        "n": (),
        "presence_penalty": ("presence_penalty",),
        "logprobs": ("logprobs",),
        "logit_bias": (),
    },
}
"""Where a sampling field stands in a body, by the providers' references; nowhere: its loss must be named."""


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(request=requests, pick=st.integers(0, 5))
def test_every_setting_arrives_as_it_was_or_its_loss_is_named(dialect: str, request: ChatRequest, pick: int) -> None:
    built = DIALECTS[dialect].build_request(request, MODELS[dialect][pick % len(MODELS[dialect])])
    body = json.loads(built.body)
    body |= body.get("generationConfig", {}) | body.get("inferenceConfig", {})
    body |= body.get("additionalModelRequestFields", {})
    body |= body.get("inferenceConfig", {})  # Nova's, among these fields
    if "message.output_text.logprobs" in body.get("include", ()):  # as the Responses API has it
        body["logprobs"] = True
    named = {loss.partition("=")[0] for loss in built.losses}
    for field, places in SAID[dialect].items():
        wanted = getattr(request.sampling, field)
        if wanted in (None, ()) or (field, wanted) == ("n", 1):
            continue
        arrived = [body[place] for place in places if place in body]
        wanted = json.loads(wanted) if field == "logit_bias" else list(wanted) if field == "stop" else wanted
        excuses = {field, field.replace("max_output", "max"), *places, f"{field}_above_1", f"blank_{field}"}
        assert arrived == [wanted] or excuses & named, (field, wanted, arrived)
    assert {*request.hints, *request.foreign} <= named
    if request.tool_choice is not None and request.tool_choice.mode in ("required", "tool"):
        assert {"tool_choice", "toolConfig"} & (body.keys() | named)
    if request.parallel_tool_calls is False and request.tools:
        choice = body.get("tool_choice")
        said = "parallel_tool_calls" in body or (isinstance(choice, dict) and "disable_parallel_tool_use" in choice)
        assert said or "parallel_tool_calls" in named or (isinstance(choice, dict) and choice.get("type") == "none")
    if request.response_format is not None:
        forms = {"response_format", "text", "output_config", "responseMimeType", "outputConfig"}
        assert forms & body.keys() or {"json_object", "response_format"} & named
    if request.reasoning is not None and request.reasoning != Reasoning():
        reasons = any(one.startswith("reasoning") for one in named)
        places = {"reasoning", "reasoning_effort", "thinking", "output_config", "thinkingConfig"}
        places |= {"outputConfig", "reasoningConfig", "reasoning_config"}
        assert reasons or places & body.keys()
