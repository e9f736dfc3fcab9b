"""How a host speaks chat completions its own way, as data: `accents` has a row for every host that is known to.

A host without a row gets the neutral form, so that a new one takes no code. What stands here is about writing requests;
answers are read alike from all of them.
"""

from __future__ import annotations

import re
from typing import Literal, TypeAlias

import msgspec

Thinks: TypeAlias = Literal["always", "unless_none", "if_asked", "never"]
"""Whether a model thinks: `unless_none` and `if_asked` differ where no effort is given."""

EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Words for an effort, rising. Some hosts have words beside them."""

NEWER_LIMIT = re.compile(r"(?:.*/)?(?:o\d|gpt-(?:[5-9]|\d\d))")
"""OpenAI's models that refuse `max_tokens` wherever they run ("not compatible with o-series models", API reference)."""

DEFAULTS: dict[str, float] = {"temperature": 1, "top_p": 1, "presence_penalty": 0, "frequency_penalty": 0}
"""What a host draws with unasked: leaving out such a value loses nothing."""


class Models(msgspec.Struct, frozen=True):
    """What holds for the models whose name begins like `pattern` (a regular expression), beside the host's own.

    thinks     refuses to be told how to draw (`draws` below) while it thinks
    efforts    the words it takes for an effort; empty: it takes none. None: as the host
    refuses    features that it answers with an error
    schema     whether it holds an answer to a JSON Schema
    """

    pattern: str
    thinks: Thinks = "never"
    efforts: tuple[str, ...] | None = None
    refuses: frozenset[str] = frozenset()
    schema: bool = True


class Accent(msgspec.Struct, frozen=True):
    """A host's way of writing requests. The defaults are the neutral form. `source` says how it is known.

    limit           the field for the most tokens of an answer; empty: by the model's name
    seed, required  the field for the seed; the word for "some tool must be called"
    developer       the role that developer messages get
    names           whose messages may bear a participant's name
    usage_option    takes `stream_options`; a host that does not sends usage unasked
    strict          takes `strict` at tools
    schema, object  holds answers to a JSON Schema, to JSON; if not, the prompt asks for it
    stops           the most stop sequences
    can             features that the dialect has no field for and this host has
    cannot          features that it answers with an error, or not at all: they keep a router from it
    unsaid          features that it has no form for that is known here: they keep a router from translating to it
    short_ids       call ids are nine letters and digits
    history         how the model's own reasoning goes back: in a field, as parts, as OpenRouter's details; or not
    files           how a file that is no text is shown
    merges          `leading`: takes one instruction before the conversation; `all`: and none later, and user and
                    assistant must take turns
    reasoning       how an effort is said: `effort` reasoning_effort; `object` OpenRouter's object with a budget;
                    `toggle` DeepSeek's switch and reasoning_effort; `enabled` Together's; `template` variables of the
                    chat template; `switch` reasoning_effort, and off by the template
    efforts         the words that it takes for an effort; None: all
    draws           what its thinking models refuse to be told
    counts_logprobs `logprobs` is the number of alternatives
    models          what holds for some models only; the first pattern that fits counts
    """

    source: str = ""
    limit: Literal["", "max_tokens", "max_completion_tokens"] = ""
    seed: str = "seed"
    required: str = "required"
    developer: Literal["developer", "system"] = "developer"
    names: Literal["all", "user", "none"] = "all"
    usage_option: bool = True
    strict: bool = True
    schema: bool = True
    object: bool = True
    stops: int | None = None
    can: frozenset[str] = frozenset()
    cannot: frozenset[str] = frozenset()
    unsaid: frozenset[str] = frozenset()
    short_ids: bool = False
    history: Literal["", "reasoning", "reasoning_content", "parts", "details"] = ""
    files: Literal["file", "document_url"] = "file"
    merges: Literal["", "leading", "all"] = ""
    reasoning: Literal["effort", "object", "toggle", "enabled", "template", "switch"] = "effort"
    efforts: tuple[str, ...] | None = None
    draws: frozenset[str] = frozenset()
    counts_logprobs: bool = False
    models: tuple[Models, ...] = ()

    def of(self, model: str) -> Models:
        """What holds for `model`; of several fitting rows the first."""
        for row in self.models:
            if re.match(row.pattern, model, re.IGNORECASE):
                return row
        return _ANY

    def limit_field(self, model: str) -> str:
        """The field for the most tokens of an answer."""
        return self.limit or ("max_completion_tokens" if NEWER_LIMIT.match(model) else "max_tokens")

    def features(self, model: str) -> frozenset[str]:
        """The features that a request for `model` must not need: what the host or that model answers with an error."""
        return self.cannot | self.of(model).refuses


_ANY = Models("")
NEUTRAL = Accent()


def thinks(row: Models, effort: str | None) -> bool:
    """Whether a model thinks when it is asked with this effort."""
    if row.thinks == "if_asked":
        return effort not in (None, "none")
    return row.thinks == "always" or (row.thinks == "unless_none" and effort != "none")


def nearest(effort: str, accepted: tuple[str, ...] | None) -> str | None:
    """The word for an effort among those accepted: the lowest that is not less, else the highest. None: there is none.

    `none` is the lowest: a model that cannot be kept from thinking thinks as little as it can.
    """
    if accepted is None or effort in accepted:
        return effort
    known = sorted((word for word in accepted if word in EFFORTS), key=EFFORTS.index)
    if not known or effort not in EFFORTS:
        return None
    wanted = EFFORTS.index(effort)
    return next((word for word in known if EFFORTS.index(word) >= wanted), known[-1])
