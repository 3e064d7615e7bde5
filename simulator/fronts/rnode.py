"""A simulated device with RNode firmware, from the firmware's behaviour (1.86; CE 1.74).

It answers as the firmware does: an echo for each setting, the radio's state twice when it starts,
three frames for a reception (RSSI, SNR, data), channel statistics each second on an ESP32. It has
no ring: eight receptions wait for the line, and the ninth is freed without a word.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import RxEvent
from simulator.firmware import Boot
from simulator.fronts.rnode_line import CMD_DATA, LineParser, frame
from simulator.fronts.rnode_radio import Packet, RNodeRadio
from simulator.radio_unit import RadioUnit

CMD_FREQUENCY, CMD_BANDWIDTH, CMD_TXPOWER, CMD_SF, CMD_CR, CMD_RADIO_STATE = range(0x01, 0x07)
CMD_RADIO_LOCK, CMD_DETECT = 0x07, 0x08
CMD_LEAVE, CMD_ST_ALOCK, CMD_LT_ALOCK, CMD_READY = 0x0A, 0x0B, 0x0C, 0x0F
CMD_SEL_INT = 0x1F
CMD_STAT_RX, CMD_STAT_TX, CMD_STAT_RSSI, CMD_STAT_SNR, CMD_STAT_CHTM = range(0x21, 0x26)
CMD_STAT_PHYPRM = 0x26
CMD_RANDOM, CMD_BOARD, CMD_PLATFORM, CMD_MCU, CMD_FW_VERSION = 0x40, 0x47, 0x48, 0x49, 0x50
CMD_ROM_READ, CMD_RESET, CMD_ERROR = 0x51, 0x55, 0x90

_DETECT_REQUEST, _DETECT_RESPONSE, _RESET_BYTE, _ASK = 0x73, 0x46, 0xF8, 0xFF
_ERROR_INIT_RADIO, _ERROR_TX_FAILED = 0x01, 0x02
_RX_QUEUE = 8
_TX_QUEUE = 200
_CHTM_US = 1_000_000
_FOR_EVER_US = 1 << 60
_BANNER = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\nentry 0x400805f0\r\n"
_NOT_PROVISIONED = b"Device unprovisioned, no device configuration found in EEPROM\r\n"


@dataclass(frozen=True, slots=True)
class RNodeModel:
    """Which board and firmware it is.

    Attributes:
        platform / mcu: as the firmware names them; an ESP32 tells its resets and its channel.
        provisioned: whether the EEPROM says what board it is; else its radios never start.
        working: whether a radio module answers.
        community: the Community Edition, which names the radio before every frame.
    """

    platform: int = 0x80
    mcu: int = 0x81
    firmware: tuple[int, int] = (1, 86)
    provisioned: bool = True
    working: bool = True
    community: bool = False

    @property
    def talkative(self) -> bool:
        """Whether it tells resets and channel statistics by itself."""
        return self.platform != 0x90


AVR = RNodeModel(platform=0x90, mcu=0x91)
COMMUNITY = RNodeModel(firmware=(1, 74), community=True)


class RNode:
    """One boot; see :class:`simulator.firmware.Firmware`."""

    keeps_events = False
    acknowledged = 0

    def __init__(self, boot: Boot, model: RNodeModel = RNodeModel()) -> None:
        self._boot = boot
        self.model = model
        self.boot_id = boot.boot_id
        self.wants_reset = False
        self.boot_banner = b""
        if model.talkative:
            self.boot_banner = _BANNER + (b"" if model.provisioned else _NOT_PROVISIONED)
        self._parser = LineParser()
        self._selected = 0
        self._said: deque[OutgoingFrame] = deque()
        self._events = 0
        self._to_send: deque[tuple[int, bytes]] = deque()
        self._sending_until_us = 0
        self._chtm_at_us = boot.now_us + _CHTM_US
        self._wedged = False
        self._radios = [
            RNodeRadio(RadioUnit(boot.count_us, self._listener(index)))
            for index in range(boot.identity.radios)
        ]
        if model.talkative:
            self._say(CMD_RESET, bytes([_RESET_BYTE]))

    @property
    def radios(self) -> Sequence[RadioUnit]:
        """The chips."""
        return [radio.unit for radio in self._radios]

    @property
    def unacknowledged(self) -> Sequence[int]:
        """What has not been said yet."""
        return [said.event_number for said in self._said if said.event_number is not None]

    def wedge(self) -> None:
        """The modem waits for an interrupt that does not come: nothing moves any more."""
        self._wedged = True

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line and carry out what they ask for."""
        if self._wedged:
            return
        for command, argument in self._parser.feed(data, now_us):
            self._obey(command, argument, now_us)

    def next_frame(self, now_us: int) -> OutgoingFrame | None:  # noqa: ARG002 - the contract's
        """The next thing to say."""
        return self._said.popleft() if self._said and not self._wedged else None

    def timer_us(self) -> int:
        """Next statistics, or the end of a transmission."""
        if self._wedged:
            return _FOR_EVER_US
        return min(self._chtm_at_us, self._sending_until_us or self._chtm_at_us)

    def handle_timer(self, now_us: int) -> None:
        """Statistics and transmissions."""
        if self._wedged:
            return
        if self._sending_until_us and now_us >= self._sending_until_us:
            self._end_transmission(now_us)
        if now_us >= self._chtm_at_us:
            self._chtm_at_us = now_us + _CHTM_US
            for index, radio in enumerate(self._radios):
                if radio.online and self.model.talkative:
                    self._say_of_radio(index, CMD_STAT_CHTM, bytes(8) + bytes([47, 45, _ASK]))

    def _obey(self, command: int, argument: bytes, now_us: int) -> None:
        radio, value = self._radios[self._selected], argument[0]
        match command:
            case 0x00:
                self._queue(argument, now_us)
            case 0x1F if self.model.community and value < len(self._radios):
                self._selected = value
            case 0x01 | 0x02 | 0x03 | 0x04 | 0x05:
                self._set(radio, command, argument)
            case 0x06:
                self._switch(radio, value)
            case 0x55 if value == _RESET_BYTE:
                self.wants_reset = True
            case _:
                self._answer(radio, command, argument)

    def _answer(self, radio: RNodeRadio, command: int, argument: bytes) -> None:
        """Questions, and settings that change nothing here."""
        firmware = bytes(self.model.firmware)
        ready = bytes([len(self._to_send) < _TX_QUEUE])
        answers = {
            CMD_RADIO_LOCK: bytes([radio.locked]),
            CMD_ST_ALOCK: argument,
            CMD_LT_ALOCK: argument,
            CMD_READY: ready,
            CMD_STAT_RX: bytes(4),  # never counted
            CMD_STAT_TX: bytes(4),
            CMD_STAT_RSSI: bytes([radio.last_rssi]),
            CMD_STAT_SNR: bytes([radio.last_snr]),
            CMD_RANDOM: b"\x2a",
            CMD_BOARD: b"\x35",
            CMD_PLATFORM: bytes([self.model.platform]),
            CMD_MCU: bytes([self.model.mcu]),
            CMD_FW_VERSION: firmware,
            CMD_ROM_READ: self._eeprom(),
        }
        if command == CMD_DETECT and argument[0] == _DETECT_REQUEST:
            self._say(CMD_DETECT, bytes([_DETECT_RESPONSE]))
        elif command in answers:
            self._say(command, answers[command])

    def _eeprom(self) -> bytes:
        """Product, model, revision, serial number, and the byte that says that all is written."""
        image = bytearray(b"\xff" * 200)
        if self.model.provisioned:
            serial = self._boot.identity.unique_id[:4].ljust(4, b"\0")
            image[:7] = bytes([0xE0, 0xE9, 0x01]) + serial
            image[0x9B] = 0x73
        return bytes(image)

    def _set(self, radio: RNodeRadio, command: int, argument: bytes) -> None:
        """Change a setting unless it is only asked for, and echo it."""
        number = int.from_bytes(argument, "big")
        asked = number == (0 if command in (CMD_FREQUENCY, CMD_BANDWIDTH) else _ASK)
        if not asked:
            self._change(radio, command, number)
            radio.retune()
        value = {
            CMD_FREQUENCY: radio.frequency_hz.to_bytes(4, "big"),
            CMD_BANDWIDTH: radio.bandwidth_hz.to_bytes(4, "big"),
            CMD_TXPOWER: bytes([radio.tx_power]),
            CMD_SF: bytes([radio.spreading_factor]),
            CMD_CR: bytes([radio.coding_rate]),
        }[command]
        self._say_of_radio(self._selected, command, value)
        if not asked and radio.online:
            self._say_of_radio(self._selected, CMD_STAT_PHYPRM, bytes(12))

    @staticmethod
    def _change(radio: RNodeRadio, command: int, number: int) -> None:
        match command:
            case 0x01:
                radio.frequency_hz = number
            case 0x02:
                radio.bandwidth_hz = number
            case 0x03:
                radio.tx_power = min(number, 17)
            case 0x04:
                radio.spreading_factor = max(6, min(number, 12))
            case _:
                radio.coding_rate = max(5, min(number, 8))

    def _switch(self, radio: RNodeRadio, value: int) -> None:
        if value == 1 and not radio.online and not radio.locked and self.model.provisioned:
            if not self.model.working or not radio.start():
                self._say(CMD_ERROR, bytes([_ERROR_INIT_RADIO]))
            else:
                self._say_of_radio(self._selected, CMD_RADIO_STATE, b"\1")
        elif value == 0:
            radio.stop()
        if value in (0, 1, _ASK):
            self._say_of_radio(self._selected, CMD_RADIO_STATE, bytes([radio.online]))

    def _listener(self, index: int) -> Callable[[RxEvent], None]:
        def heard(event: RxEvent) -> None:
            self._events += 1
            number = self._events
            room = len(self.unacknowledged) < _RX_QUEUE and not self._wedged
            numbered = replace(event, number=number) if room else None
            self._boot.on_event(index, event, numbered)
            if room:
                self._tell(index, self._radios[index].packet(event, number))

        return heard

    def _tell(self, index: int, packet: Packet | None) -> None:
        if packet is None:
            return
        for number in packet.parts[:-1]:
            self._said.append(OutgoingFrame(b"", number))  # its bytes come with the last part
        prefix = frame(CMD_SEL_INT, bytes([index])) if self.model.community else b""
        self._said.append(
            OutgoingFrame(
                prefix
                + frame(CMD_STAT_RSSI, bytes([packet.rssi]))
                + prefix
                + frame(CMD_STAT_SNR, bytes([packet.snr]))
                + prefix
                + frame(CMD_DATA, packet.payload),
                packet.parts[-1],
            )
        )

    def _queue(self, payload: bytes, now_us: int) -> None:
        """Data to be sent: refused while the radio is off, thrown away when there is no room."""
        if not self._radios[self._selected].online:
            self._say(CMD_ERROR, bytes([_ERROR_TX_FAILED]))
        elif len(self._to_send) < _TX_QUEUE:
            radio = self._radios[self._selected]
            self._to_send += [(self._selected, packet) for packet in radio.air_packets(payload)]
            if not self._sending_until_us:
                self._begin_transmission(now_us)

    def _begin_transmission(self, now_us: int) -> None:
        index, packet = self._to_send[0]
        radio = self._radios[index]
        radio.unit.set_profile(None)  # half duplex
        self._sending_until_us = now_us + radio.time_on_air_us(packet)

    def _end_transmission(self, now_us: int) -> None:
        index, packet = self._to_send.popleft()
        self._sending_until_us = 0
        self._radios[index].retune()
        self._boot.on_transmit(index, packet)
        if self._to_send:
            self._begin_transmission(now_us)

    def _say(self, command: int, argument: bytes) -> None:
        self._said.append(OutgoingFrame(frame(command, argument)))

    def _say_of_radio(self, index: int, command: int, argument: bytes) -> None:
        if self.model.community:
            self._say(CMD_SEL_INT, bytes([index]))
        self._say(command, argument)


def power_on(boot: Boot) -> RNode:
    """A board with an ESP32."""
    return RNode(boot)


def power_on_avr(boot: Boot) -> RNode:
    """A board with an AVR: it says nothing that it was not asked."""
    return RNode(boot, AVR)


def power_on_community(boot: Boot) -> RNode:
    """The Community Edition's firmware."""
    return RNode(boot, COMMUNITY)
