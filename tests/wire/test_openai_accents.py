"""What each host of chat completions gets otherwise than the neutral form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from afterbay.core.event import Event, ReasoningDelta, ReasoningSignature, TextDelta, fold
from afterbay.core.message import Audio, Document, Image, Message, Text, Thinking, ToolResult, ToolUse
from afterbay.core.request import (
    FEATURES,
    ChatRequest,
    Reasoning,
    ResponseFormat,
    Sampling,
    ToolChoice,
    ToolSpec,
)
from afterbay.wire.openai_chat import DIALECT
from afterbay.wire.openai_chat.accent import EFFORTS, NEUTRAL, Models, nearest, thinks
from afterbay.wire.openai_chat.accents import ACCENTS

HI = Message("user", (Text("hi"),))
F = ToolSpec("f", schema=b'{"type":"object","properties":{},"additionalProperties":false}', strict=True)
SCHEMA = b'{"type":"object","properties":{"a":{"type":"string"}}}'
MODEL = {"openai": "gpt-4o", "groq": "llama-3.3-70b-versatile", "xai": "grok-3", "mistral": "mistral-large-latest"}


def built(vendor: str, *messages: Message, model: str = "", **fields: Any) -> tuple[dict[str, Any], set[str]]:
    request = ChatRequest("alias", messages or (HI,), **fields)
    made = DIALECT.build_for(vendor, request, model or MODEL.get(vendor, "m"))
    return json.loads(made.body), set(made.losses)


def drawn(vendor: str, model: str = "", **sampling: Any) -> tuple[dict[str, Any], set[str]]:
    body, losses = built(vendor, model=model, sampling=Sampling(**sampling))
    return {key: value for key, value in body.items() if key not in ("model", "messages")}, losses


# --- the neutral form ---------------------------------------------------------------------------------------------


def test_a_host_without_a_row_gets_the_dialect_s_own_form() -> None:
    request = ChatRequest(
        "alias",
        (Message("developer", (Text("Be brief."),), "ops"), HI),
        (F,),
        ToolChoice("required"),
        sampling=Sampling(5, seed=1, stop=tuple("abcdef"), n=2),
        reasoning=Reasoning("high"),
        stream=True,
    )
    assert DIALECT.build_for("a host of tomorrow", request, "m") == DIALECT.build_request(request, "m")
    body = json.loads(DIALECT.build_for("", request, "m").body)
    assert body["messages"][0] == {"role": "developer", "content": "Be brief.", "name": "ops"}
    assert (body["max_tokens"], body["seed"], body["tool_choice"], len(body["stop"])) == (5, 1, "required", 6)
    assert body["stream_options"] == {"include_usage": True}
    assert body["reasoning_effort"] == "high"
    assert ACCENTS.get("") is None


@pytest.mark.parametrize(
    ("model", "field"),
    [
        ("gpt-4o", "max_tokens"),
        ("llama-3", "max_tokens"),
        ("o3-mini", "max_completion_tokens"),
        ("gpt-5-mini", "max_completion_tokens"),
        ("gpt-6.1-sol", "max_completion_tokens"),
        ("openai/gpt-6-luna", "max_completion_tokens"),
    ],
)
def test_an_unknown_host_gets_the_limit_that_a_model_of_openai_s_takes(model: str, field: str) -> None:
    assert drawn("", model, max_output_tokens=7)[0] == {field: 7}


@pytest.mark.parametrize("vendor", sorted(ACCENTS))
def test_every_row_says_where_it_is_from_and_names_features_that_exist(vendor: str) -> None:
    accent = ACCENTS[vendor]
    refused = accent.cannot.union(*(row.refuses for row in accent.models))
    assert len(accent.source) > 20
    assert refused <= FEATURES
    assert accent.can <= DIALECT.cannot.keys()
    assert not accent.can & accent.cannot
    assert accent.unsaid <= FEATURES - accent.cannot
    known = {*EFFORTS, "default"}
    assert {
        word for efforts in (accent.efforts, *(row.efforts for row in accent.models)) for word in efforts or ()
    } <= known


@pytest.mark.parametrize("vendor", sorted(ACCENTS))
def test_what_a_host_refuses_is_not_sent_and_its_loss_is_named(vendor: str) -> None:
    host = DIALECT.hosts[vendor]
    everything = {
        "n": 2,
        "seed": 3,
        "stop": ("x",),
        "logprobs": True,
        "top_logprobs": 2,
        "logit_bias": b'{"5":1}',
        "presence_penalty": 0.5,
        "frequency_penalty": 0.5,
        "temperature": 0.5,
        "top_p": 0.5,
        "top_k": 5,
    }
    model = MODEL.get(vendor, "m")
    body, losses = drawn(vendor, model, **everything)
    refused = host.cannot(model) | (DIALECT.cannot.keys() - host.can)
    for name in everything:
        field = ACCENTS[vendor].seed if name == "seed" else name
        merged = name == "top_logprobs" and ACCENTS[vendor].counts_logprobs
        assert (field in body or merged) == (name not in refused), name
        assert (name in losses) == (name in refused), name


# --- limits, names of fields, roles -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("vendor", "field"),
    [
        ("openai", "max_completion_tokens"),
        ("groq", "max_completion_tokens"),
        ("xai", "max_completion_tokens"),
        ("cerebras", "max_completion_tokens"),
        ("mistral", "max_tokens"),
        ("deepseek", "max_tokens"),
        ("perplexity", "max_tokens"),
        ("openrouter", "max_tokens"),
        ("ollama", "max_tokens"),
    ],
)
def test_each_host_has_its_field_for_the_limit(vendor: str, field: str) -> None:
    assert drawn(vendor, max_output_tokens=7)[0] == {field: 7}


def test_azure_s_deployments_get_the_limit_that_their_name_tells() -> None:
    assert drawn("azure", "o4-mini", max_output_tokens=7)[0] == {"max_completion_tokens": 7}
    assert drawn("azure", "mistral-large", max_output_tokens=7)[0] == {"max_tokens": 7}


def test_mistral_has_its_words_for_the_seed_and_for_a_forced_call() -> None:
    body, losses = built("mistral", tools=(F,), tool_choice=ToolChoice("required"), sampling=Sampling(seed=4))
    assert (body["random_seed"], body["tool_choice"], "seed" in body) == (4, "any", False)
    assert losses == set()
    named, _ = built("mistral", tools=(F,), tool_choice=ToolChoice("tool", "f"))
    assert named["tool_choice"] == {"type": "function", "function": {"name": "f"}}


@pytest.mark.parametrize("model", ["mistral-large-latest", "ft:open-model:abc"])
def test_mistral_s_call_ids_have_nine_letters_whatever_the_model_is_called(model: str) -> None:
    call, result = ToolUse("call_123456789", "f", "{}"), ToolResult("call_123456789", (Text("x"),))
    body, _ = built("mistral", HI, Message("assistant", (call,)), Message("tool", (result,)), model=model)
    wanted = body["messages"][1]["tool_calls"][0]["id"]
    assert len(wanted) == 9
    assert wanted.isalnum()
    assert body["messages"][2]["tool_call_id"] == wanted
    other, _ = built("openai", HI, Message("assistant", (call,)), Message("tool", (result,)))
    assert other["messages"][2]["tool_call_id"] == "call_123456789"


def test_mistral_is_not_asked_for_usage_since_it_refuses_unknown_fields() -> None:
    assert "stream_options" not in built("mistral", stream=True)[0]
    assert built("groq", stream=True)[0]["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("vendor", ["mistral", "deepseek", "together", "perplexity", "cerebras", "ollama", "vllm"])
def test_developers_speak_as_the_system_where_the_role_is_unknown(vendor: str) -> None:
    body, _ = built(vendor, Message("developer", (Text("Be brief."),)), HI)
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}


@pytest.mark.parametrize("vendor", ["openai", "azure", "groq", "xai", "openrouter"])
def test_developers_stay_developers_where_the_role_is_known(vendor: str) -> None:
    assert built(vendor, Message("developer", (Text("Be brief."),)), HI)[0]["messages"][0]["role"] == "developer"


@pytest.mark.parametrize(
    ("vendor", "user", "system"), [("openai", True, True), ("xai", True, False), ("groq", False, False)]
)
def test_names_go_where_they_are_taken(vendor: str, user: bool, system: bool) -> None:
    body, losses = built(vendor, Message("system", (Text("s"),), "ops"), Message("user", (Text("u"),), "ann"))
    assert ["name" in message for message in body["messages"]] == [system, user]
    assert losses == (set() if user and system else {"messages.name"})


@pytest.mark.parametrize(("vendor", "most"), [("openai", 4), ("xai", 4), ("deepseek", 16), ("mistral", None)])
def test_too_many_stop_sequences_are_cut_and_it_is_said(vendor: str, most: int | None) -> None:
    stop = tuple(f"s{i}" for i in range(20))
    body, losses = drawn(vendor, stop=stop)
    assert body["stop"] == list(stop[:most])
    assert losses == ({"stop"} if most else set())


def test_top_k_reaches_hosts_that_have_it() -> None:
    for vendor in ("mistral", "together", "openrouter", "vllm", "sglang", "llamacpp"):
        assert drawn(vendor, top_k=5) == ({"top_k": 5}, set())
    for vendor in ("", "openai", "groq", "deepseek"):
        assert drawn(vendor, top_k=5) == ({}, {"top_k"})


def test_together_counts_log_probabilities() -> None:
    assert drawn("together", logprobs=True, top_logprobs=3)[0] == {"logprobs": 3}
    assert drawn("together", logprobs=True)[0] == {"logprobs": 1}


def test_ollama_s_tools_are_never_strict() -> None:
    body, losses = built("ollama", tools=(F,))
    assert "strict" not in body["tools"][0]["function"]
    assert losses == {"tools.strict"}
    assert built("openai", tools=(F,))[0]["tools"][0]["function"]["strict"] is True


# --- forms --------------------------------------------------------------------------------------------------------


def test_where_no_schema_is_held_to_it_steps_down_into_the_prompt_and_that_is_said() -> None:
    form = ResponseFormat("json_schema", "answer", SCHEMA)
    body, losses = built("deepseek", response_format=form)
    assert body["response_format"] == {"type": "json_object"}
    assert SCHEMA.decode() in body["messages"][0]["content"]
    assert losses == {"response_format=prompt"}
    kept, none = built("openai", response_format=form)
    assert kept["response_format"]["json_schema"]["schema"] == json.loads(SCHEMA)
    assert none == set()


@pytest.mark.parametrize(
    ("model", "form"), [("llama-3.1-8b-instant", "json_object"), ("openai/gpt-oss-20b", "json_schema")]
)
def test_groq_holds_to_a_schema_with_some_models_only(model: str, form: str) -> None:
    body, losses = built("groq", model=model, response_format=ResponseFormat("json_schema", "a", SCHEMA))
    assert body["response_format"]["type"] == form
    assert losses == ({"response_format=prompt"} if form == "json_object" else set())


def test_perplexity_is_asked_for_json_in_the_prompt() -> None:
    body, losses = built("perplexity", response_format=ResponseFormat("json_object"))
    assert "response_format" not in body
    assert "JSON" in body["messages"][0]["content"]
    assert losses == {"response_format=prompt"}
    schema, _ = built("perplexity", response_format=ResponseFormat("json_schema", "a", SCHEMA))
    assert schema["response_format"]["type"] == "json_schema"
    assert built("perplexity", response_format=ResponseFormat("text"))[1] == set()


# --- turns --------------------------------------------------------------------------------------------------------


def test_perplexity_s_turns_alternate_and_its_instructions_lead() -> None:
    body, losses = built(
        "perplexity",
        Message("system", (Text("a"),)),
        Message("developer", (Text("b"),)),
        Message("user", (Text("c"),)),
        Message("user", (Text("look"), Image(url="https://e.org/a.png"))),
        Message("system", (Text("d"),)),
        Message("assistant", (Text("e"),)),
        Message("assistant", (Text("f"),)),
        Message("user", (Text(""),)),
    )
    assert [message["role"] for message in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["messages"][0]["content"] == "a\n\nb"
    assert [part.get("text") for part in body["messages"][1]["content"]] == [
        "c",
        "look",
        None,
        "<system>\nd\n</system>",
    ]
    assert body["messages"][2]["content"] == "e\n\nf"
    assert losses == {"messages.role"}


def test_servers_of_one_s_own_get_one_instruction_and_the_rest_as_it_was() -> None:
    turns = (Message("system", (Text("a"),)), Message("system", (Text("b"),)), HI, HI, Message("system", (Text("c"),)))
    body, losses = built("vllm", *turns)
    assert [message["role"] for message in body["messages"]] == ["system", "user", "user", "system"]
    assert body["messages"][0]["content"] == "a\n\nb"
    assert losses == set()


def test_calls_and_results_are_never_merged() -> None:
    call, again = ToolUse("a", "f", "{}"), ToolUse("b", "f", "{}")
    results = tuple(ToolResult(one.id, (Text("x"),)) for one in (call, again))
    body, _ = built("vllm", HI, Message("assistant", (call, again)), Message("tool", results))
    assert [message["role"] for message in body["messages"]] == ["user", "assistant", "tool", "tool"]


# --- files and sounds ---------------------------------------------------------------------------------------------

PDF = Document(data="JVBERi0=", media_type="application/pdf", name="a.pdf")


def test_files_go_in_each_host_s_own_form() -> None:
    asked = Message("user", (Text("?"), PDF, Document(url="https://e.org/b.pdf"), Audio("aGk=", "wav")))
    mistral, losses = built("mistral", asked)
    assert mistral["messages"][0]["content"][1:] == [
        {
            "type": "document_url",
            "document_url": "data:application/pdf;base64,JVBERi0=",
            "document_name": "a.pdf",
        },
        {"type": "document_url", "document_url": "https://e.org/b.pdf"},
        {"type": "input_audio", "input_audio": "aGk="},
    ]
    assert losses == set()
    router, losses = built("openrouter", asked)
    assert router["messages"][0]["content"][2]["file"]["file_data"] == "https://e.org/b.pdf"
    assert losses == set()
    openai, losses = built("openai", asked)
    assert [part["type"] for part in openai["messages"][0]["content"]] == ["text", "file", "input_audio"]
    assert losses == {"document_urls"}


@pytest.mark.parametrize("vendor", ["groq", "deepseek", "perplexity", "cerebras"])
def test_a_host_without_sound_gets_none_and_a_router_knows(vendor: str) -> None:
    body, losses = built(vendor, Message("user", (Text("?"), Audio("aGk=", "wav"))))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "?"}]
    assert losses == {"audio"}
    assert "audio" in DIALECT.hosts[vendor].unsaid


@pytest.mark.parametrize(
    "vendor", ["groq", "deepseek", "cerebras", "ollama", "vllm", "llamacpp", "azure", "huggingface"]
)
def test_a_host_without_file_parts_gets_none_and_a_router_knows(vendor: str) -> None:
    body, losses = built(vendor, Message("user", (Text("?"), PDF)))
    assert body["messages"][0]["content"] == [{"type": "text", "text": "?"}]
    assert losses == {"document_files"}
    assert "document_files" in DIALECT.hosts[vendor].unsaid
    text = Document(text="words", name="n")
    assert built(vendor, Message("user", (Text("?"), text)))[1] == set()


# --- how much to think --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("effort", "accepted", "word"),
    [
        ("high", None, "high"),
        ("anything", None, "anything"),
        ("medium", ("low", "high"), "high"),
        ("max", ("low", "high"), "high"),
        ("none", ("low", "high"), "low"),
        ("minimal", ("none", "low"), "low"),
        ("default", ("none", "default"), "default"),
        ("high", ("none", "default"), "none"),
        ("default", ("low",), None),
        ("low", (), None),
    ],
)
def test_an_effort_is_the_nearest_that_is_taken(effort: str, accepted: Any, word: str | None) -> None:
    assert nearest(effort, accepted) == word


@pytest.mark.parametrize(
    ("kind", "by_effort"),
    [
        ("always", {None: True, "none": True, "low": True}),
        ("unless_none", {None: True, "none": False, "low": True}),
        ("if_asked", {None: False, "none": False, "low": True}),
        ("never", {None: False, "none": False, "low": False}),
    ],
)
def test_whether_a_model_thinks_depends_on_its_kind_and_the_effort(kind: Any, by_effort: dict[Any, bool]) -> None:
    assert {effort: thinks(Models("x", kind), effort) for effort in by_effort} == by_effort


THOUGHT: list[tuple[str, str, Reasoning, dict[str, Any], set[str]]] = [
    ("", "m", Reasoning("high"), {"reasoning_effort": "high"}, set()),
    ("", "m", Reasoning(budget_tokens=0), {"reasoning_effort": "minimal"}, {"reasoning.budget_tokens"}),
    ("", "m", Reasoning(budget_tokens=-1), {}, {"reasoning.budget_tokens"}),
    ("", "m", Reasoning("low", 99, True), {"reasoning_effort": "low"}, {"reasoning.budget_tokens", "reasoning.show"}),
    ("openai", "gpt-6.1-sol", Reasoning("none"), {"reasoning_effort": "low"}, {"reasoning.effort=low"}),
    ("openai", "gpt-6.1-sol", Reasoning("max"), {"reasoning_effort": "xhigh"}, {"reasoning.effort=xhigh"}),
    ("openai", "gpt-6-luna", Reasoning("none"), {"reasoning_effort": "none"}, set()),
    ("openai", "gpt-6.1-terra", Reasoning("minimal"), {"reasoning_effort": "low"}, {"reasoning.effort=low"}),
    ("openai", "gpt-5-mini", Reasoning("minimal"), {"reasoning_effort": "minimal"}, set()),
    ("openai", "gpt-5-mini", Reasoning("none"), {"reasoning_effort": "minimal"}, {"reasoning.effort=minimal"}),
    ("openai", "gpt-5.2", Reasoning("xhigh"), {"reasoning_effort": "xhigh"}, set()),
    ("openai", "gpt-5.1", Reasoning("xhigh"), {"reasoning_effort": "high"}, {"reasoning.effort=high"}),
    ("openai", "o3", Reasoning("minimal"), {"reasoning_effort": "low"}, {"reasoning.effort=low"}),
    ("openai", "gpt-4o", Reasoning("high"), {}, {"reasoning.effort"}),
    ("openai", "gpt-7", Reasoning("max"), {"reasoning_effort": "max"}, set()),
    ("azure", "o4-mini", Reasoning("xhigh"), {"reasoning_effort": "high"}, {"reasoning.effort=high"}),
    ("mistral", "m", Reasoning("high"), {"reasoning_effort": "high"}, set()),
    ("groq", "openai/gpt-oss-120b", Reasoning("max"), {"reasoning_effort": "high"}, {"reasoning.effort=high"}),
    ("groq", "qwen/qwen3-32b", Reasoning("none"), {"reasoning_effort": "none"}, set()),
    ("groq", "qwen/qwen3-32b", Reasoning("default"), {"reasoning_effort": "default"}, set()),
    ("groq", "llama-3.1-8b-instant", Reasoning("high"), {}, {"reasoning.effort"}),
    ("xai", "grok-4.3", Reasoning("none"), {"reasoning_effort": "none"}, set()),
    ("xai", "grok-4.7", Reasoning("none"), {"reasoning_effort": "low"}, {"reasoning.effort=low"}),
    ("xai", "grok-4.7", Reasoning("xhigh"), {"reasoning_effort": "xhigh"}, set()),
    ("xai", "grok-4.6", Reasoning("xhigh"), {"reasoning_effort": "high"}, {"reasoning.effort=high"}),
    ("xai", "grok-4-fast-reasoning", Reasoning("high"), {}, {"reasoning.effort"}),
    ("deepseek", "m", Reasoning("none"), {"thinking": {"type": "disabled"}}, set()),
    (
        "deepseek",
        "m",
        Reasoning("medium"),
        {"thinking": {"type": "enabled"}, "reasoning_effort": "high"},
        {"reasoning.effort=high"},
    ),
    ("together", "m", Reasoning("none"), {"reasoning": {"enabled": False}}, set()),
    ("together", "m", Reasoning("xhigh"), {"reasoning_effort": "high"}, {"reasoning.effort=high"}),
    ("openrouter", "m", Reasoning("max"), {"reasoning": {"effort": "xhigh"}}, {"reasoning.effort=xhigh"}),
    ("openrouter", "m", Reasoning(budget_tokens=2000), {"reasoning": {"max_tokens": 2000}}, set()),
    ("openrouter", "m", Reasoning(budget_tokens=-1), {"reasoning": {"enabled": True}}, set()),
    ("openrouter", "m", Reasoning(budget_tokens=0), {"reasoning": {"effort": "none"}}, set()),
    ("openrouter", "m", Reasoning("low", 9), {"reasoning": {"effort": "low"}}, {"reasoning.budget_tokens"}),
    ("openrouter", "m", Reasoning(show=False), {"reasoning": {"exclude": True}}, set()),
    ("openrouter", "m", Reasoning("default"), {}, {"reasoning.effort"}),
    ("openrouter", "m", Reasoning(), {}, set()),
    ("cerebras", "gpt-oss-120b", Reasoning("none"), {"reasoning_effort": "low"}, {"reasoning.effort=low"}),
    ("cerebras", "zai-glm-5.3", Reasoning("medium"), {"reasoning_effort": "high"}, {"reasoning.effort=high"}),
    ("vllm", "m", Reasoning("none"), {"chat_template_kwargs": {"enable_thinking": False}}, set()),
    ("vllm", "m", Reasoning("high"), {"reasoning_effort": "high"}, set()),
    (
        "sglang",
        "m",
        Reasoning(budget_tokens=0),
        {"chat_template_kwargs": {"enable_thinking": False}},
        {"reasoning.budget_tokens"},
    ),
    ("llamacpp", "m", Reasoning("none"), {"chat_template_kwargs": {"enable_thinking": False}}, set()),
    (
        "llamacpp",
        "m",
        Reasoning("high"),
        {"chat_template_kwargs": {"enable_thinking": True, "reasoning_effort": "high"}},
        set(),
    ),
]


@pytest.mark.parametrize(("vendor", "model", "wanted", "fields", "losses"), THOUGHT)
def test_how_much_to_think_is_said_in_the_host_s_words(
    vendor: str, model: str, wanted: Reasoning, fields: dict[str, Any], losses: set[str]
) -> None:
    body, named = built(vendor, model=model, reasoning=wanted)
    del body["model"], body["messages"]
    assert (body, named) == (fields, losses)


@pytest.mark.parametrize(
    ("model", "effort", "is_thinking"),
    [
        ("gpt-6.1-sol", "none", True),
        ("gpt-6.1-terra", None, True),
        ("gpt-6.1-terra", "none", False),
        ("gpt-5.6-sol", None, True),
        ("gpt-5.5-pro", None, True),
        ("gpt-5.2", None, False),
        ("gpt-5.2", "low", True),
        ("gpt-5.3-chat-latest", None, True),
        ("gpt-5.1", None, False),
        ("gpt-5-nano", None, True),
        ("gpt-5-chat-latest", None, False),
        ("gpt-5.1-codex-max", None, True),
        ("o3", None, True),
        ("gpt-4o", None, False),
    ],
)
def test_a_model_of_openai_s_is_not_told_how_to_draw_while_it_thinks(
    model: str, effort: str | None, is_thinking: bool
) -> None:
    sampling = Sampling(9, temperature=0.5, top_p=0.5, stop=("x",), seed=1, n=1)
    reasoning = Reasoning(effort) if effort else None
    body, losses = built("openai", model=model, sampling=sampling, reasoning=reasoning)
    assert ("temperature" in body, "top_p" in body, "stop" in body) == (not is_thinking,) * 3
    assert {"temperature", "top_p", "stop"} <= losses if is_thinking else not losses & {"temperature", "top_p", "stop"}
    assert (body["seed"], body["max_completion_tokens"]) == (1, 9)
    assert DIALECT.hosts["openai"].cannot(model) == frozenset()


def test_a_value_that_is_drawn_with_anyway_is_no_loss() -> None:
    body, losses = drawn("openai", "gpt-6.1-sol", temperature=1.0, top_p=1.0, presence_penalty=0.0)
    assert (body, losses) == ({}, set())


@pytest.mark.parametrize(
    ("model", "refused"),
    [
        ("grok-4.7", {"presence_penalty", "frequency_penalty", "stop"}),
        ("grok-4-1-fast-non-reasoning", {"presence_penalty", "frequency_penalty"}),
        ("grok-3", set()),
        ("grok-3-mini", {"presence_penalty", "frequency_penalty", "stop"}),
    ],
)
def test_a_router_knows_what_a_model_of_xai_s_refuses(model: str, refused: set[str]) -> None:
    assert DIALECT.hosts["xai"].cannot(model) == refused


# --- what was thought ---------------------------------------------------------------------------------------------

CALLED = Message("assistant", (Thinking("hm", "sig"), Text("so"), ToolUse("abcdefghi", "f", "{}")))
ANSWER = Message("tool", (ToolResult("abcdefghi", (Text("x"),)),))


@pytest.mark.parametrize(
    ("vendor", "fields", "losses"),
    [
        ("", {"content": "so"}, {"thinking"}),
        ("openai", {"content": "so"}, {"thinking"}),
        ("groq", {"content": "so", "reasoning": "hm"}, {"thinking.signature"}),
        ("cerebras", {"content": "so", "reasoning": "hm"}, {"thinking.signature"}),
        ("ollama", {"content": "so", "reasoning": "hm"}, {"thinking.signature"}),
        ("deepseek", {"content": "so", "reasoning_content": "hm"}, {"thinking.signature"}),
        ("openrouter", {"content": "so", "reasoning": "hm"}, {"thinking.signature"}),
        (
            "mistral",
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "so"},
                ]
            },
            {"thinking.signature"},
        ),
    ],
)
def test_what_was_thought_goes_back_where_the_host_takes_it(
    vendor: str, fields: dict[str, Any], losses: set[str]
) -> None:
    body, named = built(vendor, HI, CALLED, ANSWER)
    turn = body["messages"][1]
    assert {key: turn[key] for key in turn if key not in ("role", "tool_calls")} == fields
    assert named == losses


def test_deepseek_s_calls_never_lack_reasoning_and_its_plain_turns_need_none() -> None:
    bare = Message("assistant", (ToolUse("c", "f", "{}"),))
    body, losses = built("deepseek", HI, bare, Message("tool", (ToolResult("c", (Text("x"),)),)))
    assert body["messages"][1]["reasoning_content"] == " "
    assert losses == set()
    plain, _ = built("deepseek", HI, Message("assistant", (Text("a"),)), HI)
    assert "reasoning_content" not in plain["messages"][1]


def test_deepseek_does_not_think_when_a_call_is_forced_and_that_is_said() -> None:
    forced, losses = built("deepseek", tools=(F,), tool_choice=ToolChoice("required"), reasoning=Reasoning("high"))
    assert forced["thinking"] == {"type": "disabled"}
    assert "reasoning_effort" not in forced
    assert "thinking=disabled" in losses
    asked, none = built("deepseek", tools=(F,), tool_choice=ToolChoice("required"), reasoning=Reasoning("none"))
    assert asked["thinking"] == {"type": "disabled"}
    assert none == set()
    assert "thinking" not in built("deepseek", tools=(F,), tool_choice=ToolChoice("auto"))[0]


ENCRYPTED = '{"type":"reasoning.encrypted","data":"xyz","id":"rs_1","format":"openai-responses-v1","index":0}'


def test_openrouter_s_proofs_come_back_as_they_went() -> None:
    details = [
        {"type": "reasoning.text", "text": "hm", "signature": "sig", "format": "anthropic-claude-v1"},
        json.loads(ENCRYPTED),
        {"type": "reasoning.summary", "summary": "s"},
    ]
    message = {"content": "so", "reasoning": "hm", "reasoning_details": details}
    answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    events = DIALECT.parse_answer(answer, "s")
    assert ReasoningDelta("hm") in events
    turn = fold(events).choices[0].message
    assert turn.parts[0] == Thinking("hm", "sig")
    body, losses = built("openrouter", HI, turn, HI, model="anthropic/claude-opus-4.6")
    assert body["messages"][1]["reasoning_details"] == [
        {"type": "reasoning.text", "text": "hm", "signature": "sig"},
        json.loads(ENCRYPTED),
    ]
    assert body["messages"][1]["reasoning"] == "hm"
    assert losses == set()


def test_openrouter_s_proofs_are_read_from_a_stream() -> None:
    parser, out = DIALECT.stream_parser("s"), list[Event]()
    for delta in (
        {"reasoning": "hm", "reasoning_details": [{"type": "reasoning.text", "text": "hm"}]},
        {"reasoning_details": [{"type": "reasoning.text", "signature": "sig"}]},
        {"content": "so"},
    ):
        parser.push(None, json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode(), out)
    assert out[1:] == [ReasoningDelta("hm"), ReasoningSignature("sig"), TextDelta("so")]


@pytest.mark.parametrize("foreign", ["opaque", "{not json", '{"type":"other"}'])
def test_openrouter_gets_no_proof_of_another_vendor(foreign: str) -> None:
    body, losses = built("openrouter", HI, Message("assistant", (Thinking(redacted=foreign), Text("so"))), HI)
    assert "reasoning_details" not in body["messages"][1]
    assert losses == {"thinking.signature"}


def test_the_neutral_form_is_the_accent_of_nobody() -> None:
    assert all(accent != NEUTRAL for accent in ACCENTS.values())
