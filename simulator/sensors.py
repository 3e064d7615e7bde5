"""Sensors that send: each packet is a function of its number, so no sensor has any state."""

import math
from dataclasses import dataclass

import cbor2

from protocol.lorawan.crypto import build_data_up
from simulator.draws import Draws
from simulator.placement import Position
from simulator.readings import Moment, reading
from simulator.scenario import Group, PlacedSensor, Scenario

_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Transmission:
    """One frame on the air.

    Attributes:
        number: counts the sensor's packets from 0; with ``sensor`` it names the transmission.
        start_us, end_us: first chirp of the preamble, end of the last one of the payload.
        power_dbm: EIRP.
    """

    number: int
    sensor: str
    start_us: int
    end_us: int
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    sync_word: int
    preamble_symbols: int
    payload: bytes
    power_dbm: float
    position: Position
    invert_iq: bool = False
    crc: bool = True

    @property
    def symbol_us(self) -> float:
        """Duration of one chirp: 2^SF / BW (Semtech AN1200.13)."""
        return (1 << self.spreading_factor) * _MICROSECONDS / self.bandwidth_hz


class Sensor:
    """One sensor: when it sends and what.

    Args:
        placed: who and where it is.
        seed: of all chance.
        starts_at_s: local time of day at time 0 of the air.
    """

    __slots__ = ("_jitter", "_period_us", "_phase_us", "_placed", "_seed", "_starts_at_s")

    def __init__(self, placed: PlacedSensor, seed: int, starts_at_s: float) -> None:
        self._placed = placed
        self._seed = seed
        self._starts_at_s = starts_at_s
        self._period_us = round(placed.group.period_s * _MICROSECONDS)
        # Sensors have been there for long: with the first packet of each after time 0, jitter would
        # make the first period quiet.
        self._phase_us = Draws(seed, "phase", placed.name).below(self._period_us) - self._period_us
        self._jitter = Draws(seed, "jitter", placed.name)

    @property
    def name(self) -> str:
        return self._placed.name

    @property
    def group(self) -> Group:
        return self._placed.group

    def start_us(self, number: int) -> int:
        """When packet ``number`` starts; strictly increasing, because jitter is less than 1."""
        late_us = self._jitter.uniform(number) * self.group.jitter * self._period_us
        return self._phase_us + number * self._period_us + int(late_us)

    def next_number(self, after_us: int) -> int:
        """The first packet that starts at ``after_us`` or later."""
        # A packet is less than one period late, so the packet before this estimate may fit too.
        number = max(0, math.floor((after_us - self._phase_us) / self._period_us) - 1)
        while self.start_us(number) < after_us:
            number += 1
        return number

    def next_transmission(self, after_us: int) -> Transmission:
        """The first packet that starts at ``after_us`` or later."""
        return self.transmission(self.next_number(after_us))

    def transmission(self, number: int) -> Transmission:
        """Packet ``number``, the LoRaWAN frame counter being that number."""
        group = self.group
        start_us = self.start_us(number)
        payload = self._phy_payload(number, start_us)
        channel = Draws(self._seed, "channel", self.name).below(len(group.frequencies_hz), number)
        return Transmission(
            number=number,
            sensor=self.name,
            start_us=start_us,
            end_us=start_us + group.time_on_air_us(len(payload)),
            frequency_hz=group.frequencies_hz[channel],
            spreading_factor=group.spreading_factor,
            bandwidth_hz=group.bandwidth_hz,
            coding_rate=group.coding_rate,
            sync_word=group.sync_word,
            preamble_symbols=group.preamble_symbols,
            payload=payload,
            power_dbm=group.power_dbm,
            position=self._placed.position,
        )

    def _phy_payload(self, number: int, start_us: int) -> bytes:
        position, keys = self._placed.position, self._placed.keys
        moment = Moment(
            seed=self._seed,
            sensor=self.name,
            number=number,
            time_s=self._starts_at_s + start_us / _MICROSECONDS,
            upstream_m=math.hypot(position.x_m, position.y_m),
        )
        plaintext = cbor2.dumps(reading(self.group.kind, moment))
        if keys is None:
            return self.group.header + plaintext
        return build_data_up(
            dev_addr=keys.dev_addr,
            f_cnt=number,
            f_port=keys.f_port,
            plaintext=plaintext,
            nwk_s_key=keys.nwk_s_key,
            app_s_key=keys.app_s_key,
        )


def build_sensors(scenario: Scenario, seed: int) -> tuple[Sensor, ...]:
    """All sensors of a scenario; ``seed`` decides when they send and what they measure."""
    return tuple(Sensor(placed, seed, scenario.starts_at_s) for placed in scenario.sensors())
