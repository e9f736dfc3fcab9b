"""Messages -> Converse's turns and content blocks.

- Turns alternate: neighbours of one role are merged; a user turn begins with its tool results, as Claude wants.
- A later system message is user text between `<system>` tags: few models take the role `system` in the middle.
- Blank text is refused ("The text field in the ContentBlock object is blank"), and a document needs a text beside it.
- Tool ids are rewritten to the pattern that is allowed, the same id always to the same.
- Thinking without a proof is sent to models other than Claude only, which make none.
- `redactedContent` is a blob whose bytes are the text that Anthropic's API calls `data` (recordings).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from hashlib import blake2b
from typing import Any

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.wire.bedrock.media import Names, audio_block, document_block, image_block
from afterbay.wire.tool_input import asked_input

RAW_BLOB = "base64:"
"""Before a redacted blob whose bytes are no text: it is kept as it came."""

ID_CHARS = 64
_BAD_ID = re.compile(r"[^a-zA-Z0-9_.:-]")
_BAD_CLAUDE_ID = re.compile(r"[^a-zA-Z0-9_-]")

_Json = dict[str, Any]
Turn = tuple[str, list[_Json]]


class Blocks:
    """Writes the content of one request. `tools` are the names of calls in it, by appearance."""

    def __init__(self, losses: dict[str, None], *, claude: bool) -> None:
        self.tools: dict[str, None] = {}
        self.has_results = False
        self._losses = losses
        self._claude = claude
        self._names = Names()

    def turns(self, messages: tuple[Message, ...], lead: int) -> list[Turn]:
        """The turns after the first `lead` messages, which are instructions."""
        turns: list[Turn] = []
        for index in range(lead, len(messages)):
            message, where = messages[index], f"messages[{index}]"
            blocks = self.of(message, where)
            if message.role in ("system", "developer") and blocks:
                self._losses[f"{where}.role"] = None
                text = "\n".join(block["text"] for block in blocks if "text" in block)
                blocks = [{"text": f"<system>\n{text}\n</system>"}]
            role = "assistant" if message.role == "assistant" else "user"
            if not blocks:
                continue
            if turns and turns[-1][0] == role:
                turns[-1][1].extend(blocks)
            else:
                turns.append((role, blocks))
        for role, blocks in turns:
            if role == "user":
                blocks.sort(key=lambda block: "toolResult" not in block)  # stable
                self._accompany(blocks)
        return turns

    def of(self, message: Message, where: str) -> list[_Json]:
        """The blocks of one message."""
        if message.name is not None:
            self._losses[f"{where}.name"] = None
        blocks = []
        for part in message.parts:
            if isinstance(part, Image | Document | Audio) and message.role not in ("user", "tool"):
                self._losses[f"{where}.{type(part).__name__.lower()}"] = None
                continue
            block = self._block(part, where)
            if block is not None:
                blocks.append(block)
        return blocks

    def _accompany(self, blocks: list[_Json]) -> None:
        """The API: "If you include a ContentBlock with a document field, you must also include one with a text"."""
        documents = [block["document"]["name"] for block in blocks if "document" in block]
        if documents and not any("text" in block for block in blocks):
            blocks.append({"text": ", ".join(documents)})
            self._losses["text=document.name"] = None

    def _block(self, part: Part, where: str) -> _Json | None:
        match part:
            case Text() | Refusal():
                if part.text.strip():
                    return {"text": part.text}
                if part.text:
                    self._losses[f"{where}.blank_text"] = None
                return None
            case ToolUse():
                return self._use(part)
            case ToolResult():
                return self._result(part, where)
            case Thinking():
                return self._thinking(part)
            case Image():
                return image_block(part, self._losses)
            case Document():
                return document_block(part, self._names, self._losses, as_text=self._claude)
            case Audio():
                return audio_block(part)

    def _use(self, part: ToolUse) -> _Json:
        if part.signature is not None:
            self._losses["tool_use.signature"] = None
        self.tools[part.name] = None
        use = {"toolUseId": self._id(part.id), "name": part.name, "input": asked_input(part.arguments)}
        return {"toolUse": use}

    def _result(self, part: ToolResult, where: str) -> _Json:
        self.has_results = True
        blocks = [block for item in part.parts if (block := self._block(item, where)) is not None]
        result: _Json = {"toolUseId": self._id(part.id), "content": blocks}
        if part.is_error:
            result["status"] = "error"
        return {"toolResult": result}

    def _thinking(self, part: Thinking) -> _Json | None:
        if part.redacted is not None:
            return {"reasoningContent": {"redactedContent": blob_of(part.redacted)}}
        if self._claude and not part.signature:
            self._losses["thinking"] = None
            return None
        if not self._claude and not part.text.strip():
            self._losses["thinking"] = None
            return None
        said: _Json = {"text": part.text}
        if part.signature:
            said["signature"] = part.signature
        return {"reasoningContent": {"reasoningText": said}}

    def _id(self, wanted: str) -> str:
        return tool_id(wanted, claude=self._claude)


def trim_prefill(turns: list[Turn], losses: dict[str, None]) -> None:
    """Claude refuses white space at the very end: "final assistant content cannot end with trailing whitespace"."""
    if not turns or turns[-1][0] != "assistant":
        return
    last = turns[-1][1][-1]
    if "text" in last and last["text"] != last["text"].rstrip():
        last["text"] = last["text"].rstrip()
        losses["prefill.trailing_space"] = None


def tool_id(wanted: str, *, claude: bool) -> str:
    """`wanted` in the allowed characters (fewer for Claude); a changed id carries a hash, so that two stay two."""
    bad = _BAD_CLAUDE_ID if claude else _BAD_ID
    if wanted and len(wanted) <= ID_CHARS and not bad.search(wanted):
        return wanted
    mark = blake2b(wanted.encode(), digest_size=6).hexdigest()
    return f"{bad.sub('_', wanted)[: ID_CHARS - len(mark) - 1] or 'tooluse'}_{mark}"


def blob_of(redacted: str) -> str:
    """A redacted proof as a blob in JSON."""
    if redacted.startswith(RAW_BLOB):
        return redacted.removeprefix(RAW_BLOB)
    return b64encode(redacted.encode()).decode()


def redacted_of(blob: str) -> str:
    """A blob as the proof that Anthropic's API would have sent; whatever else it holds comes back unchanged."""
    try:
        text = b64decode(blob, validate=True).decode()
    except ValueError:
        return RAW_BLOB + blob
    return text if blob_of(text) == blob else RAW_BLOB + blob
