"""The replay window against a memory that forgets nothing, and the choice of upper halves."""

from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.lorawan.counter import WINDOW, ReplayWindow, Verdict, candidates

TOP = 0xFFFFFFFF
SESSION = b"sess"
counters = st.integers(0, TOP)


def window_at(last: int) -> ReplayWindow:
    """A session of which only ``last`` was heard."""
    return ReplayWindow.start(last, session=SESSION, mic=b"mic0")


class WindowAgainstEverything(RuleBasedStateMachine):
    """The model remembers all counters; the window may know less only below its lower edge."""

    @initialize(first=counters)
    def start(self, first: int) -> None:
        """Hear the first frame."""
        self.window = window_at(first)
        self.used = {first: b"mic0"}

    def use(self, counter: int, mic: bytes) -> None:
        """Offer a counter, and use it if it is new."""
        counter = min(max(counter, 0), TOP)
        verdict = self.window.check(counter)
        if max(self.used) - counter >= 64:
            assert verdict is Verdict.TOO_OLD
        elif counter in self.used:
            assert verdict is Verdict.REPEAT
        else:
            assert verdict is Verdict.NEW
            self.window = self.window.mark(counter, mic=mic)
            self.used[counter] = mic

    @rule(offset=st.integers(-70, 70), mic=st.binary(min_size=4, max_size=4))
    def near(self, offset: int, mic: bytes) -> None:
        """Late frames, repeats, small gaps."""
        self.use(max(self.used) + offset, mic)

    @rule(counter=counters, mic=st.binary(min_size=4, max_size=4))
    def anywhere(self, counter: int, mic: bytes) -> None:
        """Old replays and jumps after an outage."""
        self.use(counter, mic)

    @rule(offset=st.integers(0, 200))
    def mark_again(self, offset: int) -> None:
        """Marking what is used or forgotten changes nothing."""
        counter = max(self.used) - offset
        if counter in self.used or offset >= 64:
            assert self.window.mark(counter, mic=b"else") == self.window

    @invariant()
    def the_last_frame_is_known(self) -> None:
        """By counter and MIC together."""
        last = max(self.used)
        assert self.window.last == last
        assert self.window.is_last(last, self.used[last])
        assert not self.window.is_last(last, bytes(b ^ 1 for b in self.used[last]))
        assert not self.window.is_last(last - 1, self.used[last])

    @invariant()
    def it_survives_the_store(self) -> None:
        """At every moment, in 20 bytes."""
        stored = self.window.to_bytes()
        assert len(stored) == 20
        assert ReplayWindow.from_bytes(stored) == self.window


TestWindowAgainstEverything = WindowAgainstEverything.TestCase
TestWindowAgainstEverything.settings = settings(max_examples=100, stateful_step_count=40)


def test_window_is_the_one_of_the_design() -> None:
    """The last counter and 63 before it."""
    window = window_at(1000)
    assert WINDOW == 64
    assert window.check(1001) is Verdict.NEW
    assert window.check(1000) is Verdict.REPEAT
    assert window.check(937) is Verdict.NEW
    assert window.check(936) is Verdict.TOO_OLD


def test_stored_bytes_are_a_format() -> None:
    """Last counter, bitmap, session, MIC; most significant byte first. Stores outlive versions."""
    window = window_at(0x01020304).mark(0x01020306, mic=b"MICM")
    assert window.to_bytes().hex() == "01020306" + "0000000000000005" + b"sessMICM".hex()


@pytest.mark.parametrize("stored", [b"", bytes(19), bytes(21), bytes(20)])
def test_stored_garbage_is_refused(stored: bytes) -> None:
    """Wrong lengths, and a bitmap without its own last counter."""
    with pytest.raises(ValueError, match="replay window"):
        ReplayWindow.from_bytes(stored)


@given(st.binary(max_size=40))
def test_any_stored_bytes_raise_value_error_only(stored: bytes) -> None:
    """And what is read is written back the same."""
    try:
        window = ReplayWindow.from_bytes(stored)
    except ValueError:
        return
    assert window.to_bytes() == stored


@given(counters, counters)
def test_a_frame_of_any_distance_ahead_is_among_the_candidates(last: int, ahead: int) -> None:
    """In the order of upper halves, none twice, all with the right lower half."""
    low_half = ahead & 0xFFFF
    found = list(islice(candidates(low_half, window_at(last)), 100))
    assert all(counter & 0xFFFF == low_half and 0 <= counter <= TOP for counter in found)
    assert len(set(found)) == len(found)
    uppers_ahead = (ahead >> 16) - (last >> 16)
    if 0 <= uppers_ahead < 90:
        assert ahead in found


@given(st.integers(0, 0xFFFF))
def test_without_a_window_counting_starts_at_zero(low_half: int) -> None:
    """And goes up."""
    found = list(islice(candidates(low_half, None), 20))
    assert found == [upper << 16 | low_half for upper in range(20)]


@given(counters, st.integers(-63, 0x10000))
def test_daily_traffic_is_among_the_first_three(last: int, offset: int) -> None:
    """Late frames, the next ones, and the roll-over; the next ones among the first two."""
    counter = last + offset
    if not 0 <= counter <= TOP:
        return
    first = list(islice(candidates(counter & 0xFFFF, window_at(last)), 3))
    assert counter in (first[:2] if offset > 0 else first)


@pytest.mark.parametrize(
    ("last", "low_half", "expected"),
    [
        (7, 8, [8, 0x10008, 0x20008]),
        (7, 3, [3, 0x10003, 0x20003]),
        (0x10005, 0x0006, [0x10006, 0x20006, 0x0006, 0x30006]),  # 6 = the counter lost
        (0x10005, 0xFFFF, [0x1FFFF, 0x2FFFF, 0xFFFF, 0x3FFFF]),  # FFFF = a late frame
        (0x20005, 0xFFFF, [0x2FFFF, 0x3FFFF, 0x1FFFF, 0xFFFF, 0x4FFFF]),
        (0x50005, 0x0006, [0x50006, 0x60006, 0x0006, 0x70006, 0x80006]),
        (TOP, 0x0000, [0xFFFF0000, 0x0000]),  # the counter is used up: nothing is ahead
    ],
)
def test_candidates_by_hand(last: int, low_half: int, expected: list[int]) -> None:
    """The order decides how much cryptography a frame costs."""
    found = list(islice(candidates(low_half, window_at(last)), len(expected) + 1))
    assert found[: len(expected)] == expected
