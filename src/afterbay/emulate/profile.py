"""How an emulated provider behaves: its models, its pace, its faults. One struct, one field per knob.

A profile comes from YAML or JSON, or from a preset. Rates are shares of the requests, from 0 to 1. Everything that is
drawn is keyed by (seed, provider, purpose, number of the request), so a run can be repeated exactly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

import msgspec
import yaml
from msgspec import Meta

from afterbay.emulate.delay import Delay
from afterbay.emulate.delay import read as read_delay

CutHow: TypeAlias = Literal["reset", "close", "eof", "half"]
"""`reset`: the connection breaks with a TCP reset; `close`: it closes in the middle of the body; `eof`: the body ends
properly, but without the protocol's own sign of an end; `half`: the same, in the middle of an event."""

Rate: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Chunks: TypeAlias = Annotated[int, Meta(ge=0, le=1_000_000)]
_Read = TypeVar("_Read")


class ProfileError(ValueError):
    """A profile is wrong; the message says where and how."""


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The behaviour of one emulated provider. `*_after` count chunks of output before the fault shows.

    name                  for people
    seed                  changes every draw
    models                names it knows, others are a 404; empty: every name
    directives            whether `[[status 429]]` and the like in a prompt are obeyed (see `directives`)
    slow_headers          time until status and headers go out
    ttft                  time from the headers to the first output
    between_tokens        time between two pieces of output (a piece is a word)
    output_tokens         length of every text, in words; None: as long as the answer is
    requests_per_minute   limit per provider, told in its rate-limit headers, enforced by 429; None: no limit
    error_rate            answers with one of `error_statuses` (all as likely) at once
    retry_after           what a 429, 503 or 529 says in `retry-after`; None: nothing
    cut_rate              breaks off after `cut_after` pieces in the way of `cut_how`
    stall_rate            goes silent after `stall_after` pieces for `stall_for`, then goes on; `stall_pings`: not quite
                          silent, the protocol's pings still come
    hang_rate             no headers for `hang_for`, then goes on
    malformed_rate        the piece number `malformed_after` is not JSON
    error_in_stream_rate  an error event (whole answers: 200 with an error body) after `error_in_stream_after` pieces
    html_rate             status 200 with a web page, as captive portals and CDNs send it
    blank_rate            status 200 with no body at all
    empty_rate            a proper answer with no output
    no_usage_rate         the usage is missing
    refuse_connections    every request's connection is reset without an answer
    revoked               keys that it does not take
    """

    name: str = "custom"
    seed: int = 0
    models: tuple[str, ...] = ()
    directives: bool = True
    slow_headers: Delay = Delay()
    ttft: Delay = Delay()
    between_tokens: Delay = Delay()
    output_tokens: Annotated[int, Meta(ge=0, le=1_000_000)] | None = None
    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    error_rate: Rate = 0.0
    error_statuses: Annotated[
        tuple[Literal[400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504, 529], ...], Meta(min_length=1)
    ] = (429, 500, 503)
    retry_after: Delay | None = None
    cut_rate: Rate = 0.0
    cut_after: Chunks = 5
    cut_how: CutHow = "reset"
    stall_rate: Rate = 0.0
    stall_after: Chunks = 5
    stall_for: Delay = Delay(600.0)
    stall_pings: bool = False
    hang_rate: Rate = 0.0
    hang_for: Delay = Delay(600.0)
    malformed_rate: Rate = 0.0
    malformed_after: Chunks = 2
    error_in_stream_rate: Rate = 0.0
    error_in_stream_after: Chunks = 3
    html_rate: Rate = 0.0
    blank_rate: Rate = 0.0
    empty_rate: Rate = 0.0
    no_usage_rate: Rate = 0.0
    refuse_connections: bool = False
    revoked: tuple[str, ...] = ()


class ProfileFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file: one profile for all, or one per provider (`openai`, `anthropic-2`, ...) with a `default` for the rest."""

    default: Profile = Profile("instant")
    providers: dict[str, Profile] = {}


PRESETS: tuple[Profile, ...] = (
    Profile("instant"),
    Profile(
        "healthy",
        ttft=Delay(0.25, 0.6, 0.05, 5.0),
        between_tokens=Delay(0.015, 0.04, 0.001, 1.0),
    ),
    Profile("slow", ttft=Delay(3.0, 8.0, 0.5, 60.0), between_tokens=Delay(0.15, 0.5, 0.01, 5.0)),
    Profile(
        "flaky",
        ttft=Delay(0.3, 1.5, 0.05, 10.0),
        between_tokens=Delay(0.015, 0.05, 0.001, 1.0),
        error_rate=0.2,
        error_statuses=(500, 503, 529),
        cut_rate=0.05,
        malformed_rate=0.02,
        error_in_stream_rate=0.03,
        html_rate=0.02,
        empty_rate=0.02,
    ),
    Profile("rate-limited", ttft=Delay(0.25, 0.6, 0.05, 5.0), requests_per_minute=10),
    Profile("cutting", between_tokens=Delay(0.01), cut_rate=1.0),
    Profile("stalling", between_tokens=Delay(0.01), stall_rate=1.0),
    Profile("down", refuse_connections=True),
)
"""Profiles with a name of their own. Their figures are chosen for demonstrations, not measured anywhere."""


def preset(name: str) -> Profile:
    """The preset of this name.

    Raises:
        ProfileError: there is none; the message lists those there are.
    """
    for one in PRESETS:
        if one.name == name:
            return one
    raise ProfileError(f"there is no preset '{name}'; there are {', '.join(one.name for one in PRESETS)}")


def read_profile(value: object) -> Profile:
    """A preset's name, or the fields of a profile; `preset` among them is where the others start from.

    Raises:
        ProfileError: names the field and what is wrong.
    """
    if isinstance(value, str):
        return preset(value)
    if isinstance(value, dict) and "preset" in value:
        base = preset(str(value["preset"]))
        changed = {key: item for key, item in value.items() if key != "preset"}
        return _convert(plain(base) | {"name": f"{base.name}, changed"} | changed, Profile)
    return _convert(value, Profile)


def load(path: Path) -> ProfileFile:
    """Reads a profile file (JSON is YAML too).

    Raises:
        ProfileError: the file cannot be read, or what stands in it is wrong.
    """
    try:
        value = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ProfileError(f"{path}: {error}") from None
    try:
        return read_file(value)
    except ProfileError as error:
        raise ProfileError(f"{path}: {error}") from None


def find(given: str) -> ProfileFile:
    """What a command line names: a preset, or else a profile file.

    Raises:
        ProfileError: it is neither, or the file is wrong.
    """
    names = [one.name for one in PRESETS]
    if given in names:
        return ProfileFile(preset(given))
    if not Path(given).exists():
        raise ProfileError(f"'{given}' is neither a file nor a preset; the presets are {', '.join(names)}")
    return load(Path(given))


def read_file(value: object) -> ProfileFile:
    """What a file says; anything without `providers` or `default` is one profile for all.

    Raises:
        ProfileError: names the provider and the field.
    """
    if not isinstance(value, dict) or not value.keys() & {"default", "providers"}:
        return ProfileFile(read_profile(value))
    unknown = value.keys() - {"default", "providers"}
    providers = value.get("providers") or {}
    if unknown or not isinstance(providers, dict):
        raise ProfileError("a file of several profiles has only 'default' and 'providers', a mapping by provider")
    read: dict[str, Profile] = {}
    for name, one in providers.items():
        try:
            read[str(name)] = read_profile(one)
        except ProfileError as error:
            raise ProfileError(f"providers.{name}: {error}") from None
    return ProfileFile(read_profile(value.get("default", "healthy")), read)


def plain(profile: Profile) -> dict[str, Any]:
    """The fields as `read_profile` takes them."""
    return {
        name: value.plain() if isinstance(value, Delay) else value
        for name, value in msgspec.structs.asdict(profile).items()
    }


def _convert(value: object, to: type[_Read]) -> _Read:
    try:
        return msgspec.convert(value, to, dec_hook=_hook)
    except msgspec.ValidationError as error:
        raise ProfileError(str(error)) from None


def _hook(to: type[Any], value: object) -> Any:
    if to is Delay:
        return read_delay(value)
    raise NotImplementedError(to)
