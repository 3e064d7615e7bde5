"""The one SQLite connection of the store: how it is opened, transactions, sizes, what it writes.

Settings and their reasons: WAL with ``synchronous=FULL``, because NORMAL loses acknowledged rows at
a power cut. ``psow=0``, because otherwise a commit shares its last disk block with the next one,
and a card that garbles the block it is writing takes acknowledged rows along. A WAL that is grown
once and kept, because a growing file triples the bytes that reach the card. One exclusive
connection, because no second one can then meet it in a half-done checkpoint.
"""

import asyncio
import contextlib
import errno
import logging
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite

from edge.outbox.errors import StoreError, StoreReadOnly, StoreTooNew, store_errors
from edge.outbox.schema import SCHEMA_VERSION, migrate

logger = logging.getLogger(__name__)

PAGE_BYTES = 4096
CHECKPOINT_PAGES = 600
WAL_BYTES = (CHECKPOINT_PAGES + 128) * (PAGE_BYTES + 24)
"""With room for the group that sets the checkpoint off."""

_ZEROS = bytes(64 * 1024)

Row = Sequence[Any]

_URI_OPTIONS = "mode=rw&psow=0"
# Locks need a file that can be written. Without them the WAL of the last run is read all the same,
# as long as its index is in memory, and on such a disk nobody writes.
_READ_ONLY_OPTIONS = "mode=ro&vfs=unix-none"
_WITHOUT_WAL = "mode=ro&immutable=1"  # where a WAL is missing, SQLite would have to make one
_PRAGMAS = (
    f"page_size={PAGE_BYTES}",
    # Before the journal mode: with an exclusive lock the WAL's index needs no shared memory.
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
    f"wal_autocheckpoint={CHECKPOINT_PAGES}",
    "journal_size_limit=-1",
    "secure_delete=0",
    "cache_size=-4096",
)


@dataclass(frozen=True, slots=True)
class Usage:
    """Attributes:
    file_pages: size of the database file.
    used_pages: those of them that hold something.
    written_bytes: what the connection's thread has written, to the WAL and to the database.
    """

    file_pages: int
    used_pages: int
    written_bytes: int


class Database:
    """Owned by one task: two that interleave on one connection would share a transaction."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._open_connection: aiosqlite.Connection | None = None

    async def open(self, *, create: bool = True) -> None:
        """Open the file, bring it to today's schema, and make its WAL ready.

        SQLite itself is told the size limit: a full store is an error before a full disk is.

        Args:
            create: make the file if there is none.

        Raises:
            StoreReadOnly: the disk is; :meth:`open_read_only` may be possible.
            StoreError: one of :mod:`edge.outbox.errors`; nothing is left open.
        """
        await asyncio.to_thread(self._probe, create)
        uri = f"file:{quote(str(self.path))}?{_URI_OPTIONS}"
        with store_errors(self.path):
            connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=2.0)
            try:
                for pragma in (*_PRAGMAS, f"max_page_count={self._max_bytes // PAGE_BYTES}"):
                    await connection.execute_fetchall(f"PRAGMA {pragma}")
                await _begin_wal_anew(connection)
                await connection.create_function("written_bytes", 0, _written_bytes)
                await migrate(connection)
                self._open_connection = connection
                await self._grow_wal()
            except BaseException:
                # A connection that is left open keeps the process from ending.
                self._open_connection = None
                await connection.close()
                raise

    async def open_read_only(self) -> None:
        """Open the file on a disk that is read-only, with what the last run left in the WAL.

        Raises:
            StoreTooNew: a newer version of this program wrote it.
            StoreError: it cannot be read, or is of an older version.
        """
        has_wal = await asyncio.to_thread(Path(f"{self.path}-wal").exists)
        options = _READ_ONLY_OPTIONS if has_wal else _WITHOUT_WAL
        uri = f"file:{quote(str(self.path))}?{options}"
        with store_errors(self.path):
            connection = await aiosqlite.connect(uri, uri=True, isolation_level=None)
            try:
                await connection.execute_fetchall("PRAGMA locking_mode=EXCLUSIVE")
                await connection.create_function("written_bytes", 0, _written_bytes)
                [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
                if version > SCHEMA_VERSION:
                    raise StoreTooNew(f"{self.path} was written by a newer version of lora-edge")
                if version < SCHEMA_VERSION:
                    raise StoreError(
                        f"{self.path} is of an older version (schema {version}), and its disk is"
                        " read-only"
                    )
            except BaseException:
                await connection.close()
                raise
            self._open_connection = connection

    async def close(self) -> None:
        """Close, if it is open; an open transaction is undone."""
        connection, self._open_connection = self._open_connection, None
        if connection is not None:
            with store_errors(self.path):
                await connection.close()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._open_connection is not None

    @property
    def _connection(self) -> aiosqlite.Connection:
        if self._open_connection is None:
            raise StoreError(f"{self.path} is not open")
        return self._open_connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """All or nothing; committed and on the disk when it is left.

        Raises:
            StoreError: nothing was changed, or, if the fault came last, perhaps all: what is
                tried again has to be the same.
        """
        with store_errors(self.path):
            try:
                await self._connection.execute("BEGIN IMMEDIATE")
                yield
                await self._connection.commit()
            except BaseException:
                # The first fault is the one to tell. If undoing fails too, the next BEGIN does.
                with contextlib.suppress(sqlite3.Error):
                    await self._connection.rollback()
                raise

    async def write(self, sql: str, rows: Iterable[Row]) -> None:
        """Run a statement for each row, inside a transaction."""
        await self._connection.executemany(sql, rows)

    async def commit(self, sql: str, row: Row) -> None:
        """Run a transaction that is one statement: one call into the thread, nothing left open.

        Raises:
            StoreError: as of :meth:`transaction`.
        """
        with store_errors(self.path):
            await self._connection.execute_fetchall(sql, row)

    async def read(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a query.

        Raises:
            StoreError: it failed.
        """
        with store_errors(self.path):
            return [tuple(row) for row in await self._connection.execute_fetchall(sql, parameters)]

    async def usage(self) -> Usage:
        """How large the file is, and what has been written.

        Raises:
            StoreError: it failed.
        """
        [(count, free, written)] = await self.read(
            "SELECT page_count, freelist_count, written_bytes()"
            " FROM pragma_page_count, pragma_freelist_count"
        )
        return Usage(count, count - free, written)

    async def checkpoint(self) -> None:
        """Bring what the WAL holds into the database.

        Raises:
            StoreError: it failed.
        """
        await self.read("PRAGMA wal_checkpoint(RESTART)")

    async def limit_pages(self, pages: int) -> None:
        """Let the file grow to so many pages; smaller than it is it does not become.

        Raises:
            StoreError: it failed.
        """
        await self.read(f"PRAGMA max_page_count={pages}")

    async def check_writable(self) -> None:
        """Find out whether the file may be opened for writing at all.

        Raises:
            StoreError: it may not.
        """
        await asyncio.to_thread(self._probe, False)

    def _probe(self, create: bool) -> None:
        """Fail early, and in the system's words: SQLite only says that it could not.

        Besides, a connection that fails at its very beginning leaves its thread to itself.
        """
        try:
            # While there is a connection the file itself must not be opened and closed: closing it
            # would give up the locks that SQLite has on it. This asks the same question.
            if self.is_open:
                if not os.access(self.path, os.W_OK):
                    raise OSError(errno.EROFS, "cannot be written", str(self.path))
            else:
                self.path.open("ab" if create else "r+b").close()
        except OSError as error:
            kind = StoreReadOnly if error.errno == errno.EROFS else StoreError
            raise kind(f"the store cannot be opened: {error}") from error

    async def _grow_wal(self) -> None:
        """Write the WAL once to the size it will have; from then on it is only written over.

        SQLite looks no further than to the first frame that is not valid, and these are zeros.
        """
        try:
            await asyncio.to_thread(_write_zeros, Path(f"{self.path}-wal"), WAL_BYTES)
        except OSError as error:
            # Without it commits only write more; the disk may be full and about to be relieved.
            logger.warning("the WAL could not be grown in advance: %s", error)


async def _begin_wal_anew(connection: aiosqlite.Connection) -> None:
    """Bring what the last run left in the WAL into the database, before anything is written.

    Going on behind it is not safe. After a cut the last block of a promised commit is shared with
    what follows; and after a failed sync what is found may be in the kernel's memory only.
    """
    for busy, _, _ in await connection.execute_fetchall("PRAGMA wal_checkpoint(RESTART)"):
        if busy:
            raise sqlite3.OperationalError("the WAL cannot be begun anew: the database is in use")


def _written_bytes() -> int:
    """Called by SQLite in the connection's thread: Linux counts what each thread has written."""
    try:
        text = Path("/proc/thread-self/io").read_text()
    except OSError:  # a kernel without the counters
        return 0
    return int(text.partition("wchar: ")[2].partition("\n")[0] or 0)


def _write_zeros(path: Path, size_bytes: int) -> None:
    """Lengthen a file by real blocks: reserved ones would be turned into such one by one."""
    with path.open("r+b", buffering=0) as file:
        at = file.seek(0, os.SEEK_END)
        while at < size_bytes:
            at += file.write(_ZEROS[: size_bytes - at])
        os.fsync(file.fileno())
