"""The catalogue of faults as data: `faults.yaml` read, checked, and unfolded into cases.

A row says what goes wrong, how it is brought about, which clients and answers it is about, and what the client may
see. What a client must never see holds for every case and stands in `judging`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec
import yaml

from afterbay.testing.toxics import AnyToxic, read_toxics

PROTOCOLS = ("openai.chat", "openai.responses", "anthropic.messages", "gemini")
MODES = ("simulated", "sockets")
FILE = Path(__file__).with_name("faults.yaml")

Mode: TypeAlias = Literal["simulated", "sockets"]
Way: TypeAlias = Literal["relayed", "translated"]
Group: TypeAlias = Literal[
    "connect", "status", "answer", "time", "stream", "framing", "client", "own", "money", "health"
]
Needs: TypeAlias = Literal["budgets", "redis", "cache", "http2", "shedding", "keys", "prices", "postgres", "fleet"]
Answer: TypeAlias = Literal[
    "whole", "error", "error_event", "refusal", "empty", "tools", "doubled", "more", "bare", "nothing"
]


class Inject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a fault is brought about.

    emulator   orders for the first provider, as in `afterbay.emulate.directives`
    fallback   orders for the second one; "none": there is no second one
    chaos      toxics on the way to the first provider, "both": on the way to the second one as well
    own        what is wrong with the gateway's own surroundings: "dns", the first provider's name is unknown;
               "egress_proxy", the proxy on the way to it is down
    """

    emulator: tuple[str, ...] = ()
    fallback: tuple[str, ...] | Literal["none"] = ()
    chaos: tuple[dict[str, Any], ...] = ()
    both: bool = False
    own: Literal["", "dns", "egress_proxy"] = ""

    @property
    def toxics(self) -> tuple[AnyToxic, ...]:
        """The toxics on the way to the first provider."""
        return read_toxics(self.chaos)


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a client may see; a field that is not there is not looked at.

    answer       whole: all words, once each, and a proper end · error: a status and the protocol's own envelope ·
                 error_event: the beginning, an error event, no proper end · refusal, empty, tools: such an answer ·
                 doubled: whole, but for a piece that the provider said twice · more: whole, and something after it ·
                 bare: all words, once each, and no error, but no proper end · nothing: the client has left
    by           who gave the answer: the first provider or the second
    attempts     how many attempts there are, at most
    exactly      how many attempts there are
    outcomes     the attempts' outcomes, in order
    status       the HTTP status
    record       the record's outcome
    retry        x-should-retry
    wait_s       bounds of retry-after in seconds
    within_s     longest time until the end; three seconds more on real sockets
    says         a text that the error has in it
    hides        a text that nothing has in it
    warns        a text that a warning of the record has in it
    estimated    whether the usage is an estimate
    seen         requests that both providers saw, at most
    """

    answer: Answer
    by: Literal["first", "second"] | None = None
    attempts: int | None = None
    exactly: int | None = None
    outcomes: tuple[str, ...] | None = None
    status: tuple[int, ...] | None = None
    record: str | None = None
    retry: Literal["true", "false"] | None = None
    wait_s: tuple[float, float] | None = None
    within_s: float | None = None
    says: str | None = None
    hides: str | None = None
    warns: str | None = None
    estimated: bool | None = None
    seen: int | None = None


class Below(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the gateway is below the expectation now: the capability that is missing, and for which cases it shows."""

    missing: str
    reason: str
    protocols: tuple[str, ...] = PROTOCOLS
    modes: tuple[Mode, ...] = ("simulated", "sockets")
    ways: tuple[Way, ...] = ("relayed", "translated")
    streams: tuple[bool, ...] = (True, False)


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row. `streams`: which answers it is about; `whole`: what is expected otherwise of answers in one piece;
    `requests`: so many in a row, the last one is judged; `elsewhere`: the test that proves it, where it is not this
    one; `needs`: what is not built yet; `sample`: runs on sockets in every build; `alone`: its cases run one
    after another, since they share something of the gateway's, such as the budget of retries."""

    id: str
    group: Group
    fault: str
    expectation: str
    inject: Inject = Inject()
    protocols: tuple[str, ...] = PROTOCOLS
    streams: tuple[bool, ...] = (True, False)
    modes: tuple[Mode, ...] = ("simulated", "sockets")
    ways: tuple[Way, ...] = ("relayed", "translated")
    expect: Expect | None = None
    whole: dict[str, Any] = {}
    route: dict[str, Any] = {}
    headers: dict[str, str] = {}
    requests: int = 1
    tools: bool = False
    text: str = ""
    below: tuple[Below, ...] = ()
    elsewhere: str = ""
    needs: Needs | None = None
    sample: bool = False
    alone: bool = False


class Case(msgspec.Struct, frozen=True):
    """One run of a fault. `way`: whether the first provider speaks the client's protocol."""

    fault: str
    protocol: str
    stream: bool
    mode: Mode
    way: Way

    @property
    def id(self) -> str:
        """As pytest shows it."""
        kind = "stream" if self.stream else "whole"
        return f"{self.fault}-{self.protocol}-{kind}-{self.way}-{self.mode}"


@functools.cache
def faults() -> Mapping[str, Fault]:
    """All rows by id.

    Raises:
        ValueError: the file is wrong; the message says where.
    """
    rows = yaml.safe_load(FILE.read_text("utf-8"))
    found: dict[str, Fault] = {}
    for row in rows:
        try:
            fault = msgspec.convert(row, Fault)
            expected(fault, stream=False)
            _ = fault.inject.toxics
        except (msgspec.ValidationError, ValueError) as error:
            raise ValueError(f"{row.get('id')}: {error}") from None
        if fault.id in found:
            raise ValueError(f"{fault.id} stands there twice")
        if sum((fault.expect is not None, bool(fault.elsewhere), fault.needs is not None)) != 1:
            raise ValueError(f"{fault.id} needs one of expect, elsewhere, needs")
        found[fault.id] = fault
    return found


def expected(fault: Fault, *, stream: bool) -> Expect | None:
    """What is expected of an answer."""
    if fault.expect is None or stream or not fault.whole:
        return fault.expect
    return msgspec.convert({**msgspec.to_builtins(fault.expect), **fault.whole}, Expect)


def cases(fault: Fault) -> Iterator[Case]:
    """All runs of a fault; on sockets the first provider is relayed and the second one translated."""
    if fault.expect is None:
        return
    for mode in fault.modes:
        for protocol in fault.protocols:
            for stream in fault.streams:
                for way in fault.ways if mode == "simulated" else fault.ways[:1]:
                    yield Case(fault.id, protocol, stream, mode, way)


def shortcoming(fault: Fault, case: Case) -> Below | None:
    """Why a case is below its expectation now; None: it is not."""
    for one in fault.below:
        fits = case.protocol in one.protocols and case.mode in one.modes
        if fits and case.way in one.ways and case.stream in one.streams:
            return one
    return None
