"""Frames in memory: what waits for a commit, and what is forwarded from here while the store fails.

Usually a frame is here for the linger only. While the store fails, everything that waits is given
numbers under an epoch of its own and shown to the upstreams: a process that dies then takes that
epoch along, so its numbers are never given to other frames. The boards keep their events until all
upstreams have them. If a board runs out of room, it is acknowledged all the same; what may be lost
by that is counted, and when there is no room here either, the least important and oldest go.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Mapping

from edge.outbox.admission import OutboxSettings
from edge.outbox.cursor import Cursor
from edge.outbox.group import Append, Group, Pack, Seqs, number
from edge.outbox.ranges import runs
from edge.outbox.schema import CLASSES
from protocol.records.sensor_frame import FrameClass

MAX_FRAMES = 5_000
"""About 3 MB."""

_FULL_GROUP = 64  # frames for which waiting longer would gain little
_MAX_GROUP = 1024
_MAX_GROUP_BYTES = 300_000  # what the WAL has room for without growing

_TELEMETRY = FrameClass.TELEMETRY  # a lookup of its own costs more than what it is for
_BULK = FrameClass.BULK


class Ring:
    """Appends in order of their calls: without numbers, then in numbered groups.

    Attributes:
        in_transaction: the group that is being written just now, which nobody may change.
    """

    def __init__(self, settings: OutboxSettings) -> None:
        self.groups: deque[Group] = deque()
        self.in_transaction: Group | None = None
        self._waiting: deque[Append] = deque()
        self._linger_s = settings.linger_s(FrameClass.TELEMETRY)
        self._bulk_linger_s = settings.linger_s(FrameClass.BULK)
        self._waiting_frames = 0
        self._waiting_bytes = 0
        self._due_s = float("inf")
        self._telemetry_waits = False

    @property
    def frames(self) -> int:
        """How many there are."""
        return self._waiting_frames + sum(group.frames for group in self.groups)

    @property
    def is_full(self) -> bool:
        """Whether further callers have to wait."""
        return self._waiting_frames >= MAX_FRAMES or (
            len(self.groups) > 0 and self.frames >= MAX_FRAMES
        )

    @property
    def due_s(self) -> float:
        """When the first of those that wait has waited long enough; infinity if none waits."""
        return self._due_s

    def put(self, append: Append, now: Callable[[], float]) -> None:
        """Take in frames of one caller.

        Args:
            now: tells the time in seconds.
        """
        waiting_bytes = 0
        for admission in append[0]:
            waiting_bytes += len(admission.body)
            # What is due no later than what waits already needs no look at the clock.
            if admission.frame_class is not _TELEMETRY or not self._telemetry_waits:
                self._due_s = min(self._due_s, now() + self._linger(admission.frame_class))
        self._waiting_bytes += waiting_bytes
        self._waiting_frames += len(append[0])
        self._waiting.append(append)

    def _linger(self, frame_class: FrameClass) -> float:
        if frame_class is _TELEMETRY:
            self._telemetry_waits = True
            return self._linger_s
        return self._bulk_linger_s if frame_class is _BULK else 0.0

    def is_due(self, now_s: float) -> bool:
        """Whether a group should be committed now."""
        return bool(self._waiting) and (now_s >= self._due_s or self._waiting_frames >= _FULL_GROUP)

    def take(self, first_seq: int) -> Group | None:
        """Number the first of those that wait; None if none does."""
        appends = self._first_of_waiting()
        if not appends:
            return None
        if not self._waiting:
            self._due_s = float("inf")
            self._telemetry_waits = False
        group = number(appends, first_seq)
        self.groups.append(group)
        return group

    def _first_of_waiting(self) -> list[Append]:
        """As many as one transaction may hold."""
        if self._waiting_frames <= _MAX_GROUP and self._waiting_bytes <= _MAX_GROUP_BYTES:
            appends = list(self._waiting)
            self._waiting.clear()
            self._waiting_frames = self._waiting_bytes = 0
            return appends
        appends = []
        frames = size_bytes = 0
        while self._waiting and frames < _MAX_GROUP and size_bytes < _MAX_GROUP_BYTES:
            append = self._waiting.popleft()
            appends.append(append)
            frames += len(append[0])
            size_bytes += sum(len(admission.body) for admission in append[0])
        self._waiting_frames -= frames
        self._waiting_bytes -= size_bytes
        return appends

    def bodies(
        self, first: int, last: int, frame_class: FrameClass | None = None
    ) -> list[tuple[int, bytes]]:
        """Numbered frames within a range, perhaps of one class only."""
        return [
            item
            for group in self.groups
            if group.first_seq <= last and group.last_seq >= first
            for item in group.bodies(first, last, frame_class)
        ]

    def settle(self, cursors: Mapping[str, Cursor]) -> None:
        """Tell callers whose frames all upstreams have."""
        for done, seqs in self._untold():
            ranges = list(runs(seqs))
            if cursors and all(
                not list(cursor.acknowledged.gaps(first, last))
                for cursor in cursors.values()
                for first, last in ranges
            ):
                done.set_result(seqs)

    def release(self) -> int:
        """Tell all callers that their frames are taken although they are only here; returns how
        many frames that is.
        """
        frames = 0
        for done, seqs in self._untold():
            frames += len(seqs)
            done.set_result(seqs)
        return frames

    def evict(self) -> tuple[Group, Pack] | None:
        """Drop the oldest pack of the least important class whose callers were told.

        Returns:
            The pack and the group that it was in; None if there is none.
        """
        told = [
            group
            for group in self.groups
            if group is not self.in_transaction and all(done.done() for _, done in group.appends)
        ]
        for frame_class in reversed(CLASSES):
            for group in told:
                for pack in group.packs:
                    if pack.frame_class is frame_class:
                        group.packs.remove(pack)
                        group.holes.append((pack.seq, pack.last_seq))
                        return group, pack
        return None

    def refuse_all(self, error: Exception) -> None:
        """Tell every caller that nothing becomes of it."""
        waiting = (done for _, done in self._waiting)
        for done in (*(done for done, _ in self._untold()), *waiting):
            if not done.done():
                done.set_exception(error)
        self.groups.clear()
        self._waiting.clear()
        self._waiting_frames = self._waiting_bytes = 0
        self._due_s = float("inf")

    def _untold(self) -> Iterator[tuple[asyncio.Future[Seqs], Seqs]]:
        for group in self.groups:
            yield from ((done, seqs) for done, seqs in group.answers() if not done.done())
