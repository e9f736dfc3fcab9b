"""What a store tells its operator. Each message says what happened, where, and what to do next."""

from __future__ import annotations


class StoreError(Exception):
    """The store cannot do what was asked. `remedy` is the next step, in one sentence; it is part of the text."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(f"{message} {remedy}")
        self.message, self.remedy = message, remedy


class UnsupportedDatabase(StoreError):
    """`state.database` names something that this release cannot use: the configuration is wrong."""


class InvalidKey(StoreError):
    """The name or the models of a key cannot be used (an admin API answers 400)."""


class KeyNameTaken(StoreError):
    """A live key has this name (409)."""

    @classmethod
    def named(cls, name: str) -> KeyNameTaken:
        """For a key that was to be made."""
        return cls(f"There is a key named {name!r} already.", "Choose another name, or revoke or rotate that key.")


class UnknownKey(StoreError):
    """No live key has this id or name (404)."""

    @classmethod
    def named(cls, id_or_name: str) -> UnknownKey:
        """For a key that was looked for."""
        return cls(
            f"No live key has the id or name {id_or_name[:80]!r}.", "`afterbay keys list` shows those there are."
        )
