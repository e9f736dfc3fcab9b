"""Receipts: sums that add up, how sure they are, and what people and machines are told."""

from __future__ import annotations

import io
import json

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from afterbay.cli.receipt import Line, Run, receipt_of, short_names, show, told
from afterbay.core.decision import Record
from afterbay.core.usage import Usage

RUN = Run("claude", "key_1", 1_795_000_000.0, 61.0, 0, 5 * 10**12, 10**12)
CLAUDE_IDS = ["main", "abe4a5b3a237a4c08", "a11f1115fced3e1aa"]
CODEX_IDS = ["main", *(f"collab_spawn:01a212e9-1730-7341-b3b2-b497f54502f{at}" for at in range(3))]


def a_record(**fields: object) -> Record:
    return msgspec.structs.replace(Record("req_1", 0.0, "chat", "openai_chat", outcome="ok"), **fields)


records = st.lists(
    st.builds(
        a_record,
        agent=st.sampled_from([None, "a", "b"]),
        provider=st.sampled_from(["p", "q"]),
        upstream_model=st.sampled_from(["m", ""]),
        outcome=st.sampled_from(["ok", "client_closed", "insufficient_quota", "timeout"]),
        usage=st.none() | st.builds(Usage, st.integers(0, 9), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9)),
        cost_picousd=st.none() | st.integers(0, 10**12),
    ),
    max_size=20,
)


@given(records)
def test_the_lines_add_up_to_the_total(found: list[Record]) -> None:
    receipt = receipt_of(RUN, found)
    for lines in (receipt.agents, receipt.models):
        for field in Line.__struct_fields__[1:]:
            assert sum(getattr(line, field) for line in lines) == getattr(receipt.total, field)
        assert [line.cost_picousd for line in lines] == sorted((line.cost_picousd for line in lines), reverse=True)
    assert receipt.total.requests == len(found)
    assert sum(receipt.outcomes.values()) == receipt.total.failed + receipt.total.refused
    assert json.loads(msgspec.json.encode(told(receipt)))["total"]["requests"] == len(found)


@pytest.mark.parametrize(
    ("usage", "cost", "confidence"),
    [
        (Usage(1), 5, "exact"),
        (None, None, "exact"),  # it came to nothing that costs
        (Usage(1, estimated=True), 5, "estimated"),
        (Usage(1), None, "at least"),
        (Usage(1, estimated=True), None, "at least"),
    ],
)
def test_a_sum_says_how_sure_it_is(usage: Usage | None, cost: int | None, confidence: str) -> None:
    fine = a_record(usage=Usage(1), cost_picousd=1)
    receipt = receipt_of(RUN, [fine, a_record(usage=usage, cost_picousd=cost)])
    assert receipt.total.confidence == confidence


def test_all_input_is_input_and_cached_is_a_part_of_it() -> None:
    (line,) = receipt_of(RUN, [a_record(usage=Usage(1, 20, 300, 4000, 50_000), cost_picousd=1)]).agents
    assert (line.input, line.cached, line.output) == (321, 20, 54_000)


@pytest.mark.parametrize("names", [CLAUDE_IDS, CODEX_IDS, ["a" * 40 + "b" + "x" * 30, "a" * 40 + "c" + "x" * 30]])
def test_names_are_as_short_as_tells_them_apart(names: list[str]) -> None:
    short = short_names(names)
    assert sorted(short) == sorted(names)
    assert len(set(short.values())) == len(names)


def test_usual_names_are_short() -> None:
    assert list(short_names(CLAUDE_IDS).values()) == ["main", "abe4a5b3a237…", "a11f1115fced…"]
    assert list(short_names(CODEX_IDS).values()) == ["main", *(f"collab_spawn…4502f{at}" for at in range(3))]


def printed(found: list[Record], run: Run = RUN) -> str:
    out = io.StringIO()
    show(receipt_of(run, found), "claude --continue", out)
    return out.getvalue()


def test_people_are_told_what_was_used_and_what_is_unsure() -> None:
    text = printed([a_record(agent="x\x1b[31m", usage=Usage(1000), cost_picousd=10**12)])
    assert "agent\tx?[31m\t1\t0\t1,000\t0\t0\t$1.00\texact" in text
    assert "$1.00 of the cap of $5.00 is used; the key key_1 is revoked" in text
    assert "receipt of `claude`, 61 s, exit code 0:" in text
    assert "more was charged" not in text
    unknown = printed([a_record(usage=Usage(1))])
    assert "requests of which no price is known: 1; set `price`" in unknown
    dearer = printed([a_record(usage=Usage(1), cost_picousd=4 * 10**11), a_record(outcome="connection")])
    assert "$0.60 more was charged than is known to be spent" in dearer
    assert "failed: connection 1; `afterbay tail` has more" in dearer


def test_people_are_told_what_to_do_next() -> None:
    refused = printed([a_record(outcome="insufficient_quota"), a_record(outcome="insufficient_quota")])
    assert "the cap stopped it: requests refused: 2" in refused
    assert "failed:" not in refused
    assert "set `price` for their models" in printed([a_record(outcome="price_unknown")])
    nothing = printed([])
    assert "it asked the gateway for nothing" in nothing
    assert "a setting of `claude` names another address" in nothing
