"""Register map of the SX1276/77/78/79, LoRa page, and how numbers are coded in it.

Source: SX1276/77/78/79 data sheet, section 6.4 (LoRa registers) and table 16 (operating modes).
"""

from collections.abc import Mapping
from enum import IntEnum, IntFlag

from protocol.lora.phy import BANDWIDTH_DIVISORS, CODING_RATES


class Register(IntEnum):
    """Addresses that we use; FSK marks those that exist on the FSK page only."""

    FIFO = 0x00
    OP_MODE = 0x01
    FRF_MSB = 0x06
    FRF_MID = 0x07
    FRF_LSB = 0x08
    PA_CONFIG = 0x09
    OCP = 0x0B
    LNA = 0x0C
    FIFO_ADDR_PTR = 0x0D
    FIFO_TX_BASE_ADDR = 0x0E
    FIFO_RX_BASE_ADDR = 0x0F
    IRQ_FLAGS_MASK = 0x11
    IRQ_FLAGS = 0x12
    MODEM_CONFIG_1 = 0x1D
    MODEM_CONFIG_2 = 0x1E
    SYMB_TIMEOUT_LSB = 0x1F
    PREAMBLE_MSB = 0x20
    PREAMBLE_LSB = 0x21
    PAYLOAD_LENGTH = 0x22
    MAX_PAYLOAD_LENGTH = 0x23
    HOP_PERIOD = 0x24
    MODEM_CONFIG_3 = 0x26
    PPM_CORRECTION = 0x27
    IF_FREQ_1 = 0x2F
    IF_FREQ_2 = 0x30
    DETECT_OPTIMIZE = 0x31
    INVERT_IQ = 0x33
    HIGH_BW_OPTIMIZE_1 = 0x36
    DETECTION_THRESHOLD = 0x37
    SYNC_WORD = 0x39
    HIGH_BW_OPTIMIZE_2 = 0x3A
    INVERT_IQ_2 = 0x3B
    FSK_IMAGE_CAL = 0x3B
    DIO_MAPPING_1 = 0x40
    PA_DAC = 0x4D


BOARD_OWNED = frozenset(
    {
        Register.FIFO,
        Register.OP_MODE,
        Register.FIFO_ADDR_PTR,
        Register.IRQ_FLAGS_MASK,
        Register.IRQ_FLAGS,
        Register.DIO_MAPPING_1,
    }
)
"""What the concentrator itself writes while a radio is managed, so that no image may hold it
(docs/CONCENTRATOR-LINK.md section 6.2)."""


class Mode(IntEnum):
    """RegOpMode, bits 2 to 0, in LoRa mode."""

    SLEEP = 0
    STANDBY = 1
    FS_TX = 2
    TRANSMIT = 3
    FS_RX = 4
    RECEIVE_CONTINUOUS = 5
    RECEIVE_SINGLE = 6
    CAD = 7


LONG_RANGE_MODE = 0x80
"""RegOpMode bit 7; changes only in sleep, and selects the page of 0x0D to 0x3F."""


class IrqFlags(IntFlag):
    """RegIrqFlags; writing a 1 clears."""

    CAD_DETECTED = 0x01
    FHSS_CHANGE_CHANNEL = 0x02
    CAD_DONE = 0x04
    TX_DONE = 0x08
    VALID_HEADER = 0x10
    PAYLOAD_CRC_ERROR = 0x20
    RX_DONE = 0x40
    RX_TIMEOUT = 0x80


BANDWIDTHS_HZ = tuple(BANDWIDTH_DIVISORS)
"""Nominal bandwidth by its code in RegModemConfig1, bits 7 to 4."""

CODING_RATE_BY_CODE: Mapping[int, str] = {code: text for text, code in CODING_RATES.items()}

RECEIVE_OFFSET_HZ: Mapping[int, int] = {
    7_800: 7_810,
    10_400: 10_420,
    15_600: 15_620,
    20_800: 20_830,
    31_250: 31_250,
    41_700: 41_670,
}
"""Bandwidth -> how much higher a receiver must be tuned (errata note section 2.3); else 0."""

LF_MAX_HZ = 525_000_000
HF_MIN_HZ = 779_000_000
"""Below and above are two front ends; between them the chips have no input."""

# The step is 32 MHz / 2^19 = 15625/256 Hz.
_STEP_NUMERATOR, _STEP_DENOMINATOR = 15_625, 256


def frf_from_hz(frequency_hz: int) -> int:
    """RegFrf (24 bits) of the step nearest to a frequency."""
    return (frequency_hz * _STEP_DENOMINATOR + _STEP_NUMERATOR // 2) // _STEP_NUMERATOR


def hz_from_frf(frf: int) -> int:
    """Frequency of a RegFrf value, rounded to 1 Hz; steps are 61.03515625 Hz apart."""
    return (frf * _STEP_NUMERATOR + _STEP_DENOMINATOR // 2) // _STEP_DENOMINATOR
