"""Every fault of the catalogue, as the log has it, goes the same way again when its incident is replayed.

The catalogue is the widest set of failures that there is here, and an incident knows only what a record says of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Record
from afterbay.testing.incident import Incident, Kept, Secrets, compare, make, of_text, rerun, to_text
from faults import simulated
from faults.catalogue import Case, Fault, cases, faults
from faults.judging import WORDS


def every_way(fault: Fault) -> Iterator[Case]:
    """The simulated cases of a fault: all protocols, both ways, both kinds of answer in turn."""
    found = [case for case in cases(fault) if case.mode == "simulated"]
    return iter(found)


def failed(case: Case, monkeypatch: pytest.MonkeyPatch) -> tuple[Record, Snapshot]:
    """The last record of a case, and the configuration that it was served by."""
    plans: list[Snapshot] = []
    made = simulated._gateway

    def noted(fault: Fault, case: Case) -> object:
        gateway, upstreams = made(fault, case)
        plans.append(gateway.context.fleet.snapshot)
        return gateway, upstreams

    monkeypatch.setattr(simulated, "_gateway", noted)
    evidence = simulated.evidence_of(faults()[case.fault], case)
    return evidence.records[-1], plans[-1]


def incident_of(record: Record, plan: Snapshot) -> Incident:
    """Its incident, as it comes out of a file."""
    return of_text(to_text(make(record, Kept(plan, is_exact=True), Secrets([]))))


@pytest.mark.parametrize("fault", [one.id for one in faults().values() if any(every_way(one))])
def test_a_fault_goes_the_same_way_again(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for case in every_way(faults()[fault]):
        with monkeypatch.context() as patched:
            record, plan = failed(case, patched)
        incident = incident_of(record, plan)
        came = rerun(incident)
        likeness = compare(incident.record, came.record)
        assert likeness.is_same, f"{case.id}: {likeness.first} ({came.assumed}, {incident.notes})"
        assert not came.assumed, case.id
        assert not said_in(incident), case.id


def said_in(incident: Incident) -> list[str]:
    """Words of the conversation that the file holds."""
    return re.findall(rf"\b(?:{'|'.join(WORDS.split())})\b", to_text(incident).decode())
