"""What tests of incidents share: a request that fell back, and its incident as it comes out of a file."""

from __future__ import annotations

from typing import Any

from afterbay.config.snapshot import Snapshot
from afterbay.core.decision import Record
from afterbay.testing.answers import answered, ask, failed
from afterbay.testing.fakes import ScriptedUpstream
from afterbay.testing.incident import Incident, Kept, Secrets, make, of_text, to_text
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run

CHAT = "openai.chat"
TWO = snapshot(alias("m", target("a/m", priority=0), target("b/m", "anthropic.messages", priority=1)))
SAID = "the client said this and nobody else may read it"


def served(
    plan: Snapshot, body: bytes, *, headers: dict[str, str] | None = None, **upstreams: ScriptedUpstream
) -> Record:
    gateway = MemoryGateway(plan, seed=7, **upstreams)
    run(gateway.chat(body, headers=headers))
    return gateway.record


def incident_of(record: Record, plan: Snapshot = TWO, **options: Any) -> Incident:
    return of_text(to_text(make(record, Kept(plan, is_exact=True), Secrets(options.pop("secrets", ())), **options)))


def fell_back(text: str = SAID, **fields: Any) -> Record:
    return served(
        TWO,
        ask("m", text, **fields),
        headers={
            "x-afterbay-priority": "high",
            "authorization": "Bearer hello-secret",
            "x-afterbay-tags": "who=annabelle",
        },
        a=ScriptedUpstream(failed(CHAT, 500, "server", f"it broke over: {text}")),
        b=ScriptedUpstream(answered("anthropic.messages", "the model answered so")),
    )
