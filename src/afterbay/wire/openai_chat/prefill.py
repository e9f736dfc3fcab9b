"""How a server of chat completions is told that the last message, the assistant's, is to be gone on with.

Sources, November 2026: docs.mistral.ai, AssistantMessage.prefix; api-docs.deepseek.com, "Chat Prefix Completion"
(with the address that ends in /beta); vLLM's and SGLang's ChatCompletionRequest (`continue_final_message`, not together
with `add_generation_prompt`); llama.cpp's server does so unasked.
"""

from __future__ import annotations

import msgspec


def as_prefill(body: bytes, vendor: str) -> bytes:
    """The body of a request whose last message is a prefill, as this vendor wants it said."""
    if vendor not in ("mistral", "deepseek", "vllm", "sglang"):
        return body
    data = msgspec.json.decode(body)
    if vendor in ("vllm", "sglang"):
        data |= {"continue_final_message": True} | ({"add_generation_prompt": False} if vendor == "vllm" else {})
    else:
        data["messages"][-1]["prefix"] = True
    return msgspec.json.encode(data)
