"""A simulated modem with MeshCore's KISS firmware, from its document (docs/kiss_modem_protocol.md).

It answers one ``SetHardware`` command with one frame. Two frames at most wait for the line: with a
third it says that it is busy, and a reception that finds no room is gone; of one that fits only
just, strength and SNR are left out. Its radio's settings are forgotten at each start.
"""

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import RxEvent
from simulator.firmware import Boot
from simulator.fronts.chip_setup import ChipSettings, receive_image
from simulator.fronts.kiss_line import KissLine, frame
from simulator.radio_unit import RadioUnit, good_crc

DATA, SET_HARDWARE = 0x00, 0x06
OK, ERROR, TX_DONE, RX_META = 0xF0, 0xF1, 0xF8, 0xF9
INVALID_LENGTH, INVALID_PARAM, UNKNOWN_COMMAND, TX_BUSY = 0x01, 0x02, 0x05, 0x07

_SYNC_WORD = 0x12
_DEFAULTS = ChipSettings(869_618_000, 8, 62_500, 4, _SYNC_WORD, preamble_symbols=16)
_VERSION = 2
_QUEUE = 2
_AGC_RESET_US = 32_000_000
_FOR_EVER_US = 1 << 60
_BANNER = b"ESP-ROM:esp32s3-20210327\r\nrst:0x1 (POWERON),boot:0x8\r\nentry 0x403c98d0\r\n"
_NOISE_FLOOR_DBM = -112


class MeshCoreModem:
    """One boot; see :class:`simulator.firmware.Firmware`."""

    keeps_events = False
    acknowledged = 0
    boot_banner = _BANNER

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self.boot_id = boot.boot_id
        self.wants_reset = False
        self._line = KissLine()
        self._said: deque[OutgoingFrame] = deque()
        self._events = 0
        self._settings = _DEFAULTS
        self._reports = True
        self._wedged = False
        self._agc_at_us = boot.now_us + _AGC_RESET_US
        self._unit = RadioUnit(boot.count_us, self._heard)
        self._unit.set_profile(receive_image(self._settings))

    @property
    def radios(self) -> Sequence[RadioUnit]:
        """The chip."""
        return [self._unit]

    @property
    def unacknowledged(self) -> Sequence[int]:
        """What has not been said yet."""
        return [said.event_number for said in self._said if said.event_number is not None]

    def wedge(self) -> None:
        """Nothing moves any more."""
        self._wedged = True

    def receive(self, data: bytes, now_us: int) -> None:  # noqa: ARG002 - the contract's
        """Take bytes from the line and carry out what they ask for."""
        if self._wedged:
            return
        for first, argument in self._line.feed(data):
            port, command = first >> 4, first & 0x0F
            if port == 0 and command == SET_HARDWARE and argument:
                self._hardware(argument[0], argument[1:])
            elif port == 0 and command == DATA and argument:
                # Nothing is sent in the simulation: the gateway's transmitter is off.
                self._say(bytes([TX_DONE, 0]))

    def next_frame(self, now_us: int) -> OutgoingFrame | None:  # noqa: ARG002 - the contract's
        """The next thing to say."""
        return self._said.popleft() if self._said and not self._wedged else None

    def timer_us(self) -> int:
        """The next reset of the gain control."""
        return _FOR_EVER_US if self._wedged else self._agc_at_us

    def handle_timer(self, now_us: int) -> None:
        """Reset the gain control: the radio is off for a moment, and a frame in the air is lost."""
        if now_us >= self._agc_at_us and not self._wedged:
            self._agc_at_us = now_us + _AGC_RESET_US
            self._unit.set_profile(receive_image(self._settings))

    def _hardware(self, command: int, data: bytes) -> None:
        if len(self._said) >= _QUEUE:
            self._said.append(OutgoingFrame(frame(SET_HARDWARE, bytes([ERROR, TX_BUSY]))))
            return
        match command:
            case 0x09:
                self._set_radio(data)
            case 0x18:
                self._say(bytes([OK]))
                self.wants_reset = True
            case 0x19 if data:
                self._reports = bool(data[0])
                self._say(bytes([0x9A, self._reports]))
            case _:
                self._tell(command)

    def _tell(self, command: int) -> None:
        """Answer what only asks."""
        counts = self._unit.received - self._unit.crc_errors, 0, self._unit.crc_errors
        answers = {
            0x01: self._boot.identity.unique_id * 4,
            0x0B: self._radio(),
            0x10: struct.pack("<h", _NOISE_FLOOR_DBM),
            0x11: bytes([_VERSION, 0]),
            0x12: struct.pack("<III", *counts),
            0x13: struct.pack("<H", 4980),
            0x14: struct.pack("<h", 415),
            0x17: b"",
        }
        if command in answers:
            self._say(bytes([command | 0x80]) + answers[command])
        else:
            self._say(bytes([ERROR, UNKNOWN_COMMAND]))

    def _set_radio(self, data: bytes) -> None:
        if len(data) < 10:
            self._say(bytes([ERROR, INVALID_LENGTH]))
            return
        frequency_hz, bandwidth_hz, spreading_factor, coding_rate = struct.unpack_from(
            "<IIBB", data
        )
        asked = ChipSettings(
            frequency_hz,
            spreading_factor,
            bandwidth_hz,
            coding_rate - 4,
            _SYNC_WORD,
            preamble_symbols=16,
        )
        if not asked.usable:
            self._say(bytes([ERROR, INVALID_PARAM]))
            return
        self._settings = asked
        self._unit.set_profile(receive_image(asked))
        self._say(bytes([OK]))

    def _radio(self) -> bytes:
        now = self._settings
        return struct.pack(
            "<IIBB", now.frequency_hz, now.bandwidth_hz, now.spreading_factor, now.coding_rate + 4
        )

    def _heard(self, event: RxEvent) -> None:
        self._events += 1
        number = self._events
        room = len(self._said) < _QUEUE and not self._wedged
        self._boot.on_event(0, event, replace(event, number=number) if room else None)
        if not room:
            return
        if not good_crc(event):
            self._said.append(OutgoingFrame(b"", number))  # counted, and not passed on
            return
        data = frame(DATA, event.payload)
        if self._reports and len(self._said) + 1 < _QUEUE:
            data += frame(SET_HARDWARE, bytes([RX_META]) + _strength(event))
        self._said.append(OutgoingFrame(data, number))

    def _say(self, body: bytes) -> None:
        self._said.append(OutgoingFrame(frame(SET_HARDWARE, body)))


def _strength(event: RxEvent) -> bytes:
    """SNR in quarters of a dB, then dBm in eight bits whatever becomes of it."""
    snr = event.packet_snr - 256 if event.packet_snr > 127 else event.packet_snr
    rssi_dbm = -157 + event.packet_rssi + (round(snr / 4) if snr < 0 else 0)
    return bytes([snr & 0xFF, rssi_dbm & 0xFF])


def power_on(boot: Boot) -> MeshCoreModem:
    """A board with one SX1276."""
    return MeshCoreModem(boot)
