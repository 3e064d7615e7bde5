"""Ranges against a plain set, which is the definition of what they mean."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.outbox.ranges import SeqRanges

seqs = st.integers(1, 60)


class RangesAreASet(RuleBasedStateMachine):
    """Whatever is added in whatever order, a set would hold the same."""

    def __init__(self) -> None:
        super().__init__()
        self.ranges = SeqRanges()
        self.model: set[int] = set()

    @rule(first=seqs, length=st.integers(-3, 12))
    def add(self, first: int, length: int) -> None:
        self.ranges.add(first, first + length - 1)
        self.model |= set(range(first, first + length))

    @rule(first=st.integers(1, 70), last=st.integers(1, 80))
    def look_at_gaps(self, first: int, last: int) -> None:
        gaps = list(self.ranges.gaps(first, last))
        members = [seq for begin, end in gaps for seq in range(begin, end + 1)]
        assert members == sorted(set(range(first, last + 1)) - self.model)
        # Gaps are as long as they can be.
        assert all(begin <= end for begin, end in gaps)
        assert all(a[1] + 1 < b[0] for a, b in itertools.pairwise(gaps))

    @rule(keep=st.integers(0, 20))
    def survive_text(self, keep: int) -> None:
        again = SeqRanges.from_text(self.ranges.to_text(keep))
        assert list(again) == list(self.ranges)[:keep]

    @invariant()
    def same_members(self) -> None:
        assert {seq for seq in range(90) if seq in self.ranges} == self.model

    @invariant()
    def few_ranges(self) -> None:
        """As many as there are runs, so never two that touch."""
        runs = sum(seq - 1 not in self.model for seq in self.model)
        assert len(self.ranges) == len(list(self.ranges)) == runs


TestRangesAreASet = RangesAreASet.TestCase


def test_text_is_readable() -> None:
    """A person with the SQLite shell can read how far an upstream is."""
    ranges = SeqRanges()
    ranges.add(600, 700)
    ranges.add(1, 500)
    assert ranges.to_text(64) == "1-500,600-700"


@pytest.mark.parametrize("text", ["7", "1-2-3", "a-b", "1-2,", "-"])
def test_other_text_is_refused(text: str) -> None:
    """A damaged cursor must not pass for an empty one."""
    with pytest.raises(ValueError):  # noqa: PT011 - whichever of int() and unpacking notices
        SeqRanges.from_text(text)


@given(st.text(alphabet="0123456789-,", max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing but ValueError, and what was read is a set of ranges."""
    try:
        ranges = SeqRanges.from_text(text)
    except ValueError:
        return
    assert SeqRanges.from_text(ranges.to_text(len(ranges))).to_text(99) == ranges.to_text(99)
