"""Which frames an upstream gets next, against the rules of delivery."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.cursor import MAX_RANGES, Cursor
from edge.outbox.ranges import SeqRanges


def cursor_of(acknowledged: set[int], live_from: int, pending: int = 0) -> Cursor:
    """A cursor with these frames acknowledged."""
    ranges = SeqRanges()
    for seq in acknowledged:
        ranges.add(seq, seq)
    return Cursor(ranges, live_from, pending)


def expand(gaps: Iterable[tuple[int, int]]) -> list[int]:
    """The members of ranges."""
    return [seq for begin, end in gaps for seq in range(begin, end + 1)]


@given(
    acknowledged=st.sets(st.integers(1, 50)),
    live_from=st.integers(0, 60),
    last=st.integers(0, 60),
)
def test_live_first_and_each_lane_oldest_first(
    acknowledged: set[int], live_from: int, last: int
) -> None:
    """The design's order of delivery on the data lane."""
    cursor = cursor_of(acknowledged, live_from)
    missing = [seq for seq in range(1, last + 1) if seq not in acknowledged]
    live = [seq for seq in missing if seq >= live_from]
    assert expand(cursor.next_gaps(last)) == (live or missing)
    assert cursor.delivered_through(last) == (missing[0] - 1 if missing else last)


def test_connecting_makes_what_follows_live() -> None:
    """What came while the upstream was away waits behind what comes now."""
    cursor = cursor_of({1, 2}, live_from=0)
    cursor.connected(next_seq=6)
    assert expand(cursor.next_gaps(7)) == [6, 7]
    cursor.acknowledge(6, 7)
    assert expand(cursor.next_gaps(7)) == [3, 4, 5]


def test_oldest_first_when_there_is_no_live() -> None:
    """A network server drops counters that go backwards."""
    cursor = cursor_of({1, 2, 5}, live_from=0)
    cursor.connected(next_seq=6, live_first=False)
    assert expand(cursor.next_gaps(7)) == [3, 4, 6, 7]


def test_after_many_outages_the_oldest_goes_first() -> None:
    """Each outage leaves a hole; holes stop multiplying at 64, and then they are filled."""
    cursor = cursor_of(set(), live_from=1)
    last = 0
    for _ in range(3 * MAX_RANGES):
        last += 2  # one frame arrives during the outage, one after it
        cursor.connected(next_seq=last)
        sent = expand(cursor.next_gaps(last))[0]
        cursor.acknowledge(sent, sent)
        assert len(cursor.acknowledged) <= MAX_RANGES
        assert SeqRanges.from_text(cursor.to_text()).to_text(999) == cursor.to_text()
    assert expand(cursor.next_gaps(last))[0] < last - 1


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["append", "acknowledge", "remove", "restore"]),
        st.integers(1, 40),
        st.integers(0, 6),
    ),
    max_size=40,
)


@given(STEPS)
def test_pending_is_what_is_kept_and_not_acknowledged(
    steps: list[tuple[str, int, int]],
) -> None:
    """Carried along through appends, acknowledgements, evictions and salvage, never counted."""
    cursor = cursor_of(set(), live_from=1)
    kept: set[int] = set()
    had: set[int] = set()
    last = 0
    for action, begin, length in steps:
        some = set(range(begin, begin + length + 1))
        match action:
            case "append":
                new = set(range(last + 1, last + length + 2))
                last += length + 1
                kept |= new
                cursor.appended(len(new))
            case "acknowledge":
                for seq in some & kept:
                    cursor.acknowledge(seq, seq)
                had |= some & kept
            case "remove":
                for seq in some & kept:
                    cursor.removed(seq, seq)
                kept -= some
            case _:
                for seq in {s for s in some if s <= last} - kept:
                    cursor.pass_over(seq, seq)  # it was not there
                    cursor.restored(seq, seq)
                    kept.add(seq)
                    had.discard(seq)
        assert cursor.pending == len(kept - had)


def test_what_is_under_way_when_it_is_evicted_counts_once() -> None:
    """The upstream may yet acknowledge a frame that the store has just given up."""
    cursor = cursor_of(set(), live_from=1)
    cursor.appended(4)
    cursor.hand_out([(1, 2)])
    assert cursor.removed(1, 3) == 3
    assert cursor.acknowledge(1, 2) == 0
    assert cursor.pending == 1
