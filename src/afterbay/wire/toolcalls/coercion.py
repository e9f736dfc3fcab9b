"""Arguments that nearly fit their schema, made to fit by changes that lose nothing.

Changed, where the schema asks for it: text that is exactly a number or a truth value; a number or a truth value where
text is wanted; text that is the JSON of the object or list that is wanted; one value where a list of such is wanted;
null for a property that may be left out (left out); a word of an `enum` or `const` in another case. The result fits
the schema, or nothing is changed at all. A number with more than 15 digits and a point is left alone: it would be
rounded on the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    from jsonschema_rs import ValidationError, Validator

ROUNDS = 6
"""A change may uncover the next one (text to an object, then a number in it): so often is looked again."""

CHANGES = 64
"""Arguments that need more are wrong, not nearly right."""

_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})(?:\.0+)?")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?(?:[eE][+-]?\d{1,2})?")
_LONG_NUMBER = re.compile(r"(?:\d\.?){16,}")
_TRUTH = {"true": True, "True": True, "false": False, "False": False}

_Where: TypeAlias = "Sequence[str | int]"
_GONE = object()
_KEPT = object()


def coerce(text: str, validator: Validator) -> tuple[str, tuple[str, ...]] | None:
    """JSON text that fits, and what was changed (`path: string to integer`); None: it cannot be made to fit.

    `text` is a JSON object that does not fit.
    """
    value: Any = msgspec.json.decode(text)
    if _has_long_number(text):
        return None
    changed: dict[str, None] = {}
    for _ in range(ROUNDS):
        errors = list(islice(validator.iter_errors(value), CHANGES + 1))
        if not errors:
            return msgspec.json.encode(value).decode(), tuple(changed)
        before = len(changed)
        for error in errors:
            value = _mend(value, error, changed)
        if not before < len(changed) <= CHANGES:
            return None
    return None


def misfit(value: Any, validator: Validator) -> str | None:
    """What is wrong with decoded arguments, with the place; None: nothing."""
    error = next(iter(validator.iter_errors(value)), None)
    if error is None:
        return None
    return f"{_name(error.instance_path)}: {error.message}"[:300]


def _has_long_number(text: str) -> bool:
    """Whether a number outside strings has more digits than a double keeps."""
    return any("." in found[0] for found in _LONG_NUMBER.finditer(text))


def _name(path: _Where) -> str:
    return ".".join(str(step) for step in path)[:100] or "arguments"


def _mend(root: Any, error: ValidationError, changed: dict[str, None]) -> Any:
    """The arguments with one complaint met, if it can be."""
    path = list(error.instance_path)
    holder, value = _find(root, path)
    if value is _GONE:
        return root  # an earlier change took it away
    in_object = isinstance(holder, dict)
    for fit in _fits(error):
        fitted = fit(value, in_object)
        if fitted is not _KEPT:
            changed[f"{_name(path)}: {_kind(value)} to {'nothing' if fitted is _GONE else _kind(fitted)}"] = None
            return _place(root, holder, path, fitted)
    return root


def _find(root: Any, path: _Where) -> tuple[Any, Any]:
    """What holds the value at `path`, and the value."""
    holder, value = None, root
    for step in path:
        holder = value
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            return None, _GONE
    return holder, value


def _place(root: Any, holder: Any, path: _Where, fitted: Any) -> Any:
    if holder is None:
        return fitted
    if fitted is _GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = fitted
    return root


_Fit: TypeAlias = Callable[[Any, bool], Any]


def _fits(error: ValidationError) -> Iterable[_Fit]:
    """Ways to meet a complaint, the likeliest first."""
    kind = error.kind
    name = kind.name
    if name == "type":
        types = getattr(kind, "types")  # noqa: B009  # the class is made of variants that mypy cannot tell apart
        return [lambda value, in_object: _to_type(value, types, in_object)]
    if name in ("enum", "const"):
        options = getattr(kind, "options", None) or [getattr(kind, "expected_value", None)]
        return [lambda value, in_object: _to_option(value, options, in_object)]
    if name in ("anyOf", "oneOf"):
        return [
            fit
            for branch in getattr(kind, "context", ())[:16]
            for one in branch[:1]
            if list(one.instance_path) == list(error.instance_path)
            for fit in _fits(one)
        ]
    return ()


def _to_type(value: Any, types: Sequence[str], in_object: bool) -> Any:
    if isinstance(value, str):
        return _text_to_type(value, types)
    if value is None:
        return _GONE if in_object else _KEPT
    if "string" in types and isinstance(value, bool | int | float):
        return msgspec.json.encode(value).decode()
    if "array" in types and not isinstance(value, list):
        return [value]
    return _KEPT


def _text_to_type(value: str, types: Sequence[str]) -> Any:
    text = value.strip()
    if "integer" in types and _INTEGER.fullmatch(text):
        return int(text.partition(".")[0])
    if "number" in types and _NUMBER.fullmatch(text):
        number = float(text)
        return int(number) if number.is_integer() and re.fullmatch(r"-?\d+", text) else number
    if "boolean" in types and text in _TRUTH:
        return _TRUTH[text]
    for opening, wanted, kind in (("{", "object", dict), ("[", "array", list)):
        if wanted in types and text.startswith(opening):
            try:
                return msgspec.json.decode(text, type=kind)
            except (ValueError, RecursionError):
                return _KEPT
    return [value] if "array" in types else _KEPT


def _to_option(value: Any, options: Sequence[Any], in_object: bool) -> Any:
    if value is None:
        return _GONE if in_object else _KEPT
    if not isinstance(value, str):
        return _KEPT
    wanted = value.strip().casefold()
    found = [one for one in options if isinstance(one, str) and one.casefold() == wanted]
    return found[0] if len(found) == 1 else _KEPT


def _kind(value: Any) -> str:
    """A value's type in the words of JSON Schema; a word of an enum by itself."""
    if value is None:
        return "null"
    kinds = {bool: "boolean", str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return kinds[type(value)]
