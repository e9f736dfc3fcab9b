"""Two texts are joined without a character lost or doubled, or not at all."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from afterbay.policy.resume import quote
from afterbay.wire.seam import HOLD_CHARS, Doubtful, Seam

PROSE = (
    "The harbour was built in 1874 by two brothers. Nobody remembers their names; the stones do.\n\n"
    "## Later\n\n- a first quay, of oak\n- a second one, of granite (finished in 1901)\n\n"
    "```python\ndef depth(tide: float) -> float:\n    return 4.5 + tide / 2\n```\n\n"
    "At low water it is 3.1 m deep: café crème, naïve façades, 漢字 and 🙂 stay whole. So ends what is known."
)
CHINESE = "今天的天气很好,我们去公园散步。路上遇到了一位老朋友,他刚从北京回来,带了许多礼物。明天他还要去上海开会。"
FAMILY = (
    "A family: 👩‍👩‍👧‍👦 and e\u0301 with an accent; then on we go as before, slowly and in good order, until the end."
)
WORDS = " ".join(f"w{i:03d}" for i in range(1, 41))
TEXTS = {"prose": PROSE, "chinese": CHINESE, "family": FAMILY, "words": WORDS}


def join(sent: str, new: str, form: str = "instruct", pieces: int = 7, **options: bool) -> str:
    """What the client has in the end; the new text comes in pieces."""
    seam = Seam(sent, form, quote(sent), **options)  # type: ignore[arg-type]
    shown = [seam.push(new[at : at + pieces]) for at in range(0, len(new), pieces)]
    return sent + "".join(shown) + seam.close()


@pytest.mark.parametrize("whole", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("pieces", [1, 5, 1000])
def test_a_prefill_that_goes_on_exactly_joins_at_every_cut(whole: str, pieces: int) -> None:
    for cut in range(1, len(whole) + 1):
        assert (
            join(whole[:cut], whole[:cut].rstrip() and whole[len(whole[:cut].rstrip()) :], "prefill", pieces) == whole
        )


@pytest.mark.parametrize("whole", TEXTS.values(), ids=TEXTS)
def test_a_model_that_repeats_the_end_as_asked_joins_at_every_cut(whole: str) -> None:
    for cut in range(1, len(whole) + 1):
        sent = whole[:cut]
        stem = len(sent.rstrip())
        assert join(sent, quote(sent) + whole[stem:]) == whole, cut
        assert join(sent, f"\n<end>{quote(sent)}</end>" + whole[stem:]) == whole, cut


@pytest.mark.parametrize("whole", TEXTS.values(), ids=TEXTS)
def test_a_model_that_begins_anew_is_held_until_it_has_caught_up(whole: str) -> None:
    for cut in range(8, len(whole) + 1):
        assert join(whole[:cut], whole) == whole, cut


def test_an_overlap_of_any_length_is_cut_off() -> None:
    """Of whole words. One that begins inside a word must be longer to count, but it is never doubled."""
    for cut in range(60, len(PROSE) - 60, 7):
        sent = PROSE[:cut]
        for back in range(6, 55):
            try:
                assert join(sent, PROSE[cut - back :]) == PROSE, (cut, back)
            except Doubtful:
                letters = sum(c.isalnum() for c in PROSE[cut - back : cut])
                assert letters < 12, (cut, back)


@pytest.mark.parametrize("whole", [WORDS, CHINESE], ids=["words", "chinese"])
def test_a_model_that_goes_on_between_two_words_joins(whole: str) -> None:
    for cut in range(10, len(whole)):
        before, after = whole[cut - 1], whole[cut]
        if (before.isascii() and before.isalnum()) and after.isascii() and after.isalnum():
            with pytest.raises(Doubtful):
                join(whole[:cut], whole[cut:])
        else:
            assert join(whole[:cut], whole[cut:]) == whole


@pytest.mark.parametrize(
    ("sent", "new", "whole"),
    [
        ("It is done.", " Next comes", "It is done. Next comes"),
        ("It is done. ", "Next comes", "It is done. Next comes"),
        ("It is done. ", " Next comes", "It is done. Next comes"),
        ("def f():\n  ", "  return", "def f():\n    return"),
        ("a line\n", "\nanother", "a line\n\nanother"),
        ("a list:\n", "- item", "a list:\n- item"),
        ("she said (", "softly)", "she said (softly)"),
        ("the word", ", and", "the word, and"),
        ("w009 w010", " w010 w011", "w009 w010 w011"),
        ("w009 w010", "w010 w011", "w009 w010 w011"),
        ("w009 w010 ", "w010 w011", "w009 w010 w011"),
        ("the capi", "capital of", "the capital of"),
        ("今天天气", "很好", "今天天气很好"),
    ],
)
def test_spaces_at_the_seam(sent: str, new: str, whole: str) -> None:
    assert join(sent * 1, new) == whole


@pytest.mark.parametrize(
    ("sent", "new"),
    [
        ("The capital", "of France"),
        ("the capi", "tal of France"),
        ("Done.", "Next"),
        ("see example.", "com for more"),
        ("an e", "\u0301tude"),
        ("👩\u200d", "👧 and"),
        ("👩", "\u200d👧 and"),
        ("👍", "\U0001f3fd and"),
        ("some words here", ""),
        ("some words here", "   \n"),
        ("some words here", "Sure! Here is the rest of it: and more"),
    ],
)
def test_what_is_doubtful_is_refused_and_leniently_taken(sent: str, new: str) -> None:
    with pytest.raises(Doubtful):
        join(sent, new)
    if new.strip():
        assert join(sent, new, lenient=True) == sent + new


def test_an_answer_that_ends_within_what_it_was_to_repeat_says_nothing_new() -> None:
    for cut in range(130, len(PROSE) - 10):
        sent = PROSE[:cut]
        part = " ".join(quote(sent).split(" ")[:3])
        with pytest.raises(Doubtful):
            join(sent, part)


def test_a_second_answer_is_no_continuation_even_leniently() -> None:
    other = PROSE[:200] + "But this one says something else altogether, and so it must not be shown after the first."
    with pytest.raises(Doubtful, match="goes on otherwise"):
        join(PROSE[:300], other, lenient=True)


def test_what_the_text_says_twice_itself_is_not_taken_for_a_repetition() -> None:
    assert (
        join("Row, row, row your boat", " row your boat gently", "prefill")
        == "Row, row, row your boat row your boat gently"
    )
    assert join("tick tock tick tock", " tick tock tick", lenient=True) == "tick tock tick tock tick tock tick"


def test_little_is_held_back() -> None:
    sent = PROSE[:100]
    seam = Seam(sent, "instruct", quote(sent))
    new, shown, fed = quote(sent) + PROSE[len(sent.rstrip()) :], "", 0
    while not shown:
        shown = seam.push(new[fed])
        fed += 1
    assert fed <= len(quote(sent)) + HOLD_CHARS


@given(st.text(min_size=1), st.text(), st.lists(st.integers(1, 9), max_size=30))
def test_a_replay_shows_what_is_new_and_nothing_else(sent: str, rest: str, sizes: list[int]) -> None:
    seam, new, shown = Seam(sent, "replay"), sent + rest, ""
    for size in sizes:
        shown += seam.push(new[:size])
        new = new[size:]
    shown += seam.push(new) + seam.close()
    assert shown == rest


@given(st.text(min_size=1), st.text())
def test_a_replay_that_differs_is_refused(sent: str, other: str) -> None:
    assume(not other.startswith(sent))
    seam = Seam(sent, "replay")
    with pytest.raises(Doubtful):  # at the first piece that differs, or at an end that is too early
        (seam.push(other) and seam.close()) or seam.close()


@given(
    st.lists(st.text("abcdefgh", min_size=1, max_size=8), min_size=12, max_size=60),
    st.integers(1, 400),
    st.lists(st.integers(1, 30), min_size=1, max_size=20),
)
def test_pieces_of_any_size_give_the_same(words: list[str], cut: int, sizes: list[int]) -> None:
    """Words that come once only: where a text repeats itself, a repetition may be meant."""
    whole = " ".join(f"{number}{word}" for number, word in enumerate(words))
    cut = min(cut, len(whole))
    sent = whole[:cut]
    new = quote(sent) + whole[len(sent.rstrip()) :]
    seam, shown, at = Seam(sent, "instruct", quote(sent)), "", 0
    for size in sizes:
        shown += seam.push(new[at : at + size])
        at += size
    shown += seam.push(new[at:])
    assert sent + shown + seam.close() == whole


def test_a_long_repetition_costs_linear_time() -> None:
    """Half a megabyte in small pieces: a quadratic seam would take minutes."""
    whole = " ".join(f"word{i}" for i in range(60_000))
    assert join(whole[:400_000], whole, pieces=40) == whole
