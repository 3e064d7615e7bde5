"""Sets of sequence numbers as few disjoint ranges: what an upstream has acknowledged."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator


class SeqRanges:
    """A set of positive integers that mostly come in long runs.

    Ranges are closed, disjoint, ascending and never adjacent; so equal sets have equal ranges.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []

    def copy(self) -> "SeqRanges":
        """The same set, to be changed on its own."""
        copied = SeqRanges()
        copied._firsts, copied._lasts = self._firsts.copy(), self._lasts.copy()
        return copied

    def add(self, first: int, last: int) -> None:
        """Add ``first`` to ``last`` inclusive; an empty range adds nothing."""
        if first > last:
            return
        # Every range that overlaps or touches the new one becomes part of it.
        begin = bisect_left(self._lasts, first - 1)
        end = bisect_right(self._firsts, last + 1)
        if begin < end:
            first = min(first, self._firsts[begin])
            last = max(last, self._lasts[end - 1])
        self._firsts[begin:end] = [first]
        self._lasts[begin:end] = [last]

    def discard(self, first: int, last: int) -> None:
        """Remove ``first`` to ``last`` inclusive; what is not in the set is no error."""
        begin = bisect_left(self._lasts, first)
        end = bisect_right(self._firsts, last)
        if first > last or begin >= end:
            return
        below = (self._firsts[begin], first - 1)
        above = (last + 1, self._lasts[end - 1])
        kept = [(a, b) for a, b in (below, above) if a <= b]
        self._firsts[begin:end] = [a for a, _ in kept]
        self._lasts[begin:end] = [b for _, b in kept]

    def gaps(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Ranges within ``first`` to ``last`` that are not in the set, ascending."""
        index = bisect_left(self._lasts, first)
        while first <= last:
            if index == len(self._firsts):
                yield first, last
                return
            if first < self._firsts[index]:
                yield first, min(last, self._firsts[index] - 1)
            first = self._lasts[index] + 1
            index += 1

    def __contains__(self, seq: int) -> bool:
        index = bisect_left(self._lasts, seq)
        return index < len(self._firsts) and self._firsts[index] <= seq

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Count the ranges, not their members."""
        return len(self._firsts)

    def to_text(self, max_ranges: int) -> str:
        """``1-500,600-700``: the lowest ranges, for a person with the SQLite shell too."""
        pairs = zip(self._firsts[:max_ranges], self._lasts, strict=False)
        return ",".join(f"{first}-{last}" for first, last in pairs)

    @classmethod
    def from_text(cls, text: str) -> "SeqRanges":
        """Undo :meth:`to_text`.

        Raises:
            ValueError: the text is not of that form.
        """
        ranges = cls()
        for pair in text.split(",") if text else ():
            first, last = pair.split("-")
            ranges.add(int(first), int(last))
        return ranges


def runs(seqs: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers as ranges; few, if they mostly ascend without gaps."""
    first = last = 0
    for seq in seqs:
        if seq == last + 1 and first:
            last = seq
            continue
        if first:
            yield first, last
        first = last = seq
    if first:
        yield first, last
