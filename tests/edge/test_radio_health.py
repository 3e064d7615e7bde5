"""A dead radio, a quiet night, and what is too little to tell."""

from hypothesis import given
from hypothesis import strategies as st

from edge.radio_health import RadioHealth, Verdict
from edge.reception_rate import HOUR_US
from protocol.lora.events import RadioStatistics

SECOND_US = 1_000_000
BEAT_US = 10 * SECOND_US


def statistics(
    *, receiving: bool = True, faults: int = 0, noise: float | None = -118.0
) -> RadioStatistics:
    return RadioStatistics(0, 0, noise, faults, receiving)


def busy_days(days: int = 2) -> tuple[RadioHealth, int]:
    """A radio that hears a frame a minute, day and night."""
    health = RadioHealth(0)
    for minute in range(days * 24 * 60):
        health.heard(minute * 60 * SECOND_US)
    return health, days * 24 * HOUR_US


def beat(health: RadioHealth, start_us: int, seconds: int, noises: tuple[float, ...]) -> int:
    """Heartbeats each 10 s with these noises by turns; returns the time of the last one."""
    now_us = start_us
    for number in range(seconds // 10):
        now_us = start_us + number * BEAT_US
        health.heartbeat(statistics(noise=noises[number % len(noises)]), now_us)
    return now_us


def test_a_radio_that_was_just_connected_is_fine() -> None:
    assert RadioHealth(0).judge(0).verdict is Verdict.FINE


def test_a_radio_that_does_not_receive_for_a_minute_is_deaf() -> None:
    health = RadioHealth(0)
    health.heartbeat(statistics(receiving=False), 0)
    assert health.judge(59 * SECOND_US).verdict is Verdict.FINE
    health.heartbeat(statistics(receiving=False), 50 * SECOND_US)

    judgement = health.judge(60 * SECOND_US)

    assert judgement.verdict is Verdict.DEAF
    assert judgement.reason == "not receiving for 60 s"
    health.heartbeat(statistics(), 61 * SECOND_US)
    assert health.judge(61 * SECOND_US).verdict is Verdict.FINE


def test_repairs_that_come_again_and_again_are_a_fault_of_the_radio() -> None:
    health = RadioHealth(0)
    for number, faults in enumerate([7, 8, 9, 9]):  # what happened before we came does not count
        health.heartbeat(statistics(faults=faults), number * BEAT_US)
    assert health.judge(4 * BEAT_US).verdict is Verdict.FINE
    health.heartbeat(statistics(faults=10), 5 * BEAT_US)

    assert health.judge(6 * BEAT_US).verdict is Verdict.DEAF
    assert health.judge(HOUR_US).verdict is Verdict.FINE


def test_repairs_that_are_days_apart_are_none() -> None:
    health = RadioHealth(0)
    for day in range(9):
        health.heartbeat(statistics(faults=day), day * 24 * HOUR_US)
        assert health.judge(day * 24 * HOUR_US).verdict is Verdict.FINE


def test_silence_with_moving_noise_is_told_and_no_more() -> None:
    health, now_us = busy_days()
    now_us = beat(health, now_us, 1800, (-118.0, -116.5, -119.0))

    judgement = health.judge(now_us)

    assert judgement.verdict is Verdict.SILENT
    assert "frames missed" in judgement.reason


def test_silence_with_frozen_noise_is_deafness() -> None:
    health, now_us = busy_days()
    now_us = beat(health, now_us, 1800, (-118.0,))

    judgement = health.judge(now_us)

    assert judgement.verdict is Verdict.DEAF
    assert "its noise stays at -118" in judgement.reason


def test_frozen_noise_alone_is_nothing() -> None:
    health = RadioHealth(0)
    now_us = beat(health, 0, 3 * 3600, (-118.0,))

    assert health.judge(now_us).verdict is Verdict.FINE


def test_a_device_that_measures_no_noise_is_at_most_silent() -> None:
    health, now_us = busy_days()
    for number in range(400):
        health.heartbeat(statistics(noise=None), now_us + number * BEAT_US)

    assert health.judge(now_us + 400 * BEAT_US).verdict is Verdict.SILENT


def test_a_quiet_night_after_quiet_nights_is_fine() -> None:
    health = RadioHealth(0)
    for day in range(3):
        for hour in range(6, 22):
            for minute in range(60):
                health.heard((day * 24 + hour) * HOUR_US + minute * 60 * SECOND_US)
    now_us = beat(health, 72 * HOUR_US, 5 * 3600, (-118.0,))

    assert health.judge(now_us).verdict is Verdict.FINE


def test_after_a_reset_the_radio_has_to_show_it_again() -> None:
    health, now_us = busy_days()
    now_us = beat(health, now_us, 1800, (-118.0,))
    health.begin_anew(now_us)
    assert health.judge(now_us).verdict is Verdict.FINE

    now_us = beat(health, now_us, 1800, (-118.0,))

    assert health.judge(now_us).verdict is Verdict.DEAF


EVENTS = st.lists(
    st.tuples(
        st.integers(0, 2 * HOUR_US),
        st.sampled_from(["heard", "beat", "anew"]),
        st.booleans(),
        st.integers(0, 5),
        st.sampled_from([None, -118.0, -40.0]),
    ),
    max_size=80,
)


@given(EVENTS)
def test_who_has_just_been_heard_receiving_and_unrepaired_is_never_called_deaf(
    events: list[tuple[int, str, bool, int, float | None]],
) -> None:
    health, now_us = RadioHealth(0), 0
    for elapsed_us, event, receiving, faults, noise in events:
        now_us += elapsed_us
        if event == "heard":
            health.heard(now_us)
        elif event == "beat":
            health.heartbeat(statistics(receiving=receiving, faults=faults, noise=noise), now_us)
        else:
            health.begin_anew(now_us)
        judgement = health.judge(now_us)
        assert bool(judgement.reason) == (judgement.verdict is not Verdict.FINE)
    health.begin_anew(now_us)
    health.heard(now_us)
    health.heartbeat(statistics(), now_us)
    assert health.judge(now_us).verdict is Verdict.FINE
