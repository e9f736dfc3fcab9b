"""No escalation: whatever a key does to keys and tenants, no key gets to do more than the one that made it could."""

from __future__ import annotations

import contextlib
import itertools

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.policy.authority import OPERATOR, ROLES, Role
from afterbay.policy.rights import Rights, covers
from afterbay.store.errors import StoreError
from afterbay.store.memory import MemoryKeys
from afterbay.store.owners import KINDS, Kind
from afterbay.store.register import Wish

from .test_rights import rights_of

REFUSED = (ClientMistake, PolicyRefusal, StoreError)
RIGHTS = rights_of(st.none() | st.frozensets(st.sampled_from("abc"), min_size=1, max_size=2))
WHO = st.integers(0, 30)


class Office(RuleBasedStateMachine):
    """Keys of any role and place do what they like; what each could when it acted bounds what became of it."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 50.0
        self.keys = MemoryKeys(now=lambda: self.now)
        self.names = (f"n{number}" for number in itertools.count())
        self.secrets: dict[str, str] = {}
        """Who knows which secret: secret -> the key that was shown it."""

    @initialize()
    def begin(self) -> None:
        """Two tenants with a team each, and a key of every role in every place."""
        for name in ("one", "two"):
            top = self.keys.create_tenant("organisation", name)
            below = self.keys.create_tenant("team", name, top.id)
            for role in (None, *ROLES):
                for owner in ("", top.id, below.id):
                    self.keys.create(next(self.names), owner=owner, role=role)

    def someone(self, number: int) -> str:
        """The operator, or a key."""
        known = [OPERATOR.id, *(info.id for info in self.keys.list())]
        return known[number % len(known)]

    def place(self, number: int) -> str:
        known = ["", *(one.id for one in self.keys.tenants())]
        return known[number % len(known)]

    @rule(by=WHO, kind=st.sampled_from(KINDS), parent=WHO, rights=RIGHTS)
    def make_tenant(self, by: int, kind: Kind, parent: int, rights: Rights) -> None:
        with contextlib.suppress(*REFUSED):
            self.keys.create_tenant(kind, next(self.names), self.place(parent), Wish(rights), by=self.someone(by))

    @rule(by=WHO, owner=WHO, rights=RIGHTS, role=st.sampled_from([None, *ROLES]))
    def make_key(self, by: int, owner: int, rights: Rights, role: Role | None) -> None:
        actor = self.someone(by)
        with contextlib.suppress(*REFUSED):
            made = self.keys.create(next(self.names), rights, owner=self.place(owner), role=role, by=actor)
            self.shown(actor, made.info.id, made.secret.reveal())

    @rule(by=WHO, which=WHO, overlap=st.sampled_from([0.0, 10.0]))
    def rotate(self, by: int, which: int, overlap: float) -> None:
        actor = self.someone(by)
        with contextlib.suppress(*REFUSED):
            made = self.keys.rotate(self.someone(which), overlap_s=overlap, by=actor)
            self.shown(actor, made.info.id, made.secret.reveal())

    @rule(by=WHO, which=WHO, rights=RIGHTS, role=st.sampled_from([None, *ROLES]))
    def change_key(self, by: int, which: int, rights: Rights, role: Role | None) -> None:
        actor, changed = self.someone(by), self.someone(which)
        with contextlib.suppress(*REFUSED):
            info = self.keys.update(changed, Wish(rights, role=role), by=actor)
            after = self.keys.effective(info)
            if actor != OPERATOR.id and after is not None and actor != changed:
                acting = self.keys.effective(self.keys.key(actor))
                assert acting is not None
                assert covers(acting.rights, after.rights)
                assert role is None or ROLES.index(role) <= ROLES.index(acting.role or "viewer")

    @rule(by=WHO, which=WHO, rights=RIGHTS)
    def change_tenant(self, by: int, which: int, rights: Rights) -> None:
        for one in [each for each in self.keys.tenants() if each.id == self.place(which)]:
            actor = self.someone(by)
            with contextlib.suppress(*REFUSED):
                self.keys.update_tenant(one.kind, one.id, Wish(rights), by=actor)
                reach = self.keys.key(actor).owner if actor != OPERATOR.id else ""
                assert one.id != reach, "nobody changes the place that they stand in"

    @rule(by=WHO, which=WHO)
    def revoke(self, by: int, which: int) -> None:
        with contextlib.suppress(*REFUSED):
            self.keys.revoke(self.someone(which), by=self.someone(by))

    @rule()
    def wait(self) -> None:
        self.now += 7.0

    def shown(self, actor: str, key_id: str, secret: str) -> None:
        """Somebody sees a secret: at that moment its key may do no more than theirs, and is charged to their limits."""
        key = self.keys.find(secret)
        assert key is not None
        assert key.id == key_id
        if actor == OPERATOR.id:
            return
        acting = self.keys.effective(self.keys.key(actor))
        assert acting is not None
        assert acting.role is not None
        assert covers(acting.rights, key.rights), f"{actor} made {key_id}, which may do more"
        assert ROLES.index(key.role or "viewer") <= ROLES.index(acting.role)
        assert {one.account for one in acting.allowances} <= set(key.accounts), "their limits hold for it"
        path = {one.id for one in (acting.organisation, acting.team, acting.user) if one is not None}
        assert path <= {one.id for one in (key.organisation, key.team, key.user) if one is not None}, "in their reach"

    @invariant()
    def each_key_is_within_all_that_stand_above_it(self) -> None:
        tenants = {one.id: one for one in self.keys.tenants()}
        for info in self.keys.list():
            key = self.keys.effective(info)
            assert key is not None
            assert covers(info.rights, key.rights)
            for owner in (key.organisation, key.team, key.user):
                assert owner is None or covers(tenants[owner.id].rights, key.rights)

    @invariant()
    def the_log_of_it_is_whole(self) -> None:
        assert not hasattr(self.keys.verify_audit(), "reason")


Office.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestOffice = Office.TestCase
