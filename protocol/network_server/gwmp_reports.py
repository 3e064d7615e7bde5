"""What a gateway reports in the Semtech UDP protocol: uplinks (rxpk), statistics, TX_ACK.

Source: PROTOCOL.TXT 1.4 of Lora-net/packet_forwarder, sections 4 and 6.5, ``meta`` of ChirpStack's
gateway bridge (an object of texts, shown to applications). Times stand in a report only where they
are known; servers that are told none take the moment of arrival.
"""

import json
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from protocol.network_server.uplink import Uplink

MAX_UPLINKS = 8
"""In one datagram, as the reference forwarder has it."""

_HEAD, _TAIL = b'{"rxpk":[', b"]}"
OVERHEAD_BYTES = len(_HEAD) + len(_TAIL)

_U32 = 0xFFFFFFFF
_PLAIN_US = 30 * 60_000_000
_STALE_US = 10 * 60_000_000


def tmst(uplink: Uplink, now_us: int) -> int:
    """The counter of 32 bits, in microseconds, to which a server's answer will refer.

    It turns over in 71.6 minutes, so that the answer to an old frame, or to one of an earlier boot,
    could look as if it were due soon. Such a frame is said to be ten minutes old: the answer is
    late, and can be seen to be.

    Args:
        now_us: CLOCK_BOOTTIME.
    """
    age_us = now_us - uplink.counter_us
    if uplink.this_boot and age_us <= _PLAIN_US:
        return uplink.counter_us & _U32
    return (now_us - _STALE_US) & _U32


def rxpk(uplink: Uplink, now_us: int, *, with_metadata: bool = True) -> bytes:
    """One uplink as JSON.

    Args:
        now_us: CLOCK_BOOTTIME.
        with_metadata: also tell how long the frame was held and whether it is a replay.
    """
    heard = uplink.reception
    report: dict[str, object] = {"tmst": tmst(uplink, now_us)}
    if uplink.received_at is not None and uplink.gps_time_us is not None:
        report["time"] = _utc(uplink.received_at.unix_us).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        report["tmms"] = uplink.gps_time_us // 1000
    report |= {
        "chan": heard.radio,
        "rfch": 0,
        "freq": heard.frequency_hz / 1e6,
        "stat": 1,
        "modu": "LORA",
        "datr": f"SF{heard.spreading_factor}BW{heard.bandwidth_hz / 1000:g}",
        "codr": heard.coding_rate,
    }
    if heard.rssi_dbm is not None:
        report["rssi"] = round(heard.rssi_dbm)
    if heard.snr_db is not None:
        report["lsnr"] = round(heard.snr_db, 1)
    report["size"] = len(uplink.phy_payload)
    report["data"] = b64encode(uplink.phy_payload).decode()
    if with_metadata:
        report["meta"] = _metadata(uplink)
    return _json(report)


def push_data(reports: Iterable[bytes]) -> bytes:
    """The body for uplinks that :func:`rxpk` has written."""
    return _HEAD + b",".join(reports) + _TAIL


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts since the last such report.

    Attributes:
        unix_us: when it is made; it cannot be made without a clock.
        position: latitude and longitude in degrees, altitude in metres.
        received / received_ok: frames that the radios heard / with a good CRC.
        forwarded: uplinks that were sent.
        acknowledged_percent: of the datagrams sent.
        downlinks: that the server asked for; ``transmitted``: that went out.
    """

    unix_us: int
    position: tuple[float, float, float] | None
    received: int
    received_ok: int
    forwarded: int
    acknowledged_percent: float
    downlinks: int
    transmitted: int


def stat(statistics: Statistics) -> bytes:
    """The body for the gateway's own report."""
    report: dict[str, object] = {"time": _utc(statistics.unix_us).strftime("%Y-%m-%d %H:%M:%S GMT")}
    if statistics.position is not None:
        latitude, longitude, altitude_m = statistics.position
        report |= {"lati": latitude, "long": longitude, "alti": round(altitude_m)}
    report |= {
        "rxnb": statistics.received,
        "rxok": statistics.received_ok,
        "rxfw": statistics.forwarded,
        "ackr": round(statistics.acknowledged_percent, 1),
        "dwnb": statistics.downlinks,
        "txnb": statistics.transmitted,
    }
    return _json({"stat": report})


class TxError(StrEnum):
    """What became of a downlink, as TX_ACK says it."""

    NONE = "NONE"
    TOO_LATE = "TOO_LATE"
    TOO_EARLY = "TOO_EARLY"
    COLLISION_PACKET = "COLLISION_PACKET"
    COLLISION_BEACON = "COLLISION_BEACON"
    TX_FREQ = "TX_FREQ"
    TX_POWER = "TX_POWER"
    GPS_UNLOCKED = "GPS_UNLOCKED"


def tx_ack(error: TxError) -> bytes:
    """The body of a TX_ACK; NONE = it was transmitted."""
    return _json({"txpk_ack": {"error": error.value}})


def _metadata(uplink: Uplink) -> dict[str, str]:
    metadata = {"replay": "1"} if uplink.is_replay else {}
    if uplink.held_us is not None:
        metadata["hold_ms"] = str(uplink.held_us // 1000)
    return metadata


def _utc(unix_us: int) -> datetime:
    seconds, microseconds = divmod(unix_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=microseconds)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
