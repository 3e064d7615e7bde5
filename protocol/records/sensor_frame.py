"""The sensor frame: one frame that radios heard, as it is stored and handed to upstreams.

:mod:`protocol.records.sensor_frame_codec` makes CBOR of it, for which ``sensor_frame.cddl`` is
the schema, and :mod:`protocol.records.sensor_frame_json` makes JSON.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from typing import NamedTuple, Self

from protocol.lora.events import CrcStatus

SEQ_MAX = 2**63 - 1
"""What fits SQLite's integers; at a frame each microsecond it lasts 292,000 years."""

_FRAME_ID = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-(0|[1-9][0-9]{0,18})")


class SensorFrameError(ValueError):
    """Bytes, JSON or text that are no sensor frame of the version that we know."""


MAX_PHY_PAYLOAD = 508
"""Bytes. A LoRa packet carries 255; RNode firmware joins two packets of 254 bytes and a header."""


def uplink_id(phy_payload: bytes) -> bytes:
    """16 bytes that correlate receptions of the same PHY payload (BLAKE2b, RFC 7693, unkeyed).

    It is no identity: confirmed repeats and frames without a counter share it.
    """
    return blake2b(phy_payload, digest_size=16).digest()


class FrameId(NamedTuple):
    """The only idempotency key: gateway EUI-64, store epoch, sequence number of that epoch."""

    gateway: bytes
    epoch: bytes
    seq: int

    def __str__(self) -> str:
        """``<16 hex>-<16 hex>-<decimal>``."""
        return f"{self.gateway.hex()}-{self.epoch.hex()}-{self.seq}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read back what ``str`` made, and nothing else. Raises :class:`SensorFrameError`."""
        match = _FRAME_ID.fullmatch(text)
        if match is None or int(match[3]) > SEQ_MAX:
            raise SensorFrameError(f"not a frame id: {text!r}")
        return cls(bytes.fromhex(match[1]), bytes.fromhex(match[2]), int(match[3]))


class FrameClass(StrEnum):
    """How urgent a frame is."""

    ALARM = "alarm"
    TELEMETRY = "telemetry"
    BULK = "bulk"


class Verified(StrEnum):
    """Whether the frame's integrity code was checked against a configured key."""

    UNKNOWN = "unknown"
    YES = "yes"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Reception:
    """How one radio heard the frame; fields as of the driver's event, numbers finite."""

    concentrator: str
    radio: int
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    rssi_dbm: float | None
    rssi_model: str
    snr_db: float | None
    frequency_error_hz: float | None
    crc_status: CrcStatus


Value = int | float | str | bool | bytes


@dataclass(frozen=True, slots=True)
class Measurement:
    """One SenML record (RFC 8428): name, unit and value."""

    name: str
    value: Value
    unit: str | None = None


@dataclass(frozen=True, slots=True)
class FrameContent:
    """What was heard: everything of a sensor frame but its identity and its wall-clock time.

    Attributes:
        boot_id: 16 bytes, the host's boot.
        received_boottime_us: RxDone on CLOCK_BOOTTIME of that boot. Negative: it waited in a board
            that had its power while this host booted.
        receptions: best first, never empty.
        phy_payload: the bytes of the air, always.
        device: configured name, if the device is known.
        dev_addr / dev_eui: identifiers, most significant byte first (4 / 8 bytes).
        f_cnt: 32-bit counter when rebuilt, else the 16 bits of the frame.
        verified_reason: why ``verified`` is NO, e.g. "mic", "replay", "counter_reset".
        decode_error: why measurements are missing although a decoder is configured.
    """

    boot_id: bytes
    received_boottime_us: int
    receptions: tuple[Reception, ...]
    phy_payload: bytes
    frame_class: FrameClass = FrameClass.TELEMETRY
    device: str | None = None
    message_type: str | None = None
    dev_addr: bytes | None = None
    dev_eui: bytes | None = None
    f_cnt: int | None = None
    f_port: int | None = None
    verified: Verified = Verified.UNKNOWN
    verified_reason: str | None = None
    decode_error: str | None = None
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True)
class WallTime:
    """Unix time in microseconds and how far it may be off."""

    unix_us: int
    uncertainty_us: int


@dataclass(frozen=True, slots=True)
class SensorFrame:
    """A committed frame: identity, content, and its time once it is known."""

    frame_id: FrameId
    content: FrameContent
    received_at: WallTime | None
