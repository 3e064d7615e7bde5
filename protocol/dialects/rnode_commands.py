"""What an RNode and its host say to each other: commands, their lengths and meanings.

Source: RNode firmware 1.86, its Framing, Config and Utilities files, and firmware of the Community
Edition 1.74, read for facts. The first byte of a frame is the command as a whole, not a port and a
command as elsewhere in KISS. Numbers are big-endian.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

MAX_DATA = 508
"""Two packets of 254 bytes: each packet on the air begins with a header byte of the firmware's."""

MAX_BODY = 1 + 512
"""Longest frame that is taken in: data, or the copy of an EEPROM."""

MIN_FIRMWARE = (1, 52)
MIN_FIRMWARE_OF_SEVERAL_RADIOS = (1, 74)

DETECT_REQUEST, DETECT_RESPONSE = 0x73, 0x46
RESET_BYTE = 0xF8
QUERY = 0xFF
RSSI_OFFSET_DBM = 157
_TEMPERATURE_OFFSET = 120


class Command(IntEnum):
    """First byte of a frame, either way unless the comment says otherwise."""

    DATA = 0x00
    FREQUENCY = 0x01
    BANDWIDTH = 0x02
    TX_POWER = 0x03
    SPREADING_FACTOR = 0x04
    CODING_RATE = 0x05
    RADIO_STATE = 0x06
    DETECT = 0x08
    LEAVE = 0x0A  # to the device: the host goes away
    SELECT_INTERFACE = 0x1F  # Community Edition: which radio the next frames are about
    STAT_RSSI = 0x23  # from the device, before the data that it belongs to
    STAT_SNR = 0x24
    STAT_CHANNEL = 0x25  # about once a second while a radio is on; boards with an AVR never send it
    TEMPERATURE = 0x29
    PLATFORM = 0x48
    MCU = 0x49
    FIRMWARE_VERSION = 0x50
    EEPROM = 0x51
    RESET = 0x55
    ERROR = 0x90


class DeviceError(IntEnum):
    """Argument of :attr:`Command.ERROR`."""

    RADIO_INIT = 0x01
    TRANSMIT_FAILED = 0x02
    EEPROM_LOCKED = 0x03
    QUEUE_FULL = 0x04
    MEMORY_LOW = 0x05
    MODEM_TIMEOUT = 0x06


PLATFORMS = {0x80: "ESP32", 0x90: "AVR", 0x70: "nRF52"}

_LENGTHS = {
    Command.FREQUENCY: (4, 4),
    Command.BANDWIDTH: (4, 4),
    Command.TX_POWER: (1, 1),
    Command.SPREADING_FACTOR: (1, 1),
    Command.CODING_RATE: (1, 1),
    Command.RADIO_STATE: (1, 1),
    Command.DETECT: (1, 1),
    Command.SELECT_INTERFACE: (1, 1),
    Command.STAT_RSSI: (1, 1),
    Command.STAT_SNR: (1, 1),
    Command.STAT_CHANNEL: (8, 16),
    Command.TEMPERATURE: (1, 1),
    Command.PLATFORM: (1, 1),
    Command.MCU: (1, 1),
    Command.FIRMWARE_VERSION: (2, 2),
    Command.EEPROM: (156, 512),
    Command.RESET: (1, 1),
    Command.ERROR: (1, 1),
    Command.DATA: (1, MAX_DATA),
}

# Telling what is nothing to us from noise: display, Bluetooth, Wi-Fi, EEPROM and statistics.
_OTHERS = frozenset(
    {0x07, 0x09, 0x0B, 0x0C, 0x0E, 0x0F, 0x21, 0x22, 0x26, 0x27, 0x28, 0x30, *range(0x40, 0x48),
     *range(0x52, 0x55), *range(0x56, 0x60), *range(0x60, 0x72), *range(0x80, 0x88)}
)  # fmt: skip


_IDENTITY_BYTES = 7  # product, model, hardware revision, serial number of four bytes
_LOCK_PLACE, _LOCK = 0x9B, 0x73


class Reject(StrEnum):
    """Why a whole frame was thrown away; a closed list."""

    UNKNOWN_COMMAND = "unknown_command"  # boot messages, noise
    BAD_LENGTH = "bad_length"
    EMPTY_DATA = "empty_data"  # a packet without content: the broken raw mode of some firmware
    UNKNOWN_ERROR = "unknown_error"


class NotAMessage(Exception):
    """A frame's body that no RNode says; ``reason`` is for counting."""

    def __init__(self, reason: Reject) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """One frame of the device: a command and its argument of a possible length."""

    command: Command
    argument: bytes

    @property
    def number(self) -> int:
        """The argument as an unsigned number."""
        return int.from_bytes(self.argument, "big")


def parse(body: bytes) -> Message | None:
    """The message in a frame's body; None for one that is nothing to us.

    Raises:
        NotAMessage: no device says this: noise, boot messages, or a frame that was damaged.
    """
    if not body:
        raise NotAMessage(Reject.BAD_LENGTH)
    if body[0] in _OTHERS:
        return None
    try:
        command = Command(body[0])
        shortest, longest = _LENGTHS[command]
    except (ValueError, KeyError):
        raise NotAMessage(Reject.UNKNOWN_COMMAND) from None
    if not shortest <= len(body) - 1 <= longest:
        raise NotAMessage(Reject.EMPTY_DATA if body == b"\0" else Reject.BAD_LENGTH)
    return Message(command, body[1:])


def identity(eeprom: bytes) -> bytes | None:
    """Product, model, revision and serial number; None = nobody has provisioned the device."""
    return eeprom[:_IDENTITY_BYTES] if eeprom[_LOCK_PLACE] == _LOCK else None


def rssi_dbm(raw: int) -> float:
    """What the firmware says of a packet's strength.

    It is not the chip's: for an SNR of 0 dB and more the firmware multiplies the dBm by 1.066,
    which makes -96 dBm -102. Nothing here undoes that; the model's label says whose number it is.
    """
    return float(raw - RSSI_OFFSET_DBM)


def snr_db(raw: int) -> float:
    """Quarters of a decibel, signed."""
    return (raw - 256 if raw > 127 else raw) / 4


def noise_rssi_dbm(argument: bytes) -> float | None:
    """Noise floor of a :attr:`Command.STAT_CHANNEL`; None where the firmware does not tell."""
    return float(argument[9] - RSSI_OFFSET_DBM) if len(argument) > 9 else None


def temperature_celsius(raw: int) -> float:
    """Of the board's processor."""
    return float(raw - _TEMPERATURE_OFFSET)
