"""Anchors against a simulated crystal whose true time is known."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.anchors import (
    AGREEMENT_US,
    ANCHOR_INTERVAL_US,
    DRIFT_PPM,
    MAX_ANCHORS,
    Anchor,
    ClockHistory,
    Learned,
    plausible,
)
from protocol.records.sensor_frame import WallTime

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
WEEK_US = 7 * DAY_US
Y2026_US = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z
Offset = Callable[[int], int]


def learnt(readings: Iterable[Anchor], history: ClockHistory | None = None) -> ClockHistory:
    """The history after some readings."""
    history = history or ClockHistory()
    for reading in readings:
        history, _ = history.learn(reading)
    return history


def times(history: ClockHistory, instants_us: Iterable[int]) -> list[WallTime]:
    """Times of instants that must be known."""
    walls = [history.wall(instant_us) for instant_us in instants_us]
    assert None not in walls
    return [wall for wall in walls if wall is not None]


def check_bounds(history: ClockHistory, true_offset: Offset, instants_us: Iterable[int]) -> None:
    """No time is further off than it says; 2 us because it is rounded, as is the truth here."""
    for known in (history, ClockHistory(history.anchors)):  # now, and after a restart
        for instant_us in instants_us:
            [wall] = times(known, [instant_us])
            error_us = wall.unix_us - instant_us - true_offset(instant_us)
            assert abs(error_us) <= wall.uncertainty_us + 2, f"at {instant_us} us"


@dataclass(frozen=True)
class Host:
    """A host whose time daemon has had answers during some spans of uptime.

    While it has, both clocks run right. While it has not, the crystal carries both away, and the
    kernel still vouches for them until its own bound, which grows by 500 us a second, says 16 s.
    """

    answered: tuple[tuple[int, int], ...]
    drift_ppm: int

    def true_offset(self, boottime_us: int) -> int:
        """What Unix time minus uptime should be."""
        answered_us = sum(max(0, min(end, boottime_us) - start) for start, end in self.answered)
        return Y2026_US + (boottime_us - answered_us) * self.drift_ppm // 1_000_000

    def reading(self, boottime_us: int) -> Anchor | None:
        """What the kernel says."""
        before = [(start, end) for start, end in self.answered if start <= boottime_us]
        if not before:
            return None
        start_us, end_us = before[-1]
        since_us = max(0, boottime_us - end_us)
        if since_us == 0:  # answers come every 1,024 s
            since_us = (boottime_us - start_us) % (1_024 * SECOND_US)
        uncertainty_us = 20_000 + since_us * 500 // 1_000_000
        if uncertainty_us > 16 * SECOND_US:
            return None
        return Anchor(boottime_us, self.true_offset(min(boottime_us, end_us)), uncertainty_us)

    def readings(self, instants_us: Iterable[int]) -> list[Anchor]:
        """All that it says."""
        readings = [self.reading(instant_us) for instant_us in instants_us]
        return [reading for reading in readings if reading is not None]


def test_undated_without_a_reading() -> None:
    """Nobody knows."""
    assert ClockHistory().wall(5) is None


def test_first_anchor_dates_what_came_before() -> None:
    """A crystal may have gone wrong by 0.1 ms a second meanwhile."""
    history = learnt([Anchor(100 * SECOND_US, Y2026_US, 1_000)])
    assert times(history, [0, 100 * SECOND_US, 300 * SECOND_US]) == [
        WallTime(Y2026_US, 11_000),
        WallTime(Y2026_US + 100 * SECOND_US, 1_000),
        WallTime(Y2026_US + 300 * SECOND_US, 21_000),
    ]


@given(
    drift_ppm=st.integers(-DRIFT_PPM, DRIFT_PPM),
    first_us=st.integers(0, DAY_US),
    outage_us=st.integers(10 * SECOND_US, WEEK_US),
    pace_s=st.integers(61, 3_599),
)
def test_outage_of_up_to_a_week(drift_ppm: int, first_us: int, outage_us: int, pace_s: int) -> None:
    """Once synchronisation is back, frames of the outage are right to 1 s, and never claim more."""
    lost_us = first_us + DAY_US
    back_us = lost_us + outage_us
    host = Host(((first_us, lost_us), (back_us, back_us + WEEK_US)), drift_ppm)
    instants_us = range(0, back_us, pace_s * SECOND_US)
    history = learnt(host.readings(instants_us))
    check_bounds(history, host.true_offset, range(0, back_us, HOUR_US))
    history = learnt(host.readings([back_us]), history)
    check_bounds(history, host.true_offset, range(0, back_us, HOUR_US))
    outage = range(lost_us, back_us, max(1, outage_us // 100))
    for known in (history, ClockHistory(history.anchors)):
        for instant_us, wall in zip(outage, times(known, outage), strict=True):
            assert abs(wall.unix_us - instant_us - host.true_offset(instant_us)) <= SECOND_US


def test_twelve_seconds_in_a_week_are_drift() -> None:
    """20 ppm: no step, and both ends stay."""
    history, learned = learnt([Anchor(0, Y2026_US, 1_000)]).learn(
        Anchor(WEEK_US, Y2026_US + 12_096_000, 1_000)
    )
    assert learned == Learned(anchored=True)
    [middle] = times(history, [WEEK_US // 2])
    assert middle.unix_us == Y2026_US + WEEK_US // 2 + 6_048_000


def test_a_clock_looked_after_is_right_to_a_second_all_along() -> None:
    """Two anchors and a written hour suffice for a month, and the times in between say so."""
    host = Host(((60 * SECOND_US, 30 * DAY_US),), 50)
    history = learnt(host.readings(range(0, 30 * DAY_US, 64 * SECOND_US)))
    assert len(history.anchors) <= 3
    for wall in times(history, range(0, 30 * DAY_US, 7_777 * SECOND_US)):
        assert wall.uncertainty_us < SECOND_US
    check_bounds(history, host.true_offset, range(0, 30 * DAY_US, 7_777 * SECOND_US))


def test_the_worst_crystal_between_two_readings() -> None:
    """Fast for an hour, slow for the next: every reading is the same, and all between are off."""

    def true_offset(boottime_us: int) -> int:
        return Y2026_US + min(boottime_us % (2 * HOUR_US), -boottime_us % (2 * HOUR_US)) // 10_000

    slow_us = 249_000  # the readings are hardly as good as they claim
    history = learnt(Anchor(n * 2 * HOUR_US, Y2026_US - slow_us, 250_000) for n in range(100))
    assert len(history.anchors) == 2
    check_bounds(history, true_offset, range(0, 198 * HOUR_US, HOUR_US))
    [middle] = times(history, [99 * HOUR_US])
    assert true_offset(99 * HOUR_US) == Y2026_US + 360_000
    assert middle.uncertainty_us < SECOND_US


def test_live_frames_are_dated_by_the_newest_reading() -> None:
    """Although it is not worth a write."""
    history = learnt([Anchor(0, Y2026_US, 1_000)])
    history, learned = history.learn(Anchor(3_000 * SECOND_US, Y2026_US + 7_000, 1_200))
    assert learned == Learned()
    assert history.wall(3_000 * SECOND_US) == WallTime(Y2026_US + 3_000 * SECOND_US + 7_000, 1_200)
    assert [anchor.boottime_us for anchor in history.anchors] == [0]


@pytest.mark.parametrize(
    ("reading", "anchors"),
    [
        pytest.param(Anchor(SECOND_US, Y2026_US + 200, 30_000), 0, id="the same again"),
        pytest.param(Anchor(SECOND_US, Y2026_US + 200, 19_000), 1, id="much better"),
        pytest.param(Anchor(HOUR_US, Y2026_US + 200, 40_000), 2, id="an hour later"),
        pytest.param(Anchor(HOUR_US, Y2026_US, 1_840_000), 0, id="an hour without an answer"),
        pytest.param(Anchor(HOUR_US, Y2026_US + 51_000, 40_000), 2, id="drifted"),
        pytest.param(Anchor(-1, Y2026_US + DAY_US, 0), 0, id="before what is known"),
    ],
)
def test_what_is_worth_a_write(reading: Anchor, anchors: int) -> None:
    """Number of anchors after it; 0 if nothing is written."""
    before = learnt([Anchor(0, Y2026_US, 40_000)])
    after, learned = before.learn(reading)
    assert learned.anchored == (anchors > 0)
    assert len(after.anchors) == (anchors or 1)
    assert learned.step_us == 0


def test_hours_that_agree_slide_the_last_anchor() -> None:
    """Two rows for days on end; an hour that is off adds one."""
    history = learnt(Anchor(hour * HOUR_US, Y2026_US, 1_000) for hour in range(50))
    assert [anchor.boottime_us for anchor in history.anchors] == [0, 49 * HOUR_US]
    history = learnt([Anchor(50 * HOUR_US, Y2026_US + AGREEMENT_US + 1, 1_000)], history)
    assert [anchor.boottime_us // HOUR_US for anchor in history.anchors] == [0, 49, 50]


def hours(*readings: tuple[float, int, int]) -> list[int]:
    """Minutes of the anchors after readings of (hour, offset in ms, uncertainty in ms)."""
    history = learnt(
        Anchor(round(hour * HOUR_US), Y2026_US + offset_ms * 1_000, uncertainty_ms * 1_000)
        for hour, offset_ms, uncertainty_ms in readings
    )
    return [anchor.boottime_us * 60 // HOUR_US for anchor in history.anchors]


def test_what_does_not_slide() -> None:
    """An anchor stays if without it one would not know that the clock had been looked after."""
    assert hours((0, 0, 1), (1, 0, 1), (2, 0, 1)) == [0, 120]
    assert hours((0, 0, 1), (1, 0, 1), (3.1, 0, 1)) == [0, 60, 186], "a gap"
    assert hours((0, 0, 1), (1, 0, 1), (2, 0, 300)) == [0, 60, 120], "a poor reading"
    unwritten = (1.9, 0, 300), (1.95, 0, 1)
    assert hours((0, 0, 1), (1, 0, 1), *unwritten, (2.2, 0, 1)) == [0, 60, 132], (
        "a poor one between"
    )
    assert hours((0, 0, 1), (1, 40, 1), (2, 80, 1)) == [0, 60, 120], "slow drift"
    assert hours((0, 0, 300), (1, 0, 40)) == [0, 60], "better, but far away"


def test_drift_began_with_the_last_good_reading() -> None:
    """Which is written when it is needed."""
    assert hours((0, 0, 1), (0.8, 0, 1), (100, 9_000, 1)) == [0, 48, 6_000]


def test_what_was_in_between_is_in_doubt_once_an_anchor_is_gone() -> None:
    """Nobody knows any more whether the clock was held."""
    wrong = Anchor(HOUR_US, Y2026_US + 3 * SECOND_US, 0)
    after = Anchor(2 * HOUR_US, Y2026_US, SECOND_US, held=True)
    history = ClockHistory((Anchor(0, Y2026_US, SECOND_US), wrong, after))
    history = learnt([Anchor(3 * HOUR_US, Y2026_US + 60_000, 1_000)], history)
    assert [anchor.boottime_us // HOUR_US for anchor in history.anchors] == [0, 2, 3]
    assert not any(anchor.held for anchor in history.anchors)
    slow = learnt(Anchor(n * HOUR_US, Y2026_US + n * 30_000, 1_000) for n in range(MAX_ANCHORS + 1))
    assert [anchor.held for anchor in slow.anchors[1:]].count(False) == 1


LIES_US = [-Y2026_US, 56 * 365 * DAY_US, -DAY_US, HOUR_US, -130 * SECOND_US]


@given(
    lies=st.lists(
        st.sampled_from(LIES_US)
        | st.integers(130 * SECOND_US, 10**16)
        | st.integers(-(10**16), -130 * SECOND_US),
        min_size=1,
        max_size=5,
    ),
    each_us=st.integers(1, DAY_US),
)
def test_a_lie_is_forgotten_once_the_truth_is_known(lies: list[int], each_us: int) -> None:
    """Whatever a clock had claimed for hours in between, the newest reading dates all of a boot.

    What a crystal may do in that time, it is taken for: 200 ppm are 121 s a week.
    """
    readings = [Anchor(n * each_us, Y2026_US + lie, 1_000) for n, lie in enumerate(lies)]
    history = learnt([Anchor(0, Y2026_US, 1_000), *readings[1:]])
    truth = Anchor(len(lies) * each_us, Y2026_US, 1_000)
    history, learned = history.learn(truth)
    assert (learned.step_us == -lies[-1]) if len(lies) > 1 else (learned.step_us == 0)
    for number in range(len(lies)):
        [wall] = times(history, [number * each_us])
        assert abs(wall.unix_us - number * each_us - Y2026_US) <= SECOND_US


def test_a_step_is_told_once() -> None:
    """The clock was set by a day; what it says then is the same again."""
    history = learnt([Anchor(0, Y2026_US, 1_000)])
    history, learned = history.learn(Anchor(DAY_US, Y2026_US - DAY_US, 1_000))
    assert learned == Learned(anchored=True, step_us=-DAY_US)
    history, learned = history.learn(Anchor(DAY_US + SECOND_US, Y2026_US - DAY_US, 1_000))
    assert learned == Learned()
    assert history.anchors == (Anchor(DAY_US, Y2026_US - DAY_US, 1_000),)


@st.composite
def true_readings(draw: st.DrawFn) -> tuple[Offset, list[Anchor]]:
    """A crystal of changing speed within the allowance, and readings as good as they claim."""
    drifts = draw(
        st.lists(
            st.tuples(st.integers(1, 2 * DAY_US), st.integers(-DRIFT_PPM, DRIFT_PPM)),
            min_size=1,
            max_size=8,
        )
    )

    def true_offset(boottime_us: int) -> int:
        offset, begin_us = 0, 0
        for duration_us, ppm in drifts:
            offset += max(0, min(duration_us, boottime_us - begin_us)) * ppm
            begin_us += duration_us
        return Y2026_US + offset // 1_000_000

    readings = []
    gaps = st.integers(1, 3 * HOUR_US) | st.integers(1, 3 * SECOND_US) | st.integers(1, DAY_US)
    uncertainties = st.integers(1, 200_000) | st.integers(0, 16 * SECOND_US)
    if draw(st.booleans()):  # looked after, mostly
        gaps = st.integers(1, HOUR_US) | st.just(2 * HOUR_US)
        uncertainties = st.integers(0, 20_000) | st.integers(0, 250_000)
    boottime_us = 0
    for gap_us in draw(st.lists(gaps, min_size=1, max_size=60)):
        boottime_us += gap_us
        uncertainty_us = draw(uncertainties)
        error_us = draw(st.sampled_from([-1, 0, 1])) * uncertainty_us
        readings.append(
            Anchor(boottime_us, true_offset(boottime_us) + error_us, uncertainty_us + 1)
        )
    return true_offset, readings


@given(case=true_readings(), data=st.data())
def test_no_time_is_further_off_than_it_says(
    case: tuple[Offset, list[Anchor]], data: st.DataObject
) -> None:
    """For every crystal within the allowance and all readings that are as good as they claim."""
    true_offset, readings = case
    history = learnt(readings)
    instants = st.lists(st.integers(0, readings[-1].boottime_us), min_size=20, max_size=20)
    check_bounds(history, true_offset, data.draw(instants))
    check_bounds(history, true_offset, [reading.boottime_us for reading in readings])


any_reading = st.builds(
    Anchor,
    st.integers(1, 10 * DAY_US) | st.integers(1, 20 * SECOND_US),
    st.integers(-20 * SECOND_US, 20 * SECOND_US) | st.integers(-Y2026_US, Y2026_US),
    st.integers(0, 500_000) | st.integers(0, 16 * SECOND_US),
)


@given(readings=st.lists(any_reading, min_size=1, max_size=80), data=st.data())
def test_times_are_in_order_and_anchors_few(readings: list[Anchor], data: st.DataObject) -> None:
    """Whatever the clock says, also if it lies every time."""
    history = learnt(sorted(readings, key=lambda reading: reading.boottime_us))
    assert 1 <= len(history.anchors) <= MAX_ANCHORS
    for earlier, later in pairwise(history.anchors):
        assert earlier.boottime_us < later.boottime_us
        assert plausible(earlier, later)
    assert not history.anchors[0].held
    instants_us = data.draw(st.lists(st.integers(0, 11 * DAY_US) | st.integers(0, 20 * SECOND_US)))
    for anchor in history.anchors:
        instants_us += [anchor.boottime_us - 1, anchor.boottime_us, anchor.boottime_us + 1]
    instants_us.sort()
    for earlier_wall, later_wall in pairwise(times(history, instants_us)):
        assert earlier_wall.unix_us <= later_wall.unix_us


@given(
    flips=st.lists(st.integers(-60 * SECOND_US, 60 * SECOND_US), min_size=17, max_size=60),
)
def test_first_and_last_stay_when_there_are_too_many(flips: list[int]) -> None:
    """Each is a day after the one before, and the offset wanders as a bad crystal's."""
    readings = [
        Anchor(day * DAY_US, Y2026_US + flip // 10, 1_000) for day, flip in enumerate(flips)
    ]
    history = learnt(readings)
    assert len(history.anchors) == MAX_ANCHORS
    assert history.anchors[0].boottime_us == 0
    assert history.anchors[-1].boottime_us == readings[-1].boottime_us


@given(drift_ppm=st.integers(-DRIFT_PPM, DRIFT_PPM), pace_s=st.integers(50, 70))
def test_a_day_takes_few_writes(drift_ppm: int, pace_s: int) -> None:
    """One an hour, and a few whenever synchronisation comes back, for drift and for accuracy."""
    host = Host(((HOUR_US, 8 * HOUR_US), (20 * HOUR_US, 24 * HOUR_US)), drift_ppm)
    history, writes = ClockHistory(), 0
    for reading in host.readings(range(0, DAY_US, pace_s * SECOND_US)):
        history, learned = history.learn(reading)
        writes += learned.anchored
    assert writes <= DAY_US // ANCHOR_INTERVAL_US + 4
