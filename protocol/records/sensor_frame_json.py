"""Sensor frames as JSON: the members of ``sensor_frame.cddl`` under their names.

Bytes are hexadecimal (in measurements base64url, as RFC 8428 has it), the wall-clock time is RFC
3339 in UTC with microseconds, and ``frame_id`` is added. What CBOR leaves out is left out here.
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

from protocol.records.senml import to_json_record, undo_json_record
from protocol.records.sensor_frame import (
    FrameContent,
    Reception,
    SensorFrame,
    SensorFrameError,
    Verified,
    uplink_id,
)
from protocol.records.sensor_frame_reader import VERSION, read_frame
from protocol.records.strict_cbor import Item, StrictCborError, check_item

_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# Far more than the 255 bytes of a payload can say; JSON comes from our own output.
_MAX_ITEMS = 100_000


def to_json_object(frame: SensorFrame) -> dict[str, object]:
    """The frame as what ``json.dumps`` takes."""
    received_at = frame.received_at
    return {
        "version": VERSION,
        "frame_id": str(frame.frame_id),
        "gateway": frame.frame_id.gateway.hex(),
        "epoch": frame.frame_id.epoch.hex(),
        "seq": frame.frame_id.seq,
        "uplink_id": uplink_id(frame.content.phy_payload).hex(),
        "boot_id": frame.content.boot_id.hex(),
        "received_boottime_us": frame.content.received_boottime_us,
        "received_at": _rfc3339(received_at.unix_us) if received_at else None,
        "uncertainty_us": received_at.uncertainty_us if received_at else None,
        "receptions": [_reception_object(reception) for reception in frame.content.receptions],
        "phy_payload": frame.content.phy_payload.hex(),
        "class": frame.content.frame_class.value,
        **_known_members(frame.content),
    }


def encode_json(frame: SensorFrame) -> bytes:
    """The frame as one line of JSON, without its end. What is not ASCII is not escaped."""
    return json.dumps(to_json_object(frame), ensure_ascii=False, separators=(",", ":")).encode()


def from_json_object(members: Mapping[str, object]) -> SensorFrame:
    """Read what :func:`to_json_object` made. Raises :class:`SensorFrameError`."""
    others = {name: value for name, value in members.items() if name != "frame_id"}
    item = _undo(_FRAME, others)
    try:
        check_item(item, _MAX_ITEMS)
    except StrictCborError as error:
        raise SensorFrameError(f"a value that no frame has: {error}") from error
    frame = read_frame(item)
    if members.get("frame_id") != str(frame.frame_id):
        raise SensorFrameError("frame_id is not that of gateway, epoch and seq")
    return frame


def _known_members(content: FrameContent) -> dict[str, object]:
    verified = None if content.verified is Verified.UNKNOWN else content.verified.value
    known: dict[str, object] = {
        "device": content.device,
        "message_type": content.message_type,
        "dev_addr": None if content.dev_addr is None else content.dev_addr.hex(),
        "dev_eui": None if content.dev_eui is None else content.dev_eui.hex(),
        "f_cnt": content.f_cnt,
        "f_port": content.f_port,
        "verified": verified,
        "verified_reason": content.verified_reason,
        "decode_error": content.decode_error,
        "measurements": [to_json_record(one) for one in content.measurements] or None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _reception_object(reception: Reception) -> dict[str, object]:
    return {
        "concentrator": reception.concentrator,
        "radio": reception.radio,
        "frequency_hz": reception.frequency_hz,
        "spreading_factor": reception.spreading_factor,
        "bandwidth_hz": reception.bandwidth_hz,
        "coding_rate": reception.coding_rate,
        "rssi_dbm": reception.rssi_dbm,
        "rssi_model": reception.rssi_model,
        "snr_db": reception.snr_db,
        "frequency_error_hz": reception.frequency_error_hz,
        "crc_status": reception.crc_status.value,
    }


def _rfc3339(unix_us: int) -> str:
    moment = _UNIX_EPOCH + timedelta(microseconds=unix_us)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


_Undo = Callable[[object], Item]


def _undo(names: Mapping[str, tuple[int, _Undo]], members: object) -> Item:
    """The map that CBOR would have given; checks of values are the reader's."""
    if not isinstance(members, dict):
        raise SensorFrameError("not an object")
    undone: dict[int | str, Item] = {}
    for name, value in members.items():
        if name not in names:
            raise SensorFrameError(f"unknown member {name}")
        key, undo = names[name]
        try:
            undone[key] = undo(value)
        except (ValueError, OverflowError) as error:
            raise SensorFrameError(f"{name}: {error}") from error
    return undone


def _same(value: object) -> Item:
    if value is not None and not isinstance(value, int | float | str):
        raise ValueError("neither number, text, boolean nor null")
    return value


def _float(value: object) -> Item:
    """JSON has one kind of number, and other writers leave out the ``.0``."""
    return float(value) if type(value) is int else _same(value)


def _octets(value: object) -> Item:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return bytes.fromhex(value)


def _unix_us(value: object) -> Item:
    if not isinstance(value, str):
        return _same(value)
    moment = datetime.fromisoformat(value).replace(tzinfo=UTC)
    unix_us = (moment - _UNIX_EPOCH) // timedelta(microseconds=1)
    if _rfc3339(unix_us) != value:
        raise ValueError("not UTC with microseconds as YYYY-MM-DDThh:mm:ss.ssssssZ")
    return unix_us


def _array(undo: _Undo) -> _Undo:
    def undo_all(value: object) -> Item:
        if not isinstance(value, list):
            raise ValueError("not an array")
        return [undo(element) for element in value]

    return undo_all


def _reception(value: object) -> Item:
    return _undo(_RECEPTION, value)


_RECEPTION: dict[str, tuple[int, _Undo]] = {
    "concentrator": (0, _same),
    "radio": (1, _same),
    "frequency_hz": (2, _same),
    "spreading_factor": (3, _same),
    "bandwidth_hz": (4, _same),
    "coding_rate": (5, _same),
    "rssi_dbm": (6, _float),
    "rssi_model": (7, _same),
    "snr_db": (8, _float),
    "frequency_error_hz": (9, _float),
    "crc_status": (10, _same),
}

_FRAME: dict[str, tuple[int, _Undo]] = {
    "version": (0, _same),
    "gateway": (1, _octets),
    "epoch": (2, _octets),
    "seq": (3, _same),
    "uplink_id": (4, _octets),
    "boot_id": (5, _octets),
    "received_boottime_us": (6, _same),
    "received_at": (7, _unix_us),
    "uncertainty_us": (8, _same),
    "receptions": (9, _array(_reception)),
    "phy_payload": (10, _octets),
    "class": (11, _same),
    "device": (12, _same),
    "message_type": (13, _same),
    "dev_addr": (14, _octets),
    "dev_eui": (15, _octets),
    "f_cnt": (16, _same),
    "f_port": (17, _same),
    "verified": (18, _same),
    "verified_reason": (19, _same),
    "decode_error": (20, _same),
    "measurements": (21, _array(undo_json_record)),
}
