"""Acknowledgements never say more than is safe, and what is sent again is recognised."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.event_tracker import BoardMark, EventTracker, mark_key
from protocol.lora.events import EventOrigin
from tests.edge.uplinks import BOARD_A, BOARD_B, numbered, uplink


def no_mark(_key: str) -> None:
    """Nothing was ever committed."""


def origin(number: int, boot: int = 1) -> EventOrigin:
    """An event of board A."""
    return EventOrigin(BOARD_A, boot, number)


@given(st.permutations(range(1, 13)))
def test_only_a_whole_prefix_is_acknowledged(order: list[int]) -> None:
    """Whatever the order in which events become safe."""
    tracker, _ = EventTracker(no_mark).boot(origin(1))
    for number in range(1, 13):
        assert tracker.admit(numbered(number), number)
    safe: set[int] = set()
    acknowledged = 0
    for number in order:
        latest = tracker.dispose(number)
        safe.add(number)
        if latest is not None:
            assert latest.origin is not None
            acknowledged = latest.origin.number
        assert set(range(1, acknowledged + 1)) <= safe
        assert acknowledged + 1 not in safe
    assert acknowledged == 12


def test_a_repeated_event_is_not_taken_in_again() -> None:
    """Sent again within a session, while its first copy is still being committed."""
    tracker, _ = EventTracker(no_mark).boot(origin(1))
    assert tracker.admit(numbered(1), 1)
    assert not tracker.admit(numbered(1), 1)


def test_events_committed_before_a_restart_are_recognised() -> None:
    """The mark that went with the frame tells; later events are new."""
    mark = BoardMark(boot_id=1, number=5, ring_overflow=2)
    tracker, lost = EventTracker({mark_key(BOARD_A): mark.to_bytes()}.get).boot(origin(4))
    assert lost == 0
    assert not tracker.admit(numbered(4), 4)
    assert tracker.disposed == 5
    assert tracker.ring_overflow == 2
    assert tracker.admit(numbered(6), 6)
    latest = tracker.dispose(6)
    assert latest == numbered(6)


def test_a_board_that_begins_behind_our_mark_can_be_acknowledged() -> None:
    """An earlier host acknowledged dropped frames that left no mark."""
    tracker, _ = EventTracker(no_mark).boot(origin(57))
    tracker.admit(numbered(57), 57)
    assert tracker.dispose(57) == numbered(57)


def test_what_a_restarted_board_took_with_it_is_counted() -> None:
    """Its heartbeats told of ten events; seven arrived."""
    events = EventTracker(no_mark)
    tracker, _ = events.boot(origin(1))
    for number in range(1, 8):
        tracker.admit(numbered(number), number)
    tracker.newest = 10
    fresh, lost = events.boot(origin(1, boot=2))
    assert lost == 3
    assert fresh.seen == 0
    assert events.current(origin(1, boot=1)) is None
    assert events.boot(origin(2, boot=2)) == (fresh, 0)


def test_marks_name_the_highest_event_of_each_board() -> None:
    """One mark a board, in whatever order the events stand; a dead boot leaves none."""
    events = EventTracker(no_mark)
    group = [numbered(1), numbered(2), numbered(1, BOARD_B), uplink(), numbered(9, boot=7)]
    for event in group[:3]:
        assert event.origin is not None
        events.boot(event.origin)[0].admit(event, event.origin.number)
    marks = events.marks([group[1], group[0], *group[2:]])
    assert {key: BoardMark.from_bytes(value) for key, value in marks.items()} == {
        mark_key(BOARD_A): BoardMark(1, 2, 0),
        mark_key(BOARD_B): BoardMark(1, 1, 0),
    }


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_marks_survive_their_bytes(boot_id: int, number: int, overflow: int) -> None:
    """What is committed is what is read back."""
    mark = BoardMark(boot_id, number, overflow)
    assert BoardMark.from_bytes(mark.to_bytes()) == mark


def test_a_mark_of_another_length_is_refused() -> None:
    """Rather than read as something else."""
    with pytest.raises(struct.error):
        BoardMark.from_bytes(b"short")
