"""From radio events to committed frames, and back to the boards as acknowledgements.

Three loops: :func:`run_ingest` takes events in, recognises, merges and reads them;
:func:`run_commit` hands what is ready to the outbox; :func:`run_acknowledge` waits for the commit
and acknowledges it to the boards. What one loop hands to the next is bounded by the windows granted
to the boards.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from drivers.base import Driver
from edge.clock import Clock
from edge.content import Admitted, ContentBuilder
from edge.deduplication import Deduplicator, HeldFrame
from edge.event_tracker import EventTracker
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission
from edge.outbox.store import Outbox
from protocol.lora.events import (
    ConcentratorStateChanged,
    CrcStatus,
    DropReason,
    EventOrigin,
    Heartbeat,
    LinkState,
    RadioEvent,
    UplinkReceived,
)
from protocol.records.sensor_frame import MAX_PHY_PAYLOAD, Verified

logger = logging.getLogger(__name__)

QUEUE_SIZE = 1024
READY_SIZE = 8192  # what 32 boards may send before we have committed the first of it
_MAX_GROUP = 256
_CRC_DROPS = {CrcStatus.BAD: DropReason.CRC_BAD, CrcStatus.MISSING: DropReason.CRC_MISSING}


@dataclass(frozen=True, slots=True)
class ReadyGroup:
    """Frames that go into one transaction, and the events that it makes safe."""

    admissions: tuple[Admission, ...]
    events: tuple[UplinkReceived, ...]


@dataclass(slots=True)
class Ingest:
    """State of the data path between the drivers and the outbox.

    ``relieve`` is called when a board is about to run out of room.
    """

    builder: ContentBuilder
    deduplicator: Deduplicator
    tracker: EventTracker
    metrics: Metrics
    clock: Clock
    events: asyncio.Queue[RadioEvent] = field(
        default_factory=lambda: asyncio.Queue(maxsize=QUEUE_SIZE)
    )
    ready: asyncio.Queue[ReadyGroup] = field(
        default_factory=lambda: asyncio.Queue(maxsize=READY_SIZE)
    )
    committing: asyncio.Queue[tuple[ReadyGroup, asyncio.Future[Sequence[int]]]] = field(
        default_factory=lambda: asyncio.Queue(maxsize=READY_SIZE)
    )
    relieve: Callable[[], None] = lambda: None
    drivers: dict[str, Driver] = field(default_factory=dict)
    status: dict[str, ConcentratorStateChanged] = field(default_factory=dict)
    heartbeats: dict[str, Heartbeat] = field(default_factory=dict)
    last_heard: dict[tuple[str, int], UplinkReceived] = field(default_factory=dict)
    heard: Counter[tuple[str, int]] = field(default_factory=Counter)

    def take(self, event: RadioEvent, now_us: int) -> None:
        """Take in one event of a driver."""
        match event:
            case UplinkReceived():
                self._take_uplink(event, now_us)
            case Heartbeat():
                self._take_heartbeat(event)
            case ConcentratorStateChanged():
                self._take_state(event)

    def release(self, now_us: int, *, everything: bool = False) -> ReadyGroup | None:
        """What is due now, or all that is held; None if there is nothing."""
        held = self.deduplicator.release(now_us, everything=everything)
        if not held:
            return None
        events = tuple(event for frame in held for event in frame.receptions)
        *others, last = (self._admission(frame) for frame in held)
        # One transaction takes them all, so the boards' marks need to be written once, at the end.
        last = replace(last, marks={**last.marks, **self.tracker.marks(events)})
        return ReadyGroup((*others, last), events)

    async def drain(self) -> None:
        """Commit everything that was taken in, without waiting for other radios."""
        await self.events.join()
        group = self.release(self.clock.boottime_us(), everything=True)
        if group is not None:
            await self.ready.put(group)
        await self.ready.join()

    def dispose(self, event: UplinkReceived) -> None:
        """An event is safe or counted: acknowledge as far as that reaches."""
        if event.origin is None:
            return
        tracker = self.tracker.current(event.origin)
        latest = None if tracker is None else tracker.dispose(event.origin.number)
        driver = self.drivers.get(event.concentrator)
        if latest is not None and driver is not None:
            driver.acknowledge(latest)

    def _take_uplink(self, event: UplinkReceived, now_us: int) -> None:
        if event.origin is not None and not self._admit(event, event.origin):
            return
        self._measure(event)
        reason = self._drop_reason(event)
        if reason is not None:
            self.metrics.frames_dropped.labels(reason.value).inc()
            self.dispose(event)
        elif self.deduplicator.add(event, now_us):
            self.metrics.frames_merged.inc()

    def _admit(self, event: UplinkReceived, origin: EventOrigin) -> bool:
        tracker, lost = self.tracker.boot(origin)
        self._count_board_down(event.concentrator, lost)
        if tracker.admit(event, origin.number):
            return True
        self.metrics.events_replayed.inc()
        driver = self.drivers.get(event.concentrator)
        if origin.number <= tracker.disposed and driver is not None:
            driver.acknowledge(event)
        return False

    def _drop_reason(self, event: UplinkReceived) -> DropReason | None:
        if not event.payload:
            return DropReason.TOO_SHORT
        if len(event.payload) > MAX_PHY_PAYLOAD:
            # No device can have reported that; it cannot be stored either.
            return DropReason.CORRUPT
        if self.builder.rule(event).any_crc:
            return None
        return _CRC_DROPS.get(event.crc_status)

    def _admission(self, frame: HeldFrame) -> Admission:
        admitted = self.builder.build(frame.best_first())
        self._count_content(admitted)
        try:
            return Admission.of(admitted.content, admitted.marks)
        except ValueError:
            logger.exception("a frame is stored without what was read of it")
            bare = replace(admitted.content, measurements=(), decode_error="internal")
            return Admission.of(bare, admitted.marks)

    def _count_content(self, admitted: Admitted) -> None:
        content = admitted.content
        if content.decode_error is not None:
            self.metrics.frame_decode_errors.labels(content.decode_error).inc()
        if content.verified is Verified.NO:
            self.metrics.frame_verify_failures.labels(content.verified_reason or "unknown").inc()

    def _measure(self, event: UplinkReceived) -> None:
        labels = (event.concentrator, str(event.radio))
        self.last_heard[event.concentrator, event.radio] = event
        self.heard[event.concentrator, event.radio] += 1
        self.metrics.radio_frames_received.labels(*labels, event.crc_status.value).inc()
        if event.rssi_dbm is not None:
            self.metrics.radio_rssi_dbm.labels(*labels).observe(event.rssi_dbm)
        if event.snr_db is not None:
            self.metrics.radio_snr_db.labels(*labels).observe(event.snr_db)

    def _take_heartbeat(self, heartbeat: Heartbeat) -> None:
        name = heartbeat.concentrator
        self.heartbeats[name] = heartbeat
        if heartbeat.newest is not None:
            tracker, lost = self.tracker.boot(heartbeat.newest)
            self._count_board_down(name, lost)
            tracker.newest = max(tracker.newest, heartbeat.newest.number)
            overflow = heartbeat.ring_overflow - tracker.ring_overflow
            if overflow > 0:
                tracker.ring_overflow = heartbeat.ring_overflow
                self.metrics.frames_dropped.labels(DropReason.RING_OVERFLOW.value).inc(overflow)
                logger.warning("ring overflow concentrator=%s frames=%d", name, overflow)
        if heartbeat.ring_used * 4 >= heartbeat.ring_capacity * 3 > 0:
            self.relieve()
        self._measure_heartbeat(heartbeat)

    def _measure_heartbeat(self, heartbeat: Heartbeat) -> None:
        name = heartbeat.concentrator
        self.metrics.concentrator_ring_used.labels(name).set(heartbeat.ring_used)
        wall = self.clock.wall()
        if wall is not None:
            self.metrics.concentrator_last_event_timestamp.labels(name).set(wall.unix_us / 1e6)
        for index, radio in enumerate(heartbeat.radios):
            labels = (name, str(index))
            self.metrics.radio_receiving.labels(*labels).set(radio.receiving)
            if radio.noise_rssi_dbm is not None:
                self.metrics.radio_noise_rssi_dbm.labels(*labels).set(radio.noise_rssi_dbm)

    def _take_state(self, event: ConcentratorStateChanged) -> None:
        self.status[event.concentrator] = event
        up = event.state is LinkState.UP
        self.metrics.concentrator_up.labels(event.concentrator).set(up)
        if not up:
            heartbeat = self.heartbeats.get(event.concentrator)
            for index in range(len(heartbeat.radios) if heartbeat else 0):
                self.metrics.radio_receiving.labels(event.concentrator, str(index)).set(0)
        logger.log(
            logging.INFO if up else logging.WARNING,
            "concentrator %s concentrator=%s detail=%r",
            event.state.value,
            event.concentrator,
            event.detail,
        )

    def _count_board_down(self, concentrator: str, lost: int) -> None:
        if lost > 0:
            self.metrics.frames_dropped.labels(DropReason.BOARD_DOWN.value).inc(lost)
            logger.warning(
                "board restarted with unsent events concentrator=%s frames=%d", concentrator, lost
            )


async def run_ingest(ingest: Ingest) -> None:
    """Take events until cancelled; held frames leave when they are due."""
    while True:
        timer_us = ingest.deduplicator.timer_us()
        delay_s = None if timer_us is None else (timer_us - ingest.clock.boottime_us()) / 1e6
        try:
            async with asyncio.timeout(delay_s):
                event = await ingest.events.get()
        except TimeoutError:
            pass
        else:
            ingest.take(event, ingest.clock.boottime_us())
            ingest.events.task_done()
        group = ingest.release(ingest.clock.boottime_us())
        if group is not None:
            await ingest.ready.put(group)


async def run_commit(ingest: Ingest, outbox: Outbox) -> None:
    """Hand what is ready to the outbox, in order, without waiting for its commit.

    While one group is being committed the next ones gather there, and go into one transaction.
    """
    while True:
        group = await ingest.ready.get()
        await outbox.room_in_memory()
        await ingest.committing.put((group, outbox.offer(group.admissions)))


async def run_acknowledge(ingest: Ingest) -> None:
    """Acknowledge to the boards what is committed."""
    while True:
        group, committed = await ingest.committing.get()
        await committed
        for event in group.events:
            ingest.dispose(event)
        ingest.committing.task_done()
        ingest.ready.task_done()
