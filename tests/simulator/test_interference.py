"""Collisions: thresholds, timing, and the window that finds who met whom."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.interference import (
    Outcome,
    OverlapWindow,
    harm,
    required_lead_db,
    share_air,
    worst,
)
from simulator.sensors import Transmission
from tests.simulator.sample_air import FRAME, SYMBOL_US

DURATION_US = FRAME.end_us - FRAME.start_us
START_US = FRAME.start_us


def at(start_us: int, **changes: int | bool) -> Transmission:
    """A frame of another sensor; a long one, unless ``end_us`` says otherwise."""
    placed = replace(FRAME, sensor="other", start_us=start_us, end_us=start_us + 400_000)
    return replace(placed, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(("lead_db", "outcome"), [(6.0, Outcome.DECODED), (5.9, Outcome.COLLISION)])
def test_capture_threshold(lead_db: float, outcome: Outcome) -> None:
    assert harm(FRAME, at(START_US), lead_db, capture_db=6) is outcome


@pytest.mark.parametrize(
    ("wanted", "interferer", "lead_db"), [(7, 8, -8), (8, 7, -11), (9, 12, -15), (12, 7, -25)]
)
def test_other_spreading_factors(wanted: int, interferer: int, lead_db: float) -> None:
    """Corners of the matrix of Croce et al. 2018: row = wanted, column = interferer."""
    ours = replace(FRAME, spreading_factor=wanted)
    theirs = at(START_US, spreading_factor=interferer)
    assert harm(ours, theirs, lead_db, capture_db=6) is Outcome.DECODED
    assert harm(ours, theirs, lead_db - 0.1, capture_db=6) is Outcome.INTERFERENCE


@pytest.mark.parametrize(
    ("change", "lead_db"),
    [({"bandwidth_hz": 250_000}, -8), ({"invert_iq": True}, -8)],
    ids=["bandwidth", "downlink"],
)
def test_other_chirps_of_the_same_sf(change: dict[str, int | bool], lead_db: float) -> None:
    """Never as harmful as a frame that looks like ours."""
    theirs = at(START_US, **change)
    assert required_lead_db(FRAME, theirs, 6) == lead_db
    assert harm(FRAME, theirs, lead_db - 0.1, 6) is Outcome.INTERFERENCE


@pytest.mark.parametrize(
    ("symbols", "outcome"),
    [(3, Outcome.DECODED), (3.1, Outcome.COLLISION), (0.5, Outcome.DECODED)],
)
def test_first_preamble_symbols_may_be_lost(symbols: float, outcome: Outcome) -> None:
    """Of eight the last five are enough, as LoRaSim has it."""
    end_us = START_US + int(symbols * SYMBOL_US)
    earlier = at(START_US - 100_000, end_us=end_us)
    assert harm(FRAME, earlier, lead_db=-20, capture_db=6) is outcome


@pytest.mark.parametrize(
    ("symbols", "outcome"), [(20.3, Outcome.CRC_ERROR), (20.2, Outcome.COLLISION)]
)
def test_a_late_interferer_leaves_the_header(symbols: float, outcome: Outcome) -> None:
    """The header ends after 8 + 4.25 + 8 symbols; then the payload fails its CRC."""
    later = at(START_US + int(symbols * SYMBOL_US))
    assert harm(FRAME, later, lead_db=-20, capture_db=6) is outcome


@pytest.mark.parametrize(
    ("change", "shares"),
    [
        ({}, True),
        ({"frequency_hz": 921_524_999}, True),
        ({"frequency_hz": 921_525_000}, False),
        ({"frequency_hz": 921_275_000}, False),
        ({"frequency_hz": 921_575_000, "bandwidth_hz": 250_000}, True),
    ],
)
def test_channels_overlap_or_not(change: dict[str, int | bool], shares: bool) -> None:
    assert share_air(FRAME, at(START_US, **change)) is shares


def test_frames_that_only_touch_do_not_meet() -> None:
    assert not share_air(FRAME, at(FRAME.end_us))
    assert share_air(FRAME, at(FRAME.end_us - 1))
    assert harm(FRAME, at(FRAME.end_us), -50, 6) is Outcome.DECODED


def test_worst() -> None:
    assert worst([]) is Outcome.DECODED
    assert worst([Outcome.CRC_ERROR, Outcome.COLLISION, Outcome.INTERFERENCE]) is Outcome.COLLISION


starts = st.integers(0, 3 * DURATION_US)
transmissions = st.builds(
    lambda start_us, duration_us, frequency_hz, number: replace(
        FRAME,
        number=number,
        start_us=start_us,
        end_us=start_us + duration_us,
        frequency_hz=frequency_hz,
    ),
    starts,
    st.integers(1, DURATION_US),
    st.sampled_from([921_400_000, 921_500_000, 921_600_000]),
    st.integers(0, 1 << 30),
)


@given(transmissions, transmissions)
def test_sharing_the_air_is_mutual(one: Transmission, other: Transmission) -> None:
    """And it is what two intervals with a common instant do, on channels that reach each other."""
    instants = range(max(one.start_us, other.start_us), min(one.end_us, other.end_us))
    reach = abs(one.frequency_hz - other.frequency_hz) < 125_000
    assert share_air(one, other) is share_air(other, one) is (bool(instants) and reach)


@st.composite
def meetings(draw: st.DrawFn) -> tuple[Transmission, Transmission]:
    """Two that share time and spectrum."""
    one, other = draw(transmissions), draw(transmissions)
    duration_us = other.end_us - other.start_us
    start_us = draw(st.integers(one.start_us - duration_us + 1, one.end_us - 1))
    apart_hz = draw(st.sampled_from([-100_000, 0, 100_000]))
    return one, replace(
        other,
        start_us=start_us,
        end_us=start_us + duration_us,
        frequency_hz=one.frequency_hz + apart_hz,
    )


@given(meetings(), st.floats(-40, 40), st.floats(0.1, 10))
def test_of_two_alike_at_most_one_survives(
    meeting: tuple[Transmission, Transmission], lead_db: float, capture_db: float
) -> None:
    """Unless one spares the other: by being over before it counts."""
    one, other = meeting
    assert share_air(one, other)
    first = harm(one, other, lead_db, capture_db)
    second = harm(other, one, -lead_db, capture_db)
    spared = min(one.end_us - other.start_us, other.end_us - one.start_us) <= 3 * SYMBOL_US
    assert spared or Outcome.DECODED not in (first, second) or first is not second


@given(transmissions, transmissions, st.floats(-40, 40), st.floats(0, 40))
def test_a_stronger_frame_never_fares_worse(
    one: Transmission, other: Transmission, lead_db: float, more_db: float
) -> None:
    weak, strong = (harm(one, other, lead, 6) for lead in (lead_db, lead_db + more_db))
    assert worst([weak, strong]) is weak


@given(st.lists(transmissions, max_size=20, unique_by=lambda t: t.number))
def test_the_window_finds_all_that_met(sent: list[Transmission]) -> None:
    """Asked at each frame's end, against a search through everything."""
    window = OverlapWindow(keep_us=2 * DURATION_US)
    waiting = sorted(sent, key=lambda t: t.start_us)
    for ending in sorted(sent, key=lambda t: t.end_us):
        while waiting and waiting[0].start_us < ending.end_us:
            window.add(waiting.pop(0))
        expected = {other.number for other in sent if other is not ending}
        expected &= {other.number for other in sent if share_air(ending, other)}
        assert {other.number for other in window.overlapping(ending)} == expected


def test_the_window_forgets() -> None:
    window = OverlapWindow(keep_us=1_000_000)
    for second in range(100):
        window.add(replace(FRAME, start_us=second * 1_000_000, end_us=second * 1_000_000 + 50_000))
    assert len(window) <= 3
