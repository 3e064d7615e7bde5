"""Session with a MeshCore KISS modem: found, set up, watched. Pure: time comes in.

Standard KISS, in which the low half of a frame's first byte is the command. Packets are command 0;
all else is ``SetHardware`` (6) with a command of its own, answered by that command with the high
bit set, by OK or by an error. The modem answers one question after the other, so one is asked at a
time. It is asked for its radio settings again and again: after a restart it has its defaults.

What it tells of a packet's strength comes in a frame right behind the packet, or not at all; a
packet waits for that for a moment and no longer.

Source: MeshCore, ``docs/kiss_modem_protocol.md`` (August 2026).
"""

import struct
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from protocol.dialects.kiss_framing import KissDecoder, KissReject, encode_frame
from protocol.dialects.session_events import Alive, Lost, Unusable

MAX_BODY = 512
MAX_PACKET = 255
ANSWER_US = 1_000_000
ATTEMPTS = 3
POLL_US = 500_000
SILENCE_US = 10_000_000
META_US = 100_000
"""Packet and strength are queued together; only the line is between them."""

_RADIO = struct.Struct("<IIBB")
_FREQUENCY_TOLERANCE_HZ = 100  # the chip tunes in steps of 61 Hz
_DATA, SET_HARDWARE = 0x00, 0x06


class Hardware(IntEnum):
    """Commands behind ``SetHardware`` that are used here, and what only the modem says."""

    GET_IDENTITY = 0x01
    SET_RADIO = 0x09
    GET_RADIO = 0x0B
    GET_NOISE_FLOOR = 0x10
    GET_VERSION = 0x11
    GET_STATS = 0x12
    GET_BATTERY = 0x13
    GET_MCU_TEMP = 0x14
    REBOOT = 0x18
    SET_SIGNAL_REPORT = 0x19
    GET_SIGNAL_REPORT = 0x1A
    OK = 0xF0
    ERROR = 0xF1
    TX_DONE = 0xF8
    RX_META = 0xF9


def answer_to(request: Hardware) -> int:
    """The command of the answer."""
    return request | 0x80


class ErrorCode(IntEnum):
    """Of :attr:`Hardware.ERROR`."""

    INVALID_LENGTH = 0x01
    INVALID_PARAM = 0x02
    NO_CALLBACK = 0x03
    MAC_FAILED = 0x04
    UNKNOWN_COMMAND = 0x05
    ENCRYPT_FAILED = 0x06
    TX_BUSY = 0x07
    UNSUPPORTED = 0x08


class Reject(StrEnum):
    """Why a whole frame was thrown away; a closed list."""

    UNKNOWN_COMMAND = "unknown_command"  # boot messages, noise, ports and commands of other modems
    NOT_SET_UP = "not_set_up"  # a packet of whatever the modem listened to before
    BAD_LENGTH = "bad_length"
    UNEXPECTED_ANSWER = "unexpected_answer"


REJECTS = (*KissReject, *Reject)
"""All reasons that :attr:`MeshCoreSession.rejects` may have."""


@dataclass(frozen=True, slots=True)
class RadioSettings:
    """What the radio is to listen to; ``coding_rate`` 5 to 8 for 4/5 to 4/8."""

    frequency_hz: int
    bandwidth_hz: int
    spreading_factor: int
    coding_rate: int

    def encode(self) -> bytes:
        """As ``SetRadio`` has it, little-endian."""
        return _RADIO.pack(
            self.frequency_hz, self.bandwidth_hz, self.spreading_factor, self.coding_rate
        )

    def is_met_by(self, data: bytes) -> bool:
        """Whether an answer to ``GetRadio`` says the same."""
        if len(data) < _RADIO.size:
            return False
        frequency_hz, *others = _RADIO.unpack_from(data)
        same = [self.bandwidth_hz, self.spreading_factor, self.coding_rate] == others
        return same and abs(frequency_hz - self.frequency_hz) <= _FREQUENCY_TOLERANCE_HZ


@dataclass(frozen=True, slots=True)
class Ready:
    """The radio listens. ``identity`` is the modem's public key, empty if it tells none."""

    version: int
    identity: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A packet, and when its last byte had arrived; strength is None if the modem left it out."""

    payload: bytes
    at_us: int
    rssi_dbm: int | None
    snr_db: float | None


MeshCoreEvent = Ready | Received | Alive | Lost | Unusable


@dataclass(frozen=True, slots=True)
class _Question:
    """What is asked, which answer belongs to it, and what is then done.

    Attributes:
        optional: older firmware, or a board without the part, may refuse it.
    """

    request: Hardware
    data: bytes
    answers: tuple[int, ...]
    done: Callable[[bytes], None]
    optional: bool = False


class MeshCoreSession:
    """The host's end of one open port. Take :meth:`bytes_to_send` after every other call.

    Attributes:
        noise_floor_dbm / temperature_celsius / supply_volts: as last told.
        receive_errors: as the modem counts them.
    """

    def __init__(self, settings: RadioSettings, now_us: int) -> None:
        self._settings = settings
        self._decoder = KissDecoder(MAX_BODY)
        self._rejects: Counter[Reject] = Counter()
        self._events: deque[MeshCoreEvent] = deque()
        self._outgoing = bytearray()
        self._held: tuple[bytes, int] | None = None
        self._question: _Question | None = None
        self._asked_at_us = now_us
        self._attempts = 0
        self._ask_at_us = now_us
        self._heard_at_us = now_us
        self._next = 0
        self._mismatches = 0
        self._up = self._over = False
        self._steps: tuple[_Question, ...] = self._setup()
        self._version = 0
        self._identity = b""
        self.noise_floor_dbm: int | None = None
        self.temperature_celsius: float | None = None
        self.supply_volts: float | None = None
        self.receive_errors = 0

    @property
    def rejects(self) -> dict[str, int]:
        """Frames that were thrown away, by reason."""
        framing = {reason.value: count for reason, count in self._decoder.rejects.items()}
        return framing | {reason.value: count for reason, count in self._rejects.items()}

    def bytes_to_send(self) -> bytes:
        """What is to be written to the line."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def restart_device(self) -> None:
        """Ask the modem to start anew; that it has done so shows in its settings."""
        self._outgoing += encode_frame(bytes([SET_HARDWARE, Hardware.REBOOT]))

    def next_event(self) -> MeshCoreEvent | None:
        """What has happened, oldest first; None = nothing more."""
        return self._events.popleft() if self._events else None

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        if self._over:
            return self._heard_at_us + (1 << 60)
        asked = self._question is not None
        due_us = self._asked_at_us + ANSWER_US if asked else self._ask_at_us
        return due_us if self._held is None else min(due_us, self._held[1] + META_US)

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes in. Never raises."""
        for body in self._decoder.feed(data):
            if not self._over:
                self._take(body, now_us)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        if self._over:
            return
        if self._held is not None and now_us >= self._held[1] + META_US:
            self._release(None, None)
        if self._question is not None and now_us >= self._asked_at_us + ANSWER_US:
            self._unanswered(now_us)
        if self._question is None and now_us >= self._ask_at_us:
            self._ask(now_us)

    def _take(self, body: bytes, now_us: int) -> None:
        command, data = body[0], body[1:]
        if command == _DATA:
            self._packet(data, now_us)
        elif command == SET_HARDWARE and data:
            self._heard_at_us = now_us
            self._hardware(data[0], data[1:], now_us)
        else:
            self._rejects[Reject.UNKNOWN_COMMAND] += 1

    def _packet(self, data: bytes, now_us: int) -> None:
        self._release(None, None)
        if not self._up:
            self._rejects[Reject.NOT_SET_UP] += 1
        elif 0 < len(data) <= MAX_PACKET:
            self._held = data, now_us
        else:
            self._rejects[Reject.BAD_LENGTH] += 1

    def _hardware(self, code: int, data: bytes, now_us: int) -> None:
        question = self._question
        if code == Hardware.RX_META and len(data) >= 2:
            snr, rssi = struct.unpack_from("bb", data)
            # Eight bits end at -128 dBm: what is weaker comes out as a positive number.
            self._release(rssi if rssi <= 0 else rssi - 256, snr / 4)
        elif question is not None and code in question.answers:
            self._answered(now_us)
            question.done(data)
        elif question is not None and code == Hardware.ERROR:
            self._refused(question, data[0] if data else 0, now_us)
        elif code not in (Hardware.TX_DONE, Hardware.OK):
            self._rejects[Reject.UNEXPECTED_ANSWER] += 1

    def _release(self, rssi_dbm: int | None, snr_db: float | None) -> None:
        if self._held is not None:
            payload, at_us = self._held
            self._held = None
            self._events.append(Received(payload, at_us, rssi_dbm, snr_db))

    def _ask(self, now_us: int) -> None:
        question = self._steps[self._next]
        self._question, self._asked_at_us = question, now_us
        body = bytes([SET_HARDWARE, question.request]) + question.data
        self._outgoing += encode_frame(body)

    def _answered(self, now_us: int) -> None:
        self._question = None
        self._attempts = 0
        self._next = (self._next + 1) % len(self._steps)
        self._ask_at_us = now_us + POLL_US if self._up else now_us

    def _unanswered(self, now_us: int) -> None:
        self._question = None
        self._attempts += 1
        self._ask_at_us = now_us
        if self._up and now_us - self._heard_at_us >= SILENCE_US:
            self._lose(f"silent for {SILENCE_US // 1_000_000} s", now_us)
        elif not self._up and self._next and self._attempts >= ATTEMPTS:
            self._begin(now_us)

    def _refused(self, question: _Question, code: int, now_us: int) -> None:
        name = ErrorCode(code).name.lower() if code in set(ErrorCode) else f"error {code}"
        if code == ErrorCode.TX_BUSY:  # its output queue is full: ask once more
            self._question = None
            self._ask_at_us = now_us + POLL_US
        elif question.optional:
            self._answered(now_us)
            if not self._next and not self._up:
                self._finish(b"")
        else:
            self._over = True
            asked = question.request.name.lower()
            self._events.append(Unusable(f"the modem refuses {asked}: {name}"))

    def _begin(self, now_us: int) -> None:
        self._up = False
        self._question = None
        self._steps, self._next, self._attempts = self._setup(), 0, 0
        self._ask_at_us = now_us

    def _lose(self, reason: str, now_us: int) -> None:
        self._release(None, None)
        self._events.append(Lost(reason))
        self._begin(now_us)

    def _setup(self) -> tuple[_Question, ...]:
        """From the first question to a radio that listens."""
        return (
            _question(Hardware.GET_VERSION, self._learn_version),
            _question(Hardware.GET_IDENTITY, self._learn_identity, optional=True),
            _Question(
                Hardware.SET_RADIO, self._settings.encode(), (Hardware.OK,), lambda _data: None
            ),
            _question(Hardware.GET_RADIO, self._compare),
            _Question(
                Hardware.SET_SIGNAL_REPORT,
                b"\x01",
                (Hardware.OK, answer_to(Hardware.GET_SIGNAL_REPORT)),
                self._finish,
                optional=True,
            ),
        )

    def _watch(self) -> tuple[_Question, ...]:
        """What is asked round and round."""
        return (
            _question(Hardware.GET_RADIO, self._compare),
            _question(Hardware.GET_STATS, self._learn_stats, optional=True),
            _question(Hardware.GET_NOISE_FLOOR, self._learn_noise, optional=True),
            _question(Hardware.GET_MCU_TEMP, self._learn_temperature, optional=True),
            _question(Hardware.GET_BATTERY, self._learn_battery, optional=True),
        )

    def _finish(self, _data: bytes) -> None:
        self._up = True
        self._mismatches = 0
        self._steps, self._next = self._watch(), 0
        self._events.append(Ready(self._version, self._identity))

    def _compare(self, data: bytes) -> None:
        if self._settings.is_met_by(data):
            if self._up:
                self._events.append(Alive())
        elif self._up:
            self._lose("it has other radio settings: it was restarted", self._heard_at_us)
        else:
            self._mismatches += 1
            if self._mismatches >= ATTEMPTS:
                self._over = True
                self._events.append(Unusable("the modem does not take the radio's settings"))
            else:
                self._begin(self._heard_at_us)

    def _learn_version(self, data: bytes) -> None:
        self._version = data[0] if data else 0

    def _learn_identity(self, data: bytes) -> None:
        self._identity = data

    def _learn_stats(self, data: bytes) -> None:
        if len(data) >= 12:
            _received, _sent, self.receive_errors = struct.unpack_from("<III", data)

    def _learn_noise(self, data: bytes) -> None:
        if len(data) >= 2:
            (self.noise_floor_dbm,) = struct.unpack_from("<h", data)

    def _learn_temperature(self, data: bytes) -> None:
        if len(data) >= 2:
            self.temperature_celsius = struct.unpack_from("<h", data)[0] / 10

    def _learn_battery(self, data: bytes) -> None:
        if len(data) >= 2:
            self.supply_volts = struct.unpack_from("<H", data)[0] / 1000


def _question(
    request: Hardware, done: Callable[[bytes], None], *, optional: bool = False
) -> _Question:
    return _Question(request, b"", (answer_to(request),), done, optional)
