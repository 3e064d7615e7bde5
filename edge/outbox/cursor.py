"""How far one upstream is, and which frames it gets next."""

from collections.abc import Iterable, Iterator

from edge.outbox.holding import Holding
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

    What it has acknowledged may be *held*: it is not sent again for now, but to the store and to
    the disk it is still pending, until it is settled or forgotten.

    Args:
        pending: how many frames are kept that it has not acknowledged.
    """

    def __init__(self, acknowledged: SeqRanges, live_from: int, pending: int) -> None:
        self.acknowledged = acknowledged
        self.pending = pending
        self.changes = 0
        self._live_from = live_from
        self._handed_out: list[tuple[int, int]] = []
        self._holding = Holding()
        self._with_held: SeqRanges | None = None  # only while something is held

    @property
    def has(self) -> SeqRanges:
        """What it need not be sent now: acknowledged for good, or held."""
        return self.acknowledged if self._with_held is None else self._with_held

    @property
    def held(self) -> int:
        """How many frames are held; they count as pending as well."""
        return self._holding.frames

    def connected(self, next_seq: int, *, live_first: bool = True) -> None:
        """The upstream is back: frames from ``next_seq`` on are live."""
        self._live_from = next_seq if live_first and len(self.has) < MAX_RANGES else 0

    def appended(self, frames: int) -> None:
        """There are so many frames more."""
        self.pending += frames

    def next_gaps(self, last: int) -> Iterator[tuple[int, int]]:
        """Ranges of one lane to send next, oldest first; ``last`` is the newest number there is."""
        live_from = max(1, self._live_from)
        lane = self.has.gaps(live_from, last)
        first = next(lane, None)
        if first is None:
            yield from self.has.gaps(1, min(last, live_from - 1))
        else:
            yield first
            yield from lane

    def hand_out(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Remember what the upstream is being sent; only one batch is at any time."""
        self._handed_out = list(ranges)

    def acknowledge(self, first: int, last: int) -> int:
        """The upstream has these, which were kept, for good; returns how many it had not before."""
        added = sum(end - begin + 1 for begin, end in self.acknowledged.gaps(first, last))
        if added:
            self._let_go(first, last)
            self._add(first, last)
            self.pending = max(0, self.pending - added)
            self.changes += 1
        return added

    def hold(self, first: int, last: int, now_us: int) -> int:
        """The upstream has these, but may forget them; returns how many it had not before."""
        added = 0
        for begin, end in list(self.has.gaps(first, last)):
            if self._with_held is None:
                self._with_held = self.acknowledged.copy()
            self._holding.add(begin, end, now_us)
            self._with_held.add(begin, end)
            added += end - begin + 1
        return added

    def settle(self, before_us: int) -> int:
        """What was held by then counts as acknowledged for good; returns how many frames."""
        settled = self._holding.take_until(before_us)
        if not self._holding.frames:
            self._with_held = None
        return sum(self.acknowledge(first, last) for first, last in settled)

    def forget_held(self) -> int:
        """The upstream has lost what is held: it has to be sent again; returns how many frames."""
        forgotten = self._holding.frames
        self._holding = Holding()
        self._with_held = None
        return forgotten

    def pass_over(self, first: int, last: int) -> None:
        """There are no frames under these numbers (any more)."""
        self._add(first, last)
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
            for begin, end in self._let_go(first, last):
                lost -= end - begin + 1
                self._add(begin, end)
            for begin, end in self._handed_out:
                self._add(max(first, begin), min(last, end))
        return lost

    def restored(self, first: int, last: int) -> int:
        """Frames are there (again), and have to be sent; returns how many were not pending yet."""
        pending = sum(end - begin + 1 for begin, end in self.acknowledged.gaps(first, last))
        self._let_go(first, last)
        self.acknowledged.discard(first, last)
        if self._with_held is not None:
            self._with_held.discard(first, last)
        added = last - first + 1 - pending
        self.pending += added
        self.changes += 1
        return added

    def begin_anew(self, last: int, newest: int) -> None:
        """Nothing is there any more up to ``last``; behind it everything to ``newest`` is kept."""
        self.forget_held()
        self.acknowledged.add(1, last)
        gaps = self.acknowledged.gaps(last + 1, newest)
        self.pending = sum(end - begin + 1 for begin, end in gaps)

    def delivered_through(self, last: int) -> int:
        """Up to where the upstream has everything for good; ``last`` is the newest number."""
        return next((begin - 1 for begin, _ in self.acknowledged.gaps(1, last)), last)

    def sent_through(self, last: int) -> int:
        """Up to where it need not be sent anything now."""
        return next((begin - 1 for begin, _ in self.has.gaps(1, last)), last)

    def to_text(self) -> str:
        """What is kept on disk; :meth:`SeqRanges.from_text` reads it."""
        return self.acknowledged.to_text(MAX_RANGES)

    def _add(self, first: int, last: int) -> None:
        self.acknowledged.add(first, last)
        if self._with_held is not None:
            self._with_held.add(first, last)

    def _let_go(self, first: int, last: int) -> list[tuple[int, int]]:
        """Frames in a range are no longer held."""
        if self._with_held is None:
            return []
        taken = self._holding.discard(first, last)
        if not self._holding.frames:
            self._with_held = None
        return taken
