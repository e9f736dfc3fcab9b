"""A gateway in front of emulated providers, in a process of its own: the clients' environment has no part of afterbay.

Prints the gateway's address, and ends when its standard input does.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from acceptance.conftest import emulated
from afterbay.emulate.profile import Profile
from afterbay.testing.live import LiveGateway
from emulate.support import running_in_thread


def main() -> None:
    """Serves until standard input ends."""
    with running_in_thread(Profile("instant")) as emulator, LiveGateway(emulated(emulator)) as gateway:
        print(gateway.url, flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
