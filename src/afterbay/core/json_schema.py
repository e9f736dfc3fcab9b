"""JSON schemas that clients send, compiled so that they reach nothing.

A schema is the client's text. By itself the library would fetch what a `$ref` names, by HTTP or from a file: a way for
a stranger into the gateway's network. So nothing is fetched, wherever a schema is compiled.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

if TYPE_CHECKING:
    from jsonschema_rs import Validator

REGEX_BYTES = 1 << 20
"""A pattern that compiles to more makes the schema invalid, where patterns are to be linear."""

CACHED_SCHEMA_BYTES = 64 * 1024
"""A longer schema is compiled each time: clients choose schemas, and 256 long ones would fill the memory."""


def validator_of(schema: bytes) -> Validator | None:
    """A validator for a schema's JSON text; None for a schema that is none, or that may not be judged here: the
    provider takes or refuses it."""
    return _cached(schema) if len(schema) <= CACHED_SCHEMA_BYTES else _compile(schema)


def _compile(schema: bytes) -> Validator | None:
    try:
        return compile_schema(msgspec.json.decode(schema), linear_patterns=True)
    except (ValueError, RecursionError):
        return None


_cached = lru_cache(maxsize=256)(_compile)


def compile_schema(schema: Any, *, linear_patterns: bool = False) -> Validator:
    """A validator for decoded JSON. `linear_patterns`: on an engine without backtracking, so that no text takes long.

    Raises:
        ValueError, RecursionError: it is no schema, refers to a document elsewhere, or its patterns need backtracking.
    """
    import jsonschema_rs  # 8 MB that most gateways never need

    if not linear_patterns:
        return jsonschema_rs.validator_for(schema, retriever=_refuse)
    options = jsonschema_rs.RegexOptions(size_limit=REGEX_BYTES, dfa_size_limit=REGEX_BYTES)
    return jsonschema_rs.validator_for(schema, retriever=_refuse, pattern_options=options)


def _refuse(uri: str) -> NoReturn:
    """What is asked for a document that a schema refers to.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{uri[:200]} is not fetched")
