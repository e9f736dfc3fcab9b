"""Which fields of the official SDKs' request types the probes touch, and which they leave, with the reason.

openai and anthropic describe requests as TypedDicts, google-genai as pydantic models. All that a request's type
leads to is looked at; a field that no probe says and `NOT_PROBED` does not name makes the test fail.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from types import UnionType
from typing import Any, Literal, Required, Union, get_args, get_origin

from anthropic.types import message_create_params
from google.genai import types as genai
from openai.types.chat import completion_create_params
from openai.types.responses import response_create_params
from pydantic import BaseModel, ValidationError
from typing_extensions import get_type_hints, is_typeddict

from .probe import CHAT, GEMINI, MESSAGES, RESPONSES, Probe

ROOTS: dict[str, Any] = {
    CHAT: get_args(completion_create_params.CompletionCreateParams)[0],
    RESPONSES: get_args(response_create_params.ResponseCreateParams)[0],
    MESSAGES: get_args(message_create_params.MessageCreateParams)[0],
}
GEMINI_ROOTS: dict[str, type[BaseModel]] = {
    "contents": genai.Content,
    "systemInstruction": genai.Content,
    "tools": genai.Tool,
    "toolConfig": genai.ToolConfig,
    "safetySettings": genai.SafetySetting,
    "generationConfig": genai.GenerationConfig,
}
OMITTED = ("strict", "parameters")
"""Required by a type, and left out by clients all the same."""

WHOLE = "a built-in tool or its history: told apart by its type alone, one probe a type; its settings go with it"
FOREIGN = "within a field that is kept or refused as a whole"
SAME = "the same field as in its input form, which is probed"
SCHEMA = "a schema is passed on as it is; the keywords of Gemini's are probed by tests/wire/test_gemini_requests.py"

NOT_PROBED: dict[str, dict[str, str]] = {
    CHAT: {
        r"(File)?PromptCacheBreakpoint\.ttl": FOREIGN,
        r"VoiceID\..*": FOREIGN,
        r"Moderation\.policy|ModerationPolicy.*": FOREIGN,
    },
    RESPONSES: {
        r"PromptCacheBreakpoint\.ttl|PromptCacheOptions\..*": FOREIGN,
        r"ResponseCreateParamsNonStreaming\.access_programs|AccessPrograms\..*|BackgroundOptions\..*": FOREIGN,
        r"Moderation\.policy|ModerationPolicy.*": FOREIGN,
        r"Annotation.*|LogprobTopLogprob\..*": "within annotations and logprobs of an earlier answer, named as a whole",
        r"ResponseOutputMessageParam\.phase": SAME,
        r"ResponseInput(Text|Image|File)ContentParam\..*|FunctionCallOutputCallerDirect\..*": SAME,
        r"(ResponseCustomToolCall(Output)?Param|CustomToolParam|ToolFunction|AdditionalTools)\..*": "custom tools and "
        "namespaces, of which the tool and its history are probed",
        r"(Action|Click|DoubleClick|Drag|Keypress|Move|Screenshot|Scroll|Type|Wait|Computer|ResponseComputer).*": WHOLE,
        r"(PendingSafetyCheck|ResponseFileSearchToolCallParam|Result|FileSearchToolParam|ComparisonFilter)\..*": WHOLE,
        r"(CompoundFilter|RankingOptions.*|WebSearch.*|Filters|UserLocation)\..*": WHOLE,
        r"(Tool)?(Mcp|CodeInterpreter|ImageGeneration|ProgrammaticToolCalling|LocalShell).*": WHOLE,
        r"(ToolSearch|ResponseToolSearch|Container|FunctionShell|SkillReference|InlineSkill|LocalEnvironment).*": WHOLE,
        r"(LocalSkillParam|Text|OutputLogs|OutputImage|OutcomeTimeout|OutcomeExit|HTTPError)\..*": WHOLE,
        r"(ShellCall|ResponseFunctionShell|ApplyPatch|Program).*|ResponseConfigurationUpdate.*": WHOLE,
        r"CompactionTrigger\..*|ResponseCompactionItemParamParam\.id": WHOLE,
        r"ToolChoice(Mcp|ApplyPatch|Shell|SpecificProgrammatic).*": WHOLE,
    },
    MESSAGES: {
        r"Citation.*|TextBlock\..*": "within citations and blocks of an earlier answer, of which one kind is probed",
        r"ImageTransformationsParam\..*|ContainerParams\..*|SkillParams\..*": FOREIGN,
        r"(ThinkingBlock|RedactedThinkingBlock|ToolUseBlock|DocumentBlock|Base64PDFSource|PlainTextSource)\..*": SAME,
        r"DirectCaller\..*": SAME,
        r"(SearchResultBlockParam|Tool(Search|Reference|Bash|TextEditor).*|Server.*|ContainerUploadBlock.*)\..*": WHOLE,
        r"(Browser|Computer|Web|Bash|Code|Encrypted|TextEditor|MemoryTool|UserLocation).*": WHOLE,
        r"MessageCreateParamsNonStreaming\.stream": "probed as true; this type has only false",
        r"ThinkingConfigAdaptiveParam\.display": SAME,
    },
    GEMINI: {
        r"Schema\..*": SCHEMA,
        r"(ExecutableCode|PartialArg|ToolCall|ToolResponse|Transcription|WordInfo)\..*": WHOLE,
        r"(VideoMetadata|DocumentMetadata|SpreadsheetMetadata|AudioMetadata|SpeechMetadata)\..*": FOREIGN,
        r"GenerationConfigRoutingConfig.*": FOREIGN,
        r"PartMediaResolution\..*|Part\.mediaProcessing": FOREIGN,
        r"FunctionResponse(Part|FileData|Blob)\..*": SAME,
        r"(ApiKeyConfig|RagRetrievalConfig.*)\..*": WHOLE,
        r"(Retrieval|ExternalApi|ApiAuth|VertexAISearch|VertexRagStore|GoogleSearch|SearchTypes).*": WHOLE,
        r"(Interval|GoogleMaps|ToolParallelAi|StreamableHttp|ToolExaAi|FileSearch|ComputerUse).*": WHOLE,
        r"(AuthConfig|UrlContext|CodeExecution|EnterpriseWebSearch|McpServer|DynamicRetrieval).*": WHOLE,
        r"(LatLng|RetrievalConfig)\..*": FOREIGN,
        r"(VoiceConsent|Voice|Speech|Speaker|MultiSpeaker|Prebuilt|Replicated|Custom).*": FOREIGN,
        r"(.*ResponseFormat|ImageConfig.*|LanguageHints|AudioTranscriptionConfig|TranslationConfig)\..*": FOREIGN,
    },
}
"""By protocol: a pattern of `Type.field`, and why nothing of it is probed."""


@cache
def typed_fields(shape: Any) -> dict[str, tuple[Any, bool]]:
    """The fields of a TypedDict: their types, and whether they must be there."""
    hints = get_type_hints(shape, include_extras=True)
    return {n: (get_args(h)[0], True) if get_origin(h) is Required else (h, False) for n, h in hints.items()}


def inner(kind: Any) -> list[Any]:
    """The types that a type leads to at once."""
    return [one for one in get_args(kind) if not isinstance(one, str | int | bool)]


def reachable(kind: Any, found: dict[str, None] | None = None, seen: set[Any] | None = None) -> dict[str, None]:
    """All `Type.field` that a request may hold."""
    found, seen = {} if found is None else found, set() if seen is None else seen
    if is_typeddict(kind):
        if kind not in seen:
            seen.add(kind)
            for name, (value, _) in typed_fields(kind).items():
                found[f"{kind.__name__}.{name}"] = None
                reachable(value, found, seen)
    elif isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind not in seen:
            seen.add(kind)
            for name, field in kind.model_fields.items():
                found[f"{kind.__name__}.{field.alias or name}"] = None
                reachable(field.annotation, found, seen)
    elif get_origin(kind) is not Literal:
        for one in inner(kind):
            reachable(one, found, seen)
    return found


def touched(value: Any, kind: Any, found: dict[str, None]) -> bool:
    """Notes the fields of `kind` that `value` says; whether it is of that kind at all."""
    if kind in (Any, object):
        return True
    if is_typeddict(kind):
        return isinstance(value, dict) and _object(value, kind, found)
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        fits = False
        for one in get_args(kind):
            here: dict[str, None] = {}
            if touched(value, one, here):
                found.update(here)
                fits = True
        return fits
    if origin is Literal:
        return value in get_args(kind)
    if isinstance(value, list):
        is_list = origin in (list, Iterable) or getattr(origin, "__name__", "") in (
            "SequenceNotStr",
            "Sequence",
            "Iterable",
        )
        return is_list and all(touched(item, get_args(kind)[0], found) for item in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(touched(item, get_args(kind)[1], found) for item in value.values())
    return _is_plain(value, kind)


def _object(value: dict[str, Any], kind: Any, found: dict[str, None]) -> bool:
    fields = typed_fields(kind)
    if any(needed and name not in value and name not in OMITTED for name, (_, needed) in fields.items()):
        return False
    here: dict[str, None] = {}
    for name in value.keys() & fields.keys():
        if not touched(value[name], fields[name][0], here):
            return False
        here[f"{kind.__name__}.{name}"] = None
    found.update(here)
    return True


def _is_plain(value: Any, kind: Any) -> bool:
    if value is None or isinstance(value, bool):
        return kind in (None, type(None), bool)
    if kind is float:
        return isinstance(value, int | float)
    return kind in (str, int, dict) and isinstance(value, kind)


def modelled(model: BaseModel, found: dict[str, None]) -> None:
    """Notes the fields of a pydantic model that were set."""
    fields = type(model).model_fields
    for name in model.model_fields_set:
        if name in fields:
            found[f"{type(model).__name__}.{fields[name].alias or name}"] = None
            value = getattr(model, name)
            for one in value if isinstance(value, list) else value.values() if isinstance(value, dict) else [value]:
                if isinstance(one, BaseModel):
                    modelled(one, found)


def said_by(protocol: str, probes: Iterable[Probe]) -> dict[str, None]:
    """All `Type.field` that the probes say."""
    found: dict[str, None] = {}
    for probe in probes:
        if protocol != GEMINI:
            touched(probe.body, ROOTS[protocol], found)
            continue
        for name, value in probe.body.items():
            for item in value if isinstance(value, list) else [value]:
                if name in GEMINI_ROOTS:
                    try:
                        modelled(GEMINI_ROOTS[name].model_validate(item), found)
                    except (ValidationError, AttributeError):  # a value that the SDK would not send
                        continue
    return found


def all_of(protocol: str) -> dict[str, None]:
    """All `Type.field` of a protocol."""
    if protocol != GEMINI:
        return reachable(ROOTS[protocol])
    found: dict[str, None] = {}
    seen: set[Any] = set()
    for model in GEMINI_ROOTS.values():
        reachable(model, found, seen)
    return found


def left(protocol: str, probes: Iterable[Probe]) -> list[str]:
    """Fields that are neither said by a probe nor named in `NOT_PROBED`."""
    said, known = said_by(protocol, probes), NOT_PROBED[protocol]
    rest = [one for one in all_of(protocol) if one not in said]
    return [one for one in rest if not any(re.fullmatch(pattern, one) for pattern in known)]


def needless(protocol: str, probes: Iterable[Probe]) -> list[str]:
    """Entries of `NOT_PROBED` that name nothing that is left."""
    said = said_by(protocol, probes)
    rest = [one for one in all_of(protocol) if one not in said]
    return [pattern for pattern in NOT_PROBED[protocol] if not any(re.fullmatch(pattern, one) for one in rest)]
