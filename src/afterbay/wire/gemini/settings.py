"""A client's generationConfig, tools, toolConfig and safetySettings.

What has no canonical form is noted by name: `foreign` where it changes the answer, `hints` where it does not.
Source: ai.google.dev/api/generate-content, read in the google-genai 3.6 types, and recordings.
"""

from __future__ import annotations

import msgspec

from afterbay.core.errors import ClientMistake
from afterbay.core.request import Reasoning, ResponseFormat, Sampling, ToolChoice, ToolSpec
from afterbay.wire.gemini.fields import Fields, fields, integer, items, join, number, switch, text, texts
from afterbay.wire.gemini.schema import json_schema

_UNFILTERED = frozenset({"BLOCK_NONE", "OFF", "HARM_BLOCK_THRESHOLD_UNSPECIFIED"})
_MODES = {"AUTO": "auto", "VALIDATED": "auto", "MODE_UNSPECIFIED": "auto", "ANY": "required", "NONE": "none"}
_CONFIG = "generationConfig"


class Notes:
    """Names of what a request holds and the canonical form does not, in order of appearance."""

    def __init__(self) -> None:
        self.foreign: dict[str, None] = {}
        self.hints: dict[str, None] = {}

    def rest(self, left: Fields, where: str) -> None:
        """Notes every field that nobody took."""
        for name in left:
            self.foreign[join(where, name)] = None


class Settings(msgspec.Struct, frozen=True):
    """What generationConfig says."""

    sampling: Sampling = Sampling()
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None


def read_config(raw: msgspec.Raw | None, notes: Notes) -> Settings:
    """Reads generationConfig.

    Logprobs count as foreign: a Gemini target can give them, but the canonical answer has no place for them, so only
    a relay will do.
    """
    if raw is None:
        return Settings()
    left = fields(raw, _CONFIG)

    def at(name: str) -> tuple[msgspec.Raw | None, str]:
        return left.pop(name, None), f"{_CONFIG}.{name}"

    sampling = Sampling(
        max_output_tokens=integer(*at("maxOutputTokens")),
        temperature=number(*at("temperature")),
        top_p=number(*at("topP")),
        top_k=integer(*at("topK")),
        stop=texts(*at("stopSequences")),
        seed=integer(*at("seed")),
        presence_penalty=number(*at("presencePenalty")),
        frequency_penalty=number(*at("frequencyPenalty")),
        n=integer(*at("candidateCount")),
    )
    modalities = texts(*at("responseModalities"))
    if any(modality.upper() != "TEXT" for modality in modalities):
        notes.foreign[f"{_CONFIG}.responseModalities"] = None
    settings = Settings(sampling, _read_format(left, notes), _read_thinking(left.pop("thinkingConfig", None), notes))
    notes.rest(left, _CONFIG)
    return settings


def _read_format(left: Fields, notes: Notes) -> ResponseFormat | None:
    """text/x.enum is foreign: it wants one bare word of the schema, which no other protocol can ask for."""
    mime = text(left.pop("responseMimeType", None), f"{_CONFIG}.responseMimeType")
    where = f"{_CONFIG}.responseSchema"
    schema, plain = left.pop("responseSchema", None), left.pop("responseJsonSchema", None)
    if mime not in (None, "text/plain", "application/json"):
        notes.foreign[f"{_CONFIG}.responseMimeType"] = None
        return None
    if plain is not None:
        return ResponseFormat("json_schema", schema=bytes(plain))
    if schema is not None:
        return ResponseFormat("json_schema", schema=_schema(schema, where))
    if mime == "application/json":
        return ResponseFormat("json_object")
    return ResponseFormat("text") if mime else None


def _read_thinking(raw: msgspec.Raw | None, notes: Notes) -> Reasoning | None:
    """Thoughts are hidden unless asked for, so a config that only says so asks for nothing."""
    where = f"{_CONFIG}.thinkingConfig"
    if raw is None:
        return None
    left = fields(raw, where)
    effort = text(left.pop("thinkingLevel", None), f"{where}.thinkingLevel")
    budget = integer(left.pop("thinkingBudget", None), f"{where}.thinkingBudget")
    show = switch(left.pop("includeThoughts", None), f"{where}.includeThoughts")
    notes.rest(left, where)
    if effort is not None:
        effort = effort.lower().removeprefix("thinking_level_")
        effort = None if effort == "unspecified" else effort
    return None if effort is None and budget is None and not show else Reasoning(effort, budget, bool(show))


def read_tools(raw: msgspec.Raw | None, notes: Notes) -> tuple[ToolSpec, ...]:
    """The declared functions; Google's own tools (search, code execution, ...) are foreign."""
    specs: list[ToolSpec] = []
    for index, tool in enumerate(items(raw, "tools")):
        where = f"tools[{index}]"
        left = fields(tool, where)
        declared = items(left.pop("functionDeclarations", None), f"{where}.functionDeclarations")
        for number_, declaration in enumerate(declared):
            specs.append(_read_declaration(declaration, f"{where}.functionDeclarations[{number_}]", notes))
        notes.rest(left, "tools")
    return tuple(specs)


def _read_declaration(raw: msgspec.Raw, where: str, notes: Notes) -> ToolSpec:
    left = fields(raw, where)
    name = text(left.pop("name", None), f"{where}.name")
    if not name:
        raise ClientMistake(f"{where}.name: a function needs a name.", param=f"{where}.name")
    description = text(left.pop("description", None), f"{where}.description")
    schema, plain = left.pop("parameters", None), left.pop("parametersJsonSchema", None)
    for name_ in ("response", "responseJsonSchema"):  # describes the result to the model; no other protocol has it
        if left.pop(name_, None) is not None:
            notes.hints[f"tools.functionDeclarations.{name_}"] = None
    notes.rest(left, "tools.functionDeclarations")
    if plain is not None:
        if not bytes(plain).lstrip().startswith(b"{"):
            at = f"{where}.parametersJsonSchema"
            raise ClientMistake(f"{at}: a schema must be an object.", param=at)
        return ToolSpec(name, description, bytes(plain))
    if schema is not None:
        return ToolSpec(name, description, _schema(schema, f"{where}.parameters"))
    return ToolSpec(name, description)


def _schema(raw: msgspec.Raw, where: str) -> bytes:
    try:
        return json_schema(bytes(raw))
    except ValueError as error:
        raise ClientMistake(f"{where}: a schema must be an object.", param=where) from error


def read_tool_config(raw: msgspec.Raw | None, notes: Notes) -> ToolChoice | None:
    """functionCallingConfig as a tool choice.

    VALIDATED is `auto` with a promise about the form of the arguments: the promise is a hint. A choice among some of
    the tools, or among all of them under AUTO, cannot be said elsewhere and is foreign.
    """
    if raw is None:
        return None
    left = fields(raw, "toolConfig")
    calling = left.pop("functionCallingConfig", None)
    notes.rest(left, "toolConfig")
    if calling is None:
        return None
    where = "toolConfig.functionCallingConfig"
    left = fields(calling, where)
    mode = (text(left.pop("mode", None), f"{where}.mode") or "AUTO").upper()
    names = texts(left.pop("allowedFunctionNames", None), f"{where}.allowedFunctionNames")
    notes.rest(left, where)
    if mode == "VALIDATED":
        notes.hints[f"{where}.mode"] = None
    chosen = _MODES.get(mode)
    if chosen is None:
        raise ClientMistake(f"{where}.mode: {mode} is none of {', '.join(_MODES)}.", param=f"{where}.mode")
    if chosen == "required" and len(names) == 1:
        return ToolChoice("tool", names[0])
    if names and chosen != "none":
        notes.foreign[f"{where}.allowedFunctionNames"] = None
    return ToolChoice("required" if chosen == "required" else "none" if chosen == "none" else "auto")


def read_safety(raw: msgspec.Raw | None, notes: Notes) -> None:
    """safetySettings that only lift Google's filters are a hint, since no other provider has these filters; those
    that ask for filtering change what the client may see, and are foreign."""
    for index, setting in enumerate(items(raw, "safetySettings")):
        where = f"safetySettings[{index}]"
        threshold = text(fields(setting, where).get("threshold"), f"{where}.threshold")
        if threshold in _UNFILTERED:
            notes.hints["safetySettings"] = None
        else:
            notes.foreign["safetySettings"] = None
