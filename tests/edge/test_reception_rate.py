"""A day is learnt hour by hour; silence is held against the same hours."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.reception_rate import HOUR_US, ReceptionRate

MINUTE_US = 60_000_000


def days_of(rate: ReceptionRate, days: int, per_hour: dict[int, int]) -> int:
    """Let days go by, with evenly spread receptions; returns the time."""
    for hour in range(24 * days):
        count = per_hour.get(hour % 24, 0)
        for number in range(count):
            rate.heard(hour * HOUR_US + number * HOUR_US // count)
    return 24 * days * HOUR_US


def test_nothing_is_missed_before_a_day_is_known() -> None:
    rate = ReceptionRate(0)
    rate.heard(HOUR_US)

    assert rate.missed(20 * HOUR_US) == 0


def test_a_quiet_hour_misses_what_that_hour_has_on_other_days() -> None:
    rate = ReceptionRate(0)
    now_us = days_of(rate, 3, dict.fromkeys(range(24), 60))

    # The last frame came a minute before the day ended.
    assert rate.missed(now_us + 30 * MINUTE_US) == pytest.approx(31, abs=1)


def test_a_night_that_is_always_quiet_is_no_silence() -> None:
    rate = ReceptionRate(0)
    by_day = dict.fromkeys(range(6, 22), 60)
    days_of(rate, 3, by_day)  # it ends at midnight, two hours after the last frame
    midnight_us = 72 * HOUR_US

    assert rate.missed(midnight_us + 6 * HOUR_US) < 3
    assert rate.missed(midnight_us + 7 * HOUR_US) == pytest.approx(60, abs=3)


def test_a_silence_of_days_adds_them_up() -> None:
    rate = ReceptionRate(0)
    now_us = days_of(rate, 2, dict.fromkeys(range(24), 10))

    assert rate.missed(now_us + 48 * HOUR_US) == pytest.approx(2 * 240, rel=0.1)


def test_what_a_deaf_radio_did_not_hear_is_not_learnt() -> None:
    rate = ReceptionRate(0)
    now_us = days_of(rate, 2, dict.fromkeys(range(24), 60))
    back_us = now_us + 5 * HOUR_US

    rate.forget_silence(back_us)
    assert rate.missed(back_us) == 0
    rate.heard(back_us + HOUR_US)

    next_day_us = now_us + 24 * HOUR_US
    for hour in range(6, 25):
        for minute in range(60):
            rate.heard(now_us + hour * HOUR_US + minute * MINUTE_US)
    # The first hours of that day are expected to be as busy as ever.
    assert rate.missed(next_day_us + 3 * HOUR_US) > 100


def test_after_a_silence_of_more_than_a_day_the_day_is_as_it_was() -> None:
    rate = ReceptionRate(0)
    now_us = days_of(rate, 2, dict.fromkeys(range(24), 60))
    rate.heard(now_us + 80 * HOUR_US)

    assert rate.missed(now_us + 81 * HOUR_US) == pytest.approx(60, abs=1)


@given(
    st.lists(
        st.tuples(st.sampled_from(["heard", "forget"]), st.integers(0, 40 * HOUR_US)), max_size=60
    )
)
def test_whatever_happens_the_sum_is_finite_and_grows_with_silence(
    steps: list[tuple[str, int]],
) -> None:
    rate, now_us = ReceptionRate(0), 0
    for step, elapsed_us in steps:
        now_us += elapsed_us
        if step == "heard":
            rate.heard(now_us)
        else:
            rate.forget_silence(now_us)
        assert rate.missed(now_us) == 0
        later = [rate.missed(now_us + hours * HOUR_US) for hours in (1, 5, 30)]
        assert 0 <= later[0] <= later[1] <= later[2] < 100_000
