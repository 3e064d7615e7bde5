"""Takes packs out of the store: what everybody has, what is over a bound, what holds others up."""

import logging
from dataclasses import dataclass, field

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.dead_letters import boots_of_dead_letters
from edge.outbox.pack import PackHead
from edge.outbox.packs import heads, oldest_packs
from edge.outbox.retention import EVICTED_PACKS, Removal, removals
from edge.outbox.totals import StoredPack
from protocol.records.sensor_frame import SEQ_MAX, FrameClass

logger = logging.getLogger(__name__)

_PASSED_OVER_PACKS = 256


@dataclass(slots=True)
class Remover:
    """Removes small portions; used by the writer's task only."""

    database: Database
    contents: Contents
    clock: Clock
    settings: OutboxSettings
    metrics: Metrics
    _oldest: dict[FrameClass, PackHead] = field(default_factory=dict)
    _expired: dict[FrameClass, int] = field(default_factory=dict)
    _behind: set[str] = field(default_factory=set)
    _unfinished: tuple[Removal, list[StoredPack]] | None = None

    def forget(self) -> None:
        """Frames were put in below what was known to be the oldest."""
        self._oldest.clear()

    def begin_anew(self) -> None:
        """Another database has taken the place of the one that was damaged."""
        self._unfinished = None
        self.forget()

    async def finish(self) -> None:
        """Find out whether a removal that failed has reached the disk all the same.

        To be called before anything else is written, or counts of before would be.

        Raises:
            StoreError: the store cannot be read.
        """
        if self._unfinished is None:
            return
        removal, packs = self._unfinished
        if not await oldest_packs(self.database, removal.frame_class, 1, packs[0].head.seq):
            self._removed(removal, self._lost(packs))
            self.contents.removed(removal.frame_class, packs)
        self._unfinished = None

    async def remove_some(self, *, full: bool) -> bool:
        """Remove one portion; False if there is nothing that may go.

        Raises:
            StoreError: it could not be removed.
        """
        await self._find_oldest()
        oldest = {frame_class: head.seq for frame_class, head in self._oldest.items()}
        for removal in removals(
            self.contents, self.settings, oldest=oldest, full=full, expired=self._expired
        ):
            packs = await self._portion(removal)
            if packs:
                await self._remove(removal, packs)
                return True
        return False

    async def look_at_ages(self) -> None:
        """Find out which frames are over the age.

        Raises:
            StoreError: the store cannot be read.
        """
        await self._find_oldest()
        self._expired = {}
        for frame_class, head in self._oldest.items():
            if self._is_expired(frame_class, head):
                packs = await oldest_packs(self.database, frame_class, EVICTED_PACKS, SEQ_MAX)
                over = [p.head for p in packs if self._is_expired(frame_class, p.head)]
                self._expired[frame_class] = max((head.last_seq for head in over), default=0)

    async def release_laggards(self) -> None:
        """Pass over the oldest frames of upstreams that are too far behind.

        Raises:
            StoreError: the store cannot be read.
        """
        for name, limits in (self.settings.upstreams or {}).items():
            cursor = self.contents.cursors[name]
            if limits.max_pending is None or cursor.pending - cursor.held <= limits.max_pending:
                self._behind.discard(name)
                continue
            released = 0
            first = cursor.sent_through(self.contents.last_seq) + 1
            for head in await heads(self.database, first, SEQ_MAX, _PASSED_OVER_PACKS):
                if cursor.pending - cursor.held <= limits.max_pending:
                    break
                released += cursor.acknowledge(max(first, head.seq), head.last_seq)
            self.metrics.outbox_released_frames.labels(name).inc(released)
            if name not in self._behind:
                self._behind.add(name)
                logger.error(
                    "upstream %s is more than %d frames behind: its oldest are no longer kept",
                    name,
                    limits.max_pending,
                )

    async def remove_boots(self) -> None:
        """Remove boots that nothing refers to, if there are too many.

        Raises:
            StoreError: they could not be removed.
        """
        boots = self.contents.boots
        if not boots.are_too_many:
            return
        await self._find_oldest()
        first = min((head.boot for head in self._oldest.values()), default=boots.current)
        if not boots.removable(first, ()):
            return  # frames that were set aside need not be read for that
        numbers = boots.removable(first, await boots_of_dead_letters(self.database))
        if not numbers:
            return
        async with self.database.transaction():
            for sql in ("DELETE FROM anchor WHERE boot = ?", "DELETE FROM boot WHERE id = ?"):
                await self.database.write(sql, [(number,) for number in numbers])
        boots.removed(numbers)

    def _is_expired(self, frame_class: FrameClass, head: PackHead) -> bool:
        now_us = self.clock.boottime_us()
        age_us = self.contents.boots.age_us(head.boot, head.boottime_us, now_us)
        bound_s = min(self.settings.max_age_s, self.settings.limits(frame_class).max_age_s)
        return age_us / 1e6 > bound_s

    async def _find_oldest(self) -> None:
        for frame_class, totals in self.contents.totals.items():
            if not totals.frames:
                self._oldest.pop(frame_class, None)
            elif frame_class not in self._oldest:
                packs = await oldest_packs(self.database, frame_class, 1, SEQ_MAX)
                self._oldest.update((frame_class, pack.head) for pack in packs)

    async def _portion(self, removal: Removal) -> list[StoredPack]:
        portion: list[StoredPack] = []
        size_bytes = 0
        for pack in await oldest_packs(
            self.database, removal.frame_class, removal.packs, removal.through_seq
        ):
            size_bytes += pack.size_bytes
            if pack.head.last_seq > removal.through_seq or (
                portion and size_bytes > removal.size_bytes
            ):
                break
            portion.append(pack)
        return portion

    async def _remove(self, removal: Removal, packs: list[StoredPack]) -> None:
        lost = self._lost(packs)
        self._unfinished = removal, packs
        await self.contents.remove(self.database, removal.frame_class, packs)
        self._unfinished = None
        self._removed(removal, lost)

    def _lost(self, packs: list[StoredPack]) -> int:
        return sum(self.contents.undelivered(p.head.seq, p.head.last_seq) for p in packs)

    def _removed(self, removal: Removal, lost: int) -> None:
        self._oldest.pop(removal.frame_class, None)
        self._expired.pop(removal.frame_class, None)
        if removal.reason is not None and lost:
            self.metrics.frames_dropped.labels(removal.reason.value).inc(lost)
            logger.warning(
                "dropped the oldest frames reason=%s class=%s frames=%d",
                removal.reason.value,
                removal.frame_class,
                lost,
            )
