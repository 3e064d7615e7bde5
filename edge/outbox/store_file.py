"""A store that is only looked at: a backup, a copy, one that was set aside."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import aiosqlite

from edge.outbox.boots import Boots
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt, StoreError, StoreTooNew, store_errors
from edge.outbox.loading import attach, read_store
from edge.outbox.schema import SCHEMA_VERSION
from edge.outbox.totals import no_totals

_T = TypeVar("_T")
_NO_BOOT = bytes(16)


class StoreFile(Database):
    """Opened for reading: neither its schema nor its WAL is touched."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, max_bytes=0)

    async def open(self, *, create: bool = False) -> None:
        """Open the file; there has to be one.

        Raises:
            StoreTooNew: a newer version of this program wrote it.
            StoreError: it cannot be read, or is of an older version.
        """
        if create:
            raise StoreError(f"{self.path} is only looked at")
        has_journal = await asyncio.to_thread(self._find)
        # Without a journal nothing has to be written even for reading, so not even the directory
        # has to be writable.
        options = "mode=ro" if has_journal else "mode=ro&immutable=1"
        uri = f"file:{quote(str(self.path))}?{options}"
        with store_errors(self.path):
            connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=2.0)
            self._open_connection = connection
        try:
            [(version,)] = await self.read("PRAGMA user_version")
            await self.read("SELECT count(*) FROM sqlite_master")
            if version > SCHEMA_VERSION:
                raise StoreTooNew(f"{self.path} was written by a newer version of lora-edge")
            if version < SCHEMA_VERSION:
                raise StoreError(f"{self.path} is no store of this version (schema {version})")
        except BaseException:
            await self.close()
            raise

    def _find(self) -> bool:
        try:
            with self.path.open("rb"):
                pass
            journals = [
                self.path.with_name(f"{self.path.name}{end}") for end in ("-wal", "-journal")
            ]
            return any(journal.exists() and journal.stat().st_size for journal in journals)
        except OSError as error:
            raise StoreError(f"{self.path}: {error.strerror}") from error


class OwnedStore:
    """A store that nobody else has open, with what it says of itself.

    Attributes:
        fault: why what it says could not be read; then ``contents`` is empty.
    """

    def __init__(self, database: Database, contents: Contents, fault: str) -> None:
        self.database = database
        self.contents = contents
        self.fault = fault

    async def with_store(self, work: Callable[[Database, Contents], Awaitable[_T]]) -> _T:
        """As :meth:`edge.outbox.store.Outbox.with_store`."""
        return await work(self.database, self.contents)


async def own(database: Database) -> OwnedStore:
    """Read what an open store says of itself, as far as that goes; nothing is written.

    Raises:
        StoreError: it cannot be read for another reason than damage.
    """
    nothing = Contents(0, 0, [], Boots([], _NO_BOOT), {}, {}, no_totals())
    try:
        loaded = await read_store(database)
        if not loaded.epochs:
            return OwnedStore(database, nothing, "it has no epoch: nothing has been stored in it")
        contents = await attach(
            database,
            loaded,
            gateway=loaded.epochs[-1].gateway,
            boot_id=_NO_BOOT,
            upstreams=None,
            new_epoch=False,
        )
    except (StoreCorrupt, KeyError, ValueError, TypeError, AttributeError) as error:
        # What is garbled may be anything.
        return OwnedStore(database, nothing, str(error) or repr(error))
    return OwnedStore(database, contents, "")
