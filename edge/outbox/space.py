"""How much room the store has, on its disk and in its budget, and how it makes some."""

import asyncio
import logging
from collections.abc import Callable
from typing import TypeVar

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.database import PAGE_BYTES, WAL_BYTES, Database, Usage
from edge.outbox.disk import Disk
from edge.outbox.journal import Journal
from edge.outbox.retention import is_full, page_limit

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_BALLAST_EVERY_S = 60.0


class Space:
    """Looks after sizes; used by the writer's task only. Times are seconds of the loop's clock."""

    def __init__(self, database: Database, settings: OutboxSettings, metrics: Metrics) -> None:
        self._database = database
        self._settings = settings
        self._metrics = metrics
        self._disk = Disk(database.path)
        self._journal: Journal | None = None
        self._usage = Usage(0, 0, 0)
        self._page_limit = settings.max_bytes // PAGE_BYTES
        self._ballast_at_s = 0.0
        metrics.outbox_limit_bytes.set(settings.max_bytes)

    @property
    def file_bytes(self) -> int:
        """Size of the database file when it was last looked at."""
        return self._usage.file_pages * PAGE_BYTES

    @property
    def is_full(self) -> bool:
        """Whether the next groups might find no room, as far as is known."""
        return is_full(self._usage.used_pages, self._page_limit)

    @property
    def is_over_budget(self) -> bool:
        """Whether it is the configured size that leaves no room, whatever the disk does."""
        return is_full(self._usage.used_pages, self._settings.max_bytes // PAGE_BYTES)

    async def look(self) -> None:
        """Look at sizes, and decide how large the file may become.

        Raises:
            StoreError: the store does not answer.
        """
        await self.look_at_usage()
        room = await self._ask(self._disk.room)
        if room is None:
            return
        if room.wal_bytes > 2 * WAL_BYTES:
            # SQLite says nothing when a checkpoint of its own fails, and the WAL grows and grows.
            await self._database.checkpoint()
        limit = page_limit(self._settings, self._usage.file_pages, room)
        if limit != self._page_limit:
            self._page_limit = limit
            await self._database.limit_pages(limit)

    async def look_at_usage(self) -> None:
        """Look at the database alone, and count what was written.

        Raises:
            StoreError: it does not answer.
        """
        usage = await self._database.usage()
        written = max(0, usage.written_bytes - self._usage.written_bytes)
        self._metrics.outbox_device_bytes.inc(written)
        if self._journal is not None:
            self._journal.note(written)
        self._usage = usage

    async def look_at_journal(self, now_s: float) -> None:
        """Count what the file system has written for the store by itself."""
        if self._journal is None:
            self._journal = await self._ask(self._disk.journal)
        if self._journal is not None:
            self._metrics.outbox_device_bytes.inc(self._journal.bytes_until(now_s))

    async def load_ballast(self, now_s: float) -> None:
        """Set the ballast aside again if there is room for it; not all the time."""
        if now_s >= self._ballast_at_s:
            self._ballast_at_s = now_s + _BALLAST_EVERY_S
            await self._ask(self._disk.load_ballast)

    async def relieve(self, now_s: float) -> bool:
        """Throw the ballast off; False if there is none."""
        if not await self._ask(self._disk.relieve):
            return False
        logger.warning("the disk is full: the ballast was thrown off")
        self._ballast_at_s = now_s + _BALLAST_EVERY_S
        return True

    async def reopened(self) -> None:
        """There is a new connection: it has to be told the limit, and counts from 0.

        Raises:
            StoreError: it does not answer.
        """
        await self._database.limit_pages(self._page_limit)
        self._usage = Usage(self._usage.file_pages, self._usage.used_pages, 0)

    def begin_anew(self) -> None:
        """Another database has taken the place of the one that was looked at."""
        self._usage = Usage(0, 0, 0)

    async def _ask(self, ask: Callable[[], _T]) -> _T | None:
        """Ask the file system, on a thread: on a failing card it may take long.

        None if it does not answer: whether the store works, only a commit tells.
        """
        try:
            return await asyncio.to_thread(ask)
        except OSError as error:
            logger.warning("the disk of the store does not answer: %s", error)
            return None
