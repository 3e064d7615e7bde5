"""What every driver yields: one vocabulary for all radio hardware.

Drivers translate their device's own messages into these values, so that nothing above them
knows which firmware heard a frame. All values are immutable.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class CrcStatus(StrEnum):
    """What is known of a received payload's CRC (SX1276 data sheet, RegIrqFlags and RegHopChannel).

    ``OK`` needs all three: RxDone, no PayloadCrcError, and CrcOnPayload in the *received* header.
    """

    OK = "ok"
    BAD = "bad"
    MISSING = "missing"  # the header says that no CRC was sent: nothing was checked
    UNKNOWN = "unknown"  # the device does not tell


@dataclass(frozen=True, slots=True)
class EventOrigin:
    """Where an event comes from, so that it can be recognised when a board sends it again.

    ``number`` counts from 1 within one ``boot_id`` of the board, without gaps.
    """

    board_id: bytes
    boot_id: int
    number: int


@dataclass(frozen=True, slots=True)
class UplinkReceived:
    """One LoRa frame that one radio heard.

    Attributes:
        concentrator: configured name of the concentrator.
        radio: index of the radio on that concentrator.
        payload: the PHY payload, 0 to 255 bytes, without the LoRa CRC; up to 508 bytes from
            devices that join two packets.
        frequency_hz: what the radio was tuned to.
        coding_rate: as the received header says, "4/5" to "4/8".
        rssi_dbm: packet strength after ``rssi_model``; models must not be mixed silently. None
            where the device does not tell.
        rssi_model: the formula and the firmware behind ``rssi_dbm``, e.g. "sx127x" or "rnode".
        snr_db: None where the device does not tell.
        frequency_error_hz: positive means that our receiver is tuned high.
        received_at_us: end of the frame (RxDone) on the host's CLOCK_BOOTTIME, microseconds.
        count_us: the same instant on the board's own counter; exact between radios of one board
            and one boot, None where the device has no clock.
        origin: None where the device does not number its events.
    """

    concentrator: str
    radio: int
    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    rssi_dbm: float | None
    rssi_model: str
    snr_db: float | None
    frequency_error_hz: float | None
    crc_status: CrcStatus
    received_at_us: int
    count_us: int | None
    origin: EventOrigin | None


class DropReason(StrEnum):
    """The closed list of reasons for which a frame may be dropped. Every drop is counted by one."""

    CRC_BAD = "crc_bad"
    CRC_MISSING = "crc_missing"
    TOO_SHORT = "too_short"
    RING_OVERFLOW = "ring_overflow"
    BOARD_DOWN = "board_down"
    EVICTED_BYTES = "evicted_bytes"
    EVICTED_AGE = "evicted_age"
    CORRUPT = "corrupt"
    DEAD_LETTER = "dead_letter"
    FILTERED = "filtered"
    POLICY = "policy"


class LinkState(StrEnum):
    """Whether a concentrator can be heard."""

    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class ConcentratorStateChanged:
    """A concentrator came up (configured, all radios receiving) or went away.

    ``identity`` is what the device says it is, in hexadecimal; "" where it does not tell.
    """

    concentrator: str
    state: LinkState
    detail: str
    identity: str = ""


@dataclass(frozen=True, slots=True)
class RadioStatistics:
    """Cumulative counts of one radio since the board's boot, from its heartbeat."""

    received: int
    crc_errors: int
    noise_rssi_dbm: float | None
    faults: int
    receiving: bool


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A sign of life: no data is not health, so every driver yields one at least each 10 s.

    Attributes:
        newest: the board, its boot, and the number of the last event it has stored; from this and
            the events received one can tell what a board took with it. None where not numbered.
        ring_capacity: how many events the board has room for; 0 if it keeps none.
        ring_overflow: frames the board dropped since its boot because its ring was full.
        link_rejects: serial frames rejected by reason, on both ends, since the port was opened.
    """

    concentrator: str
    radios: tuple[RadioStatistics, ...]
    newest: EventOrigin | None
    ring_used: int
    ring_capacity: int
    ring_overflow: int
    link_rejects: Mapping[str, int]
    temperature_celsius: float | None
    supply_volts: float | None


class RecoveryStep(StrEnum):
    """What is done so that a deaf radio hears or a silent device answers, from gentle to harsh.

    A closed list: metrics have a series for each.
    """

    COMMAND = "command"  # by the driver itself: what the device can be told on the open port
    RESTART = "restart"  # the driver connects anew and sets the radios up
    RESET = "reset"  # the device's own command to start anew
    LINE = "line"  # DTR and RTS, and a break: many boards reset by one of them
    POWER = "power"  # by the helper that has the rights: USB port power, or a reset pin


@dataclass(frozen=True, slots=True)
class RecoveryStepTaken:
    """A driver has taken a step by itself, while it has the port."""

    concentrator: str
    step: RecoveryStep
    reason: str


RadioEvent = UplinkReceived | ConcentratorStateChanged | Heartbeat | RecoveryStepTaken
