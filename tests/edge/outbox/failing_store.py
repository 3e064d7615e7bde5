"""A database whose writes fail for as long as a test wants: before the commit, or at its very end.

SQLite may report an error although the rows have reached the disk: the flush failed, the kernel
wrote them all the same. The connection has undone them, so nobody sees them, until the next opening
finds them in the WAL; a later commit of the same connection would have written over them.
"""

import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from enum import Enum

from edge.outbox.database import Database, Row
from edge.outbox.errors import StoreError


class Fault(Enum):
    """When a write fails."""

    BEFORE = "before"
    AFTER = "after"


class Failing:
    """Stands between the writer and one database.

    Attributes:
        fault: how writes fail; None lets them pass.
        passing: so many writes still pass before that.
        no_reopening: once closed, the database cannot be opened again.
    """

    def __init__(self, database: Database) -> None:
        self.fault: Fault | None = None
        self.passing = 0
        self.no_reopening = False
        self._database = database
        self._late: list[tuple[str, list[Row]]] = []
        self._open, self._probe = database.open, database._probe
        self._commit, self._transaction = database.commit, database.transaction
        self._write = database.write
        # The methods of this one object: the class, and so every other store, stay as they are.
        vars(database).update(
            open=self.open,
            _probe=self.probe,
            commit=self.commit,
            transaction=self.transaction,
            write=self.write,
        )

    async def open(self, *, create: bool = True) -> None:
        """See :meth:`Database.open`: here those rows come to light."""
        late = self._late  # opening writes, and that comes later
        try:
            await self._open(create=create)
        except StoreError:
            self._late = late
            raise
        async with self._transaction():
            for sql, rows in late:
                await self._write(sql, rows)
        self._late = []

    def probe(self, create: bool) -> None:
        """See :meth:`Database.open`: the file itself is looked at first."""
        if self.no_reopening and not self._database.is_open:
            raise StoreError("the store cannot be opened: Input/output error")
        self._probe(create)

    def leave(self) -> None:
        """The same for the next process, once the database is closed."""
        with closing(sqlite3.connect(self._database.path)) as connection, connection:
            for sql, rows in self._late:
                connection.executemany(sql, rows)
        self._late = []

    async def commit(self, sql: str, row: Row) -> None:
        """See :meth:`Database.commit`."""
        fault = self._next()
        if fault is Fault.AFTER:
            self._late = [(sql, [row])]
        if fault is not None:
            raise StoreError(f"a write failed {fault.value} its commit")
        await self._commit(sql, row)
        self._late = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """See :meth:`Database.transaction`."""
        fault, kept = self._next(), self._late
        if fault is Fault.BEFORE:
            raise StoreError("a write failed before its commit")
        self._late = []
        try:
            async with self._transaction():
                yield
                if fault is not None:
                    kept = self._late
                    raise StoreError("a write failed after its commit")
        finally:
            self._late = kept if fault is not None else []

    async def write(self, sql: str, rows: Iterable[Row]) -> None:
        """See :meth:`Database.write`."""
        rows = list(rows)
        self._late.append((sql, rows))
        await self._write(sql, rows)

    def _next(self) -> Fault | None:
        """What becomes of the next write."""
        if self.fault is None:
            return None
        if self.passing:
            self.passing -= 1
            return None
        return self.fault
