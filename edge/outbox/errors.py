"""What can go wrong with the store.

::

    StoreError           the store cannot do it now: disk full, read-only, failing
    +-- StoreFull        no room, neither in the budget nor on the disk
    +-- StoreReadOnly    the disk is mounted read-only
    +-- StoreBusy        another process has the store open
    +-- StoreCorrupt     what the file holds is not what was written
    +-- StoreTooNew      a newer version of this program wrote the file
    +-- StoreClosed      the outbox was stopped
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Reading that fails is as bad as reading rubbish; writing that fails may pass.
_CORRUPT = {
    sqlite3.SQLITE_IOERR_READ,
    sqlite3.SQLITE_IOERR_SHORT_READ,
    sqlite3.SQLITE_IOERR_CORRUPTFS,
}


_NO_TEXT = "Could not decode to UTF-8"
"""Python's own, without a code: one wrong bit has made text of what is none."""


class StoreError(Exception):
    """The store cannot do what it was asked for."""


class StoreFull(StoreError):
    """There is no room, in the configured size or on the disk."""


class StoreReadOnly(StoreError):
    """The disk is mounted read-only, as Linux does with one that fails."""


class StoreBusy(StoreError):
    """Another process has the store open."""


class StoreCorrupt(StoreError):
    """The file is damaged, or is no database."""


class StoreTooNew(StoreError):
    """A newer version of this program wrote the file."""


class StoreClosed(StoreError):
    """The outbox was stopped: nothing is taken any more, nothing can be read."""


@contextmanager
def store_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours, which name the file."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if not code and _NO_TEXT in str(error):
            code = sqlite3.SQLITE_CORRUPT
        raise _error_class(code)(f"{path}: {error}") from error


def _error_class(code: int) -> type[StoreError]:
    if code in _CORRUPT:
        return StoreCorrupt
    match code & 0xFF:  # the primary code of an extended one
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return StoreCorrupt
        case sqlite3.SQLITE_FULL:
            return StoreFull
        case sqlite3.SQLITE_READONLY:
            return StoreReadOnly
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return StoreBusy
        case _:
            return StoreError


ERROR_KINDS = ("full", "busy", "corrupt", "io")


def error_kind(error: StoreError) -> str:
    """A fault as metrics name it: one of :data:`ERROR_KINDS`."""
    match error:
        case StoreFull():
            return "full"
        case StoreBusy():
            return "busy"
        case StoreCorrupt():
            return "corrupt"
        case _:
            return "io"
