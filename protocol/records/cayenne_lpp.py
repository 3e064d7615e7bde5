"""Decoder ``cayenne-lpp``: channel, type and value, again and again (Cayenne LPP 2.0).

Type numbers are IPSO object numbers less 3200. Twelve are of the published format; the rest are
the extensions on which the usual Arduino and Python encoders agree. All values are big-endian.
Names are those of The Things Stack's decoder with the channel behind: ``temperature_3``,
``gps_1_latitude``. Units are SenML's (RFC 8428, RFC 8798); an acceleration is in standard
gravities and an angle in degrees, for which SenML has no unit.
"""

from dataclasses import dataclass

from protocol.records.decoded import Decoded, DecodeFault, Label, Readings


@dataclass(frozen=True, slots=True)
class _Part:
    """One number of a value: what is sent is the reading times ``divisor``."""

    size: int
    divisor: int = 1
    unit: str | None = None
    signed: bool = False
    suffix: str = ""


def _three(part: _Part, suffixes: tuple[str, str, str]) -> tuple[_Part, ...]:
    return tuple(
        _Part(part.size, part.divisor, part.unit, part.signed, suffix) for suffix in suffixes
    )


_AXES = ("_x", "_y", "_z")

_TYPES: dict[int, tuple[str, tuple[_Part, ...]]] = {
    0: ("digital_in", (_Part(1),)),
    1: ("digital_out", (_Part(1),)),
    2: ("analog_in", (_Part(2, 100, signed=True),)),
    3: ("analog_out", (_Part(2, 100, signed=True),)),
    100: ("generic", (_Part(4),)),
    101: ("luminosity", (_Part(2, unit="lx"),)),
    102: ("presence", (_Part(1),)),
    103: ("temperature", (_Part(2, 10, "Cel", signed=True),)),
    104: ("relative_humidity", (_Part(1, 2, "%RH"),)),
    113: ("accelerometer", _three(_Part(2, 1000, signed=True), _AXES)),
    115: ("barometric_pressure", (_Part(2, 10, "hPa"),)),
    116: ("voltage", (_Part(2, 100, "V"),)),
    117: ("current", (_Part(2, 1000, "A"),)),
    118: ("frequency", (_Part(4, unit="Hz"),)),
    120: ("percentage", (_Part(1, unit="/100"),)),
    121: ("altitude", (_Part(2, unit="m", signed=True),)),
    125: ("concentration", (_Part(2, unit="ppm"),)),
    128: ("power", (_Part(2, unit="W"),)),
    130: ("distance", (_Part(4, 1000, "m"),)),
    131: ("energy", (_Part(4, 1000, "kWh"),)),
    132: ("direction", (_Part(2),)),
    133: ("unixtime", (_Part(4, unit="s"),)),
    134: ("gyrometer", _three(_Part(2, 100, signed=True), _AXES)),
    135: ("colour", _three(_Part(1), ("_red", "_green", "_blue"))),
    136: (
        "gps",
        (
            _Part(3, 10_000, "lat", signed=True, suffix="_latitude"),
            _Part(3, 10_000, "lon", signed=True, suffix="_longitude"),
            _Part(3, 100, "m", signed=True, suffix="_altitude"),
        ),
    ),
    142: ("switch", (_Part(1),)),
}


def decode_cayenne_lpp(payload: bytes, _f_port: int | None) -> Decoded:
    """Read values up to the end, or to the first type whose size is not known."""
    readings = Readings()
    position = 0
    while position < len(payload):
        channel, type_number = payload[position], payload[position + 1 : position + 2]
        if type_number and type_number[0] not in _TYPES:
            readings.fault(DecodeFault.UNKNOWN_TYPE)
            break
        name, parts = _TYPES[type_number[0]] if type_number else ("", ())
        start, position = position + 2, position + 2 + sum(part.size for part in parts)
        if position > len(payload):
            readings.fault(DecodeFault.TOO_SHORT)
            break
        _read_parts(readings, f"{name}_{channel}", parts, payload[start:position])
    return readings.decoded()


def _read_parts(readings: Readings, name: str, parts: tuple[_Part, ...], value: bytes) -> None:
    position = 0
    for part in parts:
        raw = value[position : position + part.size]
        number = int.from_bytes(raw, "big", signed=part.signed)
        reading = number / part.divisor if part.divisor > 1 else number
        readings.add(Label(name + part.suffix, unit=part.unit), reading)
        position += part.size
