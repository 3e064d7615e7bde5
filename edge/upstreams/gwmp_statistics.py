"""The gateway's own report (stat) to a Semtech UDP server: of the present, and never repeated."""

from typing import Protocol

from edge.upstreams.base import UpstreamContext
from protocol.lora.events import CrcStatus
from protocol.network_server.gwmp_reports import Statistics, stat

_GOOD = (CrcStatus.OK.value, CrcStatus.UNKNOWN.value)


class PushCounts(Protocol):
    """What the link has counted since it was opened."""

    pushed: int
    push_acknowledged: int


class DownlinkCounts(Protocol):
    """What has been counted of downlinks since the link was opened."""

    asked: int
    transmitted: int


class GwmpStatistics:
    """Makes a report each time that one is due, of what was counted since the last one.

    Attributes:
        forwarded: uplinks sent since the start; counted by the upstream.
    """

    def __init__(self, context: UpstreamContext, interval_us: int) -> None:
        self._context = context
        self._interval_us = interval_us
        self._due_us = 0
        self._push: PushCounts | None = None
        self._downlinks: DownlinkCounts | None = None
        self._before = (0, 0, 0, 0, 0, 0, 0)
        self.forwarded = 0

    def begin(self, push: PushCounts, downlinks: DownlinkCounts) -> None:
        """A link was opened: report soon."""
        self._push, self._downlinks = push, downlinks
        self._due_us = 0
        self._before = self._counts()

    def due(self) -> bytes | None:
        """The body of a report, or None while none is due or nobody knows what time it is."""
        now_us = self._context.clock.boottime_us()
        wall = self._context.clock.wall()
        if now_us < self._due_us or wall is None:
            return None
        self._due_us = now_us + self._interval_us
        counts = self._counts()
        differences = [now - then for now, then in zip(counts, self._before, strict=True)]
        received, received_ok, forwarded, pushed, acknowledged, asked, transmitted = differences
        self._before = counts
        return stat(
            Statistics(
                unix_us=wall.unix_us,
                position=self._context.site.position,
                received=received,
                received_ok=received_ok,
                forwarded=forwarded,
                acknowledged_percent=100 * min(1, acknowledged / pushed) if pushed else 0,
                downlinks=asked,
                transmitted=transmitted,
            )
        )

    def _counts(self) -> tuple[int, int, int, int, int, int, int]:
        assert self._push is not None
        assert self._downlinks is not None
        received, received_ok = self._received()
        return (
            received,
            received_ok,
            self.forwarded,
            self._push.pushed,
            self._push.push_acknowledged,
            self._downlinks.asked,
            self._downlinks.transmitted,
        )

    def _received(self) -> tuple[int, int]:
        """Frames that all radios heard, and how many of them with a good CRC."""
        all_of_them = good = 0
        for family in self._context.metrics.radio_frames_received.collect():
            for sample in family.samples:
                all_of_them += int(sample.value)
                good += int(sample.value) if sample.labels["crc"] in _GOOD else 0
        return all_of_them, good
