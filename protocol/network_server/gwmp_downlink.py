"""What a server asks for in the Semtech UDP protocol: the txpk of a PULL_RESP.

Source: PROTOCOL.TXT 1.4 of Lora-net/packet_forwarder, section 6. Servers write it in many ways, and
all of them mean the same: base64 with and without padding, of the usual and the URL-safe alphabet;
frequencies as a 32-bit float (Semtech's own test server: 921.400024 MHz); coding rates shortened.
"""

import json
import math
import re
from base64 import b64decode
from dataclasses import dataclass
from typing import Any

from protocol.lorawan.gps_time import unix_us
from protocol.network_server.gwmp import GwmpError, Reject
from protocol.network_server.uplink import Now

FREQUENCY_STEP_HZ = 100
"""Channels lie on it; what a float of 32 bits makes of 1 GHz is within half of it."""

GPS_WITHIN_US = 10_000
"""Who is told to transmit at a GPS time has to know it as well as a class B receiver listens."""

_MAX_PAYLOAD = 255
_U32 = 1 << 32
_DATA_RATE = re.compile(r"SF(5|6|7|8|9|10|11|12)BW(125|250|500)")
_CODING_RATES = {rate: rate for rate in ("4/5", "4/6", "4/7", "4/8")}
_CODING_RATES |= {"2/3": "4/6", "2/4": "4/8", "1/2": "4/8"}
_BASE64 = str.maketrans("-_", "+/", "=")


@dataclass(frozen=True, slots=True)
class Txpk:
    """One downlink that a server wants transmitted.

    Attributes:
        power_dbm: EIRP asked for; None = not said.
        tmst: begin on the counter of 32 bits; None = not said.
        gps_time_us: begin in GPS time; None = not said.
        immediate: at once; goes before the other two.
    """

    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    power_dbm: float | None
    invert_iq: bool
    immediate: bool
    tmst: int | None
    gps_time_us: int | None


class GpsUnlocked(Exception):
    """A GPS time is asked for, and our clock is not known well enough."""


def parse_txpk(body: bytes) -> Txpk:
    """Read the body of a PULL_RESP.

    Raises:
        GwmpError: it is malformed, or wants another modulation than LoRa.
    """
    try:
        document = json.loads(body, parse_constant=_no_constant)
        return _txpk(document["txpk"])
    # Of a deeply nested text the standard library's parser says so.
    except (ValueError, KeyError, TypeError, RecursionError):
        raise GwmpError(Reject.MALFORMED) from None


def begins_at_us(txpk: Txpk, now: Now) -> int | None:
    """When it has to begin, on CLOCK_BOOTTIME of this boot; None = at once.

    Of the counter's 71.6 minutes those before now count as past, those behind it as future.

    Raises:
        GpsUnlocked: that cannot be told.
    """
    if txpk.immediate:
        return None
    if txpk.tmst is not None:
        ahead_us = (txpk.tmst - now.boottime_us) % _U32
        return now.boottime_us + (ahead_us if ahead_us < _U32 // 2 else ahead_us - _U32)
    assert txpk.gps_time_us is not None  # a txpk has one of the three
    if now.wall is None or now.wall.uncertainty_us > GPS_WITHIN_US:
        raise GpsUnlocked
    return now.boottime_us + unix_us(txpk.gps_time_us) - now.wall.unix_us


def _txpk(fields: Any) -> Txpk:
    """Raises ValueError, KeyError or TypeError as well."""
    if not isinstance(fields, dict):
        raise TypeError
    if fields.get("modu", "LORA") != "LORA":
        raise GwmpError(Reject.UNSUPPORTED)
    data_rate = _DATA_RATE.fullmatch(fields["datr"])
    coding_rate = _CODING_RATES.get(fields.get("codr", "4/5"))
    if data_rate is None or coding_rate is None:
        raise GwmpError(Reject.UNSUPPORTED)
    immediate = fields.get("imme") is True
    tmst, tmms = _whole(fields.get("tmst")), _whole(fields.get("tmms"))
    if not immediate and tmst is None and tmms is None:
        raise ValueError
    return Txpk(
        payload=_payload(fields["data"]),
        frequency_hz=_frequency_hz(fields["freq"]),
        spreading_factor=int(data_rate[1]),
        bandwidth_hz=int(data_rate[2]) * 1000,
        coding_rate=coding_rate,
        power_dbm=None if fields.get("powe") is None else _number(fields["powe"]),
        invert_iq=fields.get("ipol") is True,
        immediate=immediate,
        tmst=tmst,
        gps_time_us=None if tmms is None else tmms * 1000,
    )


def _payload(text: Any) -> bytes:
    if not isinstance(text, str):
        raise TypeError
    bare = text.translate(_BASE64)
    payload = b64decode(bare + "=" * (-len(bare) % 4), validate=True)
    if not 0 < len(payload) <= _MAX_PAYLOAD:
        raise ValueError
    return payload


def _frequency_hz(megahertz: Any) -> int:
    return round(_number(megahertz) * 1e6 / FREQUENCY_STEP_HZ) * FREQUENCY_STEP_HZ


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e9:
        raise ValueError
    return float(value)


def _whole(value: Any) -> int | None:
    """A count of 0 to 2**63; some servers write it as a float."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError
    if not 0 <= value < 1 << 63 or value != math.floor(value):
        raise ValueError
    return int(value)


def _no_constant(name: str) -> None:
    """Python reads NaN and Infinity, which are no JSON."""
    raise ValueError(name)
