"""The official SDKs' own types as judges of a request: nothing missing, nothing unknown, everything of its type.

openai and anthropic describe requests as TypedDicts. pydantic would read them leniently (it drops unknown fields and
validates iterables late), so a body is held against them here, field by field. google-genai has pydantic models that
forbid unknown fields already, and botocore validates a request against the service's own description.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, Required, Union, get_args, get_origin

from anthropic.types import message_create_params
from botocore.loaders import Loader
from botocore.model import ServiceModel
from botocore.validate import ParamValidator
from google.genai import types as genai
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import BaseModel, ValidationError
from typing_extensions import get_type_hints, is_typeddict

from wire.golden.case import ANTHROPIC, BEDROCK, COHERE, GEMINI, OPENAI, RESPONSES

_PARAMS: dict[str, Any] = {
    OPENAI: completion_create_params.CompletionCreateParams,
    RESPONSES: response_create_params.ResponseCreateParams,
    ANTHROPIC: message_create_params.MessageCreateParams,
}
_GEMINI: dict[str, tuple[type[BaseModel], bool]] = {
    "contents": (genai.Content, True),
    "systemInstruction": (genai.Content, False),
    "tools": (genai.Tool, True),
    "toolConfig": (genai.ToolConfig, False),
    "safetySettings": (genai.SafetySetting, True),
    "generationConfig": (genai.GenerationConfig, False),
}
"""The fields of a generateContent body and their models; whether they are lists."""


EXCEPTIONS: dict[str, dict[str, str]] = {
    ANTHROPIC: {
        r"\.messages\[\d+\]\.content\[\d+\]\.source\.media_type: 'application/vnd[^']*' not allowed": "a file that "
        "the client sent and Anthropic does not read: its own 400 says so (recording 0cd1fcdee2dcc4b6)",
        r"\.(temperature|top_k|top_p): unknown": "gone from the SDK's types in 2.x, since the newest models take none; "
        "the API takes them for the others (recordings 397bcacd5a1b257a, 94b85981607c3b3f)",
    },
    OPENAI: {
        r"\.messages\[\d+\]\.tool_calls\[\d+\]\.extra_content: unknown": "carries Gemini's thought signature, see "
        "ai.google.dev/gemini-api/docs/openai; only where a client of Gemini's is translated",
        r"\.reasoning_effort: 'default' not allowed": "Groq's own word, kept among hosts of this protocol "
        "(recording 841836a5b23f4326)",
    },
    RESPONSES: {
        r"\.input\[\d+\]\.id: missing": "reasoning without its id, as Codex sends it",
        r"\.reasoning\.effort: 'default' not allowed": "Groq's own word, as above",
    },
    GEMINI: {},
    BEDROCK: {},
}
"""What the types have against a body that is right all the same: a pattern of complaints, and why."""


def complaints(dialect: str, body: Any) -> list[str]:
    """What the SDK's types have against a body, as `path: reason`, but for the EXCEPTIONS; empty when nothing."""
    if dialect == COHERE:  # its SDK is no dependency: `shapes` knows the fields
        return []
    if dialect == GEMINI:
        found = _gemini(body)
    elif dialect == BEDROCK:
        found = _bedrock(body)
    else:
        found = _against(body, _PARAMS[dialect], "")
    return [one for one in found if not any(re.fullmatch(known, one) for known in EXCEPTIONS[dialect])]


def _gemini(body: dict[str, Any]) -> list[str]:
    found = []
    for name, value in body.items():
        if name not in _GEMINI:
            found.append(f"{name}: unknown")
            continue
        model, many = _GEMINI[name]
        for index, item in enumerate(value if many else [value]):
            try:
                model.model_validate_json(json.dumps(item))
            except ValidationError as error:
                at = f"{name}[{index}]" if many else name
                found += [f"{at}.{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
    return found


@cache
def _converse() -> Any:
    description = Loader().load_service_model("bedrock-runtime", "service-2")
    return ServiceModel(description, "bedrock-runtime").operation_model("Converse").input_shape


def _bedrock(body: dict[str, Any]) -> list[str]:
    """botocore's own check, which knows types, ranges and what must be there; and the words and patterns of strings,
    which it leaves to the service. A free document is of no type for it."""
    report = ParamValidator().validate({"modelId": "m"} | body, _converse())
    found = report.generate_report().splitlines() if report.has_errors() else []
    return found + _strings(body, _converse(), "")


def _strings(value: Any, shape: Any, at: str) -> list[str]:
    if getattr(shape, "is_document_type", False):
        return []
    if shape.type_name == "structure":
        inner = shape.members
        return [one for k, v in value.items() if k in inner for one in _strings(v, inner[k], f"{at}.{k}")]
    if shape.type_name == "list":
        return [one for i, v in enumerate(value) for one in _strings(v, shape.member, f"{at}[{i}]")]
    if shape.type_name != "string":
        return []
    most = shape.metadata.get("max")
    found = [f"{at}: longer than {most}"] if most is not None and len(value) > most else []
    if shape.enum and value not in shape.enum:
        found.append(f"{at}: {value!r} not allowed")
    pattern = _PATTERNS.get(shape.name)
    return found + ([f"{at}: {value!r} has other characters"] if pattern and not re.fullmatch(pattern, value) else [])


_PATTERNS = {
    "ToolUseId": r"[a-zA-Z0-9_.:-]+",
    "DocumentBlockNameString": r"(?:[A-Za-z0-9\-()\[\]]+\s?)+",
}
"""What the service's description says of strings; the second in words. A tool's name is the client's own."""


@cache
def _fields(shape: Any) -> dict[str, tuple[Any, bool]]:
    """The fields of a TypedDict: their types, and whether they must be there."""
    hints = get_type_hints(shape, include_extras=True)
    return {
        name: (get_args(hint)[0], True) if get_origin(hint) is Required else (hint, False)
        for name, hint in hints.items()
    }


def _against(value: Any, kind: Any, at: str) -> list[str]:
    if kind in (Any, object):
        return []
    if is_typeddict(kind):
        return _object(value, kind, at)
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return _union(value, inner, at)
    if origin is Literal:
        return (
            [] if value in inner and type(value) in {type(one) for one in inner} else [f"{at}: {value!r} not allowed"]
        )
    if origin is not None and _is_list(origin):
        if not isinstance(value, list):
            return [f"{at}: no list"]
        return [one for index, item in enumerate(value) for one in _against(item, inner[0], f"{at}[{index}]")]
    if origin in (dict, Mapping) or (origin is not None and issubclass(origin, Mapping)):
        if not isinstance(value, dict):
            return [f"{at}: no object"]
        return [one for name, item in value.items() for one in _against(item, inner[1], f"{at}.{name}")]
    return [] if _is_plain(value, kind) else [f"{at}: {type(value).__name__} is no {getattr(kind, '__name__', kind)}"]


def _is_list(origin: Any) -> bool:
    return origin in (list, Iterable) or getattr(origin, "__name__", "") in ("SequenceNotStr", "Sequence", "Iterable")


def _is_plain(value: Any, kind: Any) -> bool:
    if kind is None or kind is type(None):
        return value is None
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    return kind in (str, int, bool, dict, list) and isinstance(value, kind)


def _object(value: Any, kind: Any, at: str) -> list[str]:
    if not isinstance(value, dict):
        return [f"{at}: no object"]
    fields = _fields(kind)
    found = [f"{at}.{name}: missing" for name, (_, needed) in fields.items() if needed and name not in value]
    found += [f"{at}.{name}: unknown" for name in value if name not in fields]
    for name in value.keys() & fields.keys():
        found += _against(value[name], fields[name][0], f"{at}.{name}")
    return found


def _union(value: Any, kinds: tuple[Any, ...], at: str) -> list[str]:
    """Nothing when one of the kinds fits, else the complaints of the one that comes nearest."""
    nearest: list[str] | None = None
    for kind in kinds:
        found = _against(value, kind, at)
        if not found:
            return []
        if nearest is None or _weight(found, at) < _weight(nearest, at):
            nearest = found
    return nearest or [f"{at}: of no kind"]


def _weight(found: list[str], at: str) -> tuple[bool, bool, int]:
    """A wrong kind (`type`, `role`) is further off than a wrong field."""
    tells = any(one.startswith((f"{at}.type: ", f"{at}.role: ")) for one in found)
    return any(one.startswith(f"{at}: ") for one in found), tells, len(found)
