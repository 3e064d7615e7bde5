"""How strong a transmission arrives: log-distance loss, shadowing, fading, crystals."""

import math
from dataclasses import dataclass

from simulator.draws import Draws
from simulator.scenario import Concentrator, Propagation
from simulator.sensors import Transmission

_THERMAL_NOISE_DBM_PER_HZ = -174.0  # kT at 290 K
_CRYSTAL_PPM = 10.0  # either side of nominal; two of them stay inside a quarter of 125 kHz


@dataclass(frozen=True, slots=True)
class LinkBudget:
    """How one concentrator hears one transmission.

    Attributes:
        snr_db: against thermal noise alone, however many others send.
        frequency_error_hz: positive means that the receiver is tuned high.
    """

    rssi_dbm: float
    snr_db: float
    frequency_error_hz: float


def path_loss_db(propagation: Propagation, distance_m: float) -> float:
    """Median loss over a distance; closer than one metre counts as one metre."""
    return propagation.intercept_db + propagation.slope_db_per_decade * math.log10(
        max(distance_m, 1.0)
    )


def noise_floor_dbm(noise_figure_db: float, bandwidth_hz: int) -> float:
    """Thermal noise in a channel; -117.03 dBm for 6 dB and 125 kHz."""
    return _THERMAL_NOISE_DBM_PER_HZ + noise_figure_db + 10 * math.log10(bandwidth_hz)


class Links:
    """All links of a simulation. Values depend only on the seed and the names at both ends."""

    def __init__(self, propagation: Propagation, noise_figure_db: float, seed: int) -> None:
        self._propagation = propagation
        self._noise_figure_db = noise_figure_db
        self._seed = seed
        self._gain_db: dict[tuple[str, str], float] = {}
        self._fading: dict[tuple[str, str], Draws] = {}

    def strength(self, transmission: Transmission, concentrator: Concentrator) -> LinkBudget:
        """What the concentrator's antenna delivers of this transmission."""
        link = (transmission.sensor, concentrator.name)
        if link not in self._gain_db:
            self._gain_db[link] = self._median_gain_db(transmission, concentrator)
            self._fading[link] = Draws(self._seed, "fading", *link)
        fading_db = self._propagation.fading_db * self._fading[link].normal(transmission.number)
        rssi_dbm = transmission.power_dbm + self._gain_db[link] + fading_db
        noise_dbm = noise_floor_dbm(self._noise_figure_db, transmission.bandwidth_hz)
        receiver_ppm = self._crystal_ppm("concentrator", concentrator.name)
        sender_ppm = self._crystal_ppm("sensor", transmission.sensor)
        return LinkBudget(
            rssi_dbm=rssi_dbm,
            snr_db=rssi_dbm - noise_dbm,
            frequency_error_hz=(receiver_ppm - sender_ppm) * transmission.frequency_hz / 1e6,
        )

    def _median_gain_db(self, transmission: Transmission, concentrator: Concentrator) -> float:
        """All that does not change from packet to packet."""
        distance_m = transmission.position.distance_m(concentrator.position)
        shadowing = Draws(self._seed, "shadowing", transmission.sensor, concentrator.name).normal()
        return (
            concentrator.antenna_gain_dbi
            - path_loss_db(self._propagation, distance_m)
            - self._propagation.shadowing_db * shadowing
        )

    def _crystal_ppm(self, role: str, name: str) -> float:
        return _CRYSTAL_PPM * (2 * Draws(self._seed, "crystal", role, name).uniform() - 1)
