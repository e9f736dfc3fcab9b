"""What a store tells its operator. Each message says what happened, where, and what to do next."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked. `remedy` is the next step, in one sentence; it is part of the text."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message, self.remedy = message, remedy


class InvalidKey(StoreError):
    """The name or the models of a key cannot be used (an admin API answers 400)."""


class KeyNameTaken(StoreError):
    """A live key has this name (409)."""


class UnknownKey(StoreError):
    """No live key has this id or name (404)."""
