"""What the sensors of a city measure: physical curves, and their integer-labelled CBOR readings.

A reading is a map from label to scaled integer (RFC 8949 items of one to three bytes each, the
counter of private nodes excepted), so that it fits the 11 bytes which the dwell limit leaves at
SF10. What the labels mean is told to the gateway by its configuration, not on the air.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from simulator.draws import Draws

_DAY_S = 86_400
_TIDE_PERIOD_S = 44_712  # principal lunar semidiurnal constituent, 12.42 h
_TIDE_SPEED_M_S = 5.0  # of a tidal wave in a river a few metres deep
_PARKING_SLOT_S = 900


class SensorKind(StrEnum):
    """What a sensor is for."""

    FLOOD = "flood"
    AIR = "air"
    LIGHT = "light"
    PARKING = "parking"
    PRIVATE = "private"  # a weather node of somebody without LoRaWAN


@dataclass(frozen=True, slots=True)
class Label:
    """Meaning of an integer label: the value is the integer times 10 to the ``exponent``."""

    name: str
    exponent: int
    unit: str | None


WATER_LEVEL, FLOW, PM2_5, PM10, TEMPERATURE, HUMIDITY, LIGHT_ON, POWER = range(1, 9)
OCCUPIED, BATTERY, PRESSURE, NODE, COUNT = range(9, 14)

LABELS: Mapping[int, Label] = {
    WATER_LEVEL: Label("water_level", -2, "m"),
    FLOW: Label("flow", -2, "m/s"),
    PM2_5: Label("pm2_5", -1, "ug/m3"),
    PM10: Label("pm10", -1, "ug/m3"),
    TEMPERATURE: Label("temperature", -1, "Cel"),
    HUMIDITY: Label("humidity", 0, "%RH"),
    LIGHT_ON: Label("light_on", 0, "/"),
    POWER: Label("power", -1, "W"),
    OCCUPIED: Label("occupied", 0, "/"),
    BATTERY: Label("battery", -2, "V"),
    PRESSURE: Label("pressure", -1, "hPa"),
    NODE: Label("node", 0, None),
    COUNT: Label("count", 0, None),
}
"""Units as registered for SenML (RFC 8428 and RFC 8798)."""

MAX_READING_BYTES: Mapping[SensorKind, int] = {
    SensorKind.FLOOD: 13,
    SensorKind.AIR: 16,
    SensorKind.LIGHT: 7,
    SensorKind.PARKING: 7,
    SensorKind.PRIVATE: 22,
}
"""The longest CBOR of each kind: what time on air and duty cycle are checked with."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Who takes a reading, when and where.

    Attributes:
        seed, sensor, number: the sensor's name and its packet; they key all chance.
        time_s: seconds since local midnight of the scenario's first day.
        upstream_m: distance from the area's origin, which delays the tide.
    """

    seed: int
    sensor: str
    number: int
    time_s: float
    upstream_m: float

    @property
    def hour(self) -> float:
        """Local time of day, 0 to 24."""
        return self.time_s % _DAY_S / 3600

    def chance(self, purpose: str) -> Draws:
        """The sensor's draws for one purpose."""
        return Draws(self.seed, "reading", self.sensor, purpose)

    def character(self, purpose: str, low: float, high: float) -> float:
        """A value that this sensor keeps for life."""
        return low + (high - low) * self.chance(purpose).uniform()

    def noise(self, purpose: str, deviation: float) -> float:
        """Measurement noise of this packet."""
        return deviation * self.chance(purpose).normal(self.number)


def _bump(hour: float, centre: float, width: float) -> float:
    """1 at the centre hour, falling off on both sides, around midnight as well."""
    distance = min(abs(hour - centre), 24 - abs(hour - centre))
    return math.exp(-((distance / width) ** 2))


def _clamped(value: float, scale: int, low: int, high: int) -> int:
    return max(low, min(high, round(value * scale)))


def _battery(moment: Moment) -> int:
    return _clamped(
        moment.character("cell", 3.3, 3.65) - moment.time_s / _DAY_S * 0.001, 100, 256, 400
    )


def _flood(moment: Moment) -> dict[int, int]:
    """Level and flow of a tidal river: flow leads level by a quarter of a period."""
    lag_s = moment.upstream_m / _TIDE_SPEED_M_S
    angle = 2 * math.pi * (moment.time_s - lag_s) / _TIDE_PERIOD_S
    level_m = (
        moment.character("datum", 1.0, 1.5) + 0.45 * math.sin(angle) + moment.noise("waves", 0.01)
    )
    return {
        WATER_LEVEL: _clamped(level_m, 100, -500, 2000),
        FLOW: _clamped(0.35 + 0.3 * math.cos(angle), 100, -500, 500),
        BATTERY: _battery(moment),
    }


def _temperature_celsius(moment: Moment) -> float:
    return 28 + 4.5 * math.sin(2 * math.pi * (moment.hour - 8.5) / 24)


def _weather(moment: Moment) -> dict[int, int]:
    """Warm afternoons; the air's water hardly changes, so relative humidity runs the other way."""
    celsius = _temperature_celsius(moment)
    return {
        TEMPERATURE: _clamped(celsius + moment.noise("draught", 0.2), 10, -200, 600),
        HUMIDITY: _clamped(76 - 3.2 * (celsius - 28), 1, 0, 100),
    }


def _air(moment: Moment) -> dict[int, int]:
    """Fine dust of the two rush hours over a background."""
    traffic = 24 * _bump(moment.hour, 7.5, 1.4) + 28 * _bump(moment.hour, 18.0, 1.9)
    pm2_5 = (16 + traffic) * moment.character("site", 0.8, 1.3) + moment.noise("dust", 1.2)
    return {
        PM2_5: _clamped(pm2_5, 10, 0, 9999),
        PM10: _clamped(pm2_5 * 1.7, 10, 0, 9999),
        **_weather(moment),
    }


def _light(moment: Moment) -> dict[int, int]:
    """On from dusk to dawn, dimmed late at night; each lamp's light sensor has its own opinion."""
    late_h = moment.character("dusk", -0.05, 0.05)
    hour = (moment.hour - late_h) % 24
    lit = hour >= 17.75 or hour < 5.5
    dimmed = hour >= 23 or hour < 4.5
    watts = (0.6 if dimmed else 1.0) * 72 if lit else 0.4
    return {
        LIGHT_ON: int(lit),
        POWER: _clamped(watts * (1 + moment.noise("mains", 0.01)), 10, 0, 5000),
    }


def _parking(moment: Moment) -> dict[int, int]:
    """A bay changes its mind at most every quarter of an hour, and is sought after by day."""
    slot = int(moment.time_s // _PARKING_SLOT_S)
    demand = 0.15 + 0.7 * max(_bump(moment.hour, 10.5, 3.5), _bump(moment.hour, 19.5, 2.5))
    occupied = moment.chance("bay").uniform(slot) < demand
    return {OCCUPIED: int(occupied), BATTERY: _battery(moment)}


def _private(moment: Moment) -> dict[int, int]:
    """Plain CBOR has no header, so the node says who it is and counts, or repeats look alike."""
    hectopascal = 1010 + 1.5 * math.cos(4 * math.pi * (moment.hour - 10) / 24)
    return {
        **_weather(moment),
        PRESSURE: _clamped(hectopascal, 10, 3000, 11_000),
        NODE: moment.chance("node").below(1 << 16),
        COUNT: moment.number % (1 << 32),
    }


_CURVES: Mapping[SensorKind, Callable[[Moment], dict[int, int]]] = {
    SensorKind.FLOOD: _flood,
    SensorKind.AIR: _air,
    SensorKind.LIGHT: _light,
    SensorKind.PARKING: _parking,
    SensorKind.PRIVATE: _private,
}


def reading(kind: SensorKind, moment: Moment) -> dict[int, int]:
    """What a sensor of this kind reads at this moment, as label -> scaled integer."""
    return _CURVES[kind](moment)
