"""The outbox: every frame is here from its commit until all upstreams have acknowledged it.

One task, :meth:`Outbox.run`, owns the database; all others hand it what they want and wait. So no
caller that is cancelled can leave a transaction open, and frames of many callers share a commit.
"""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, OutboxStatistics
from edge.outbox.contents import Contents, encode, load
from edge.outbox.database import Database
from edge.outbox.errors import StoreClosed, StoreCorrupt, StoreError
from edge.outbox.quarantine import is_marked_damaged, mark_damaged, set_aside
from edge.outbox.writer import Append, Writer
from protocol.lora.events import DropReason
from protocol.records.sensor_frame import FrameId, SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import decode_content

logger = logging.getLogger(__name__)

MAX_WAITING = 1024
"""Appends, and reads, that may wait for the writer; further callers wait for their turn."""

_READ_FRAMES = 256  # in one go: meanwhile nothing is committed


@dataclass(frozen=True, slots=True)
class _Read:
    """A query that a task waits for."""

    sql: str
    parameters: tuple[object, ...]
    done: asyncio.Future[list[tuple[Any, ...]]]


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
        self._metrics = metrics
        self._writer = Writer(database, contents, clock, settings, metrics)
        self._reads: deque[_Read] = deque()
        self._wake = asyncio.Event()
        self._news = asyncio.Event()
        self._stopping = False

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

        A caller that is cancelled while it waits does not know: they may be stored.

        Raises:
            StoreClosed: the outbox was stopped; they are not stored, or that is not known.
            ValueError: one of them cannot be stored, so none is.
        """
        if not admissions:
            return ()
        encoded = [encode(admission) for admission in admissions]
        await self._until(lambda: len(self._writer.waiting) < MAX_WAITING)
        loop = asyncio.get_running_loop()
        append = Append(encoded, loop.time(), loop.create_future())
        self._writer.waiting.append(append)
        self._wake.set()
        return await append.done

    def connected(self, upstream: str) -> None:
        """The upstream is there again: frames from now on are live and go before the backlog."""
        self._contents.cursors[upstream].connected(self._contents.last_seq + 1)

    async def pending(self, upstream: str, *, limit: int) -> list[SensorFrame]:
        """Read what the upstream gets next, of one lane, oldest first; none if it has everything.

        Frames stay pending until they are acknowledged.

        Raises:
            StoreError: the store cannot be read now.
        """
        contents, found = self._contents, list[SensorFrame]()
        gaps = contents.cursors[upstream].next_gaps(contents.first_seq, contents.last_seq, limit)
        for first, last in list(gaps):
            rows = await self._frame_rows(first, last)
            frames = self._decode(rows)
            found += frames.values()
            self._pass_over(upstream, set(range(first, last + 1)) - frames.keys(), dict(rows))
        return found

    async def acknowledge(self, upstream: str, frame_ids: Iterable[FrameId]) -> None:
        """The upstream has these. Committed with the next frames or within about a second.

        If the power goes before that, they are sent again.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        self._check_open()
        acknowledged = self._contents.cursors[upstream].acknowledged
        for frame_id in frame_ids:
            # A receiver that answers for frames yet to come must not make them vanish.
            given = 1 <= frame_id.seq <= self._contents.last_seq
            if given and frame_id == self._contents.frame_id(frame_id.seq):
                acknowledged.add(frame_id.seq, frame_id.seq)

    async def wait_pending(self, upstream: str) -> None:
        """Wait until there is something that the upstream has not acknowledged.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        contents = self._contents
        cursor = contents.cursors[upstream]
        await self._until(
            lambda: (
                cursor.oldest_pending(contents.first_seq, contents.last_seq) <= contents.last_seq
            )
        )

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
        first = max(after_seq + 1, self._contents.first_seq)
        last = self._contents.last_seq
        if before_seq is not None:
            last = min(last, before_seq - 1)
        found: list[SensorFrame] = []
        for begin, end in _chunks(first, last, newest_first=newest_first):
            frames = list(self._decode(await self._frame_rows(begin, end)).values())
            found += (
                frame
                for frame in (reversed(frames) if newest_first else frames)
                if device is None or frame.content.device == device
            )
            if len(found) >= limit:
                break
        return found[:limit]

    async def wait_after(self, seq: int) -> None:
        """Wait for a frame with a greater number.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        await self._until(lambda: self._contents.last_seq > seq)

    def statistics(self) -> OutboxStatistics:
        """What there is, from memory."""
        return self._writer.statistics()

    async def run(self, beat: Callable[[], None] = _ignore) -> None:
        """Serve all others until :meth:`stop`, then commit what waits, and return.

        Cancelled, it returns at once; what was not committed is refused.

        Args:
            beat: called at least once a second while the writer is not stuck.

        Raises:
            StoreCorrupt: the store is damaged; the next start sets it aside and begins a fresh one.
        """
        loop = asyncio.get_running_loop()
        try:
            while True:
                beat()
                self._wake.clear()
                stopping = self._stopping
                await self._writer.work(loop.time(), at_once=stopping)
                await self._answer_reads()
                self._announce()
                if stopping and (self._writer.fault or not self._writer.uncommitted):
                    return
                await self._sleep(0 if stopping else self._writer.due_in_s(loop.time()))
        except StoreCorrupt:
            mark_damaged(self._database.path)
            raise
        finally:
            self._end()

    def stop(self) -> None:
        """Have :meth:`run` commit what waits, and return; nothing new is taken from now on."""
        self._stopping = True
        self._wake.set()
        self._announce()

    async def _sleep(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _answer_reads(self) -> None:
        for _ in range(len(self._reads)):
            read = self._reads.popleft()
            if read.done.done():
                continue
            try:
                rows = await self._database.read(read.sql, *read.parameters)
            except StoreError as error:
                if not read.done.done():
                    read.done.set_exception(error)
                if isinstance(error, StoreCorrupt):
                    raise
            else:
                if not read.done.done():
                    read.done.set_result(rows)

    async def _frame_rows(self, first: int, last: int) -> list[tuple[int, bytes]]:
        await self._until(lambda: len(self._reads) < MAX_WAITING)
        read = _Read(
            "SELECT seq, body FROM frame WHERE seq BETWEEN ? AND ? ORDER BY seq",
            (first, last),
            asyncio.get_running_loop().create_future(),
        )
        self._reads.append(read)
        self._wake.set()
        return [(seq, body) for seq, body in await read.done]

    def _decode(self, rows: list[tuple[int, bytes]]) -> dict[int, SensorFrame]:
        """Give rows their identity and their time, by sequence number; leave out damaged ones."""
        frames: dict[int, SensorFrame] = {}
        for seq, body in rows:
            try:
                content = decode_content(body)
            except SensorFrameError as error:
                logger.error("stored frame %d is damaged: %s", seq, error)
            else:
                received_at = self._contents.boots.boot(content.boot_id).wall(
                    content.received_boottime_us
                )
                frames[seq] = SensorFrame(self._contents.frame_id(seq), content, received_at)
        return frames

    def _pass_over(self, upstream: str, seqs: set[int], damaged: Mapping[int, bytes]) -> None:
        """Do not wait for frames that will never come, or nothing behind them would be sent."""
        for seq in seqs:
            if seq in damaged:
                self._metrics.frames_dropped.labels(DropReason.CORRUPT.value).inc()
                for cursor in self._contents.cursors.values():
                    cursor.acknowledged.add(seq, seq)
            else:  # removed since
                self._contents.cursors[upstream].acknowledged.add(seq, seq)

    def _announce(self) -> None:
        """Wake all who wait for something to become true, so that they look again."""
        self._writer.publish()
        self._news.set()
        self._news = asyncio.Event()

    async def _until(self, is_true: Callable[[], bool]) -> None:
        self._check_open()
        while not is_true():
            await self._news.wait()
            self._check_open()

    def _check_open(self) -> None:
        if self._stopping:
            raise StoreClosed("the outbox was stopped")

    def _end(self) -> None:
        self._stopping = True
        refusal = StoreClosed("the outbox was stopped before it could do that")
        self._writer.refuse_all(refusal)
        for read in self._reads:
            if not read.done.done():
                read.done.set_exception(refusal)
        self._reads.clear()
        self._announce()


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
        contents = await _open(database, gateway, clock, settings, metrics, new_epoch=new_epoch)
        outbox = Outbox(database, contents, clock=clock, settings=settings, metrics=metrics)
        try:
            yield outbox
        finally:
            outbox.stop()
    finally:
        await database.close()


async def _open(
    database: Database,
    gateway: bytes,
    clock: Clock,
    settings: OutboxSettings,
    metrics: Metrics,
    *,
    new_epoch: bool,
) -> Contents:
    async def open_and_load() -> Contents:
        await database.open()
        return await load(
            database,
            gateway=gateway,
            new_epoch=new_epoch,
            boot_id=clock.boot_id,
            upstreams=settings.upstreams,
        )

    try:
        if is_marked_damaged(database.path):
            raise StoreCorrupt(f"{database.path}: found damaged in the last run")
        return await open_and_load()
    except StoreCorrupt as error:
        fault = error
    await database.close()
    aside = _set_aside(database.path)
    # How many frames it held is not known before it has been salvaged.
    metrics.frames_dropped.labels(DropReason.CORRUPT.value).inc()
    logger.error("the store is damaged (%s), set aside as %s; a fresh one begins", fault, aside)
    return await open_and_load()


def _set_aside(path: Path) -> Path:
    try:
        return set_aside(path)
    except OSError as error:
        raise StoreError(f"{path} is damaged and cannot be set aside: {error}") from error


def _chunks(first: int, last: int, *, newest_first: bool) -> Iterator[tuple[int, int]]:
    """Split a range of sequence numbers into what is read in one go."""
    if newest_first:
        for end in range(last, first - 1, -_READ_FRAMES):
            yield max(first, end - _READ_FRAMES + 1), end
    else:
        for begin in range(first, last + 1, _READ_FRAMES):
            yield begin, min(last, begin + _READ_FRAMES - 1)
