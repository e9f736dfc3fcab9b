"""A history that is too long loses whole turns, never what an answer needs, and never more than it must."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from afterbay.core.message import Audio, Document, Image, Message, Part, Refusal, Text, Thinking, ToolResult, ToolUse
from afterbay.policy.overflow import HEAD, SHORTEST, STRIDES, Fitted, History, shorten, weigh
from afterbay.policy.plan import Overflow
from afterbay.policy.quantity import estimate_text

few = settings(max_examples=30, deadline=None)
MODES: tuple[Overflow, ...] = ("trim_oldest", "middle_out")
modes = st.sampled_from(MODES)
lengths = st.sampled_from([1, 30, 300, 3000])
alphabets = st.sampled_from(["a", "word ", "字", '{"k": 1}'])


@st.composite
def texts(draw: st.DrawFn) -> Text:
    return Text(draw(alphabets) * draw(lengths))


media = st.sampled_from(
    [
        Image(url="https://e.org/a.png"),
        Image(data="aGk=", media_type="image/png"),
        Document(text="page " * 400),
        Document(data="JVBERi0=", media_type="application/pdf"),
        Audio("aGk=", "wav"),
    ]
)
thoughts = st.sampled_from([Thinking("so", "proof"), Thinking(redacted="proof"), Thinking("so")])


@st.composite
def steps(draw: st.DrawFn, number: int) -> list[Message]:
    """What the model said, with calls in parallel and their results in any order and grouping; ids come again."""
    said: list[Part] = draw(st.lists(st.one_of(texts(), thoughts, st.just(Refusal("no"))), max_size=2))
    ids = draw(st.lists(st.sampled_from(["call_1", "call_2", f"call_{number}_a", f"call_{number}_b"]), unique=True))
    calls = [ToolUse(one, "f", '{"a": 1}', draw(st.none() | st.just("proof"))) for one in ids]
    parts = (*said, *calls) or (Text("done"),)
    shapes = st.lists(st.one_of(texts(), media.filter(lambda one: not isinstance(one, Audio))), max_size=2)
    results = [ToolResult(one.id, tuple(draw(shapes))) for one in draw(st.permutations(calls))]
    if draw(st.booleans()) or not results:
        return [Message("assistant", parts), *([Message("tool", tuple(results))] if results else [])]
    return [Message("assistant", parts), *(Message("tool", (one,)) for one in results)]


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """Histories such as a provider takes: system messages anywhere, turns of several steps, a prefill at the end."""
    system = st.builds(Message, st.sampled_from(["system", "developer"]), st.tuples(texts()))
    messages = draw(st.lists(system, max_size=2))
    if draw(st.booleans()):
        messages += draw(steps(99))  # the model spoke first
    for number in range(draw(st.integers(1, 4))):
        messages += [
            Message("user", tuple(draw(st.lists(st.one_of(texts(), media), min_size=1, max_size=2))))
            for _ in range(draw(st.sampled_from([1, 1, 1, 2])))
        ]
        if draw(st.integers(0, 5)) == 0:
            messages.append(draw(system))
        for step in range(draw(st.integers(0, 3))):
            messages += draw(steps(10 * number + step))
    return tuple(messages)


def fit(messages: tuple[Message, ...], room: int, mode: Overflow) -> Fitted | None:
    return History(messages).fit(room, mode)


@st.composite
def squeezed(draw: st.DrawFn) -> tuple[tuple[Message, ...], int, Overflow]:
    """A history, and room for some share of it."""
    messages, mode = draw(histories()), draw(modes)
    return messages, int(History(messages).tokens * draw(st.floats(0.02, 1.1))), mode


def plain(message: Message) -> Message:
    """A message without what may be shortened in it: who spoke, and the parts that are no texts."""
    return Message(
        message.role, tuple(one for one in message.parts if not isinstance(one, Text | Document | ToolResult))
    )


def results(messages: tuple[Message, ...]) -> list[str]:
    return [part.id for one in messages for part in one.parts if isinstance(part, ToolResult)]


def calls(messages: tuple[Message, ...]) -> list[str]:
    return [part.id for one in messages for part in one.parts if isinstance(part, ToolUse)]


@few
@given(squeezed())
def test_what_is_left_fits_and_fits_again_as_it_is(case: tuple[tuple[Message, ...], int, Overflow]) -> None:
    messages, room, mode = case
    fitted = fit(messages, room, mode)
    if fitted is None:
        assert History(messages).least(mode) > room, "it could have been done"
        return
    assert fitted.tokens == sum(map(weigh, fitted.messages)) <= room
    again = fit(fitted.messages, room, mode)
    assert again is not None
    assert again.messages is fitted.messages
    assert again.told() == ""


@few
@given(squeezed())
def test_system_messages_the_last_question_and_what_follows_it_last_are_kept(
    case: tuple[tuple[Message, ...], int, Overflow],
) -> None:
    messages, room, mode = case
    fitted = fit(messages, room, mode)
    if fitted is None:
        return
    fixed = [one for one in messages if one.role in ("system", "developer")]
    assert [one for one in fitted.messages if one.role in ("system", "developer")] == fixed
    asked = [one for one in messages if one.role == "user"][-1]
    assert plain(asked) in map(plain, fitted.messages)
    last = next(one for one in reversed(messages) if one.role not in ("system", "developer"))
    kept = next(one for one in reversed(fitted.messages) if one.role not in ("system", "developer"))
    assert plain(kept) == plain(last)
    assert results((kept,)) == results((last,))


@few
@given(squeezed())
def test_every_call_stays_with_its_results_and_every_proof_as_it_was(
    case: tuple[tuple[Message, ...], int, Overflow],
) -> None:
    messages, room, mode = case
    fitted = fit(messages, room, mode)
    if fitted is None:
        return
    assert sorted(calls(fitted.messages)) == sorted(results(fitted.messages))
    open_: set[str] = set()
    for message in fitted.messages:
        if message.role in ("user", "assistant"):
            assert not open_, "something stands between a call and its result"
        open_ |= set(calls((message,)))
        open_ -= set(results((message,)))
    said = [part for one in fitted.messages for part in one.parts if isinstance(part, Thinking | ToolUse | Refusal)]
    before = iter(part for one in messages for part in one.parts)
    assert all(part in before for part in said), "in another order, or changed"


@few
@given(squeezed())
def test_roles_follow_one_another_as_they_did_in_some_place_before(
    case: tuple[tuple[Message, ...], int, Overflow],
) -> None:
    messages, room, mode = case
    fitted = fit(messages, room, mode)
    if fitted is None:
        return

    def order(of: tuple[Message, ...]) -> list[str]:
        return [one.role for one in of if one.role not in ("system", "developer")]

    pairs = set(pairwise(order(messages)))
    after = order(fitted.messages)
    allowed = pairs | {("user", "assistant"), ("assistant", "user"), ("tool", "user"), ("tool", "assistant")}
    assert set(pairwise(after)) <= allowed
    assert after[0] == "user" or after[0] == order(messages)[0]
    assert any(one.parts for one in fitted.messages)


def turn(number: int, words: int = 100) -> tuple[Message, ...]:
    said = f"{number} " + "word " * words
    return (Message("user", (Text(said),)), Message("assistant", (Text(said),)))


def talk(turns: int, words: int = 100) -> tuple[Message, ...]:
    return (*(one for number in range(turns) for one in turn(number, words)), Message("user", (Text("and now?"),)))


def numbers(fitted: Fitted | None) -> list[int]:
    assert fitted is not None
    said = [one.text().split()[0] for one in fitted.messages if one.role == "user"]
    return [int(one) for one in said if one.isdigit()]


def test_trim_oldest_leaves_out_from_the_beginning_and_middle_out_from_the_middle() -> None:
    history = talk(10)
    room = History(history).tokens // 2
    oldest = numbers(fit(history, room, "trim_oldest"))
    assert oldest == list(range(oldest[0], 10))
    assert 4 <= len(oldest) <= 5
    middle = numbers(fit(history, room, "middle_out"))
    assert middle[:1] == [0]
    assert middle[-1] == 9
    assert 3 <= len(middle) <= 5
    assert len([one for one in middle if one < 5]) <= 10 / HEAD


@few
@given(st.lists(st.integers(1, 300), min_size=2, max_size=20), st.floats(0.1, 0.95), modes)
def test_no_more_goes_than_a_stride_and_a_turn_beyond_what_must(sizes: list[int], share: float, mode: Overflow) -> None:
    turns = [turn(number, words) for number, words in enumerate(sizes)]
    history = (*(one for each in turns for one in each), Message("user", (Text("and now?"),)))
    tokens = History(history).tokens
    room = int(tokens * share)
    fitted = fit(history, room, mode)
    if fitted is None:
        return
    longest = max(sum(map(weigh, each)) for each in turns)
    assert fitted.left_out_tokens < tokens - room + room // STRIDES + 1 + longest
    assert fitted.left_out_tokens + fitted.tokens == tokens
    assert fitted.left_out == len(history) - len(fitted.messages)
    assert fitted.messages == tuple(one for one in history if one in fitted.messages)


def test_the_cut_stays_where_it_is_for_some_turns() -> None:
    room = History(talk(30)).tokens
    firsts = [numbers(fit(talk(turns), room, "trim_oldest"))[0] for turns in range(31, 60)]
    changes = sum(one != other for one, other in pairwise(firsts))
    assert firsts == sorted(firsts)
    assert changes <= 29 / (30 / STRIDES) + 1, "the beginning is new with every turn"


def test_the_steps_of_an_agent_go_when_no_turn_is_left_to_go() -> None:
    def step(number: int) -> tuple[Message, ...]:
        call = ToolUse(f"c{number}", "read", "{}")
        return Message("assistant", (call,)), Message("tool", (ToolResult(call.id, (Text("line " * 200),)),))

    history = (Message("user", (Text("Mend it."),)), *(one for number in range(9) for one in step(number)))
    fitted = fit(history, History(history).tokens // 3, "trim_oldest")
    assert fitted is not None
    assert fitted.messages[0] == history[0]
    assert calls(fitted.messages)[-1] == "c8"
    assert "c0" not in calls(fitted.messages)
    assert "c0" in calls((fit(history, History(history).tokens // 2, "middle_out") or Fitted((), 0)).messages)


def test_a_turn_that_began_with_reasoning_still_does() -> None:
    def step(number: int, *before: Part) -> tuple[Message, ...]:
        call = ToolUse(f"c{number}", "read", "{}")
        return Message("assistant", (*before, call)), Message("tool", (ToolResult(call.id, (Text("line " * 200),)),))

    thought = Thinking("hm", "proof")
    question = Message("user", (Text("Mend it."),))
    later = (one for number in range(1, 9) for one in step(number))
    history = (question, *step(0, thought), *later)
    fitted = fit(history, History(history).tokens // 3, "trim_oldest")
    assert fitted is not None
    assert fitted.messages[1].parts[0] == thought
    assert {"c0", "c8"} <= set(calls(fitted.messages))
    everywhere = (question, *(one for number in range(9) for one in step(number, thought)))
    fitted = fit(everywhere, History(everywhere).tokens // 3, "trim_oldest")
    assert fitted is not None
    assert "c0" not in calls(fitted.messages), "each step begins so: none is needed for another"


def test_a_question_that_is_too_long_by_itself_is_shortened_only_from_the_middle_out() -> None:
    book = "".join(f"line {number}\n" for number in range(5000))
    history = (
        Message("system", (Text("Be brief. " * 50),)),
        *turn(1),
        Message("user", (Text(book), Text("What is in line 4999?"))),
    )
    assert fit(history, 2000, "trim_oldest") is None
    fitted = fit(history, 2000, "middle_out")
    assert fitted is not None
    assert fitted.messages[0] == history[0]
    text = fitted.messages[-1].text()
    assert text.startswith("line 0\n")
    assert "characters left out ...]" in text
    assert "line 4999\n" in text
    assert text.endswith("What is in line 4999?")
    assert fitted.tokens > 1900, "more is missing than must be"
    assert (fitted.left_out, fitted.shortened) == (2, 1)
    assert fitted.told().startswith("2 messages (about ")
    assert "1 text shortened in the middle by about" in fitted.told()


def test_what_the_model_said_and_what_a_system_message_says_is_never_shortened() -> None:
    long = "word " * 5000
    for role in ("system", "assistant"):
        history = (Message(role, (Text(long),)), Message("user", (Text("well?"),)), Message("assistant", (Text(long),)))
        assert fit(history, 1000, "middle_out") is None


def test_the_longest_texts_are_cut_to_one_length_and_short_ones_are_left() -> None:
    calls_ = tuple(ToolUse(one, "f", "{}") for one in "abc")
    given_ = (("a", 4000), ("b", 9000), ("c", 20))
    found = tuple(ToolResult(one, (Text("word " * words), Image(url="https://e.org/i"))) for one, words in given_)
    history = (Message("user", (Text("go"),)), Message("assistant", calls_), Message("tool", found))
    fitted = fit(history, 8000, "middle_out")
    assert fitted is not None
    kept = [part for part in fitted.messages[-1].parts if isinstance(part, ToolResult)]
    sizes = [estimate_text(one.parts[0].text) for one in kept if isinstance(one.parts[0], Text)]
    assert abs(sizes[0] - sizes[1]) <= 1
    assert kept[2] == found[2]
    assert all(one.parts[1] == Image(url="https://e.org/i") for one in kept)
    assert fitted.shortened == 2


@few
@given(st.text(max_size=3000), st.integers(SHORTEST, 800))
def test_a_shortened_text_keeps_both_ends_and_says_how_much_is_missing(text: str, tokens: int) -> None:
    cut = shorten(text, tokens)
    assert estimate_text(cut) <= tokens
    if cut != text:
        begin, mark, end = cut.partition("\n[... ")[0], cut.partition("\n[... ")[2].split(" ")[0], cut[-5:]
        assert text.startswith(begin)
        assert text.endswith(end)
        assert mark.isdigit()


def test_a_history_of_instructions_alone_is_left_or_refused() -> None:
    only = (Message("system", (Text("word " * 500),)),)
    for mode in MODES:
        assert fit(only, 10_000, mode) == Fitted(only, History(only).tokens)
        assert fit(only, 100, mode) is None
    assert fit(talk(5), 10, "larger_model") is None
