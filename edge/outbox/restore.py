"""Puts a backup in the place of the store, while the service is stopped.

The copy is brought to today's schema and verified before anything else happens. Killed at any
moment, this leaves the one store or the other in place: the present one gets a second name, then
the copy takes over the first in one step. The present one is never deleted.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edge.outbox.backup_file import sync
from edge.outbox.database import Database
from edge.outbox.errors import StoreBusy, StoreError
from edge.outbox.store_file import own
from edge.outbox.verification import verify

_JOURNALS = ("-wal", "-shm", "-journal")
_LOCK_BYTES = (512, 0x4000_0000)
"""Length and place of the bytes that SQLite locks in a database (os_unix.c, PENDING_BYTE)."""

_BEYOND_ANY = 1 << 50


class RestoreRefused(StoreError):
    """Nothing was changed, and the text says why."""


@dataclass(frozen=True, slots=True)
class Restored:
    """Attributes:
    summary: of the store that is in place now, as :mod:`edge.outbox.verification` makes it.
    replaced: where the earlier store is; None if there was none.
    """

    summary: Mapping[str, Any]
    replaced: Path | None


def restore(
    backup: Path, store: Path, *, replace: bool, take: Callable[[dict[str, Any]], None]
) -> Restored:
    """Put a copy of a backup in place; at the next start a new epoch begins.

    Args:
        replace: there may be a store, which gets another name.
        take: is told progress and findings of the verification.

    Raises:
        RestoreRefused: there is a store, or the backup is not sound.
        StoreError: the store is in use, or the backup cannot be opened.
        OSError: the disk is full, or no rights.
    """
    if store.exists():
        if not replace:
            raise RestoreRefused(f"{store} is there: --replace puts it aside")
        if store.samefile(backup):
            raise RestoreRefused(f"{backup} is the store itself")
    new = store.with_name(f"{store.name}.new")
    try:
        _remove(new)
        _copy(backup, new)
        summary = asyncio.run(_prepare(new, take))
        if Path(f"{new}-wal").exists():
            raise RestoreRefused("the copy of the backup could not be closed")
        sync(new, os.O_RDONLY)
        _fold(store)
        with _locked(store):
            replaced = _put_in_place(new, store)
    finally:
        _remove(new)
    return Restored(summary, replaced)


def _copy(backup: Path, new: Path) -> None:
    """With its journals: perhaps it is a copy of a store that was not closed."""
    descriptor = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with backup.open("rb") as source, os.fdopen(descriptor, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
    for journal in ("-wal", "-journal"):
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(f"{backup}{journal}", f"{new}{journal}")


async def _prepare(new: Path, take: Callable[[dict[str, Any]], None]) -> Mapping[str, Any]:
    database = Database(new, _BEYOND_ANY)
    summary: dict[str, Any] = {}
    try:
        await database.open(create=False)
        store = await own(database)
        async for answer in verify(store, fault=store.fault):
            take(answer)
            summary = dict(answer)
        summary = summary["summary"]
        if summary["findings"]:
            raise RestoreRefused("the backup is not sound, and nothing was changed")
        await database.commit("REPLACE INTO meta VALUES (?, 1)", ("restored",))
    finally:
        await database.close()
    return summary


def _fold(store: Path) -> None:
    """Bring the WAL of the present store into it, so that it is one file with one name.

    A damaged one keeps what cannot be brought in.
    """
    if not store.exists():
        return
    uri = f"file:{quote(str(store))}?mode=rw"
    try:
        with closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=2.0)) as database:
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
            raise _busy(store) from None


@contextmanager
def _locked(store: Path) -> Iterator[None]:
    """Keep the service from opening the present store; SQLite itself would need it to be sound."""
    try:
        descriptor = os.open(store, os.O_RDWR)
    except FileNotFoundError:
        yield
        return
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, *_LOCK_BYTES)
        except (BlockingIOError, PermissionError):
            raise _busy(store) from None
        yield
    finally:
        os.close(descriptor)


def _put_in_place(new: Path, store: Path) -> Path | None:
    aside = _free_name(store)
    parts = [part for part in ("", *_JOURNALS) if Path(f"{store}{part}").exists()]
    if "" in parts:
        try:
            aside.hardlink_to(store)
        except OSError:  # a file system without second names: for a moment there is no store
            store.rename(aside)
    for part in parts:
        if part:  # another store's journal would ruin the new one
            Path(f"{store}{part}").rename(f"{aside}{part}")
    if "" not in parts and store.exists():
        raise _busy(store)
    new.replace(store)
    sync(store.parent, os.O_RDONLY | os.O_DIRECTORY)
    return aside if parts else None


def _free_name(store: Path) -> Path:
    numbers = [0]
    for found in store.parent.glob(f"{store.name}.replaced-*"):
        number = found.name.removeprefix(f"{store.name}.replaced-").partition("-")[0]
        if store.exists() and found.samefile(store):
            found.unlink()  # of an attempt that was cut short
        elif number.isdecimal():
            numbers.append(int(number))
    return store.with_name(f"{store.name}.replaced-{max(numbers) + 1}")


def _remove(new: Path) -> None:
    for part in ("", *_JOURNALS):
        Path(f"{new}{part}").unlink(missing_ok=True)


def _busy(store: Path) -> StoreBusy:
    return StoreBusy(f"{store} is in use: stop the service first")
