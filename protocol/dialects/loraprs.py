"""Session with an esp32_loraprs modem: restarted, set up, watched. Pure: time comes in.

The modem takes its radio's settings and answers nothing, neither to them nor to any question. What
it says by itself is all there is to go by:

- its ROM's text whenever it starts. So the session begins by asking it to restart: the text that
  follows shows that something is there which obeys. A text-mode build does not, and would put the
  settings on the air.
- a signal report behind each packet. A build that has its extensions switched off sends none, and
  has not taken the settings either: it is refused.
- telemetry, each 60 s. It shows that the modem runs, not that its radio hears. A restart whose text
  was lost shifts its rhythm.

A radio may be deaf all the same: the line may have spoilt the settings, and a frame of length 0
leaves the firmware waiting for an interrupt for ever. After a first minute without a packet, and
then after each quarter of an hour, the settings are therefore sent once more, which begins with a
reset of the chip. That takes some 30 ms, and costs the modem a little of its memory each time; so
it is not done more often.

Source: esp32_loraprs 1.0.22 (April 2026), what ``kiss_processor.cpp``, ``loraprs_service.cpp`` and
``config.h`` do; RadioLib 7.5, ``SX127x.cpp``.
"""

import struct
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum, auto

from protocol.dialects.esp32_boot_text import SOFTWARE_CAUSES, BootTextFinder
from protocol.dialects.kiss_framing import FEND, KissDecoder, KissReject, encode_frame
from protocol.dialects.session_events import Alive, Lost, Unusable

MAX_PACKET = 255
ASK_AGAIN_US = 3_000_000
"""The modem reads its line each half a second or so, when no packet is coming in."""

BOOT_US = 1_500_000
"""From the ROM's text until it reads its line; half of it is usual."""

APPLY_US = 1_000_000
"""From the settings until its radio has them."""

REPORT_US = 2_000_000
"""Packet and report leave the modem together, so only a packet whose report is lost waits."""

TELEMETRY_US = 60_000_000
RHYTHM_US = 1_500_000  # telemetry waits for packets on their way to the line
SILENCE_US = 150_000_000
FIRST_QUIET_US, QUIET_US = 60_000_000, 900_000_000
ALIVE_US = 5_000_000
UNREPORTED = 3
"""Packets without a report, and none ever with one, after which it is taken for a build without."""

_SETTINGS = struct.Struct(">IIBhIHHHBIII")
_LORA = 0
_POWER_DBM = 2  # the least that every module accepts; nothing is sent
_REPORT = struct.Struct(">hh")
_TELEMETRY = struct.Struct(">h")


class Command(IntEnum):
    """First byte of a frame: the whole of it, as the firmware has but one port."""

    DATA = 0x00
    SET_HARDWARE = 0x06
    SIGNAL_REPORT = 0x07
    REBOOT = 0x08
    TELEMETRY = 0x09


SAID = (Command.DATA, Command.SIGNAL_REPORT, Command.TELEMETRY)
"""Frames that come from the modem."""


class Reject(StrEnum):
    """Why a whole frame was thrown away."""

    UNKNOWN_COMMAND = "unknown_command"  # boot text, noise
    NOT_SET_UP = "not_set_up"  # of whatever it listened to before
    BAD_LENGTH = "bad_length"
    STRAY_REPORT = "stray_report"
    UNREPORTED = "unreported"  # before any report has shown that the settings were taken


REJECTS = (*KissReject, *Reject)
"""All reasons that :attr:`LoraprsSession.rejects` may have."""


@dataclass(frozen=True, slots=True)
class RadioSettings:
    """What the radio is to listen to; ``coding_rate`` 5 to 8 for 4/5 to 4/8."""

    frequency_hz: int
    bandwidth_hz: int
    spreading_factor: int
    coding_rate: int
    sync_word: int

    def encode(self) -> bytes:
        """As ``SetHardware`` has it, big-endian: LoRa with CRC, the FSK fields empty."""
        return _SETTINGS.pack(
            self.frequency_hz,
            self.frequency_hz,  # transmit on the same: another one would be tuned back and forth
            _LORA,
            _POWER_DBM,
            self.bandwidth_hz,
            self.spreading_factor,
            self.coding_rate,
            self.sync_word,
            1,
            0,
            0,
            0,
        )


@dataclass(frozen=True, slots=True)
class Ready:
    """It has restarted when asked, and has been given its settings."""


@dataclass(frozen=True, slots=True)
class Received:
    """A packet, and when its last byte had arrived; strength is None if its report was lost."""

    payload: bytes
    at_us: int
    rssi_dbm: int | None
    snr_db: float | None


LoraprsEvent = Ready | Received | Alive | Lost | Unusable


class _Phase(Enum):
    ASKING = auto()  # to restart
    BOOTING = auto()
    APPLYING = auto()  # the settings
    UP = auto()
    OVER = auto()


class LoraprsSession:
    """The host's end of one open port. Take :meth:`bytes_to_send` after every other call.

    Attributes:
        supply_volts: as last told; means something where the board has a divider at its battery.
        refreshed: how often the settings were sent again because nothing was heard.
    """

    def __init__(self, settings: RadioSettings, now_us: int) -> None:
        self._settings = settings
        self._decoder = KissDecoder(1 + MAX_PACKET)
        self._boot_text = BootTextFinder(SAID, 1 + MAX_PACKET)
        self._rejects: Counter[Reject] = Counter()
        self._events: deque[LoraprsEvent] = deque()
        self._outgoing = bytearray()
        self._phase = _Phase.ASKING
        self._due_us = now_us  # when the phase goes on
        self._held: tuple[bytes, int] | None = None
        self._reported = False
        self._unreported = 0
        self._telemetry_at_us: int | None = None
        self._silent_us = self._quiet_us = now_us
        self._silences = 0
        self.supply_volts: float | None = None
        self.refreshed = 0

    @property
    def rejects(self) -> dict[str, int]:
        """Frames that were thrown away, by reason."""
        return {str(reason): n for reason, n in (self._decoder.rejects | self._rejects).items()}

    def bytes_to_send(self) -> bytes:
        """What is to be written to the line."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def restart_device(self) -> None:
        """Ask the modem to start anew; that it does so shows in its ROM's text."""
        self._send(Command.REBOOT, b"")

    def next_event(self) -> LoraprsEvent | None:
        """What has happened, oldest first; None = nothing more."""
        return self._events.popleft() if self._events else None

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        if self._phase is _Phase.OVER:
            return self._due_us + (1 << 60)
        due = [self._due_us]
        if self._held is not None:
            due.append(self._held[1] + REPORT_US)
        if (found_us := self._boot_text.timer_us()) is not None:
            due.append(found_us)
        return min(due)

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes in. Never raises."""
        for body in self._decoder.feed(data):
            if self._phase is not _Phase.OVER:
                self._take(body[0], body[1:], now_us)
        self._boot_text.feed(data, now_us)
        self._note_restarts(now_us)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        self._note_restarts(now_us)
        if self._held is not None and now_us >= self._held[1] + REPORT_US:
            self._release(None, None)
            # Not while another packet, whose report may be the first, has just come.
            if self._unreported >= UNREPORTED and not self._reported:
                self._give_up(
                    "the modem sends no signal reports: its extensions are off, and it does not"
                    " take the radio's settings; build it with CFG_KISS_EXTENSIONS true"
                )
        if now_us < self._due_us:
            return
        match self._phase:
            case _Phase.ASKING:
                self.restart_device()
                self._due_us = now_us + ASK_AGAIN_US
            case _Phase.BOOTING:
                self._set_up()
                self._enter(_Phase.APPLYING, now_us + APPLY_US)
            case _Phase.APPLYING:
                self._silent_us, self._quiet_us = now_us + SILENCE_US, now_us + FIRST_QUIET_US
                self._telemetry_at_us = None
                self._enter(_Phase.UP, now_us + ALIVE_US)
                self._events.append(Ready())
            case _Phase.UP:
                self._watch(now_us)

    def _watch(self, now_us: int) -> None:
        self._due_us = now_us + ALIVE_US
        if now_us >= self._silent_us:
            self._note_silence(now_us)
            return
        if now_us >= self._quiet_us:
            self._quiet_us = now_us + QUIET_US
            self.refreshed += 1
            self._set_up()
        self._events.append(Alive())

    def _note_silence(self, now_us: int) -> None:
        self._silences += 1
        if self._silences > 1:
            self._give_up(
                "the modem restarts when asked, and yet sends no telemetry: build it with"
                " CFG_TLM_ENABLE and CFG_IS_CLIENT_MODE true"
            )
        else:
            reason = f"no telemetry for {SILENCE_US // 1_000_000} s"
            self._lose(reason, _Phase.ASKING, now_us)

    def _note_restarts(self, now_us: int) -> None:
        for cause in self._boot_text.causes(now_us):
            due_us = now_us + BOOT_US
            if self._phase is _Phase.UP:
                self._lose(f"it has restarted, for cause 0x{cause:x}", _Phase.BOOTING, due_us)
            elif self._phase is _Phase.ASKING and cause not in SOFTWARE_CAUSES:
                self._due_us = due_us  # by the opening of its port: ask when it listens
            elif self._phase is not _Phase.OVER:
                self._enter(_Phase.BOOTING, due_us)

    def _take(self, command: int, data: bytes, now_us: int) -> None:
        if command == Command.DATA:
            self._packet(data, now_us)
        elif command == Command.SIGNAL_REPORT and len(data) == _REPORT.size:
            rssi_dbm, snr = _REPORT.unpack(data)
            self._report(rssi_dbm, snr / 100, now_us)
        elif command == Command.TELEMETRY and len(data) == _TELEMETRY.size:
            self.supply_volts = _TELEMETRY.unpack(data)[0] / 100
            self._telemetry(now_us)
        else:
            self._rejects[Reject.UNKNOWN_COMMAND] += 1

    def _packet(self, data: bytes, now_us: int) -> None:
        self._release(None, None)
        if self._phase is not _Phase.UP:
            self._rejects[Reject.NOT_SET_UP] += 1
        elif data:
            self._held = data, now_us
        else:
            self._rejects[Reject.BAD_LENGTH] += 1

    def _report(self, rssi_dbm: int, snr_db: float, now_us: int) -> None:
        if self._held is None:
            self._rejects[Reject.STRAY_REPORT] += 1
            return
        self._reported = True
        self._quiet_us = now_us + QUIET_US
        self._release(rssi_dbm, snr_db)

    def _telemetry(self, now_us: int) -> None:
        before_us, self._telemetry_at_us = self._telemetry_at_us, now_us
        self._silent_us = now_us + SILENCE_US
        self._silences = 0
        if self._phase is not _Phase.UP or before_us is None:
            return
        # A restart begins the 60 s anew; one that was lost makes them 120.
        gap_us = now_us - before_us
        if gap_us > TELEMETRY_US and RHYTHM_US < gap_us % TELEMETRY_US < TELEMETRY_US - RHYTHM_US:
            reason = "its telemetry has another rhythm: it was restarted"
            self._lose(reason, _Phase.BOOTING, now_us)

    def _release(self, rssi_dbm: int | None, snr_db: float | None) -> None:
        if self._held is None:
            return
        payload, at_us = self._held
        self._held = None
        if self._reported:
            self._events.append(Received(payload, at_us, rssi_dbm, snr_db))
            return
        self._rejects[Reject.UNREPORTED] += 1
        self._unreported += 1

    def _set_up(self) -> None:
        self._send(Command.SET_HARDWARE, self._settings.encode())

    def _send(self, command: Command, data: bytes) -> None:
        # One FEND more: the firmware does not take the end of one frame for the begin of the next,
        # and a frame that was cut short may still wait for its end.
        self._outgoing += bytes([FEND]) + encode_frame(bytes([command]) + data)

    def _enter(self, phase: _Phase, due_us: int) -> None:
        self._phase, self._due_us = phase, due_us

    def _lose(self, reason: str, then: _Phase, due_us: int) -> None:
        self._release(None, None)
        self._events.append(Lost(reason))
        self._enter(then, due_us)

    def _give_up(self, reason: str) -> None:
        self._phase = _Phase.OVER
        self._events.append(Unusable(reason))
