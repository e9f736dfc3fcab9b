"""What a prompt asks for: one of eight tasks, how sure that is, or nothing where it is not sure enough.

A prompt is seen three times: its beginning and end together, and its first and last few words apart from the rest,
because instructions stand there and passages in between; and by the signs of `evidence`. One linear head a task.
Pure; numpy only.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec
import numpy as np

from afterbay.core.errors import ClientMistake
from afterbay.policy.facts import Judgement
from afterbay.policy.learned.evidence import evidence
from afterbay.policy.learned.heads import Heads, packed, scores, unpacked
from afterbay.policy.learned.ngrams import Ids, Sparse, Spec, Values, sparse, trimmed
from afterbay.policy.normal import folded
from afterbay.policy.statement import TASKS

SPEC: Final = Spec()
ENDS_CHARS: Final = 600
"""Of a longer prompt so many characters of its beginning and of its end are looked at."""
_EDGE_CHARS: Final = 80
_HEAD, _TAIL = np.uint32(0x15A5A), np.uint32(0x0C3C3)
"""What tells an n-gram of the first and of the last characters from the same one anywhere."""
_DENSE: Final = np.float32(0.087)
"""How much a sign counts beside an n-gram when heads are fitted: all are shrunk alike."""
_MAGIC: Final = b"afterbay-tasks-1\n"


class Classifier(msgspec.Struct, frozen=True):
    """Heads for `TASKS`. Scores, divided by `temperature`, are log-odds. A task is decided where its probability is at
    least that of `thresholds`: by `LANGUAGE:TASK` where there is one, else by `TASK`."""

    heads: Heads
    temperature: float
    thresholds: Mapping[str, float]

    def judged(self, text: str, language: str) -> Judgement:
        """What a prompt asks for."""
        ngrams, signs = features(text)
        said = scores(self.heads, ngrams, signs) / np.float32(self.temperature)
        grown = np.exp(said - said.max())
        p = [float(one) for one in grown / grown.sum()]
        best = int(np.argmax(said))
        task = TASKS[best]
        decided = task if p[best] >= self.threshold(language, task) else None
        return Judgement(decided, task, p[best], dict(zip(TASKS, p, strict=True)))

    def threshold(self, language: str, task: str) -> float:
        """The probability from which a task is decided."""
        return self.thresholds.get(f"{language}:{task}", self.thresholds.get(task, 1.0))


def features(text: str) -> tuple[Sparse, Values]:
    """What the heads see of a prompt, whatever its length."""
    whole = folded(trimmed(text.strip(), ENDS_CHARS))
    views = ((whole, np.uint32(0)), (whole[:_EDGE_CHARS], _HEAD), (whole[-_EDGE_CHARS:], _TAIL))
    ids: list[Ids] = []
    values: list[Values] = []
    for view, salt in views:
        part = sparse(view, SPEC)
        ids.append(part.ids ^ salt)
        values.append(part.values / np.float32(max(float(np.sqrt(part.values @ part.values)), 1e-6)))
    signs = np.array(evidence(whole), np.float32) * _DENSE
    return Sparse(np.concatenate(ids), np.concatenate(values)), signs


class _Stored(msgspec.Struct, array_like=True, frozen=True):
    temperature: float
    thresholds: dict[str, float]
    heads: bytes


def stored(classifier: Classifier) -> bytes:
    """A classifier as bytes, the same for the same one."""
    body = _Stored(classifier.temperature, dict(sorted(classifier.thresholds.items())), packed(classifier.heads))
    return _MAGIC + msgspec.msgpack.encode(body)


def restored(data: bytes) -> Classifier:
    """The classifier in some bytes.

    Raises:
        ClientMistake: these hold none.
    """
    try:
        if not data.startswith(_MAGIC):
            raise ValueError("they do not begin as a classifier does")
        body = msgspec.msgpack.decode(data[len(_MAGIC) :], type=_Stored)
    except (ValueError, msgspec.MsgspecError) as error:
        raise ClientMistake(f"The bytes hold no task classifier: {error}.") from None
    heads = unpacked(body.heads)
    if heads.names != TASKS:
        raise ClientMistake(f"The bytes hold heads for other tasks: {', '.join(heads.names)}.")
    return Classifier(heads, body.temperature, body.thresholds)
