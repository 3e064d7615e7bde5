"""The frames that everybody has to store: 120 bytes, the size of a LoRaWAN frame as we keep it."""

import os

from protocol.lora.events import CrcStatus
from protocol.records.sensor_frame import FrameContent, Reception
from protocol.records.sensor_frame_codec import encode_content

FRAME_BYTES = 120
DEVICES = 500
"""So many sensors' counters are among the marks; 1,000 frames touch each of them twice."""

_PAYLOAD_BYTES = 33
_MARK_BYTES = 12
_BOOT_ID = os.urandom(16)

_RECEPTION = Reception(
    concentrator="roof",
    radio=0,
    frequency_hz=921_400_000,
    spreading_factor=9,
    bandwidth_hz=125_000,
    coding_rate="4/5",
    rssi_dbm=-97.0,
    rssi_model="hf",
    snr_db=7.5,
    frequency_error_hz=None,
    crc_status=CrcStatus.OK,
)


def content(number: int) -> FrameContent:
    """A frame of the present boot, so that its age is known."""
    return FrameContent(
        boot_id=_BOOT_ID,
        received_boottime_us=1_000_000_000 + number,
        receptions=(_RECEPTION,),
        phy_payload=number.to_bytes(8, "big") + os.urandom(_PAYLOAD_BYTES - 8),
    )


def encoded_bytes() -> int:
    """Size of a frame as it is stored; :data:`FRAME_BYTES` unless the format has changed."""
    return len(encode_content(content(1)))


def mark(number: int) -> dict[str, bytes]:
    """What a frame moves along with it: the counter of the one device that sent it."""
    return {f"device-{number % DEVICES:03d}": number.to_bytes(_MARK_BYTES, "big")}


def blobs(count: int) -> list[bytes]:
    """Random frames of the same size, for those who do not know what is in them."""
    return [os.urandom(FRAME_BYTES) for _ in range(count)]
