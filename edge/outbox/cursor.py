"""How far one upstream is, and which frames it gets next."""

from collections.abc import Iterable, Iterator

from edge.outbox.ranges import SeqRanges

MAX_RANGES = 64
"""As many are kept on disk. What lies behind them is sent again after a restart."""


class Cursor:
    """What one upstream has acknowledged, and how many frames it has not.

    Frames that were appended after the upstream connected are *live* and go first, unless it wants
    everything oldest first; the rest is *backlog*. Both go oldest first. Every outage leaves a
    range of backlog behind; when there are too many such ranges, everything goes oldest first until
    they have closed.

    ``pending`` is carried along instead of being counted: between frames that are not acknowledged
    there may be numbers whose frames were evicted.

    Args:
        pending: how many frames are kept that it has not acknowledged.
    """

    def __init__(self, acknowledged: SeqRanges, live_from: int, pending: int) -> None:
        self.acknowledged = acknowledged
        self.pending = pending
        self.changes = 0
        self._live_from = live_from
        self._handed_out: list[tuple[int, int]] = []

    def connected(self, next_seq: int, *, live_first: bool = True) -> None:
        """The upstream is back: frames from ``next_seq`` on are live."""
        self._live_from = next_seq if live_first and len(self.acknowledged) < MAX_RANGES else 0

    def appended(self, frames: int) -> None:
        """There are so many frames more."""
        self.pending += frames

    def next_gaps(self, last: int) -> Iterator[tuple[int, int]]:
        """Ranges of one lane to send next, oldest first; ``last`` is the newest number there is."""
        live_from = max(1, self._live_from)
        lane = self.acknowledged.gaps(live_from, last)
        first = next(lane, None)
        if first is None:
            yield from self.acknowledged.gaps(1, min(last, live_from - 1))
        else:
            yield first
            yield from lane

    def hand_out(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remember what the upstream is being sent; only one batch is at any time."""
        self._handed_out = list(ranges)

    def acknowledge(self, first: int, last: int) -> int:
        """The upstream has these frames, which were kept; returns how many it had not before."""
        added = sum(end - begin + 1 for begin, end in self.acknowledged.gaps(first, last))
        if added:
            self.acknowledged.add(first, last)
            self.pending = max(0, self.pending - added)
            self.changes += 1
        return added

    def pass_over(self, first: int, last: int) -> None:
        """There are no frames under these numbers (any more)."""
        self.acknowledged.add(first, last)
        self.changes += 1

    def removed(self, first: int, last: int) -> int:
        """Frames were taken from the store; returns how many the upstream had not acknowledged.

        Their numbers stay gaps, which the next read passes over: they may alternate with kept
        frames, and would make as many ranges. Only what is under way may yet be acknowledged.
        """
        lost = sum(end - begin + 1 for begin, end in self.acknowledged.gaps(first, last))
        if lost:
            self.pending = max(0, self.pending - lost)
            self.changes += 1
            for begin, end in self._handed_out:
                self.acknowledged.add(max(first, begin), min(last, end))
        return lost

    def restored(self, first: int, last: int) -> int:
        """Frames are there (again), and have to be sent; returns how many were not pending yet."""
        pending = sum(end - begin + 1 for begin, end in self.acknowledged.gaps(first, last))
        self.acknowledged.discard(first, last)
        added = last - first + 1 - pending
        self.pending += added
        self.changes += 1
        return added

    def delivered_through(self, last: int) -> int:
        """Up to where the upstream has everything; ``last`` is the newest number there is."""
        return next((begin - 1 for begin, _ in self.acknowledged.gaps(1, last)), last)

    def to_text(self) -> str:
        """What is kept on disk; :meth:`SeqRanges.from_text` reads it."""
        return self.acknowledged.to_text(MAX_RANGES)
