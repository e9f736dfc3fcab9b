"""A golden case: what a client sends in its protocol, and the literal body that a provider of another must get.

The expectations are written by hand from the providers' references and recordings, never from what the code answers.
The functions spare the cases what all of them share (a model's name, a limit of 64 tokens), nothing else.
"""

from __future__ import annotations

from typing import Any, NamedTuple

OPENAI, RESPONSES, ANTHROPIC, GEMINI = "openai.chat", "openai.responses", "anthropic.messages", "gemini"
BEDROCK = "bedrock.converse"
COHERE = "cohere.chat"
MAKERS = {
    OPENAI: "openai",
    RESPONSES: "openai",
    ANTHROPIC: "anthropic",
    BEDROCK: "anthropic",
    GEMINI: "google",
    COHERE: "cohere",
}
"""Whose proofs of reasoning a provider of the protocol takes, in these cases."""
PNG = "iVBORw0KGgo="
PDF = "JVBERi0xLjQK"
PNG_URL = f"data:image/png;base64,{PNG}"
PDF_URL = f"data:application/pdf;base64,{PDF}"


class Sent(NamedTuple):
    """What a provider gets. `losses`: what the build names. `cannot`: features for which a router leaves it out."""

    dialect: str
    model: str
    body: dict[str, Any]
    losses: frozenset[str]
    cannot: frozenset[str]


class Case(NamedTuple):
    """`source` says where it stands, when it is not plain from the providers' references."""

    title: str
    client: str
    body: dict[str, Any]
    sent: list[Sent]
    source: str = ""


def chat(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An OpenAI client's body."""
    return {"model": "alias", "max_tokens": 64, "messages": list(messages)} | more


def ask(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    """An Anthropic client's body."""
    return {"model": "alias", "max_tokens": 64, "messages": list(messages)} | more


def generate(*contents: dict[str, Any], config: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A Gemini client's body."""
    return {"contents": list(contents), "generationConfig": {"maxOutputTokens": 64} | (config or {})} | more


def _names(words: str) -> frozenset[str]:
    return frozenset(words.split())


def gpt(*messages: dict[str, Any], model: str = "gpt-4o", losses: str = "", cannot: str = "", **more: Any) -> Sent:
    """What OpenAI gets."""
    body = {"model": model, "max_tokens": 64, "messages": list(messages)} | more
    return Sent(OPENAI, model, body, _names(losses), _names(cannot))


def respond(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A body of a client of the Responses API."""
    return {"model": "alias", "max_output_tokens": 64, "input": list(items)} | more


def response(*items: dict[str, Any], model: str = "gpt-4o", losses: str = "", cannot: str = "", **more: Any) -> Sent:
    """What OpenAI gets at its Responses API."""
    body = {"model": model, "max_output_tokens": 64, "store": False, "input": list(items)} | more
    return Sent(RESPONSES, model, body, _names(losses), _names(cannot))


def claude(
    *messages: dict[str, Any], model: str = "claude-opus-4-6", losses: str = "", cannot: str = "", **more: Any
) -> Sent:
    """What Anthropic gets."""
    body = {"model": model, "max_tokens": 64, "messages": list(messages)} | more
    return Sent(ANTHROPIC, model, body, _names(losses), _names(cannot))


def gemini(
    *contents: dict[str, Any],
    model: str = "gemini-2.5-flash",
    losses: str = "",
    cannot: str = "",
    config: dict[str, Any] | None = None,
    **more: Any,
) -> Sent:
    """What Gemini gets."""
    body = {"contents": list(contents), "generationConfig": {"maxOutputTokens": 64} | (config or {})} | more
    return Sent(GEMINI, model, body, _names(losses), _names(cannot))


def converse(
    *messages: dict[str, Any],
    model: str = "anthropic.claude-opus-4-6-v1:0",
    losses: str = "",
    cannot: str = "",
    config: dict[str, Any] | None = None,
    **more: Any,
) -> Sent:
    """What Bedrock gets."""
    body = {"messages": list(messages), "inferenceConfig": {"maxTokens": 64} | (config or {})} | more
    return Sent(BEDROCK, model, body, _names(losses), _names(cannot))


def turn(*blocks: Any, role: str = "user") -> dict[str, Any]:
    """A turn in Bedrock's form; a string stands for a text block."""
    return {"role": role, "content": [{"text": one} if isinstance(one, str) else one for one in blocks]}


def user(content: Any) -> dict[str, Any]:
    """A turn of the user, OpenAI's and Anthropic's alike."""
    return {"role": "user", "content": content}


def assistant(content: Any, **more: Any) -> dict[str, Any]:
    """A turn of the model, OpenAI's and Anthropic's alike."""
    return {"role": "assistant", "content": content} | more


def said(*parts: Any, role: str = "user") -> dict[str, Any]:
    """A turn in Gemini's form; a string stands for a text part."""
    return {"role": role, "parts": [{"text": part} if isinstance(part, str) else part for part in parts]}


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call in OpenAI's form."""
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def text(words: str) -> dict[str, Any]:
    """A text part, OpenAI's and Anthropic's alike."""
    return {"type": "text", "text": words}


def item(role: str, content: Any) -> dict[str, Any]:
    """A message of the Responses API."""
    return {"type": "message", "role": role, "content": content}


def called(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    """A tool call of the Responses API."""
    return {"type": "function_call", "call_id": call_id, "name": name, "arguments": arguments}


def output(call_id: str, content: Any) -> dict[str, Any]:
    """A tool's result in the Responses API."""
    return {"type": "function_call_output", "call_id": call_id, "output": content}


def words(text: str) -> dict[str, Any]:
    """A text part of what is asked, in the Responses API."""
    return {"type": "input_text", "text": text}
