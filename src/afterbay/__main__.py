"""`python -m afterbay` is the program `afterbay`."""

from afterbay.cli.main import run

if __name__ == "__main__":
    run()
