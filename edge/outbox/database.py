"""The one SQLite connection of the store: how it is opened, transactions, sizes.

Settings and their reasons: WAL with ``synchronous=FULL``, because NORMAL loses acknowledged rows at
a power cut. ``psow=0``, because otherwise a commit shares its last disk block with the next one,
and a card that garbles the block it is writing takes acknowledged rows along. A WAL that is grown
once and kept, because a growing file triples the bytes that reach the card. One exclusive
connection, because no second one can then meet it in a half-done checkpoint.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite

from edge.outbox.errors import StoreCorrupt, StoreError, store_errors
from edge.outbox.schema import migrate

logger = logging.getLogger(__name__)

PAGE_BYTES = 4096
CHECKPOINT_PAGES = 250
_WAL_PAGES = CHECKPOINT_PAGES + 128  # room for the group that sets the checkpoint off

Row = Sequence[Any]

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
            StoreError: one of :mod:`edge.outbox.errors`; nothing is left open.
        """
        await asyncio.to_thread(self._probe, create)
        uri = f"file:{quote(str(self.path))}?mode=rw&psow=0"
        with store_errors(self.path):
            connection = await aiosqlite.connect(uri, uri=True, isolation_level=None, timeout=2.0)
            try:
                for pragma in (*_PRAGMAS, f"max_page_count={self._max_bytes // PAGE_BYTES}"):
                    await connection.execute_fetchall(f"PRAGMA {pragma}")
                await migrate(connection)
                self._open_connection = connection
                await self._grow_wal()
            except BaseException:
                # A connection that is left open keeps the process from ending.
                self._open_connection = None
                await connection.close()
                raise

    async def close(self) -> None:
        """Close, if it is open; an open transaction is undone."""
        connection, self._open_connection = self._open_connection, None
        if connection is not None:
            with store_errors(self.path):
                await connection.close()

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

    async def read(self, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
        """Run a query.

        Raises:
            StoreError: it failed.
        """
        with store_errors(self.path):
            return [tuple(row) for row in await self._connection.execute_fetchall(sql, parameters)]

    async def pages(self) -> tuple[int, int]:
        """How many pages the file has, and how many of them are in use.

        Raises:
            StoreError: it failed.
        """
        [(count, free)] = await self.read(
            "SELECT page_count, freelist_count FROM pragma_page_count, pragma_freelist_count"
        )
        return count, count - free

    def _probe(self, create: bool) -> None:
        """Fail early, and in the system's words: SQLite only says that it could not.

        Besides, a connection that fails at its very beginning leaves its thread to itself.
        """
        try:
            with self.path.open("ab" if create else "r+b"):
                pass
        except OSError as error:
            raise StoreError(f"the store cannot be opened: {error}") from error

    async def _grow_wal(self) -> None:
        """Write the WAL once to the size it will have; the next writer begins it anew."""
        try:
            async with self.transaction():
                await self._connection.execute("CREATE TABLE IF NOT EXISTS growth(b)")
                await self._connection.execute(
                    "INSERT INTO growth VALUES (zeroblob(?))", (_WAL_PAGES * PAGE_BYTES,)
                )
            async with self.transaction():
                await self._connection.execute("DROP TABLE growth")
            await self._connection.execute_fetchall("PRAGMA wal_checkpoint(RESTART)")
        except StoreCorrupt:
            raise
        except StoreError as error:
            # Without it commits only write more; the disk may be full and about to be relieved.
            logger.warning("the WAL could not be grown in advance: %s", error)
