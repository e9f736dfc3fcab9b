"""One worker of `afterbay serve --workers N`: a program that the control process runs, and nobody else.

Arguments: its number, for people who list processes, and the descriptor of its line to the control process.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from afterbay.app.gateway import Wrap
from afterbay.app.line import Begin
from afterbay.app.worker import run_worker
from afterbay.cli.serve import wrap_for
from afterbay.core.errors import GatewayError
from afterbay.store.errors import StoreError
from afterbay.telemetry.log import LogOutput

logger = logging.getLogger("afterbay.app")


def main() -> None:
    """Runs it. What goes wrong is in the log, and in the exit code."""
    number, descriptor = sys.argv[1:]
    output = LogOutput.open()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        run_worker(int(descriptor), os.environ, _wrap)
    except GatewayError as error:
        logger.error("worker %s: %s", number, error.text())
        raise SystemExit(1) from None
    except StoreError as error:
        logger.error("worker %s: %s", number, error)
        raise SystemExit(1) from None
    except Exception:
        logger.critical("worker %s failed", number, exc_info=True)
        raise SystemExit(1) from None
    finally:
        output.close()


def _wrap(begin: Begin) -> Wrap | None:
    return wrap_for(
        None if begin.record is None else Path(begin.record), None if begin.replay is None else Path(begin.replay)
    )


if __name__ == "__main__":
    main()
