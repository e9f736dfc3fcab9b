"""A probe: one small request that says one thing more than its base, or one answer that does."""

from __future__ import annotations

from typing import Any, NamedTuple

CHAT, RESPONSES, MESSAGES, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "gemini"
BEDROCK, COHERE = "bedrock.converse", "cohere.chat"
CLIENTS = (CHAT, RESPONSES, MESSAGES, GEMINI)

PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQK"
WAV = "UklGRg=="
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


class Probe(NamedTuple):
    """`name` is the path of what is probed, with its value where that matters. `base`: the same without it."""

    name: str
    body: dict[str, Any]
    base: dict[str, Any]


class Column(NamedTuple):
    """A provider that is asked: its protocol, a model there, and who runs it where that matters."""

    title: str
    dialect: str
    model: str
    vendor: str = ""
    maker: str = ""


COLUMNS = (
    Column(CHAT, CHAT, "llama-4", "", "meta"),
    Column(RESPONSES, RESPONSES, "gpt-5.2", "openai", "openai"),
    Column(MESSAGES, MESSAGES, "claude-opus-4-6", "anthropic", "anthropic"),
    Column(GEMINI, GEMINI, "gemini-2.5-flash", "gemini", "google"),
    Column(BEDROCK, BEDROCK, "anthropic.claude-opus-4-6-v1:0", "bedrock", "anthropic"),
    Column(COHERE, COHERE, "command-a-03-2025", "cohere", "cohere"),
)
"""A model of each protocol's usual kind. What speaks the first one is a host that nothing special is known of."""

VARIANTS = (
    Column("openai", CHAT, "gpt-5.2", "openai", "openai"),
    Column("azure", CHAT, "gpt-4o", "azure", "openai"),
    Column("mistral", CHAT, "mistral-large-2512", "mistral", "mistral"),
    Column("groq", CHAT, "openai/gpt-oss-120b", "groq", "openai"),
    Column("xai", CHAT, "grok-4.3", "xai", "xai"),
    Column("deepseek", CHAT, "deepseek-chat", "deepseek", "deepseek"),
    Column("together", CHAT, "Qwen/Qwen3.5-397B", "together", "qwen"),
    Column("openrouter", CHAT, "z-ai/glm-5", "openrouter", "zai"),
    Column("perplexity", CHAT, "sonar-pro", "perplexity", "perplexity"),
    Column("huggingface", CHAT, "meta-llama/Llama-4", "huggingface", "meta"),
    Column("cerebras", CHAT, "gpt-oss-120b", "cerebras", "openai"),
    Column("ollama", CHAT, "qwen3", "ollama", "qwen"),
    Column("vllm", CHAT, "qwen3", "vllm", "qwen"),
    Column("sglang", CHAT, "qwen3", "sglang", "qwen"),
    Column("llamacpp", CHAT, "qwen3", "llamacpp", "qwen"),
    Column("claude-opus-4-8", MESSAGES, "claude-opus-4-8", "anthropic", "anthropic"),
    Column("gemini-3-pro", GEMINI, "gemini-3-pro", "gemini", "google"),
    Column("nova-2-lite", BEDROCK, "amazon.nova-2-lite-v1:0", "bedrock", "amazon"),
)
"""Hosts and models that take the protocol of a column in a way of their own: only what differs is shown."""
