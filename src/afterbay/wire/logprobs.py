"""How sure a model was of its words: the mean log-probability of an answer's tokens, where the provider told it.

No canonical event holds log-probabilities (they are named as a loss), so this reads the provider's own bytes. Sources:
OpenAI API reference, chat completions, `choices[].logprobs.content[].logprob`; Gemini API reference,
`candidates[].avgLogprobs` (November 2026). Other protocols tell none, or only within single content parts.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec


class _Token(msgspec.Struct):
    logprob: float


class _Told(msgspec.Struct):
    content: list[_Token] | None = None


class _Choice(msgspec.Struct):
    logprobs: _Told | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    avg_logprobs: float | None = None


class _Body(msgspec.Struct):
    choices: list[_Choice] = []
    candidates: list[_Candidate] = []


_decode = msgspec.json.Decoder(_Body).decode


def mean_logprob(documents: Iterable[bytes]) -> float | None:
    """The mean over the tokens of the first choice; None: nothing was told.

    `documents`: the answer's body, or the data of each event of its stream. What is of another form is passed over.
    """
    total, count, mean = 0.0, 0, None
    for document in documents:
        try:
            body = _decode(document)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue
        told = body.choices[0].logprobs if body.choices else None
        for token in (told.content if told is not None else None) or ():
            total += token.logprob
            count += 1
        if body.candidates and body.candidates[0].avg_logprobs is not None:
            mean = body.candidates[0].avg_logprobs
    return total / count if count else mean
