"""One transmission becomes one frame, two never do, and marks stay true."""

from hypothesis import given
from hypothesis import strategies as st

from edge.deduplication import HOLD_US, SAME_TRANSMISSION_US, Deduplicator
from protocol.lora.events import CrcStatus, EventOrigin, UplinkReceived
from tests.edge.uplinks import BOARD_A, BOARD_B, numbered, uplink

CHANNEL = (921_400_000, 9, 125_000)
NOW = 10_000_000


def both_radios() -> Deduplicator:
    """Two radios on one channel."""
    return Deduplicator([CHANNEL, CHANNEL])


def test_a_lone_radio_waits_for_nobody() -> None:
    """With one radio on the channel there is nothing to merge."""
    held = Deduplicator([CHANNEL])
    assert not held.add(uplink(), NOW)
    assert len(held.release(NOW)) == 1
    assert held.timer_us() is None


def test_two_radios_make_one_frame_at_once_when_both_have_reported() -> None:
    """The best reception stands first, none is lost."""
    held = both_radios()
    assert not held.add(uplink(radio=0, snr_db=-3.0), NOW)
    assert held.release(NOW) == []
    assert held.timer_us() == NOW + HOLD_US
    assert held.add(uplink(radio=1, snr_db=2.0, at_us=1_400_000), NOW)
    (frame,) = held.release(NOW)
    assert [event.radio for event in frame.best_first()] == [1, 0]
    assert len(held) == 0


def test_the_hold_ends_by_itself() -> None:
    """A radio that did not hear the frame is waited for 200 ms."""
    held = both_radios()
    held.add(uplink(), NOW)
    assert held.release(NOW + HOLD_US - 1) == []
    assert len(held.release(NOW + HOLD_US)) == 1


def test_a_late_reception_is_a_frame_of_its_own() -> None:
    """The same payload after more than 500 ms is a repetition over the air."""
    held = both_radios()
    held.add(uplink(radio=0, at_us=0), NOW)
    assert not held.add(uplink(radio=1, at_us=SAME_TRANSMISSION_US + 1), NOW)
    assert len(held) == 2


def test_one_radio_hears_a_transmission_once() -> None:
    """The same radio twice is two transmissions, however close."""
    held = both_radios()
    held.add(uplink(at_us=0), NOW)
    assert not held.add(uplink(at_us=1), NOW)


def test_radios_of_one_board_are_compared_on_the_boards_counter() -> None:
    """Exact where the host's clock would mislead: replayed events arrive all at once."""
    held = both_radios()
    first = uplink(radio=0, count_us=0, origin=EventOrigin(BOARD_A, 1, 1))
    held.add(first, NOW)
    later = uplink(radio=1, count_us=2_000_000, origin=EventOrigin(BOARD_A, 1, 2))
    assert later.received_at_us == first.received_at_us
    assert not held.add(later, NOW)


def test_radios_of_two_boards_are_compared_on_the_hosts_clock() -> None:
    """Their counters have nothing in common."""
    held = both_radios()
    held.add(uplink(count_us=0, origin=EventOrigin(BOARD_A, 1, 1)), NOW)
    assert held.add(
        uplink(concentrator="b", count_us=9_000_000, origin=EventOrigin(BOARD_B, 1, 1)), NOW
    )


def test_a_reception_without_snr_comes_last() -> None:
    """Some devices do not tell."""
    held = both_radios()
    held.add(uplink(radio=0, snr_db=None, rssi_dbm=-50), NOW)
    held.add(uplink(radio=1, snr_db=-15.0, rssi_dbm=-120), NOW)
    (frame,) = held.release(NOW)
    assert frame.best_first()[0].radio == 1


def test_a_frame_takes_earlier_events_of_its_boards_along() -> None:
    """Else the mark of event 2 would say that event 1 is safe while it is still held."""
    held = both_radios()
    first = uplink(b"one", concentrator="a", origin=EventOrigin(BOARD_A, 1, 1))
    second_on_b = uplink(b"two", concentrator="b", origin=EventOrigin(BOARD_B, 1, 1))
    second_on_a = uplink(b"two", concentrator="a", origin=EventOrigin(BOARD_A, 1, 2))
    held.add(second_on_b, NOW - HOLD_US)
    held.add(first, NOW)
    assert held.add(second_on_a, NOW)
    leaving = held.release(NOW)
    assert {frame.receptions[0].payload for frame in leaving} == {b"one", b"two"}


@given(st.data())
def test_released_marks_never_jump_over_what_is_held(data: st.DataObject) -> None:
    """Property of every release: no held event is older than a released one of its board."""
    held = Deduplicator([CHANNEL] * 2)
    numbers = {BOARD_A: 0, BOARD_B: 0}
    now_us = NOW
    waiting: list[UplinkReceived] = []
    highest = {BOARD_A: 0, BOARD_B: 0}
    for _ in range(data.draw(st.integers(1, 30))):
        board = data.draw(st.sampled_from([BOARD_A, BOARD_B]))
        numbers[board] += 1
        event = uplink(
            data.draw(st.sampled_from([b"x", b"y", b"z"])),
            concentrator=board.hex(),
            at_us=now_us,
            origin=EventOrigin(board, 1, numbers[board]),
        )
        held.add(event, now_us)
        waiting.append(event)
        now_us += data.draw(st.sampled_from([0, 50_000, 150_000, 600_000]))
        for frame in held.release(now_us):
            for reception in frame.receptions:
                waiting.remove(reception)
                highest[_board(reception)] = max(highest[_board(reception)], _number(reception))
        assert all(_number(event) > highest[_board(event)] for event in waiting)
    everything = held.release(now_us, everything=True)
    assert sum(len(frame.receptions) for frame in everything) == len(waiting)


def _number(event: UplinkReceived) -> int:
    assert event.origin is not None
    return event.origin.number


def _board(event: UplinkReceived) -> bytes:
    assert event.origin is not None
    return event.origin.board_id


def test_events_without_origin_are_held_too() -> None:
    """Devices that do not number their events."""
    held = both_radios()
    held.add(uplink(), NOW)
    held.add(numbered(1), NOW - HOLD_US)
    assert len(held.release(NOW)) == 1


def test_intact_copy_stands_before_a_damaged_one() -> None:
    """Where damaged frames are stored as well, the good copy is the one to be read."""
    held = both_radios()
    held.add(uplink(radio=0, snr_db=9.0, crc_status=CrcStatus.BAD), NOW)
    held.add(uplink(radio=1, snr_db=3.0), NOW)
    (frame,) = held.release(NOW)
    assert [event.radio for event in frame.best_first()] == [1, 0]
