"""What a request is charged, by what became of it."""

from __future__ import annotations

import pytest

from afterbay.core.decision import Attempt, Record
from afterbay.core.usage import Usage
from afterbay.policy.charge import UNKNOWN, Charge, charge_of


def a_record(**fields: object) -> Record:
    record = Record("req_1", 0.0, "chat", "openai_chat")
    for name, value in fields.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize(
    ("record", "charge"),
    [
        (a_record(), Charge()),
        (a_record(attempts=[Attempt(1, "a/b", "primary", 0.0)]), Charge(0, 1, 0)),
        (a_record(charged_picousd=7), Charge(7, 1, 0)),
        (a_record(outcome=UNKNOWN), Charge(0, 1, 0)),
        (
            a_record(charged_picousd=7, usage=Usage(input_tokens=1, cached_input_tokens=2, output_tokens=4)),
            Charge(7, 1, 7),
        ),
    ],
)
def test_a_request_counts_if_it_may_have_been_sent(record: Record, charge: Charge) -> None:
    assert charge_of(record) == charge


def test_a_charge_has_an_amount_for_each_unit() -> None:
    charge = Charge(1, 2, 3)
    assert [charge.of(unit) for unit in ("picousd", "requests", "tokens")] == [1, 2, 3]
