"""`afterbay emulate`: providers on loopback, to develop against and to break on purpose."""

from __future__ import annotations

import sys
from pathlib import Path

from afterbay.app.server import listen
from afterbay.cli.speech import Misuse, Speech
from afterbay.emulate.profile import PRESETS, ProfileError, ProfileFile, load, preset
from afterbay.emulate.run import server, url_of


def run_emulate(profile: str | None, host: str, port: int) -> None:
    """Serves until a signal.

    Raises:
        Misuse: the profile is wrong. CannotListen: the address is not to be had.
    """
    speech = Speech(sys.stderr)
    profiles = _profiles(profile)
    with listen(host, port) as sock:
        for line in introduction(url_of(sock), profiles):
            speech.say(line)
        server(profiles).run(sockets=[sock])
    speech.say("stopped")


def _profiles(named: str | None) -> ProfileFile:
    """A preset by its name, else a file; a name that is neither is told both ways."""
    try:
        if named is None:
            return ProfileFile(preset("healthy"))
        if named in {one.name for one in PRESETS}:
            return ProfileFile(preset(named))
        path = Path(named)
        if not path.exists():
            names = ", ".join(one.name for one in PRESETS)
            raise Misuse(f"There is no file or preset '{named}'.", remedy=f"Give a file, or one of: {names}.")
        return load(path)
    except ProfileError as error:
        raise Misuse(f"{error}", remedy="Correct the profile.") from None


def introduction(url: str, profiles: ProfileFile) -> list[str]:
    """What to point clients at, and how to break it."""
    order = '{"provider": "openai", "profile": "down"}'
    return [
        f"OpenAI's base URL:    {url}/openai/v1",
        f"Anthropic's base URL: {url}/anthropic",
        f"Gemini's base URL:    {url}/gemini",
        f"profile: {profiles.default.name}; any key will do; add a suffix (/openai-b/v1) for one more provider",
        f"break one:    curl {url}/emulate/profile -d '{order}'",
        f"  profiles:   {', '.join(one.name for one in PRESETS)}",
        "one request:  put [[status 503]], [[cut 5]], [[stall 3]] or [[slow 300ms]] into the prompt",
        f"what it saw:  curl {url}/emulate/stats",
    ]
