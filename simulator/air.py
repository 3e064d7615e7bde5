"""The air between a scenario's sensors and its concentrators.

Says what is sent when, how strongly it arrives and whether it can be decoded. What a radio does
with that (is it tuned there, is it busy) is for the chips to say. Synchronous, without a clock:
times are microseconds from the start of the simulation.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protocol.lora.phy import SNR_LIMIT_DB
from simulator.draws import Draws
from simulator.interference import Outcome, harm, worst
from simulator.propagation import LinkBudget, Links
from simulator.scenario import Concentrator, Scenario
from simulator.sensors import Sensor, Transmission, build_sensors

HEADER_ADVANTAGE_DB = 1.0
"""How far below the limit a header is still understood: it is coded 4/8, the payload mostly 4/5.
A choice of this model; it makes frames with a bad CRC appear at the edge of a cell, as they do."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a radio that listens for a transmission makes of it, and the link it came over."""

    outcome: Outcome
    rssi_dbm: float
    snr_db: float
    frequency_error_hz: float


class Air:
    """A scenario in motion.

    Args:
        scenario: the city.
        seed: of all that is left to chance; the scenario's own by default. Places, addresses and
            keys do not depend on it.
    """

    def __init__(self, scenario: Scenario, seed: int | None = None) -> None:
        self._seed = scenario.seed if seed is None else seed
        self._reception = scenario.reception
        self._links = Links(scenario.propagation, scenario.reception.noise_figure_db, self._seed)
        self._sensors = {s.name: s for s in build_sensors(scenario, self._seed)}
        # Names break ties, so that the order of two starts does not depend on the file's order.
        self._next = [_first(sensor) for sensor in self._sensors.values()]
        heapq.heapify(self._next)

    def transmissions_until(self, until_us: int) -> Iterator[Transmission]:
        """All that start before ``until_us`` and were not yielded before, in order of start."""
        while self._next and self._next[0][0] < until_us:
            _, name, number = self._next[0]
            sensor = self._sensors[name]
            heapq.heapreplace(self._next, (sensor.start_us(number + 1), name, number + 1))
            yield sensor.transmission(number)

    def strength(self, transmission: Transmission, concentrator: Concentrator) -> LinkBudget:
        """How a concentrator hears a transmission while nobody else sends."""
        return self._links.strength(transmission, concentrator)

    def verdict(
        self,
        transmission: Transmission,
        concentrator: Concentrator,
        overlapping: Sequence[Transmission],
    ) -> Verdict:
        """Whether a radio that listens for the transmission, and is free, decodes it.

        Args:
            overlapping: what else is on the air meanwhile; others may be among them.
        """
        link = self.strength(transmission, concentrator)
        return Verdict(
            outcome=self._outcome(transmission, concentrator, link, overlapping),
            rssi_dbm=link.rssi_dbm,
            snr_db=link.snr_db,
            frequency_error_hz=link.frequency_error_hz,
        )

    def damage(self, transmission: Transmission, concentrator: Concentrator) -> bytes:
        """The payload as a concentrator gets it after a CRC error."""
        packet = (transmission.sensor, str(transmission.number), concentrator.name)
        return damaged(transmission.payload, Draws(self._seed, "damage", *packet))

    def _outcome(
        self,
        transmission: Transmission,
        concentrator: Concentrator,
        link: LinkBudget,
        overlapping: Sequence[Transmission],
    ) -> Outcome:
        margin_db = link.snr_db - SNR_LIMIT_DB[transmission.spreading_factor]
        if margin_db < -HEADER_ADVANTAGE_DB:
            return Outcome.BELOW_SENSITIVITY
        capture_db = self._reception.capture_db
        hits = [
            harm(
                transmission,
                other,
                link.rssi_dbm - self.strength(other, concentrator).rssi_dbm,
                capture_db,
            )
            for other in overlapping
        ]
        if margin_db < 0:
            hits.append(Outcome.CRC_ERROR)
        return worst(hits)


def damaged(payload: bytes, draws: Draws) -> bytes:
    """The payload with one wrong bit at least and a tenth of its bits at most.

    An empty payload has nothing to lose and stays as it is.
    """
    bits = 8 * len(payload)
    if not bits:
        return payload
    count = 1 + draws.below(max(bits // 10, 1))
    flipped = {draws.below(bits, 1 + index) for index in range(count)}
    mask = sum(1 << position for position in flipped)
    return (int.from_bytes(payload, "big") ^ mask).to_bytes(len(payload), "big")


def _first(sensor: Sensor) -> tuple[int, str, int]:
    number = sensor.next_number(0)
    return sensor.start_us(number), sensor.name, number
