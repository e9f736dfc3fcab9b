"""Incidents: a request of the log as one file, without secrets, and the file replayed without a network.

    incident = make(record, Kept(snapshot, is_exact=True), Secrets(secrets_of(snapshot, environ)))
    likeness = compare(incident.record, rerun(incident).record)

`form` says what is in a file, `making` how one is made, `standin` what stands for what was not recorded.
"""

from __future__ import annotations

from afterbay.testing.incident.form import Incident, load, of_text, save, to_text
from afterbay.testing.incident.likeness import Likeness, Pair, compare
from afterbay.testing.incident.making import Kept, make, recordings_of
from afterbay.testing.incident.rerun import Rerun, rerun
from afterbay.testing.incident.secrecy import Secrets, secrets_of

__all__ = [
    "Incident",
    "Kept",
    "Likeness",
    "Pair",
    "Rerun",
    "Secrets",
    "compare",
    "load",
    "make",
    "of_text",
    "recordings_of",
    "rerun",
    "save",
    "secrets_of",
    "to_text",
]
