"""What every store of keys must do, as tests to inherit: see `afterbay.testing.stores` for how."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import msgspec

from afterbay.core.errors import ClientMistake, PolicyRefusal
from afterbay.policy.rights import EVERYTHING, Preference, Rights
from afterbay.ports import Key
from afterbay.store.audit import Anchor, Broken
from afterbay.store.errors import AmbiguousKey, InvalidKey, NameTaken, StoreError, UnknownKey, UnknownTenant
from afterbay.store.keyform import NewKey, is_well_formed
from afterbay.store.keyring import Keyring
from afterbay.store.register import Wish

DAY_S = 86400.0


class OpenedKeys(msgspec.Struct, frozen=True):
    """A store of keys under test. `advance` moves its clock by so many seconds; `now` reads it."""

    keys: Keyring
    advance: Callable[[float], None]
    now: Callable[[], float]


class KeysContract:
    """What holds for any store of keys and tenants."""

    def opened_keys(self) -> AbstractContextManager[OpenedKeys]:
        """A store without keys, closed when the block ends. To be written by the subclass."""
        raise NotImplementedError

    def test_a_secret_finds_its_key_and_no_other(self) -> None:
        with self.opened_keys() as store:
            one = store.keys.create("one", models("gpt_4o", "auto"))
            two = store.keys.create("two", role="admin")
            found, other = _found(store, one), _found(store, two)
            _expect(found.name == "one" and not found.admin, "the secret finds its key")
            _expect(found.rights.models == frozenset({"gpt_4o", "auto"}), "with its models")
            _expect(other.admin and other.id == two.info.id, "and the other finds the other")

    def test_anything_else_finds_nothing(self) -> None:
        with self.opened_keys() as store:
            secret = store.keys.create("one").secret.reveal()
            for wrong in ("", "ab-", secret[:-1], secret + "x", secret.upper(), " " + secret, "ü\ud800", "x" * 100_000):
                _expect(store.keys.find(wrong) is None, f"{wrong[:20]!r} is no key")

    def test_secrets_are_well_formed_and_shown_once(self) -> None:
        with self.opened_keys() as store:
            new = store.keys.create("one")
            _expect(is_well_formed(new.secret.reveal()), "prefix, length and checksum are right")
            shown = repr((new, store.keys.list(revoked=True), store.keys.audit(), store.keys.find(new.secret.reveal())))
            _expect(new.secret.reveal() not in shown, "nothing else shows it")

    def test_any_exist_remembers_revoked_keys(self) -> None:
        with self.opened_keys() as store:
            _expect(not store.keys.any_exist(), "none at first")
            store.keys.create("one")
            store.keys.revoke("one")
            _expect(store.keys.any_exist(), "a gateway that had keys does not open again")

    def test_a_throwaway_key_is_found_and_does_not_count_as_one(self) -> None:
        with self.opened_keys() as store:
            made = store.keys.create("run", throwaway=True)
            _expect(store.keys.find(made.secret.reveal()) is not None, "it is found")
            _expect(not store.keys.any_exist(), "the gateway stays open")
            _expect(store.keys.key("run").throwaway, "it is marked")
            store.keys.rotate("run")
            store.keys.revoke("run")
            _expect(not store.keys.any_exist(), "also when it has ended")
            store.keys.create("one")
            _expect(store.keys.any_exist(), "another key closes the gateway")

    def test_a_revoked_key_finds_nothing_and_frees_its_name(self) -> None:
        with self.opened_keys() as store:
            old = store.keys.create("one")
            revoked = store.keys.revoke(old.info.id)
            _expect(store.keys.find(old.secret.reveal()) is None, "revoked at once")
            _expect(revoked.revoked_at is not None, "and says when")
            new = store.keys.create("one")
            _expect([info.id for info in store.keys.list()] == [new.info.id], "only the live one is listed")
            _expect(len(store.keys.list(revoked=True)) == 2, "unless asked")

    def test_a_rotated_key_keeps_all_but_its_secret(self) -> None:
        with self.opened_keys() as store:
            old = store.keys.create("one", models("auto"))
            new = store.keys.rotate("one")
            found = _found(store, new)
            _expect(store.keys.find(old.secret.reveal()) is None, "the old secret ended")
            _expect(found.id == old.info.id and found.rights.models == frozenset({"auto"}), "the key stayed")

    def test_an_old_secret_lives_on_as_long_as_the_rotation_says(self) -> None:
        with self.opened_keys() as store:
            first = store.keys.create("one")
            second = store.keys.rotate("one", overlap_s=60.0)
            _expect(_found(store, first) == _found(store, second), "both are good")
            store.advance(59.0)
            _expect(store.keys.find(first.secret.reveal()) is not None, "to the end of the overlap")
            store.advance(2.0)
            _expect(store.keys.find(first.secret.reveal()) is None, "and no longer")
            _expect(store.keys.find(second.secret.reveal()) is not None, "the new one stays")

    def test_a_second_rotation_ends_the_oldest_secret_and_a_revocation_all(self) -> None:
        with self.opened_keys() as store:
            made = [store.keys.create("one"), *(store.keys.rotate("one", overlap_s=60.0) for _ in range(2))]
            alive = [store.keys.find(one.secret.reveal()) is not None for one in made]
            _expect(alive == [False, True, True], f"two secrets at most: {alive}")
            store.keys.revoke("one")
            _expect(not any(store.keys.find(one.secret.reveal()) for one in made), "none is left")
            _expect_error(InvalidKey, lambda: store.keys.rotate(store.keys.create("two").info.id, overlap_s=1e9))

    def test_a_key_may_what_it_and_all_above_it_may(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            acme = keys.create_tenant("organisation", "acme", wish=Wish(models("a", "b", "c")))
            search = keys.create_tenant("team", "search", acme.id, Wish(Rights(limits={"picousd/day": 10})))
            ann = keys.create_tenant("user", "ann", search.id, Wish(models("b", "c", "d")))
            made = keys.create("ci", Rights(models=frozenset("cb"), limits={"requests/minute": 3}), owner=ann.id)
            found = _found(store, made)
            _expect(found.rights.models == frozenset({"b", "c"}), "the meet of the models")
            _expect(found.rights.limits == {"picousd/day": 10, "requests/minute": 3}, "and of the limits")
            accounts = (f"organisation:{acme.id}", f"team:{search.id}", f"user:{ann.id}", f"key:{made.info.id}")
            _expect(found.accounts == accounts, "charged to all, the widest first")
            told = [(one.account, one.unit, one.period, one.limit) for one in found.allowances]
            _expect(told == [(accounts[1], "picousd", "day", 10), (accounts[3], "requests", "minute", 3)], "limits")
            _expect((found.organisation, found.team, found.user) != (None, None, None), "and they are named")
            keys.update_tenant("organisation", "acme", Wish(models("a")))
            _expect(_found(store, made).rights.models == frozenset(), "what is taken above is taken below, at once")
            keys.update_tenant("organisation", acme.id, Wish(EVERYTHING))
            _expect(_found(store, made).rights.models == frozenset({"b", "c"}), "and can be given back")

    def test_a_preference_comes_from_the_nearest_that_has_it(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            agents = {"coder": Preference(bound_model="big")}
            wish = Wish(preference=Preference("east", frozenset({"east", "west"}), "small", agents))
            team = keys.create_tenant("team", "t", wish=wish)
            made = keys.create("k", owner=team.id, preference=Preference("west", frozenset({"west", "north"})))
            found = _found(store, made).preference
            _expect(found.of(None).preferred_provider == "west", "the key's own goes first")
            _expect(found.of("other").allowed_providers == frozenset({"west"}), "only what both allow")
            _expect(found.of("other").bound_model == "small", "and what it doesn't say is the team's")
            _expect(found.of("coder").bound_model == "big", "an agent's goes before all")
            _expect(found.of("coder").preferred_provider == "west", "and has the rest of what holds for others")

    def test_names_are_unique_where_they_stand(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            one, two = (keys.create_tenant("team", name) for name in ("one", "two"))
            for owner in (one.id, two.id, ""):
                keys.create("ci", owner=owner)
            _expect_error(NameTaken, lambda: keys.create("ci", owner=two.id))
            _expect_error(NameTaken, lambda: keys.create("ci"))
            _expect_error(NameTaken, lambda: keys.create_tenant("team", "one"))
            _expect_error(AmbiguousKey, lambda: keys.revoke("ci"))
            keys.create_tenant("user", "one")
            keys.create_tenant("user", "one", one.id)
            _expect(keys.tenant("user", "one/one").parent == one.id, "found by the names on the way")

    def test_what_stands_in_a_tenant_ends_with_it(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            acme, other = (keys.create_tenant("organisation", name) for name in ("acme", "other"))
            team = keys.create_tenant("team", "t", acme.id)
            below, beside = (keys.create("k", owner=owner) for owner in (team.id, other.id))
            keys.end_tenant("organisation", "acme")
            _expect(keys.find(below.secret.reveal()) is None, "its keys are revoked")
            _expect(keys.find(beside.secret.reveal()) is not None, "others' are not")
            _expect([one.name for one in keys.tenants()] == ["other"], "it and its teams are gone")
            _expect_error(UnknownTenant, lambda: keys.create("k", owner=team.id))
            _expect(keys.create_tenant("organisation", "acme").id != acme.id, "and the name is free again")

    def test_tenants_stand_in_wider_ones_only(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            user = keys.create_tenant("user", "ann")
            _expect_error(InvalidKey, lambda: keys.create_tenant("team", "t", user.id))
            _expect_error(InvalidKey, lambda: keys.create_tenant("user", "bob", user.id))
            _expect_error(UnknownTenant, lambda: keys.create_tenant("team", "t", "org_none"))
            _expect_error(UnknownTenant, lambda: keys.tenant("team", user.id))

    def test_who_asks_sees_and_changes_what_lies_below_them_alone(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            one, two = (keys.create_tenant("team", name) for name in ("one", "two"))
            boss = keys.create("boss", owner=one.id, role="manager").info.id
            mine, theirs = keys.create("mine", by=boss), keys.create("theirs", owner=two.id)
            _expect(mine.info.owner == one.id, "made where its maker stands")
            _expect({info.name for info in keys.list(by=boss)} == {"boss", "mine"}, "its own team's keys")
            _expect([each.id for each in keys.tenants(by=boss)] == [one.id], "its own team")
            _expect({each.actor for each in keys.audit(by=boss)} == {"operator", boss}, "its own team's changes")
            _expect(all(two.id not in each.path for each in keys.audit(by=boss)), "and no other's")
            for act in (keys.rotate, keys.revoke, keys.key):
                _expect_error(UnknownKey, lambda act=act: act(theirs.info.id, by=boss))  # type: ignore[misc]
            _expect_error(UnknownTenant, lambda: keys.create("x", owner=two.id, by=boss))
            _expect_refusal("role_required", lambda: keys.create_tenant("user", "u", by=boss))
            _expect_refusal("role_required", lambda: keys.list(by=mine.info.id))
            _expect_refusal("exceeds_rights", lambda: keys.create("x", role="admin", by=boss))
            keys.revoke(boss)
            _expect_refusal("role_required", lambda: keys.list(by=boss))

    def test_an_admin_changes_what_is_below_its_own_place_not_the_place(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            acme = keys.create_tenant("organisation", "acme", wish=Wish(models("a")))
            admin = keys.create("admin", owner=acme.id, role="admin").info.id
            team = keys.create_tenant("team", "t", by=admin)
            _expect(team.parent == acme.id, "made where its maker stands")
            keys.update_tenant("team", team.id, Wish(models("a")), by=admin)
            _expect_refusal("exceeds_rights", lambda: keys.update_tenant("team", team.id, Wish(models("b")), by=admin))
            _expect_refusal("exceeds_rights", lambda: keys.update_tenant("organisation", acme.id, Wish(), by=admin))
            _expect_refusal("exceeds_rights", lambda: keys.end_tenant("organisation", acme.id, by=admin))

    def test_a_key_with_limits_is_charged_for_those_that_it_makes(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            maker = keys.create("maker", Rights(limits={"picousd/day": 10}), role="manager")
            before = keys.create("before", Rights(limits={"picousd/day": 10}))
            made = keys.create("made", by=maker.info.id)
            found = _found(store, made)
            _expect(found.accounts == (f"key:{maker.info.id}", f"key:{made.info.id}"), "both are charged")
            _expect({one.account for one in found.allowances} == set(found.accounts), "and both are limited")
            keys.rotate(made.info.id, by=maker.info.id)
            _expect_refusal("exceeds_rights", lambda: keys.rotate(before.info.id, by=maker.info.id))
            keys.update(maker.info.id, Wish(Rights(limits={"picousd/day": 5})))
            limits = {one.account: one.limit for one in _found(store, keys.rotate(made.info.id)).allowances}
            _expect(limits[f"key:{maker.info.id}"] == 5, "a change of the maker's limit is felt by what it made")

    def test_a_secret_of_a_key_that_may_more_is_not_shown(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            wide = keys.create("wide", models("a", "b"))
            small = keys.create("small", models("a"), role="manager").info.id
            _expect_refusal("exceeds_rights", lambda: keys.rotate(wide.info.id, by=small))
            _expect_refusal("exceeds_rights", lambda: keys.create("x", models("a", "b"), by=small))
            _expect(
                _found(store, keys.create("x", by=small)).rights.models == frozenset({"a"}), "nothing said is no more"
            )
            keys.update("wide", Wish(models("a")))
            _expect(_found(store, keys.rotate(wide.info.id, by=small)).id == wide.info.id, "now it may no more")

    def test_an_expired_key_is_found_and_may_ask_for_nothing(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            made = keys.create("one", Rights(expires_at=store.now() + DAY_S), role="manager")
            keys.create("two", by=made.info.id)
            store.advance(DAY_S + 1)
            _expect((_found(store, made).rights.expires_at or 0) < store.now(), "it is there, for a clear answer")
            _expect_refusal("role_required", lambda: keys.list(by=made.info.id))

    def test_every_change_is_in_the_audit_log_and_nothing_else(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            team = keys.create_tenant("team", "t")
            boss = keys.create("boss", owner=team.id, role="manager").info.id
            new = keys.create("one", models("a"), by=boss)
            keys.update(new.info.id, Wish(models("b")))
            keys.rotate(new.info.id, by=boss)
            _expect_error(NameTaken, lambda: keys.create("one", by=boss))
            keys.revoke(new.info.id)
            keys.end_tenant("team", "t")
            entries = keys.audit(limit=100)
            actions = ["team.end", "key.revoke", "key.rotate", "key.update", "key.create", "key.create", "team.create"]
            _expect([one.action for one in entries] == actions, "newest first, what failed left out")
            _expect(entries[4].actor == boss and entries[4].subject == new.info.id, "it says who, and what")
            _expect('"models":["b"]' in entries[3].details, "and how")
            whole = keys.verify_audit()
            _expect(whole == Anchor(7, entries[0].hash), "and it is whole")
            page = keys.audit(before=entries[1].number, limit=2)
            _expect([one.number for one in page] == [5, 4], "pages go on where they stopped")
            _expect(isinstance(keys.verify_audit(Anchor(7, "0" * 64)), Broken), "an anchor is compared")
            _expect(isinstance(keys.verify_audit(Anchor(8, "0" * 64)), Broken), "a log that was cut is found")

    def test_mistakes_are_told_with_a_remedy(self) -> None:
        with self.opened_keys() as store:
            keys = store.keys
            keys.create("one")
            _expect_error(NameTaken, lambda: keys.create("one"))
            _expect_error(UnknownKey, lambda: keys.revoke("nobody"))
            _expect_error(UnknownKey, lambda: keys.rotate("nobody"))
            for name in ("", "-x", "a b", "x" * 65, "é", "a\nb"):
                _expect_error(InvalidKey, lambda name=name: keys.create(name))  # type: ignore[misc]
                _expect_error(InvalidKey, lambda name=name: keys.create_tenant("team", name))  # type: ignore[misc]
            _expect_refusal("invalid_value", lambda: keys.create("two", models("")))
            _expect_refusal("invalid_value", lambda: keys.create("two", Rights(addresses=frozenset({"10.0.0.1/8"}))))


def models(*names: str) -> Rights:
    """Rights to these models."""
    return Rights(models=frozenset(names))


def _found(store: OpenedKeys, new: NewKey) -> Key:
    key = store.keys.find(new.secret.reveal())
    _expect(key is not None, f"{new.info.name} is found")
    assert key is not None  # noqa: S101
    return key


def _expect(holds: bool, promise: str) -> None:
    if not holds:
        raise AssertionError(f"broken promise: {promise}")


def _expect_error(kind: type[StoreError], act: Callable[[], object]) -> None:
    try:
        act()
    except kind as error:
        _expect(len(error.remedy) > 10, f"{kind.__name__} says what to do")
        return
    raise AssertionError(f"broken promise: {kind.__name__} is raised")


def _expect_refusal(code: str, act: Callable[[], object]) -> None:
    try:
        act()
    except (ClientMistake, PolicyRefusal) as error:
        _expect(error.code == code and len(error.remedy) > 10, f"{code}, not {error.code}")
        return
    raise AssertionError(f"broken promise: {code} is raised")
