"""What to write into an SX1276/77/78/79 so that it receives LoRa continuously.

Sources: SX1276/77/78/79 data sheet sections 4.1, 4.2.3.8, 5.5 and 6.4; Semtech's errata note for
these chips, sections 2.1 and 2.3; docs/CONCENTRATOR-LINK.md section 6 for who owns which register.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from protocol.lora.phy import (
    MIN_PREAMBLE_SYMBOLS,
    coding_rate_code,
    low_data_rate_optimize,
    symbol_time_us,
)
from protocol.lora.register_operations import (
    RegisterOperation,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)
from protocol.lora.sx127x_registers import (
    BANDWIDTHS_HZ,
    HF_MIN_HZ,
    LF_MAX_HZ,
    LONG_RANGE_MODE,
    RECEIVE_OFFSET_HZ,
    Mode,
    Register,
    frf_from_hz,
)

SX127X_VERSION = 0x12
"""RegVersion of all four chips: which of them it is, the chip does not tell."""

RegisterImage = tuple[tuple[int, int], ...]
"""Pairs of (address, value), to be written in this order in LoRa standby."""

OCP_100_MA = 0x2B  # on; 45 + 5 * 11 mA
PA_DAC_NORMAL = 0x84
_PA_LOWEST = 0x00  # RFO pin, -4 dBm
_LNA_GAIN_1_BOOST_HF = 0x23
_HIGHEST_BAND_3_HZ = 175_000_000
_IMAGE_CAL_START, _IMAGE_CAL_RUNNING = 0x40, 0x20
_CALIBRATION_TIMEOUT_MS = 20  # takes about 10 ms


class UnsupportedSettings(ValueError):
    """A chip cannot do what is asked; the text says why, for the person who configured it."""


class Chip(Enum):
    """The members of the family: highest frequency and highest spreading factor (table 1)."""

    SX1276 = (1_020_000_000, 12)
    SX1277 = (1_020_000_000, 9)
    SX1278 = (525_000_000, 12)
    SX1279 = (960_000_000, 12)

    def __init__(self, max_frequency_hz: int, max_spreading_factor: int) -> None:
        self.max_frequency_hz = max_frequency_hz
        self.max_spreading_factor = max_spreading_factor


MIN_FREQUENCY_HZ = 137_000_000


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """What one radio is to listen to.

    Attributes:
        coding_rate: "4/5" to "4/8"; what a header says overrides it.
        sync_word: 0x34 = public LoRaWAN, 0x12 = private.
        invert_iq: True hears gateways (downlinks), False hears end devices.
        preamble_symbols: as the transmitters', or larger.
    """

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str = "4/5"
    sync_word: int = 0x34
    invert_iq: bool = False
    preamble_symbols: int = 8


def check_receive(chip: Chip, settings: ReceiveSettings) -> None:
    """See whether a chip can receive this.

    Raises:
        UnsupportedSettings: it cannot.
    """
    check_modem(settings.spreading_factor, settings.bandwidth_hz, settings.coding_rate)
    check_beginning(settings.sync_word, settings.preamble_symbols)
    check_chip(chip, settings.frequency_hz, settings.spreading_factor, settings.bandwidth_hz)


def check_modem(spreading_factor: int, bandwidth_hz: int, coding_rate: str) -> None:
    """See whether the LoRa modem knows these terms, with an explicit header.

    Raises:
        UnsupportedSettings: it does not.
    """
    try:
        symbol_time_us(spreading_factor, bandwidth_hz)
        coding_rate_code(coding_rate)
    except ValueError as error:
        raise UnsupportedSettings(str(error)) from None
    if spreading_factor == 6:
        raise UnsupportedSettings(
            "SF6 works with an implicit header only, where both ends must know the length;"
            " LoRaWAN and this gateway use explicit headers: choose SF7 to SF12"
        )


def check_beginning(sync_word: int, preamble_symbols: int) -> None:
    """See whether a frame can begin like this.

    Raises:
        UnsupportedSettings: it cannot.
    """
    if not 0 <= sync_word <= 0xFF:
        raise UnsupportedSettings(f"sync word {sync_word:#x} is not one byte")
    if not MIN_PREAMBLE_SYMBOLS <= preamble_symbols <= 0xFFFF:
        raise UnsupportedSettings(f"a preamble has {MIN_PREAMBLE_SYMBOLS} to 65535 symbols")


def check_chip(chip: Chip, frequency_hz: int, spreading_factor: int, bandwidth_hz: int) -> None:
    """See whether this member of the family can do it.

    Raises:
        UnsupportedSettings: it cannot.
    """
    if not MIN_FREQUENCY_HZ <= frequency_hz <= chip.max_frequency_hz:
        raise UnsupportedSettings(
            f"{chip.name} cannot tune to {frequency_hz / 1e6:g} MHz, only to"
            f" {MIN_FREQUENCY_HZ / 1e6:g} to {chip.max_frequency_hz / 1e6:g} MHz"
        )
    if LF_MAX_HZ < frequency_hz < HF_MIN_HZ:
        raise UnsupportedSettings(
            f"{chip.name} has no input for {frequency_hz / 1e6:g} MHz: its ports end at"
            f" {LF_MAX_HZ / 1e6:g} MHz and begin again at {HF_MIN_HZ / 1e6:g} MHz"
        )
    if frequency_hz <= _HIGHEST_BAND_3_HZ and bandwidth_hz > 125_000:
        raise UnsupportedSettings(
            f"bandwidth {bandwidth_hz} Hz does not work below"
            f" {_HIGHEST_BAND_3_HZ / 1e6:g} MHz; 125000 Hz is the largest there"
        )
    if spreading_factor > chip.max_spreading_factor:
        raise UnsupportedSettings(
            f"{chip.name} cannot do SF{spreading_factor}, only up to SF{chip.max_spreading_factor}"
        )


def receive_image(settings: ReceiveSettings) -> RegisterImage:
    """The registers of continuous reception, complete whatever the radio did before.

    It holds none of those that the board owns, none that the chip changes by itself (except the
    gain bits of RegLna, which the AGC moves during reception and a comparison must leave out), and
    everything that a transmission may have changed.

    Raises:
        UnsupportedSettings: no LoRa modem can do it; :func:`check_receive` asks for one chip.
    """
    check_modem(settings.spreading_factor, settings.bandwidth_hz, settings.coding_rate)
    check_beginning(settings.sync_word, settings.preamble_symbols)
    tuned_hz = settings.frequency_hz + RECEIVE_OFFSET_HZ.get(settings.bandwidth_hz, 0)
    return (
        *frequency_registers(tuned_hz),
        (Register.PA_CONFIG, _PA_LOWEST),
        (Register.OCP, OCP_100_MA),
        (Register.LNA, _LNA_GAIN_1_BOOST_HF),
        # The radio never sends and receives at once: each may use the whole FIFO.
        (Register.FIFO_TX_BASE_ADDR, 0x00),
        (Register.FIFO_RX_BASE_ADDR, 0x00),
        *modem_registers(
            settings.spreading_factor, settings.bandwidth_hz, settings.coding_rate, payload_crc=True
        ),
        (Register.SYMB_TIMEOUT_LSB, 0x64),
        *preamble_registers(settings.preamble_symbols),
        (Register.PAYLOAD_LENGTH, 0x01),  # the header tells it; 0 is illegal
        (Register.MAX_PAYLOAD_LENGTH, 0xFF),
        (Register.HOP_PERIOD, 0x00),
        (Register.PPM_CORRECTION, 0x00),
        *_detection_registers(settings.bandwidth_hz),
        *_high_bandwidth_registers(settings.frequency_hz, settings.bandwidth_hz),
        (Register.INVERT_IQ, 0x67 if settings.invert_iq else 0x27),
        (Register.INVERT_IQ_2, 0x19 if settings.invert_iq else 0x1D),
        (Register.SYNC_WORD, settings.sync_word),
        (Register.PA_DAC, PA_DAC_NORMAL),
    )


def frequency_registers(frequency_hz: int) -> RegisterImage:
    """RegFrf, most significant byte first."""
    msb, mid, lsb = frf_from_hz(frequency_hz).to_bytes(3, "big")
    return (Register.FRF_MSB, msb), (Register.FRF_MID, mid), (Register.FRF_LSB, lsb)


def modem_registers(
    spreading_factor: int, bandwidth_hz: int, coding_rate: str, *, payload_crc: bool
) -> RegisterImage:
    """RegModemConfig1 to 3 with an explicit header and the automatic gain control on."""
    low_data_rate = low_data_rate_optimize(spreading_factor, bandwidth_hz)
    return (
        (
            Register.MODEM_CONFIG_1,
            BANDWIDTHS_HZ.index(bandwidth_hz) << 4 | coding_rate_code(coding_rate) << 1,
        ),
        (Register.MODEM_CONFIG_2, spreading_factor << 4 | payload_crc << 2),
        (Register.MODEM_CONFIG_3, low_data_rate << 3 | 0x04),
    )


def preamble_registers(symbols: int) -> RegisterImage:
    """RegPreambleMsb and Lsb; 4.25 symbols come on top on the air."""
    return (Register.PREAMBLE_MSB, symbols >> 8), (Register.PREAMBLE_LSB, symbols & 0xFF)


def _detection_registers(bandwidth_hz: int) -> Iterator[tuple[int, int]]:
    """SF7 to SF12 detection, and errata 2.3: an intermediate frequency without spurious packets."""
    if bandwidth_hz == 500_000:
        yield Register.DETECT_OPTIMIZE, 0xC3  # here the automatic choice is the right one
    else:
        yield Register.DETECT_OPTIMIZE, 0x43
        if bandwidth_hz == 7_800:
            yield Register.IF_FREQ_1, 0x48
        else:
            yield Register.IF_FREQ_1, 0x44 if bandwidth_hz < 62_500 else 0x40
        yield Register.IF_FREQ_2, 0x00
    yield Register.DETECTION_THRESHOLD, 0x0A


def _high_bandwidth_registers(frequency_hz: int, bandwidth_hz: int) -> RegisterImage:
    """Errata 2.1: sensitivity at 500 kHz. Otherwise the chip chooses the second one itself."""
    if bandwidth_hz != 500_000:
        return ((Register.HIGH_BW_OPTIMIZE_1, 0x03),)
    if 862_000_000 <= frequency_hz <= 1_020_000_000:
        return (Register.HIGH_BW_OPTIMIZE_1, 0x02), (Register.HIGH_BW_OPTIMIZE_2, 0x64)
    if 410_000_000 <= frequency_hz <= 525_000_000:
        return (Register.HIGH_BW_OPTIMIZE_1, 0x02), (Register.HIGH_BW_OPTIMIZE_2, 0x7F)
    return ((Register.HIGH_BW_OPTIMIZE_1, 0x03),)


def calibration_operations(frequency_hz: int) -> tuple[RegisterOperation, ...]:
    """Calibrate image rejection and RSSI for the band in use (data sheet section 4.2.3.8).

    The chip does so by itself only after a reset, and only for its low-frequency front end at
    434 MHz. Repeat it after a change of temperature by 10 to 20 degrees C. For a radio that is
    switched off; it is left in LoRa sleep with the power amplifier at its lowest.
    """
    return (
        # FSK and LoRa change places only in sleep; calibration belongs to the FSK page.
        RegisterWrite(Register.OP_MODE, bytes([Mode.SLEEP])),
        RegisterWrite(Register.OP_MODE, bytes([Mode.STANDBY])),
        RegisterWrite(Register.PA_CONFIG, bytes([_PA_LOWEST])),
        RegisterWrite(Register.FRF_MSB, frf_from_hz(frequency_hz).to_bytes(3, "big")),
        RegisterReadModifyWrite(Register.FSK_IMAGE_CAL, _IMAGE_CAL_START, _IMAGE_CAL_START),
        RegisterWait(Register.FSK_IMAGE_CAL, _IMAGE_CAL_RUNNING, 0, _CALIBRATION_TIMEOUT_MS),
        RegisterWrite(Register.OP_MODE, bytes([Mode.SLEEP])),
        RegisterWrite(Register.OP_MODE, bytes([LONG_RANGE_MODE | Mode.SLEEP])),
    )
