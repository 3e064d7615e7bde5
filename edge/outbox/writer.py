"""Commits what waits in groups, removes what may go, and goes on trying when the store fails.

While the store fails, what could not be committed is kept (:mod:`edge.outbox.ring`) and its callers
wait, so that nothing is acknowledged to a board meanwhile. Every attempt writes the same rows under
the same numbers: an attempt that failed at its very end may have reached the disk after all.
"""

import contextlib
import logging

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.background_check import Checker
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt, StoreError, StoreFull, error_kind
from edge.outbox.gauges import Gauges
from edge.outbox.group import Group
from edge.outbox.loading import begin_epoch
from edge.outbox.recovery import Salvage, begin_anew, put_aside
from edge.outbox.removal import Remover
from edge.outbox.ring import Ring
from edge.outbox.space import Space
from protocol.lora.events import DropReason
from protocol.records.sensor_frame import FrameClass

logger = logging.getLogger(__name__)

TICK_S = 1.0
"""How often the store looks after itself: sizes, ages, the clock."""

_READ_TOGETHER_US = 5_000
_LONGEST_RETRY_S = 30.0
_FAILURES_BEFORE_EXPOSED = 2
"""A fault that the next attempt gets over is no reason to begin an epoch."""

_FAILURES_BEFORE_EVICTION = 2


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
        self.ring = Ring(settings)
        self._database = database
        self._contents = contents
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._space = Space(database, settings, metrics)
        self.gauges = Gauges(contents, self.ring, self._space, clock, metrics)
        self._remover = Remover(database, contents, clock, settings, metrics)
        self.checker = Checker(database, contents, clock, settings, metrics)
        self._salvage: Salvage | None = None
        self._fault: StoreError | None = None
        self._failures = 0
        self._attempt_at_s = 0.0
        self._tick_at_s = 0.0
        self._saved_at_s = 0.0
        self._more_to_remove = False
        self._more_to_salvage = True
        self._stored = {c: metrics.frames_stored.labels(c.value) for c in FrameClass}

    @property
    def fault(self) -> StoreError | None:
        """Why the store cannot commit now."""
        return self._fault

    @property
    def last_seq(self) -> int:
        """Newest number that upstreams may be given."""
        exposed = (group.last_seq for group in self.ring.groups if group.exposed)
        return max(exposed, default=self._contents.last_seq)

    @property
    def is_salvaging(self) -> bool:
        """Whether frames are being brought over from a damaged store."""
        return self._more_to_salvage

    def due_in_s(self, now_s: float) -> float:
        """How long nothing needs to be done, unless something new arrives."""
        if self._fault is not None:
            return max(0.0, min(self._attempt_at_s, now_s + TICK_S) - now_s)
        if self._more_to_remove or self._more_to_salvage:
            return 0.0
        return max(0.0, min(self._tick_at_s, self.ring.due_s) - now_s)

    async def work(self, now_s: float, *, at_once: bool) -> None:
        """Do what is due.

        Args:
            at_once: without lingering, because the outbox is being stopped.

        Raises:
            StoreCorrupt: the store is damaged.
        """
        if self._fault is not None:
            self._expose()
            if now_s < self._attempt_at_s and not at_once:
                return
        try:
            if isinstance(self._fault, StoreFull):
                await self._fold_in()
            elif self._fault is not None:
                await self._reopen()
                await self._remover.finish()
            await self._commit_due(now_s, at_once)
            if at_once or now_s >= self._tick_at_s:
                await self._tick(now_s)
            if self._more_to_remove:
                self._more_to_remove = await self._remove_some()
            self._more_to_salvage = await self._salvage_some()
        except StoreCorrupt:
            raise
        except StoreError as error:
            self._failed(error, now_s)
        else:
            self._works()

    def reconsider(self) -> None:
        """Frames are put in below the oldest ones."""
        self._remover.forget()

    async def begin_anew(self, error: StoreCorrupt) -> None:
        """Set the damaged store aside, and go on with a fresh one.

        Raises:
            StoreError: that is not possible.
        """
        with contextlib.suppress(StoreError):  # what is damaged may fail once more
            await self._database.close()
        await self.close_salvage()
        aside = put_aside(self._database.path)
        self._metrics.outbox_recoveries.inc()
        logger.error("the store is damaged (%s), set aside as %s; a fresh one begins", error, aside)
        contents = self._contents
        await self._database.open()
        if not contents.exposed_frames:
            begin_epoch(contents, contents.epochs[-1].gateway, contents.last_seq + 1)
        await begin_anew(self._database, contents, aside, newest_seq=self.last_seq, is_certain=True)
        self._remover.begin_anew()
        self.checker.forget()
        self._space.begin_anew()
        self._tick_at_s = 0.0
        self._more_to_salvage = True

    async def close_salvage(self) -> None:
        """Close the damaged store if frames are being brought over from one."""
        salvage, self._salvage = self._salvage, None
        if salvage is not None:
            await salvage.close()

    async def close(self) -> None:
        """Leave a snapshot, so that the next start has nothing to catch up with.

        Raises:
            StoreError: it could not be written; the next start catches up.
        """
        if self._fault is None:
            await self._contents.snapshot(self._database, clean=not self.checker.is_owed)

    def acknowledged(self) -> None:
        """Something was acknowledged: perhaps all upstreams have what is only here."""
        if self._contents.exposed_frames:
            self.ring.settle(self._contents.cursors)

    def release(self) -> None:
        """Acknowledge to the boards what is only in memory: they are about to lose it anyway."""
        if self._fault is not None:
            # What callers are told has to stay true, so the frames get their final numbers now.
            self._failures = max(self._failures, _FAILURES_BEFORE_EXPOSED)
            self._expose()
            self._metrics.outbox_acknowledged_uncommitted.inc(self.ring.release())

    def make_room_in_memory(self) -> None:
        """While the ring is full of what boards were told is taken, the least important goes."""
        while self.ring.is_full and (evicted := self.ring.evict()):
            group, pack = evicted
            lost = self._contents.undelivered(pack.seq, pack.last_seq)
            if group.exposed:
                self._contents.exposed_frames -= len(pack.bodies)
                for cursor in self._contents.cursors.values():
                    cursor.removed(pack.seq, pack.last_seq)
            for cursor in self._contents.cursors.values():
                cursor.pass_over(pack.seq, pack.last_seq)
            self._metrics.frames_dropped.labels(DropReason.EVICTED_BYTES.value).inc(lost)

    def refuse_all(self, error: StoreError) -> None:
        """Tell every caller that waits that nothing becomes of it."""
        self.ring.refuse_all(error)

    async def _commit_due(self, now_s: float, at_once: bool) -> None:
        if not self.ring.groups and (at_once or self.ring.is_due(now_s)):
            self.ring.take(self._contents.last_seq + 1)
        while self.ring.groups:
            await self._commit(self.ring.groups[0])
            self._committed(self.ring.groups.popleft())
            self._saved_at_s = now_s

    async def _commit(self, group: Group) -> None:
        started_us = self._clock.boottime_us()
        while True:
            self.ring.in_transaction = group
            try:
                await self._contents.save(self._database, group, started_us)
                break
            except StoreFull:
                if not await self._make_room():
                    raise
            finally:
                self.ring.in_transaction = None
        elapsed_us = self._clock.boottime_us() - started_us
        self._metrics.outbox_commit_seconds.observe(elapsed_us / 1e6)

    def _committed(self, group: Group) -> None:
        group.tell()
        self._metrics.outbox_commit_frames.observe(group.frames)
        for pack in group.packs:
            self._stored[pack.frame_class].inc(len(pack.bodies))

    async def _make_room(self) -> bool:
        """Make room where there is none: the ballast first, it is there for that.

        Frames go only if the store has to be full by what is known of it, or says so again and
        again: a disk may be full for a moment.
        """
        await self._space.look()
        full = self._space.is_full
        if not self._space.is_over_budget and await self._space.relieve(self._tick_at_s):
            # What the WAL holds gets its place in the database before others take the room.
            await self._database.checkpoint()
            await self._space.look()
            return True
        if not full and self._failures < _FAILURES_BEFORE_EVICTION:
            return False
        return await self._remover.remove_some(full=True)

    async def _fold_in(self) -> None:
        """What the WAL holds goes into the database as soon as there is room for that.

        It is the disk that has none for it, so the ballast goes, whatever the budget says.
        """
        try:
            await self._database.checkpoint()
        except StoreFull:
            if not await self._space.relieve(self._tick_at_s):
                raise
            await self._database.checkpoint()
        await self._space.look()

    async def _tick(self, now_s: float) -> None:
        contents = self._contents
        self._tick_at_s = now_s + TICK_S
        self._learn_time()
        unsaved = contents.cursors_changed() or bool(contents.boots.unsaved())
        if contents.snapshot_is_due():
            await contents.snapshot(self._database)
        elif unsaved and now_s - self._saved_at_s >= self._settings.acknowledge_linger_s:
            await contents.save_cursors(self._database)
            self._saved_at_s = now_s
        await self._space.look()
        await self._space.look_at_journal(now_s)
        await self._space.load_ballast(now_s)
        await self.gauges.look_at_ages(self._database)
        await self._remover.look_at_ages()
        await self._remover.release_laggards()
        if not self._more_to_salvage:  # what is brought over may be older than all there is
            await self._remover.remove_boots()
        await self.checker.turn()
        self._more_to_remove = True
        self.gauges.publish()

    def _learn_time(self) -> None:
        before_us, wall = self._clock.boottime_us(), self._clock.wall()
        if self._clock.boottime_us() - before_us > _READ_TOGETHER_US:
            return  # interrupted between the two clocks; the next second will do
        learned = self._contents.boots.learn(before_us, wall)
        if learned.step_us:
            self._metrics.clock_steps.inc()
            logger.warning("the wall clock was set step=%.3f s", learned.step_us / 1e6)

    async def _remove_some(self) -> bool:
        await self._space.look_at_usage()
        return await self._remover.remove_some(full=self._space.is_full)

    async def _salvage_some(self) -> bool:
        if not self._more_to_salvage:
            return False
        if self._salvage is None:
            self._salvage = Salvage(self._database, self._contents, self._metrics)
            await self._salvage.begin()
        self._remover.forget()
        return await self._salvage.bring_some()

    async def _reopen(self) -> None:
        """What failed may be half done inside SQLite; a fresh connection begins from the disk.

        The old one is kept while the disk is read-only: it can still read.
        """
        await self._database.check_writable()
        await self._database.close()
        await self._database.open(create=False)
        await self._space.reopened()

    def _expose(self) -> None:
        """Give numbers to what the store does not take, and let upstreams have it."""
        contents = self._contents
        if self._failures < _FAILURES_BEFORE_EXPOSED:
            return
        if not any(group.exposed for group in self.ring.groups):
            begin_epoch(contents, contents.epochs[-1].gateway, contents.last_seq + 1)
        while self.ring.take(self._next_seq()):
            pass
        for group in self.ring.groups:
            if not group.exposed:
                group.exposed = True
                contents.exposed_through = group.last_seq
                contents.exposed_frames += group.frames
                for cursor in contents.cursors.values():
                    cursor.appended(group.frames)
        self.make_room_in_memory()

    def _next_seq(self) -> int:
        groups = self.ring.groups
        return groups[-1].last_seq + 1 if groups else self._contents.last_seq + 1

    def _failed(self, error: StoreError, now_s: float) -> None:
        if self._fault is None:
            logger.error("the store fails, frames wait: %s", error)
        self._fault = error
        self._attempt_at_s = now_s + min(TICK_S * 2**self._failures, _LONGEST_RETRY_S)
        self._failures += 1
        self._metrics.outbox_errors.labels(error_kind(error)).inc()
        self._metrics.outbox_degraded.set(1)
        self.gauges.publish()

    def _works(self) -> None:
        if self._fault is not None:
            logger.warning("the store works again")
            self._metrics.outbox_degraded.set(0)
        self._fault = None
        self._failures = 0
