"""Commits what waits in groups, removes what may go, and goes on trying when the store fails.

While the store fails, the group that could not be committed is kept and its callers wait, so that
nothing is acknowledged to a board meanwhile. Every attempt writes the same rows under the same
numbers: an attempt that failed at its very end may have reached the disk after all.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, OutboxStatistics
from edge.outbox.contents import Contents, Group
from edge.outbox.database import PAGE_BYTES, Database
from edge.outbox.errors import StoreCorrupt, StoreError, StoreFull
from edge.outbox.retention import TRIM_FRAMES, Trim, plan_trim, undelivered
from protocol.lora.events import DropReason
from protocol.records.sensor_frame import FrameClass, FrameId

logger = logging.getLogger(__name__)

TICK_S = 1.0
"""How often acknowledgements without company are committed, ages are looked at, and the failing
store is tried again."""

_FULL_GROUP = 64  # frames for which waiting longer would gain little
_MAX_GROUP = 1024
_TRIMS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Append:
    """Frames of one caller, which go into one transaction."""

    admissions: Sequence[tuple[Admission, bytes]]
    arrived_s: float
    done: asyncio.Future[tuple[FrameId, ...]]

    @property
    def urgent(self) -> bool:
        """Whether an alarm is among them."""
        return any(a.content.frame_class is FrameClass.ALARM for a, _ in self.admissions)


class Writer:
    """Changes the store; only one task uses it. Times are seconds of the event loop's clock."""

    def __init__(
        self,
        database: Database,
        contents: Contents,
        clock: Clock,
        settings: OutboxSettings,
        metrics: Metrics,
    ) -> None:
        self.waiting: deque[Append] = deque()
        self._database = database
        self._contents = contents
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._group: Group | None = None
        self._callers: list[Append] = []
        self._fault: StoreError | None = None
        self._attempt_at_s = 0.0
        self._tick_at_s = 0.0
        self._file_pages = 0
        self._used_pages = 0
        self._expired_through = 0
        self._ages_s: dict[str, float] = {}
        self._instants: dict[int, tuple[int, int]] = {}
        metrics.outbox_limit_bytes.set(settings.max_bytes)

    @property
    def uncommitted(self) -> int:
        """Frames in memory only."""
        return sum(len(append.admissions) for append in (*self._callers, *self.waiting))

    @property
    def fault(self) -> StoreError | None:
        """Why the store cannot commit now."""
        return self._fault

    def due_in_s(self, now_s: float) -> float:
        """How long nothing needs to be done, unless something new arrives."""
        due_s = self._tick_at_s
        if self._fault is not None:
            due_s = max(due_s, self._attempt_at_s)
        elif self.waiting:
            due_s = min(due_s, self.waiting[0].arrived_s + self._settings.commit_linger_s)
        return max(0.0, due_s - now_s)

    async def work(self, now_s: float, *, at_once: bool) -> None:
        """Do what is due.

        Args:
            at_once: without lingering, because the outbox is being stopped.

        Raises:
            StoreCorrupt: the store is damaged.
        """
        if self._fault is not None and now_s < self._attempt_at_s and not at_once:
            return
        try:
            if self._fault is not None and not isinstance(self._fault, StoreFull):
                # What failed may be half done inside SQLite; a fresh connection begins from disk.
                await self._database.close()
                await self._database.open(create=False)
            await self._commit_and_trim(now_s, at_once)
        except StoreCorrupt:
            raise
        except StoreError as error:
            self._failed(error, now_s)
        else:
            self._works()

    def statistics(self) -> OutboxStatistics:
        """What there is, from memory."""
        contents = self._contents
        return OutboxStatistics(
            frames=contents.last_seq - contents.first_seq + 1,
            bytes=self._file_pages * PAGE_BYTES,
            uncommitted=self.uncommitted,
            pending={
                name: cursor.pending(contents.first_seq, contents.last_seq)
                for name, cursor in contents.cursors.items()
            },
            oldest_pending_age_s=dict(self._ages_s),
        )

    def publish(self) -> None:
        """Bring the gauges up to date."""
        statistics = self.statistics()
        self._metrics.outbox_stored_frames.set(statistics.frames)
        self._metrics.outbox_bytes.set(statistics.bytes)
        self._metrics.outbox_uncommitted_frames.set(statistics.uncommitted)
        for name, pending in statistics.pending.items():
            self._metrics.outbox_pending_frames.labels(name).set(pending)
            age_s = statistics.oldest_pending_age_s.get(name, 0.0)
            self._metrics.outbox_oldest_pending_age.labels(name).set(age_s)

    def refuse_all(self, error: StoreError) -> None:
        """Tell every caller that waits that nothing becomes of it."""
        for append in (*self._callers, *self.waiting):
            if not append.done.done():
                append.done.set_exception(error)
        self._callers.clear()
        self.waiting.clear()
        self._group = None

    async def _commit_and_trim(self, now_s: float, at_once: bool) -> None:
        contents = self._contents
        tick = at_once or now_s >= self._tick_at_s
        if tick:
            self._tick_at_s = now_s + TICK_S
            contents.boots.learn(self._clock.boottime_us(), self._clock.wall())
        if self._group is None and self._group_is_due(now_s, at_once):
            self._take_group()
        committing = self._group is not None or (tick and contents.unsaved())
        if committing:
            await self._commit()
        if tick:
            await self._look_at_ages()
        if tick or committing:
            await self._trim()

    def _group_is_due(self, now_s: float, at_once: bool) -> bool:
        if not self.waiting:
            return False
        return (
            at_once
            or now_s >= self.waiting[0].arrived_s + self._settings.commit_linger_s
            or sum(len(append.admissions) for append in self.waiting) >= _FULL_GROUP
            or any(append.urgent for append in self.waiting)
        )

    def _take_group(self) -> None:
        admissions: list[tuple[Admission, bytes]] = []
        while self.waiting and len(admissions) < _MAX_GROUP:
            append = self.waiting.popleft()
            self._callers.append(append)
            admissions += append.admissions
        self._group = Group(self._contents.last_seq + 1, admissions)

    async def _commit(self) -> None:
        group, started_us = self._group, self._clock.boottime_us()
        while True:
            try:
                await self._contents.save(self._database, group)
                break
            except StoreFull:
                if self._contents.first_seq > self._contents.last_seq:
                    raise
                await self._remove(self._oldest(DropReason.EVICTED_BYTES))
        self._metrics.outbox_commit_seconds.observe((self._clock.boottime_us() - started_us) / 1e6)
        if group is not None:
            self._committed(group)

    def _committed(self, group: Group) -> None:
        self._metrics.outbox_commit_frames.observe(len(group.admissions))
        seq = group.first_seq
        for append in self._callers:
            after = seq + len(append.admissions)
            if not append.done.done():  # a caller that was cancelled has no use for its numbers
                append.done.set_result(tuple(map(self._contents.frame_id, range(seq, after))))
            seq = after
        for admission, _ in group.admissions:
            self._metrics.frames_stored.labels(admission.content.frame_class.value).inc()
        self._group = None
        self._callers.clear()

    async def _trim(self) -> None:
        for _ in range(_TRIMS_AT_ONCE):
            self._file_pages, self._used_pages = await self._database.pages()
            trim = plan_trim(
                self._contents, self._settings, self._used_pages, self._expired_through
            )
            if trim is None:
                return
            await self._remove(trim)

    def _oldest(self, reason: DropReason) -> Trim:
        through_seq = self._contents.first_seq + TRIM_FRAMES - 1
        return Trim(min(through_seq, self._contents.last_seq), reason)

    async def _remove(self, trim: Trim) -> None:
        first = self._contents.first_seq
        lost = undelivered(self._contents, range(first, trim.through_seq + 1))
        await self._contents.remove_through(self._database, trim.through_seq)
        if trim.reason is not None and lost:
            self._metrics.frames_dropped.labels(trim.reason.value).inc(lost)
            logger.warning("dropped the oldest frames reason=%s frames=%d", trim.reason.value, lost)

    async def _look_at_ages(self) -> None:
        """Find out how old the oldest pending frames are, and which frames are over the age."""
        contents = self._contents
        now_us, wall = self._clock.boottime_us(), self._clock.wall()
        oldest = {
            name: cursor.oldest_pending(contents.first_seq, contents.last_seq)
            for name, cursor in contents.cursors.items()
        }
        await self._read_instants({contents.first_seq, *oldest.values()})
        ages_s = {
            seq: contents.boots.age_us(*instant, now_us, wall) / 1e6
            for seq, instant in self._instants.items()
        }
        self._ages_s = {name: ages_s.get(seq, 0.0) for name, seq in oldest.items()}
        self._expired_through = 0
        if ages_s.get(contents.first_seq, 0.0) > self._settings.max_age_s:
            rows = await self._database.read(
                "SELECT seq, boot, boottime_us FROM frame ORDER BY seq LIMIT ?", TRIM_FRAMES
            )
            for seq, boot, boottime_us in rows:
                age_us = contents.boots.age_us(boot, boottime_us, now_us, wall)
                if age_us / 1e6 <= self._settings.max_age_s:
                    break
                self._expired_through = seq

    async def _read_instants(self, seqs: set[int]) -> None:
        """Keep boot and time of just these frames; most are the same as a second ago."""
        known = {seq: instant for seq, instant in self._instants.items() if seq in seqs}
        for seq in seqs - known.keys() - {self._contents.last_seq + 1}:  # the one yet to come
            for boot, boottime_us in await self._database.read(
                "SELECT boot, boottime_us FROM frame WHERE seq = ?", seq
            ):
                known[seq] = boot, boottime_us
        self._instants = known

    def _failed(self, error: StoreError, now_s: float) -> None:
        if self._fault is None:
            logger.error("the store fails, frames wait: %s", error)
        self._fault = error
        self._attempt_at_s = now_s + TICK_S
        self._metrics.outbox_degraded.set(1)

    def _works(self) -> None:
        if self._fault is not None:
            logger.warning("the store works again")
        self._fault = None
        self._metrics.outbox_degraded.set(0)
