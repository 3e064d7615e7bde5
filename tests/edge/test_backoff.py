"""Delays lie where they should whatever chance says."""

from hypothesis import given
from hypothesis import strategies as st

from edge.backoff import Backoff

jitters = st.floats(0, 1, exclude_max=True)


@given(st.lists(jitters, min_size=1, max_size=40))
def test_delays_stay_within_their_span(drawn: list[float]) -> None:
    """From 1 s up to a bound of 2, 4, 8 ... 256, 300 s."""
    source = iter(drawn)
    backoff = Backoff(lambda: next(source))
    for attempt, jitter in enumerate(drawn, start=1):
        delay_s = backoff.next_delay_s()
        bound_s = min(2**attempt, 300)
        assert 1 <= delay_s <= bound_s
        assert abs(delay_s - (1 + jitter * (bound_s - 1))) < 1e-9


def test_the_whole_span_is_used() -> None:
    """Full jitter: after long trouble delays differ by minutes, not by a few percent."""
    low, high = Backoff(lambda: 0.0), Backoff(lambda: 1 - 2**-53)
    for _ in range(20):
        low_s, high_s = low.next_delay_s(), high.next_delay_s()
    assert low_s == 1
    assert 299.9 < high_s <= 300


def test_reset_begins_anew() -> None:
    """After success the next failure waits shortly again."""
    backoff = Backoff(lambda: 0.999)
    first_s = backoff.next_delay_s()
    for _ in range(10):
        backoff.next_delay_s()
    backoff.reset()
    assert backoff.next_delay_s() == first_s < 2
