"""Amazon Bedrock's Converse and ConverseStream, spoken to providers; the other half serves tests and emulation.

media, families     documents and images by format; what each family of models takes beside the common fields
blocks, writer      ChatRequest -> a body
reader, reasoning   a body -> ChatRequest; thinking and effort, both ways
parser              answers -> events
renderer            events -> answers, streams in frames (`afterbay.wire.aws_stream`)
errors              both ways

Source of all shapes: the service model `bedrock-runtime` 2023-09-30 in botocore 1.44.8 (November 2026), and recordings.
"""

from __future__ import annotations

from types import MappingProxyType

from afterbay.wire.aws_stream import CONTENT_TYPE
from afterbay.wire.bedrock.errors import parse_error, render_error
from afterbay.wire.bedrock.parser import StreamParser, parse_answer
from afterbay.wire.bedrock.reader import parse_request
from afterbay.wire.bedrock.renderer import StreamRenderer, render_answer
from afterbay.wire.bedrock.writer import CANNOT, build_request, relay_path
from afterbay.wire.dialect import Dialect

DIALECT = Dialect(
    name="bedrock.converse",
    relay_path=relay_path,
    cannot=MappingProxyType(CANNOT),
    parse_request=parse_request,
    build_request=build_request,
    stream_parser=StreamParser,
    parse_answer=parse_answer,
    renderer=StreamRenderer,
    render_answer=render_answer,
    parse_error=parse_error,
    render_error=render_error,
    stream_type=CONTENT_TYPE,
)
"""The dialect, whole."""

__all__ = ["DIALECT"]
