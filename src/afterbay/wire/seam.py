"""The seam: where the text of one answer is gone on with by the text of another.

The beginning of the new text is held back until it is clear how it joins on. It may

- repeat what it was asked to repeat (`quote`), or any other end of the text: the repetition is cut off;
- begin the text anew, or at an earlier sentence: it is held until it has caught up with what was sent;
- go on exactly: taken as it is after a prefill, and where the two texts meet between words;
- do none of that: `Doubtful`, unless `lenient`.

Nothing is ever changed inside either text; at most one space is taken away or put in where they meet. A text may be cut
inside a character that consists of several code points (an accent, a family of emoji): what goes on there is no
boundary of words.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Literal

HOLD_CHARS = 64
"""So much is held back at least, unless the new text ends before."""

FAR_CHARS = 1 << 16
"""A repetition that begins farther back in the text than this is only found if it begins at its very beginning."""

_TELLING = 4
"""An overlap of whole words counts from so many letters and digits on: shorter ones happen by chance."""
_TELLING_INSIDE = 12
"""One that begins inside a word, or after a prefill."""
_SOME, _SOME_CHARS = 3, 5
"""So many letters, or so many characters, are no accident, even where the texts would meet between words, too."""
_REWRITE_CHARS = 48
"""A new text that was the old one for so long, and then another, is a second answer and no continuation."""

_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef"
    "\U00020000-\U0003fffd]"
)
"""Scripts that put no space between words (Thai, Lao, Burmese, Khmer, Chinese, Japanese) and their punctuation."""
_JOINERS = frozenset("\u200c\u200d")
_OPENS = frozenset("([{<\u201c\u2018\u00ab\u00bf\u00a1")
_CLOSES = frozenset(".,;:!?)]}>%\u2026\u201d\u2019\u00bb")


class Doubtful(ValueError):
    """It is not clear that the new text goes on with the old one. The message says why."""


class Seam:
    """Joins the text of a new answer to `sent`. Feed `push`; `close` at its end.

    `how` says in a few words how it went, once `settled`. `form`: `prefill`, `replay`, `instruct` or
    `step_back`: the model did not see `behind`, the end of the text, and must come through it.
    """

    def __init__(
        self,
        sent: str,
        form: Literal["prefill", "replay", "instruct", "step_back"],
        quote: str = "",
        *,
        behind: str = "",
        lenient: bool = False,
    ) -> None:
        self.settled = False
        self.how = ""
        self._sent = sent
        self._tail = sent[len(sent.rstrip()) :]
        self._form = form
        self._quoted = (quote, f"<end>{quote}</end>") if quote else ()
        self._behind = behind if form == "step_back" else ""
        self._lenient = lenient
        self._held: list[str] = []
        self._size = 0
        self._look = HOLD_CHARS

    def push(self, text: str) -> str:
        """Takes the next piece of the new text; gives what of it is to be shown.

        Raises:
            Doubtful: it is not clear that it goes on with the old text.
        """
        if self.settled:
            return text
        if self._form == "replay":
            return self._replayed(text)
        self._held.append(text)
        self._size += len(text)
        if self._size < self._look:
            return ""
        shown = self._decide("".join(self._held), ended=False)
        if shown is None:
            self._look = self._size + self._size // 4  # all that is held is looked at each time: this keeps it linear
            return ""
        return self._settle(shown)

    def close(self) -> str:
        """The new text has ended; gives what is left of it.

        Raises:
            Doubtful: as `push`.
        """
        if self.settled:
            return ""
        if self._form == "replay":
            raise Doubtful("the new answer ends before what was sent already")
        return self._settle(self._decide("".join(self._held), ended=True) or "")

    def _settle(self, shown: str) -> str:
        self.settled, self._held = True, []
        return shown

    def _decide(self, new: str, *, ended: bool) -> str | None:
        """What is to be shown of the new text; None: more of it must be seen."""
        if self._form == "step_back":
            return self._stepped(new, ended=ended)
        decide = self._prefilled if self._form == "prefill" else self._instructed
        return decide(new, ended=ended)

    def _replayed(self, text: str) -> str:
        """The piece without what of it is the same as what was sent; `_size` of that has come already."""
        same = self._sent[self._size : self._size + len(text)]
        if not text.startswith(same):
            raise Doubtful("the new answer differs from what was sent already")
        self._size += len(same)
        if self._size == len(self._sent):
            self.settled, self.how = True, "the same again"
        return text[len(same) :]

    def _prefilled(self, new: str, *, ended: bool) -> str | None:
        """The model saw the text without the white space at its end, so it may say that again."""
        tail = self._tail
        if not ended and len(new) < max(HOLD_CHARS, len(tail)):
            return None
        self.how = "prefill"
        if tail:
            new = new.removeprefix(tail) if new.startswith(tail) else new.lstrip(" \t")
        overlap = _overlap(self._sent, new)
        least = _TELLING if overlap == len(self._sent) else _TELLING_INSIDE  # Mistral says the whole prefix again
        if overlap and _letters(new[:overlap]) >= least and not _repeats(self._sent, new[:overlap]):
            self.how = f"prefill, {overlap} characters came again"
            return new[overlap:]
        return new

    def _instructed(self, new: str, *, ended: bool) -> str | None:
        if not new.strip():
            if ended:
                raise Doubtful("the new answer is empty")
            return None
        obeyed = self._obeyed(new)
        if not ended and (self._may_yet(new) if obeyed is None else len(obeyed) <= len(self._tail)):
            return None
        if obeyed is not None:
            self.how = "its end came again, as asked"
            return self._mended(obeyed)
        found = self._found_again(new)
        if found is not None:
            return found if ended or len(found) > len(self._tail) else None
        if ended and self._is_part_of_quote(new):
            raise Doubtful("the new answer ends within what it was asked to repeat")
        if self._is_rewrite(new):
            raise Doubtful("the new answer begins as the old one did, and goes on otherwise")
        return self._joined(new)

    def _stepped(self, new: str, *, ended: bool) -> str | None:
        """What follows the last word, which the new text must come to by itself."""
        obeyed = self._obeyed(new)
        rest = (new if obeyed is None else obeyed).lstrip()
        behind = self._behind.lstrip()
        if rest.startswith(behind):
            self.how = "its last word came again"
            return rest[len(behind) :]
        if not ended and (behind.startswith(rest) or any(said.startswith(new.lstrip()) for said in self._quoted)):
            return None
        found = self._found_again(new)
        if found is not None and (ended or len(found) > len(self._tail)):
            return found
        if not ended and self._may_yet(new):
            return None
        raise Doubtful("the new answer goes on with another word")

    def _obeyed(self, new: str) -> str | None:
        """What follows the quoted end, where the new text begins with it; white space before it counts for nothing."""
        bare = new.lstrip()
        said = next((said for said in self._quoted if bare.startswith(said)), None)
        return None if said is None else bare[len(said) :]

    def _may_yet(self, new: str) -> bool:
        """Whether the new text is still inside of what was sent, or too short to tell."""
        bare = new.lstrip()
        if len(bare) < HOLD_CHARS or any(said.startswith(bare) for said in self._quoted):
            return True
        at = self._sent.find(bare)
        return 0 <= at < len(self._sent) - len(bare)

    def _found_again(self, new: str) -> str | None:
        """What follows an end of the sent text that the new one begins with."""
        for sent, text in ((self._sent, new), (self._sent, new.lstrip()), (self._sent.rstrip(), new.lstrip())):
            overlap = _overlap(sent, text)
            if overlap and _is_telling(sent, text[:overlap]):
                self.how = f"{overlap} characters came again"
                rest = text[overlap:]
                return rest if sent is self._sent else self._mended(rest)
        return None

    def _is_part_of_quote(self, new: str) -> bool:
        """Whether it is the beginning of what was to be repeated, and nothing that the end of the text says too."""
        bare = new.strip()
        said_again = any(said.startswith(bare) for said in self._quoted)
        return said_again and _letters(bare) >= _TELLING and not _overlap(self._sent.rstrip(), bare)

    def _is_rewrite(self, new: str) -> bool:
        """Whether it is the beginning of the text, or of a line of it, again, and then something else."""
        start = new.lstrip()[:_REWRITE_CHARS]
        at = self._sent.find(start) if len(start) == _REWRITE_CHARS else -1
        return at == 0 or (at > 0 and self._sent[at - 1] == "\n")

    def _mended(self, rest: str) -> str:
        """What follows a repetition that was compared without the white space at the end of the sent text."""
        tail = self._tail
        same = next((at for at, pair in enumerate(zip(tail, rest, strict=False)) if pair[0] != pair[1]), None)
        same = min(len(tail), len(rest)) if same is None else same
        return rest[same:] if same or not tail else rest.lstrip(" ")

    def _joined(self, new: str) -> str:
        """The new text after the old one where they meet between words.

        Raises:
            Doubtful: they do not.
        """
        sent = self._sent
        overlap = _overlap(sent, new)
        half = new[:overlap] if overlap >= _SOME_CHARS or _letters(new[:overlap]) >= _SOME else ""
        if half and not self._lenient:
            raise Doubtful("the new answer may repeat the end of the old one, or mean it")
        if sent[-1:] == " " and sent[-2:-1].strip() and new[0] == " " and new[1:2].strip():
            self.how = "a space too many was left out"
            return new[1:]
        if not new[0].isspace() and _is_inside(sent[-1], new[0]):
            if not self._lenient:
                raise Doubtful("the new answer repeats nothing of the old one, and they do not meet between words")
            self.how = "doubtful: neither overlap nor a boundary of words"
            return new
        self.how = "between two words"
        return new


def _is_inside(last: str, first: str) -> bool:
    """Whether two characters may belong to one word, or lack a space between them. `first` is no white space."""
    if unicodedata.category(first)[0] == "M" or {last, first} & _JOINERS or unicodedata.category(first) == "Sk":
        return True
    if last.isspace() or last in _OPENS:
        return False
    if _UNSPACED.match(last) or _UNSPACED.match(first):
        return False
    return first not in _CLOSES


def _overlap(sent: str, new: str) -> int:
    """Length of the longest end of `sent` that `new` begins with.

    By the failure function of Knuth, Morris and Pratt over `new`, so in linear time.
    """
    if new.startswith(sent):
        return len(sent)
    end = sent[-min(len(new), FAR_CHARS) :]
    new = new[: len(end)]
    if not new or new[0] not in end:
        return 0
    fail = [0] * len(new)
    length = 0
    for at in range(1, len(new)):
        while length and new[at] != new[length]:
            length = fail[length - 1]
        length += new[at] == new[length]
        fail[at] = length
    length = 0
    for char in end:
        if length == len(new):
            length = fail[length - 1]
        while length and char != new[length]:
            length = fail[length - 1]
        length += char == new[length]
    return length


def _letters(text: str) -> int:
    """How much a text tells: letters and digits, those of a script without spaces for three."""
    return sum(3 if _UNSPACED.match(char) else 1 for char in text if char.isalnum())


def _is_telling(sent: str, overlap: str) -> bool:
    """Whether an overlap is a repetition and no accident."""
    if overlap == sent and overlap.strip():
        return True
    before = sent[-len(overlap) - 1]
    is_word = not (before.isalnum() and overlap[0].isalnum()) or bool(_UNSPACED.match(overlap))
    least = _TELLING if is_word else _TELLING_INSIDE
    return _letters(overlap) >= least and not _repeats(sent, overlap)


def _repeats(sent: str, overlap: str) -> bool:
    """Whether the text itself says it twice in a row at its end: then once more may be meant."""
    return sent[: -len(overlap)].rstrip().endswith(overlap.strip())
