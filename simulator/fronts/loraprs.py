"""A simulated board with the esp32_loraprs firmware and an SX1276, from what that firmware does.

As its ``esp32dev_ra01_modem_usb`` build, made for an SX1276: KISS on the USB port, extensions and
telemetry on. It answers nothing. Settings of the right length are taken as they are: what the chip
cannot do leaves it where it was after its reset, and nobody is told. Behind each packet goes a
signal report; each minute goes telemetry. A frame of length 0 makes it deaf until it is set up.
"""

import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import ResetCause, RxEvent
from simulator.firmware import Boot
from simulator.fronts.chip_setup import ChipSettings, receive_image
from simulator.fronts.kiss_line import frame
from simulator.fronts.loraprs_line import DATA, REBOOT, SET_HARDWARE, LoraprsLine
from simulator.radio_unit import RadioUnit, good_crc

SIGNAL_REPORT, TELEMETRY = 0x07, 0x09
TELEMETRY_US = 60_000_000
BOOT_US = 50_000
"""From its start until it reads its line. A real one takes half a second and more."""

_SETTINGS = struct.Struct(">IIBhIHHHBIII")
_DEFAULTS = ChipSettings(433_775_000, 12, 125_000, 3, 0x12)
_AFTER_RESET = ChipSettings(434_000_000, 7, 125_000, 1, 0x12)
_BANDS_HZ = (
    (137_000_000, 175_000_000),
    (410_000_000, 525_000_000),
    (862_000_000, 1_020_000_000),
)
_BATTERY_HUNDREDTHS = 412
_FOR_EVER_US = 1 << 60
_CAUSES = {
    ResetCause.POWER_ON: b"0x1 (POWERON_RESET)",
    ResetCause.SOFTWARE: b"0xc (SW_CPU_RESET)",
    ResetCause.WATCHDOG: b"0x8 (TG1WDT_SYS_RESET)",
    ResetCause.BROWN_OUT: b"0xf (RTCWDT_BROWN_OUT_RESET)",
}
_ROM_TEXT = (
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:%s,boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"configsip: 0, SPIWP:0xee\r\nclk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,"
    b"wp_drv:0x00\r\nmode:DIO, clock div:2\r\nload:0x3fff0030,len:1184\r\n"
    b"load:0x40078000,len:13232\r\nload:0x40080400,len:3028\r\nentry 0x400805e4\r\n"
)


class LoraprsModem:
    """One boot; see :class:`simulator.firmware.Firmware`."""

    keeps_events = False
    acknowledged = 0

    def __init__(self, boot: Boot) -> None:
        self._boot = boot
        self.boot_id = boot.boot_id
        self.boot_banner = _ROM_TEXT % _CAUSES.get(boot.reset_cause, _CAUSES[ResetCause.POWER_ON])
        self.wants_reset = False
        self._line = LoraprsLine()
        self._listens_at_us = boot.now_us + BOOT_US
        self._telemetry_at_us = boot.now_us + TELEMETRY_US
        self._said: deque[OutgoingFrame] = deque()
        self._events = 0
        self._wedged = self._deaf = False
        self._unit = RadioUnit(boot.count_us, self._heard)
        self._unit.set_profile(receive_image(_DEFAULTS))

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

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line and carry out what they ask for; while it boots, lose them."""
        if self._wedged or now_us < self._listens_at_us:
            return
        for command, argument in self._line.feed(data):
            if command == SET_HARDWARE and len(argument) == _SETTINGS.size:
                self._set_up(argument)
            elif command == REBOOT:
                self.wants_reset = True
            elif command == DATA and argument:
                self._boot.on_transmit(0, argument)

    def next_frame(self, now_us: int) -> OutgoingFrame | None:  # noqa: ARG002 - the contract's
        """The next thing to say."""
        return self._said.popleft() if self._said and not self._wedged else None

    def timer_us(self) -> int:
        """The next telemetry."""
        return _FOR_EVER_US if self._wedged else self._telemetry_at_us

    def handle_timer(self, now_us: int) -> None:
        """Tell the voltage of the battery, in hundredths."""
        if now_us >= self._telemetry_at_us and not self._wedged:
            self._telemetry_at_us = now_us + TELEMETRY_US
            battery = struct.pack(">h", _BATTERY_HUNDREDTHS)
            self._said.append(OutgoingFrame(frame(TELEMETRY, battery)))

    def _set_up(self, argument: bytes) -> None:
        receive_hz, _transmit_hz, modulation, _power, bandwidth_hz, *others = _SETTINGS.unpack(
            argument
        )
        spreading_factor, coding_rate, sync_word, crc = others[:4]
        asked = ChipSettings(
            receive_hz,
            spreading_factor,
            bandwidth_hz,
            coding_rate - 4,
            sync_word & 0xFF,
            crc_on=bool(crc),
        )
        tunes = any(low_hz <= receive_hz <= high_hz for low_hz, high_hz in _BANDS_HZ)
        if modulation or not tunes or not asked.usable:
            asked = replace(_AFTER_RESET, sync_word=sync_word & 0xFF)
        self._deaf = False
        self._unit.set_profile(receive_image(asked))

    def _heard(self, event: RxEvent) -> None:
        self._events += 1
        number = self._events
        room = not self._wedged and not self._deaf
        self._boot.on_event(0, event, replace(event, number=number) if room else None)
        if not room:
            return
        if not event.payload:
            self._deaf = True
        if not event.payload or not good_crc(event):
            self._said.append(OutgoingFrame(b"", number))  # counted, and not passed on
            return
        report = frame(SIGNAL_REPORT, _strength(event))
        self._said.append(OutgoingFrame(frame(DATA, event.payload) + report, number))


def _strength(event: RxEvent) -> bytes:
    """Whole dBm, cut off towards zero, and hundredths of a dB, each in 16 bits."""
    snr_db = (event.packet_snr - 256 if event.packet_snr > 127 else event.packet_snr) / 4
    rssi_dbm = -157 + event.packet_rssi + min(snr_db, 0)
    return struct.pack(">hh", int(rssi_dbm), int(snr_db * 100))


def power_on(boot: Boot) -> LoraprsModem:
    """A board with one SX1276."""
    return LoraprsModem(boot)
