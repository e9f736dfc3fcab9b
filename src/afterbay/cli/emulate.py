"""`afterbay emulate`: providers on loopback, to develop against and to break on purpose."""

from __future__ import annotations

import contextlib
import sys

from afterbay.app.server import listen
from afterbay.cli.speech import Misuse, Speech
from afterbay.emulate.profile import PRESETS, ProfileError, ProfileFile, find
from afterbay.emulate.run import server, url_of

DEFAULT = "healthy"


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
        with contextlib.suppress(KeyboardInterrupt):  # the server raises it again once it has ended properly
            server(profiles).run(sockets=[sock])
    speech.say("stopped")


def _profiles(named: str | None) -> ProfileFile:
    try:
        return find(named if named is not None else DEFAULT)
    except ProfileError as error:
        raise Misuse(f"--profile: {error}.", remedy="Correct it, or leave it out.") from None


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
