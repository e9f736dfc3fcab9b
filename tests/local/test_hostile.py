"""A client's JSON schema reaches nothing from the worker: no host, no file."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from afterbay.core.errors import ClientMistake
from afterbay.local.body import read_chat


def body(schema: dict[str, Any], place: str) -> bytes:
    fields: dict[str, Any] = {"model": "local", "messages": [{"role": "user", "content": "x"}]}
    if place == "tools":
        fields["tools"] = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    else:
        form = {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}
        fields["response_format"] = form
    return json.dumps(fields).encode()


@pytest.mark.parametrize("place", ["tools", "response_format"])
@pytest.mark.parametrize("keyword", ["$ref", "$schema", "$dynamicRef"])
def test_a_schema_makes_the_worker_fetch_nothing(keyword: str, place: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as inner:
        inner.settimeout(0.05)
        url = f"http://127.0.0.1:{inner.getsockname()[1]}/latest/meta-data"
        schema = {"type": "object", "properties": {"a": {keyword: url}}} if keyword != "$schema" else {keyword: url}
        with pytest.raises(ClientMistake, match="Not a valid JSON schema"):
            read_chat(body(schema, place))
        with pytest.raises(TimeoutError):
            inner.accept()


@pytest.mark.parametrize("place", ["tools", "response_format"])
def test_a_schema_reads_no_file(place: str) -> None:
    with pytest.raises(ClientMistake, match="is not fetched"):
        read_chat(body({"$ref": "file:///etc/hostname"}, place))


def test_a_schema_may_refer_to_itself() -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "type": "object", "properties": {"a": {"$ref": "#/$defs/n"}}}
    assert read_chat(body(schema, "response_format")).response_format is not None
