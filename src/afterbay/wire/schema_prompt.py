"""The step down for providers that cannot hold an answer to a schema: the schema goes into the prompt.

It is a wish there, not a promise, so whoever uses it names the loss `response_format=prompt`.
"""

from __future__ import annotations

from afterbay.core.message import Message, Text
from afterbay.core.request import ResponseFormat

LOSS = "response_format=prompt"


def with_instruction(messages: tuple[Message, ...], wanted: ResponseFormat) -> tuple[Message, ...]:
    """The messages with a system message that asks for the form, after those that lead."""
    lead = 0
    while lead < len(messages) and messages[lead].role in ("system", "developer"):
        lead += 1
    return (*messages[:lead], Message("system", (Text(instruction(wanted)),)), *messages[lead:])


def instruction(wanted: ResponseFormat) -> str:
    """What a model is told that has to answer in JSON."""
    only = "Answer with one JSON object and nothing else: no prose, no code fence."
    if wanted.kind != "json_schema" or wanted.schema is None:
        return only
    about = f" It is described so: {wanted.description}" if wanted.description else ""
    return f"{only} It must follow this JSON Schema.{about}\n{wanted.schema.decode()}"
