"""Readings fit the air, mean something, and follow the day."""

from itertools import pairwise

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.readings import (
    COUNT,
    LABELS,
    LIGHT_ON,
    MAX_READING_BYTES,
    OCCUPIED,
    PM2_5,
    POWER,
    WATER_LEVEL,
    Moment,
    SensorKind,
    reading,
)

DAY_S = 86_400


def at_hour(hour: float, sensor: str = "s", number: int = 0) -> Moment:
    return Moment(1, sensor, number, hour * 3600, 0.0)


moments = st.builds(
    Moment,
    seed=st.integers(0, 1 << 32),
    sensor=st.sampled_from(["a-01", "b-02", "c-03"]),
    number=st.integers(0, 1 << 40),
    time_s=st.floats(0, 400 * DAY_S),
    upstream_m=st.floats(0, 20_000),
)


@given(st.sampled_from(SensorKind), moments)
def test_readings_fit_and_have_labels(kind: SensorKind, moment: Moment) -> None:
    """Never longer than what duty cycle and dwell are checked with; every label has a meaning."""
    values = reading(kind, moment)
    encoded = cbor2.dumps(values)
    assert len(encoded) <= MAX_READING_BYTES[kind]
    assert cbor2.loads(encoded) == values
    assert values.keys() <= LABELS.keys()


@given(st.sampled_from(SensorKind), moments)
def test_readings_are_pure(kind: SensorKind, moment: Moment) -> None:
    assert reading(kind, moment) == reading(kind, moment)


@pytest.mark.parametrize(("hour", "lit"), [(3, 1), (6, 0), (12, 0), (17, 0), (18, 1), (23.5, 1)])
def test_lights_burn_at_night(hour: float, lit: int) -> None:
    """On from dusk (17:45) to dawn (5:30), give or take three minutes."""
    values = reading(SensorKind.LIGHT, at_hour(hour))
    assert values[LIGHT_ON] == lit
    assert (values[POWER] > 100) == bool(lit)


def test_dust_peaks_in_rush_hours() -> None:
    dust = {hour: reading(SensorKind.AIR, at_hour(hour))[PM2_5] for hour in (3, 7.5, 12.5, 18)}
    assert min(dust[7.5], dust[18]) > 1.5 * max(dust[3], dust[12.5])


def test_tide_turns_twice_in_25_hours() -> None:
    """Two high and two low waters, about 0.9 m apart, a quarter of 24.84 h from each other."""
    levels = [reading(SensorKind.FLOOD, at_hour(i / 2))[WATER_LEVEL] for i in range(50)]
    mean = sum(levels) / len(levels)
    crossings = sum((a < mean) != (b < mean) for a, b in pairwise(levels))
    assert crossings in (3, 4)
    assert 80 < max(levels) - min(levels) < 100


def test_parking_is_sought_after_by_day() -> None:
    def occupied(hour: float) -> int:
        return sum(
            reading(SensorKind.PARKING, at_hour(hour, f"bay-{i}"))[OCCUPIED] for i in range(200)
        )

    assert occupied(10.5) > 130
    assert occupied(3) < 70


def test_a_bay_keeps_its_car_for_a_while() -> None:
    """Between two packets within a quarter of an hour nothing changes."""
    states = {
        reading(SensorKind.PARKING, at_hour(10.0 + number / 100, number=number))[OCCUPIED]
        for number in range(20)
    }
    assert len(states) == 1


def test_private_nodes_never_repeat_themselves() -> None:
    sent = {cbor2.dumps(reading(SensorKind.PRIVATE, at_hour(12, number=n))) for n in range(50)}
    assert len(sent) == 50
    assert reading(SensorKind.PRIVATE, at_hour(12, number=5))[COUNT] == 5
