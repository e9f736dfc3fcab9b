"""Every fault of the catalogue, in simulated time and on real sockets, for the clients of all four protocols.

`make faults` runs all of it (`AFTERBAY_FAULTS=all`) and writes `docs/faults.md`. Without that, all of it runs in
simulated time, and a sample on sockets. A case that is below its expectation now fails as expected, strictly: once the
capability is there, its `below` has to go.
"""

from __future__ import annotations

import ast
import functools
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from faults import simulated, sockets
from faults.catalogue import PROTOCOLS, Case, Fault, cases, expected, faults, shortcoming
from faults.judging import Evidence, judge
from faults.page import PAGE, page, summary

ROOT = Path(__file__).parents[2]
ALL = os.environ.get("AFTERBAY_FAULTS") == "all"
RESULTS: dict[Case, list[str]] = {}


def chosen(case: Case) -> bool:
    """Whether a case runs here."""
    return ALL or case.mode == "simulated" or faults()[case.fault].sample


def expected_to_fail(reason: str) -> pytest.MarkDecorator:
    """A case that is judged to be below its expectation, and nothing else: a crash is no such failure."""
    return pytest.mark.xfail(strict=True, reason=reason, raises=AssertionError)


def parameters() -> list[Any]:
    """The cases, those that fail as expected marked so."""
    found = []
    for fault in faults().values():
        for case in filter(chosen, cases(fault)):
            below = shortcoming(fault, case)
            marks = [] if below is None else [expected_to_fail(f"{below.missing}: {below.reason}")]
            found.append(pytest.param(case, id=case.id, marks=marks))
    return found


@functools.cache
def on_sockets(fault: str) -> dict[Case, Evidence]:
    """What becomes of all cases of a fault: they run together."""
    return sockets.evidence_of(faults()[fault])


@pytest.mark.parametrize("case", parameters())
def test_a_fault_is_seen_by_clients_as_the_catalogue_says(case: Case) -> None:
    fault = faults()[case.fault]
    expect = expected(fault, stream=case.stream)
    assert expect is not None
    evidence = simulated.evidence_of(fault, case) if case.mode == "simulated" else on_sockets(fault.id)[case]
    RESULTS[case] = judge(case, expect, evidence)
    assert RESULTS[case] == [], f"{fault.fault} {fault.expectation}"


@pytest.mark.skipif(not ALL, reason="the page is of a whole run: make faults")
def test_the_page_is_written() -> None:
    assert set(RESULTS) == {case for fault in faults().values() for case in cases(fault)}, "some cases did not run"
    PAGE.write_text(page(RESULTS), "utf-8")


def test_the_page_is_of_this_catalogue() -> None:
    text = PAGE.read_text("utf-8")
    missing = [one.id for one in faults().values() if f"| `{one.id}` | {one.fault} {one.expectation} |" not in text]
    assert not missing, f"run make faults: {missing}"
    assert summary() in text, "run make faults"


def test_the_catalogue_is_large_enough_and_says_what_is_not_built() -> None:
    rows = faults().values()
    assert sum(one.expect is not None for one in rows) >= 80
    for one in rows:
        assert one.fault.endswith("."), one.id
        assert one.expectation.endswith("."), one.id
        assert set(one.protocols) <= set(PROTOCOLS)


def test_what_is_proven_elsewhere_is_there() -> None:
    for one in faults().values():
        if one.elsewhere:
            file, _, name = one.elsewhere.partition("::")
            tree = ast.parse((ROOT / file).read_text("utf-8"))
            names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
            assert not name or name in names, one.elsewhere


def _case(mode: str = "simulated", *, stream: bool = True) -> Case:
    return Case("x", "openai.chat", stream, mode, "relayed")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("orders", "terms", "told"),
    [
        ((), {"answer": "error_event"}, "proper end"),
        ((), {"answer": "whole", "by": "second"}, "not answered by the second"),
        ((), {"answer": "whole", "exactly": 2}, "not 2 attempts"),
        ((), {"answer": "whole", "estimated": True}, "the usage is"),
        ((), {"answer": "refusal"}, "not refusal"),
        (("status 500",), {"answer": "whole", "attempts": 1}, "more than 1 attempts"),
        (("status 500",), {"answer": "whole", "outcomes": ["ok"]}, "attempts ended in"),
        (("status 500",), {"answer": "whole", "seen": 1}, "providers saw 2 requests"),
        (("ttft 1s",), {"answer": "whole", "within_s": 0.5}, "it took 1.00 s"),
        (("status 400",), {"answer": "whole"}, "no answer: status 400"),
        (("status 400",), {"answer": "error", "status": [500]}, "status 400"),
        (("status 400",), {"answer": "error", "retry": "true"}, "x-should-retry"),
        (("status 400",), {"answer": "error", "says": "gauges"}, "does not say"),
        (("status 400",), {"answer": "error", "hides": "ordered"}, "is shown"),
        (("status 400",), {"answer": "error", "wait_s": [0, 1]}, "retry-after is None"),
        (("cut 5 reset",), {"answer": "whole"}, "no answer"),
        (("twice 2",), {"answer": "whole"}, "not whole"),
        (("empty",), {"answer": "empty", "record": "error"}, "the record says ok"),
    ],
)
def test_a_judge_that_finds_nothing_would_prove_nothing(orders: tuple[str, ...], terms: Any, told: str) -> None:
    row = {
        "id": "x",
        "group": "status",
        "fault": "",
        "expectation": "",
        "inject": {"emulator": orders},
        "expect": terms,
    }
    if orders == ("cut 5 reset",):
        row["route"] = {"resume": "off"}
    if orders == ("empty",):
        row["inject"]["fallback"] = ["empty"]
    fault = msgspec.convert(row, Fault)
    assert fault.expect is not None
    wrong = judge(_case(), fault.expect, simulated.evidence_of(fault, _case()))
    assert any(told in one for one in wrong), wrong


def test_a_secret_or_an_address_in_any_text_is_found() -> None:
    fault = faults()["status-500"]
    assert fault.expect is not None
    evidence = simulated.evidence_of(fault, _case())
    for text in (b": sk-canary-7f3a9c21\n\n", b": http://127.0.0.1:9701\n\n"):
        evidence.seen.body += text
        assert any("is shown" in one for one in judge(_case(), fault.expect, evidence))
        evidence.seen.body = evidence.seen.body.removesuffix(text)
    assert judge(_case(), fault.expect, evidence) == []
