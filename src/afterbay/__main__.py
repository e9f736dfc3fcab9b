"""`python -m afterbay` is `afterbay`."""

from afterbay.cli.main import run

run()
