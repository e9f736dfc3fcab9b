"""The hosts that speak chat completions their own way: one row a host, by its name in the catalogue.

Only what is certain stands in `cannot`: a router leaves such a host out, even where the client speaks the same dialect.
Sources are documentation, types of the hosts' own SDKs and recordings of November 2026; where a second source is named,
it states what it saw the host answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from afterbay.wire.openai_chat.accent import Accent, Models

_DRAWS = frozenset(
    {"temperature", "top_p", "presence_penalty", "frequency_penalty", "logprobs", "top_logprobs", "logit_bias", "stop"}
)
_UP_TO_XHIGH = ("low", "medium", "high", "xhigh")
_GPT = (
    Models(r"gpt-(?:6-astra|6\.1-sol)", "always", _UP_TO_XHIGH),
    Models(r"gpt-5\.\d-pro", "always", ("medium", "high", "xhigh")),
    Models(r"gpt-(?:6|5\.[5-9])", "unless_none", ("none", *_UP_TO_XHIGH)),
    Models(r"gpt-5\.[1-3]-chat", "always", ("medium",)),
    Models(r"gpt-5\.1-codex", "always"),
    Models(r"gpt-5\.1", "if_asked", ("none", "low", "medium", "high")),
    Models(r"gpt-5\.[2-4]", "if_asked", ("none", *_UP_TO_XHIGH)),
    Models(r"gpt-5-chat", efforts=()),
    Models(r"gpt-5-pro", "always", ("high",)),
    Models(r"gpt-5", "always", ("minimal", "low", "medium", "high")),
    Models(r"o\d", "always", ("low", "medium", "high")),
    Models(r"gpt-[34]|chatgpt", efforts=()),
)
"""Sources: developers.openai.com/api/docs/guides/reasoning and /latest-model (temperature, top_p, logprobs are errors
while a model thinks); pydantic-ai 2.68, which asked every family; a recording of `stop` refused. Chat completions take
no effort `max`. These refusals keep no router away: the fields are left out, with a warning."""

_PENALTIES = frozenset({"presence_penalty", "frequency_penalty"})
_GROK = (
    Models(r"grok-4[\w.-]*-non-reasoning", efforts=(), refuses=_PENALTIES),
    Models(r"grok-(?:4\.3|latest)", efforts=("none", "low", "medium", "high"), refuses=_PENALTIES | {"stop"}),
    Models(r"grok-4\.[56]", efforts=("low", "medium", "high"), refuses=_PENALTIES | {"stop"}),
    Models(r"grok-4\.7", efforts=_UP_TO_XHIGH, refuses=_PENALTIES | {"stop"}),
    Models(r"grok-4", efforts=(), refuses=_PENALTIES | {"stop"}),
    Models(r"grok-3-mini", efforts=("none", "low", "high"), refuses=_PENALTIES | {"stop"}),
    Models(r"grok-3", efforts=()),
)

ACCENTS: Mapping[str, Accent] = MappingProxyType(
    {
        "openai": Accent(
            source="developers.openai.com API reference: max_tokens is deprecated; stop takes up to 4",
            limit="max_completion_tokens",
            stops=4,
            draws=_DRAWS,
            models=_GPT,
        ),
        "azure": Accent(
            source="learn.microsoft.com/azure/ai-foundry, chat completions and reasoning models; files: pydantic-ai "
            "2.68. A deployment's name need not say its model, so the limit goes by the name",
            stops=4,
            draws=_DRAWS,
            models=_GPT,
            unsaid=frozenset({"document_files"}),
        ),
        "mistral": Accent(
            source="mistralai 3.7.0, ChatCompletionRequest and its messages; unknown fields are errors "
            "(extra_forbidden: eca#231, crush#1590)",
            limit="max_tokens",
            seed="random_seed",
            required="any",
            developer="system",
            names="none",
            usage_option=False,
            can=frozenset({"top_k", "document_urls"}),
            cannot=frozenset({"logit_bias"}),
            short_ids=True,
            history="parts",
            files="document_url",
        ),
        "groq": Accent(
            source="console.groq.com/docs/openai (400: logprobs, logit_bias, top_logprobs, messages[].name, n > 1), "
            "/docs/reasoning, /docs/structured-outputs; groq 1.7.0",
            limit="max_completion_tokens",
            names="none",
            stops=4,
            cannot=frozenset({"n", "logprobs", "top_logprobs", "logit_bias"}),
            unsaid=frozenset({"audio", "document_files"}),
            history="reasoning",
            efforts=(),
            models=(
                Models(r"openai/gpt-oss", efforts=("low", "medium", "high")),
                Models(r"qwen/qwen3", efforts=("none", "default")),
                Models(r"llama-3", schema=False),
            ),
        ),
        "xai": Accent(
            source="docs.x.ai/docs/guides/reasoning (presence and frequency penalty and stop are errors with models "
            "that think); efforts: pydantic-ai 2.68; names: litellm#9720",
            limit="max_completion_tokens",
            names="user",
            stops=4,
            models=_GROK,
        ),
        "deepseek": Accent(
            source="api-docs.deepseek.com create-chat-completion and guides/thinking_mode; recordings (file parts "
            "refused); roles: pi#1048; forced tools and the lack of json_schema: pydantic-ai 2.68",
            limit="max_tokens",
            developer="system",
            schema=False,
            stops=16,
            cannot=frozenset({"n", "logit_bias"}),
            unsaid=frozenset({"audio", "document_files"}),
            history="reasoning_content",
            reasoning="toggle",
            efforts=("none", "low", "high", "max"),
        ),
        "together": Accent(
            source="together 3.1.1, chat completions; docs.together.ai/docs/inference/chat/reasoning",
            limit="max_tokens",
            developer="system",
            can=frozenset({"top_k"}),
            reasoning="enabled",
            efforts=("none", "low", "medium", "high"),
            counts_logprobs=True,
        ),
        "openrouter": Accent(
            source="openrouter.ai/docs: parameters, reasoning tokens (effort xhigh is the highest), PDF inputs by URL",
            limit="max_tokens",
            can=frozenset({"top_k", "document_urls"}),
            history="details",
            reasoning="object",
            efforts=("none", "minimal", *_UP_TO_XHIGH),
        ),
        "perplexity": Accent(
            source="docs.perplexity.ai, chat completions: no tools; response_format is text or json_schema; after "
            "instructions user and assistant must take turns",
            limit="max_tokens",
            developer="system",
            names="none",
            object=False,
            cannot=frozenset({"tools", "n", "logprobs", "top_logprobs", "logit_bias", "seed"}),
            unsaid=frozenset({"audio"}),
            merges="all",
            efforts=("minimal", "low", "medium", "high"),
        ),
        "huggingface": Accent(
            source="huggingface.co/docs/inference-providers, chat completion: the router passes on to many hosts",
            developer="system",
            unsaid=frozenset({"document_files"}),
        ),
        "cerebras": Accent(
            source="inference-docs.cerebras.ai/resources/openai and /capabilities/reasoning; cerebras-cloud-sdk 1.91; "
            "logit_bias has no effect: pydantic-ai 2.68",
            limit="max_completion_tokens",
            developer="system",
            stops=4,
            cannot=frozenset({"logit_bias"}),
            unsaid=frozenset({"audio", "document_files"}),
            history="reasoning",
            models=(
                Models(r"gpt-oss", efforts=("low", "medium", "high")),
                Models(r"kimi-k3|zai-glm-5\.3", efforts=("low", "high", "max")),
            ),
        ),
        "ollama": Accent(
            source="docs.ollama.com/api/openai-compatibility, supported request fields; strict: pydantic-ai#4116",
            limit="max_tokens",
            developer="system",
            names="none",
            strict=False,
            cannot=frozenset({"n", "logit_bias"}),
            unsaid=frozenset({"document_files"}),
            history="reasoning",
        ),
        "vllm": Accent(
            source="docs.vllm.ai: OpenAI-compatible server (extra parameters), reasoning outputs; files, and templates "
            "that take one instruction: pydantic-ai 2.68",
            developer="system",
            merges="leading",
            can=frozenset({"top_k"}),
            unsaid=frozenset({"document_files"}),
            reasoning="switch",
        ),
        "sglang": Accent(
            source="docs.sglang.ai: OpenAI APIs - completions (top_k, chat_template_kwargs)",
            developer="system",
            merges="leading",
            can=frozenset({"top_k"}),
            unsaid=frozenset({"document_files"}),
            reasoning="switch",
        ),
        "llamacpp": Accent(
            source="llama.cpp tools/server/README.md, /v1/chat/completions (chat_template_kwargs, top_k)",
            limit="max_tokens",
            developer="system",
            merges="leading",
            can=frozenset({"top_k"}),
            unsaid=frozenset({"document_files"}),
            reasoning="template",
        ),
    }
)
