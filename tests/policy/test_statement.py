"""What a client states: its task, and names that the configuration has preferences for."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from afterbay.config.schema_route import Task
from afterbay.core.errors import ClientMistake
from afterbay.engine.statement import task_of, user_of
from afterbay.policy.rights import NO_WISH, Preference
from afterbay.policy.statement import TASKS, Preferences, task_named, wish_of


def test_the_tasks_are_those_of_the_configuration() -> None:
    assert set(TASKS) == set(Task.__args__)  # type: ignore[attr-defined]


def test_a_task_is_taken_as_people_write_it_and_a_wrong_one_names_the_eight() -> None:
    assert task_named(" Code ", "x-afterbay-task") == "code"
    with pytest.raises(ClientMistake, match="no task called 'coding'") as caught:
        task_named("coding", "x-afterbay-task")
    assert caught.value.code == "invalid_value"
    assert caught.value.param == "x-afterbay-task"
    assert all(task in (caught.value.remedy or "") for task in TASKS)


@pytest.mark.parametrize(
    ("headers", "body", "task"),
    [
        ({"x-afterbay-task": "qa"}, b'{"metadata": {"task": "code"}}', "qa"),
        ({"x-afterbay-task": ""}, b'{"metadata": {"task": "code"}}', "code"),
        ({"x-afterbay-task": "  "}, b"{}", None),
        ({}, b'{"metadata": {"afterbay_task": " ", "task": "qa"}}', "qa"),
        ({}, b'{"metadata": {"task": "code"}}', "code"),
        ({}, b'{"metadata": {"task": "nightly import"}}', None),
        ({}, b'{"metadata": {"task": ["code"]}}', None),
        ({}, b'{"metadata": {"afterbay_task": "code", "task": "qa"}}', "code"),
        ({}, b'{"metadata": "task"}', None),
        ({}, b'{"messages": [{"content": "metadata: task\\" "}]}', None),
        ({}, b'not json, "task"', None),
        ({}, b"{}", None),
    ],
)
def test_a_task_is_stated_by_a_header_or_in_metadata(headers: dict[str, str], body: bytes, task: str | None) -> None:
    assert task_of(headers, body) == task


def test_a_task_under_our_own_name_must_be_one() -> None:
    with pytest.raises(ClientMistake) as caught:
        task_of({}, b'{"metadata": {"afterbay_task": "coding"}}')
    assert caught.value.param == "metadata.afterbay_task"


@pytest.mark.parametrize(
    ("body", "user"),
    [
        (b'{"user": "ada", "metadata": {"user_id": "bob"}}', "ada"),
        (b'{"metadata": {"user_id": "bob"}}', "bob"),
        (b'{"user": 7}', None),
        (b'{"user": ""}', None),
        (b'{"user": "' + b"x" * 300 + b'"}', None),
        (b"[1]", None),
        (b"", None),
    ],
)
def test_a_user_is_who_the_body_says(body: bytes, user: str | None) -> None:
    assert user_of(body) == user


def test_each_wish_is_the_nearest_ones() -> None:
    stated = Preferences(
        {"ada": Preference("user-first", None, "user-model")}, {"bot": Preference("agent-first", None, "agent-model")}
    )
    assert wish_of(Preference("key-first"), stated, "ada", "bot") == Preference("key-first", None, "user-model")
    assert wish_of(NO_WISH, stated, "ada", "bot") == Preference("user-first", None, "user-model")
    assert wish_of(NO_WISH, stated, "eve", "bot") == Preference("agent-first", None, "agent-model")
    assert wish_of(NO_WISH, stated, None, None) == NO_WISH


PROVIDERS = st.none() | st.frozensets(st.sampled_from(["a", "b", "c"]))


@given(PROVIDERS, PROVIDERS, PROVIDERS)
def test_what_a_client_states_never_widens_what_its_key_wants(
    own: frozenset[str] | None, user: frozenset[str] | None, agent: frozenset[str] | None
) -> None:
    stated = Preferences({"u": Preference(None, user)}, {"a": Preference(None, agent)})
    found = wish_of(Preference(None, own), stated, "u", "a").allowed_providers
    for bound in (own, user, agent):
        assert bound is None or (found is not None and found <= bound)
