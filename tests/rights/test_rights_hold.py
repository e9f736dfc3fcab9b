"""Rights under random operations: a sample of what `make rights` runs whole, and that its judge sees what is wrong."""

from __future__ import annotations

import os
from typing import Any

import pytest

from afterbay.http.model_list import visible_models
from afterbay.policy import authority
from afterbay.store.audit import chained
from afterbay.store.keys import SqliteKeys
from afterbay.store.register import Register
from rights.run import EPISODE, episode, run, summary

OPERATIONS = int(os.environ.get("AFTERBAY_RIGHTS", "6000"))
SEEN = (
    "key.create by a key", "key.update by a key", "key.rotate by a key", "key.revoke by a key",
    "organisation.create by a key", "team.update by a key", "user.end by a key",
    "create key: 403 exceeds_rights", "rotate key: 403 exceeds_rights", "update tenant: 403 exceeds_rights",
    "update key: 404 unknown_key", "read one: 404 unknown_tenant",
    "chat: 200", "chat: 403 policy_no_candidate", "chat: 401 key_expired", "chat: 403 address_not_allowed",
    "chat: 429 rate_limit_exceeded", "chat: 400 previous_response_not_found", "vectors: 200",
    "raw: 200", "raw: 403 passthrough_not_allowed", "models: 200", "record: 404 unknown_request", "kept: 200",
)  # fmt: skip
"""Ends that have to occur, or the run shows nothing."""


@pytest.mark.timeout(7200)
def test_no_right_grows_nothing_of_others_is_read_and_nothing_that_is_excluded_is_tried() -> None:
    verdict = run(OPERATIONS, 1, (os.cpu_count() or 1) if OPERATIONS > 10 * EPISODE else 1)
    print(summary(verdict))
    assert verdict.faults == []
    assert verdict.operations == OPERATIONS
    assert verdict.attempts > OPERATIONS // 10
    assert [what for what in SEEN if not verdict.seen.get(what)] == []


def test_an_episode_depends_on_its_seed_alone() -> None:
    one, other = episode(7, 300), episode(7, 300)
    assert (one.attempts, one.seen) == (other.attempts, other.seen)


def nothing(*_: Any) -> None:
    """Checks nothing, excludes nothing."""


async def any_record(pages: Any, record_id: str, key: Any) -> Any:
    return await pages._find_record(record_id)


async def any_response(context: Any, call: Any, response_id: str) -> Any:
    return await context.responses.get(response_id)


def every_name(snapshot: Any, key: Any) -> list[str]:
    return visible_models(snapshot, None)


def own_keys_alone(register: Register, change: Any) -> set[str]:
    return {row.info.id for row in change.keys}


def uncharged(register: Register, by: str, now: float, *, _whole: Any = Register.actor) -> authority.Actor:
    actor = _whole(register, by, now)
    return authority.Actor(actor.id, actor.role, actor.reach, actor.own, actor.rights)


def everywhere(keys: SqliteKeys, before: int, tenant: str, limit: int, *, _some: Any = SqliteKeys._entries) -> Any:
    return _some(keys, before, "", limit)


def by_nobody(last: Any, at: str, _: str, *told: Any) -> Any:
    return chained(last, at, "nobody", *told)


BROKEN = {
    "grants are not compared": ("afterbay.store.register.granted", lambda _, wanted: wanted),
    "everybody reaches everything": ("afterbay.store.register.is_within", lambda *_: True),
    "everybody acts": ("afterbay.store.register.check_acts", nothing),
    "any role is granted": ("afterbay.store.register.check_role", nothing),
    "one's own place is changed": ("afterbay.store.register.check_above", nothing),
    "any secret is shown": ("afterbay.store.register.check_secret", nothing),
    "the maker's limits do not hold": ("afterbay.store.register.Register.actor", uncharged),
    "limits do not hold": ("afterbay.store.owners.allowances", lambda *_: ()),
    "owners do not count": ("afterbay.store.register.meet", lambda _, own: own),
    "what is taken above stays below": ("afterbay.store.register.Register.touched", own_keys_alone),
    "any model is served": ("afterbay.policy.filters._forbidden", nothing),
    "any provider is asked": ("afterbay.policy.filters.provider_gap", nothing),
    "sets of keys do not count": ("afterbay.engine.clearance.beside", lambda *_: ()),
    "no set counts": ("afterbay.policy.compliance._gap", nothing),
    "no provider is asked": ("afterbay.policy.filters.provider_gap", lambda *_: "no"),
    "anything passes through": ("afterbay.policy.passage.check_key", nothing),
    "sets do not hold for raw requests": ("afterbay.engine.clearance._behind", lambda *_: ()),
    "agents inherit nothing": ("afterbay.store.register.settled", lambda wish: wish),
    "preferences of owners do not count": ("afterbay.store.register.preferred", lambda own, _: own),
    "keys never expire": ("afterbay.http.identity.check_usable", nothing),
    "the admin API lets everybody in": ("afterbay.http.admin.check_usable", nothing),
    "old secrets live on": ("afterbay.store.keyring.utc_seconds", lambda _: float("inf")),
    "every record is shown": ("afterbay.http.pages.Pages._record", any_record),
    "every response is shown": ("afterbay.engine.kept.owned", any_response),
    "every response is gone on with": ("afterbay.engine.responses._continued", any_response),
    "every model is listed": ("afterbay.http.pages.visible_models", every_name),
    "the whole log is shown": ("afterbay.store.keys.SqliteKeys._entries", everywhere),
    "the log is forged": ("afterbay.store.keys.chained", by_nobody),
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_judge_sees_a_gateway_that_is_wrong(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    place, instead = BROKEN[what]
    monkeypatch.setattr(place, instead)
    assert run(20 * EPISODE, 1, 1).faults, what
