"""The gateway's own log, on standard error: one line an event, for people on a terminal, JSON everywhere else.

Anything that looks like a credential, or tells who somebody is, is made unreadable on its way out: in the message, its
arguments, its fields and tracebacks alike, because the whole line is looked at last, whoever wrote it. That is a net,
not the rule: the rule is that secrets are `core.secret.Secret`, and prompts in nobody's hands, and don't get here.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import IO, Final

from afterbay.core.redaction import clean

LINE_CHARS: Final = 16_384
"""Longest line; a traceback through a provider's body must not fill the disk."""

_PLAIN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "fields"}


class JsonLines(logging.Formatter):
    """One JSON object a line: `ts` (UTC RFC 3339), `level`, `logger`, `message`, the event's fields, `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "ts": _utc(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        # Redacted value by value: a pattern that runs to the next quote would otherwise eat JSON's own.
        return json.dumps({name: _clean(value) for name, value in line.items()}, ensure_ascii=False, default=str)


class HumanLines(logging.Formatter):
    """`12:34:56 warning store.request_log  message  field=value`, with the traceback under it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f"  {name}={value}" for name, value in _fields(record).items())
        line = f"{clock} {record.levelname.lower():<8} {record.name.removeprefix('afterbay.')}  "
        # A message with line breaks could pose as several events.
        line += (record.getMessage() + fields).replace("\r", "\\r").replace("\n", "\\n")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return clean(line)[:LINE_CHARS]


class LogOutput:
    """The handler on a logger, from `open` to `close`. Whoever builds the program owns it: logging is process-wide."""

    def __init__(self, logger: logging.Logger, handler: logging.Handler) -> None:
        self._logger, self._handler = logger, handler
        logger.addHandler(handler)

    @classmethod
    def open(
        cls,
        *,
        stream: IO[str] | None = None,
        as_json: bool | None = None,
        level: int = logging.INFO,
        logger: logging.Logger | None = None,
    ) -> LogOutput:
        """Starts writing. `as_json` None: JSON unless the stream is a terminal. `logger` None: the root, so that
        libraries pass the redaction too.
        """
        out = sys.stderr if stream is None else stream
        handler = logging.StreamHandler(out)
        plain = not out.isatty() if as_json is None else as_json
        handler.setFormatter(JsonLines() if plain else HumanLines())
        target = logging.getLogger() if logger is None else logger
        target.setLevel(level)
        return cls(target, handler)

    def close(self) -> None:
        """Takes the handler off again."""
        self._logger.removeHandler(self._handler)
        self._handler.close()


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra={"fields": {...}}`, and any other `extra`, under names that don't hide ours."""
    given = getattr(record, "fields", None)
    extra = {name: value for name, value in vars(record).items() if name not in _PLAIN}
    fields = {**extra, **given} if isinstance(given, Mapping) else extra
    taken = ("ts", "level", "logger", "message", "error")
    return {f"{name}_" if name in taken else str(name): value for name, value in fields.items()}


def _clean(value: object) -> object:
    """A value that may be written: numbers as they are, all else as redacted, bounded text."""
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(str(value))[:LINE_CHARS]


def _utc(created_s: float) -> str:
    return datetime.fromtimestamp(created_s, UTC).isoformat(timespec="milliseconds")[:23] + "Z"
