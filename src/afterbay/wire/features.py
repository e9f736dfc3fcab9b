"""Which features of a request change its answer, by the names that clients know them by.

A dialect lists the ones it cannot say (`Dialect.cannot`); a model lists the ones it cannot do (`capabilities`). A
target that fails either is removed before anything is sent, and an error names the feature.
"""

from __future__ import annotations

import msgspec

from afterbay.core.message import Audio, Document, Image, Message, Part, ToolResult
from afterbay.core.request import SAMPLING_FEATURES, ChatRequest


def features(request: ChatRequest) -> frozenset[str]:
    """The features that `request` uses.

    `n`, `stop`, `tools`, `tool_choice`, `parallel_tool_calls`, `response_format` (with a schema) or `json_object`,
    `reasoning`, `images`, `image_urls`, `documents`, `document_urls`, `document_files` (inline, and no text), `audio`,
    the sampling fields by name (and `temperature_above_1`, since ranges differ), `blank_stop` (a stop sequence of white
    space alone), and the client's own fields without a canonical form by theirs.
    """
    found = set(request.foreign)
    sampling = request.sampling
    found.update(name for name in SAMPLING_FEATURES if getattr(sampling, name) is not None)
    if sampling.temperature is not None and sampling.temperature > 1:
        found.add("temperature_above_1")
    if sampling.n is not None and sampling.n > 1:
        found.add("n")
    if sampling.stop:
        found.add("stop")
        if any(not one.strip() for one in sampling.stop):
            found.add("blank_stop")
    if request.tools:
        found.add("tools")
        if request.parallel_tool_calls is False:  # true is what every provider does unasked
            found.add("parallel_tool_calls")
        if request.tool_choice is not None and request.tool_choice.mode != "auto":
            found.add("tool_choice")
    if request.response_format is not None and request.response_format.kind != "text":
        found.add("response_format" if request.response_format.kind == "json_schema" else "json_object")
    if request.reasoning is not None:
        found.add("reasoning")
    found.update(_media(request))
    return frozenset(found)


def _media(request: ChatRequest) -> set[str]:
    found: set[str] = set()
    for message in request.messages:
        for part in message.parts:
            for item in part.parts if isinstance(part, ToolResult) else (part,):
                if isinstance(item, Image):
                    found.add("images")
                    if item.url is not None:
                        found.add("image_urls")
                elif isinstance(item, Document):
                    found.add("documents")
                    if item.url is not None:
                        found.add("document_urls")
                    elif is_file(item):
                        found.add("document_files")
                elif isinstance(item, Audio):
                    found.add("audio")
    return found


def is_file(document: Document) -> bool:
    """Whether a document is the bytes of a file that is not text."""
    return document.data is not None and not (document.media_type or "").startswith("text/")


def strip(request: ChatRequest, names: frozenset[str]) -> ChatRequest:
    """The request without the features in `names`: those to drop, and wishes that a target cannot fulfil."""
    sampling = {name: None for name in (*SAMPLING_FEATURES, "n") if name in names}
    if "temperature_above_1" in names:
        sampling["temperature"] = None
    if names & {"stop", "blank_stop"}:
        kept = () if "stop" in names else tuple(one for one in request.sampling.stop if one.strip())
        sampling["stop"] = kept  # type: ignore[assignment]  # its kind of value
    changes: dict[str, object] = {"foreign": tuple(name for name in request.foreign if name not in names)}
    if sampling:
        changes["sampling"] = msgspec.structs.replace(request.sampling, **sampling)
    if "tools" in names:
        changes |= {"tools": (), "tool_choice": None, "parallel_tool_calls": None}
    for name in ("tool_choice", "parallel_tool_calls", "reasoning"):
        if name in names:
            changes[name] = None
    if names & {"response_format", "json_object"}:
        changes["response_format"] = None
    media = names & {"images", "image_urls", "documents", "document_urls", "document_files", "audio"}
    if media:
        changes["messages"] = tuple(_without(message, media) for message in request.messages)
    return msgspec.structs.replace(request, **changes)


def _without(message: Message, media: frozenset[str]) -> Message:
    kept: list[Part] = []
    for part in message.parts:
        if isinstance(part, ToolResult):
            inner = tuple(item for item in part.parts if not _is_one(item, media))
            kept.append(msgspec.structs.replace(part, parts=inner))
        elif not _is_one(part, media):
            kept.append(part)
    return msgspec.structs.replace(message, parts=tuple(kept))


def _is_one(part: Part, media: frozenset[str]) -> bool:
    if isinstance(part, Image):
        return "images" in media or (part.url is not None and "image_urls" in media)
    if isinstance(part, Document):
        if part.url is not None:
            return bool({"documents", "document_urls"} & media)
        return "documents" in media or ("document_files" in media and is_file(part))
    return isinstance(part, Audio) and "audio" in media
