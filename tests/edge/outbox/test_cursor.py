"""Which frames an upstream gets next, against the rules of delivery."""

from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.cursor import MAX_RANGES, Cursor
from edge.outbox.ranges import SeqRanges


def cursor_of(acknowledged: set[int], live_from: int) -> Cursor:
    """A cursor with these frames acknowledged."""
    ranges = SeqRanges()
    for seq in acknowledged:
        ranges.add(seq, seq)
    return Cursor(ranges, live_from)


def expand(gaps: list[tuple[int, int]]) -> list[int]:
    """The members of ranges."""
    return [seq for begin, end in gaps for seq in range(begin, end + 1)]


@given(
    acknowledged=st.sets(st.integers(1, 50)),
    live_from=st.integers(0, 60),
    first=st.integers(1, 50),
    count=st.integers(0, 50),
    limit=st.integers(0, 20),
)
def test_live_first_and_each_lane_oldest_first(
    acknowledged: set[int], live_from: int, first: int, count: int, limit: int
) -> None:
    """The design's order of delivery on the data lane."""
    last = first + count - 1
    cursor = cursor_of(acknowledged, live_from)
    missing = [seq for seq in range(first, last + 1) if seq not in acknowledged]
    live = [seq for seq in missing if seq >= live_from]
    wanted = (live or missing)[:limit]
    assert expand(list(cursor.next_gaps(first, last, limit))) == wanted
    assert cursor.pending(first, last) == len(missing)
    assert cursor.oldest_pending(first, last) == (missing[0] if missing else last + 1)


def test_connecting_makes_what_follows_live() -> None:
    """What came while the upstream was away waits behind what comes now."""
    cursor = cursor_of({1, 2}, live_from=0)
    cursor.connected(next_seq=6)
    assert expand(list(cursor.next_gaps(1, 7, 10))) == [6, 7]
    cursor.acknowledged.add(6, 7)
    assert expand(list(cursor.next_gaps(1, 7, 10))) == [3, 4, 5]


def test_after_many_outages_the_oldest_goes_first() -> None:
    """Each outage leaves a hole; holes stop multiplying at 64, and then they are filled."""
    cursor = cursor_of(set(), live_from=1)
    last = 0
    for _ in range(3 * MAX_RANGES):
        last += 2  # one frame arrives during the outage, one after it
        cursor.connected(next_seq=last)
        (sent, *_) = expand(list(cursor.next_gaps(1, last, 1)))
        cursor.acknowledged.add(sent, sent)
        assert len(cursor.acknowledged) <= MAX_RANGES
        assert SeqRanges.from_text(cursor.to_text()).to_text(999) == cursor.to_text()
    assert expand(list(cursor.next_gaps(1, last, 1))) < [last - 1]
