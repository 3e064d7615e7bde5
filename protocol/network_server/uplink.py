"""From a sensor frame to what every network server wants to know of it.

A network server takes LoRaWAN uplinks with a good CRC. It believes the GPS time that it is told, be
it from 1980, and stamps a frame without one on arrival: a wrong time is worse than none. So all
kinds of network servers get their values from here.
"""

from dataclasses import dataclass
from enum import StrEnum

from protocol.lora.events import CrcStatus
from protocol.lorawan.frame import (
    DataFrame,
    FrameError,
    JoinRequest,
    MessageType,
    Proprietary,
    RejoinRequest,
    parse,
)
from protocol.lorawan.gps_time import gps_us
from protocol.records.sensor_frame import FrameId, Reception, SensorFrame, WallTime

LIVE_US = 5_000_000
"""A frame that was held longer is a replay: no class A window is open any more for an answer."""

DATED_WITHIN_US = 1_000_000
"""A time that may be off by more is told only where the frame was held for longer than that."""

UNKNOWN_RSSI_DBM = -140
"""Where a protocol has to have one: below what a radio can hear, so that no server which has a
choice answers by us."""

_GOOD = (CrcStatus.OK, CrcStatus.UNKNOWN)  # a device that does not tell drops bad ones itself
_UP = (MessageType.UNCONFIRMED_DATA_UP, MessageType.CONFIRMED_DATA_UP)
_DEV_EUI = {0: slice(3, 11), 1: slice(8, 16), 2: slice(3, 11)}  # in a rejoin-request's body


class PassedOver(StrEnum):
    """Why a frame is none of a network server's business; a closed list."""

    NOT_LORAWAN = "not_lorawan"
    CRC = "crc"
    DOWNLINK = "downlink"
    STALE_JOIN = "stale_join"
    TOO_OLD = "too_old"


@dataclass(frozen=True, slots=True)
class Now:
    """The moment at which frames are looked at.

    Attributes:
        boot_id: the present boot, 16 bytes.
        boottime_us: CLOCK_BOOTTIME of it.
        wall: Unix time, None while nobody vouches for it.
    """

    boot_id: bytes
    boottime_us: int
    wall: WallTime | None


@dataclass(frozen=True, slots=True)
class Limits:
    """How old a frame may be; None = as old as it likes.

    Attributes:
        join_max_age_us: of (re)join requests. The device waits 6 s for an answer, and asks with
            another DevNonce then; a late one could only use that nonce up.
        max_age_us: of all frames.
    """

    join_max_age_us: int = 60_000_000
    max_age_us: int | None = None


@dataclass(frozen=True, slots=True)
class Uplink:
    """A LoRaWAN frame for a network server, bit for bit.

    Attributes:
        device: whose order has to be kept: DevAddr or DevEUI, most significant byte first; of a
            proprietary frame, which has neither, the frame itself.
        reception: the best one with a good CRC.
        counter_us: end of the frame on CLOCK_BOOTTIME of ``boot_id``; each protocol takes as many
            of the low bits as it carries. Negative: the frame waited in a board while we booted.
        this_boot: whether that is the present boot's clock.
        gps_time_us: when it was received, for servers; None = they had better take their own time.
        received_at: the same as Unix time; None where ``gps_time_us`` is None.
        held_us: how long the gateway had it; None = not known.
    """

    frame_id: FrameId
    phy_payload: bytes
    message_type: MessageType
    device: bytes
    reception: Reception
    boot_id: bytes
    counter_us: int
    this_boot: bool
    gps_time_us: int | None
    received_at: WallTime | None
    held_us: int | None

    @property
    def is_replay(self) -> bool:
        """Whether no answer can reach the device any more."""
        return self.held_us is None or self.held_us > LIVE_US


def uplink(frame: SensorFrame, now: Now, limits: Limits) -> Uplink | PassedOver:
    """What to tell a network server of a frame, or why nothing."""
    content = frame.content
    reception = next((each for each in content.receptions if each.crc_status in _GOOD), None)
    if reception is None:
        return PassedOver.CRC
    try:
        lorawan = parse(content.phy_payload)
    except FrameError:
        return PassedOver.NOT_LORAWAN
    device = _device(lorawan, content.phy_payload)
    if device is None:
        return PassedOver.DOWNLINK
    held_us = _held_us(frame, now)
    if too_old := _too_old(lorawan, held_us, limits):
        return too_old
    received_at = _vouched(frame.received_at, held_us)
    return Uplink(
        frame_id=frame.frame_id,
        phy_payload=content.phy_payload,
        message_type=lorawan.message_type,
        device=device,
        reception=reception,
        boot_id=content.boot_id,
        counter_us=content.received_boottime_us,
        this_boot=content.boot_id == now.boot_id,
        gps_time_us=None if received_at is None else gps_us(received_at.unix_us),
        received_at=received_at,
        held_us=held_us,
    )


def _device(frame: object, phy_payload: bytes) -> bytes | None:
    """Who sent it; None = a network did."""
    match frame:
        case DataFrame(message_type=message_type, dev_addr=dev_addr) if message_type in _UP:
            return dev_addr
        case JoinRequest(dev_eui=dev_eui):
            return dev_eui
        case RejoinRequest(rejoin_type=rejoin_type, body=body):
            return body[_DEV_EUI[rejoin_type]][::-1]
        case Proprietary():
            return phy_payload
        case _:
            return None


def _too_old(frame: object, held_us: int | None, limits: Limits) -> PassedOver | None:
    if held_us is None:
        # A boot has ended since: too long for a join; others are not known to be too old.
        return PassedOver.STALE_JOIN if isinstance(frame, JoinRequest | RejoinRequest) else None
    if isinstance(frame, JoinRequest | RejoinRequest) and held_us > limits.join_max_age_us:
        return PassedOver.STALE_JOIN
    if limits.max_age_us is not None and held_us > limits.max_age_us:
        return PassedOver.TOO_OLD
    return None


def _held_us(frame: SensorFrame, now: Now) -> int | None:
    if frame.content.boot_id == now.boot_id:
        return max(0, now.boottime_us - frame.content.received_boottime_us)
    if frame.received_at is None or now.wall is None:
        return None
    return max(0, now.wall.unix_us - frame.received_at.unix_us)


def _vouched(received_at: WallTime | None, held_us: int | None) -> WallTime | None:
    """The time, where it is nearer the truth than the moment at which a server gets the frame."""
    if received_at is None:
        return None
    close_us = DATED_WITHIN_US if held_us is None else max(DATED_WITHIN_US, held_us)
    return received_at if received_at.uncertainty_us <= close_us else None
