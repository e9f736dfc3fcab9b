"""CPU time of one stream chunk from a provider's bytes to a client's, for every pair of protocols.

What the engine does with a chunk, without sockets and waiting: cut into events, parsed, metered, its proofs looked at,
its tool calls filtered (the request declares one), rendered. A chunk is one delta of about four characters of text;
the bytes arrive in reads of 1 KB. Relays (same protocol) are cut, parsed and metered, and their bytes pass. The least
of several rounds counts, since the machine is shared.

    python benchmarks/translation.py [--json]
"""

from __future__ import annotations

import json
import platform
import sys
import time

import msgspec

from afterbay.core.event import Event, Finished, Started, TextDelta, UsageSeen
from afterbay.core.usage import Usage
from afterbay.engine.meter import Meter
from afterbay.wire.dialect import Dialect, Head
from afterbay.wire.framing import splitter_for
from afterbay.wire.proofs import NATIVE, outgoing
from afterbay.wire.registry import DIALECTS
from afterbay.wire.toolcalls.filter import CallFilter, Rules

CHUNKS = 4000
ROUNDS = 7
READ_BYTES = 1024
CLIENTS = ("openai.chat", "openai.responses", "anthropic.messages", "gemini")
TOOLS = Rules(tools={"look": b'{"type":"object","properties":{"at":{"type":"string"}}}'})


def recorded(dialect: Dialect) -> list[bytes]:
    """A provider's stream of `CHUNKS` text deltas, in reads of `READ_BYTES`."""
    renderer = dialect.renderer(Head("seed", "model", 1_770_000_000, include_usage=True))
    deltas: list[Event] = [TextDelta(f" w{number % 97:02d}") for number in range(CHUNKS)]
    body = renderer.render([Started("answer", "model")])
    body += b"".join(renderer.render([delta]) for delta in deltas)
    body += renderer.render([UsageSeen(Usage(10, output_tokens=CHUNKS)), Finished("stop")]) + renderer.finish()
    return [body[at : at + READ_BYTES] for at in range(0, len(body), READ_BYTES)]


def passed(reads: list[bytes], provider: Dialect, client: Dialect) -> float:
    """CPU microseconds of a chunk."""
    splitter, parser, meter = splitter_for(provider.stream_type, 1 << 24), provider.stream_parser("seed"), Meter()
    relays = provider is client
    renderer = client.renderer(Head("seed", "model", 1_770_000_000, include_usage=True))
    calls, maker, out = CallFilter(TOOLS), NATIVE.get(provider.name, provider.name), 0
    began = time.process_time_ns()
    for data in reads:
        raw, found = splitter.feed(data)
        events: list[Event] = []
        for name, payload in found:
            parser.push(name, payload, events)
        meter.see(events)
        out += len(raw if relays else renderer.render(calls.push(outgoing(events, maker, client.name))))
    took = time.process_time_ns() - began
    assert out > CHUNKS, "the chunks came out"  # noqa: S101
    assert meter.finish == "stop", "to the end"  # noqa: S101
    return took / 1000 / CHUNKS


def main() -> None:
    """Prints the table."""
    table: dict[str, dict[str, float]] = {client: {} for client in CLIENTS}
    for name, provider in DIALECTS.items():
        reads = recorded(provider)
        for client in CLIENTS:
            table[client][name] = min(passed(reads, provider, DIALECTS[client]) for _ in range(ROUNDS))
    if "--json" in sys.argv:
        print(json.dumps({"unit": "CPU us a chunk", "chunks": CHUNKS, "rounds": ROUNDS, "table": table}))
        return
    print(f"Python {platform.python_version()}, msgspec {msgspec.__version__}, {CHUNKS} chunks, least of {ROUNDS}")
    print(f"| client \\ provider | {' | '.join(DIALECTS)} |\n|---|{'---|' * len(DIALECTS)}")
    for client, row in table.items():
        cells = (f"({row[name]:.2f})" if name == client else f"{row[name]:.2f}" for name in DIALECTS)
        print(f"| {client} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
