"""Tags of requests: what counts, and what is said of what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from afterbay.engine.tags import MOST_TAGS, TAG_CHARS, read_tags
from afterbay.testing.answers import answered, ask
from afterbay.testing.fakes import ScriptedUpstream
from afterbay.testing.memory_gateway import MemoryGateway, alias, snapshot, target
from afterbay.testing.virtual_loop import run


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("project=search", {"project": "search"}),
        (" project = search , team=core,", {"project": "search", "team": "core"}),
        ("project=", {"project": ""}),
        ("a=b=c", {"a": "b=c"}),
        ("pröj=日本".encode().decode("latin-1"), {"pröj": "日本"}),
        ("pr\xf6j=x", {"pröj": "x"}),
    ],
)
def test_pairs_are_read_as_they_were_meant(header: str, tags: dict[str, str]) -> None:
    assert read_tags(header) == (tags, [])


@pytest.mark.parametrize(
    ("header", "tags", "says"),
    [
        ("project", {}, "'project' is not NAME=VALUE"),
        ("=x,a=1", {"a": "1"}, "'=x' is not NAME=VALUE"),
        ("a=1,a=2", {"a": "2"}, "'a' is there twice"),
        (f"a={'x' * 99}", {"a": "x" * TAG_CHARS}, "'a' was cut to 64"),
        (",".join(f"t{n}=1" for n in range(20)), {f"t{n}": "1" for n in range(MOST_TAGS)}, "only the first 16"),
        (f"a=1,{' ' * 5000}", {"a": "1"}, "only the first 4096 bytes"),
    ],
)
def test_what_does_not_count_is_said(header: str, tags: dict[str, str], says: str) -> None:
    found, (warning,) = read_tags(header)
    assert found == tags
    assert says in warning


@given(st.text(st.characters(max_codepoint=255), max_size=200))
def test_whatever_comes_tags_are_bounded(header: str) -> None:
    found, _ = read_tags(header)
    assert len(found) <= MOST_TAGS
    assert all(0 < len(name) <= TAG_CHARS and len(value) <= TAG_CHARS for name, value in found.items())


def test_a_client_is_told_in_the_header_of_warnings() -> None:
    one = MemoryGateway(snapshot(alias("m", target("a/up"))), a=ScriptedUpstream(answered("openai.chat", "hi")))
    reply = run(one.chat(ask("m"), headers={"x-afterbay-tags": "project"}))
    assert reply.status == 200
    assert "'project' is not NAME=VALUE" in reply.headers["x-afterbay-warnings"]
    assert one.record.tags == {}
