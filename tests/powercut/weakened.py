"""Stores that are unsafe on purpose. A harness that finds them in order proves nothing."""

from typing import Any

import aiosqlite

from edge.outbox import database


def set_pragma(name: str, value: str) -> None:
    """Replace one of the settings with which the store opens its file."""
    names = [pragma.partition("=")[0] for pragma in database._PRAGMAS]
    changed = list(database._PRAGMAS)
    changed[names.index(name)] = f"{name}={value}"
    database._PRAGMAS = tuple(changed)  # type: ignore[assignment]


def assume_powersafe_overwrite() -> None:
    """Have SQLite believe that a write which is cut leaves the bytes beside it alone (psow=1)."""
    connect = aiosqlite.connect

    def connect_with_psow(uri: str, /, **options: Any) -> aiosqlite.Connection:
        if "psow=0" not in uri:
            raise ValueError(f"no psow=0 to replace in {uri}")
        return connect(uri.replace("psow=0", "psow=1"), **options)

    aiosqlite.connect = connect_with_psow  # type: ignore[assignment]
