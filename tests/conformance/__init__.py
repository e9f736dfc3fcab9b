"""What becomes of every field of a request and of every feature of an answer, between any two protocols: run, not
believed. `python -m tests.conformance` writes docs/conformance.md."""
