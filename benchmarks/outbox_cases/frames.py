"""The frames that everybody has to store: 120 bytes, the size of a LoRaWAN frame as we keep it."""

import os
from dataclasses import replace

from protocol.records.sensor_frame import FrameContent
from protocol.records.sensor_frame_codec import encode_content
from tests.edge.outbox import open_store

FRAME_BYTES = 120
DEVICES = 500
"""So many sensors' counters are among the marks; 1,000 frames touch each of them twice."""

_PAYLOAD_BYTES = 33
_MARK_BYTES = 12
_BOOT_ID = os.urandom(16)


def content(number: int) -> FrameContent:
    """A frame of the present boot, so that its age is known, whose payload cannot be guessed."""
    frame = open_store.content(number, boot_id=_BOOT_ID, received_us=1_000_000_000 + number)
    payload = number.to_bytes(8, "big") + os.urandom(_PAYLOAD_BYTES - 8)
    return replace(frame, phy_payload=payload)


def encoded_bytes() -> int:
    """Size of a frame as it is stored; :data:`FRAME_BYTES` unless the format has changed."""
    return len(encode_content(content(1)))


def mark(number: int) -> dict[str, bytes]:
    """What a frame moves along with it: the counter of the one device that sent it."""
    return {f"device-{number % DEVICES:03d}": number.to_bytes(_MARK_BYTES, "big")}


def blobs(count: int) -> list[bytes]:
    """Random frames of the same size, for those who do not know what is in them."""
    return [os.urandom(FRAME_BYTES) for _ in range(count)]
