"""Messages of the concentrator link as values (``docs/CONCENTRATOR-LINK.md`` sections 3 to 8).

Their bytes are in :mod:`protocol.link.codec`.
"""

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from protocol.lora.register_operations import RegisterOperation

PROTOCOL_MAJOR = 1
PROTOCOL_MINOR = 0
MAGIC = b"LoRa"
BOARD = 0xFF  # in the header's radio field: the message is about the whole board
UNSOLICITED = 0  # in the header's request field: nobody asked for this message


class MessageType(IntEnum):
    """First byte of a body. Replies are the request's type with bit 7 set."""

    HOST_HELLO = 0x01
    ACKNOWLEDGE = 0x02
    TIME_REQUEST = 0x03
    REGISTERS = 0x04
    RECEIVE_PROFILE = 0x05
    TRANSMIT = 0x06
    CANCEL_TRANSMIT = 0x07
    RESET = 0x08
    RX_EVENT = 0x41
    HEARTBEAT = 0x42
    RADIO_FAULT = 0x43
    TRANSMIT_DONE = 0x44
    REJECTED = 0x45
    BOARD_HELLO = 0x81
    TIME = 0x83
    STATUS = 0x84


class ResetCause(IntEnum):
    """Why the board started."""

    UNKNOWN = 0
    POWER_ON = 1
    BROWN_OUT = 2
    WATCHDOG = 3
    SOFTWARE = 4
    PIN = 5


class Capability(IntFlag):
    """What a board can do beyond receiving."""

    TRANSMIT_NOW = 1
    TRANSMIT_SCHEDULED = 2
    VALID_HEADER_TIME = 4
    SCRUB = 8


class StatusCode(IntEnum):
    """How a request ended."""

    OK = 0
    SKIPPED = 1  # guarded request while a frame was being received
    REFUSED = 2  # the register belongs to the board while the radio is managed
    WAIT_TIMEOUT = 3
    BAD_REQUEST = 4
    BUSY = 5
    TOO_LATE = 6
    TOO_EARLY = 7
    COLLISION = 8
    NOT_SUPPORTED = 9
    RADIO_FAULT = 10


class TransmitMode(IntEnum):
    """When a frame is to leave."""

    NOW = 0
    AT_COUNT = 1
    AFTER_EVENT = 2


class RadioState(IntEnum):
    """What a radio is doing, in the heartbeat."""

    OFF = 0
    RECEIVING = 1
    TRANSMITTING = 2
    FAULT = 3


@dataclass(frozen=True, slots=True)
class HostHello:
    """Opens a session; the board cancels scheduled transmissions after ``lease_ms`` of silence."""

    nonce: int
    lease_ms: int
    major: int = PROTOCOL_MAJOR
    minor: int = PROTOCOL_MINOR


@dataclass(frozen=True, slots=True)
class RadioDescription:
    """One radio of a board: chip family member (76 to 79, 0 unknown), RegVersion, wiring."""

    chip: int
    version: int
    tcxo: bool
    pa_boost: bool


@dataclass(frozen=True, slots=True)
class BoardHello:
    """Who the board is. ``nonce`` repeats the host's, or is 0 when the board starts by itself."""

    nonce: int
    boot_id: int
    reset_cause: ResetCause
    capabilities: Capability
    ring_capacity: int
    max_requests: int
    transmit_queue: int
    first_unacknowledged: int
    unique_id: bytes
    firmware: str
    radios: tuple[RadioDescription, ...]
    major: int = PROTOCOL_MAJOR
    minor: int = PROTOCOL_MINOR


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """Events up to ``number`` are safe; at most ``window`` further ones may be outstanding."""

    number: int
    window: int
    go_back: bool = False


@dataclass(frozen=True, slots=True)
class TimeRequest:
    """Asks for the board's counter."""

    nonce: int


@dataclass(frozen=True, slots=True)
class Time:
    """The board's microsecond counter when it answered the request with this ``nonce``."""

    nonce: int
    count_us: int


@dataclass(frozen=True, slots=True)
class Registers:
    """A list of operations on one radio, executed without anything in between."""

    operations: tuple[RegisterOperation, ...]
    skip_if_receiving: bool = False


@dataclass(frozen=True, slots=True)
class ReceiveProfile:
    """What a radio is to receive; the board keeps it and re-arms by itself. None = radio off."""

    image: tuple[tuple[int, int], ...] | None


@dataclass(frozen=True, slots=True)
class Transmit:
    """One frame to send; ``overlay`` is written over the receive profile for its duration."""

    transmit_id: int
    mode: TransmitMode
    at_count_us: int
    after_event: int
    overlay: tuple[tuple[int, int], ...]
    payload: bytes


@dataclass(frozen=True, slots=True)
class CancelTransmit:
    """Takes a scheduled frame back."""

    transmit_id: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Restarts one radio, or the whole board when addressed to :data:`BOARD`."""


@dataclass(frozen=True, slots=True)
class Status:
    """How a request ended; ``index`` is the failed operation, ``data`` what reads returned."""

    code: StatusCode
    index: int = 0
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class RxEvent:
    """One reception: raw registers, because the formulas live where they are tested.

    Times are the board's counter in microseconds; ``valid_header_us`` is 0 when not recorded.
    ``frequency_error`` is RegFei (20 bits, two's complement, as read), ``frf`` RegFrf.
    """

    number: int
    count_us: int
    valid_header_us: int
    irq_flags: int
    modem_status: int
    hop_channel: int
    packet_snr: int
    packet_rssi: int
    rssi: int
    modem_config_1: int
    modem_config_2: int
    frequency_error: int
    frf: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class RadioCounts:
    """Cumulative since boot. ``noise_rssi`` is RegRssiValue while idle, 0 = not measured."""

    state: RadioState
    received: int
    crc_errors: int
    transmitted: int
    faults: int
    noise_rssi: int


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Sent every second, session or not; None where the board cannot measure."""

    count_us: int
    last_number: int
    ring_used: int
    ring_high_water: int
    ring_overflow: int
    link_errors: int
    temperature_centi_c: int | None
    supply_mv: int | None
    radios: tuple[RadioCounts, ...]


@dataclass(frozen=True, slots=True)
class RadioFault:
    """The board's scrub found a radio changed and set it up again; ``detail`` is the register."""

    detail: int


@dataclass(frozen=True, slots=True)
class TransmitDone:
    """End of a transmission; times are 0 unless ``code`` is OK."""

    transmit_id: int
    code: StatusCode
    started_us: int
    ended_us: int


@dataclass(frozen=True, slots=True)
class Rejected:
    """The peer cannot use a message: its type is unknown or its content malformed."""

    message_type: int


Message = (
    HostHello
    | BoardHello
    | Acknowledge
    | TimeRequest
    | Time
    | Registers
    | ReceiveProfile
    | Transmit
    | CancelTransmit
    | Reset
    | Status
    | RxEvent
    | Heartbeat
    | RadioFault
    | TransmitDone
    | Rejected
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with its header: which radio it is about and which request it belongs to."""

    message: Message
    radio: int = BOARD
    request: int = UNSOLICITED
