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
    """The name of a key or tenant cannot be used, or a tenant cannot stand there (the admin API answers 400)."""


class NameTaken(StoreError):
    """A live key or tenant of the same owner has this name (409)."""

    @classmethod
    def named(cls, kind: str, name: str) -> NameTaken:
        """For a key or tenant that was to be made."""
        return cls(f"There is a {kind} named {name!r} already.", "Choose another name, or use or end that one.")


class UnknownKey(StoreError):
    """No live key has this id or name (404)."""

    @classmethod
    def named(cls, id_or_name: str) -> UnknownKey:
        """For a key that was looked for."""
        return cls(
            f"No live key has the id or name {id_or_name[:80]!r}.", "`afterbay keys list` shows those there are."
        )


class AmbiguousKey(StoreError):
    """Several live keys have this name, of different owners (400)."""


class UnknownTenant(StoreError):
    """No live organisation, team or user has this id or place (404)."""

    @classmethod
    def named(cls, kind: str, id_or_place: str) -> UnknownTenant:
        """For a tenant that was looked for."""
        return cls(f"There is no {kind} {id_or_place[:80]!r}.", "`afterbay keys tenants` shows those there are.")


class StoreUnavailable(StoreError):
    """The database cannot be read or written now (503)."""
