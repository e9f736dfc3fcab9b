"""Erasing a person: nothing that tells of them is left in any byte of the database, and every sum is as before."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from afterbay.core.decision import Attempt, Circumstances, Record, Rejected
from afterbay.core.usage import Usage
from afterbay.label_ports import Label
from afterbay.policy.rights import Preference, Rights
from afterbay.ports import KeptResponse, Repeatable, StoredAnswer
from afterbay.store.audit import Anchor, Broken
from afterbay.store.database import Database, open_database
from afterbay.store.erase import ROWS, SPOKEN_FOR, Ambiguous, Erased, UnknownOrganisation, Waiting, Whom, erase
from afterbay.store.keys import SqliteKeys
from afterbay.store.labels import SqliteLabels
from afterbay.store.lookup import one_request
from afterbay.store.originals import SqliteOriginals
from afterbay.store.reading import SqliteReading
from afterbay.store.register import Wish
from afterbay.store.responses import SqliteResponses
from afterbay.store.rollup import catch_up
from afterbay.store.schema import metadata
from afterbay.store.writer import Writer

DAY_S = 86400.0
CANARIES = (
    "canary-prompt",
    "canary-agent",
    "canary-tag",
    "canary-error",
    "canary-trace",
    "canary-asked",
    "ada-lovelace",
)


@pytest.fixture
def database(tmp_path: Path) -> Database:
    return open_database(f"sqlite:///{tmp_path}/a.db")


def record(number: int, user: str | None = "ada-lovelace", key: str | None = "k-ada", **fields: Any) -> Record:
    plain: dict[str, Any] = {
        "id": f"req_{number:06d}",
        "received_at": 1000.0 + number,
        "operation": "chat",
        "protocol": "openai.chat",
        "requested_model": "canary-asked",
        "route": "m",
        "model": "m",
        "provider": "a",
        "upstream_model": "up",
        "key_id": key,
        "key_name": f"name of {key}",
        "outcome": "ok",
        "error": "canary-error was quoted",
        "attempts": [Attempt(0, "a/up", "primary", 0.0, error="canary-error", outcome="error", cost_picousd=number)],
        "warnings": ["canary-tag"],
        "usage": Usage(number, output_tokens=2),
        "cost_picousd": number,
        "tags": {"canary-tag": "canary-tag"},
        "traceparent": "canary-trace",
        "circumstances": Circumstances({"x-afterbay-task": "canary-tag"}),
        "organisation": "acme",
        "team": "search",
        "user": user,
        "agent": "canary-agent",
        "task": "canary-tag",
        "compliance": ["held: s", "a/up: soc2"],
        "reasons": {"task": "canary-tag"},
    }
    return Record(**plain | fields)


def write(database: Database, *records: Record) -> None:
    """Writes them to the log, and sums it by the hour as a gateway does."""
    writer = Writer(database, 1.0)
    assert writer.insert(records, 64, lambda: None) == 0
    writer.close()
    catch_up(database)


def keep(database: Database, *responses: KeptResponse) -> None:
    store = SqliteResponses(database, retention_s=2e9)
    for one in responses:
        asyncio.run(store.put(one))
    store.close()


def kept(number: int, key: str | None = "k-ada", provider: str = "", text: bytes = b'"canary-prompt"') -> KeptResponse:
    said = b"" if provider else b"[" + text + b"]"
    return KeptResponse(f"resp_{number}", key, 1000.0, provider, "m", None, said, said)


def answered_again(database: Database, number: int, key: str, user: str | None) -> None:
    """A request with an idempotency key whose answer is kept."""
    store = SqliteOriginals(database, lasts_s=2e9, holder="h", runs=lambda _: True)
    asked = Repeatable(key, f"idem-{number}", (b"what was asked",), f"req_{number:06d}", user)
    assert asyncio.run(store.claim(asked)).state == "new"
    asyncio.run(store.keep(asked, StoredAnswer(200, {"x": "canary-header"}, b"canary-answer")))
    store.close()


def bytes_of(database: Database) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(database.path.parent.iterdir()))


def dump(database: Database) -> list[str]:
    with closing(database.connect()) as connection:
        return list(connection.iterdump())


def sums(database: Database) -> list[Any]:
    with closing(database.connect()) as connection:
        return (
            connection.execute(
                "SELECT model, team, organisation, count(*), sum(cost_picousd), sum(input_tokens), sum(output_tokens)"
                " FROM requests GROUP BY model, team, organisation"
            ).fetchall()
            + connection.execute("SELECT count(*), sum(cost_picousd) FROM attempts").fetchall()
            + connection.execute("SELECT sum(requests), sum(cost_picousd) FROM rollups").fetchall()
        )


def test_nothing_of_a_user_is_left_in_any_byte_and_every_sum_stays(database: Database) -> None:
    write(database, *(record(number) for number in range(5)), record(9, "grace", "k-grace", error=None))
    keep(database, kept(1), kept(2), kept(3, "k-grace", text=b'"hers"'))
    answered_again(database, 1, "k-ada", "ada-lovelace")
    answered_again(database, 9, "k-grace", "grace")
    before, reading = sums(database), SqliteReading(database)
    summary = reading.by_model(0.0)
    told = erase(database, Whom("user", "ada-lovelace"))
    assert told == Erased(5, 5, 2, 1, keys=("k-ada",))
    assert sums(database) == before
    assert reading.by_model(0.0) == summary
    left = bytes_of(database)
    hers = one_request(database, "req_000009")
    assert hers is not None
    assert (hers.user, hers.key_id, hers.tags) == ("grace", "k-grace", {"canary-tag": "canary-tag"})
    for word in ("ada-lovelace", "k-ada", "canary-prompt"):
        assert word.encode() not in left, word


@pytest.mark.parametrize("canary", CANARIES)
def test_no_word_of_theirs_is_left(database: Database, canary: str) -> None:
    write(database, *(record(number) for number in range(40)))
    keep(database, *(kept(number) for number in range(40)))
    if canary != "canary-prompt":  # which is compressed
        assert canary.encode() in bytes_of(database)
    erase(database, Whom("user", "ada-lovelace"))
    assert canary.encode() not in bytes_of(database)


def test_what_is_left_of_a_request_says_what_was_done_and_not_for_whom(database: Database) -> None:
    write(database, record(7), record(8, requested_model="m", provider="", rejected=[Rejected("a/up", "canary")]))
    erase(database, Whom("user", "ada-lovelace"))
    left = one_request(database, "req_000007")
    plain = record(
        7,
        "erased",
        None,
        key_name="erased",
        requested_model="erased",
        error=None,
        warnings=[],
        tags={},
        traceparent=None,
        circumstances=None,
        reasons=None,
        agent=None,
        task=None,
        attempts=[Attempt(0, "a/up", "primary", 0.0, outcome="error", cost_picousd=7)],
    )
    assert left == plain
    refused = one_request(database, "req_000008")
    assert refused is not None
    assert (refused.requested_model, refused.rejected, refused.compliance) == ("m", [], [])


def test_their_words_on_answers_and_imprints_of_their_prompts_go_and_scores_stay(database: Database) -> None:
    write(database, record(1), record(2, "grace", "k-grace"))
    labels = SqliteLabels(database, retention_s=2e9)
    for number in (1, 2):
        told = f"canary-comment-{number}"
        asyncio.run(labels.put(Label(f"req_{number:06d}", "m", 1000.0, "feedback", "m", 0.5, "score", told)))
        asyncio.run(labels.put_imprint(f"req_{number:06d}", "m", 1000.0, b"canary-imprint-%d" % number))
    labels.close()
    erase(database, Whom("user", "ada-lovelace"))
    left = bytes_of(database)
    assert b"canary-comment-1" not in left
    assert b"canary-imprint-1" not in left
    assert [one.comment for one in asyncio.run(labels.labels("m"))] == [None, "canary-comment-2"]
    assert asyncio.run(labels.imprints("m")) == {"req_000002": b"canary-imprint-2"}
    labels.close()


def test_a_dry_run_counts_the_same_and_changes_nothing(database: Database) -> None:
    write(database, record(1), record(2))
    keep(database, kept(1))
    before = bytes_of(database)
    told = erase(database, Whom("user", "ada-lovelace"), dry_run=True)
    assert bytes_of(database) == before
    assert told == msgspec.structs.replace(erase(database, Whom("user", "ada-lovelace")), dry_run=True)
    assert erase(database, Whom("user", "ada-lovelace")) == Erased(0, 0, 0)


def test_more_than_one_transaction_of_rows(database: Database) -> None:
    write(database, *(record(number) for number in range(ROWS + 3)))
    assert erase(database, Whom("user", "ada-lovelace")).requests == ROWS + 3
    assert b"ada-lovelace" not in bytes_of(database)


def test_a_user_of_another_organisation_stays(database: Database) -> None:
    write(database, record(1), record(2, organisation="other", key="k-2"))
    assert erase(database, Whom("user", "ada-lovelace", "other")).requests == 1
    mine, gone = one_request(database, "req_000001"), one_request(database, "req_000002")
    assert mine is not None
    assert gone is not None
    assert (mine.user, gone.user, gone.organisation) == ("ada-lovelace", "erased", "other")


def test_answers_of_a_key_that_others_used_too_stay_and_are_told_of(database: Database) -> None:
    write(database, record(1, key="k-both"), record(2, "grace", "k-both"), record(3))
    keep(database, kept(1, "k-both"), kept(2))
    told = erase(database, Whom("user", "ada-lovelace"))
    assert (told.keys, told.shared, told.responses) == (("k-ada",), ("k-both",), 1)


def test_what_a_provider_keeps_is_named_since_it_has_to_be_deleted_there(database: Database) -> None:
    write(database, record(1))
    keep(database, kept(1, provider="openai"), kept(2), kept(3, provider="openai"))
    told = erase(database, Whom("user", "ada-lovelace"))
    assert told.at_providers == {"openai": ["resp_1", "resp_3"]}
    assert told.responses == 3


def test_a_key_is_erased_by_id_or_name_and_loses_its_name_once_it_is_revoked(database: Database) -> None:
    with closing(SqliteKeys(database)) as keys:
        made = keys.create("ada-lovelace").info
        write(database, record(1, None, made.id, key_name="ada-lovelace"), record(2, "grace", "k-2"))
        keep(database, kept(1, made.id))
        told = erase(database, Whom("key", "ada-lovelace"))
        assert (told.requests, told.responses, told.names, told.live) == (1, 1, 0, (made.id,))
        assert keys.list()[0].name == "ada-lovelace", "somebody asks with it"
        keys.revoke(made.id)
        told = erase(database, Whom("key", made.id))
        assert (told.requests, told.names, told.live) == (0, 1, ())
        assert b"ada-lovelace" not in bytes_of(database)
        assert keys.any_exist()


def test_a_name_of_several_keys_is_not_guessed(database: Database) -> None:
    with closing(SqliteKeys(database)) as keys:
        first = keys.create("me").info
        keys.revoke(first.id)
        second = keys.create("me").info
    with pytest.raises(Ambiguous, match=rf"2 keys: {first.id}, {second.id}"):
        erase(database, Whom("key", "me"))
    assert erase(database, Whom("key", first.id)).names == 1


def test_a_key_that_only_the_log_knows_is_found(database: Database) -> None:
    write(database, record(1, None, "k-gone", key_name="gone"))
    assert erase(database, Whom("key", "gone")).requests == 1


def test_records_that_wait_beside_the_database_are_told_of(database: Database) -> None:
    spool = database.path.with_name(f"{database.path.name}.spool-1")
    spool.write_bytes(msgspec.json.encode(record(1)) + b"\n" + msgspec.json.encode(record(2, "grace", "k-2")) + b"\n")
    assert erase(database, Whom("user", "ada-lovelace")).waiting == (Waiting("a.db.spool-1", 1),)
    assert erase(database, Whom("user", "nobody")).waiting == ()


def test_nobody_cannot_be_erased_again(database: Database) -> None:
    write(database, record(1))
    erase(database, Whom("user", "ada-lovelace"))
    assert erase(database, Whom("user", "erased")) == Erased(0, 0, 0)


def test_an_old_reader_keeps_the_log_and_that_is_said(database: Database) -> None:
    write(database, record(1))
    with closing(database.connect()) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM requests").fetchone()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("afterbay.store.erase.BUSY_S", 0.05)
            assert not erase(database, Whom("user", "ada-lovelace")).is_overwritten
        reader.execute("COMMIT")
    assert erase(database, Whom("user", "ada-lovelace")).is_overwritten
    assert b"ada-lovelace" not in bytes_of(database)


def test_the_lock_is_let_go_between_some_hundred_rows(database: Database) -> None:
    write(database, *(record(number) for number in range(ROWS * 2)))
    statements: list[str] = []
    connect = database.connect

    def traced(busy_s: float) -> sqlite3.Connection:
        connection = connect(busy_s)
        connection.set_trace_callback(statements.append)
        return connection

    database.connect = traced  # type: ignore[method-assign]
    assert erase(database, Whom("user", "ada-lovelace")).requests == ROWS * 2
    assert statements.count("COMMIT") >= 3


def test_every_table_is_spoken_for() -> None:
    assert set(SPOKEN_FOR) == set(metadata.tables), "say in store/erase.py what becomes of a new table, and do it"


# --- users of the register, and what was entered in the audit log


def spent(database: Database, account: str, day: str, picousd: int) -> None:
    with closing(database.connect()) as connection:
        connection.execute("INSERT INTO spending VALUES (?, ?, ?, 1, 2)", (account, day, picousd))


class Office:
    """An organisation with two users, Ada with two keys, and what they did."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.keys = keys = SqliteKeys(database)
        rights = Rights(addresses=frozenset({"203.0.113.77"}))
        self.acme = keys.create_tenant("organisation", "acme", "", Wish()).id
        self.ada = keys.create_tenant("user", "ada-lovelace", self.acme, Wish(rights)).id
        self.grace = keys.create_tenant("user", "grace-hopper", self.acme, Wish()).id
        made = [keys.create(f"laptop-of-ada-lovelace-{at}", rights, owner=self.ada).info.id for at in range(2)]
        self.own = tuple(made)
        self.hers = keys.create("hers", owner=self.grace).info.id
        for at, key in enumerate(made):
            write(database, record(at, key=key, key_name=f"laptop-of-ada-lovelace-{at}"))
            keep(database, kept(at, key))
        write(database, record(8, "grace-hopper", self.hers, tags={"who": "x"}))

    def end(self) -> None:
        self.keys.end_tenant("user", self.ada)

    def close(self) -> None:
        self.keys.close()


@pytest.mark.parametrize("by", ["id", "name"])
def test_a_user_that_has_ended_is_gone_from_every_byte_and_the_audit_log_is_whole(database: Database, by: str) -> None:
    office = Office(database)
    office.end()
    anchor = office.keys.verify_audit()
    assert isinstance(anchor, Anchor)
    assert b"ada-lovelace" in bytes_of(database)
    told = erase(database, Whom("user", office.ada if by == "id" else "ada-lovelace"))
    office.keys.refresh_if_changed()
    assert (told.requests, told.responses, told.names, told.live) == (2, 2, 3, ())
    assert set(told.keys) == set(office.own)
    assert told.is_overwritten
    left = bytes_of(database)
    for word in ("ada-lovelace", "203.0.113.77", "canary-prompt"):
        assert word.encode() not in left, word
    assert b"grace-hopper" in left
    last = office.keys.verify_audit(anchor)
    assert isinstance(last, Anchor)
    entry = office.keys.audit(limit=1)[0]
    assert (entry.number, entry.action, entry.subject) == (last.number, "user.erase", office.ada)
    assert entry.path == (office.acme, office.ada)
    gone = [one.number for one in office.keys.audit(limit=100) if not one.details]
    assert msgspec.json.decode(entry.details) == {"erased": sorted(gone), "names": 3, "requests": 2, "responses": 2}
    assert [one.name for one in office.keys.tenants("user", ended=True)] == ["erased", "grace-hopper"]
    office.close()


def test_erasing_twice_changes_nothing_and_enters_nothing(database: Database) -> None:
    office = Office(database)
    office.end()
    erase(database, Whom("user", office.ada))
    before, end = dump(database), office.keys.verify_audit()
    assert erase(database, Whom("user", office.ada)) == Erased(0, 0, 0, keys=office.own)
    assert erase(database, Whom("user", "ada-lovelace")) == Erased(0, 0, 0)
    assert (dump(database), office.keys.verify_audit()) == (before, end)
    office.close()


def test_a_live_user_keeps_name_keys_and_entries_but_loses_what_they_did(database: Database) -> None:
    office = Office(database)
    told = erase(database, Whom("user", "ada-lovelace"))
    assert (told.requests, told.responses, told.names, told.entries) == (2, 2, 0, 0)
    assert set(told.live) == {office.ada, *office.own}
    office.keys.refresh_if_changed()
    assert office.keys.tenant("user", office.ada).name == "ada-lovelace"
    assert isinstance(office.keys.verify_audit(), Anchor)
    office.close()


def test_details_that_are_gone_without_an_entry_are_broken(database: Database) -> None:
    office = Office(database)
    with closing(database.connect()) as connection:
        connection.execute("UPDATE audit SET details = '', salt = NULL WHERE number = 2")
    assert office.keys.verify_audit() == Broken(2, "its details are gone, and no entry says that they were erased")
    office.end()
    erase(database, Whom("user", office.grace))
    assert isinstance(office.keys.verify_audit(), Broken), "an erasure of somebody else does not cover it"
    office.close()


def test_two_users_of_one_name_are_not_guessed(database: Database) -> None:
    office = Office(database)
    other = office.keys.create_tenant("organisation", "other", "", Wish()).id
    twin = office.keys.create_tenant("user", "ada-lovelace", other, Wish()).id
    with pytest.raises(Ambiguous, match="2 users"):
        erase(database, Whom("user", "ada-lovelace"))
    key = office.keys.create("k", owner=twin).info.id
    write(database, record(20, organisation="other", key=key))
    assert erase(database, Whom("user", "ada-lovelace", "other")).requests == 1
    write(database, record(21, organisation="other", key=key))
    assert erase(database, Whom("user", twin)).requests == 1
    assert erase(database, Whom("user", "ada-lovelace", "acme")).requests == 2
    office.close()


def test_entries_of_a_namesake_elsewhere_keep_their_details(database: Database) -> None:
    office = Office(database)
    other = office.keys.create_tenant("organisation", "other", "", Wish()).id
    twin = office.keys.create_tenant("user", "ada-lovelace", other, Wish()).id
    office.end()
    erase(database, Whom("user", "ada-lovelace", "acme"))
    details = {one.subject: one.details for one in office.keys.audit(limit=100) if one.action == "user.create"}
    assert details[office.ada] == ""
    assert "ada-lovelace" in details[twin]
    office.close()


def test_entries_of_the_same_organisation_that_call_somebody_so_lose_their_details(database: Database) -> None:
    office = Office(database)
    named = office.keys.create("ada-lovelace", owner=office.acme).info.id
    wish = Preference(agents={"ada-lovelace": Preference(bound_model="gpt")})
    wished = office.keys.create("k", owner=office.grace, preference=wish).info.id
    limited = office.keys.create("m", Rights(models=frozenset({"ada-lovelace"})), owner=office.grace).info.id
    office.end()
    erase(database, Whom("user", office.ada))
    details = {one.subject: one.details for one in office.keys.audit(limit=100) if one.action == "key.create"}
    assert (details[named], details[wished]) == ("", "")
    assert details[limited], "a model is no person"
    office.close()


@pytest.mark.parametrize("word", ["name", "rights", "admin", "ada-lovelace", "nobody"])
@pytest.mark.parametrize("kind", ["user", "key"])
def test_whom_the_register_does_not_know_has_no_entry_in_the_audit_log(
    database: Database, kind: Literal["user", "key"], word: str
) -> None:
    keys = SqliteKeys(database)
    acme = keys.create_tenant("organisation", "acme", "", Wish()).id
    keys.create("boss", owner=acme, role="admin")
    keys.create_tenant("team", "ada-lovelace", acme, Wish())
    before = keys.audit(limit=100)
    assert erase(database, Whom(kind, word)).entries == 0
    assert keys.audit(limit=100) == before
    keys.close()


def test_an_organisation_that_never_was_is_refused_and_nothing_is_touched(database: Database) -> None:
    office = Office(database)
    office.end()
    spent(database, "tag:who=ada-lovelace", "2026-01-01", 5)
    before = dump(database)
    with pytest.raises(UnknownOrganisation, match="acne"):
        erase(database, Whom("user", "ada-lovelace", "acne"))
    assert dump(database) == before
    office.close()


def test_tags_with_their_name_become_nobodys_and_their_sums_stay(database: Database) -> None:
    write(database, record(1))
    spent(database, "tag:who=ada-lovelace", "2026-01-01", 5)
    spent(database, "tag:who=ada-lovelace", "2026-01-02", 7)
    spent(database, "tag:who=erased", "2026-01-01", 30)
    spent(database, "tag:who=ada-lovelaces", "2026-01-01", 1)
    spent(database, "user:user_1", "2026-01-01", 2)
    erase(database, Whom("user", "ada-lovelace"))
    with closing(database.connect()) as connection:
        assert connection.execute("SELECT account, day, picousd, requests FROM spending ORDER BY 1, 2").fetchall() == [
            ("tag:who=ada-lovelaces", "2026-01-01", 1, 1),
            ("tag:who=erased", "2026-01-01", 35, 2),
            ("tag:who=erased", "2026-01-02", 7, 1),
            ("user:user_1", "2026-01-01", 2, 1),
        ]


def test_a_lease_of_their_tag_is_told_of(database: Database) -> None:
    with closing(database.connect()) as connection:
        connection.execute(
            "INSERT INTO leases (account, unit, period, begin_day, holder, amount, wanted, called, answered)"
            " VALUES ('tag:who=ada-lovelace', 'requests', 'day', '2026-01-01', 'h', 1, 0, 0, 0)"
        )
    assert erase(database, Whom("user", "ada-lovelace")).waiting == (Waiting("leases", 1),)


def test_pages_that_were_split_keep_no_copy(database: Database) -> None:
    with closing(SqliteKeys(database)) as keys:
        for at in range(300):  # enough for pages of names to be split
            keys.create_tenant("user", f"ada-lovelace-{at * 7919 % 300:03d}-{'x' * 40}", "", Wish())
        one = next(each for each in keys.tenants("user") if each.name.startswith("ada-lovelace-150"))
        keys.end_tenant("user", one.id)
        erase(database, Whom("user", one.id))
        left = bytes_of(database)
        assert b"ada-lovelace-150" not in left
        assert b"ada-lovelace-151" in left
