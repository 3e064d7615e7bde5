"""A simulated RN2483 or RN2903, from the modules' command reference (DS40001784, DS40001811).

One line in, one line out, and a second one later for what takes time. A reception ends with its
packet, with the watchdog, or with the window that was asked for; until the next ``radio rx`` the
chip sleeps, and what begins on the air meanwhile is lost. Where the reference is silent the model
does what users of the modules report: the banner after a reset, ``invalid_param`` for a first
command after a noisy start, ``busy`` for ever when it has hung.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import ResetCause, RxEvent
from protocol.lora.phy import time_on_air_us
from simulator.firmware import Boot
from simulator.fronts.chip_setup import ChipSettings, receive_image
from simulator.fronts.rn2xx3_mac import Mac
from simulator.fronts.rn2xx3_models import RN2483, RN2903, RN2903_OLD, Rn2xx3Model, Wedge
from simulator.fronts.rn2xx3_text import INVALID, CommandBuffer, RadioTable, is_hex
from simulator.radio_unit import IRQ_PAYLOAD_CRC_ERROR, RadioUnit

_FOR_EVER_US = 1 << 60
_HF_HZ = 779_000_000


class Rn2xx3:
    """One boot; see :class:`simulator.firmware.Firmware`."""

    keeps_events = False
    acknowledged = 0

    def __init__(self, boot: Boot, model: Rn2xx3Model = RN2903) -> None:
        self._boot = boot
        self.model = model
        self.boot_id = boot.boot_id
        self.wants_reset = False
        self.boot_banner = f"{model.banner}\r\n".encode()
        noise = b""
        if boot.reset_cause is ResetCause.SOFTWARE:
            self.boot_banner += b"ok\r\n" if model.says_ok_after_reset else b""
        else:
            noise = b"\xff\x00"
            self.boot_banner = b"\x00\xf8\xc0" + self.boot_banner
        self._commands = CommandBuffer(noise)
        self._table = RadioTable(model.bands_hz, model.powers_dbm)
        self._said: deque[OutgoingFrame] = deque()
        self._events = 0
        self._now_us = boot.now_us
        self.mac = Mac(boot.identity.unique_id.hex().upper(), cannot_pause=model.mac_busy)
        self._receiving_until_us: int | None = None
        self._sending: tuple[int, bytes, bool] | None = None
        self._asleep_until_us: int | None = None
        self._snr = -128
        self._rssi = -128
        self._wedged = False
        self._unit = RadioUnit(boot.count_us, self._heard)

    @property
    def radios(self) -> Sequence[RadioUnit]:
        """The one chip."""
        return [self._unit]

    @property
    def unacknowledged(self) -> Sequence[int]:
        """What has not been said yet."""
        return [said.event_number for said in self._said if said.event_number is not None]

    def wedge(self) -> None:
        """Hang as :attr:`Rn2xx3Model.wedges` says; the chip is deaf in any case."""
        self._wedged = True
        self._stop_receiving()
        self._sending = None

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line and carry out what they ask for."""
        self._now_us = now_us
        for command in self._commands.feed(data):
            if self._asleep_until_us is None and not self.wants_reset:
                self._obey(command)

    def next_frame(self, now_us: int) -> OutgoingFrame | None:  # noqa: ARG002 - the contract's
        """The next thing to say."""
        return self._said.popleft() if self._said else None

    def timer_us(self) -> int:
        """End of a reception, a transmission or a sleep."""
        ends = (
            self._receiving_until_us,
            self._sending[0] if self._sending else None,
            self._asleep_until_us,
        )
        return min((end for end in ends if end is not None), default=_FOR_EVER_US)

    def handle_timer(self, now_us: int) -> None:
        """The watchdog, and the ends of what was begun."""
        self._now_us = now_us
        if self._asleep_until_us is not None and now_us >= self._asleep_until_us:
            self._asleep_until_us = None
            self._say("ok")
        if self._receiving_until_us is not None and now_us >= self._receiving_until_us:
            self._end_reception()
            self._say("radio_err")
        if self._sending is not None and now_us >= self._sending[0]:
            _, payload, whole = self._sending
            self._sending = None
            if whole:
                self._boot.on_transmit(0, payload)
            self._say("radio_tx_ok" if whole else "radio_err")

    def _obey(self, command: str) -> None:
        words = command.split(" ")
        if self._wedged and self.model.wedges is Wedge.SILENT:
            return
        if self._wedged and (self.model.wedges is Wedge.BUSY or words[0] == "radio"):
            self._say("busy")
            return
        match words:
            case ["sys", *rest]:
                self._sys(rest)
            case ["mac", *rest]:
                for reply in self.mac.obey(rest, self._now_us):
                    self._say(reply)
            case ["radio", *rest]:
                self._radio(rest)
            case _:
                self._say(INVALID)

    def _sys(self, words: list[str]) -> None:
        match words:
            case ["get", "ver"]:
                self._say(self.model.banner)
            case ["get", "hweui"]:
                self._say(self.mac.hweui)
            case ["get", "vdd"]:
                self._say("3301")
            case ["set", "pindig", pin, "0" | "1"] if pin.startswith("GPIO"):
                self._say("ok")
            case ["reset" | "factoryRESET"]:
                self.wants_reset = True
            case ["sleep", time_ms] if time_ms.isdigit() and int(time_ms) >= 100:
                self._stop_receiving()
                self._asleep_until_us = self._now_us + int(time_ms) * 1000
            case _:
                self._say(INVALID)

    def _radio(self, words: list[str]) -> None:
        match words:
            case ["set", name, value]:
                self._say("busy" if self._busy else self._table.set(name, value))
            case ["get", "snr"] | ["get", "rssi"]:
                self._tell_signal(words[1])
            case ["get", name] if name in self._table.values:
                self._say(self._table.values[name])
            case ["rx", window] if window.isdigit() and int(window) <= 65_535:
                self._begin_receiving(int(window))
            case ["rxstop"] if self.model.has_rxstop:
                self._stop_receiving()
                self._say("ok")
            case ["tx", payload] if is_hex(payload) and len(payload) % 2 == 0:
                self._begin_sending(bytes.fromhex(payload))
            case _:
                self._say(INVALID)

    @property
    def _busy(self) -> bool:
        return self._receiving_until_us is not None or self._sending is not None

    def _tell_signal(self, name: str) -> None:
        if name == "rssi" and not self.model.has_rssi:
            self._say(INVALID)
        elif self._busy and not self.model.signal_while_listening:
            self._say("busy")
        else:
            self._say(str(self._snr if name == "snr" else self._rssi))

    def _begin_receiving(self, window: int) -> None:
        if self._busy or not self.mac.paused(self._now_us):
            self._say("busy")
            return
        settings = self._settings()
        watchdog_us = self._table.number("wdt") * 1000
        end_us = self._now_us + (watchdog_us or _FOR_EVER_US)
        if window:
            symbol_us = (1 << settings.spreading_factor) * 1_000_000 // settings.bandwidth_hz
            end_us = min(end_us, self._now_us + window * symbol_us)
        self._receiving_until_us = end_us
        self._unit.set_profile(receive_image(settings))
        self._say("ok")

    def _stop_receiving(self) -> None:
        self._receiving_until_us = None
        self._unit.set_profile(None)

    def _end_reception(self) -> None:
        """By itself: the host has to say when the next may begin."""
        self._stop_receiving()
        self._unit.resting = True

    def _begin_sending(self, payload: bytes) -> None:
        if len(payload) > 255:
            self._say(INVALID)
            return
        if self._busy or not self.mac.paused(self._now_us):
            self._say("busy")
            return
        settings = self._settings()
        on_air_us = time_on_air_us(
            payload_length=len(payload),
            spreading_factor=settings.spreading_factor,
            bandwidth_hz=settings.bandwidth_hz,
            coding_rate=self._table.values["cr"],
            preamble_symbols=settings.preamble_symbols,
        )
        watchdog_us = self._table.number("wdt") * 1000 or _FOR_EVER_US
        end_us = self._now_us + min(on_air_us, watchdog_us)
        self._sending = end_us, payload, on_air_us <= watchdog_us
        self._say("ok")

    def _heard(self, event: RxEvent) -> None:
        if self._receiving_until_us is None:
            return
        self._end_reception()
        if event.irq_flags & IRQ_PAYLOAD_CRC_ERROR:
            self._boot.on_event(0, event, None)
            self._say("radio_err")
            return
        self._events += 1
        self._boot.on_event(0, event, replace(event, number=self._events))
        self._snr, self._rssi = self._signal(event)
        line = f"radio_rx  {event.payload.hex().upper()}\r\n".encode()
        self._said.append(OutgoingFrame(line, self._events))

    def _signal(self, event: RxEvent) -> tuple[int, int]:
        snr = (event.packet_snr - 256 if event.packet_snr > 127 else event.packet_snr) // 4
        dbm = event.packet_rssi - (157 if self._table.number("freq") >= _HF_HZ else 164)
        return snr, dbm + min(0, snr)

    def _settings(self) -> ChipSettings:
        table = self._table
        return ChipSettings(
            frequency_hz=table.number("freq"),
            spreading_factor=table.number("sf"),
            bandwidth_hz=table.number("bw") * 1000,
            coding_rate=table.number("cr") - 4,
            sync_word=int(table.values["sync"], 16),
            crc_on=table.values["crc"] == "on",
            preamble_symbols=table.number("prlen"),
            invert_iq=table.values["iqi"] == "on",
        )

    def _say(self, line: str) -> None:
        self._said.append(OutgoingFrame(f"{line}\r\n".encode()))


def power_on(boot: Boot) -> Rn2xx3:
    """An RN2903 with the last firmware."""
    return Rn2xx3(boot)


def power_on_old(boot: Boot) -> Rn2xx3:
    """An RN2903 whose firmware knows neither RSSI nor ``radio rxstop``."""
    return Rn2xx3(boot, RN2903_OLD)


def power_on_rn2483(boot: Boot) -> Rn2xx3:
    """An RN2483, for 433 and 868 MHz."""
    return Rn2xx3(boot, RN2483)
