"""Signal strength, against figures that others have published."""

from dataclasses import replace
from statistics import fmean, stdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.placement import Position
from simulator.propagation import Links, noise_floor_dbm, path_loss_db
from simulator.scenario import Propagation
from tests.simulator.sample_air import CONCENTRATOR, FRAME

SUBURB = Propagation(7.7, 37.6, 0, 0)
distances = st.floats(0, 100_000)


@pytest.mark.parametrize(
    ("distance_m", "loss_db"), [(500, 109.2), (1000, 120.5), (2000, 131.8), (5000, 146.8)]
)
def test_path_loss_as_published(distance_m: float, loss_db: float) -> None:
    """7.7 + 37.6 log10 d, as in the ns-3 LoRaWAN module after 3GPP TR 45.820."""
    assert path_loss_db(SUBURB, distance_m) == pytest.approx(loss_db, abs=0.05)


@given(distances, distances)
def test_farther_is_never_louder(one_m: float, other_m: float) -> None:
    near, far = sorted((one_m, other_m))
    assert path_loss_db(SUBURB, near) <= path_loss_db(SUBURB, far)


def test_noise_floor() -> None:
    """-117.03 dBm at 6 dB and 125 kHz; twice the bandwidth adds 3 dB."""
    assert noise_floor_dbm(6, 125_000) == pytest.approx(-117.03, abs=0.005)
    assert noise_floor_dbm(6, 250_000) == pytest.approx(-114.02, abs=0.005)


def test_link_budget() -> None:
    """14 dBm EIRP over 1 km (120.5 dB) into 3 dBi: -103.5 dBm, 13.5 dB over the noise."""
    links = Links(SUBURB, noise_figure_db=6, seed=1)
    sender = replace(FRAME, position=Position(600, 800, 0))
    heard = links.strength(sender, replace(CONCENTRATOR, antenna_gain_dbi=3))
    assert heard.rssi_dbm == pytest.approx(-103.5, abs=0.01)
    assert heard.snr_db == pytest.approx(-103.5 + 117.03, abs=0.01)


def strengths(propagation: Propagation, *, sensors: int, packets: int) -> list[float]:
    links = Links(propagation, 6, seed=1)
    return [
        links.strength(replace(FRAME, sensor=f"s{s}", number=n), CONCENTRATOR).rssi_dbm
        for s in range(sensors)
        for n in range(packets)
    ]


def test_shadowing_belongs_to_the_link() -> None:
    """The same for every packet; over 1 000 links normal with the given deviation."""
    shadowed = Propagation(7.7, 37.6, 8, 0)
    assert len(set(strengths(shadowed, sensors=1, packets=20))) == 1
    over_links = strengths(shadowed, sensors=1000, packets=1)
    clear = strengths(SUBURB, sensors=1, packets=1)[0]
    assert fmean(over_links) == pytest.approx(clear, abs=3 * 8 / 1000**0.5)
    assert stdev(over_links) == pytest.approx(8, abs=3 * 8 / 2000**0.5)


def test_fading_belongs_to_the_packet() -> None:
    fading = strengths(Propagation(7.7, 37.6, 0, 3), sensors=1, packets=1000)
    assert stdev(fading) == pytest.approx(3, abs=3 * 3 / 2000**0.5)


def test_two_concentrators_fade_apart() -> None:
    links = Links(Propagation(7.7, 37.6, 0, 3), 6, seed=1)
    pier = replace(CONCENTRATOR, name="pier")
    assert links.strength(FRAME, CONCENTRATOR) != links.strength(FRAME, pier)


@given(st.text(max_size=5), st.integers(0, 1 << 40))
def test_links_have_no_memory(sensor: str, number: int) -> None:
    """Whoever was heard before changes nothing."""
    scattered = Propagation(7.7, 37.6, 4, 3)
    fresh, used = Links(scattered, 6, seed=1), Links(scattered, 6, seed=1)
    used.strength(FRAME, CONCENTRATOR)
    heard = replace(FRAME, sensor=sensor, number=number)
    assert used.strength(heard, CONCENTRATOR) == fresh.strength(heard, CONCENTRATOR)


def test_crystals_stay_within_what_a_receiver_takes() -> None:
    """A quarter of the bandwidth, 31 kHz at 125 kHz; both signs occur."""
    links = Links(SUBURB, 6, seed=1)
    errors_hz = [
        links.strength(replace(FRAME, sensor=f"s{i}"), CONCENTRATOR).frequency_error_hz
        for i in range(300)
    ]
    assert max(map(abs, errors_hz)) < 31_250
    assert min(errors_hz) < 0 < max(errors_hz)
    spread_hz = max(errors_hz) - min(errors_hz)
    assert spread_hz == pytest.approx(20e-6 * FRAME.frequency_hz, rel=0.05)
