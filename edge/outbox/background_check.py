"""The daily check of the store in the service, so small a portion a second that nobody notices.

It begins right after a stop that was not clean, and else when 24 h of uptime have passed since the
last one. Whether frames decode is not looked at: that would keep the processor busy, and what has
the right checksum is what was written. A damaged pack makes the writer set the store aside. Frames
that are missing are counted once, and are known from then on.
"""

import json
import logging
import math

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.checking import Fault, Finding, Walk
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt
from edge.outbox.ranges import SeqRanges
from edge.outbox.verification import small_table_faults
from protocol.lora.events import DropReason

logger = logging.getLogger(__name__)

TURN_PACKS = 64
TURN_BYTES = 256_000

_CHECKED = "REPLACE INTO meta VALUES ('checked', ?)"


class Checker:
    """Has a turn of the writer's task once a second."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        clock: Clock,
        settings: OutboxSettings,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._contents = contents
        self._clock = clock
        self._interval_s = settings.check_interval_s
        self._metrics = metrics
        self._walk: Walk | None = None
        self._is_owed = not contents.clean
        self._is_whole = True
        self._due_us: int | None = None

    @property
    def is_owed(self) -> bool:
        """Whether a check that an unclean stop made necessary is not finished yet."""
        return self._is_owed

    def forget(self) -> None:
        """Another database has taken the place of the one that was being checked."""
        self._walk = None
        self._due_us = None
        self._is_owed = False

    def begin_at(self, seq: int) -> None:
        """Begin now, with a pack that somebody has found to be damaged."""
        if not math.isinf(self._interval_s):
            self._walk = Walk(self._database, self._contents, position=seq)
            self._is_whole = seq == 1

    async def turn(self) -> None:
        """Look at the next portion, if it is time to.

        Raises:
            StoreCorrupt: the store is damaged.
            StoreError: it cannot be read, or what was found cannot be written.
        """
        if self._walk is None:
            if not await self._is_due():
                return
            if faults := await small_table_faults(self._database):
                raise StoreCorrupt(f"{self._database.path}: {'; '.join(faults)}")
            self._walk = Walk(self._database, self._contents)
            self._is_whole = True
        portion = await self._walk.turn(TURN_PACKS, TURN_BYTES)
        self._metrics.outbox_checked_packs.inc(len(portion.packs))
        for finding in portion.findings:
            await self._act_on(finding)
        if portion.is_last:
            await self._finish()

    async def _is_due(self) -> bool:
        if math.isinf(self._interval_s):  # a tool that only looks
            return False
        if self._is_owed:
            return True
        now_us = self._clock.boottime_us()
        if self._due_us is None:
            self._due_us = now_us + round(self._interval_s * 1e6) - await self._age_us(now_us)
        return now_us >= self._due_us

    async def _age_us(self, now_us: int) -> int:
        """How long ago the last check was, in uptime; 0 in a store that has never been checked."""
        rows = await self._database.read("SELECT v FROM meta WHERE k = 'checked'")
        try:
            checked = json.loads(rows[0][0])
            return self._contents.boots.age_us(checked["boot"], checked["boottime_us"], now_us)
        except (IndexError, KeyError, ValueError, TypeError):
            await self._note(now_us)
            return 0

    async def _note(self, now_us: int) -> None:
        text = json.dumps({"boot": self._contents.boots.current, "boottime_us": now_us})
        await self._database.commit(_CHECKED, (text,))

    async def _act_on(self, finding: Finding) -> None:
        match finding.fault:
            case Fault.DAMAGED:
                raise StoreCorrupt(f"{self._database.path}: {finding.text}")
            case Fault.HOLE:
                await self._note_hole(finding.first, finding.last)
            case _:
                logger.error("the check of the store has found: %s", finding.text)

    async def _note_hole(self, first: int, last: int) -> None:
        """Count frames that are gone, and note them, so that they are counted once."""
        lost = self._undelivered(first, last)
        async with self._database.transaction():
            await self._database.write(
                "REPLACE INTO hole VALUES (?, ?, ?)", [(first, last, DropReason.CORRUPT.value)]
            )
        for cursor in self._contents.cursors.values():
            cursor.removed(first, last)
        self._metrics.frames_dropped.labels(DropReason.CORRUPT.value).inc(lost)
        logger.error(
            "frames %d to %d are missing in the store, and nothing explains it; %d of them were"
            " not acknowledged by every upstream",
            first,
            last,
            lost,
        )

    def _undelivered(self, first: int, last: int) -> int:
        """Count numbers that some upstream has not acknowledged; without upstreams all of them."""
        cursors = self._contents.cursors.values()
        if not cursors:
            return last - first + 1
        missing = SeqRanges()
        for cursor in cursors:
            for gap in cursor.has.gaps(first, last):
                missing.add(*gap)
        return sum(end - begin + 1 for begin, end in missing)

    async def _finish(self) -> None:
        self._walk = None
        if not self._is_whole:
            return
        now_us, wall = self._clock.boottime_us(), self._clock.wall()
        await self._note(now_us)
        self._is_owed = False
        self._due_us = now_us + round(self._interval_s * 1e6)
        if wall is not None:
            self._metrics.outbox_last_check_timestamp.set(wall.unix_us / 1e6)
        logger.info("the store was checked")
