"""Weights that ship with the package: made by `make weights`, described in docs/router.md."""
