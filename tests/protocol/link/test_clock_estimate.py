"""Mapping a board's counter to the host's clock: the answer can never be further off than half
of the best round trip, as long as the counter runs steadily (RFC 5905 section 10)."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.link.clock_estimate import ClockEstimate, TimeSample

_HOUR_US = 3_600_000_000


def exchange(at_us: int, offset_us: int, there_us: int, back_us: int) -> TimeSample:
    """An exchange with a board whose counter is ``offset_us`` behind the host's clock."""
    return TimeSample(at_us, at_us + there_us + back_us, at_us + there_us - offset_us)


@given(
    st.lists(st.tuples(st.integers(0, 400_000), st.integers(0, 400_000)), min_size=1, max_size=40),
    st.integers(-_HOUR_US, 10 * _HOUR_US),
)
def test_steady_counter_is_known_to_half_the_best_round_trip(
    ways: list[tuple[int, int]], offset_us: int
) -> None:
    estimate = ClockEstimate()
    now_us = 20 * _HOUR_US
    for there_us, back_us in ways:
        estimate.add(exchange(now_us, offset_us, there_us, back_us))
        now_us += 10_000_000
    event_us = now_us - 1_000_000
    mapped_us = estimate.host_us(event_us - offset_us, now_us)
    recent = ways[-16:]
    assert estimate.uncertainty_us == min(there + back for there, back in recent) // 2
    assert abs(mapped_us - event_us) <= estimate.uncertainty_us + 1


def test_no_time_is_in_the_future() -> None:
    estimate = ClockEstimate()
    assert estimate.host_us(5, now_us=100) == 100
    estimate.add(exchange(0, 0, 10, 10))
    assert estimate.host_us(1 << 63, now_us=100) == 100


def test_frame_from_before_the_host_booted_has_a_negative_time() -> None:
    """It waited in the board's ring during a power cut of the host alone."""
    estimate = ClockEstimate()
    estimate.add(exchange(30_000_000, -_HOUR_US, 500, 500))
    assert estimate.host_us(_HOUR_US - 5_000_000, now_us=31_000_000) == -5_000_000


def test_jump_of_the_counter_outdates_what_was_known() -> None:
    estimate = ClockEstimate()
    estimate.add(exchange(0, 0, 10, 10))
    estimate.add(exchange(10_000_000, -_HOUR_US, 300, 300))
    assert estimate.host_us(_HOUR_US + 10_000_000, now_us=11_000_000) == 10_000_000
    assert estimate.uncertainty_us == 300


def test_time_stays_within_64_bits_whatever_a_board_counts() -> None:
    estimate = ClockEstimate()
    estimate.add(TimeSample(0, 10, (1 << 64) - 1))
    assert abs(estimate.host_us(0, now_us=10)) < 1 << 63
