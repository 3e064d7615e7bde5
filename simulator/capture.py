"""Captured traffic as JSON lines: one reception a line, in one of two forms.

1. Semtech's ``rxpk`` objects (``tmst``/``time``/``tmms``, ``freq`` in MHz, ``datr`` like
   ``SF12BW125``, ``rssi``, ``lsnr``, base64 ``data``), alone or in ``{"rxpk": [...]}``. ``stat``
   is 1 for a good CRC, which is the default, -1 for a bad one and 0 for none.
2. ``{"received_at_ms", "phy_payload" (hex), "receptions": [{"rssi_dbm", "snr_db", "frequency_hz",
   "datarate"}, ...]}``: the reception with the best SNR counts.
"""

import gzip
import json
import math
import re
import zlib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

MAX_PAYLOAD_BYTES = 255  # a LoRa header has eight bits for the length
_DATARATE = re.compile(r"SF(\d+)BW(\d+)")


class CaptureError(Exception):
    """A line that is neither form; says which line and why."""


@dataclass(frozen=True, slots=True)
class CapturedFrame:
    """One reception; ``at_us`` is on the capture's own time line."""

    at_us: int
    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    rssi_dbm: float
    snr_db: float
    crc_on_payload: bool = True
    crc_ok: bool = True

    def __post_init__(self) -> None:
        if len(self.payload) > MAX_PAYLOAD_BYTES:
            raise ValueError(f"{len(self.payload)} bytes are more than a LoRa frame carries")
        if not (math.isfinite(self.rssi_dbm) and math.isfinite(self.snr_db)):
            raise ValueError("strength must be finite")


def read_capture(path: Path) -> Iterator[CapturedFrame]:
    """Read a file, gzip or plain.

    Raises:
        CaptureError: a line cannot be understood, or a compressed file is damaged.
        OSError: the file cannot be read.
    """
    number = 0
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield from _line(path, number, line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CaptureError(f"{path}: damaged after line {number}: {error}") from None


def _line(path: Path, number: int, line: bytes) -> tuple[CapturedFrame, ...]:
    try:
        return tuple(_frames(json.loads(line)))
    except KeyError as error:
        raise CaptureError(f"{path}:{number}: {error} is missing") from None
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise CaptureError(f"{path}:{number}: {error}") from None


def _frames(entry: dict[str, Any]) -> Iterator[CapturedFrame]:
    if not isinstance(entry, dict):
        raise TypeError("not an object")
    if "phy_payload" in entry:
        yield _from_receptions(entry)
    else:
        for packet in entry.get("rxpk", [entry]):
            yield _from_rxpk(packet)


def _from_receptions(entry: dict[str, Any]) -> CapturedFrame:
    best = max(entry["receptions"], key=lambda r: (r["snr_db"], r["rssi_dbm"]))
    spreading_factor, bandwidth_hz = _datarate(best["datarate"])
    return CapturedFrame(
        int(entry["received_at_ms"]) * 1000,
        bytes.fromhex(entry["phy_payload"]),
        int(best["frequency_hz"]),
        spreading_factor,
        bandwidth_hz,
        float(best["rssi_dbm"]),
        float(best["snr_db"]),
    )


def _from_rxpk(packet: dict[str, Any]) -> CapturedFrame:
    spreading_factor, bandwidth_hz = _datarate(packet["datr"])
    return CapturedFrame(
        _rxpk_time_us(packet),
        b64decode(packet["data"] + "=" * (-len(packet["data"]) % 4), validate=True),
        # Rounded: some forwarders print a 32-bit float (921.400024).
        round(float(packet["freq"]) * 1e6 / 100) * 100,
        spreading_factor,
        bandwidth_hz,
        float(packet["rssi"]),
        float(packet["lsnr"]),
        crc_on_payload=packet.get("stat", 1) != 0,
        crc_ok=packet.get("stat", 1) == 1,
    )


def _rxpk_time_us(packet: dict[str, Any]) -> int:
    if "tmms" in packet:
        return int(packet["tmms"]) * 1000
    if "time" in packet:
        return round(datetime.fromisoformat(packet["time"]).timestamp() * 1e6)
    return int(packet["tmst"])


def _datarate(text: str) -> tuple[int, int]:
    match = _DATARATE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no LoRa data rate")
    return int(match[1]), int(match[2]) * 1000
