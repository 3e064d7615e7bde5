"""From the members of a sensor frame's map (``sensor_frame.cddl``) to the frame, with every check.

Both renderings meet here: CBOR gives the map as it is, JSON after its names and texts are undone.
Items have passed :func:`~protocol.records.strict_cbor.check_item`, so numbers are finite.
"""

from collections.abc import Callable
from typing import TypeVar

from protocol.lora.events import CrcStatus
from protocol.lora.phy import MAX_PAYLOAD_LENGTH
from protocol.records.senml import from_record
from protocol.records.sensor_frame import (
    SEQ_MAX,
    FrameClass,
    FrameContent,
    FrameId,
    Reception,
    SensorFrame,
    SensorFrameError,
    Verified,
    WallTime,
    uplink_id,
)
from protocol.records.strict_cbor import Item

VERSION = 1

# Years 1 to 9999: what RFC 3339, and so the JSON rendering, can write.
_UNIX_US_MIN, _UNIX_US_MAX = -62_135_596_800_000_000, 253_402_300_799_999_999

_UINT8, _UINT32, _COUNT63 = 2**8 - 1, 2**32 - 1, SEQ_MAX

T = TypeVar("T")


def read_frame(item: Item) -> SensorFrame:
    """A whole frame. Raises :class:`SensorFrameError` naming the member that is wrong."""
    members = _Members(item)
    if members.take(0, _unsigned(_UINT32)) != VERSION:
        raise SensorFrameError("a version that is not known")
    frame_id = FrameId(
        gateway=members.take(1, _octets(8)),
        epoch=members.take(2, _octets(8)),
        seq=members.take(3, _unsigned(_COUNT63)),
    )
    correlation = members.take(4, _octets(16))
    received_at = _take_wall_time(members)
    content = _take_content(members)
    if correlation != uplink_id(content.phy_payload):
        raise SensorFrameError("member 4 is not the hash of member 10")
    return SensorFrame(frame_id, content, received_at)


def read_content(item: Item) -> FrameContent:
    """What was heard, alone. Raises :class:`SensorFrameError` naming the member that is wrong."""
    return _take_content(_Members(item))


class _Members:
    """The members of a map, taken out one after the other, so that what is left is unknown."""

    def __init__(self, item: Item) -> None:
        if not isinstance(item, dict):
            raise SensorFrameError("not a map")
        self._left = dict(item)

    def take(self, key: int, read: Callable[[Item], T]) -> T:
        """A member that must be there."""
        if key not in self._left:
            raise SensorFrameError(f"member {key} is missing")
        try:
            return read(self._left.pop(key))
        except ValueError as error:
            raise SensorFrameError(f"member {key}: {error}") from error

    def take_known(self, key: int, read: Callable[[Item], T]) -> T | None:
        """A member that is absent while it is not known."""
        return self.take(key, read) if key in self._left else None

    def finish(self) -> None:
        """Refuse members that the schema does not have."""
        if self._left:
            raise SensorFrameError(f"unknown members {list(self._left)}")


def _take_wall_time(members: _Members) -> WallTime | None:
    unix_us = members.take(7, _nullable(_integer(_UNIX_US_MIN, _UNIX_US_MAX)))
    uncertainty_us = members.take(8, _nullable(_unsigned(_COUNT63)))
    if unix_us is None and uncertainty_us is None:
        return None
    if unix_us is None or uncertainty_us is None:
        raise SensorFrameError("members 7 and 8 are known together or not at all")
    return WallTime(unix_us, uncertainty_us)


def _take_content(members: _Members) -> FrameContent:
    content = FrameContent(
        boot_id=members.take(5, _octets(16)),
        received_boottime_us=members.take(6, _integer(-_COUNT63, _COUNT63)),
        receptions=members.take(9, _some(_reception)),
        phy_payload=members.take(10, _octets(0, MAX_PAYLOAD_LENGTH)),
        frame_class=members.take(11, lambda value: FrameClass(_text(value))),
        device=members.take_known(12, _text),
        message_type=members.take_known(13, _text),
        dev_addr=members.take_known(14, _octets(4)),
        dev_eui=members.take_known(15, _octets(8)),
        f_cnt=members.take_known(16, _unsigned(_UINT32)),
        f_port=members.take_known(17, _unsigned(_UINT8)),
        verified=members.take_known(18, _checked) or Verified.UNKNOWN,
        verified_reason=members.take_known(19, _text),
        decode_error=members.take_known(20, _text),
        measurements=members.take_known(21, _some(from_record)) or (),
    )
    members.finish()
    return content


def _reception(item: Item) -> Reception:
    members = _Members(item)
    reception = Reception(
        concentrator=members.take(0, _text),
        radio=members.take(1, _unsigned(_UINT8)),
        frequency_hz=members.take(2, _unsigned(_UINT32)),
        spreading_factor=members.take(3, _unsigned(_UINT8)),
        bandwidth_hz=members.take(4, _unsigned(_UINT32)),
        coding_rate=members.take(5, _text),
        rssi_dbm=members.take(6, _float),
        rssi_model=members.take(7, _text),
        snr_db=members.take(8, _nullable(_float)),
        frequency_error_hz=members.take(9, _nullable(_float)),
        crc_status=members.take(10, lambda value: CrcStatus(_text(value))),
    )
    members.finish()
    return reception


def _checked(value: Item) -> Verified:
    """Only what a check can say: a frame that was not checked has no such member."""
    verified = Verified(_text(value))
    if verified is Verified.UNKNOWN:
        raise ValueError("unknown is told by leaving the member out")
    return verified


def _text(value: Item) -> str:
    if not isinstance(value, str):
        raise ValueError("not a text")
    return value


def _float(value: Item) -> float:
    if not isinstance(value, float):
        raise ValueError("not a float")
    return value


def _octets(shortest: int, longest: int | None = None) -> Callable[[Item], bytes]:
    """Reads bytes of a length, or of ``shortest`` to ``longest``."""

    def read(value: Item) -> bytes:
        if not isinstance(value, bytes) or not shortest <= len(value) <= (longest or shortest):
            raise ValueError(f"not {shortest} to {longest or shortest} bytes")
        return value

    return read


def _integer(low: int, high: int) -> Callable[[Item], int]:
    def read(value: Item) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"not an integer of {low} to {high}")
        return value

    return read


def _unsigned(high: int) -> Callable[[Item], int]:
    return _integer(0, high)


def _nullable(read: Callable[[Item], T]) -> Callable[[Item], T | None]:
    return lambda value: None if value is None else read(value)


def _some(read: Callable[[Item], T]) -> Callable[[Item], tuple[T, ...]]:
    """Reads an array of one element or more."""

    def read_all(value: Item) -> tuple[T, ...]:
        if not isinstance(value, list) or not value:
            raise ValueError("not an array with elements")
        return tuple(read(element) for element in value)

    return read_all
