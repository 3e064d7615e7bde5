"""What the outbox tells about itself: statistics, gauges, and how old pending frames are."""

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxStatistics
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.packs import heads
from edge.outbox.ring import Ring
from edge.outbox.space import Space
from protocol.records.sensor_frame import SEQ_MAX


class Gauges:
    """Reads from memory, but for the ages."""

    def __init__(
        self, contents: Contents, ring: Ring, space: Space, clock: Clock, metrics: Metrics
    ) -> None:
        self._contents = contents
        self._ring = ring
        self._space = space
        self._clock = clock
        self._metrics = metrics
        self._ages_s: dict[str, float] = {}

    def statistics(self) -> OutboxStatistics:
        """What there is."""
        contents = self._contents
        return OutboxStatistics(
            frames=contents.frames,
            bytes=self._space.file_bytes,
            uncommitted=self._ring.frames,
            pending={name: c.pending - c.held for name, c in contents.cursors.items()},
            held={name: cursor.held for name, cursor in contents.cursors.items()},
            oldest_pending_age_s=dict(self._ages_s),
            by_class={c: (t.frames, t.bytes) for c, t in contents.totals.items()},
            dead_letters=contents.dead_letters,
        )

    def publish(self) -> None:
        """Bring the metrics up to date."""
        statistics, metrics = self.statistics(), self._metrics
        metrics.outbox_stored_frames.set(statistics.frames)
        metrics.outbox_bytes.set(statistics.bytes)
        metrics.outbox_uncommitted_frames.set(statistics.uncommitted)
        metrics.outbox_dead_letters.set(statistics.dead_letters)
        for frame_class, (frames, size_bytes) in statistics.by_class.items():
            metrics.outbox_class_frames.labels(frame_class.value).set(frames)
            metrics.outbox_class_bytes.labels(frame_class.value).set(size_bytes)
        for name, pending in statistics.pending.items():
            metrics.outbox_pending_frames.labels(name).set(pending)
            age_s = statistics.oldest_pending_age_s.get(name, 0.0)
            metrics.outbox_oldest_pending_age.labels(name).set(age_s)
            metrics.upstream_held_frames.labels(name).set(statistics.held[name])

    async def look_at_ages(self, database: Database) -> None:
        """Find out how old the oldest pending frames are at least.

        Raises:
            StoreError: the store cannot be read.
        """
        contents, now_us = self._contents, self._clock.boottime_us()
        self._ages_s = {}
        for name, cursor in contents.cursors.items():
            first = cursor.sent_through(contents.last_seq) + 1
            if cursor.pending and first <= contents.last_seq:
                for head in await heads(database, first, SEQ_MAX, 1):
                    age_us = contents.boots.age_us(head.boot, head.boottime_us, now_us)
                    self._ages_s[name] = age_us / 1e6
