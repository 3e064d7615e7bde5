"""How far one upstream is, and which frames it gets next."""

from collections.abc import Iterator

from edge.outbox.ranges import SeqRanges

MAX_RANGES = 64
"""As many are kept on disk. What lies behind them is sent again after a restart."""


class Cursor:
    """What one upstream has acknowledged.

    Frames that were appended after the upstream connected are *live* and go first; the rest is
    *backlog*. Both go oldest first. Every outage leaves a range of backlog behind; when there are
    too many such ranges, everything goes oldest first until they have closed.
    """

    def __init__(self, acknowledged: SeqRanges, live_from: int) -> None:
        self.acknowledged = acknowledged
        self._live_from = live_from

    def connected(self, next_seq: int) -> None:
        """The upstream is back: frames from ``next_seq`` on are live."""
        self._live_from = next_seq if len(self.acknowledged) < MAX_RANGES else 0

    def next_gaps(self, first: int, last: int, limit: int) -> Iterator[tuple[int, int]]:
        """Ranges of what to send next, at most ``limit`` frames of one lane.

        Args:
            first: oldest kept sequence number.
            last: newest committed one.
        """
        live_from = max(first, self._live_from)
        lane = list(self.acknowledged.gaps(live_from, last))
        for begin, end in lane or self.acknowledged.gaps(first, min(last, live_from - 1)):
            if limit <= 0:
                return
            yield begin, min(end, begin + limit - 1)
            limit -= end - begin + 1

    def pending(self, first: int, last: int) -> int:
        """Count what is kept and not acknowledged."""
        return sum(end - begin + 1 for begin, end in self.acknowledged.gaps(first, last))

    def oldest_pending(self, first: int, last: int) -> int:
        """Sequence number of the oldest kept frame that is not acknowledged; else ``last + 1``."""
        return next((begin for begin, _ in self.acknowledged.gaps(first, last)), last + 1)

    def to_text(self) -> str:
        """What is kept on disk; :meth:`SeqRanges.from_text` reads it."""
        return self.acknowledged.to_text(MAX_RANGES)
