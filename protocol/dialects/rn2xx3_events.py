"""What the session with an RN2483 or RN2903 tells its driver."""

from dataclasses import dataclass
from enum import StrEnum

from protocol.dialects.rn2xx3_ladder import Rung
from protocol.dialects.rn2xx3_scripts import Identity
from protocol.dialects.session_events import Lost, Unusable


class SignalReading(StrEnum):
    """When SNR and RSSI are asked for, relative to opening the receiver again."""

    BEFORE = "before"  # surely of this packet; the receiver stays closed 10 to 20 ms longer
    AFTER = "after"  # only where the firmware has been seen to answer while it listens
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Ready:
    """The receiver is open."""

    identity: Identity


@dataclass(frozen=True, slots=True)
class Received:
    """A packet; ``line_bytes`` = length of the line that told of it."""

    payload: bytes
    snr_db: int | None
    rssi_dbm: int | None
    line_bytes: int
    arrived_us: int


@dataclass(frozen=True, slots=True)
class Alive:
    """The device has answered."""

    supply_mv: int | None


class LineAction(StrEnum):
    """What the port is to do now; bytes to send go out when it is done."""

    BREAK = "break"
    PULSE_DTR = "pulse_dtr"


@dataclass(frozen=True, slots=True)
class Climbed:
    """A step of the recovery ladder is being taken."""

    rung: Rung
    reason: str


@dataclass(frozen=True, slots=True)
class Unresponsive:
    """The ladder has ended; the session is over, and another attempt may be made later."""

    reason: str


RN2xx3Event = Ready | Received | Alive | Lost | LineAction | Climbed | Unresponsive | Unusable
