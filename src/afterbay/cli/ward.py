"""A gateway for as long as somebody holds the other end of its standard input: `python -m afterbay.cli.ward ARGUMENTS`.

`afterbay serve`, with a thread that waits for the end of standard input and then asks it to stop. Whoever started it
may be killed in any way: the system closes the pipe, and no gateway is left behind.
"""

from __future__ import annotations

import os
import signal
import sys
import threading

from afterbay.cli.main import run


def _watch() -> None:
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    threading.Thread(target=_watch, name="watch the parent", daemon=True).start()
    sys.argv = ["afterbay", "serve", *sys.argv[1:]]
    run()
