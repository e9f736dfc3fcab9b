"""What a client of Gemini can ask for. Source: the types of the google-genai SDK 3.6."""

from __future__ import annotations

from typing import Any

from .probe import PDF, PNG, WAV, Probe

HI = {"role": "user", "parts": [{"text": "hi"}]}
BASE: dict[str, Any] = {"contents": [HI], "generationConfig": {"maxOutputTokens": 64}}
SCHEMA = {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}, "required": ["city"]}
PLAIN = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TWO = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}, "b": {"type": "STRING"}}}
DECLARED = {"name": "weather", "parameters": SCHEMA}
TOOLS = BASE | {"tools": [{"functionDeclarations": [DECLARED, {"name": "time", "parameters": SCHEMA}]}]}
CALL = {"functionCall": {"name": "weather", "args": {"city": "Rome"}}}
RESULT: dict[str, Any] = {"functionResponse": {"name": "weather", "response": {"sky": "clear"}}}


def config(name: str, value: Any, title: str = "", base: dict[str, Any] | None = None) -> Probe:
    before = BASE["generationConfig"] | (base or {})
    shown = title or (
        f"={str(value).lower() if isinstance(value, bool) else value}" if not isinstance(value, dict | list) else ""
    )
    return Probe(
        f"generationConfig.{name}{shown}",
        BASE | {"generationConfig": before | {name: value}},
        BASE | {"generationConfig": before},
    )


def field(name: str, value: Any, title: str = "") -> Probe:
    return Probe(name + title, BASE | {name: value}, BASE)


def part(title: str, value: dict[str, Any], before: dict[str, Any] | None = None) -> Probe:
    base = [{"text": "so"}] if before is None else [{"text": "so"}, before]
    return Probe(
        f"contents[user].parts.{title}",
        BASE | {"contents": [{"role": "user", "parts": [{"text": "so"}, value]}]},
        BASE | {"contents": [{"role": "user", "parts": base}]},
    )


def model(title: str, value: dict[str, Any], before: dict[str, Any] | None = None) -> Probe:
    def body(*parts: dict[str, Any]) -> dict[str, Any]:
        return BASE | {"contents": [HI, {"role": "model", "parts": [{"text": "yes?"}, *parts]}, HI]}

    return Probe(f"contents[model].parts.{title}", body(value), body(*([] if before is None else [before])))


def called(call: dict[str, Any] = CALL, result: dict[str, Any] = RESULT) -> dict[str, Any]:
    return TOOLS | {"contents": [HI, {"role": "model", "parts": [call]}, {"role": "user", "parts": [result]}]}


def result(title: str, **more: Any) -> Probe:
    changed = {"functionResponse": RESULT["functionResponse"] | more}
    return Probe(f"contents[].parts.functionResponse.{title}", called(result=changed), called())


def calling(title: str, **value: Any) -> Probe:
    return Probe(
        f"toolConfig.functionCallingConfig.{title}", TOOLS | {"toolConfig": {"functionCallingConfig": value}}, TOOLS
    )


def declared(title: str, **more: Any) -> Probe:
    base = BASE | {"tools": [{"functionDeclarations": [DECLARED]}]}
    return Probe(
        f"tools[].functionDeclarations.{title}", BASE | {"tools": [{"functionDeclarations": [DECLARED | more]}]}, base
    )


INLINE = {"inlineData": {"mimeType": "image/png", "data": PNG}}
VIDEO = {"inlineData": {"mimeType": "video/mp4", "data": "AAAA"}}
GOOGLE_TOOLS: dict[str, Any] = {
    "googleSearch": {},
    "googleSearchRetrieval": {},
    "codeExecution": {},
    "urlContext": {},
    "googleMaps": {},
    "enterpriseWebSearch": {},
    "computerUse": {"environment": "ENVIRONMENT_BROWSER"},
    "fileSearch": {"fileSearchStoreNames": ["s"]},
    "mcpServers": [{"name": "s"}],
    "retrieval": {"vertexAiSearch": {"datastore": "d"}},
    "exaAiSearch": {"apiKey": "k"},
    "parallelAiSearch": {"apiKey": "k"},
}
CONFIGS: list[tuple[str, Any]] = [
    ("maxOutputTokens", 32),
    ("temperature", 0.5),
    ("temperature", 1.5),
    ("topP", 0.5),
    ("topK", 5),
    ("seed", 7),
    ("presencePenalty", 0.5),
    ("frequencyPenalty", 0.5),
    ("candidateCount", 2),
    ("responseLogprobs", True),
    ("logprobs", 2),
    ("mediaResolution", "MEDIA_RESOLUTION_LOW"),
    ("audioTimestamp", True),
    ("enableAffectiveDialog", True),
    ("enableEnhancedCivicAnswers", True),
]
SAFE = "HARM_CATEGORY_HARASSMENT"

PROBES = [
    *(config(name, value) for name, value in CONFIGS),
    config("stopSequences", ["A", "B"]),
    config("stopSequences", ["A", "B", "C", "D", "E", "F"], " (six)"),
    config("responseMimeType", "text/plain"),
    config("responseMimeType", "application/json"),
    config("responseMimeType", "text/x.enum"),
    config("responseSchema", SCHEMA, base={"responseMimeType": "application/json"}),
    config(
        "responseSchema",
        TWO | {"propertyOrdering": ["b", "a"]},
        ".propertyOrdering",
        base={"responseMimeType": "application/json", "responseSchema": TWO},
    ),
    config(
        "responseSchema",
        SCHEMA | {"nullable": True},
        ".nullable",
        base={"responseMimeType": "application/json", "responseSchema": SCHEMA},
    ),
    config("responseJsonSchema", PLAIN, base={"responseMimeType": "application/json"}),
    config("responseFormat", [{"text": {"mimeType": "APPLICATION_JSON"}}]),
    config("responseModalities", ["TEXT"], " [TEXT]"),
    config("responseModalities", ["TEXT", "IMAGE"], " [TEXT, IMAGE]"),
    config("speechConfig", {"languageCode": "it-IT"}),
    config("imageConfig", {"aspectRatio": "1:1"}),
    config("routingConfig", {"manualMode": {"modelName": "x"}}),
    config("modelSelectionConfig", {"featureSelectionPreference": "BALANCED"}),
    config("audioTranscriptionConfig", {"languageCodes": ["it"]}),
    config("translationConfig", {"targetLanguageCode": "it"}),
    *(
        config("thinkingConfig", {"thinkingLevel": level}, f".thinkingLevel={level}")
        for level in ("MINIMAL", "LOW", "MEDIUM", "HIGH")
    ),
    *(
        config("thinkingConfig", {"thinkingBudget": budget}, f".thinkingBudget={budget}")
        for budget in (0, -1, 2048, 20000)
    ),
    config("thinkingConfig", {"includeThoughts": True}, ".includeThoughts=true"),
    config("thinkingConfig", {"includeThoughts": False}, ".includeThoughts=false"),
    config("thinkingConfig", {"thinkingBudget": 2048, "includeThoughts": True}, ".thinkingBudget and includeThoughts"),
    config("noSuchField", 1),
    field("systemInstruction", {"parts": [{"text": "be brief"}]}),
    field("systemInstruction", {"parts": [{"text": "be brief"}, INLINE]}, ".parts.inlineData"),
    field("safetySettings", [{"category": SAFE, "threshold": "BLOCK_NONE"}], "[].threshold=BLOCK_NONE"),
    field(
        "safetySettings", [{"category": SAFE, "threshold": "BLOCK_LOW_AND_ABOVE"}], "[].threshold=BLOCK_LOW_AND_ABOVE"
    ),
    field("safetySettings", [{"category": SAFE, "threshold": "BLOCK_NONE", "method": "SEVERITY"}], "[].method"),
    field("cachedContent", "cachedContents/1"),
    field("labels", {"a": "b"}),
    field("serviceTier", "flex"),
    field("store", True),
    field("noSuchField", 1),
    # tools
    Probe("tools[].functionDeclarations", BASE | {"tools": [{"functionDeclarations": [DECLARED]}]}, BASE),
    Probe(
        "tools[].functionDeclarations (no parameters)",
        BASE | {"tools": [{"functionDeclarations": [{"name": "f"}]}]},
        BASE,
    ),
    Probe(
        "tools[].functionDeclarations.parametersJsonSchema",
        BASE | {"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": PLAIN}]}]},
        BASE,
    ),
    declared("description", description="d"),
    declared("response", response=SCHEMA),
    declared("responseJsonSchema", responseJsonSchema=PLAIN),
    declared("behavior", behavior="NON_BLOCKING"),
    *(Probe(f"tools[].{name}", BASE | {"tools": [{name: value}]}, BASE) for name, value in GOOGLE_TOOLS.items()),
    *(calling(f"mode={mode}", mode=mode) for mode in ("AUTO", "ANY", "NONE", "VALIDATED")),
    calling("allowedFunctionNames (one, ANY)", mode="ANY", allowedFunctionNames=["weather"]),
    calling("allowedFunctionNames (two, ANY)", mode="ANY", allowedFunctionNames=["weather", "time"]),
    calling("allowedFunctionNames (AUTO)", mode="AUTO", allowedFunctionNames=["weather"]),
    calling("streamFunctionCallArguments", mode="AUTO", streamFunctionCallArguments=True),
    Probe("toolConfig.retrievalConfig", TOOLS | {"toolConfig": {"retrievalConfig": {"languageCode": "it"}}}, TOOLS),
    Probe(
        "toolConfig.includeServerSideToolInvocations",
        TOOLS | {"toolConfig": {"includeServerSideToolInvocations": True}},
        TOOLS,
    ),
    # what is said
    Probe(
        "contents[model]",
        BASE | {"contents": [HI, {"role": "model", "parts": [{"text": "yes?"}]}, HI]},
        BASE | {"contents": [HI, HI]},
    ),
    Probe("contents[] (another role)", BASE | {"contents": [{"role": "system", "parts": [{"text": "so"}]}, HI]}, BASE),
    part("text", {"text": "and bye"}),
    part("inlineData (image)", INLINE),
    part("inlineData (PDF)", {"inlineData": {"mimeType": "application/pdf", "data": PDF}}),
    part("inlineData (text)", {"inlineData": {"mimeType": "text/plain", "data": "aGVsbG8="}}),
    part("inlineData (audio)", {"inlineData": {"mimeType": "audio/wav", "data": WAV}}),
    part("inlineData (video)", VIDEO),
    part("inlineData.displayName (image)", {"inlineData": INLINE["inlineData"] | {"displayName": "a.png"}}, INLINE),
    part(
        "inlineData.displayName (PDF)",
        {"inlineData": {"mimeType": "application/pdf", "data": PDF, "displayName": "a"}},
        {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
    ),
    part("inlineData.noSuchField", {"inlineData": INLINE["inlineData"] | {"noSuchField": "a"}}, INLINE),
    part("fileData (https, image)", {"fileData": {"fileUri": "https://example.org/a.png", "mimeType": "image/png"}}),
    part(
        "fileData (https, PDF)", {"fileData": {"fileUri": "https://example.org/a.pdf", "mimeType": "application/pdf"}}
    ),
    part("fileData (gs)", {"fileData": {"fileUri": "gs://b/a.pdf", "mimeType": "application/pdf"}}),
    part("fileData (YouTube)", {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}}),
    part(
        "fileData.displayName (image)",
        {"fileData": {"fileUri": "https://example.org/a.png", "mimeType": "image/png", "displayName": "a"}},
        {"fileData": {"fileUri": "https://example.org/a.png", "mimeType": "image/png"}},
    ),
    part("videoMetadata", {"inlineData": VIDEO["inlineData"], "videoMetadata": {"fps": 2}}, VIDEO),
    *(
        part(name, INLINE | {name: value}, INLINE)
        for name, value in (
            ("mediaResolution", {"level": "MEDIA_RESOLUTION_LOW"}),
            ("partMetadata", {"a": "b"}),
            ("audioMetadata", {}),
            ("documentMetadata", {}),
            ("spreadsheetMetadata", {}),
            ("speechMetadata", {}),
            ("mediaProcessing", {}),
            ("audioTranscription", {}),
        )
    ),
    model("thought", {"text": "let me see", "thought": True}),
    model("thought and thoughtSignature", {"text": "let me see", "thought": True, "thoughtSignature": "c2ln"}),
    model("text with thoughtSignature", {"text": "well", "thoughtSignature": "c2ln"}),
    model("executableCode", {"executableCode": {"code": "1", "language": "PYTHON"}}),
    model("codeExecutionResult", {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}),
    model("toolCall", {"toolCall": {"id": "1"}}),
    model("toolResponse", {"toolResponse": {"id": "1"}}),
    Probe("contents[].parts.functionCall and functionResponse", called(), TOOLS),
    Probe(
        "contents[].parts.functionCall.id",
        called(
            {"functionCall": CALL["functionCall"] | {"id": "c1"}},
            {"functionResponse": RESULT["functionResponse"] | {"id": "c1"}},
        ),
        called(),
    ),
    Probe("contents[].parts.functionCall, thoughtSignature", called(CALL | {"thoughtSignature": "c2ln"}), called()),
    Probe(
        "contents[].parts.functionCall.partialArgs",
        called({"functionCall": CALL["functionCall"] | {"partialArgs": [{"jsonPath": "$.city", "stringValue": "R"}]}}),
        called(),
    ),
    Probe(
        "contents[].parts.functionCall.willContinue",
        called({"functionCall": CALL["functionCall"] | {"willContinue": True}}),
        called(),
    ),
    result("response.output", response={"output": "sunny"}),
    result("response.error", response={"error": "no such city"}),
    result("parts", parts=[INLINE]),
    result("parts (audio)", parts=[{"inlineData": {"mimeType": "audio/wav", "data": WAV}}]),
    result("parts.inlineData.displayName", parts=[{"inlineData": INLINE["inlineData"] | {"displayName": "a"}}]),
    result("parts.fileData", parts=[{"fileData": {"fileUri": "https://example.org/a.png", "mimeType": "image/png"}}]),
    result("willContinue", willContinue=True),
    result("scheduling", scheduling="SILENT"),
]
