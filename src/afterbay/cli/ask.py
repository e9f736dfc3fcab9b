"""`afterbay ask`: the answer on stdout and nothing else there; how it came about on stderr."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec

from afterbay.cli.answer import Answer
from afterbay.cli.explain import explain as explained
from afterbay.cli.over_http import RemoteGateway, settings
from afterbay.cli.speech import Bars, Misuse, Speech, print_json
from afterbay.config.watch import load_snapshot
from afterbay.core.decision import Record

_NOTES = {
    "length": "the answer was cut: it reached the model's limit of length",
    "content_filter": "the provider's content filter ended the answer",
    "tool_calls": "the model called a tool, and `ask` offers none",
}


def run_ask(prompt: str, model: str, config: Path | None, explain: bool, stream: bool, as_json: bool) -> None:
    """Asks, and prints the answer as it comes."""
    if not prompt.strip():
        raise Misuse("The question is empty.", remedy="Write it in quotes: afterbay ask 'What is an afterbay?'")
    speech = Speech(sys.stderr)
    out = _Out(quiet=as_json or not stream)
    answer = Answer(out.show)
    body = _body(prompt, model, stream=stream and not as_json)
    remote = settings(os.environ) if config is None else None
    try:
        if remote is not None:
            record = asyncio.run(remote.ask(body, answer, explain=explain or as_json))
        else:
            record = _ask_here(config, body, answer, speech)
    finally:
        out.close_line()
    _finish(answer, record, out, speech, remote, explain=explain, as_json=as_json)


class _Out:
    """Standard output. On a terminal an answer cannot move the cursor; into a pipe it goes as it is."""

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stdout.isatty()
        self._open = False

    def show(self, text: str) -> None:
        """Prints a piece of the answer."""
        if not self._quiet:
            self.write(text)

    def write(self, text: str) -> None:
        """Prints text, whether quiet or not."""
        if self._is_terminal:
            text = "".join(c for c in text if c.isprintable() or c in "\n\t")
        if text:
            sys.stdout.write(text)
            sys.stdout.flush()
            self._open = not text.endswith("\n")

    def write_unless_shown(self, text: str) -> None:
        """Prints a whole answer that was not printed as it came."""
        if self._quiet:
            self.write(text)
            self.close_line()

    def close_line(self) -> None:
        """Ends a line that was begun, so that whatever comes next begins one."""
        if self._open:
            self._open = False
            sys.stdout.write("\n")
            sys.stdout.flush()


def _body(prompt: str, model: str, *, stream: bool) -> bytes:
    """The request. A stream's usage is asked for: a count by the provider is better than an estimate."""
    request: dict[str, object] = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    if stream:
        request["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(request)


def _ask_here(config: Path | None, body: bytes, answer: Answer, speech: Speech) -> Record | None:
    from afterbay.cli.in_process import ask_here
    from afterbay.telemetry.log import LogOutput

    loaded = load_snapshot(config, os.environ)
    for line in loaded.spends:
        speech.say(line)
    output = LogOutput.open(level=logging.WARNING, as_json=False)
    try:
        with Bars(sys.stderr) as bars:
            return asyncio.run(ask_here(loaded, body, answer, speech.say, bars))
    finally:
        output.close()


def _finish(
    answer: Answer,
    record: Record | None,
    out: _Out,
    speech: Speech,
    remote: RemoteGateway | None,
    *,
    explain: bool,
    as_json: bool,
) -> None:
    """Prints what is left to print; raises the answer's error, if it ended in one."""
    if as_json:
        error = answer.error.text() if answer.error is not None else None
        print_json({"request_id": answer.request_id, "answer": answer.text, "error": error, "record": record})
    elif answer.text:
        out.write_unless_shown(answer.text)
    _notes(answer, speech)
    if explain and not as_json:
        speech.say("how this answer came about:")
        lines = explained(record) if record is not None else ["  the gateway has no record of it that this key may see"]
        print("\n".join(lines), file=sys.stderr, flush=True)
    if answer.error is not None:
        if answer.status == 401 and remote is not None:
            answer.error.remedy = "Here: set AFTERBAY_KEY to a key of that gateway."
        raise answer.error


def _notes(answer: Answer, speech: Speech) -> None:
    if warnings := answer.headers.get("x-afterbay-warnings"):
        speech.say(f"warning: {warnings}")
    if answer.error is None and answer.finish in _NOTES:
        speech.say(_NOTES[answer.finish])
    elif answer.error is None and not answer.text:
        speech.say("the answer is empty")
