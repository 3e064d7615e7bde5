"""Frames that an upstream has acknowledged, but that are kept a while in case it forgets them."""

from collections import deque
from dataclasses import dataclass

from edge.outbox.ranges import SeqRanges

_TOGETHER_US = 1_000_000
"""Frames of about one second are held and let go together, so that there are few groups."""


@dataclass(slots=True)
class _Held:
    """What was acknowledged between two times."""

    first_us: int
    last_us: int
    seqs: SeqRanges


class Holding:
    """Numbers with the time at which they were acknowledged; times never go back.

    Attributes:
        frames: how many there are.
    """

    __slots__ = ("_groups", "frames")

    def __init__(self) -> None:
        self._groups: deque[_Held] = deque()
        self.frames = 0

    def add(self, first: int, last: int, now_us: int) -> None:
        """Hold ``first`` to ``last``, none of which is held yet."""
        if not self._groups or now_us - self._groups[-1].first_us >= _TOGETHER_US:
            self._groups.append(_Held(now_us, now_us, SeqRanges()))
        self._groups[-1].last_us = now_us
        self._groups[-1].seqs.add(first, last)
        self.frames += last - first + 1

    def take_until(self, before_us: int) -> list[tuple[int, int]]:
        """Let go of what was acknowledged by then."""
        taken: list[tuple[int, int]] = []
        while self._groups and self._groups[0].last_us <= before_us:
            taken += self._groups.popleft().seqs
        self.frames -= sum(last - first + 1 for first, last in taken)
        return taken

    def discard(self, first: int, last: int) -> list[tuple[int, int]]:
        """Let go of what lies in a range; returns what that was."""
        taken = [
            (max(first, begin), min(last, end))
            for group in self._groups
            for begin, end in group.seqs
            if begin <= last and end >= first
        ]
        for begin, end in taken:
            for group in self._groups:
                group.seqs.discard(begin, end)
            self.frames -= end - begin + 1
        return taken
