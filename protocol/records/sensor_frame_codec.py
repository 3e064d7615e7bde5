"""Sensor frames as CBOR; the schema is ``sensor_frame.cddl`` beside this file.

Two layers: the store keeps what was heard (:func:`encode_content`), and identity and wall-clock
time are filled in when a row is read (:func:`encode`). Encoding is deterministic (RFC 8949 section
4.2.1): cbor2's canonical order, shorter keys first, is the bytewise order of that section as long
as all keys are one byte, which they are here.
"""

import cbor2

from protocol.records.senml import to_record
from protocol.records.sensor_frame import (
    MAX_PHY_PAYLOAD,
    FrameContent,
    Reception,
    SensorFrame,
    SensorFrameError,
    Verified,
    uplink_id,
)
from protocol.records.sensor_frame_reader import VERSION, read_content, read_frame
from protocol.records.strict_cbor import Item, StrictCborError, decode_item


def encode_content(content: FrameContent) -> bytes:
    """What was heard, without identity and wall-clock time.

    Raises:
        ValueError: the payload is longer than any device can report; it could not be read again.
    """
    return cbor2.dumps(_content_members(content), canonical=True)


def decode_content(data: bytes) -> FrameContent:
    """Read what :func:`encode_content` wrote. Raises :class:`SensorFrameError`."""
    return read_content(_item(data))


def encode(frame: SensorFrame) -> bytes:
    """The record that upstreams receive. Raises ValueError as :func:`encode_content` does."""
    members: dict[int, object] = {
        0: VERSION,
        1: frame.frame_id.gateway,
        2: frame.frame_id.epoch,
        3: frame.frame_id.seq,
        4: uplink_id(frame.content.phy_payload),
        7: frame.received_at.unix_us if frame.received_at else None,
        8: frame.received_at.uncertainty_us if frame.received_at else None,
    }
    return cbor2.dumps(members | _content_members(frame.content), canonical=True)


def decode(data: bytes) -> SensorFrame:
    """Read what :func:`encode` wrote. Raises :class:`SensorFrameError`."""
    return read_frame(_item(data))


def _item(data: bytes) -> Item:
    try:
        # Our own records have no fixed length; an item takes a byte at least, so all may pass.
        return decode_item(data, max_bytes=len(data), max_items=len(data))
    except StrictCborError as error:
        raise SensorFrameError(f"not a record of ours: {error}") from error


def _content_members(content: FrameContent) -> dict[int, object]:
    if len(content.phy_payload) > MAX_PHY_PAYLOAD:
        raise ValueError(
            f"a PHY payload has at most {MAX_PHY_PAYLOAD} bytes, not {len(content.phy_payload)}"
        )
    known = {
        12: content.device,
        13: content.message_type,
        14: content.dev_addr,
        15: content.dev_eui,
        16: content.f_cnt,
        17: content.f_port,
        18: None if content.verified is Verified.UNKNOWN else content.verified.value,
        19: content.verified_reason,
        20: content.decode_error,
        21: [to_record(measurement) for measurement in content.measurements] or None,
    }
    members: dict[int, object] = {
        5: content.boot_id,
        6: content.received_boottime_us,
        9: [_reception_members(reception) for reception in content.receptions],
        10: content.phy_payload,
        11: content.frame_class.value,
    }
    members.update((key, value) for key, value in known.items() if value is not None)
    return members


def _reception_members(reception: Reception) -> dict[int, object]:
    return {
        0: reception.concentrator,
        1: reception.radio,
        2: reception.frequency_hz,
        3: reception.spreading_factor,
        4: reception.bandwidth_hz,
        5: reception.coding_rate,
        # Type checkers let an int pass for a float, and CBOR would tell them apart.
        6: _float_or_null(reception.rssi_dbm),
        7: reception.rssi_model,
        8: _float_or_null(reception.snr_db),
        9: _float_or_null(reception.frequency_error_hz),
        10: reception.crc_status.value,
    }


def _float_or_null(number: float | None) -> float | None:
    return None if number is None else float(number)
