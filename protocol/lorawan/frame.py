"""LoRaWAN frames: PHY payload bytes to values and back, bit for bit.

Source: LoRaWAN L2 1.0.4 (TS001-1.0.4) section 4, "MAC Frame Formats"; rejoin-requests:
LoRaWAN 1.1 section 6.2.4. Multi-byte fields travel least significant byte first; identifiers are
kept most significant byte first here, as people print them.

Parsing is syntax only: it needs no key and proves nothing. ``serialize(parse(b)) == b`` for every
accepted ``b``.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import ClassVar, assert_never

MAX_PHY_PAYLOAD = 255  # the length field of the LoRa header is one byte
MIC_BYTES = 4
_MAX_F_OPTS = 15
_MHDR_BYTES = 1
_FHDR_BYTES = 7  # DevAddr 4, FCtrl 1, FCnt 2; FOpts not counted
_MIN_DATA = _MHDR_BYTES + _FHDR_BYTES + MIC_BYTES
_JOIN_REQUEST = 23
_JOIN_ACCEPT = (17, 33)  # without and with the 16 bytes of the CFList
_REJOIN_REQUEST = {0: 19, 1: 24, 2: 19}  # by rejoin type: NetID or JoinEUI, DevEUI, counter


class MessageType(StrEnum):
    """What a frame is for: the MType field, in the order of its codes 0 to 7."""

    JOIN_REQUEST = "join_request"
    JOIN_ACCEPT = "join_accept"
    UNCONFIRMED_DATA_UP = "unconfirmed_data_up"
    UNCONFIRMED_DATA_DOWN = "unconfirmed_data_down"
    CONFIRMED_DATA_UP = "confirmed_data_up"
    CONFIRMED_DATA_DOWN = "confirmed_data_down"
    REJOIN_REQUEST = "rejoin_request"
    PROPRIETARY = "proprietary"


_BY_CODE = tuple(MessageType)
_MHDR = {message_type: bytes([code << 5]) for code, message_type in enumerate(_BY_CODE)}
_UP = (MessageType.UNCONFIRMED_DATA_UP, MessageType.CONFIRMED_DATA_UP)
_DOWN = (MessageType.UNCONFIRMED_DATA_DOWN, MessageType.CONFIRMED_DATA_DOWN)


class Direction(IntEnum):
    """Which way a data frame travels; the value is the Dir byte of blocks B0 and A (4.3.3, 4.4)."""

    UP = 0
    DOWN = 1


class FrameFault(StrEnum):
    """Why bytes are no LoRaWAN frame; a closed list."""

    TOO_SHORT = "too_short"
    BAD_LENGTH = "bad_length"  # not a length that this message type can have
    UNSUPPORTED_MAJOR = "unsupported_major"  # Major is not 0 (LoRaWAN R1)
    RESERVED = "reserved"  # a bit or a type that no version of LoRaWAN R1 defines


class FrameError(Exception):
    """Received bytes are no LoRaWAN frame; ``reason`` says why."""

    def __init__(self, reason: FrameFault) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class DataFrame:
    """A data message, up or down, its payload still encrypted.

    Attributes:
        dev_addr: 4 bytes.
        adr_ack_req: FCtrl bit 6; reserved on downlinks and kept as heard.
        class_b_or_pending: FCtrl bit 4: ClassB on uplinks, FPending on downlinks.
        f_cnt: the 16 bits that travel, not the counter.
        f_opts: 0 to 15 bytes of MAC commands.
        f_port: None where FPort is absent; then ``frm_payload`` is empty.
        mic: 4 bytes.

    Raises:
        ValueError: a field does not fit into the frame.
    """

    message_type: MessageType
    dev_addr: bytes
    adr: bool
    adr_ack_req: bool
    ack: bool
    class_b_or_pending: bool
    f_cnt: int
    f_opts: bytes
    f_port: int | None
    frm_payload: bytes
    mic: bytes

    def __post_init__(self) -> None:
        """Hold what a parser guarantees for values that are made by hand as well."""
        if self.message_type not in _UP + _DOWN:
            raise ValueError(f"{self.message_type} is no data message")
        if len(self.dev_addr) != 4 or len(self.mic) != MIC_BYTES:
            raise ValueError("dev_addr and mic have 4 bytes each")
        if not 0 <= self.f_cnt <= 0xFFFF:
            raise ValueError("f_cnt has 16 bits")
        if self.f_port is None and self.frm_payload:
            raise ValueError("a payload needs an f_port")
        if self.f_port is not None and not 0 <= self.f_port <= 0xFF:
            raise ValueError("f_port has 8 bits")
        if len(self.f_opts) > _MAX_F_OPTS or self._phy_payload_bytes() > MAX_PHY_PAYLOAD:
            raise ValueError("f_opts or frm_payload is too long")

    def _phy_payload_bytes(self) -> int:
        f_port_bytes = 0 if self.f_port is None else 1
        return _MIN_DATA + len(self.f_opts) + f_port_bytes + len(self.frm_payload)

    @property
    def direction(self) -> Direction:
        """Which way the frame travels."""
        return Direction.UP if self.uplink else Direction.DOWN

    @property
    def uplink(self) -> bool:
        """Whether a device sent it."""
        return self.message_type in _UP


@dataclass(frozen=True, slots=True)
class JoinRequest:
    """A device asks for a session: EUIs of 8 bytes, a DevNonce of 16 bits, a MIC of 4 bytes."""

    message_type: ClassVar[MessageType] = MessageType.JOIN_REQUEST

    join_eui: bytes
    dev_eui: bytes
    dev_nonce: int
    mic: bytes


@dataclass(frozen=True, slots=True)
class JoinAccept:
    """The network's answer: 16 or 32 bytes, encrypted including their MIC."""

    message_type: ClassVar[MessageType] = MessageType.JOIN_ACCEPT

    encrypted: bytes


@dataclass(frozen=True, slots=True)
class RejoinRequest:
    """A LoRaWAN 1.1 device asks to join again; for the network server, so ``body`` stays as sent.

    Attributes:
        rejoin_type: 0, 1 or 2.
        body: the bytes between the type and the MIC.
    """

    message_type: ClassVar[MessageType] = MessageType.REJOIN_REQUEST

    rejoin_type: int
    body: bytes
    mic: bytes


@dataclass(frozen=True, slots=True)
class Proprietary:
    """Anything at all after the MHDR."""

    message_type: ClassVar[MessageType] = MessageType.PROPRIETARY

    body: bytes


Frame = DataFrame | JoinRequest | JoinAccept | RejoinRequest | Proprietary


def parse(phy_payload: bytes) -> Frame:
    """Read one PHY payload.

    A set reserved bit of the MHDR refuses the frame: nobody sends one, noise and other people's
    LoRa frames do, and network servers' packet forwarders refuse it as well.

    Raises:
        FrameError: these bytes are no LoRaWAN R1 frame.
    """
    if not phy_payload:
        raise FrameError(FrameFault.TOO_SHORT)
    if len(phy_payload) > MAX_PHY_PAYLOAD:
        raise FrameError(FrameFault.BAD_LENGTH)
    if phy_payload[0] & 0x03:
        raise FrameError(FrameFault.UNSUPPORTED_MAJOR)
    if phy_payload[0] & 0x1C:
        raise FrameError(FrameFault.RESERVED)
    match _BY_CODE[phy_payload[0] >> 5]:
        case MessageType.JOIN_REQUEST:
            return _parse_join_request(phy_payload)
        case MessageType.JOIN_ACCEPT:
            return _parse_join_accept(phy_payload)
        case MessageType.REJOIN_REQUEST:
            return _parse_rejoin_request(phy_payload)
        case MessageType.PROPRIETARY:
            return Proprietary(phy_payload[1:])
        case message_type:
            return _parse_data(message_type, phy_payload)


def serialize(frame: Frame) -> bytes:
    """Make the PHY payload of a frame; the exact inverse of :func:`parse`."""
    mhdr = _MHDR[frame.message_type]
    match frame:
        case DataFrame():
            return mhdr + _serialize_data(frame)
        case JoinRequest(join_eui, dev_eui, dev_nonce, mic):
            return mhdr + join_eui[::-1] + dev_eui[::-1] + dev_nonce.to_bytes(2, "little") + mic
        case JoinAccept(encrypted):
            return mhdr + encrypted
        case RejoinRequest(rejoin_type, body, mic):
            return mhdr + bytes([rejoin_type]) + body + mic
        case Proprietary(body):
            return mhdr + body
        case never:
            assert_never(never)


def _parse_data(message_type: MessageType, phy_payload: bytes) -> DataFrame:
    if len(phy_payload) < _MIN_DATA:
        raise FrameError(FrameFault.TOO_SHORT)
    f_ctrl = phy_payload[5]
    f_opts_end = _MHDR_BYTES + _FHDR_BYTES + (f_ctrl & 0x0F)
    end = len(phy_payload) - MIC_BYTES
    if f_opts_end > end:
        raise FrameError(FrameFault.BAD_LENGTH)
    return DataFrame(
        message_type=message_type,
        dev_addr=phy_payload[4:0:-1],
        adr=bool(f_ctrl & 0x80),
        adr_ack_req=bool(f_ctrl & 0x40),
        ack=bool(f_ctrl & 0x20),
        class_b_or_pending=bool(f_ctrl & 0x10),
        f_cnt=int.from_bytes(phy_payload[6:8], "little"),
        f_opts=phy_payload[8:f_opts_end],
        f_port=phy_payload[f_opts_end] if f_opts_end < end else None,
        frm_payload=phy_payload[f_opts_end + 1 : end],
        mic=phy_payload[end:],
    )


def _serialize_data(frame: DataFrame) -> bytes:
    f_ctrl = (
        frame.adr << 7
        | frame.adr_ack_req << 6
        | frame.ack << 5
        | frame.class_b_or_pending << 4
        | len(frame.f_opts)
    )
    f_port = b"" if frame.f_port is None else bytes([frame.f_port])
    return b"".join(
        (
            frame.dev_addr[::-1],
            bytes([f_ctrl]),
            frame.f_cnt.to_bytes(2, "little"),
            frame.f_opts,
            f_port,
            frame.frm_payload,
            frame.mic,
        )
    )


def _parse_join_request(phy_payload: bytes) -> JoinRequest:
    if len(phy_payload) != _JOIN_REQUEST:
        raise FrameError(FrameFault.BAD_LENGTH)
    return JoinRequest(
        join_eui=phy_payload[8:0:-1],
        dev_eui=phy_payload[16:8:-1],
        dev_nonce=int.from_bytes(phy_payload[17:19], "little"),
        mic=phy_payload[19:],
    )


def _parse_join_accept(phy_payload: bytes) -> JoinAccept:
    if len(phy_payload) not in _JOIN_ACCEPT:
        raise FrameError(FrameFault.BAD_LENGTH)
    return JoinAccept(phy_payload[1:])


def _parse_rejoin_request(phy_payload: bytes) -> RejoinRequest:
    if len(phy_payload) < 2:
        raise FrameError(FrameFault.TOO_SHORT)
    rejoin_type = phy_payload[1]
    if rejoin_type not in _REJOIN_REQUEST:
        raise FrameError(FrameFault.RESERVED)
    if len(phy_payload) != _REJOIN_REQUEST[rejoin_type]:
        raise FrameError(FrameFault.BAD_LENGTH)
    return RejoinRequest(rejoin_type, phy_payload[2:-MIC_BYTES], phy_payload[-MIC_BYTES:])
