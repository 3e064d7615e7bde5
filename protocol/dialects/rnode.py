"""Session with a device that runs RNode firmware: found, set up, watched. Pure: time comes in.

The device is asked who it is until it answers, because opening its port restarts many boards. Each
radio is then switched off, set up and switched on, and counts as up when the device has echoed
every value as it was asked. The device is questioned every two seconds from then on: a radio that
has been switched off, or a device that says nothing, is set up again.

Facts: RNode firmware 1.86 and Community Edition 1.74; see :mod:`protocol.dialects.rnode_commands`.
"""

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto

from protocol.dialects.kiss_framing import KissDecoder, KissReject, encode_frame
from protocol.dialects.rnode_commands import (
    DETECT_REQUEST,
    DETECT_RESPONSE,
    MAX_BODY,
    MIN_FIRMWARE,
    MIN_FIRMWARE_OF_SEVERAL_RADIOS,
    PLATFORMS,
    QUERY,
    RESET_BYTE,
    Command,
    DeviceError,
    Message,
    NotAMessage,
    Reject,
    identity,
    noise_rssi_dbm,
    parse,
    temperature_celsius,
)
from protocol.dialects.session_events import Alive, Lost, Unusable

DETECT_INTERVAL_US = 1_000_000
CONFIGURE_US = 600_000  # echoes come within 0.25 s
CONFIGURE_ATTEMPTS = 4
QUERY_INTERVAL_US = 2_000_000
SILENCE_US = 10_000_000
REJECTS = (*KissReject, *Reject)
"""All reasons that :attr:`RNodeSession.rejects` may have."""

_TX_POWER_DBM = 2  # the lowest: we never send, but a radio does not start before it has been told
_FREQUENCY_TOLERANCE_HZ = 100  # the chip tunes in steps of 61 Hz, and some firmware reports those


@dataclass(frozen=True, slots=True)
class RadioSettings:
    """What one radio is to listen to; ``coding_rate`` 5 to 8 for 4/5 to 4/8."""

    frequency_hz: int
    bandwidth_hz: int
    spreading_factor: int
    coding_rate: int

    def values(self) -> dict[Command, int]:
        """What the device is told, and has to echo."""
        return {
            Command.FREQUENCY: self.frequency_hz,
            Command.BANDWIDTH: self.bandwidth_hz,
            Command.TX_POWER: _TX_POWER_DBM,
            Command.SPREADING_FACTOR: self.spreading_factor,
            Command.CODING_RATE: self.coding_rate,
        }


@dataclass(frozen=True, slots=True)
class Ready:
    """All radios listen; ``identity`` is empty if the device did not tell it."""

    firmware: tuple[int, int]
    platform: str
    identity: bytes


@dataclass(frozen=True, slots=True)
class Received:
    """A packet; the raw RSSI and SNR are None if their frames were lost."""

    radio: int
    payload: bytes
    rssi: int | None
    snr: int | None


RNodeEvent = Ready | Received | Alive | Lost | Unusable


class _State(Enum):
    DETECTING = auto()
    CONFIGURING = auto()
    UP = auto()
    OVER = auto()


class RNodeSession:
    """The host's end of one open port. Take :meth:`bytes_to_send` after every other call.

    Args:
        radios: one for each radio; several need the Community Edition's firmware.
        now_us: monotonic time.
    """

    def __init__(self, radios: Sequence[RadioSettings], now_us: int) -> None:
        self._radios = tuple(radios)
        self._decoder = KissDecoder(MAX_BODY)
        self._outgoing = bytearray()
        self._events: deque[RNodeEvent] = deque()
        self._state = _State.DETECTING
        self._due_us = now_us
        self._last_heard_us = now_us
        self._attempts = 0
        self._identity: dict[Command, int] = {}
        self._serial = b""
        self._provisioned: bool | None = None
        self._selected = 0
        self._echoes: list[dict[Command, int]] = [{} for _ in self._radios]
        self._in_doubt: set[int] = set()
        self._rssi: int | None = None
        self._snr: int | None = None
        self._noise: Counter[Reject] = Counter()
        self.noise_rssi_dbm: list[float | None] = [None for _ in self._radios]
        self.errors: Counter[DeviceError] = Counter()
        self.temperature_celsius: float | None = None

    @property
    def rejects(self) -> dict[str, int]:
        """What was thrown away since the port was opened, by reason."""
        framing = {reason.value: count for reason, count in self._decoder.rejects.items()}
        return framing | {reason.value: count for reason, count in self._noise.items()}

    def bytes_to_send(self) -> bytes:
        """What is to be written to the port now."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def next_event(self) -> RNodeEvent | None:
        """The oldest event not yet taken."""
        return self._events.popleft() if self._events else None

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        return self._due_us

    def restart_device(self) -> None:
        """Tell the device to start anew; it is set up again when it shows that it has."""
        self._send(Command.RESET, RESET_BYTE)

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the port; never raises."""
        for body in self._decoder.feed(data):
            try:
                message = parse(body)
            except NotAMessage as error:
                self._noise[error.reason] += 1
                continue
            if message is not None and self._state is not _State.OVER:
                self._digest(message, now_us)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due: ask again, or give up on silence."""
        if now_us < self._due_us or self._state is _State.OVER:
            return
        match self._state:
            case _State.DETECTING:
                self._detect(now_us)
            case _State.CONFIGURING:
                self._configure_again(now_us)
            case _State.UP if now_us - self._last_heard_us >= SILENCE_US:
                self._lose(f"silent for {SILENCE_US // 1_000_000} s", now_us)
            case _:
                self._query(now_us)

    def _detect(self, now_us: int) -> None:
        self._identity.clear()
        self._due_us = now_us + DETECT_INTERVAL_US
        self._send(Command.DETECT, DETECT_REQUEST)
        for question in (Command.FIRMWARE_VERSION, Command.PLATFORM, Command.MCU):
            self._send(question, 0)

    def _configure(self, now_us: int) -> None:
        """Ask for everything at once: the device acts in order and has room for it."""
        self._state = _State.CONFIGURING
        self._due_us = now_us + CONFIGURE_US
        self._attempts += 1
        self._in_doubt.clear()
        self._send(Command.EEPROM, 0)
        for index, radio in enumerate(self._radios):
            self._echoes[index] = {}
            self._select(index)
            self._send(Command.RADIO_STATE, 0)
            for command, value in radio.values().items():
                self._send(command, value)
            self._send(Command.RADIO_STATE, 1)

    def _configure_again(self, now_us: int) -> None:
        if self._attempts < CONFIGURE_ATTEMPTS:
            self._configure(now_us)
        elif not any(self._echoes):
            self._lose("does not answer to its settings", now_us)
        else:
            self._give_up(self._what_is_missing())

    def _what_is_missing(self) -> str:
        """In words, for the first radio that is not as it should be."""
        index = next(i for i in range(len(self._radios)) if not self._is_up(i))
        echoes, wanted = self._echoes[index], self._radios[index].values()
        if not echoes and index > 0:
            return (
                f"radio {index} does not answer: only RNodes with the Community Edition's firmware"
                f" have more than one radio; configure {index} of them"
            )
        for command, value in wanted.items():
            if not _as_asked(command, value, echoes.get(command)):
                what, reported = command.name.lower(), echoes.get(command, "nothing")
                return f"radio {index} was told {what} {value}, and reports {reported}"
        if self._provisioned is False:
            return "the device is not provisioned: its radios never start; rnodeconf --autoinstall"
        return (
            f"radio {index} stays off although everything is set; is its module broken? rnodeconf"
            " --info shows what the device says of itself"
        )

    def _query(self, now_us: int) -> None:
        self._due_us = now_us + QUERY_INTERVAL_US
        for index in range(len(self._radios)):
            self._select(index)
            self._send(Command.RADIO_STATE, QUERY)

    def _digest(self, message: Message, now_us: int) -> None:
        self._last_heard_us = now_us
        match message.command:
            case Command.RESET if message.number == RESET_BYTE:
                if self._state is not _State.DETECTING:
                    self._lose("the device has restarted", now_us)
            case Command.ERROR:
                self._note_error(message.number)
            case Command.SELECT_INTERFACE:
                # One radio cannot be misrouted: then noise that looks like a choice is nothing.
                self._selected = message.number if len(self._radios) > 1 else 0
            case Command.EEPROM:
                self._read_identity(message.argument, now_us)
            case Command.TEMPERATURE:
                self.temperature_celsius = temperature_celsius(message.number)
            case _ if self._state is _State.DETECTING:
                self._identify(message, now_us)
            case _ if self._selected < len(self._radios):
                self._digest_of_radio(message, self._selected, now_us)

    def _identify(self, message: Message, now_us: int) -> None:
        if message.command is Command.DETECT and message.number != DETECT_RESPONSE:
            return
        self._identity[message.command] = message.number
        needed = {Command.DETECT, Command.FIRMWARE_VERSION, Command.PLATFORM}
        if not needed <= self._identity.keys():
            return
        several = len(self._radios) > 1
        oldest = MIN_FIRMWARE_OF_SEVERAL_RADIOS if several else MIN_FIRMWARE
        if self._firmware() < oldest:
            self._give_up(
                f"RNode firmware {_version(self._firmware())} is too old, {_version(oldest)} is"
                " needed; rnodeconf --update brings the present one"
            )
            return
        self._attempts = 0
        self._selected = 0
        self._serial, self._provisioned = b"", None
        self._configure(now_us)

    def _digest_of_radio(self, message: Message, radio: int, now_us: int) -> None:
        match message.command:
            case Command.STAT_RSSI:
                self._rssi, self._snr = message.number, None
            case Command.STAT_SNR:
                self._snr = message.number
            case Command.DATA:
                if self._state is _State.UP:
                    self._events.append(Received(radio, message.argument, self._rssi, self._snr))
                self._rssi = self._snr = None
            case Command.STAT_CHANNEL:
                self.noise_rssi_dbm[radio] = noise_rssi_dbm(message.argument)
                if self._state is _State.UP:
                    self._events.append(Alive())
            case Command.RADIO_STATE if self._state is _State.UP:
                self._note_state(radio, message.number, now_us)
            case command:
                self._echoes[radio][command] = message.number
                self._see_whether_up(now_us)

    def _note_state(self, radio: int, state: int, now_us: int) -> None:
        """A radio that is off is set up again, but not at one word: noise may look like it."""
        if state:
            self._in_doubt.discard(radio)
            self._events.append(Alive())
        elif radio in self._in_doubt:
            self._lose(f"radio {radio} has been switched off", now_us)
        else:
            self._in_doubt.add(radio)
            self._select(radio)
            self._send(Command.RADIO_STATE, QUERY)

    def _read_identity(self, eeprom: bytes, now_us: int) -> None:
        serial = identity(eeprom)
        self._provisioned = serial is not None
        self._serial = serial or b""
        self._see_whether_up(now_us)

    def _see_whether_up(self, now_us: int) -> None:
        if self._state is not _State.CONFIGURING:
            return
        # It answers in order: if the identity is missing then, that answer was lost. Ask once more.
        told = self._provisioned is not None or self._attempts > 1
        if told and all(map(self._is_up, range(len(self._radios)))):
            self._state = _State.UP
            self._due_us = now_us + QUERY_INTERVAL_US
            platform = self._identity[Command.PLATFORM]
            name = PLATFORMS.get(platform, f"platform 0x{platform:02x}")
            self._events.append(Ready(self._firmware(), name, self._serial))

    def _is_up(self, radio: int) -> bool:
        echoes = self._echoes[radio]
        return echoes.get(Command.RADIO_STATE) == 1 and all(
            _as_asked(command, value, echoes.get(command))
            for command, value in self._radios[radio].values().items()
        )

    def _note_error(self, code: int) -> None:
        try:
            error = DeviceError(code)
        except ValueError:
            self._noise[Reject.UNKNOWN_ERROR] += 1
            return
        self.errors[error] += 1
        if error is DeviceError.RADIO_INIT and self._state is _State.CONFIGURING:
            self._give_up("the device says that its radio module does not start")

    def _firmware(self) -> tuple[int, int]:
        return divmod(self._identity[Command.FIRMWARE_VERSION], 256)

    def _select(self, radio: int) -> None:
        """Where there are several: the choice holds until another, so it goes before everything."""
        if len(self._radios) > 1:
            self._send(Command.SELECT_INTERFACE, radio)

    def _send(self, command: Command, value: int) -> None:
        long = command in (Command.FREQUENCY, Command.BANDWIDTH)
        self._outgoing += encode_frame(bytes([command]) + value.to_bytes(4 if long else 1, "big"))

    def _lose(self, reason: str, now_us: int) -> None:
        self._events.append(Lost(reason))
        self._outgoing.clear()
        self._state = _State.DETECTING
        self._due_us = now_us
        self._rssi = self._snr = None

    def _give_up(self, reason: str) -> None:
        self._events.append(Unusable(reason))
        self._state = _State.OVER


def _as_asked(command: Command, asked: int, echo: int | None) -> bool:
    if echo is None:
        return False
    if command is Command.FREQUENCY:
        return abs(asked - echo) <= _FREQUENCY_TOLERANCE_HZ
    return asked == echo


def _version(firmware: tuple[int, int]) -> str:
    return f"{firmware[0]}.{firmware[1]:02}"
