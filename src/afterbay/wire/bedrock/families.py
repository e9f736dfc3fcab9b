"""What families of models take beside the common fields. Converse passes `additionalModelRequestFields` on to them.

Source: recordings (Claude, Nova's `topK`, Qwen, gpt-oss), docs.aws.amazon.com "Nova 2, extended thinking" and the model
parameters pages of Cohere and Mistral (November 2026).
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

Family: TypeAlias = Literal["claude", "nova2", "nova", "gpt-oss", "qwen", "cohere", "mistral", ""]

_OPAQUE = re.compile(r"arn:.*:(?:application-inference-profile|provisioned-model|custom-model-deployment)/")


def family_of(model: str) -> Family:
    """The family of a model id or ARN; empty where nothing is known of it.

    An ARN that does not say its model counts as Claude's where a request asks for thinking: no other family has a
    budget, and the provider refuses a field that its model does not know.
    """
    name = model.lower()
    if "claude" in name or _OPAQUE.match(name):
        return "claude"
    if "amazon.nova" in name:
        return "nova2" if "nova-2" in name else "nova"
    if "openai.gpt-oss" in name:
        return "gpt-oss"
    for family in ("qwen", "cohere", "mistral"):
        if f"{family}." in name:
            return family
    return ""


def is_claude(model: str) -> bool:
    """Whether Anthropic's own rules hold (tool ids, white space at the end of a prefill, sampling)."""
    return "claude" in model.lower()


def top_k_field(family: Family, top_k: int) -> dict[str, object] | None:
    """How a family is told `top_k`; None: not at all."""
    match family:
        case "claude" | "mistral":
            return {"top_k": top_k}
        case "nova" | "nova2":
            return {"inferenceConfig": {"topK": top_k}}
        case "cohere":
            return {"k": top_k}
        case _:
            return None
