"""The outbox: every frame is here from its commit until all upstreams have acknowledged it.

One task, :meth:`Outbox.run`, owns the database; all others hand it what they want and wait. So no
caller that is cancelled can leave a transaction open, and frames of many callers share a commit.
"""

import asyncio
import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox import dead_letters
from edge.outbox.admission import Admission, OutboxSettings, OutboxStatistics
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.dead_letters import DeadLetter
from edge.outbox.errands import Errands
from edge.outbox.errors import StoreClosed, StoreCorrupt, StoreError
from edge.outbox.group import Seqs
from edge.outbox.opening import open_store
from edge.outbox.ranges import runs
from edge.outbox.reader import Bodies, Reader
from edge.outbox.writer import Writer
from protocol.lora.events import DropReason
from protocol.records.sensor_frame import FrameClass, FrameId, SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import decode_content

logger = logging.getLogger(__name__)

_READ_FRAMES = 256  # in one go: meanwhile nothing is committed
_T = TypeVar("_T")


def _ignore() -> None:
    """For callers that do not watch whether the writer lives."""


class Outbox:
    """Made by :func:`open_outbox`. Everything but :meth:`mark` and :meth:`statistics` needs
    :meth:`run` to be running; after :meth:`stop` all of it raises :class:`StoreClosed`.
    """

    def __init__(
        self,
        database: Database,
        contents: Contents,
        *,
        clock: Clock,
        settings: OutboxSettings,
        metrics: Metrics,
    ) -> None:
        self._database = database
        self._contents = contents
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._writer = Writer(database, contents, clock, settings, metrics)
        self._reader = Reader(database, contents, self._writer)
        self._errands = Errands()
        self._do = self._errands.do
        self._until = self._errands.until
        self._loop = asyncio.get_running_loop()
        # Found once: this is done for every frame.
        self._put = self._writer.ring.put
        self._new_future: Callable[[], asyncio.Future[Seqs]]
        self._new_future = partial(asyncio.Future, loop=self._loop)
        self._now_s = self._loop.time

    @property
    def epoch(self) -> bytes:
        """8 random bytes that new frames carry in their identity."""
        return self._contents.epochs[-1].epoch

    @property
    def fault(self) -> StoreError | None:
        """Why nothing can be committed at present, or None."""
        return self._writer.fault

    def mark(self, key: str) -> bytes | None:
        """Look up a committed mark."""
        return self._contents.marks.get(key)

    async def append(self, *admissions: Admission) -> tuple[FrameId, ...]:
        """Store frames, all in one transaction; returns when they are safe.

        Safe is committed; while the store fails, also: in the hands of every upstream.
        A caller that is cancelled while it waits does not know: they may be stored.

        Raises:
            StoreClosed: the outbox was stopped; they are not stored, or that is not known.
        """
        if not admissions:
            return ()
        if self._writer.ring.is_full:
            await self.room_in_memory()
        frame_id = self._contents.frame_id
        return tuple([frame_id(seq) for seq in await self.offer(admissions)])

    def offer(self, admissions: Sequence[Admission]) -> asyncio.Future[Seqs]:
        """Hand frames over without waiting for their commit; see also :meth:`room_in_memory`.

        Returns:
            What becomes the frames' numbers when they are safe.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        errands = self._errands
        if errands.stopping:
            errands.check_open()
        done = self._new_future()
        self._put((admissions, done), self._now_s)
        if not errands.wanted:
            errands.wake()
        return done

    async def room_in_memory(self) -> None:
        """Wait while there are as many uncommitted frames as the memory may hold.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        ring = self._writer.ring
        if ring.is_full:
            self._writer.make_room_in_memory()
            await self._until(lambda: not ring.is_full)

    def release_uncommitted(self) -> None:
        """A board runs out of room while the store fails: acknowledge what is only in memory."""
        self._writer.release()

    def connected(self, upstream: str, *, live_first: bool = True) -> None:
        """The upstream is there again: frames from now on are live and go before the backlog.

        Args:
            live_first: False = there is no such difference, everything goes oldest first.
        """
        cursor = self._contents.cursors[upstream]
        cursor.connected(self._writer.last_seq + 1, live_first=live_first)

    async def pending(
        self, upstream: str, *, limit: int, frame_class: FrameClass | None = None
    ) -> list[SensorFrame]:
        """Read what the upstream gets next, of one lane, oldest first; none if it has everything.

        Frames stay pending until they are acknowledged.

        Args:
            frame_class: only frames of this class, oldest first.

        Raises:
            StoreError: the store cannot be read now.
        """
        bodies = await self.pending_bodies(upstream, limit=limit, frame_class=frame_class)
        frames = self._decode(bodies)
        for seq in {seq for seq, _ in bodies} - frames.keys():
            # Nothing behind it would be sent if it were waited for.
            self._metrics.frames_dropped.labels(DropReason.CORRUPT.value).inc()
            for cursor in self._contents.cursors.values():
                cursor.acknowledge(seq, seq)
        return list(frames.values())

    async def pending_bodies(
        self, upstream: str, *, limit: int, frame_class: FrameClass | None = None
    ) -> Bodies:
        """As :meth:`pending`, as they are stored."""
        if frame_class is not None:
            return await self._do(lambda: self._reader.pending_of(upstream, frame_class, limit))
        return await self._do(lambda: self._reader.pending(upstream, limit))

    async def acknowledge(self, upstream: str, frame_ids: Iterable[FrameId]) -> None:
        """The upstream has these. Committed with the next frames or within about a second.

        If the power goes before that, they are sent again.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        await self.acknowledge_seqs(upstream, self._own(frame_ids))

    async def acknowledge_seqs(self, upstream: str, seqs: Iterable[int]) -> None:
        """As :meth:`acknowledge`, of frames known by number."""
        self._errands.check_open()
        cursor = self._contents.cursors[upstream]
        for first, last in runs(seqs):
            cursor.acknowledge(first, last)
        self._writer.acknowledged()

    def hold(self, upstream: str, frame_ids: Iterable[FrameId]) -> None:
        """The upstream has these, but may lose them: do not send them again for now, but keep them.

        To the disk they are pending: after a restart they are sent again.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        self._errands.check_open()
        cursor, now_us = self._contents.cursors[upstream], self._clock.boottime_us()
        for first, last in runs(self._own(frame_ids)):
            cursor.hold(first, last, now_us)

    def settle_held(self, upstream: str, before_us: int) -> None:
        """What was held by then is acknowledged for good."""
        if self._contents.cursors[upstream].settle(before_us):
            self._writer.acknowledged()

    def forget_held(self, upstream: str) -> int:
        """The upstream has lost what was held: it is sent again; returns how many frames."""
        return self._contents.cursors[upstream].forget_held()

    async def bury(self, upstream: str, reasons: Mapping[FrameId, str]) -> None:
        """The upstream will never take these: set them aside, with the reason, for a person.

        Raises:
            StoreError: that could not be written; they stay pending.
        """
        by_seq = {frame_id.seq: reason for frame_id, reason in reasons.items()}
        by_seq = {seq: by_seq[seq] for seq in self._own(reasons)}
        gone = await self._do(
            lambda: dead_letters.bury(
                self._database,
                self._contents,
                upstream,
                by_seq,
                now_us=self._clock.boottime_us(),
                max_dead_letters=self._settings.max_dead_letters,
            )
        )
        self._metrics.frames_dropped.labels(DropReason.DEAD_LETTER.value).inc(gone)

    async def dead_letters(self, *, after: int = 0, limit: int = 100) -> list[DeadLetter]:
        """Read what was set aside, oldest first.

        Raises:
            StoreError: the store cannot be read now.
        """
        return await self._do(lambda: dead_letters.dead_letters(self._database, after, limit))

    async def requeue(self, letter: DeadLetter) -> bool:
        """Send what was set aside to its upstream again; False if there is no such upstream.

        Raises:
            StoreError: that could not be written.
        """

        async def work() -> bool:
            self._writer.reconsider()
            return await dead_letters.requeue(self._database, self._contents, letter)

        return await self._do(work)

    async def discard(self, letter: DeadLetter) -> bool:
        """Throw away what was set aside, counted as dropped; False if it is no longer there.

        Raises:
            StoreError: that could not be written.
        """
        gone = await self._do(lambda: dead_letters.discard(self._database, self._contents, letter))
        if gone:
            self._metrics.frames_dropped.labels(DropReason.DEAD_LETTER.value).inc()
        return gone

    async def with_store(self, work: Callable[[Database, Contents], Awaitable[_T]]) -> _T:
        """Have something short done with the store itself, for the tools: nothing is committed
        meanwhile.

        Raises:
            StoreError: as ``work`` does.
        """
        return await self._do(lambda: work(self._database, self._contents))

    def check_at(self, seq: int) -> None:
        """Have the background check look at once at a pack that somebody has found damaged."""
        self._writer.checker.begin_at(seq)

    @property
    def is_salvaging(self) -> bool:
        """Whether frames are being brought over from a store that was set aside."""
        return self._writer.is_salvaging

    @property
    def newest_seq(self) -> int:
        """Number of the newest frame that is committed."""
        return self._contents.last_seq

    def look_again(self) -> None:
        """Wake all who wait for something: it may have become true outside of the store."""
        self._errands.announce()

    async def wait_pending(
        self, upstream: str, *, or_when: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until there is something that the upstream has not acknowledged, or something else.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        await self._until(lambda: self.is_pending(upstream) or or_when())

    def is_pending(self, upstream: str) -> bool:
        """Whether there is something that the upstream has not acknowledged."""
        last = self._writer.last_seq
        return self._contents.cursors[upstream].sent_through(last) < last

    async def frames(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        limit: int = 500,
        newest_first: bool = False,
        device: str | None = None,
    ) -> list[SensorFrame]:
        """Read frames for people to look at, acknowledged or not.

        Args:
            after_seq: only frames with greater numbers.
            before_seq: only frames with smaller numbers.
            device: only frames of the device of this configured name.

        Raises:
            StoreError: the store cannot be read now.
        """
        first, last = after_seq + 1, self._contents.last_seq
        if before_seq is not None:
            last = min(last, before_seq - 1)
        found: list[SensorFrame] = []
        while first <= last and len(found) < limit:
            read = partial(self._reader.page, first, last, _READ_FRAMES, newest_first=newest_first)
            bodies = await self._do(read)
            if not bodies:
                break
            frames = list(self._decode(bodies).values())
            found += (
                frame
                for frame in (reversed(frames) if newest_first else frames)
                if device is None or frame.content.device == device
            )
            if newest_first:
                last = bodies[0][0] - 1
            else:
                first = bodies[-1][0] + 1
        return found[:limit]

    async def wait_after(self, seq: int) -> None:
        """Wait for a frame with a greater number.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        await self._until(lambda: self._contents.last_seq > seq)

    def statistics(self) -> OutboxStatistics:
        """What there is, from memory."""
        return self._writer.gauges.statistics()

    async def run(self, beat: Callable[[], None] = _ignore) -> None:
        """Serve all others until :meth:`stop`, then commit what waits, and return.

        Cancelled, it returns at once; what was not committed is refused.

        Args:
            beat: called at least once a second while the writer is not stuck.

        Raises:
            StoreError: the store is damaged and cannot be set aside.
        """
        loop = self._loop
        try:
            while True:
                beat()
                self._errands.awake()
                stopping = self._errands.stopping
                try:
                    await self._writer.work(loop.time(), at_once=stopping)
                    await self._errands.run()
                except StoreCorrupt as error:
                    await self._writer.begin_anew(error)
                    self._reader.forget()
                self._errands.announce()
                if stopping and (self._writer.fault or not self._writer.ring.frames):
                    break
                await self._errands.sleep(0 if stopping else self._writer.due_in_s(loop.time()))
            await self._writer.close()
        finally:
            self._end()

    def stop(self) -> None:
        """Have :meth:`run` commit what waits, and return; nothing new is taken from now on."""
        self._errands.stop()

    async def close(self) -> None:
        """Let go of what is open beside the database; for :func:`open_outbox`."""
        await self._writer.close_salvage()

    def _own(self, frame_ids: Iterable[FrameId]) -> Iterator[int]:
        """Numbers of frames that were given: a receiver that answers for frames yet to come, or
        for another store's, must not make ours vanish.
        """
        last = self._writer.last_seq
        for frame_id in frame_ids:
            if 1 <= frame_id.seq <= last and frame_id == self._contents.frame_id(frame_id.seq):
                yield frame_id.seq

    def _decode(self, bodies: Bodies) -> dict[int, SensorFrame]:
        """Give frames their identity and their time, by number; leave out what is no frame."""
        frames: dict[int, SensorFrame] = {}
        for seq, body in bodies:
            try:
                content = decode_content(body)
            except SensorFrameError as error:
                logger.error("stored frame %d is damaged: %s", seq, error)
            else:
                received_at = self._contents.boots.wall(
                    content.boot_id, content.received_boottime_us
                )
                frames[seq] = SensorFrame(self._contents.frame_id(seq), content, received_at)
        return frames

    def _end(self) -> None:
        refusal = StoreClosed("the outbox was stopped before it could do that")
        self._writer.refuse_all(refusal)
        self._errands.refuse_all(refusal)


@asynccontextmanager
async def open_outbox(
    path: Path,
    *,
    gateway: bytes,
    clock: Clock,
    settings: OutboxSettings,
    metrics: Metrics,
    new_epoch: bool = False,
) -> AsyncIterator[Outbox]:
    """Open the store, or begin one. A damaged one is set aside, and a fresh one takes its place.

    Args:
        gateway: EUI-64. If the store was written by another gateway a new epoch begins; frames
            keep the identity under which they were stored.
        new_epoch: begin a new epoch all the same: the store may be a copy of another gateway's.

    Raises:
        StoreBusy: another process has it open.
        StoreTooNew: a newer version of this program wrote it.
        StoreError: it cannot be opened: no such directory, no rights, no room.
    """
    database = Database(path, settings.max_bytes)
    try:
        contents = await open_store(
            database,
            gateway=gateway,
            clock=clock,
            settings=settings,
            metrics=metrics,
            new_epoch=new_epoch,
        )
        outbox = Outbox(database, contents, clock=clock, settings=settings, metrics=metrics)
        try:
            yield outbox
        finally:
            outbox.stop()
            await outbox.close()
    finally:
        await database.close()
