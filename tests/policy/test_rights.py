"""Rights are a lattice, and no sequence of grants makes more of them than there were."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from afterbay.core.errors import ClientMistake
from afterbay.policy.rights import (
    EVERYTHING,
    LIMITS,
    NO_WISH,
    Preference,
    Rights,
    allowances,
    check_preference,
    checked,
    covers,
    excess,
    filled,
    is_from,
    meet,
    meet_all,
    preferred,
    settled,
)
from afterbay.policy.rights_form import RightsForm, read, shown

NAMES = st.none() | st.frozensets(st.sampled_from("abcd"), max_size=3)
NETWORKS = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.3.0/24", "10.1.2.3/32", "::/0", "2001:db8::/32"]
PEERS = ["10.1.2.3", "10.1.3.1", "10.9.9.9", "192.168.0.1", "2001:db8::1", "fe80::1", "::ffff:10.1.2.3", "", "/run/s"]


def rights_of(names: st.SearchStrategy[frozenset[str] | None] = NAMES) -> st.SearchStrategy[Rights]:
    return st.builds(
        Rights,
        names,
        names,
        names,
        st.none() | st.frozensets(st.sampled_from(NETWORKS), max_size=3),
        st.frozensets(st.sampled_from(["eu", "us"])),
        st.dictionaries(st.sampled_from(LIMITS[:3]), st.integers(0, 3), max_size=3),
        st.none() | st.floats(0, 100),
    ).map(checked)


RIGHTS = rights_of()


@given(RIGHTS, RIGHTS)
def test_a_meet_is_the_most_that_both_allow(one: Rights, other: Rights) -> None:
    both = meet(one, other)
    assert covers(one, both)
    assert covers(other, both)
    assert both == meet(other, one)
    assert meet(one, one) == one == meet(one, EVERYTHING) == meet(EVERYTHING, one)


@given(RIGHTS, RIGHTS, RIGHTS)
def test_a_meet_is_the_greatest_lower_bound(one: Rights, other: Rights, third: Rights) -> None:
    if covers(one, third) and covers(other, third):
        assert covers(meet(one, other), third)
    assert meet(meet(one, other), third) == meet(one, meet(other, third)) == meet_all((third, other, one))


@given(RIGHTS, RIGHTS, RIGHTS)
def test_covering_is_a_partial_order(one: Rights, other: Rights, third: Rights) -> None:
    assert covers(one, one)
    assert covers(EVERYTHING, one)
    assert not (covers(one, other) and covers(other, one)) or one == other
    assert not (covers(one, other) and covers(other, third)) or covers(one, third)
    assert covers(one, other) == (meet(one, other) == other)


@given(RIGHTS, RIGHTS, st.sampled_from(PEERS))
def test_addresses_mean_the_clients_that_they_hold(one: Rights, other: Rights, peer: str) -> None:
    both = meet(one, other)
    assert is_from(both.addresses, peer) == (is_from(one.addresses, peer) and is_from(other.addresses, peer))
    if covers(one, other):
        assert is_from(one.addresses, peer) or not is_from(other.addresses, peer)


@given(RIGHTS, RIGHTS)
def test_what_is_left_unsaid_is_filled_and_nothing_else(wanted: Rights, own: Rights) -> None:
    made = filled(wanted, own)
    for field in ("models", "routes", "providers", "addresses", "expires_at"):
        said = getattr(wanted, field)
        assert getattr(made, field) == (said if said is not None else getattr(own, field))
    assert filled(EVERYTHING, own) == own


def test_the_excess_is_named() -> None:
    own = Rights(frozenset("a"), None, None, frozenset({"10.0.0.0/8"}), frozenset({"eu"}), {LIMITS[0]: 5}, 9.0)
    assert LIMITS[0] == "picousd/minute", "it is kept so, and told in dollars"
    for change, field in (
        ({"models": None}, "models"),
        ({"models": frozenset("ab")}, "models"),
        ({"addresses": None}, "addresses"),
        ({"addresses": frozenset({"11.0.0.0/8"})}, "addresses"),
        ({"compliance": frozenset()}, "compliance"),
        ({"limits": {}}, "limits.usd/minute"),
        ({"limits": {LIMITS[0]: 6}}, "limits.usd/minute"),
        ({"expires_at": None}, "expires_at"),
        ({"expires_at": 10.0}, "expires_at"),
    ):
        assert excess(own, msgspec.structs.replace(own, **change)) == field
    assert excess(own, own) is None


@pytest.mark.parametrize(
    "wrong",
    [
        Rights(models=frozenset({""})),
        Rights(routes=frozenset({"x" * 257})),
        Rights(providers=frozenset(map(str, range(1001)))),
        Rights(compliance=frozenset({""})),
        Rights(addresses=frozenset({"10.0.0.1/8"})),
        Rights(addresses=frozenset({"localhost"})),
        Rights(addresses=frozenset(f"10.0.0.{at}/32" for at in range(101))),
        Rights(limits={"usd/month": 1}),
        Rights(limits={"tokens/year": 1}),
    ],
)
def test_what_cannot_be_kept_is_refused_with_its_field(wrong: Rights) -> None:
    with pytest.raises(ClientMistake) as caught:
        checked(wrong)
    assert (caught.value.status, caught.value.code) == (400, "invalid_value")
    assert caught.value.param in msgspec.structs.asdict(wrong)


def test_networks_are_kept_in_one_form() -> None:
    found = checked(Rights(addresses=frozenset({"10.0.0.0/25", "10.0.0.128/25", "10.0.0.7", "2001:DB8::/32"})))
    assert found.addresses == {"10.0.0.0/24", "2001:db8::/32"}
    assert all(ipaddress.ip_network(one) for one in found.addresses or ())


def test_limits_are_allowances_of_their_account() -> None:
    found = allowances("key:k", Rights(limits={"tokens/minute": 5, "picousd/month": 7}), "key ci")
    assert [(one.account, one.unit, one.period, one.limit, one.name) for one in found] == [
        ("key:k", "picousd", "month", 7, "key ci"),
        ("key:k", "tokens", "minute", 5, "key ci"),
    ]
    assert allowances("key:k", EVERYTHING, "") == ()


WISHES = st.builds(
    Preference,
    st.none() | st.sampled_from("pq"),
    st.none() | st.frozensets(st.sampled_from("pq")),
    st.none() | st.just("m"),
)


@given(WISHES, WISHES, WISHES, st.sampled_from([None, "coder", "other"]))
def test_a_preference_never_widens_the_providers_of_those_above(
    own: Preference, above: Preference, agent: Preference, asks: str | None
) -> None:
    own = msgspec.structs.replace(own, agents={"coder": agent})
    found = settled(preferred(own, above)).of(asks)
    for each in (own, above, *([agent] if asks == "coder" else [])):
        if each.allowed_providers is not None:
            assert found.allowed_providers is not None
            assert found.allowed_providers <= each.allowed_providers
    nearest = [agent] if asks == "coder" else []
    wishes = [each.bound_model for each in (*nearest, own, above) if each.bound_model is not None]
    assert found.bound_model == (wishes[0] if wishes else None)


def test_an_agent_of_the_team_is_known_to_the_key() -> None:
    team = Preference(agents={"coder": Preference(bound_model="big")})
    assert settled(preferred(NO_WISH, team)).of("coder").bound_model == "big"
    assert settled(preferred(Preference(bound_model="small"), team)).of("coder").bound_model == "big"


@pytest.mark.parametrize(
    "wrong",
    [
        Preference(preferred_provider=""),
        Preference(bound_model="x" * 257),
        Preference(allowed_providers=frozenset({""})),
        Preference(agents={"": NO_WISH}),
        Preference(agents={"a": Preference(agents={"b": NO_WISH})}),
        Preference(agents={"a": Preference(bound_model="")}),
    ],
)
def test_a_preference_that_cannot_be_kept_is_refused(wrong: Preference) -> None:
    with pytest.raises(ClientMistake):
        check_preference(wrong)


@given(RIGHTS)
def test_what_is_shown_reads_back(rights: Rights) -> None:
    text = msgspec.json.encode(shown(rights))
    back = read(msgspec.json.decode(text, type=RightsForm))
    assert covers(rights, msgspec.structs.replace(back, expires_at=rights.expires_at))
    assert abs((back.expires_at or 0) - (rights.expires_at or 0)) < 1e-5


@given(st.integers(0, 10**15), st.sampled_from(["day", "month"]))
def test_dollars_of_up_to_a_billionth_are_exact(nanousd: int, period: str) -> None:
    form = RightsForm(limits={f"usd/{period}": nanousd / 10**9})
    assert read(form).limits == {f"picousd/{period}": nanousd * 1000}
    assert read(shown(read(form))) == read(form)


@pytest.mark.parametrize(
    "limits", [{"usd/day": -1}, {"tokens/day": 1.5}, {"usd/day": 1e300}, {"picousd/day": 1}, {"usd/day": float("nan")}]
)
def test_a_limit_that_is_no_amount_is_refused(limits: Mapping[str, float]) -> None:
    with pytest.raises(ClientMistake):
        read(RightsForm(limits=dict(limits)))


@pytest.mark.parametrize("at", [-1.0, 253_402_300_800.0, 8.6e15, float("inf"), float("nan")])
def test_an_expiry_that_no_calendar_has_is_refused(at: float) -> None:
    with pytest.raises(ClientMistake, match="expires_at"):
        checked(Rights(expires_at=at))


@pytest.mark.parametrize("text", ["9999-12-31T23:59:59-12:00", "0001-01-01T00:00:00+12:00"])
def test_a_date_that_leaves_the_calendar_in_utc_is_refused(text: str) -> None:
    with pytest.raises(ClientMistake, match="expires_at"):
        checked(read(RightsForm(expires_at=datetime.fromisoformat(text))))


@pytest.mark.parametrize(("at", "year"), [(8.6e15, 9999), (-8.6e15, 1970)])
def test_an_expiry_that_was_stored_before_they_were_bounded_is_shown(at: float, year: int) -> None:
    told = shown(Rights(expires_at=at)).expires_at
    assert told is not None
    assert told.year == year


def test_an_expiry_is_a_date() -> None:
    form = RightsForm(expires_at=datetime(2027, 1, 1, tzinfo=UTC))
    assert read(form).expires_at == 1798761600.0
    assert shown(read(form)) == form
