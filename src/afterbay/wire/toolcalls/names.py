"""Tool names that a target's dialect refuses, renamed on the way out and restored on the way back.

No state: the same request gives the same names, so an answer is read with what its own request gives, and a history
that holds calls is renamed with it.
"""

from __future__ import annotations

import re
from hashlib import blake2b

import msgspec

from afterbay.core.message import Message, Part, ToolResult, ToolUse
from afterbay.core.request import ChatRequest

_BAD = re.compile(r"[^a-zA-Z0-9_-]")
_KEPT_CHARS = 51
"""With a `_` and twelve characters of hash that makes 64, the shortest limit of any dialect."""


def renamed(request: ChatRequest, pattern: str) -> tuple[ChatRequest, dict[str, str]]:
    """The request with names that match `pattern` whole, and the names that were changed: new -> old.

    Names of the tools, of the choice among them, and of calls and results in the history.
    """
    fits = re.compile(pattern).fullmatch
    new = {name: _safe(name) for name in _names(request) if not fits(name)}
    if not new:
        return request, {}
    choice = request.tool_choice
    if choice is not None and choice.name is not None:
        choice = msgspec.structs.replace(choice, name=new.get(choice.name, choice.name))
    changed = msgspec.structs.replace(
        request,
        tools=tuple(msgspec.structs.replace(tool, name=new.get(tool.name, tool.name)) for tool in request.tools),
        tool_choice=choice,
        messages=tuple(_message(message, new) for message in request.messages),
    )
    return changed, {safe: name for name, safe in new.items()}


def _names(request: ChatRequest) -> dict[str, None]:
    names = dict.fromkeys(tool.name for tool in request.tools)
    for message in request.messages:
        for part in message.parts:
            if isinstance(part, ToolUse | ToolResult) and part.name is not None:
                names[part.name] = None
    return names


def _safe(name: str) -> str:
    """A name of letters, digits, `_` and `-` that begins with a letter or `_`; the hash keeps two from becoming one."""
    readable = _BAD.sub("_", name)[:_KEPT_CHARS]
    if not readable or not (readable[0].isalpha() or readable[0] == "_"):
        readable = f"_{readable}"[:_KEPT_CHARS]
    return f"{readable}_{blake2b(name.encode('utf-8', 'surrogatepass'), digest_size=6).hexdigest()}"


def _message(message: Message, new: dict[str, str]) -> Message:
    parts = tuple(_part(part, new) for part in message.parts)
    return message if parts == message.parts else msgspec.structs.replace(message, parts=parts)


def _part(part: Part, new: dict[str, str]) -> Part:
    if isinstance(part, ToolUse | ToolResult) and part.name in new:
        return msgspec.structs.replace(part, name=new[part.name])
    return part
